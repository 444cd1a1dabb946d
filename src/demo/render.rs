//! A result in bytes: csv, json and python, their escapes, and the fixed16 frame.
//! Must not know where the result comes from.

use super::select::{Selection, Value};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Format {
    #[default]
    Csv,
    Json,
    /// Literals of Python 2, which Python 3 reads too: text is `u"..."`.
    Python,
    Python3,
}

/// How a client wants its result.
#[derive(Debug)]
pub(super) struct Style {
    pub(super) format: Format,
    /// `None` when the client did not say: then a header row goes with a result whose columns the client did not choose.
    pub(super) headers: Option<bool>,
    /// For csv only: the bytes after a row, between columns, between members of a list, and between host and service.
    pub(super) separators: [u8; 4],
}

impl Default for Style {
    fn default() -> Style {
        Style {
            format: Format::default(),
            headers: None,
            separators: *b"\n;,|",
        }
    }
}

/// The result as the body of a response.
pub(super) fn body(style: &Style, selection: &Selection) -> Vec<u8> {
    let header: Option<Vec<Value>> = style.headers.unwrap_or(selection.all_columns).then(|| {
        let names = selection.names.iter();
        names.map(|name| Value::Text((*name).to_owned())).collect()
    });
    let rows = header.iter().chain(&selection.rows);
    match style.format {
        Format::Csv => csv(style.separators, rows),
        Format::Json | Format::Python | Format::Python3 => {
            let rows: Vec<String> = rows.map(|row| literal_row(style.format, row)).collect();
            format!("[{}]\n", rows.join(",\n")).into_bytes()
        }
    }
}

/// A response behind a fixed16 header: status, length in eleven places, line feed.
pub(super) fn framed(status: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{status:03} {:11}\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// csv has no escapes: a separator inside a value cannot be told apart, here as in real cores.
fn csv<'a>(
    [row_end, between, in_list, _]: [u8; 4],
    rows: impl Iterator<Item = &'a Vec<Value>>,
) -> Vec<u8> {
    let mut out = Vec::new();
    for row in rows {
        for (at, value) in row.iter().enumerate() {
            if at > 0 {
                out.push(between);
            }
            match value {
                Value::Int(number) => out.extend_from_slice(number.to_string().as_bytes()),
                Value::Text(text) => out.extend_from_slice(text.as_bytes()),
                Value::List(members) => {
                    let members: Vec<&[u8]> = members.iter().map(String::as_bytes).collect();
                    out.extend_from_slice(&members.join(&in_list));
                }
            }
        }
        out.push(row_end);
    }
    out
}

fn literal_row(format: Format, row: &[Value]) -> String {
    let values: Vec<String> = row.iter().map(|value| literal(format, value)).collect();
    format!("[{}]", values.join(","))
}

fn literal(format: Format, value: &Value) -> String {
    match value {
        Value::Int(number) => number.to_string(),
        Value::Text(text) => quoted(format, text),
        Value::List(members) => {
            let members: Vec<String> = members.iter().map(|text| quoted(format, text)).collect();
            format!("[{}]", members.join(","))
        }
    }
}

/// Only ASCII goes out, so that a reader's own idea of the encoding does not matter.
fn quoted(format: Format, text: &str) -> String {
    let mut out = String::from(if format == Format::Python {
        "u\""
    } else {
        "\""
    });
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                out.push('\\');
                out.push(character);
            }
            ' '..='~' => out.push(character),
            _ => escape(format, character, &mut out),
        }
    }
    out.push('"');
    out
}

/// Above the basic plane JSON wants two surrogates, which in Python 3 would stay two broken characters.
fn escape(format: Format, character: char, out: &mut String) {
    let code = u32::from(character);
    if format != Format::Json && code > 0xffff {
        out.push_str(&format!("\\U{code:08x}"));
        return;
    }
    for unit in character.encode_utf16(&mut [0; 2]) {
        out.push_str(&format!("\\u{unit:04x}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_for_its_reader() {
        let text = "a\"b\\c\n\t\u{1}\u{7f}é\u{1f5a8}";
        let common = r#""a\"b\\c\u000a\u0009\u0001\u007f\u00e9"#;
        assert_eq!(
            quoted(Format::Json, text),
            format!("{common}\\ud83d\\udda8\"")
        );
        assert_eq!(
            quoted(Format::Python3, text),
            format!("{common}\\U0001f5a8\"")
        );
        assert_eq!(
            quoted(Format::Python, text),
            format!("u{common}\\U0001f5a8\"")
        );
    }

    #[test]
    fn a_result_without_rows_is_an_empty_list() {
        let nothing = Selection {
            names: vec!["name"],
            rows: Vec::new(),
            all_columns: false,
        };
        let mut style = Style::default();
        assert_eq!(body(&style, &nothing), b"");
        style.format = Format::Json;
        assert_eq!(body(&style, &nothing), b"[]\n");
        style.headers = Some(true);
        assert_eq!(body(&style, &nothing), b"[[\"name\"]]\n");
    }

    #[test]
    fn the_frame_has_sixteen_bytes() {
        assert_eq!(framed(200, b"abc\n"), b"200           4\nabc\n");
    }
}
