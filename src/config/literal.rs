//! Values of Python as they are written: numbers, strings, tuples, lists, sets, dictionaries.
//! Computes nothing: whatever would need evaluation is refused by name. Knows no statement.

use super::lexer::{Lexer, Token};
use super::numbers::too_large;
use super::problem::Fault;
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

/// What can stand where a value is wanted, for messages.
const VALUES: &str = "text in quotes, a number, True, False, None, (...), [...] or {...}";

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
    /// Where the last of the literals begins that were joined to one, and which token stands behind it.
    joined: Option<(usize, usize)>,
    pub(super) variables: &'v mut Variables,
}

impl<'t, 'v> Parser<'t, 'v> {
    pub fn new(text: &'t str, file: usize, variables: &'v mut Variables) -> Parser<'t, 'v> {
        Parser {
            lexer: Lexer::new(text),
            token: Token::Newline,
            offset: 0,
            file,
            joined: None,
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
        let value = match self.token {
            Token::Op(sign @ ("+" | "-")) => {
                self.advance()?;
                self.number(at, sign == "-")?
            }
            Token::Whole(_) | Token::Float(_) => self.number(at, false)?,
            Token::Literal(_) => match self.joined_literals()? {
                Literal::Text(text) => Value::Text(text),
                Literal::Bytes(bytes) => Value::Bytes(bytes),
            },
            Token::Name(name) => self.constant(name)?,
            Token::Op("(") => return self.parenthesised(at),
            Token::Op("[") => {
                self.advance()?;
                Value::List(self.items("]")?)
            }
            Token::Op("{") => self.braced()?,
            Token::Op(op @ ("*" | "**" | "~" | "...")) => return Err(self.not_evaluated(op)),
            _ => return Err(self.unexpected("a value")),
        };
        self.node(value, at)
    }

    /// A value as it may stand right of `=`, where a tuple needs no brackets.
    pub fn value_or_tuple(&mut self) -> Result<Node, Fault> {
        let first = self.value()?;
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

    /// A name with subscripts, which a statement is going to change.
    pub fn path(&mut self) -> Result<Path, Fault> {
        let at = self.at();
        let Token::Name(name) = self.token else {
            return Err(self.unexpected("a name"));
        };
        check_variable(name, self.offset)?;
        let mut keys = Vec::new();
        self.lexer.nest_below(0);
        self.advance()?;
        while self.take_op("[")? {
            keys.push(self.value()?);
            self.lexer.nest_below(keys.len());
            self.expect_op("]")?;
        }
        Ok(Path {
            name: name.to_string(),
            at,
            keys,
        })
    }

    fn node(&mut self, value: Value, at: At) -> Result<Node, Fault> {
        self.refuse_evaluation()?;
        self.variables.count_value(at)?;
        Ok(Node { value, at })
    }

    /// Refuses what would make an expression out of the value just read. A bracket is not among it: more often
    /// than a call or a subscript it is the next value, and the comma before it is missing.
    fn refuse_evaluation(&self) -> Result<(), Fault> {
        match self.token {
            Token::Op("," | ":" | ";" | "=" | "(" | ")" | "[" | "]" | "{" | "}") => Ok(()),
            Token::Op(op) => Err(self.not_evaluated(op)),
            Token::Name(word @ ("if" | "else" | "for" | "and" | "or" | "in" | "is" | "not")) => {
                Err(self.not_evaluated(word))
            }
            _ => Ok(()),
        }
    }

    fn not_evaluated(&self, what: &str) -> Fault {
        let text = format!(
            "'{what}' is not supported, nothing is executed; write the value itself: {VALUES}"
        );
        Fault::plain(self.offset, text)
    }

    fn number(&mut self, at: At, is_negative: bool) -> Result<Value, Fault> {
        let value = match self.token {
            Token::Whole(magnitude) => {
                let number = match is_negative {
                    true => 0i64.checked_sub_unsigned(magnitude),
                    false => i64::try_from(magnitude).ok(),
                };
                Value::Int(number.ok_or_else(|| too_large(at.offset))?)
            }
            Token::Float(number) if is_negative => Value::Float(-number),
            Token::Float(number) => Value::Float(number),
            _ => return Err(self.unexpected("a number")),
        };
        self.advance()?;
        Ok(value)
    }

    /// One of Python's three constants; any other name would have to be looked up.
    fn constant(&mut self, name: &str) -> Result<Value, Fault> {
        let value = match name {
            "None" => Value::None,
            "True" => Value::Bool(true),
            "False" => Value::Bool(false),
            "lambda" | "not" | "await" | "yield" => return Err(self.not_evaluated(name)),
            _ if is_keyword(name) => return Err(self.unexpected("a value")),
            _ => return Err(self.name_as_value(name)),
        };
        self.advance()?;
        Ok(value)
    }

    /// A name is unexpected, not merely refused: behind a bracket that was never closed it begins a statement.
    fn name_as_value(&mut self, name: &str) -> Fault {
        let what = match self.lexer.next() {
            Ok((_, Token::Op("("))) => format!("'{name}(...)' is a call"),
            _ => format!("'{name}' is a name"),
        };
        let text = format!("{what}, and nothing is executed; write the value itself: {VALUES}");
        Fault::unexpected(self.offset, text)
    }

    /// One literal, or several side by side, which Python joins.
    pub fn joined_literals(&mut self) -> Result<Literal, Fault> {
        let mut joined: Option<Literal> = None;
        while let Token::Literal(_) = self.token {
            let offset = self.offset;
            let Token::Literal(next) = self.advance()? else {
                break;
            };
            self.joined = joined.as_ref().map(|_| (offset, self.offset));
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

    /// A tuple, or one value in brackets that mean nothing.
    fn parenthesised(&mut self, at: At) -> Result<Node, Fault> {
        self.advance()?;
        if self.take_op(")")? {
            return self.node(Value::Tuple(Vec::new()), at);
        }
        let first = self.value()?;
        if self.take_op(")")? {
            self.refuse_evaluation()?;
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
            false => Err(self.no_comma(close)),
        }
    }

    /// A key that is found where an item should have ended says more than the colon behind it.
    fn no_comma(&self, close: &str) -> Fault {
        let wanted = format!("',' or '{close}'");
        if !self.is_op(":") {
            return self.unexpected(&wanted);
        }
        match (self.joined, self.lexer.opened_above(self.offset)) {
            // Without the comma the key was taken for the rest of the text before it.
            (Some((key, end)), _) if end == self.offset && close == "}" => {
                Fault::unexpected(key, format!("expected {wanted}, found a string"))
            }
            (_, Some((bracket, line, column))) => {
                self.unexpected(&format!("{wanted} for the '{bracket}' of {line}:{column}"))
            }
            _ => self.unexpected(&wanted),
        }
    }

    fn braced(&mut self) -> Result<Value, Fault> {
        self.advance()?;
        if self.take_op("}")? {
            return Ok(Value::Dict(Dict::default()));
        }
        let first = self.value()?;
        match self.token {
            Token::Op(":") => self.dict(first).map(Value::Dict),
            Token::Op("," | "}") => self.set(first).map(Value::Set),
            _ => Err(self.unexpected("':', ',' or '}'")),
        }
    }

    fn dict(&mut self, first_key: Node) -> Result<Dict, Fault> {
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
        Ok(dict)
    }

    fn insert(&mut self, dict: &mut Dict, key: Node, value: Node) -> Result<(), Fault> {
        let (at, words) = (key.at, key.value.in_words());
        if dict.insert(key, value)? {
            let text = format!(
                "key {words} stands twice in this dictionary; the last one counts, as in Python"
            );
            self.variables.warn(at, text);
        }
        Ok(())
    }

    fn set(&mut self, first: Node) -> Result<Set, Fault> {
        let mut items = vec![first];
        if !self.take_op("}")? {
            self.comma_or("}")?;
            items.extend(self.items("}")?);
        }
        let mut set = Set::default();
        for item in items {
            set.insert(item)?;
        }
        Ok(set)
    }
}

/// Refuses names that mean something to Python itself, such as `__builtins__`.
fn check_variable(name: &str, offset: usize) -> Result<(), Fault> {
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
