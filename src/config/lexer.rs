//! Python's tokens: names, numbers, strings, operators, line ends.
//! Knows brackets (a line does not end inside of them) but no statement and no value.

use super::numbers::{self, Number};
use super::problem::{Fault, FaultKind};
use super::strings::{self, Literal};
use super::text::Places;

/// How deep brackets and values may nest. Checkmk needs six levels; the bound keeps the recursion of
/// everything that walks a value far from the end of the stack.
const MAX_DEPTH: usize = 64;

/// One token.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token<'t> {
    /// A name or a keyword.
    Name(&'t str),
    /// A whole number without its sign.
    Whole(u64),
    /// A floating point number without its sign; infinite when it is too large.
    Float(f64),
    /// One string or bytes literal; neighbours are joined by the reader.
    Literal(Literal),
    /// An operator or a bracket.
    Op(&'static str),
    /// The end of a logical line.
    Newline,
    /// The end of the file.
    End,
}

impl Token<'_> {
    /// How a message names this token.
    pub fn in_words(&self) -> String {
        match self {
            Token::Name(name) => format!("name '{name}'"),
            Token::Whole(_) | Token::Float(_) => "a number".to_string(),
            Token::Literal(Literal::Text(_)) => "a string".to_string(),
            Token::Literal(Literal::Bytes(_)) => "a bytes string".to_string(),
            Token::Op(op) => format!("'{op}'"),
            Token::Newline => "the end of the line".to_string(),
            Token::End => "the end of the file".to_string(),
        }
    }
}

/// Every operator of Python, longest first, so that the first match is the right one.
const OPERATORS: [&str; 47] = [
    "**=", "//=", ">>=", "<<=", "...", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "@=", "==",
    "!=", "<=", ">=", "<<", ">>", "**", "//", "->", ":=", "(", ")", "[", "]", "{", "}", ",", ":",
    ".", ";", "=", "+", "-", "*", "/", "%", "@", "&", "|", "^", "~", "<", ">",
];

/// Hands out the tokens of a text one after another.
pub(super) struct Lexer<'t> {
    text: &'t str,
    at: usize,
    /// The next character is the first of a logical line.
    at_line_start: bool,
    /// Open brackets with their offsets.
    open: Vec<(&'static str, usize)>,
    /// Levels of nesting above the first of these brackets.
    above: usize,
}

