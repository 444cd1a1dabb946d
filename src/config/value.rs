//! The values a configuration file can hold, compared and ordered as Python does it.
//! Knows no file and no site. Every value remembers where it was written.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

/// Longest text a message quotes from a file, in characters.
const QUOTED: usize = 40;

/// Where a value was written: which file, and at which byte of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    pub(super) file: usize,
    pub(super) offset: usize,
}

impl At {
    /// Of values that stand in no file, because they are predefined.
    pub(super) const NOWHERE: At = At {
        file: usize::MAX,
        offset: 0,
    };
}

/// A value and where it was written.
#[derive(Debug, Clone)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Its first character.
    pub at: At,
    /// Which object this is in Python, for lists, sets and dictionaries; copies keep it. 0 for the others.
    pub(super) identity: u64,
}

/// A literal of Python.
#[derive(Debug, Clone)]
pub enum Value {
    /// `None`
    None,
    /// `True` or `False`
    Bool(bool),
    /// A whole number of at most 64 bits.
    Int(i64),
    /// A floating point number; may be infinite, never "not a number".
    Float(f64),
    /// A string.
    Text(String),
    /// A bytes string.
    Bytes(Vec<u8>),
    /// A tuple.
    Tuple(Vec<Node>),
    /// A list.
    List(Vec<Node>),
    /// A set.
    Set(Set),
    /// A dictionary.
    Dict(Dict),
}

impl Value {
    /// How a message names this value: itself when it is short, otherwise what it is.
    pub fn in_words(&self) -> String {
        match self {
            Value::None => "None".to_string(),
            Value::Bool(true) => "True".to_string(),
            Value::Bool(false) => "False".to_string(),
            Value::Int(number) => number.to_string(),
            Value::Float(number) => format!("{number:?}"),
            Value::Text(text) if text.chars().count() <= QUOTED => quoted(text),
            Value::Text(text) => {
                let beginning: String = text.chars().take(QUOTED).collect();
                format!("{}...", quoted(&beginning))
            }
            Value::Bytes(_) => "a bytes string".to_string(),
            Value::Tuple(items) => format!("a tuple of {}", items.len()),
            Value::List(items) => format!("a list of {}", items.len()),
            Value::Set(_) => "a set".to_string(),
            Value::Dict(_) => "a dictionary".to_string(),
        }
    }

    /// A canonical form for comparisons: types are told apart, strings and bytes stand in hexadecimal, floats
    /// as their bits, sets sorted, dictionaries in their order.
    pub fn dump(&self) -> String {
        let mut out = String::new();
        self.dump_into(&mut out);
        out
    }

    fn dump_into(&self, out: &mut String) {
        match self {
            Value::None => out.push_str("none"),
            Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
            Value::Int(number) => {
                let _ = write!(out, "i{number}");
            }
            Value::Float(number) => {
                let _ = write!(out, "f{:016x}", number.to_bits());
            }
            Value::Text(text) => dump_hex(out, 's', text.as_bytes()),
            Value::Bytes(bytes) => dump_hex(out, 'b', bytes),
            Value::Tuple(items) => dump_items(out, "tuple", items),
            Value::List(items) => dump_items(out, "list", items),
            Value::Set(set) => {
                let mut items: Vec<String> =
                    set.items.iter().map(|item| item.value.dump()).collect();
                items.sort();
                let _ = write!(out, "(set {})", items.join(" "));
            }
            Value::Dict(dict) => {
                out.push_str("(dict");
                for entry in &dict.entries {
                    out.push(' ');
                    entry.key.value.dump_into(out);
                    out.push(' ');
                    entry.value.value.dump_into(out);
                }
                out.push(')');
            }
        }
    }

    /// The values directly inside of this one, keys included.
    pub(super) fn children(&self) -> Vec<&Node> {
        match self {
            Value::Tuple(items) | Value::List(items) => items.iter().collect(),
            Value::Set(set) => set.items.iter().collect(),
            Value::Dict(dict) => {
                let entries = dict.entries.iter();
                entries.flat_map(|e| [&e.key, &e.value]).collect()
            }
            _ => Vec::new(),
        }
    }
}

fn dump_hex(out: &mut String, kind: char, bytes: &[u8]) {
    out.push(kind);
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
}

fn dump_items(out: &mut String, kind: &str, items: &[Node]) {
    let _ = write!(out, "({kind}");
    for item in items {
        out.push(' ');
        item.value.dump_into(out);
    }
    out.push(')');
}

/// A string as a Python literal that this reader and Python read back to the same string.
pub(super) fn quoted(text: &str) -> String {
    let quote = match text.contains('\'') && !text.contains('"') {
        true => '"',
        false => '\'',
    };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => out.extend(['\\', c]),
            c if u32::from(c) < 0x20 || (0x7f..0xa1).contains(&u32::from(c)) => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            // Line separators and marks of direction would garble a terminal.
            '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

/// One entry of a dictionary.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key as it was first written.
    pub key: Node,
    /// The value as it was last written.
    pub value: Node,
}

/// A dictionary in the order of its first insertions, as Python keeps it.
#[derive(Debug, Clone, Default)]
pub struct Dict {
    entries: Vec<Entry>,
    index: HashMap<HashKey, usize>,
}

