//! From the bytes of a configuration file to its text, by Python's rules for encodings and line ends.
//! Does not know what stands in the text, and never touches the disk.

use super::problem::Problem;
use super::text::Text;
use std::path::Path;
use std::sync::Arc;

/// One configuration file as it was read from the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name, for messages.
    pub path: Arc<Path>,
    /// Its bytes.
    pub text: Vec<u8>,
}

impl Source {
    /// A source from a name and its bytes.
    pub fn new(path: impl AsRef<Path>, text: impl Into<Vec<u8>>) -> Source {
        Source {
            path: Arc::from(path.as_ref()),
            text: text.into(),
        }
    }
}

/// Decodes a file: UTF-8, with or without a byte order mark, unless a coding line in the first two
/// lines names Latin-1 (which Python honours, and files of the Python 2 era have).
pub(super) fn decode(source: &Source) -> Result<Text, Problem> {
    let bytes = with_single_newlines(&source.text);
    let (bytes, has_mark) = match bytes.strip_prefix(b"\xef\xbb\xbf") {
        Some(rest) => (rest, true),
        None => (bytes.as_slice(), false),
    };
    let path = Arc::clone(&source.path);
    let refuse = |offset: usize, message: String| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        Text::new(Arc::clone(&path), text).problem(offset, message)
    };
    if let Some(offset) = bytes.iter().position(|&byte| byte == 0) {
        let message = "a zero byte cannot stand in a configuration file; in a string, write \\0";
        return Err(refuse(offset, message.to_string()));
    }
    let coding = coding_line(bytes);
    let encoding = match &coding {
        None => Encoding::Utf8,
        Some((offset, name)) => Encoding::named(name).ok_or_else(|| {
            refuse(
                *offset,
                format!("encoding '{name}' is not supported; use UTF-8 or Latin-1"),
            )
        })?,
    };
    if let (true, Some((offset, name)), false) = (has_mark, &coding, encoding == Encoding::Utf8) {
        let message =
            format!("the file begins with a UTF-8 mark, so its encoding cannot be '{name}'");
        return Err(refuse(*offset, message));
    }
    if encoding == Encoding::Latin1 {
        let text = bytes.iter().map(|&byte| char::from(byte)).collect();
        return Ok(Text::new(path, text));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if encoding == Encoding::Ascii && !text.is_ascii() => {
            let offset = text.bytes().take_while(u8::is_ascii).count();
            let message = "this character is not ASCII, but the coding line says so; use UTF-8";
            Err(refuse(offset, message.to_string()))
        }
        Ok(text) => Ok(Text::new(path, text.to_string())),
        Err(error) => {
            let offset = error.valid_up_to();
            let byte = bytes.get(offset).copied().unwrap_or(0);
            let message = format!(
                "byte 0x{byte:02x} is not UTF-8; \
                 write the file in UTF-8, or put '# encoding: latin-1' into its first line"
            );
            Err(refuse(offset, message))
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Latin1,
    Ascii,
}

impl Encoding {
    fn named(name: &str) -> Option<Encoding> {
        match name.to_ascii_lowercase().replace('_', "-").as_str() {
            "utf-8" | "utf8" | "utf-8-sig" => Some(Encoding::Utf8),
            "latin-1" | "latin1" | "l1" | "iso-8859-1" | "iso8859-1" | "iso-latin-1" => {
                Some(Encoding::Latin1)
            }
            "ascii" | "us-ascii" => Some(Encoding::Ascii),
            _ => None,
        }
    }
}

/// Python turns `\r\n` and a lone `\r` into `\n` before anything else, inside of strings too.
fn with_single_newlines(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        if byte != b'\r' {
            out.push(byte);
            continue;
        }
        out.push(b'\n');
        rest.next_if_eq(&b'\n');
    }
    out
}

/// The name in a coding line (`# -*- coding: utf-8 -*-`) and its offset. Python looks at the first line, and
/// at the second when the first holds nothing but a comment.
fn coding_line(bytes: &[u8]) -> Option<(usize, String)> {
    let mut offset = 0;
    for line in bytes.split(|&byte| byte == b'\n').take(2) {
        let code = line
            .iter()
            .position(|byte| !matches!(byte, b' ' | b'\t' | b'\x0c'));
        match code.and_then(|start| line.get(start)) {
            None => {}
            Some(b'#') => {
                if let Some((start, name)) = coding_in(line) {
                    return Some((offset + start, name));
                }
            }
            Some(_) => return None,
        }
        offset += line.len() + 1;
    }
    None
}

fn coding_in(comment: &[u8]) -> Option<(usize, String)> {
    const WORD: &[u8] = b"coding";
    for found in 0..comment.len() {
        let Some(after) = comment
            .get(found..)
            .and_then(|rest| rest.strip_prefix(WORD))
        else {
            continue;
        };
        let Some((b':' | b'=', after)) = after.split_first() else {
            continue;
        };
        let blanks = after
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        let name: String = after
            .iter()
            .skip(blanks)
            .map_while(|&byte| {
                (byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
                    .then_some(char::from(byte))
            })
            .collect();
        if !name.is_empty() {
            return Some((found + WORD.len() + 1 + blanks, name));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn decode(bytes: &[u8]) -> Result<String, String> {
        super::decode(&Source::new("f.mk", bytes))
            .map(|text| text.text)
            .map_err(|problem| problem.to_string())
    }

    #[test]
    fn line_ends_become_single_newlines() {
        assert_eq!(decode(b"a\r\nb\rc\n\r\r\n").unwrap(), "a\nb\nc\n\n\n");
    }

    #[test]
    fn a_byte_order_mark_is_dropped() {
        assert_eq!(decode(b"\xef\xbb\xbfx = 1").unwrap(), "x = 1");
    }

    #[test]
    fn latin1_is_honoured_in_the_first_two_lines_only() {
        let text = b"# -*- coding: latin-1 -*-\nx = '\xe4'\n";
        assert_eq!(
            decode(text).unwrap(),
            "# -*- coding: latin-1 -*-\nx = 'ä'\n"
        );
        assert!(decode(b"# a\n# encoding=ISO_8859_1\nx = '\xe4'").is_ok());
        assert!(decode(b"# a\n\n# encoding: latin-1\nx = '\xe4'").is_err());
        assert!(decode(b"x = 1\n# encoding: latin-1\nx = '\xe4'").is_err());
    }

    #[test]
    fn the_header_of_old_checkmk_files_is_accepted() {
        let text = "# Created by WATO\n# encoding: utf-8\n\nx = 'ä'\n";
        assert_eq!(decode(text.as_bytes()).unwrap(), text);
    }

    #[test]
    fn other_encodings_and_bad_bytes_are_named_with_their_place() {
        assert_eq!(
            decode(b"\n# coding: cp1252\n").unwrap_err(),
            "f.mk:2:11: encoding 'cp1252' is not supported; use UTF-8 or Latin-1"
        );
        let message = decode(b"x = 1\ny = '\xc3\xa4\xff'").unwrap_err();
        assert!(
            message.starts_with("f.mk:2:7: byte 0xff is not UTF-8"),
            "{message}"
        );
        assert!(decode(b"\xef\xbb\xbf# coding: latin-1\n").is_err());
        assert!(decode(b"# coding: ascii\nx = '\xc3\xa4'").is_err());
        assert!(decode(b"# coding: ascii\nx = 'a'").is_ok());
        let message = decode(b"x = 'a\0'").unwrap_err();
        assert!(message.starts_with("f.mk:1:7: a zero byte"), "{message}");
    }
}
