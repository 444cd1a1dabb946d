//! What subscripts and `+=` compute, and how large and deep values are.
//! Knows values only, no names.

use super::lexer::{Fault, MAX_DEPTH, too_deep};
use super::value::{HashKey, Node, Value};

/// The key that a value is in a dictionary or a set.
pub(super) fn hash_of(key: &Node) -> Result<HashKey, Fault> {
    HashKey::of(&key.value).map_err(|kind| {
        let text = format!(
            "a {kind} cannot be the key of a dictionary or an item of a set; \
             a string, number or tuple can"
        );
        Fault::plain(key.at.offset, text)
    })
}

/// `container[key]`
pub(super) fn item<'n>(container: &'n Node, key: &Node) -> Result<&'n Node, Fault> {
    match &container.value {
        Value::Dict(dict) => dict.find(&hash_of(key)?).ok_or_else(|| no_such_key(key)),
        Value::List(items) | Value::Tuple(items) => position(items.len(), key)
            .and_then(|position| items.get(position))
            .ok_or_else(|| no_such_key(key)),
        other => Err(no_subscript(key, other)),
    }
}

/// `container[key]`, for a change in place
pub(super) fn item_mut<'n>(container: &'n mut Node, key: &Node) -> Result<&'n mut Node, Fault> {
    match &mut container.value {
        Value::Dict(dict) => dict
            .find_mut(&hash_of(key)?)
            .ok_or_else(|| no_such_key(key)),
        Value::List(items) | Value::Tuple(items) => list_item(items, key),
        other => Err(no_subscript(key, other)),
    }
}

/// The item of a list that a subscript means.
pub(super) fn list_item<'n>(items: &'n mut [Node], key: &Node) -> Result<&'n mut Node, Fault> {
    position(items.len(), key)
        .and_then(|position| items.get_mut(position))
        .ok_or_else(|| no_such_key(key))
}

/// The position that a subscript means; negative ones count from the end.
fn position(length: usize, key: &Node) -> Option<usize> {
    let number = match key.value {
        Value::Int(number) => number,
        Value::Bool(truth) => i64::from(truth),
        _ => return None,
    };
    match usize::try_from(number) {
        Ok(position) => Some(position),
        Err(_) => length.checked_sub(usize::try_from(number.unsigned_abs()).ok()?),
    }
}

fn no_such_key(key: &Node) -> Fault {
    let text = format!("there is no item {} here", key.value.in_words());
    Fault::plain(key.at.offset, text)
}

fn no_subscript(key: &Node, container: &Value) -> Fault {
    let text = format!(
        "{} has no items to choose from by [...]",
        container.in_words()
    );
    Fault::plain(key.at.offset, text)
}

/// The sum that `+=` computes for values that cannot change in place.
pub(super) fn sum(left: &Value, right: &Value) -> Option<Value> {
    Some(match (left, right) {
        (Value::Text(left), Value::Text(right)) => Value::Text(format!("{left}{right}")),
        (Value::Bytes(left), Value::Bytes(right)) => {
            Value::Bytes([left.as_slice(), right.as_slice()].concat())
        }
        (Value::Tuple(left), Value::Tuple(right)) => {
            Value::Tuple(left.iter().chain(right).cloned().collect())
        }
        (Value::Float(left), right) => finite_sum(*left, as_float(right)?)?,
        (left, Value::Float(right)) => finite_sum(as_float(left)?, *right)?,
        (left, right) => Value::Int(as_whole(left)?.checked_add(as_whole(right)?)?),
    })
}

fn finite_sum(left: f64, right: f64) -> Option<Value> {
    let sum = left + right;
    (!sum.is_nan()).then_some(Value::Float(sum))
}

fn as_whole(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        Value::Bool(truth) => Some(i64::from(*truth)),
        _ => None,
    }
}

fn as_float(value: &Value) -> Option<f64> {
    match value {
        Value::Float(number) => Some(*number),
        other => as_whole(other).map(|number| number as f64),
    }
}

/// The room a value takes without what it contains: one unit, and one more for each 16 bytes of text.
pub(super) fn own_units(value: &Value) -> usize {
    match value {
        Value::Text(text) => 1 + text.len() / 16,
        Value::Bytes(bytes) => 1 + bytes.len() / 16,
        _ => 1,
    }
}

/// The room a value takes with all that it contains.
pub(super) fn total_units(node: &Node) -> usize {
    let children = node.value.children();
    own_units(&node.value) + children.into_iter().map(total_units).sum::<usize>()
}

/// Refuses a value that would nest too deep below `above` further levels.
pub(super) fn check_depth(node: &Node, above: usize, at: usize) -> Result<(), Fault> {
    if above + depth_of(node) > MAX_DEPTH {
        return Err(too_deep(at));
    }
    Ok(())
}

/// How many brackets are needed to write a value.
fn depth_of(node: &Node) -> usize {
    let deepest = |children: Vec<&Node>| children.into_iter().map(depth_of).max().unwrap_or(0);
    match &node.value {
        Value::Tuple(_) | Value::List(_) | Value::Set(_) | Value::Dict(_) => {
            1 + deepest(node.value.children())
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::At;

    fn node(value: Value) -> Node {
        Node {
            value,
            at: At::NOWHERE,
            identity: 0,
        }
    }

    fn dumped_sum(left: Value, right: Value) -> Option<String> {
        sum(&left, &right).map(|value| value.dump())
    }

    #[test]
    fn negative_subscripts_count_from_the_end() {
        let at = |number| position(3, &node(Value::Int(number)));
        assert_eq!(
            [at(0), at(2), at(-1), at(-3)],
            [Some(0), Some(2), Some(2), Some(0)]
        );
        assert_eq!([at(-4), at(i64::MIN)], [None, None]);
        assert_eq!(position(3, &node(Value::Bool(true))), Some(1));
        assert_eq!(position(3, &node(Value::Float(1.0))), None);
    }

    #[test]
    fn sums_are_those_of_python() {
        let text = |text: &str| Value::Text(text.to_string());
        for (left, right, expected) in [
            (Value::Int(1), Value::Bool(true), Some("i2")),
            (Value::Bool(true), Value::Bool(true), Some("i2")),
            (Value::Int(1), Value::Float(0.5), Some("f3ff8000000000000")),
            (Value::Int(i64::MAX), Value::Int(1), None),
            (text("a"), text("b"), Some("s6162")),
            (text("a"), Value::Bytes(vec![98]), None),
            (
                Value::Bytes(vec![97]),
                Value::Bytes(vec![98]),
                Some("b6162"),
            ),
            (Value::None, Value::Int(1), None),
            (
                Value::Float(f64::INFINITY),
                Value::Float(f64::NEG_INFINITY),
                None,
            ),
        ] {
            let words = format!("{left:?} + {right:?}");
            assert_eq!(dumped_sum(left, right).as_deref(), expected, "{words}");
        }
    }

    #[test]
    fn the_room_of_a_value_grows_with_its_text() {
        let list = Value::List(vec![node(Value::Text("x".repeat(160))), node(Value::None)]);
        assert_eq!(total_units(&node(list)), 1 + 11 + 1);
    }
}
