//! Conditions on rows: made from the filter headers of a request for the
//! columns of one table.

use super::column::{Column, Kind, Value, rounded};
use super::request::Step;
use super::{Effort, Fault, shown};
use regex_lite::{Regex, RegexBuilder};
use std::cmp::Ordering;

/// Sizes of compiled regular expressions, in bytes: a search takes as long as
/// the expression is large, and what it costs is told by the first that is
/// enough. One beyond the last is refused.
const REGEX_SIZES: [usize; 6] = [512, 1_024, 2_048, 4_096, 8_192, 16_384];
/// So many bytes of it cost as much as a plain comparison, for each byte that
/// is searched. Measured: `(.*){100}c` takes 4 us for a byte, `a = b` 30 ns.
const BYTES_OF_REGEX: usize = 128;
/// So many bytes are put into lower case at the cost of a plain comparison.
const BYTES_OF_LOWER: usize = 16;
/// Deepest nesting of groups, for the compiler is recursive.
const MAX_REGEX_NESTING: u32 = 20;

/// A condition on a row.
#[derive(Debug)]
pub(super) enum Filter {
    Compare {
        column: usize,
        test: Test,
        negated: bool,
    },
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Box<Filter>),
}

/// What is asked of a value.
#[derive(Debug)]
pub(super) enum Test {
    Int(Relation, i64),
    Float(Relation, f64),
    Text(Relation, String),
    /// Equal but for upper and lower case.
    Alike(String),
    /// Found anywhere in the text; with what a byte of text costs.
    Found(Regex, usize),
    /// An element of the list.
    Has(i64),
    EmptyList,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    Less,
    Greater,
}

impl Relation {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Relation::Equal => ordering.is_eq(),
            Relation::Less => ordering.is_lt(),
            Relation::Greater => ordering.is_gt(),
        }
    }
}

impl Filter {
    /// Makes one condition of all headers; they all have to hold.
    pub(super) fn all<R>(
        steps: &[Step],
        table: &str,
        columns: &[Column<R>],
    ) -> Result<Filter, Fault> {
        let mut stack = Vec::new();
        for step in steps {
            match step {
                Step::Compare {
                    column,
                    operator,
                    value,
                } => stack.push(Filter::compare(table, columns, column, operator, value)?),
                Step::And(count) => combine(&mut stack, *count, "And", Filter::All)?,
                Step::Or(count) => combine(&mut stack, *count, "Or", Filter::Any)?,
                Step::Negate => negate(&mut stack)?,
                Step::Compute(..) => {}
            }
        }
        Ok(Filter::All(stack))
    }

    /// A comparison of the named column.
    pub(super) fn compare<R>(
        table: &str,
        columns: &[Column<R>],
        column: &str,
        operator: &str,
        value: &str,
    ) -> Result<Filter, Fault> {
        let (column, declared) = super::find(table, columns, column)?;
        let (negated, plain) = match operator.strip_prefix('!') {
            Some(plain) => (true, plain),
            None => (false, operator),
        };
        // At least is not less, at most is not greater.
        let (negated, test) = match (declared.kind(), plain) {
            (Kind::List, ">=") => (negated, Test::Has(whole(declared.name, value)?)),
            (Kind::List, "<") => (!negated, Test::Has(whole(declared.name, value)?)),
            (Kind::List, "=") if value.is_empty() => (negated, Test::EmptyList),
            (kind, "<=") => (!negated, Test::new(kind, declared.name, ">", value)?),
            (kind, ">=") => (!negated, Test::new(kind, declared.name, "<", value)?),
            (kind, plain) => (negated, Test::new(kind, declared.name, plain, value)?),
        };
        Ok(Filter::Compare {
            column,
            test,
            negated,
        })
    }