impl Dict {
    /// The entries in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    /// The value of a text key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.find(&HashKey::Text(key.to_string()))
    }

    pub(super) fn find(&self, key: &HashKey) -> Option<&Node> {
        let position = *self.index.get(key)?;
        self.entries.get(position).map(|entry| &entry.value)
    }

    pub(super) fn find_mut(&mut self, key: &HashKey) -> Option<&mut Node> {
        let position = *self.index.get(key)?;
        self.entries.get_mut(position).map(|entry| &mut entry.value)
    }

    /// Sets a key. Returns whether it was there: then the old key and its rank stay, as in Python.
    pub(super) fn insert(&mut self, hash: HashKey, key: Node, value: Node) -> bool {
        if let Some(old) = self.find_mut(&hash) {
            *old = value;
            return true;
        }
        self.index.insert(hash, self.entries.len());
        self.entries.push(Entry { key, value });
        false
    }
}

/// A set; of equal items the first one stays, as in Python.
#[derive(Debug, Clone, Default)]
pub struct Set {
    items: Vec<Node>,
    index: HashSet<HashKey>,
}

impl Set {
    /// The items in the order they were written (Python's own order is arbitrary).
    pub fn items(&self) -> &[Node] {
        &self.items
    }

    pub(super) fn into_items(self) -> Vec<Node> {
        self.items
    }

    pub(super) fn insert(&mut self, hash: HashKey, item: Node) {
        if self.index.insert(hash) {
            self.items.push(item);
        }
    }
}

/// What makes two dictionary keys equal in Python, where `1`, `1.0` and `True` are the same key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum HashKey {
    None,
    Whole(i64),
    Float(u64),
    Text(String),
    Bytes(Vec<u8>),
    Tuple(Vec<HashKey>),
}

impl HashKey {
    /// The key of a value; the error names a type that cannot be a key.
    pub fn of(value: &Value) -> Result<HashKey, &'static str> {
        Ok(match value {
            Value::None => HashKey::None,
            Value::Bool(truth) => HashKey::Whole(i64::from(*truth)),
            Value::Int(number) => HashKey::Whole(*number),
            Value::Float(number) => HashKey::of_float(*number),
            Value::Text(text) => HashKey::Text(text.clone()),
            Value::Bytes(bytes) => HashKey::Bytes(bytes.clone()),
            Value::Tuple(items) => {
                let keys = items.iter().map(|item| HashKey::of(&item.value));
                HashKey::Tuple(keys.collect::<Result<_, _>>()?)
            }
            Value::List(_) => return Err("list"),
            Value::Set(_) => return Err("set"),
            Value::Dict(_) => return Err("dictionary"),
        })
    }

    fn of_float(number: f64) -> HashKey {
        // 2 to the power of 63, the first float beyond the range of i64; its negative is inside.
        const BEYOND: f64 = 9_223_372_036_854_775_808.0;
        if number.fract() == 0.0 && (-BEYOND..BEYOND).contains(&number) {
            return HashKey::Whole(number as i64);
        }
        HashKey::Float(number.to_bits())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn node(value: Value) -> Node {
        Node {
            value,
            at: At { file: 0, offset: 0 },
            identity: 0,
        }
    }

    fn key(value: Value) -> HashKey {
        HashKey::of(&value).unwrap()
    }

    #[test]
    fn numbers_that_python_holds_equal_are_one_key() {
        assert_eq!(key(Value::Int(1)), key(Value::Bool(true)));
        assert_eq!(key(Value::Int(1)), key(Value::Float(1.0)));
        assert_eq!(key(Value::Float(0.0)), key(Value::Float(-0.0)));
        assert_eq!(
            key(Value::Int(i64::MIN)),
            key(Value::Float(-(2f64.powi(63))))
        );
        assert_ne!(key(Value::Int(i64::MAX)), key(Value::Float(2f64.powi(63))));
        assert_ne!(
            key(Value::Int((1 << 53) + 1)),
            key(Value::Float(2f64.powi(53)))
        );
        assert_ne!(
            key(Value::Text("a".into())),
            key(Value::Bytes(b"a".to_vec()))
        );
    }

    #[test]
    fn only_constant_values_are_keys() {
        let list = Value::Tuple(vec![node(Value::List(Vec::new()))]);
        assert_eq!(HashKey::of(&list), Err("list"));
        assert_eq!(
            HashKey::of(&Value::Dict(Dict::default())),
            Err("dictionary")
        );
    }

    #[test]
    fn the_last_value_wins_and_the_first_key_keeps_its_rank() {
        let mut dict = Dict::default();
        for (number, text) in [
            (Value::Int(1), "a"),
            (Value::Int(2), "b"),
            (Value::Bool(true), "c"),
        ] {
            dict.insert(
                key(number.clone()),
                node(number),
                node(Value::Text(text.into())),
            );
        }
        assert_eq!(Value::Dict(dict).dump(), "(dict i1 s63 i2 s62)");
    }

    #[test]
    fn dumps_tell_types_apart_and_sort_sets() {
        let mut set = Set::default();
        for number in [3, 1, 2] {
            set.insert(HashKey::Whole(number), node(Value::Int(number)));
        }
        let all = vec![
            node(Value::Set(set)),
            node(Value::Float(-0.0)),
            node(Value::Bytes(vec![255])),
            node(Value::None),
            node(Value::Tuple(Vec::new())),
        ];
        assert_eq!(
            Value::List(all).dump(),
            "(list (set i1 i2 i3) f8000000000000000 bff none (tuple))"
        );
    }

    #[test]
    fn messages_quote_short_values_and_name_long_ones() {
        assert_eq!(Value::Text("a'b\n".into()).in_words(), "\"a'b\\n\"");
        assert!(Value::Text("x".repeat(1000)).in_words().len() < 60);
        assert_eq!(Value::Float(5.0).in_words(), "5.0");
        assert_eq!(Value::Tuple(Vec::new()).in_words(), "a tuple of 0");
    }
}
