//! Values of Python as they are written: numbers, strings, tuples, lists, sets, dictionaries, earlier names.
//! Computes nothing: whatever would need evaluation is refused by name. Knows no statement.

use super::lexer::{Fault, Lexer, Token};
use super::numbers::too_large;
use super::operations::hash_of;
use super::strings::Literal;
use super::value::{At, Dict, Node, Set, Value};
use super::variables::{Path, Variables};

/// The reserved words of Python.
const KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue",
    "def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import",
    "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while",
    "with", "yield",
];

/// Operators that may stand between two values, and what follows a value that would be called or asked.
const EVALUATED: [&str; 21] = [
    "+", "-", "*", "/", "%", "@", "&", "|", "^", "<", ">", "==", "!=", "<=", ">=", "<<", ">>",
    "**", "//", ":=", "->",
];

/// Words that may stand between two values.
const EVALUATED_WORDS: [&str; 8] = ["if", "else", "for", "and", "or", "in", "is", "not"];

pub(super) fn is_keyword(name: &str) -> bool {
    KEYWORDS.contains(&name)
}

/// The reader's position in one file, one token ahead.
pub(super) struct Parser<'t, 'v> {
    pub(super) lexer: Lexer<'t>,
    pub(super) token: Token<'t>,
    /// Offset of `token`.
    pub(super) offset: usize,
    /// Number of the file among the texts of `variables`.
    file: usize,
    pub(super) variables: &'v mut Variables,
}

impl<'t, 'v> Parser<'t, 'v> {
    pub fn new(text: &'t str, file: usize, variables: &'v mut Variables) -> Parser<'t, 'v> {
        Parser {
            lexer: Lexer::new(text),
            token: Token::Newline,
            offset: 0,
            file,
            variables,
        }
    }

    pub fn at(&self) -> At {
        At {
            file: self.file,
            offset: self.offset,
        }
    }

