//! One request into one response: the header lines of a query, its filters,
//! and what is said about mistakes. Must not know sockets, nor what the tables
//! hold.

use super::output::{self, Format};
use super::sites::{Row, Site, Value};

/// A query as far as its headers have been read.
#[derive(Debug, Default)]
struct Query {
    rows: Vec<Row>,
    /// Which rows pass, for each filter that is not yet combined with others.
    filters: Vec<Vec<bool>>,
    /// Empty stands for all.
    columns: Vec<&'static str>,
    limit: Option<usize>,
    format: Format,
    /// When the client does not say, names go with columns it did not choose.
    column_headers: Option<bool>,
    fixed16: bool,
    keep_alive: bool,
}

/// Answers a request at a moment in seconds since the epoch: what to write, and
/// whether the client may ask again.
pub(super) fn respond(site: &Site, now: i64, request: &str) -> (String, bool) {
    let (first, headers) = request.split_once('\n').unwrap_or((request, ""));
    let (verb, argument) = first.split_once(' ').unwrap_or((first, ""));
    match verb {
        "GET" => {
            let table = argument.trim_start();
            answer(table, site.table(table, now), headers)
        }
        // All cores take commands without a word. Here they have no effect, nor have lines behind.
        "COMMAND" => (String::new(), true),
        _ => ("Invalid request method\n".to_owned(), false),
    }
}

fn answer(table: &str, rows: Option<Vec<Row>>, headers: &str) -> (String, bool) {
    let mut problem = match &rows {
        Some(_) => None,
        None if table.is_empty() => Some((452, "Invalid GET request, missing table".to_owned())),
        None => Some((404, format!("Table '{table}' does not exist"))),
    };
    let mut query = Query {
        rows: rows.unwrap_or_default(),
        ..Query::default()
    };
    // Every line is read although one is wrong: the frame may be asked for behind it.
    for line in headers.lines() {
        if let Err(text) = query.header(line) {
            problem.get_or_insert((400, text));
        }
    }
    let (fixed16, keep) = (query.fixed16, query.keep_alive);
    let (status, body) = match problem {
        None => (200, query.body()),
        Some((status, text)) => (status, text + "\n"),
    };
    match fixed16 {
        true => (output::framed(status, &body), keep),
        false => (body, keep),
    }
}

impl Query {
    /// # Errors
    /// What is wrong with the line; everything that can be is status 400.
    fn header(&mut self, line: &str) -> Result<(), String> {
        let undefined = || format!("Undefined request header '{line}'");
        let (name, value) = line.split_once(':').ok_or_else(undefined)?;
        let value = value.trim_start();
        let invalid = || format!("Invalid value '{value}' for header '{name}'");
        let is = |yes: &str, no: &str| match value == yes || value == no {
            true => Ok(value == yes),
            false => Err(invalid()),
        };
        let number = || value.parse().map_err(|_| invalid());
        match name {
            "Columns" => {
                for name in value.split_whitespace() {
                    self.columns.push(self.column(name)?);
                }
            }
            "Filter" => self.filters.push(self.filter(value)?),
            "And" => self.combine(number()?, |one, other| one && other)?,
            "Or" => self.combine(number()?, |one, other| one || other)?,
            "Limit" => self.limit = Some(number()?),
            "OutputFormat" => self.format = Format::named(value).ok_or_else(invalid)?,
            "ColumnHeaders" => self.column_headers = Some(is("on", "off")?),
            "ResponseHeader" => self.fixed16 = is("fixed16", "off")?,
            "KeepAlive" => self.keep_alive = is("on", "off")?,
            // Every user sees everything here, times need no shift, and nothing is worth a wait.
            "AuthUser" | "Localtime" | "WaitObject" | "WaitTimeout" | "WaitTrigger" => {}
            "WaitCondition" | "WaitConditionAnd" | "WaitConditionNegate" | "WaitConditionOr" => {}
            _ => return Err(undefined()),
        }
        Ok(())
    }

