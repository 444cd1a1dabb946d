//! Keys that nobody knows. They are ignored, and reported once however many sites have them.

use super::problem::Problem;
use super::value::{At, Dict, Value};
use super::variables::Variables;
use std::collections::HashMap;

/// Most warnings of unknown names; nobody reads more.
pub(super) const MAX_UNKNOWN: usize = 100;

/// A key that nobody knows, inside of `place` (such as `'tcp'`; empty: in the entry itself).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct UnknownKey {
    at: At,
    place: &'static str,
    key: String,
    pub known: String,
}

/// Notes the keys of a dictionary that are not among the known ones.
pub(super) fn note_unknown(
    dict: &Dict,
    known: &[&str],
    place: &'static str,
    unknown: &mut Vec<UnknownKey>,
) {
    for entry in dict.entries() {
        if matches!(&entry.key.value, Value::Text(key) if known.contains(&key.as_str())) {
            continue;
        }
        unknown.push(UnknownKey {
            at: entry.key.at,
            place,
            key: entry.key.value.in_words(),
            known: known.join(", "),
        });
    }
}

/// Unknown keys, each reported once however many sites have it.
#[derive(Default)]
pub(super) struct UnknownKeys {
    found: Vec<FoundKey>,
    index: HashMap<(&'static str, String), usize>,
}

struct FoundKey {
    first: UnknownKey,
    owner: String,
    others: usize,
}

impl UnknownKeys {
    pub fn add(&mut self, owner: &str, keys: Vec<UnknownKey>) {
        for key in keys {
            let name = (key.place, key.key.clone());
            if let Some(known) = self.index.get(&name) {
                if let Some(known) = self.found.get_mut(*known) {
                    known.others += 1;
                }
            } else if self.found.len() < MAX_UNKNOWN {
                self.index.insert(name, self.found.len());
                self.found.push(FoundKey {
                    first: key,
                    owner: owner.to_string(),
                    others: 0,
                });
            }
        }
    }

    pub fn into_problems(self, variables: &Variables) -> Vec<Problem> {
        let problem = |found: FoundKey| {
            let UnknownKey {
                at,
                place,
                key,
                known,
            } = found.first;
            let within = match (found.owner.as_str(), place) {
                ("", place) => place.to_string(),
                (owner, "") => owner.to_string(),
                (owner, place) => format!("{owner}, {place}"),
            };
            let others = match found.others {
                0 => String::new(),
                count => format!(" (and {count} more)"),
            };
            let known = match known.as_str() {
                "" => String::new(),
                known => format!("; known are {known}"),
            };
            variables.problem(
                at,
                format!("unknown key {key} in {within}{others} is ignored{known}"),
            )
        };
        self.found.into_iter().map(problem).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{config, lines};

    #[test]
    fn of_very_many_unknown_names_the_first_hundred_are_told() {
        for (count, told) in [(MAX_UNKNOWN, MAX_UNKNOWN), (MAX_UNKNOWN + 1, MAX_UNKNOWN)] {
            let keys: String = (0..count).map(|n| format!("'k{n}': 0, ")).collect();
            // Those that are told are still counted when there is no room for others.
            let sites = format!(
                "sites = {{'a': {{'socket': '/a', {keys}}}, 'b': {{'socket': '/b', {keys}}}}}"
            );
            let warnings = lines(&config(&sites).warnings);
            assert_eq!(warnings.len(), told);
            let counted = |line: &String| line.contains("in site 'a' (and 1 more) is ignored");
            assert!(warnings.iter().all(counted), "{warnings:?}");

            let variables: String = (0..count).map(|n| format!("k{n} = 0\n")).collect();
            assert_eq!(config(&variables).warnings.len(), told);
        }
    }
}
