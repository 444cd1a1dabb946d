//! Python's string and bytes literals: prefixes, quotes, escapes.
//! Knows nothing of what surrounds a literal; joining neighbours is the reader's work.

use super::problem::Fault;

/// The content of one literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Literal {
    Text(String),
    Bytes(Vec<u8>),
}

/// Whether a name directly before a quote is a string prefix, one that is refused included.
pub(super) fn is_prefix(name: &str) -> bool {
    matches!(
        name.to_ascii_lowercase().as_str(),
        "r" | "u" | "b" | "br" | "rb" | "f" | "fr" | "rf" | "t" | "tr" | "rt"
    )
}

/// Reads the literal whose prefix begins at `start`. Returns it and the offset behind it.
pub(super) fn read(text: &str, start: usize, prefix: &str) -> Result<(Literal, usize), Fault> {
    let prefix_lower = prefix.to_ascii_lowercase();
    if prefix_lower.contains(['f', 't']) {
        return Err(Fault::plain(
            start,
            format!("'{prefix}' strings would need evaluation; use a plain string"),
        ));
    }
    let quoted = text.get(start + prefix.len()..).unwrap_or("");
    let quote = match quoted.as_bytes() {
        [q, second, third, ..] if q == second && q == third => quoted.get(..3),
        _ => quoted.get(..1),
    };
    let quote = quote.unwrap_or("'");
    let body_start = start + prefix.len() + quote.len();
    let length = body_length(text.get(body_start..).unwrap_or(""), quote).ok_or_else(|| {
        let end = if quote.len() == 3 { "file" } else { "line" };
        Fault::plain(
            start,
            format!("this string is not closed before the end of the {end}; expected {quote}"),
        )
    })?;
    let body = Body {
        text: text.get(body_start..body_start + length).unwrap_or(""),
        at: body_start,
        is_raw: prefix_lower.contains('r'),
    };
    let literal = match prefix_lower.contains('b') {
        true => Literal::Bytes(body.bytes()?),
        false => Literal::Text(body.characters()?),
    };
    Ok((literal, body_start + length + quote.len()))
}

/// How many bytes stand before the closing quote.
fn body_length(rest: &str, quote: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    let mut at = 0;
    loop {
        match bytes.get(at)? {
            // Even in a raw string a backslash keeps a quote from closing it.
            b'\\' => at += 2,
            b'\n' if quote.len() == 1 => return None,
            _ if bytes.get(at..)?.starts_with(quote.as_bytes()) => return Some(at),
            _ => at += 1,
        }
    }
}

struct Body<'t> {
    text: &'t str,
    /// Offset of `text` in the file.
    at: usize,
    is_raw: bool,
}

/// What an escape stands for.
enum Escape {
    /// A character, or for bytes a byte, of this number.
    Code(u32),
    /// A backslash before a line end: nothing.
    Nothing,
    /// No escape: backslash and character stay as they are, as in Python.
    Unknown,
}

impl Body<'_> {
    fn characters(&self) -> Result<String, Fault> {
        let mut out = String::with_capacity(self.text.len());
        self.decode(true, |piece| {
            match piece {
                Piece::Plain(text) => out.push_str(text),
                Piece::Code(code) => out.push(char::from_u32(code)?),
            }
            Some(())
        })?;
        Ok(out)
    }

    fn bytes(&self) -> Result<Vec<u8>, Fault> {
        if let Some(offset) = self.text.bytes().position(|byte| !byte.is_ascii()) {
            return Err(Fault::plain(
                self.at + offset,
                "a bytes string may hold only ASCII characters; write others as \\xNN",
            ));
        }
        let mut out = Vec::with_capacity(self.text.len());
        self.decode(false, |piece| {
            match piece {
                Piece::Plain(text) => out.extend_from_slice(text.as_bytes()),
                // Python keeps the low eight bits of an octal escape such as \777.
                Piece::Code(code) => out.push((code & 0xff) as u8),
            }
            Some(())
        })?;
        Ok(out)
    }

    fn decode(
        &self,
        unicode: bool,
        mut put: impl FnMut(Piece<'_>) -> Option<()>,
    ) -> Result<(), Fault> {
        let mut rest = self.text;
        while let Some(backslash) = (!self.is_raw).then(|| rest.find('\\')).flatten() {
            let (plain, escape) = rest.split_at(backslash);
            put(Piece::Plain(plain));
            let at = self.at + self.text.len() - escape.len();
            let (meaning, length) = escape_at(escape, unicode)
                .map_err(|text| Fault::plain(at, format!("{text} in this string")))?;
            let (raw, after) = escape.split_at(length);
            let put_escape = match meaning {
                Escape::Nothing => Some(()),
                Escape::Unknown => put(Piece::Plain(raw)),
                Escape::Code(code) => put(Piece::Code(code)),
            };
            put_escape.ok_or_else(|| {
                Fault::plain(
                    at,
                    format!("'{raw}' is half of a surrogate pair or no character; write the character itself"),
                )
            })?;
            rest = after;
        }
        put(Piece::Plain(rest));
        Ok(())
    }
}

enum Piece<'t> {
    Plain(&'t str),
    Code(u32),
}

