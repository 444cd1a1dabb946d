//! The file that an earlier import or a person has written: its entries, and whether a person has had a hand in it.

use super::python;
use crate::config::{Problem, Source, Value, read_variables};
use crate::fnv::fnv1a;

/// The first line of a file written by this command, around the checksum of everything behind it.
pub(super) const MARK: (&str, &str) = ("# Written by liveproxyd --import-sites, checksum ", ".");

/// Who has written a file last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    /// This command; nobody has changed it since.
    Import,
    /// Anybody else.
    Person,
}

/// A site's entry: keys and values in Python's syntax.
pub type Pairs = Vec<(String, String)>;

/// A file that is there already.
#[derive(Debug, Clone)]
pub struct Existing {
    /// Who has written it last.
    pub author: Author,
    /// The entries of sites, in order.
    pub sites: Vec<(String, Pairs)>,
    /// All other variables with their values in Python's syntax.
    pub others: Pairs,
}

impl Existing {
    /// Reads it. The error is a syntax error, or a site that is none.
    pub fn read(source: &Source) -> Result<Existing, Problem> {
        let variables = read_variables(std::slice::from_ref(source))?;
        let mut existing = Existing {
            author: author(&source.text),
            sites: Vec::new(),
            others: Vec::new(),
        };
        for variable in variables.all() {
            match &variable.node.value {
                Value::Dict(sites) if variable.name == "sites" => {
                    for entry in sites.entries() {
                        let (Value::Text(name), Value::Dict(dict)) =
                            (&entry.key.value, &entry.value.value)
                        else {
                            let text = "expected the name of a site in quotes, and a dictionary";
                            return Err(variables.problem(entry.key.at, text));
                        };
                        let pair = |(key, value): (&Value, &Value)| {
                            (python::shown(key), python::shown(value))
                        };
                        let entries = dict.entries().iter();
                        let pairs = entries.map(|e| pair((&e.key.value, &e.value.value)));
                        existing.sites.push((name.clone(), pairs.collect()));
                    }
                }
                // Predefined, and not touched by the file.
                Value::Dict(dict) if dict.entries().is_empty() => {}
                value => {
                    let name = variable.name.clone();
                    existing.others.push((name, python::shown(value)));
                }
            }
        }
        Ok(existing)
    }

    /// The entry of a site.
    pub(super) fn site(&self, name: &str) -> Option<&Pairs> {
        let mut sites = self.sites.iter();
        sites.find(|(site, _)| site == name).map(|(_, pairs)| pairs)
    }

    /// Whether it says the same as another, whoever has written it, and in whatever order.
    pub(super) fn says_the_same(&self, other: &Existing) -> bool {
        let sorted = |pairs: &Pairs| {
            let mut pairs = pairs.clone();
            pairs.sort();
            pairs
        };
        let sites = |file: &Existing| {
            let sites = file.sites.iter();
            let mut sites: Vec<_> = sites
                .map(|(name, pairs)| (name.clone(), sorted(pairs)))
                .collect();
            sites.sort();
            sites
        };
        sites(self) == sites(other) && sorted(&self.others) == sorted(&other.others)
    }
}

fn author(text: &[u8]) -> Author {
    let checksum_of = |text: &[u8]| -> Option<(u64, u64)> {
        let end = text.iter().position(|&byte| byte == b'\n')?;
        let (line, rest) = text.split_at_checked(end + 1)?;
        let line = std::str::from_utf8(line).ok()?.trim_end_matches('\n');
        let digits = line.strip_prefix(MARK.0)?.strip_suffix(MARK.1)?;
        Some((u64::from_str_radix(digits, 16).ok()?, fnv1a(rest)))
    };
    match checksum_of(text) {
        Some((noted, found)) if noted == found => Author::Import,
        _ => Author::Person,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_of_the_file_beside_its_sites_are_kept_and_no_others() {
        let sites = "sites = {'muc': {'socket': '/a'}}\n";
        for (text, want) in [
            ("", ""),
            ("max_query = 7\n", "max_query = 7\n"),
            ("x = {'muc': {'y': 1}}\n", "x = {'muc': {'y': 1}}\n"),
            (
                "liveproxyd_default_connection_params.update({'channels': 3})\n",
                "liveproxyd_default_connection_params = {'channels': 3}\n",
            ),
        ] {
            let source = Source::new("a.mk", format!("{sites}{text}"));
            let existing = Existing::read(&source).unwrap();
            let others = existing.others.iter();
            let others: String = others.map(|(n, v)| format!("{n} = {v}\n")).collect();
            assert_eq!(others, want);
            let muc = existing.site("muc").unwrap();
            assert_eq!(*muc, [("'socket'".to_string(), "'/a'".to_string())]);
            assert_eq!(existing.sites.len(), 1);
        }
    }

    #[test]
    fn any_change_makes_it_a_persons_file() {
        let rest = "sites.update({})\n";
        let sum = fnv1a(rest.as_bytes());
        let written = format!("{}{sum:016x}{}\n{rest}", MARK.0, MARK.1);
        assert_eq!(author(written.as_bytes()), Author::Import);
        for changed in [
            written.replace("({})", "({ })"),
            written.clone() + "\n",
            written.replace('\n', "\r\n"),
            rest.to_string(),
            String::new(),
        ] {
            assert_eq!(author(changed.as_bytes()), Author::Person, "{changed}");
        }
    }
}