impl<'t> Lexer<'t> {
    pub fn new(text: &'t str) -> Lexer<'t> {
        Lexer {
            text,
            at: 0,
            at_line_start: true,
            open: Vec::new(),
            above: 0,
        }
    }

    /// Brackets from here on stand that many levels below the value that is changed.
    pub fn nest_below(&mut self, levels: usize) {
        self.above = levels;
    }

    /// The bracket that is open before this offset, with its line and column, if it stands in a line above.
    pub fn opened_above(&self, offset: usize) -> Option<(&'static str, usize, usize)> {
        let mut before = self.open.iter().rev();
        let (bracket, at) = before.find(|(_, at)| *at < offset)?;
        let places = Places::of(self.text);
        let (line, column) = places.line_and_column(self.text, *at);
        let is_above = line < places.line_and_column(self.text, offset).0;
        is_above.then_some((*bracket, line, column))
    }

    fn is_inside_brackets(&self) -> bool {
        !self.open.is_empty()
    }

    /// The next token and its offset. After `End` there is only `End`.
    pub fn next(&mut self) -> Result<(usize, Token<'t>), Fault> {
        if self.at_line_start {
            self.skip_to_statement()?;
        }
        self.skip_blanks()?;
        let start = self.at;
        let Some(first) = self.char() else {
            return self.end(start);
        };
        let token = match first {
            '\n' => {
                self.at += 1;
                self.at_line_start = true;
                Token::Newline
            }
            '"' | '\'' => Token::Literal(self.string("")?),
            'a'..='z' | 'A'..='Z' | '_' => self.name_or_string()?,
            '0'..='9' => self.number()?,
            '.' if self.byte_at(1).is_some_and(|byte| byte.is_ascii_digit()) => self.number()?,
            _ => self.operator(first)?,
        };
        Ok((start, token))
    }

    fn end(&self, start: usize) -> Result<(usize, Token<'t>), Fault> {
        match self.open.last() {
            None => Ok((start, Token::End)),
            Some((bracket, at)) => Err(Fault {
                at: *at,
                text: format!("'{bracket}' was never closed"),
                kind: FaultKind::Unclosed,
            }),
        }
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn char(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn byte_at(&self, distance: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + distance).copied()
    }

    /// Passes blank lines and comments up to the first character of a statement, which must not be indented.
    fn skip_to_statement(&mut self) -> Result<(), Fault> {
        let mut indented = false;
        loop {
            match self.byte_at(0) {
                Some(b' ' | b'\t') => indented = true,
                // A form feed sets Python's count of the indentation back.
                Some(b'\x0c' | b'\n') => indented = false,
                Some(b'#') => {
                    self.skip_comment();
                    continue;
                }
                Some(b'\\') => {
                    return Err(Fault::plain(
                        self.at,
                        "a statement cannot begin with a backslash",
                    ));
                }
                Some(_) if indented => {
                    return Err(Fault::plain(
                        self.at,
                        "unexpected indentation: a statement begins in the first column",
                    ));
                }
                _ => break,
            }
            self.at += 1;
        }
        self.at_line_start = false;
        Ok(())
    }

    fn skip_comment(&mut self) {
        self.at += self.rest().find('\n').unwrap_or(self.rest().len());
    }

    fn skip_blanks(&mut self) -> Result<(), Fault> {
        loop {
            match self.byte_at(0) {
                Some(b' ' | b'\t' | b'\x0c') => self.at += 1,
                Some(b'\n') if self.is_inside_brackets() => self.at += 1,
                Some(b'#') => self.skip_comment(),
                Some(b'\\') => self.join_lines()?,
                _ => return Ok(()),
            }
        }
    }

    fn join_lines(&mut self) -> Result<(), Fault> {
        if self.byte_at(1) != Some(b'\n') {
            return Err(Fault::plain(
                self.at,
                "a backslash outside of a string must be the last character of its line",
            ));
        }
        if self.byte_at(2).is_none() {
            return Err(Fault::plain(
                self.at,
                "the file ends after this backslash, which promises another line",
            ));
        }
        self.at += 2;
        Ok(())
    }

    fn name_or_string(&mut self) -> Result<Token<'t>, Fault> {
        let rest = self.rest();
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let name = rest.get(..length).unwrap_or(rest);
        if matches!(self.byte_at(length), Some(b'"' | b'\'')) && strings::is_prefix(name) {
            return Ok(Token::Literal(self.string(name)?));
        }
        if let Some(other) = rest.get(length..).and_then(|after| after.chars().next())
            && other.is_alphanumeric()
        {
            return Err(foreign_character(self.at + length, other));
        }
        self.at += length;
        Ok(Token::Name(name))
    }

    fn string(&mut self, prefix: &str) -> Result<Literal, Fault> {
        let (literal, end) = strings::read(self.text, self.at, prefix)?;
        self.at = end;
        Ok(literal)
    }

    fn number(&mut self) -> Result<Token<'t>, Fault> {
        let (number, end) = numbers::read(self.text, self.at)?;
        self.at = end;
        Ok(match number {
            Number::Whole(number) => Token::Whole(number),
            Number::Float(number) => Token::Float(number),
        })
    }

    fn operator(&mut self, first: char) -> Result<Token<'t>, Fault> {
        let rest = self.rest();
        let Some(op) = OPERATORS.into_iter().find(|op| rest.starts_with(op)) else {
            return Err(foreign_character(self.at, first));
        };
        match op {
            "(" | "[" | "{" => self.open_bracket(op)?,
            ")" | "]" | "}" => self.close_bracket(op)?,
            _ => {}
        }
        self.at += op.len();
        Ok(Token::Op(op))
    }

    fn open_bracket(&mut self, bracket: &'static str) -> Result<(), Fault> {
        if self.above + self.open.len() >= MAX_DEPTH {
            return Err(Fault::plain(
                self.at,
                format!("values may be nested {MAX_DEPTH} deep, not deeper"),
            ));
        }
        self.open.push((bracket, self.at));
        Ok(())
    }

    fn close_bracket(&mut self, bracket: &'static str) -> Result<(), Fault> {
        let Some((opening, at)) = self.open.pop() else {
            return Err(Fault::plain(
                self.at,
                format!("'{bracket}' closes nothing: no bracket is open here"),
            ));
        };
        if matches!((opening, bracket), ("(", ")") | ("[", "]") | ("{", "}")) {
            return Ok(());
        }
        let (line, column) = Places::of(self.text).line_and_column(self.text, at);
        Err(Fault::plain(
            self.at,
            format!("'{bracket}' does not match '{opening}' opened at {line}:{column}"),
        ))
    }
}