/// The meaning of the escape at the beginning of `text`, and its length in bytes.
fn escape_at(text: &str, unicode: bool) -> Result<(Escape, usize), String> {
    let Some(second) = text.chars().nth(1) else {
        return Ok((Escape::Unknown, text.len()));
    };
    let code = match second {
        '\n' => return Ok((Escape::Nothing, 2)),
        '\\' | '\'' | '"' => u32::from(second),
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => 10,
        'r' => 13,
        't' => 9,
        'v' => 11,
        '0'..='7' => return Ok(octal(text)),
        'x' => return hexadecimal(text, 2),
        'u' if unicode => return hexadecimal(text, 4),
        'U' if unicode => return hexadecimal(text, 8),
        'N' if unicode => {
            return Err("\\N{...} is not supported; write the character itself".to_string());
        }
        other => return Ok((Escape::Unknown, 1 + other.len_utf8())),
    };
    Ok((Escape::Code(code), 2))
}

fn octal(text: &str) -> (Escape, usize) {
    let digits = text.chars().skip(1).take(3).map_while(|c| c.to_digit(8));
    let (code, count) = digits.fold((0, 0), |(code, count), digit| (code * 8 + digit, count + 1));
    (Escape::Code(code), 1 + count)
}

fn hexadecimal(text: &str, wanted: usize) -> Result<(Escape, usize), String> {
    let digits = text.get(2..2 + wanted).filter(|digits| {
        // `from_str_radix` would take a sign too.
        digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    match digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) {
        Some(code) => Ok((Escape::Code(code), 2 + wanted)),
        None => {
            let escape: String = text.chars().take(2).collect();
            Err(format!(
                "{escape} needs {wanted} hexadecimal digits behind it"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn literal(text: &str) -> Result<Literal, Fault> {
        let prefix = &text[..text.find(['"', '\'']).unwrap()];
        assert!(prefix.is_empty() || is_prefix(prefix));
        let (literal, end) = read(text, 0, prefix)?;
        assert_eq!(end, text.len(), "{text}");
        Ok(literal)
    }

    fn text(source: &str) -> String {
        match literal(source).unwrap() {
            Literal::Text(text) => text,
            Literal::Bytes(bytes) => panic!("{bytes:?}"),
        }
    }

    fn bytes(source: &str) -> Vec<u8> {
        match literal(source).unwrap() {
            Literal::Bytes(bytes) => bytes,
            Literal::Text(text) => panic!("{text}"),
        }
    }

    #[test]
    fn quotes_and_prefixes() {
        assert_eq!(text("'a\"b'"), "a\"b");
        assert_eq!(text("\"a'b\""), "a'b");
        assert_eq!(text("''"), "");
        assert_eq!(text("u'ü'"), "ü");
        assert_eq!(text("R'a\\n\\'b'"), "a\\n\\'b");
        assert_eq!(text("'''a\n'b''c'''"), "a\n'b''c");
        assert_eq!(text("\"\"\"\"a\"\"\""), "\"a");
        assert_eq!(bytes("b'a\\xff\\n'"), b"a\xff\n");
        assert_eq!(bytes("Rb'\\x41'"), b"\\x41");
        assert_eq!(bytes("b'\\u0041\\U00000041'"), b"\\u0041\\U00000041");
    }

    #[test]
    fn escapes_as_in_python() {
        assert_eq!(
            text(r"'\\\'\x22\a\b\f\n\r\t\v'"),
            "\\'\"\x07\x08\x0c\n\r\t\x0b"
        );
        assert_eq!(text(r"'\0\18\101\777'"), "\0\u{1}8A\u{1ff}");
        assert_eq!(text(r"'\xe4\u20ac\U0001F600'"), "äÄ€😀".replace('Ä', ""));
        assert_eq!(text("'a\\\nb'"), "ab");
        assert_eq!(text(r"'\d\ä'"), r"\d\ä");
        assert_eq!(bytes(r"b'\777\u1234\N{x}'"), b"\xff\\u1234\\N{x}");
    }

    #[test]
    fn faults_point_at_the_escape() {
        for (source, at) in [
            (r"'ab\x4'", 3),
            (r"'\u12g4'", 1),
            (r"'\U00110000'", 1),
            (r"'\ud83d\ude00'", 1),
            (r"'\x+1'", 1),
            (r"'a\N{DASH}'", 2),
            ("b'aä'", 3),
        ] {
            assert_eq!(literal(source).unwrap_err().at, at, "{source}");
        }
    }

    #[test]
    fn an_unclosed_string_points_at_its_beginning() {
        for source in ["'abc", "'abc\n'", "'abc\\", "r'\\'", "'''abc''", "b'"] {
            let prefix = &source[..source.find('\'').unwrap()];
            assert_eq!(read(source, 0, prefix).unwrap_err().at, 0, "{source}");
        }
    }

    #[test]
    fn strings_that_need_evaluation_are_refused() {
        for prefix in ["f", "F", "rf", "fR", "t", "tr"] {
            assert!(is_prefix(prefix));
            let message = read(&format!("{prefix}'x'"), 0, prefix).unwrap_err().text;
            assert!(message.contains("evaluation"), "{message}");
        }
        assert!(!is_prefix("ur") && !is_prefix("bu") && !is_prefix("x"));
    }
}
