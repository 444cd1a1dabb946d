//! The values a configuration file can hold, compared and ordered as Python does it.
//! Knows no file and no site. Every value remembers where it was written.

use super::problem::Fault;
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
    pub(super) fn in_words(&self) -> String {
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

    /// The value of a text key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        let position = *self.index.get(&HashKey::Text(key.to_string()))?;
        self.entries.get(position).map(|entry| &entry.value)
    }

    /// The value of any key, to be changed. The error is a key that can be none.
    pub(super) fn find_mut(&mut self, key: &Node) -> Result<Option<&mut Node>, Fault> {
        let position = self.index.get(&HashKey::of(key)?);
        let entry = position.and_then(|&position| self.entries.get_mut(position));
        Ok(entry.map(|entry| &mut entry.value))
    }

    /// Sets a key. Returns whether it was there: then the old key and its rank stay, as in Python.
    pub(super) fn insert(&mut self, key: Node, value: Node) -> Result<bool, Fault> {
        let hash = HashKey::of(&key)?;
        let position = self.index.get(&hash).copied();
        if let Some(entry) = position.and_then(|position| self.entries.get_mut(position)) {
            entry.value = value;
            return Ok(true);
        }
        self.index.insert(hash, self.entries.len());
        self.entries.push(Entry { key, value });
        Ok(false)
    }

    /// How many keys of another dictionary are not in this one.
    pub(super) fn count_missing(&self, other: &Dict) -> usize {
        let keys = other.index.keys();
        keys.filter(|key| !self.index.contains_key(key)).count()
    }

    /// Sets every key of another dictionary, in its order.
    pub(super) fn update(&mut self, other: Dict) -> Result<(), Fault> {
        for entry in other.entries {
            self.insert(entry.key, entry.value)?;
        }
        Ok(())
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

    /// Adds an item unless there is an equal one. The error is an item that can be none.
    pub(super) fn insert(&mut self, item: Node) -> Result<(), Fault> {
        if self.index.insert(HashKey::of(&item)?) {
            self.items.push(item);
        }
        Ok(())
    }
}

/// What makes two dictionary keys equal in Python, where `1`, `1.0` and `True` are the same key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum HashKey {
    None,
    Whole(i64),
    Float(u64),
    Text(String),
    Bytes(Vec<u8>),
    Tuple(Vec<HashKey>),
}

impl HashKey {
    /// The error is a value of which the contents may change.
    fn of(node: &Node) -> Result<HashKey, Fault> {
        let refused = |kind: &str| {
            let text = format!(
                "a {kind} cannot be the key of a dictionary or an item of a set; \
                 a string, number or tuple can"
            );
            Err(Fault::plain(node.at.offset, text))
        };
        match &node.value {
            Value::None => Ok(HashKey::None),
            Value::Bool(truth) => Ok(HashKey::Whole(i64::from(*truth))),
            Value::Int(number) => Ok(HashKey::Whole(*number)),
            Value::Float(number) => Ok(HashKey::of_float(*number)),
            Value::Text(text) => Ok(HashKey::Text(text.clone())),
            Value::Bytes(bytes) => Ok(HashKey::Bytes(bytes.clone())),
            Value::Tuple(items) => {
                let keys = items.iter().map(HashKey::of);
                keys.collect::<Result<_, _>>().map(HashKey::Tuple)
            }
            Value::List(_) => refused("list"),
            Value::Set(_) => refused("set"),
            Value::Dict(_) => refused("dictionary"),
        }
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
            at: At { file: 0, offset: 7 },
        }
    }

    fn key(value: Value) -> HashKey {
        HashKey::of(&node(value)).unwrap()
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
    fn only_constant_values_are_keys_and_items_of_a_set() {
        for (value, kind) in [
            (Value::List(Vec::new()), "a list cannot"),
            (Value::Set(Set::default()), "a set cannot"),
            (Value::Dict(Dict::default()), "a dictionary cannot"),
        ] {
            let tuple = Value::Tuple(vec![node(value)]);
            let fault = HashKey::of(&node(tuple)).unwrap_err();
            assert!(fault.text.starts_with(kind), "{}", fault.text);
            assert_eq!(fault.at, 7);
        }
    }

    #[test]
    fn the_last_value_wins_and_the_first_key_keeps_its_rank() {
        let mut dict = Dict::default();
        let text = |text: &str| node(Value::Text(text.into()));
        for (key, value, was_there) in [
            (Value::Int(1), "a", false),
            (Value::Int(2), "b", false),
            (Value::Bool(true), "c", true),
        ] {
            assert_eq!(dict.insert(node(key), text(value)), Ok(was_there));
        }
        let mut more = Dict::default();
        for (key, value) in [(Value::Float(2.0), "d"), (Value::Int(0), "e")] {
            more.insert(node(key), text(value)).unwrap();
        }
        dict.update(more).unwrap();
        assert_eq!(Value::Dict(dict).dump(), "(dict i1 s63 i2 s64 i0 s65)");
    }

    #[test]
    fn dumps_tell_types_apart_and_sort_sets() {
        let mut set = Set::default();
        for number in [3, 1, 2, 1] {
            set.insert(node(Value::Int(number))).unwrap();
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
    fn what_would_garble_a_terminal_is_quoted_as_an_escape() {
        for (text, expected) in [
            ("a", "'a'"),
            ("it's", "\"it's\""),
            ("\"", "'\"'"),
            ("'\"", r#"'\'"'"#),
            ("\\", r"'\\'"),
            ("\n\r\t", r"'\n\r\t'"),
            ("\0\x1b\x1f ~\x7f", r"'\x00\x1b\x1f ~\x7f'"),
            ("\u{80}\u{a0}\u{a1}ä€", "'\\x80\\xa0\u{a1}ä€'"),
            (
                "\u{2027}\u{2028}\u{202e}\u{202f}",
                "'\u{2027}\\u2028\\u202e\u{202f}'",
            ),
            (
                "\u{2065}\u{2066}\u{2069}\u{206a}",
                "'\u{2065}\\u2066\\u2069\u{206a}'",
            ),
            ("\u{feff}", r"'\ufeff'"),
        ] {
            assert_eq!(quoted(text), expected);
        }
    }

    #[test]
    fn messages_quote_short_values_and_name_long_ones() {
        assert_eq!(Value::Text("a'b\n".into()).in_words(), "\"a'b\\n\"");
        assert!(Value::Text("x".repeat(1000)).in_words().len() < 60);
        assert_eq!(Value::Float(5.0).in_words(), "5.0");
        assert_eq!(Value::Tuple(Vec::new()).in_words(), "a tuple of 0");
    }
}
