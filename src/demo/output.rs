//! Rows in writing: csv, json and python, and the fixed16 frame. Must not know
//! where the rows come from.

use std::fmt::Write;

use super::sites::Value;

#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Format {
    /// Without escapes: a semicolon inside a text cannot be told from one between
    /// two columns, here as in real cores.
    #[default]
    Csv,
    /// Lists of lists that JSON and Python read alike. This stands before each text.
    Literals(&'static str),
}

impl Format {
    pub(super) fn named(name: &str) -> Option<Format> {
        match name {
            "csv" => Some(Format::Csv),
            "json" | "python3" => Some(Format::Literals("")),
            // Python 2 knows escapes only in u"...", and Python 3 still takes that.
            "python" => Some(Format::Literals("u")),
            _ => None,
        }
    }
}

/// The body of a response.
pub(super) fn body(format: Format, rows: impl Iterator<Item = Vec<Value>>) -> String {
    let rows = rows.map(|row| {
        let values = row.iter().map(|value| written(format, value));
        values.collect::<Vec<String>>()
    });
    match format {
        Format::Csv => rows.map(|row| row.join(";") + "\n").collect(),
        Format::Literals(_) => {
            let rows: Vec<String> = rows.map(|row| format!("[{}]", row.join(","))).collect();
            format!("[{}]\n", rows.join(",\n"))
        }
    }
}

/// The body behind its header: status, length in eleven places, line feed.
pub(super) fn framed(status: u16, body: &str) -> String {
    format!("{status:03} {:11}\n{body}", body.len())
}

fn written(format: Format, value: &Value) -> String {
    match (value, format) {
        (Value::Number(number), _) => number.to_string(),
        (Value::Text(text), Format::Csv) => text.clone(),
        (Value::Text(text), Format::Literals(prefix)) => format!("{prefix}\"{}\"", escaped(text)),
    }
}

/// Only ASCII goes out, so that a reader's own idea of the encoding does not
/// matter. A character beyond 16 bits becomes two escapes, which only JSON takes
/// for one; the invented sites have none.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            ' '..='~' => out.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out
}
