//! Numbers and texts as people read them.

use crate::sys;
use std::time::Duration;

/// One line without control characters, so that no text of the network moves
/// the cursor or breaks a table.
pub fn line(text: &str) -> String {
    text.trim()
        .chars()
        .map(|character| match character.is_control() {
            true => ' ',
            false => character,
        })
        .collect()
}

/// A time span of so many seconds, in its two largest units at most.
pub fn span(seconds: f64) -> String {
    const UNITS: [(u64, &str, u64, &str); 3] = [
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ];
    let whole = seconds.max(0.0).round() as u64;
    for (size, unit, small, small_unit) in UNITS {
        if whole >= size {
            return match whole % size / small {
                0 => format!("{} {unit}", whole / size),
                rest => format!("{} {unit} {rest} {small_unit}", whole / size),
            };
        }
    }
    match seconds {
        // What was measured in whole seconds is not shown finer.
        _ if seconds >= 10.0 || seconds.fract() == 0.0 => format!("{whole} s"),
        _ if seconds <= 0.0 => "0 s".into(),
        _ if seconds >= 1.0 => format!("{seconds:.1} s"),
        _ => format!("{} ms", ((seconds * 1000.0).round() as u64).max(1)),
    }
}

/// So many bytes.
pub fn bytes(count: f64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut shown = (count, "B");
    for unit in UNITS {
        if shown.0 < 1024.0 {
            break;
        }
        shown = (shown.0 / 1024.0, unit);
    }
    match shown {
        (count, "B") => format!("{count:.0} B"),
        (count, unit) => format!("{count:.1} {unit}"),
    }
}

/// A number of things with a blank between thousands.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// `1 site`, `2 sites`.
pub fn many(number: u64, thing: &str) -> String {
    let plural = match (number, thing) {
        (1, _) => thing.to_owned(),
        (_, "query") => "queries".to_owned(),
        (_, thing) => format!("{thing}s"),
    };
    format!("{} {plural}", count(number))
}

/// A point in time, local, without parts of seconds; 0 is `never`.
pub fn moment(since_1970: f64) -> String {
    if since_1970 <= 0.0 {
        return "never".into();
    }
    let time = Duration::try_from_secs_f64(since_1970).unwrap_or_default();
    let stamp = sys::local_time_stamp(time);
    stamp.split(',').next().unwrap_or(&stamp).to_owned()
}

/// How long ago, in words of [`span`]; empty for never.
pub fn ago(since_1970: f64, now: f64) -> String {
    match since_1970 > 0.0 {
        true => span(now - since_1970),
        false => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units_at_most() {
        for (seconds, text) in [
            (-1.0, "0 s"),
            (0.0, "0 s"),
            (0.0004, "1 ms"),
            (0.25, "250 ms"),
            (3.12, "3.1 s"),
            (3.0, "3 s"),
            (59.4, "59 s"),
            (60.0, "1 min"),
            (83.0, "1 min 23 s"),
            (3_660.0, "1 h 1 min"),
            (90_000.0, "1 d 1 h"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(bytes(1023.0), "1023 B");
        assert_eq!(bytes(1536.0), "1.5 KiB");
        assert_eq!(bytes((128_u64 << 20) as f64), "128.0 MiB");
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1 234 567");
        assert_eq!(many(1, "query"), "1 query");
        assert_eq!(many(2, "query"), "2 queries");
        assert_eq!(many(0, "site"), "0 sites");
    }

    #[test]
    fn a_line_stays_one() {
        assert_eq!(line(" a\x1b[2Jb\nc\n"), "a [2Jb c");
    }
}
