//! Values as Python text that Python and our own reader read back to the same value. Knows no site.

use crate::config::{Node, Value};
use std::fmt::Write as _;

/// The value on one line.
pub(super) fn shown(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value);
    out
}

fn write(out: &mut String, value: &Value) {
    match value {
        Value::None => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Int(number) => {
            let _ = write!(out, "{number}");
        }
        // Python has no word for infinity; a number that is too large is one.
        Value::Float(number) if number.is_infinite() => {
            out.push_str(if *number > 0.0 { "1e999" } else { "-1e999" });
        }
        Value::Float(number) => {
            let _ = write!(out, "{number:?}");
        }
        Value::Text(text) => out.push_str(&quoted(text)),
        Value::Bytes(bytes) => {
            let _ = write!(out, "b'");
            for byte in bytes {
                let _ = write!(out, "\\x{byte:02x}");
            }
            out.push('\'');
        }
        Value::Tuple(items) => {
            out.push('(');
            write_items(out, items);
            // Without the comma it would be its only item in brackets.
            out.push_str(if items.len() == 1 { ",)" } else { ")" });
        }
        Value::List(items) => {
            out.push('[');
            write_items(out, items);
            out.push(']');
        }
        Value::Set(set) => {
            out.push('{');
            write_items(out, set.items());
            out.push('}');
        }
        Value::Dict(dict) => {
            out.push('{');
            for (number, entry) in dict.entries().iter().enumerate() {
                out.push_str(if number > 0 { ", " } else { "" });
                write(out, &entry.key.value);
                out.push_str(": ");
                write(out, &entry.value.value);
            }
            out.push('}');
        }
    }
}

fn write_items(out: &mut String, items: &[Node]) {
    for (number, item) in items.iter().enumerate() {
        out.push_str(if number > 0 { ", " } else { "" });
        write(out, &item.value);
    }
}

/// A string literal. What is not printable ASCII is escaped, so that no encoding can change it; letters stay.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for c in text.chars() {
        match c {
            '\\' | '\'' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            c if c.is_alphanumeric() => out.push(c),
            c => {
                let code = u32::from(c);
                let _ = match code {
                    0..=0xff => write!(out, "\\x{code:02x}"),
                    0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push('\'');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, read_variables};

    fn read(text: &str) -> Value {
        let source = Source::new("a.mk", format!("x = {text}\n"));
        let variables = read_variables(&[source]).unwrap();
        variables.get("x").unwrap().value.clone()
    }

    #[test]
    fn text_is_written_as_a_person_would_read_it() {
        let text = r"'München \x7f \xa0 \u2028 \U0001f600 it\'s'";
        assert_eq!(shown(&read(text)), text);
    }

    #[test]
    fn what_is_written_is_read_back_to_the_same_value() {
        for text in [
            "None",
            "[True, False, 0, -5, 9223372036854775807, 5.0, -0.25, 1e300, 1e999, -1e999]",
            "('tcp', {'address': ('10.1.1.2', 6557), 'tls': ('encrypted', {'verify': True})})",
            "()",
            "(1,)",
            "((),)",
            "{}",
            "{1, 2}",
            "{1: 'a', 'b': [{}], (1, 2): None}",
            r#"'quote \' and " and \\ and \n and \x00 and \x7f'"#,
            "'München \\u2028 \\U0001f600 \\ud7ff'",
            r"b'\x00\xff\'\\'",
        ] {
            let value = read(text);
            let shown = shown(&value);
            assert_eq!(read(&shown).dump(), value.dump(), "{shown}");
            assert!(!shown.contains('\n'), "{shown}");
        }
    }
}