    /// Goes on to the next token and hands back the present one.
    pub fn advance(&mut self) -> Result<Token<'t>, Fault> {
        let (offset, token) = self.lexer.next()?;
        self.offset = offset;
        Ok(std::mem::replace(&mut self.token, token))
    }

    pub fn is_op(&self, op: &str) -> bool {
        matches!(self.token, Token::Op(found) if found == op)
    }

    /// Passes an operator if it is the present token.
    pub fn take_op(&mut self, op: &str) -> Result<bool, Fault> {
        let found = self.is_op(op);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    pub fn expect_op(&mut self, op: &str) -> Result<(), Fault> {
        match self.take_op(op)? {
            true => Ok(()),
            false => Err(self.unexpected(&format!("'{op}'"))),
        }
    }

    pub fn unexpected(&self, wanted: &str) -> Fault {
        let found = self.token.in_words();
        Fault::unexpected(self.offset, format!("expected {wanted}, found {found}"))
    }

    /// A value as it may stand inside of brackets.
    pub fn value(&mut self) -> Result<Node, Fault> {
        let at = self.at();
        let mut sign = None;
        while let Token::Op(op @ ("+" | "-")) = self.token {
            let negative = sign.unwrap_or(false);
            sign = Some(negative ^ (op == "-"));
            self.advance()?;
        }
        let node = match sign {
            Some(negative) => self.signed(at, negative)?,
            None => self.unsigned()?,
        };
        self.refuse_evaluation()?;
        Ok(node)
    }

    /// A value as it may stand right of `=`, where a tuple needs no brackets.
    pub fn value_or_tuple(&mut self) -> Result<Node, Fault> {
        let first = self.value()?;
        self.rest_of_tuple(first)
    }

    /// What follows the first value right of `=`.
    pub fn rest_of_tuple(&mut self, first: Node) -> Result<Node, Fault> {
        let at = first.at;
        if !self.is_op(",") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.take_op(",")? {
            if matches!(self.token, Token::Newline | Token::End) || self.is_op(";") {
                break;
            }
            items.push(self.value()?);
        }
        self.node(Value::Tuple(items), at)
    }

    /// A name with subscripts.
    pub fn path(&mut self) -> Result<Path, Fault> {
        let at = self.at();
        let Token::Name(name) = self.token else {
            return Err(self.unexpected("a name"));
        };
        check_name(name, self.offset)?;
        self.advance()?;
        let mut keys = Vec::new();
        while self.take_op("[")? {
            keys.push(self.value()?);
            self.expect_op("]")?;
        }
        Ok(Path {
            name: name.to_string(),
            at,
            keys,
        })
    }

    /// The value of a path that has just been read.
    pub fn value_of(&mut self, path: &Path) -> Result<Node, Fault> {
        let is_call = self.is_op("(") && path.keys.is_empty();
        if is_call && self.variables.get(&path.name).is_none() {
            let name = &path.name;
            return Err(Fault::plain(
                path.at.offset,
                format!("'{name}(...)' would need evaluation; only literal values are supported"),
            ));
        }
        let node = self.variables.value_of(path)?;
        self.refuse_evaluation()?;
        Ok(node)
    }

    /// Refuses what would make an expression out of the value just read.
    fn refuse_evaluation(&self) -> Result<(), Fault> {
        let text = match self.token {
            Token::Op(op) if EVALUATED.contains(&op) => op,
            Token::Op(op @ ("." | "(" | "[")) => op,
            Token::Name(word) if EVALUATED_WORDS.contains(&word) => word,
            _ => return Ok(()),
        };
        Err(Fault::plain(
            self.offset,
            format!("'{text}' here would need evaluation; only literal values are supported"),
        ))
    }

    fn node(&mut self, value: Value, at: At) -> Result<Node, Fault> {
        self.variables.charge(&value, at.offset)?;
        Ok(self.variables.node(value, at))
    }

    fn signed(&mut self, at: At, negative: bool) -> Result<Node, Fault> {
        if let Token::Whole(magnitude) = self.token {
            self.advance()?;
            let number = match negative {
                true => 0i64.checked_sub_unsigned(magnitude),
                false => i64::try_from(magnitude).ok(),
            };
            let number = number.ok_or_else(|| too_large(at.offset))?;
            return self.node(Value::Int(number), at);
        }
        let node = self.unsigned()?;
        let value = match node.value {
            Value::Int(number) if negative => {
                let negated = number.checked_neg();
                Value::Int(negated.ok_or_else(|| too_large(at.offset))?)
            }
            Value::Int(number) => Value::Int(number),
            Value::Bool(truth) if negative => Value::Int(-i64::from(truth)),
            Value::Bool(truth) => Value::Int(i64::from(truth)),
            Value::Float(number) if negative => Value::Float(-number),
            Value::Float(number) => Value::Float(number),
            other => {
                let text = format!("a sign needs a number behind it, not {}", other.in_words());
                return Err(Fault::plain(at.offset, text));
            }
        };
        self.node(value, at)
    }

    fn unsigned(&mut self) -> Result<Node, Fault> {
        let at = self.at();
        match &self.token {
            Token::Whole(magnitude) => {
                let number = i64::try_from(*magnitude).map_err(|_| too_large(at.offset))?;
                self.advance()?;
                self.node(Value::Int(number), at)
            }
            Token::Float(number) => {
                let value = Value::Float(*number);
                self.advance()?;
                self.node(value, at)
            }
            Token::Literal(_) => {
                let value = match self.joined_literals()? {
                    Literal::Text(text) => Value::Text(text),
                    Literal::Bytes(bytes) => Value::Bytes(bytes),
                };
                self.node(value, at)
            }
            Token::Name(name) => self.named(name, at),
            Token::Op("(") => self.parenthesised(at),
            Token::Op("[") => {
                self.advance()?;
                let items = self.items("]")?;
                self.node(Value::List(items), at)
            }
            Token::Op("{") => self.braced(at),
            Token::Op(op @ ("*" | "**" | "~" | "...")) => Err(Fault::plain(
                at.offset,
                format!("'{op}' here would need evaluation; only literal values are supported"),
            )),
            _ => Err(self.unexpected("a value")),
        }
    }

    fn named(&mut self, name: &str, at: At) -> Result<Node, Fault> {
        let constant = match name {
            "None" => Value::None,
            "True" => Value::Bool(true),
            "False" => Value::Bool(false),
            "lambda" | "not" | "await" | "yield" => {
                let text = format!(
                    "'{name}' here would need evaluation; only literal values are supported"
                );
                return Err(Fault::plain(at.offset, text));
            }
            _ if is_keyword(name) => return Err(self.unexpected("a value")),
            _ => {
                let path = self.path()?;
                return self.value_of(&path);
            }
        };
        self.advance()?;
        self.node(constant, at)
    }

    /// One literal, or several side by side, which Python joins.
    pub fn joined_literals(&mut self) -> Result<Literal, Fault> {
        let mut joined: Option<Literal> = None;
        while let Token::Literal(_) = self.token {
            let offset = self.offset;
            let Token::Literal(next) = self.advance()? else {
                break;
            };
            match (&mut joined, next) {
                (None, next) => joined = Some(next),
                (Some(Literal::Text(text)), Literal::Text(next)) => text.push_str(&next),
                (Some(Literal::Bytes(bytes)), Literal::Bytes(next)) => bytes.extend(next),
                _ => {
                    let text = "a string and a bytes string cannot be joined";
                    return Err(Fault::plain(offset, text));
                }
            }
        }
        joined.ok_or_else(|| self.unexpected("a string"))
    }

    fn parenthesised(&mut self, at: At) -> Result<Node, Fault> {
        self.advance()?;
        if self.take_op(")")? {
            return self.node(Value::Tuple(Vec::new()), at);
        }
        let first = self.value()?;
        if self.take_op(")")? {
            return Ok(first);
        }
        self.comma_or(")")?;
        let mut items = vec![first];
        items.extend(self.items(")")?);
        self.node(Value::Tuple(items), at)
    }

    /// The items of a list or tuple and the closing bracket.
    fn items(&mut self, close: &'static str) -> Result<Vec<Node>, Fault> {
        let mut items = Vec::new();
        while !self.take_op(close)? {
            items.push(self.value()?);
            if !self.is_op(close) {
                self.comma_or(close)?;
            }
        }
        Ok(items)
    }

    fn comma_or(&mut self, close: &str) -> Result<(), Fault> {
        match self.take_op(",")? {
            true => Ok(()),
            false => Err(self.unexpected(&format!("',' or '{close}'"))),
        }
    }

    fn braced(&mut self, at: At) -> Result<Node, Fault> {
        self.advance()?;
        if self.take_op("}")? {
            return self.node(Value::Dict(Dict::default()), at);
        }
        let first = self.value()?;
        match self.is_op(":") {
            true => self.dict(first, at),
            false => self.set(first, at),
        }
    }

    fn dict(&mut self, first_key: Node, at: At) -> Result<Node, Fault> {
        let mut dict = Dict::default();
        let mut key = first_key;
        loop {
            self.expect_op(":")?;
            let value = self.value()?;
            self.insert(&mut dict, key, value)?;
            if self.take_op("}")? {
                break;
            }
            self.comma_or("}")?;
            if self.take_op("}")? {
                break;
            }
            key = self.value()?;
        }
        self.node(Value::Dict(dict), at)
    }

    fn insert(&mut self, dict: &mut Dict, key: Node, value: Node) -> Result<(), Fault> {
        let hash = hash_of(&key)?;
        let (at, words) = (key.at, key.value.in_words());
        if dict.insert(hash, key, value) {
            let text = format!(
                "key {words} stands twice in this dictionary; the last one counts, as in Python"
            );
            self.variables.warn(at, text);
        }
        Ok(())
    }

    fn set(&mut self, first: Node, at: At) -> Result<Node, Fault> {
        let mut items = vec![first];
        if !self.take_op("}")? {
            self.comma_or("}")?;
            items.extend(self.items("}")?);
        }
        let mut set = Set::default();
        for item in items {
            let hash = hash_of(&item)?;
            set.insert(hash, item);
        }
        self.node(Value::Set(set), at)
    }
}

/// Refuses names that mean something to Python itself, such as `__builtins__`.
pub(super) fn check_name(name: &str, offset: usize) -> Result<(), Fault> {
    if is_keyword(name) {
        return Err(Fault::plain(
            offset,
            format!("'{name}' is a word of Python and cannot be the name of a variable"),
        ));
    }
    if name.starts_with("__") && name.ends_with("__") {
        return Err(Fault::plain(
            offset,
            format!("'{name}' belongs to Python itself; use another name"),
        ));
    }
    Ok(())
}
