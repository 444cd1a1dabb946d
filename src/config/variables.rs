//! The names that configuration files have assigned so far, and the changes that statements make to them.
//! Knows no syntax and no site.
//!
//! Python assigns references: after `b = a` a change of `a` shows in `b` too. Here values are copied, and every
//! list, set and dictionary that became known under a second name is remembered as shared; a statement that would
//! change a shared one in place is an error. So what is read is always what Python would have computed.

use super::lexer::Fault;
use super::operations::{
    check_depth, hash_of, item, item_mut, list_item, own_units, sum, total_units,
};
use super::problem::Problem;
use super::source::Text;
use super::value::{At, Dict, Node, Value};
use std::collections::{HashMap, HashSet};

/// Room for values in all files together; one value takes one unit, and one more for each 16 bytes of text.
/// A site takes about 25, so this is far beyond any installation; it stops a few lines that double a list again
/// and again from filling the memory.
const MAX_UNITS: usize = 2_000_000;

/// Warnings kept; nobody reads more, and each costs a search for its line.
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
    pub at: At,
    /// Its present value.
    pub node: Node,
    /// Whether a later statement has used it as a value.
    pub is_used: bool,
}

/// All names of the files read so far.
#[derive(Debug)]
pub struct Variables {
    texts: Vec<Text>,
    all: Vec<Variable>,
    index: HashMap<String, usize>,
    /// Identities of lists, sets and dictionaries known in more than one place.
    shared: HashSet<u64>,
    next_identity: u64,
    units: usize,
    warnings: Vec<Problem>,
}