    fn all_columns(&self) -> impl Iterator<Item = &'static str> {
        let first = self.rows.first().into_iter().flatten();
        first.map(|(name, _)| *name)
    }

    fn column(&self, wanted: &str) -> Result<&'static str, String> {
        let found = self.all_columns().find(|name| *name == wanted);
        found.ok_or_else(|| format!("Table has no column '{wanted}'"))
    }

    /// Reads `COLUMN OPERATOR VALUE`, where a missing value is the empty text,
    /// and asks each row.
    fn filter(&self, filter: &str) -> Result<Vec<bool>, String> {
        let (name, rest) = filter.split_once(' ').unwrap_or((filter, ""));
        let rest = rest.trim_start();
        let (operator, wanted) = rest.split_once(' ').unwrap_or((rest, ""));
        let column = self.column(name)?;
        let values = self.rows.iter().filter_map(|row| value(row, column));
        let passed: Option<Vec<bool>> = values
            .map(|value| passes(value, operator, wanted.trim_start()))
            .collect();
        passed.ok_or_else(|| format!("Invalid filter '{filter}'"))
    }

    /// Puts one filter in the place of the last `count`.
    fn combine(&mut self, count: usize, both: fn(bool, bool) -> bool) -> Result<(), String> {
        let present = self.filters.len();
        let Some(first) = present.checked_sub(count) else {
            return Err(format!("Cannot combine {count} filters of {present}"));
        };
        let last = self.filters.drain(first..).reduce(|one, other| {
            let pairs = one.into_iter().zip(other);
            pairs.map(|(one, other)| both(one, other)).collect()
        });
        self.filters.extend(last);
        Ok(())
    }

    fn body(mut self) -> String {
        let with_names = self.column_headers.unwrap_or(self.columns.is_empty());
        if self.columns.is_empty() {
            self.columns = self.all_columns().collect();
        }
        let columns = self.columns.iter();
        let names = columns.clone().map(|&name| Value::Text(name.to_owned()));
        let names = with_names.then(|| names.collect());
        let passed = |at| self.filters.iter().all(|rows| rows.get(at) == Some(&true));
        let rows = (0..).zip(&self.rows).filter(|(at, _)| passed(*at));
        let rows = rows.take(self.limit.unwrap_or(usize::MAX)).map(|(_, row)| {
            let values = columns.clone().filter_map(|name| value(row, name));
            values.cloned().collect()
        });
        output::body(self.format, names.into_iter().chain(rows))
    }
}

fn value<'a>(row: &'a Row, column: &str) -> Option<&'a Value> {
    let found = row.iter().find(|(name, _)| *name == column);
    found.map(|(_, value)| value)
}

/// `None` when there is no such operator, or not for this kind of value.
fn passes(value: &Value, operator: &str, wanted: &str) -> Option<bool> {
    let ordering = match (value, operator) {
        (Value::Text(text), "~") => return Some(matches(text, wanted)),
        (Value::Text(text), "~~") => {
            return Some(matches(&text.to_lowercase(), &wanted.to_lowercase()));
        }
        (Value::Text(text), _) => text.as_str().cmp(wanted),
        (Value::Number(number), _) => number.cmp(&wanted.parse().ok()?),
    };
    match operator {
        "=" => Some(ordering.is_eq()),
        "!=" => Some(ordering.is_ne()),
        "<" => Some(ordering.is_lt()),
        "<=" => Some(ordering.is_le()),
        ">" => Some(ordering.is_gt()),
        ">=" => Some(ordering.is_ge()),
        _ => None,
    }
}

/// Real cores take a regular expression; here it is a plain part of the text,
/// which `^` ties to the start and `$` to the end.
fn matches(text: &str, pattern: &str) -> bool {
    let tied_to_start = pattern.strip_prefix('^');
    let pattern = tied_to_start.unwrap_or(pattern);
    let tied_to_end = pattern.strip_suffix('$');
    let pattern = tied_to_end.unwrap_or(pattern);
    match (tied_to_start, tied_to_end) {
        (Some(_), Some(_)) => text == pattern,
        (Some(_), None) => text.starts_with(pattern),
        (None, Some(_)) => text.ends_with(pattern),
        (None, None) => text.contains(pattern),
    }
}
