//! Single values against what a setting takes: type and range. Shared by every table of settings.
//! Knows no setting by name.

use super::value::{At, Dict, Node, Value};
use std::time::Duration;

/// Shortest time that any setting may have; Checkmk's own forms allow no less.
pub(super) const LEAST_TIME: Duration = Duration::from_millis(100);

/// Longest time that any setting may have, one day. Anything longer is a mistake of units.
pub(super) const MOST_TIME: Duration = Duration::from_secs(86_400);

/// A value that cannot be used, and why.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Finding {
    pub at: At,
    pub text: String,
}

impl Finding {
    pub fn new(node: &Node, text: impl Into<String>) -> Finding {
        Finding {
            at: node.at,
            text: text.into(),
        }
    }

    /// What would be accepted, and what stands there instead.
    pub fn expected(node: &Node, wanted: &str) -> Finding {
        let found = node.value.in_words();
        Finding::new(node, format!("expected {wanted}, found {found}"))
    }
}

/// A whole number; neither a bool nor a float is one.
pub(super) fn whole(node: &Node, least: usize, most: usize) -> Result<usize, Finding> {
    let number = match node.value {
        Value::Int(number) => usize::try_from(number).ok(),
        _ => None,
    };
    number
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| Finding::expected(node, &whole_words(least, most)))
}

pub(super) fn whole_words(least: usize, most: usize) -> String {
    format!("a whole number from {least} to {most}")
}

/// A time in seconds, written as a whole or a floating point number.
pub(super) fn seconds(node: &Node, least: Duration) -> Result<Duration, Finding> {
    let number = match node.value {
        Value::Int(number) => Some(number as f64),
        Value::Float(number) => Some(number),
        _ => None,
    };
    number
        .and_then(|number| Duration::try_from_secs_f64(number).ok())
        .filter(|time| (least..=MOST_TIME).contains(time))
        .ok_or_else(|| Finding::expected(node, &seconds_words(least)))
}

pub(super) fn seconds_words(least: Duration) -> String {
    let (least, most) = (least.as_secs_f64(), MOST_TIME.as_secs_f64());
    format!("a number of seconds from {least} to {most}")
}

/// A bool; 0 and 1 are none.
pub(super) fn truth(node: &Node) -> Result<bool, Finding> {
    match node.value {
        Value::Bool(truth) => Ok(truth),
        _ => Err(Finding::expected(node, TRUTH_WORDS)),
    }
}

pub(super) const TRUTH_WORDS: &str = "True or False";

/// A port to connect to or to listen on.
pub(super) fn port(node: &Node) -> Result<u16, Finding> {
    let number = whole(node, 1, usize::from(u16::MAX))?;
    u16::try_from(number).map_err(|_| Finding::expected(node, "a port"))
}

/// A dictionary.
pub(super) fn dict<'n>(node: &'n Node, wanted: &str) -> Result<&'n Dict, Finding> {
    match &node.value {
        Value::Dict(dict) => Ok(dict),
        _ => Err(Finding::expected(node, wanted)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(value: Value) -> Node {
        Node {
            value,
            at: At::NOWHERE,
        }
    }

    fn time(value: Value) -> Option<Duration> {
        seconds(&node(value), LEAST_TIME).ok()
    }

    #[test]
    fn whole_numbers_are_ints_in_range() {
        assert_eq!(whole(&node(Value::Int(50)), 1, 50), Ok(50));
        for value in [
            Value::Int(0),
            Value::Int(51),
            Value::Int(-1),
            Value::Bool(true),
            Value::Float(5.0),
            Value::Text("5".into()),
            Value::None,
        ] {
            assert!(whole(&node(value.clone()), 1, 50).is_err(), "{value:?}");
        }
    }

    #[test]
    fn times_are_finite_numbers_in_range() {
        assert_eq!(time(Value::Int(2)), Some(Duration::from_secs(2)));
        assert_eq!(time(Value::Float(0.1)), Some(Duration::from_millis(100)));
        assert_eq!(time(Value::Int(86_400)), Some(MOST_TIME));
        for value in [
            Value::Float(0.09),
            Value::Float(f64::INFINITY),
            Value::Float(-1.0),
            Value::Float(86_400.5),
            Value::Int(i64::MAX),
            Value::Int(i64::MIN),
            Value::Bool(true),
            Value::Text("5".into()),
        ] {
            assert_eq!(time(value.clone()), None, "{value:?}");
        }
    }

    #[test]
    fn messages_say_what_was_found_and_what_is_accepted() {
        let message = |result: Result<usize, Finding>| result.err().map(|finding| finding.text);
        assert_eq!(
            message(whole(&node(Value::Text("ten".into())), 1, 50)).as_deref(),
            Some("expected a whole number from 1 to 50, found 'ten'")
        );
        assert_eq!(
            seconds_words(LEAST_TIME),
            "a number of seconds from 0.1 to 86400"
        );
    }

    #[test]
    fn numbers_are_no_bools() {
        assert_eq!(truth(&node(Value::Bool(false))), Ok(false));
        assert!(truth(&node(Value::Int(1))).is_err());
    }
}