    /// Whether it holds for the row.
    pub(super) fn holds<R>(
        &self,
        row: &R,
        columns: &[Column<R>],
        effort: &mut Effort,
    ) -> Result<bool, Fault> {
        match self {
            Filter::Compare {
                column,
                test,
                negated,
            } => {
                // The index was found in these columns.
                let Some(column) = columns.get(*column) else {
                    return Ok(false);
                };
                Ok(test.holds(&column.value(row), effort)? != *negated)
            }
            Filter::All(filters) => {
                for filter in filters {
                    if !filter.holds(row, columns, effort)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Filter::Any(filters) => {
                for filter in filters {
                    if filter.holds(row, columns, effort)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Filter::Not(filter) => Ok(!filter.holds(row, columns, effort)?),
        }
    }
}

impl Test {
    fn new(kind: Kind, column: &str, operator: &str, value: &str) -> Result<Test, Fault> {
        let relation = match operator {
            "=" => Some(Relation::Equal),
            "<" => Some(Relation::Less),
            ">" => Some(Relation::Greater),
            _ => None,
        };
        match (kind, relation, operator) {
            (Kind::Int | Kind::Time, Some(relation), _) => {
                Ok(Test::Int(relation, whole(column, value)?))
            }
            (Kind::Float, Some(relation), _) => match value.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Test::Float(relation, rounded(number))),
                _ => Err(not_a_number(column, value)),
            },
            (Kind::Text, Some(relation), _) => Ok(Test::Text(relation, value.to_string())),
            (Kind::Text, None, "=~") => Ok(Test::Alike(value.to_lowercase())),
            (Kind::Text, None, "~") => regex(value, false),
            (Kind::Text, None, "~~") => regex(value, true),
            _ => Err(Fault::Invalid(format!(
                "Operator '{}' is not for column '{column}' of type {}",
                shown(operator),
                kind.name()
            ))),
        }
    }

    fn holds(&self, value: &Value, effort: &mut Effort) -> Result<bool, Fault> {
        effort.spend(1)?;
        Ok(match (self, value) {
            (Test::Int(relation, wanted), Value::Int(value)) => relation.holds(value.cmp(wanted)),
            (Test::Float(relation, wanted), Value::Float(value)) => {
                relation.holds(value.total_cmp(wanted))
            }
            (Test::Text(relation, wanted), Value::Text(value)) => {
                relation.holds(value.as_ref().cmp(wanted))
            }
            (Test::Alike(wanted), Value::Text(value)) => {
                effort.spend(value.len() / BYTES_OF_LOWER)?;
                value.to_lowercase() == *wanted
            }
            (Test::Found(regex, cost), Value::Text(value)) => {
                effort.spend(value.len().saturating_mul(*cost))?;
                regex.is_match(value)
            }
            (Test::Has(wanted), Value::List(values)) => values.contains(wanted),
            (Test::EmptyList, Value::List(values)) => values.is_empty(),
            // A test is made for its column's type.
            _ => false,
        })
    }
}

fn whole(column: &str, value: &str) -> Result<i64, Fault> {
    value.parse().map_err(|_| not_a_number(column, value))
}

fn not_a_number(column: &str, value: &str) -> Fault {
    Fault::Invalid(format!(
        "'{}' is not a number that column '{column}' could have",
        shown(value)
    ))
}

fn regex(pattern: &str, ignore_case: bool) -> Result<Test, Fault> {
    let mut why = String::new();
    for size in REGEX_SIZES {
        let compiled = RegexBuilder::new(pattern)
            .case_insensitive(ignore_case)
            .size_limit(size)
            .nest_limit(MAX_REGEX_NESTING)
            .build();
        match compiled {
            Ok(regex) => return Ok(Test::Found(regex, size / BYTES_OF_REGEX)),
            Err(error) => why = shown(&error.to_string()),
        }
    }
    let pattern = shown(pattern);
    Err(Fault::Invalid(format!(
        "Regular expression '{pattern}': {why}"
    )))
}

/// Makes one condition of the last ones.
fn combine(
    stack: &mut Vec<Filter>,
    count: usize,
    header: &str,
    with: fn(Vec<Filter>) -> Filter,
) -> Result<(), Fault> {
    let taken = take(stack, count, header)?;
    stack.push(with(taken));
    Ok(())
}

fn negate(stack: &mut Vec<Filter>) -> Result<(), Fault> {
    let taken = take(stack, 1, "Negate")?;
    stack.extend(
        taken
            .into_iter()
            .map(|filter| Filter::Not(Box::new(filter))),
    );
    Ok(())
}

/// The last ones of the stack, first come first.
pub(super) fn take<T>(stack: &mut Vec<T>, count: usize, header: &str) -> Result<Vec<T>, Fault> {
    match stack.len().checked_sub(count) {
        Some(first) => Ok(stack.split_off(first)),
        None => Err(Fault::Invalid(format!(
            "{header}: {count} wanted of those before it, there are {}",
            stack.len()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::column::{list, text};
    use super::*;

    /// Whether the filter holds for the row of a table with this one column, and what it cost.
    fn judged<R>(column: Column<R>, operator: &str, value: &str, row: &R) -> (bool, usize) {
        let name = column.name;
        let columns = [column];
        let filter = Filter::compare("t", &columns, name, operator, value).unwrap();
        let mut effort = Effort { left: 1_000_000 };
        let holds = filter.holds(row, &columns, &mut effort).unwrap();
        (holds, 1_000_000 - effort.left)
    }

    #[test]
    fn a_list_is_compared_with_nothing_to_find_the_empty_ones() {
        let holds = |operator: &str, row: &Vec<i64>| {
            let column = list("l", "A list.", Vec::clone);
            judged(column, operator, "", row).0
        };
        assert!(holds("=", &vec![]) && !holds("=", &vec![0]));
        assert!(holds("!=", &vec![0]) && !holds("!=", &vec![]));
    }

    #[test]
    fn a_search_costs_more_for_each_byte_of_the_text_and_a_comparison_does_not() {
        let cost = |operator: &str, value: &str, length: usize| {
            let column: Column<String> = text("t", "A text.", |row| row);
            judged(column, operator, value, &"x".repeat(length)).1
        };
        assert_eq!(cost("=", "a", 16_000), 1);
        assert_eq!(cost("=~", "a", 16_000), 1 + 1_000);
        // An expression costs what its compiled form is large.
        assert_eq!(cost("~", "a", 16_000), 1 + 16_000 * 4);
    }
}