fn foreign_character(at: usize, c: char) -> Fault {
    let code = u32::from(c);
    if c.is_alphanumeric() {
        return Fault::plain(
            at,
            format!(
                "'{c}' cannot stand in a name; use ASCII letters, digits and '_', or put it into quotes"
            ),
        );
    }
    Fault::plain(
        at,
        format!("character {c:?} (U+{code:04X}) cannot stand outside of a string"),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn tokens(text: &str) -> Result<Vec<Token<'_>>, Fault> {
        let mut lexer = Lexer::new(text);
        let mut found = Vec::new();
        loop {
            match lexer.next()?.1 {
                Token::End => return Ok(found),
                token => found.push(token),
            }
        }
    }

    fn fault(text: &str) -> (usize, String) {
        let fault = tokens(text).unwrap_err();
        (fault.at, fault.text)
    }

    #[test]
    fn a_mismatched_bracket_names_both() {
        assert_eq!(
            fault("x = [\n (1, 2]"),
            (12, "']' does not match '(' opened at 2:2".to_string())
        );
    }

    #[test]
    fn an_unclosed_bracket_points_at_the_opening_one() {
        let fault = tokens("x = {'a': [1],\n").unwrap_err();
        assert_eq!((fault.at, fault.kind), (4, FaultKind::Unclosed));
        assert_eq!(fault.text, "'{' was never closed");
    }

    #[test]
    fn a_closing_bracket_alone_is_refused() {
        assert_eq!(fault("x = 1)").0, 5);
    }

    #[test]
    fn lines_end_outside_of_brackets_only() {
        let count = |text| {
            let all = tokens(text).unwrap();
            all.iter().filter(|t| **t == Token::Newline).count()
        };
        assert_eq!(count("a\nb\n\n# c\n\n"), 2);
        assert_eq!(count("(a\n,b # x\n)\n"), 1);
        assert_eq!(count("a = \\\n b\n"), 1);
    }

    #[test]
    fn indentation_is_refused_and_a_form_feed_resets_it() {
        assert_eq!(fault("a\n  b").0, 4);
        assert_eq!(fault("\tb").0, 1);
        assert_eq!(
            tokens("  \x0ca").unwrap(),
            [Token::Name("a")],
            "form feed first"
        );
        assert_eq!(tokens("   # c\n   \n").unwrap(), []);
    }

    #[test]
    fn backslashes_join_lines_or_are_refused() {
        assert_eq!(fault("a \\ b").0, 2);
        assert_eq!(fault("a \\\n").0, 2);
        assert_eq!(fault("\\\na").0, 0);
    }

    #[test]
    fn foreign_characters_are_named() {
        assert!(fault("a = ?").1.contains("U+003F"));
        assert!(fault("a\u{a0}= 1").1.contains("U+00A0"));
        assert!(fault("\0").1.contains("U+0000"));
        assert!(fault("sität = 1").1.contains("ASCII"));
        assert_eq!(fault("a = sität").0, 7, "the character itself");
    }

    #[test]
    fn very_many_brackets_are_an_error_and_no_overflow() {
        let text = "[".repeat(100_000);
        assert_eq!(fault(&text).0, MAX_DEPTH);
    }

    #[test]
    fn the_longest_operator_is_taken() {
        let names = |text| {
            let all = tokens(text).unwrap();
            all.iter().map(Token::in_words).collect::<Vec<_>>().join("")
        };
        assert_eq!(names("+="), "'+='");
        assert_eq!(names("=-"), "'=''-'");
        assert_eq!(names("**="), "'**='");
        assert_eq!(names("..."), "'...'");
    }
}
