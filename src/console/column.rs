//! What a column of a table is: its name, its meaning, and how a row gives its
//! value. The type follows from how it is got, so the two cannot disagree.

use crate::counters::Counter;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::time::Duration;

/// The value of a column in one row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    /// Without control characters.
    Text(Cow<'a, str>),
    Int(i64),
    /// Finite, of three decimals.
    Float(f64),
    List(Vec<i64>),
}

impl Value<'_> {
    /// The order in which values of one column are sorted.
    pub(super) fn compared(&self, other: &Value) -> Ordering {
        match (self, other) {
            (Value::Text(one), Value::Text(other)) => one.cmp(other),
            (Value::Int(one), Value::Int(other)) => one.cmp(other),
            (Value::Float(one), Value::Float(other)) => one.total_cmp(other),
            (Value::List(one), Value::List(other)) => one.cmp(other),
            // A column has one type.
            _ => Ordering::Equal,
        }
    }
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Int,
    Float,
    Time,
    List,
}

impl Kind {
    /// As the column `type` of Livestatus names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Text => "string",
            Kind::Int => "int",
            Kind::Float => "float",
            Kind::Time => "time",
            Kind::List => "list",
        }
    }
}

/// A column of a table whose rows are `R`.
pub(super) struct Column<R> {
    pub(super) name: &'static str,
    pub(super) meaning: &'static str,
    get: Get<R>,
}

/// How a row gives the value.
enum Get<R> {
    Text(fn(&R) -> &str),
    Int(fn(&R) -> u64),
    Signed(fn(&R) -> i64),
    Time(fn(&R) -> f64),
    Float(fn(&R) -> f64),
    List(fn(&R) -> Vec<i64>),
    Counted(fn(&R, Counter) -> u64, Counter),
}

impl<R> Column<R> {
    /// Its type.
    pub(super) fn kind(&self) -> Kind {
        match self.get {
            Get::Text(_) => Kind::Text,
            Get::Int(_) | Get::Signed(_) | Get::Counted(..) => Kind::Int,
            Get::Time(_) => Kind::Time,
            Get::Float(_) => Kind::Float,
            Get::List(_) => Kind::List,
        }
    }

    /// Its value in `row`.
    pub(super) fn value<'a>(&self, row: &'a R) -> Value<'a> {
        match self.get {
            Get::Text(get) => Value::Text(clean(get(row))),
            Get::Int(get) => Value::Int(signed(get(row))),
            Get::Signed(get) => Value::Int(get(row)),
            // `as` cuts off the fraction, and takes what is not a number for 0.
            Get::Time(get) => Value::Int(get(row) as i64),
            Get::Float(get) => Value::Float(rounded(get(row))),
            Get::List(get) => Value::List(get(row)),
            Get::Counted(get, counter) => Value::Int(signed(get(row, counter))),
        }
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// To the three decimals that are shown, so that a filter for what was shown
/// finds its row.
pub(super) fn rounded(value: f64) -> f64 {
    match value.is_finite() {
        // The sum takes the sign from a zero.
        true => (value * 1000.0).round() / 1000.0 + 0.0,
        false => 0.0,
    }
}

/// The text with a blank for each control character: none may break a line of
/// output or reach a terminal.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    match text.contains(char::is_control) {
        true => Cow::Owned(text.replace(char::is_control, " ")),
        false => Cow::Borrowed(text),
    }
}

/// A text.
pub(super) fn text<R>(name: &'static str, meaning: &'static str, get: fn(&R) -> &str) -> Column<R> {
    let get = Get::Text(get);
    Column { name, meaning, get }
}

/// A whole number that is never negative.
pub(super) fn int<R>(name: &'static str, meaning: &'static str, get: fn(&R) -> u64) -> Column<R> {
    let get = Get::Int(get);
    Column { name, meaning, get }
}

/// A whole number.
pub(super) fn number<R>(
    name: &'static str,
    meaning: &'static str,
    get: fn(&R) -> i64,
) -> Column<R> {
    let get = Get::Signed(get);
    Column { name, meaning, get }
}

/// A point in time, in seconds since 1970.
pub(super) fn time<R>(name: &'static str, meaning: &'static str, get: fn(&R) -> f64) -> Column<R> {
    let get = Get::Time(get);
    Column { name, meaning, get }
}

/// A number with decimals, mostly seconds.
pub(super) fn float<R>(name: &'static str, meaning: &'static str, get: fn(&R) -> f64) -> Column<R> {
    let get = Get::Float(get);
    Column { name, meaning, get }
}

/// A list of whole numbers.
pub(super) fn list<R>(
    name: &'static str,
    meaning: &'static str,
    get: fn(&R) -> Vec<i64>,
) -> Column<R> {
    let get = Get::List(get);
    Column { name, meaning, get }
}

/// A counter.
pub(super) fn counted<R>(
    name: &'static str,
    meaning: &'static str,
    get: fn(&R, Counter) -> u64,
    counter: Counter,
) -> Column<R> {
    let get = Get::Counted(get, counter);
    Column { name, meaning, get }
}

/// In seconds.
pub(super) fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_float_is_finite_and_has_three_decimals_and_no_negative_zero() {
        assert_eq!(rounded(1.23456), 1.235);
        assert_eq!(rounded(f64::NAN), 0.0);
        assert_eq!(rounded(f64::NEG_INFINITY), 0.0);
        assert!(rounded(-0.0001).is_sign_positive());
        assert_eq!(rounded(-1.5), -1.5);
    }

    #[test]
    fn control_characters_become_blanks_and_nothing_else_changes() {
        assert_eq!(clean("a\nb\x1b[31m\u{7f}\u{85}ü"), "a b [31m  ü");
        assert!(matches!(clean("München; ok"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_time_has_whole_seconds() {
        let column: Column<f64> = time("since", "Since when.", |row| *row);
        assert_eq!(column.value(&1_795_000_000.9), Value::Int(1_795_000_000));
        assert_eq!(column.value(&f64::NAN), Value::Int(0));
    }
}
