//! The names that configuration files have assigned so far, and the changes that statements make to them.
//! Knows no syntax and no site.

use super::problem::{Fault, Problem};
use super::text::Text;
use super::value::{At, Dict, Node, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// Most values in all files together. A site takes about 25, so this is far beyond any installation. The files
/// themselves may be 64 MiB, and a value of two bytes takes a hundred in memory.
const MAX_VALUES: usize = 2_000_000;

/// Warnings kept; nobody reads more.
const MAX_WARNINGS: usize = 100;

/// Names that files may use without assigning them first, because Checkmk's own files do:
/// `sites.update({...})` is the first statement in files of version 1.5.
const PREDEFINED: [&str; 2] = ["sites", "liveproxyd_default_connection_params"];

/// One name with its value.
#[derive(Debug, Clone)]
pub struct Variable {
    /// The name.
    pub name: String,
    /// Where it was first assigned.
    pub(super) at: At,
    /// Its present value.
    pub node: Node,
}

/// All names of the files read so far.
#[derive(Debug)]
pub struct Variables {
    texts: Vec<Arc<Text>>,
    all: Vec<Variable>,
    index: HashMap<String, usize>,
    values: usize,
    warnings: Vec<Problem>,
}

/// What a statement changes, a name with subscripts: `sites['muc']['socket']`.
#[derive(Debug)]
pub(super) struct Path {
    pub name: String,
    /// Where the name stands.
    pub at: At,
    pub keys: Vec<Node>,
}

impl Variables {
    /// The state before the first file.
    pub(super) fn new() -> Variables {
        let mut variables = Variables {
            texts: Vec::new(),
            all: Vec::new(),
            index: HashMap::new(),
            values: 0,
            warnings: Vec::new(),
        };
        for name in PREDEFINED {
            let node = Node {
                value: Value::Dict(Dict::default()),
                at: At::NOWHERE,
            };
            variables.define(name, At::NOWHERE, node);
        }
        variables
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&Node> {
        let position = *self.index.get(name)?;
        self.all.get(position).map(|variable| &variable.node)
    }

    /// All names in the order of their first assignment.
    pub fn all(&self) -> &[Variable] {
        &self.all
    }

    /// What was noticed while reading, such as a key given twice.
    pub(super) fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// A problem at the place of a value.
    pub fn problem(&self, at: At, text: impl Into<String>) -> Problem {
        match self.texts.get(at.file) {
            Some(file) => file.problem(at.offset, text.into()),
            None => Problem::without_place(text),
        }
    }

    /// Registers a file's text, so that places in it can be named; returns its number.
    pub(super) fn add_text(&mut self, text: Arc<Text>) -> usize {
        self.texts.push(text);
        self.texts.len() - 1
    }

    pub(super) fn warn(&mut self, at: At, text: String) {
        if self.warnings.len() < MAX_WARNINGS {
            let problem = self.problem(at, text);
            self.warnings.push(problem);
        }
    }

    /// Takes room for one more value.
    pub(super) fn count_value(&mut self, at: At) -> Result<(), Fault> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(Fault::plain(
                at.offset,
                format!("the configuration is too large: more than {MAX_VALUES} values"),
            ));
        }
        Ok(())
    }

    /// `NAME = value`, `NAME[key] = value`
    pub(super) fn assign(&mut self, path: &Path, value: Node) -> Result<(), Fault> {
        let Some((last, keys)) = path.keys.split_last() else {
            self.warn_of_dropped(path, &value);
            self.define(&path.name, path.at, value);
            return Ok(());
        };
        let dict = dict_of(self.value_at(path, keys)?, last.at)?;
        dict.insert(last.clone(), value)?;
        Ok(())
    }

    /// `NAME = locals().setdefault('NAME', value)`: assigns unless the name exists.
    pub(super) fn assign_unless_known(&mut self, path: &Path, value: Node) -> Result<(), Fault> {
        match self.index.contains_key(&path.name) {
            true => Ok(()),
            false => self.assign(path, value),
        }
    }

    /// `NAME.update({...})`, `NAME[key].update({...})`
    pub(super) fn update(&mut self, path: &Path, more: Dict) -> Result<(), Fault> {
        dict_of(self.value_at(path, &path.keys)?, path.at)?.update(more)
    }

    /// That one file takes back what another one has said is Python's way, and seldom meant.
    fn warn_of_dropped(&mut self, path: &Path, value: &Node) {
        let (Some(old), Value::Dict(new)) = (self.get(&path.name), &value.value) else {
            return;
        };
        let dropped = match &old.value {
            Value::Dict(items) if old.at.file != value.at.file => new.count_missing(items),
            _ => 0,
        };
        if dropped > 0 {
            let text = format!(
                "'{0}' is assigned anew, without {dropped} of its items; \
                 {0}.update({{...}}) would keep them",
                path.name
            );
            self.warn(path.at, text);
        }
    }

    fn define(&mut self, name: &str, at: At, node: Node) {
        if let Some(variable) = self.index.get(name).and_then(|&i| self.all.get_mut(i)) {
            variable.node = node;
            return;
        }
        self.index.insert(name.to_string(), self.all.len());
        self.all.push(Variable {
            name: name.to_string(),
            at,
            node,
        });
    }

    /// The value of the path's name behind these of its keys.
    fn value_at(&mut self, path: &Path, keys: &[Node]) -> Result<&mut Node, Fault> {
        let position = self.index.get(&path.name).copied();
        let variable = position.and_then(|position| self.all.get_mut(position));
        let Some(Variable { node, .. }) = variable else {
            let text = format!(
                "'{0}' is not defined; assign it first: {0} = {{...}}",
                path.name
            );
            return Err(Fault::plain(path.at.offset, text));
        };
        let mut found = node;
        let mut words = path.name.clone();
        for key in keys {
            let item = key.value.in_words();
            found = dict_of(found, key.at)?.find_mut(key)?.ok_or_else(|| {
                let text = format!(
                    "there is no {item} in {words} so far; assign it first: {words}[{item}] = {{...}}"
                );
                Fault::plain(key.at.offset, text)
            })?;
            words = format!("{words}[{item}]");
        }
        Ok(found)
    }
}

fn dict_of(node: &mut Node, at: At) -> Result<&mut Dict, Fault> {
    match &mut node.value {
        Value::Dict(dict) => Ok(dict),
        other => Err(Fault::plain(
            at.offset,
            format!(
                "only a dictionary can be changed, and this is {}",
                other.in_words()
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::{Source, read_variables};

    #[test]
    fn every_value_counts_in_all_files_together() {
        let sources = [
            Source::new("a.mk", "x = {'a': [1, (2,)], 3: {4}}; y = ((5), 6), 7"),
            Source::new("b.mk", "x['a'] = -8; x.update({'b': None})"),
        ];
        let mut variables = read_variables(&sources).unwrap();
        assert_eq!(variables.values, 9 + 5 + 5);
        for _ in variables.values..MAX_VALUES {
            variables.count_value(At::NOWHERE).unwrap();
        }
        let at = At { file: 0, offset: 3 };
        let fault = variables.count_value(at).unwrap_err();
        assert_eq!(
            fault,
            Fault::plain(
                3,
                "the configuration is too large: more than 2000000 values"
            )
        );
    }
}