/// A name with subscripts, as it stands left of `=` or as a value: `sites['muc']['socket']`.
#[derive(Debug, Clone)]
pub(super) struct Path {
    pub name: String,
    /// Offset of the name.
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
            shared: HashSet::new(),
            next_identity: 1,
            units: 0,
            warnings: Vec::new(),
        };
        for name in PREDEFINED {
            let node = variables.node(Value::Dict(Dict::default()), At::NOWHERE);
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
    pub fn warnings(&self) -> &[Problem] {
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
    pub(super) fn add_text(&mut self, text: Text) -> usize {
        self.texts.push(text);
        self.texts.len() - 1
    }

    pub(super) fn warn(&mut self, at: At, text: String) {
        if self.warnings.len() < MAX_WARNINGS {
            let problem = self.problem(at, text);
            self.warnings.push(problem);
        }
    }

    /// A new value.
    pub(super) fn node(&mut self, value: Value, at: At) -> Node {
        let is_changeable = matches!(value, Value::List(_) | Value::Set(_) | Value::Dict(_));
        let identity = if is_changeable { self.next_identity } else { 0 };
        self.next_identity += u64::from(is_changeable);
        Node {
            value,
            at,
            identity,
        }
    }

    /// Takes room for a value that has just been read, without what it contains.
    pub(super) fn charge(&mut self, value: &Value, at: usize) -> Result<(), Fault> {
        self.charge_units(own_units(value), at)
    }

    /// Takes room for a copy of a whole value.
    pub(super) fn charge_copy(&mut self, node: &Node, at: usize) -> Result<(), Fault> {
        self.charge_units(total_units(node), at)
    }

    fn charge_units(&mut self, units: usize, at: usize) -> Result<(), Fault> {
        self.units = self.units.saturating_add(units);
        if self.units > MAX_UNITS {
            return Err(Fault::plain(
                at,
                format!("the configuration is too large: more than {MAX_UNITS} values"),
            ));
        }
        Ok(())
    }

    /// The value of a path. It may stand inside of brackets; how deep all of that nests is checked when it is stored.
    pub(super) fn value_of(&mut self, path: &Path) -> Result<Node, Fault> {
        let variable = self.variable_mut(path)?;
        variable.is_used = true;
        let mut found = &variable.node;
        for key in &path.keys {
            found = item(found, key)?;
        }
        let copy = found.clone();
        self.charge_copy(&copy, path.at.offset)?;
        self.share(&copy);
        Ok(Node {
            at: path.at,
            ..copy
        })
    }

    /// Remembers that a value is known in more than one place from now on.
    pub(super) fn share(&mut self, node: &Node) {
        if node.identity != 0 {
            self.shared.insert(node.identity);
        }
        for child in node.value.children() {
            self.share(child);
        }
    }

    /// `NAME = value`, `NAME[key] = value`
    pub(super) fn assign(&mut self, path: &Path, value: Node) -> Result<(), Fault> {
        check_depth(&value, path.keys.len(), path.at.offset)?;
        let Some((last, keys)) = path.keys.split_last() else {
            self.define(&path.name, path.at, value);
            return Ok(());
        };
        let container = self.changeable(path, keys)?;
        match &mut container.value {
            Value::Dict(dict) => {
                let hash = hash_of(last)?;
                dict.insert(hash, last.clone(), value);
            }
            Value::List(items) => *list_item(items, last)? = value,
            other => {
                let words = other.in_words();
                let text =
                    format!("an item of {words} cannot be assigned; only of a list or dictionary");
                return Err(Fault::plain(last.at.offset, text));
            }
        }
        Ok(())
    }

    /// `locals().setdefault('NAME', value)`: assigns unless the name exists.
    pub(super) fn define_unless_known(&mut self, path: &Path, value: Node) -> Result<(), Fault> {
        match self.index.contains_key(&path.name) {
            true => Ok(()),
            false => self.assign(path, value),
        }
    }

    fn define(&mut self, name: &str, at: At, node: Node) {
        if let Some(variable) = self.index.get(name).and_then(|&i| self.all.get_mut(i)) {
            variable.node = node;
            if variable.at == At::NOWHERE {
                variable.at = at;
            }
            return;
        }
        self.index.insert(name.to_string(), self.all.len());
        self.all.push(Variable {
            name: name.to_string(),
            at,
            node,
            is_used: false,
        });
    }

    /// `PATH.update({...})`
    pub(super) fn update(&mut self, path: &Path, other: Node) -> Result<(), Fault> {
        for node in [self.peek(path)?, &other] {
            if !matches!(node.value, Value::Dict(_)) {
                return Err(not_a(path, "update", "dictionary", &node.value));
            }
        }
        self.merge(path, other)
    }

    /// `PATH |= {...}` of a dictionary or of a set.
    pub(super) fn merge(&mut self, path: &Path, other: Node) -> Result<(), Fault> {
        check_depth(&other, path.keys.len(), path.at.offset)?;
        let target = self.changeable(path, &path.keys)?;
        match (&mut target.value, other.value) {
            (Value::Dict(dict), Value::Dict(more)) => {
                for entry in more.into_entries() {
                    let hash = hash_of(&entry.key)?;
                    dict.insert(hash, entry.key, entry.value);
                }
                Ok(())
            }
            (Value::Set(set), Value::Set(more)) => {
                for item in more.into_items() {
                    set.insert(hash_of(&item)?, item);
                }
                Ok(())
            }
            (target, other) => Err(Fault::plain(
                path.at.offset,
                format!(
                    "{} cannot be merged into {}; both must be dictionaries",
                    other.in_words(),
                    target.in_words()
                ),
            )),
        }
    }

    /// `PATH.setdefault(key, value)`
    pub(super) fn set_default(&mut self, path: &Path, key: Node, value: Node) -> Result<(), Fault> {
        check_depth(&value, path.keys.len() + 1, path.at.offset)?;
        let hash = hash_of(&key)?;
        let target = self.changeable(path, &path.keys)?;
        let Value::Dict(dict) = &mut target.value else {
            return Err(not_a(path, "setdefault", "dictionary", &target.value));
        };
        if dict.find(&hash).is_none() {
            dict.insert(hash, key, value);
        }
        Ok(())
    }

    /// `PATH.append(value)`
    pub(super) fn append(&mut self, path: &Path, value: Node) -> Result<(), Fault> {
        check_depth(&value, path.keys.len() + 1, path.at.offset)?;
        let target = self.changeable(path, &path.keys)?;
        let Value::List(items) = &mut target.value else {
            return Err(not_a(path, "append", "list", &target.value));
        };
        items.push(value);
        Ok(())
    }

    /// `PATH.extend(values)`
    pub(super) fn extend(&mut self, path: &Path, more: Node) -> Result<(), Fault> {
        check_depth(&more, path.keys.len(), path.at.offset)?;
        let target = self.changeable(path, &path.keys)?;
        let Value::List(items) = &mut target.value else {
            return Err(not_a(path, "extend", "list", &target.value));
        };
        match more.value {
            Value::List(more) | Value::Tuple(more) => items.extend(more),
            other => {
                let text = format!(
                    "a list is extended by a list or tuple, not by {}",
                    other.in_words()
                );
                return Err(Fault::plain(more.at.offset, text));
            }
        }
        Ok(())
    }

    /// `PATH += value`
    pub(super) fn add(&mut self, path: &Path, value: Node) -> Result<(), Fault> {
        let current = self.peek(path)?;
        if matches!(current.value, Value::List(_)) {
            return self.extend(path, value);
        }
        let sum = sum(&current.value, &value.value).ok_or_else(|| {
            let (left, right) = (current.value.in_words(), value.value.in_words());
            let text = format!("'+=' cannot add {right} to {left}");
            Fault::plain(value.at.offset, text)
        })?;
        let node = Node {
            value: sum,
            ..value
        };
        self.charge_copy(&node, path.at.offset)?;
        self.assign(path, node)
    }

    fn peek(&self, path: &Path) -> Result<&Node, Fault> {
        let mut found = self.get(&path.name).ok_or_else(|| undefined(path))?;
        for key in &path.keys {
            found = item(found, key)?;
        }
        Ok(found)
    }

    fn variable_mut(&mut self, path: &Path) -> Result<&mut Variable, Fault> {
        let position = self.index.get(&path.name).copied();
        position
            .and_then(|position| self.all.get_mut(position))
            .ok_or_else(|| undefined(path))
    }

    /// The value at a name and keys, for a change in place.
    fn changeable(&mut self, path: &Path, keys: &[Node]) -> Result<&mut Node, Fault> {
        let position = self.index.get(&path.name).copied();
        let variable = position.and_then(|position| self.all.get_mut(position));
        let mut found = &mut variable.ok_or_else(|| undefined(path))?.node;
        for key in keys {
            found = item_mut(found, key)?;
        }
        if self.shared.contains(&found.identity) {
            return Err(Fault::plain(
                path.at.offset,
                "this value was also assigned elsewhere, and in Python both would change; \
                 write a value of its own for each",
            ));
        }
        Ok(found)
    }
}

/// A name that no statement has assigned.
pub(super) fn undefined(path: &Path) -> Fault {
    Fault::plain(
        path.at.offset,
        format!(
            "name '{}' is not defined; only names assigned earlier can be used",
            path.name
        ),
    )
}

fn not_a(path: &Path, method: &str, wanted: &str, found: &Value) -> Fault {
    Fault::plain(
        path.at.offset,
        format!(
            "'{method}' needs a {wanted}, '{}' is {}",
            path.name,
            found.in_words()
        ),
    )
}
