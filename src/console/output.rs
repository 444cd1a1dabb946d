//! Rows as bytes, in the formats of Livestatus.

use super::Fault;
use super::column::Value;
use super::request::{Format, Separators};
use std::io::Write;

/// Most bytes of an answer. All of twenty thousand clients take less than half of it.
pub const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// Puts an answer together line by line.
pub(super) struct Output {
    format: Format,
    separators: Separators,
    body: Vec<u8>,
    /// How long it may become.
    room: usize,
}

impl Output {
    pub(super) fn new(format: Format, separators: Separators, room: usize) -> Self {
        Output {
            format,
            separators,
            body: Vec::new(),
            room,
        }
    }

    /// One line.
    pub(super) fn line(&mut self, values: &[Value]) -> Result<(), Fault> {
        match self.format {
            Format::Csv => self.csv(values),
            Format::Json | Format::Python => self.literal(values),
        }
        self.check_length()
    }

    fn check_length(&self) -> Result<(), Fault> {
        match self.body.len() {
            length if length > MAX_ANSWER => {
                Err(Fault::TooMuch("a longer answer than anybody needs"))
            }
            length if length > self.room => Err(Fault::NoRoom),
            _ => Ok(()),
        }
    }

    /// The answer.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, Fault> {
        if self.format != Format::Csv {
            let end: &[u8] = if self.body.is_empty() {
                b"[]\n"
            } else {
                b"]\n"
            };
            self.body.extend_from_slice(end);
        }
        self.check_length()?;
        // It may be held for a while, and grew by doubling.
        self.body.shrink_to_fit();
        Ok(self.body)
    }

    fn csv(&mut self, values: &[Value]) {
        for (number, value) in values.iter().enumerate() {
            if number > 0 {
                self.body.push(self.separators.column);
            }
            match value {
                Value::Text(text) => self.body.extend_from_slice(text.as_bytes()),
                Value::List(values) => self.elements(values, self.separators.element),
                value => self.number(value),
            }
        }
        self.body.push(self.separators.line);
    }

    /// JSON and Python agree on everything that occurs: no null, no truth, no
    /// control character.
    fn literal(&mut self, values: &[Value]) {
        let before: &[u8] = if self.body.is_empty() { b"[[" } else { b",\n[" };
        self.body.extend_from_slice(before);
        for (number, value) in values.iter().enumerate() {
            if number > 0 {
                self.body.push(b',');
            }
            match value {
                Value::Text(text) => self.quoted(text),
                Value::List(values) => {
                    self.body.push(b'[');
                    self.elements(values, b',');
                    self.body.push(b']');
                }
                value => self.number(value),
            }
        }
        self.body.push(b']');
    }

    fn quoted(&mut self, text: &str) {
        self.body.push(b'"');
        for byte in text.bytes() {
            if byte == b'"' || byte == b'\\' {
                self.body.push(b'\\');
            }
            self.body.push(byte);
        }
        self.body.push(b'"');
    }

    fn elements(&mut self, values: &[i64], between: u8) {
        for (number, value) in values.iter().enumerate() {
            if number > 0 {
                self.body.push(between);
            }
            self.number(&Value::Int(*value));
        }
    }

    fn number(&mut self, value: &Value) {
        // Writing to memory does not fail.
        let _ = match value {
            Value::Int(value) => write!(self.body, "{value}"),
            Value::Float(value) => write!(self.body, "{value:.3}"),
            Value::Text(_) | Value::List(_) => Ok(()),
        };
    }
}
