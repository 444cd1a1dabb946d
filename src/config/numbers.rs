//! Python's whole and floating point numbers, without their signs.
//! Knows nothing of what surrounds a number.

use super::problem::Fault;

/// A number as it is written, never negative.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Whole(u64),
    /// Infinite when what is written is too large.
    Float(f64),
}

/// Reads the number that begins at `start`. Returns it and the offset behind it.
pub(super) fn read(text: &str, start: usize) -> Result<(Number, usize), Fault> {
    let mut scan = Scan { text, at: start };
    let base = match (scan.byte(0), scan.byte(1)) {
        (Some(b'0'), Some(b'x' | b'X')) => Some(16),
        (Some(b'0'), Some(b'o' | b'O')) => Some(8),
        (Some(b'0'), Some(b'b' | b'B')) => Some(2),
        _ => None,
    };
    let digits = match base {
        Some(base) => scan.digits_behind_prefix(base),
        None => scan.decimal(),
    };
    let written = text.get(start..scan.at).unwrap_or("");
    let digits = digits.ok_or_else(|| malformed(start, written))?;
    match text.get(scan.at..).unwrap_or("").chars().next() {
        Some('j' | 'J') => {
            return Err(Fault::plain(
                start,
                "complex numbers are not supported; only whole and decimal numbers are read",
            ));
        }
        Some('.') => {
            let text = format!(
                "'{written}.' is not the beginning of a number; an address stands in quotes"
            );
            return Err(Fault::plain(start, text));
        }
        Some(next) if next.is_alphanumeric() || next == '_' => {
            return Err(malformed(start, &format!("{written}{next}")));
        }
        _ => {}
    }
    let number = match base {
        Some(base) => whole(start, &digits, base)?,
        None if digits.contains(['.', 'e']) => digits
            .parse()
            .map(Number::Float)
            .map_err(|_| malformed(start, written))?,
        None if digits.starts_with('0') && digits.contains(|c| c != '0') => {
            return Err(Fault::plain(
                start,
                "a whole number must not begin with 0; octal numbers are written 0o17",
            ));
        }
        None => whole(start, &digits, 10)?,
    };
    Ok((number, scan.at))
}

fn whole(at: usize, digits: &str, base: u32) -> Result<Number, Fault> {
    match u64::from_str_radix(digits, base) {
        Ok(number) => Ok(Number::Whole(number)),
        Err(_) => Err(too_large(at)),
    }
}

/// The message for a whole number that does not fit.
pub(super) fn too_large(at: usize) -> Fault {
    Fault::plain(
        at,
        "this whole number is too large; at most 9223372036854775807 is supported",
    )
}

fn malformed(at: usize, written: &str) -> Fault {
    Fault::plain(at, format!("'{written}' is not the beginning of a number"))
}

/// The digits of a number; underscores are left out of what it returns. `None` is a malformed number.
struct Scan<'t> {
    text: &'t str,
    at: usize,
}

impl Scan<'_> {
    fn byte(&self, distance: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + distance).copied()
    }

    fn digits_behind_prefix(&mut self, base: u32) -> Option<String> {
        self.at += 2;
        // Python allows one underscore directly behind the prefix.
        if self.byte(0) == Some(b'_') {
            self.at += 1;
        }
        self.digits(base)
    }

    fn decimal(&mut self) -> Option<String> {
        let mut found = self.digits(10).unwrap_or_default();
        if self.byte(0) == Some(b'.') {
            self.at += 1;
            found.push('.');
            found.push_str(&self.digits(10).unwrap_or_default());
        }
        if matches!(self.byte(0), Some(b'e' | b'E')) {
            self.at += 1;
            found.push('e');
            if let Some(sign @ (b'+' | b'-')) = self.byte(0) {
                self.at += 1;
                found.push(char::from(sign));
            }
            found.push_str(&self.digits(10)?);
        }
        Some(found)
    }

    /// One or more digits with single underscores between them.
    fn digits(&mut self, base: u32) -> Option<String> {
        let mut found = String::new();
        let is_digit = |byte: u8| char::from(byte).is_digit(base);
        loop {
            match (self.byte(0), self.byte(1)) {
                (Some(byte), _) if is_digit(byte) => found.push(char::from(byte)),
                (Some(b'_'), Some(next)) if !found.is_empty() && is_digit(next) => {}
                _ => break,
            }
            self.at += 1;
        }
        (!found.is_empty()).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn whole_numbers_of_all_bases() {
        for (text, number) in [
            ("0", 0),
            ("00", 0),
            ("0_0", 0),
            ("1_000", 1000),
            ("0x_fF", 255),
            ("0O17", 15),
            ("0b1_01", 5),
            ("18446744073709551615", u64::MAX),
        ] {
            let found = read(text, 0).unwrap();
            assert_eq!(found, (Number::Whole(number), text.len()), "{text}");
        }
    }

    #[test]
    fn decimal_numbers() {
        for (text, number) in [
            ("1.", 1.0),
            (".5", 0.5),
            ("1e3", 1000.0),
            ("01.5", 1.5),
            ("1_0.0_1E-1_0", 10.01e-10),
            ("1e999", f64::INFINITY),
        ] {
            let found = read(text, 0).unwrap();
            assert_eq!(found, (Number::Float(number), text.len()), "{text}");
        }
    }

    #[test]
    fn a_number_ends_before_what_is_none() {
        assert_eq!(read("x=12]", 2).unwrap(), (Number::Whole(12), 4));
        assert_eq!(read("1.5 .6", 0).unwrap(), (Number::Float(1.5), 3));
    }

    #[test]
    fn malformed_numbers_are_refused_where_they_begin() {
        for text in [
            "1_",
            "1__0",
            "0x",
            "0xg",
            "0b2",
            "0o8",
            "1e",
            "1e+",
            "1._5",
            "12ab",
            "1.5.6",
            "0x1.5",
            "0777",
            "1j",
            "1.5J",
            "0_7",
            "18446744073709551616",
            "0x_",
            "0x__1",
            "12\u{e4}",
        ] {
            assert_eq!(read(text, 0).unwrap_err().at, 0, "{text}");
        }
        assert!(
            read("99999999999999999999", 0)
                .unwrap_err()
                .text
                .contains("too large")
        );
    }
}
