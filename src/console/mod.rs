//! The control socket's query language: Livestatus over the daemon's own
//! tables. Pure: a request and what the loop has gathered go in, an answer
//! comes out. Framing, sockets and who may do what are the caller's.
//!
//! Everybody in the socket's group may ask, and while a query is answered
//! nobody else is served: every loop in here is bounded, by [`Effort`] or by a
//! constant with its reason.

mod column;
mod filter;
mod order;
mod output;
mod request;
mod sample;
mod sites;
mod stats;
mod tables;

#[cfg(test)]
mod tests;

pub use order::{DeclaredOrder, ORDERS, Order, order};
pub use output::MAX_ANSWER;
pub use request::{DeclaredHeader, HEADERS};
pub use sample::sample;
pub use tables::TABLES;

use crate::proto::response::BAD_GATEWAY;
use crate::report::{Event, Report};
use column::{Column, Value, clean};
use filter::Filter;
use output::Output;
use request::Query;
use stats::{Stat, Tally};
use std::collections::{HashMap, VecDeque};

/// An answer, not yet framed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status as in `ResponseHeader: fixed16`: 200; 400 for a request that
    /// cannot be read, an unknown column included; 404 for an unknown table;
    /// 413 for one that would take too long or has too long an answer; 502 if
    /// there is no room for it at present.
    pub code: u16,
    /// The rows, or a sentence that says what is wrong; either ends with a line's end.
    pub body: Vec<u8>,
}

/// Answers a complete `GET`, as `proto::request` hands it out, in no more than
/// `room` bytes, of which more than [`MAX_ANSWER`] are never used.
pub fn answer(room: usize, request: &[u8], report: &Report, events: &VecDeque<Event>) -> Answer {
    let cost = Cost {
        effort: MAX_EFFORT,
        room,
    };
    answer_within(cost, request, report, events)
}

/// What an answer may cost.
#[derive(Debug, Clone, Copy)]
struct Cost {
    /// See [`Effort`].
    effort: usize,
    /// In bytes.
    room: usize,
}

fn answer_within(cost: Cost, request: &[u8], report: &Report, events: &VecDeque<Event>) -> Answer {
    match respond(cost, request, report, events) {
        Ok(body) => Answer { code: 200, body },
        Err(fault) => {
            let (code, mut text) = fault.told();
            text.push('\n');
            let body = text.into_bytes();
            Answer { code, body }
        }
    }
}

/// For a fuzzer: `bytes` as an order and as a query over [`sample`]. Panics if
/// what comes out is not what [`answer`] and [`order`] promise.
pub fn exercise(bytes: &[u8]) {
    if let Err(text) = order(bytes) {
        assert!(!text.contains(char::is_control), "{text:?}");
    }
    let (report, events) = sample();
    let Answer { code, body } = answer(MAX_ANSWER, bytes, &report, &events);
    assert!(matches!(code, 200 | 400 | 404 | 413), "{code}");
    if code != 200 {
        let text = String::from_utf8_lossy(&body);
        let line = text.strip_suffix('\n').unwrap_or("\n");
        assert!(
            !line.is_empty() && !line.contains(char::is_control),
            "{text:?}"
        );
    }
}

fn respond(
    cost: Cost,
    request: &[u8],
    report: &Report,
    events: &VecDeque<Event>,
) -> Result<Vec<u8>, Fault> {
    let query = Query::read(request)?;
    let all = std::iter::once(report);
    match query.table.as_str() {
        "status" => run(cost, &query, &tables::status(), all),
        "sites" => run(cost, &query, &sites::sites(), report.sites.iter()),
        "channels" => run(cost, &query, &tables::channels(), report.channels.iter()),
        "clients" => run(cost, &query, &tables::clients(), report.clients.iter()),
        "events" => run(cost, &query, &tables::events(), events.iter()),
        "columns" => {
            let rows = tables::described();
            run(cost, &query, &tables::columns(), rows.iter())
        }
        _ => Err(Fault::NoTable(query.table)),
    }
}

/// Why there are no rows to be shown.
#[derive(Debug)]
enum Fault {
    /// The request cannot be read; a sentence.
    Invalid(String),
    /// There is no such table.
    NoTable(String),
    /// A bound was reached, which the words name.
    TooMuch(&'static str),
    /// Others hold the memory for answers.
    NoRoom,
}

impl Fault {
    /// Status and sentence.
    fn told(self) -> (u16, String) {
        match self {
            Fault::Invalid(text) => (400, text),
            Fault::NoTable(name) => (404, format!("There is no table '{}'", shown(&name))),
            Fault::TooMuch(what) => (413, format!("The request is refused: {what}")),
            Fault::NoRoom => (BAD_GATEWAY, NO_ROOM.into()),
        }
    }
}

/// What is said where others hold the memory for answers.
const NO_ROOM: &str = "There is no memory left beside answers that their clients have not read. \
    Please ask for less or ask again";

/// Longest part of a request that an error repeats, in characters.
const MAX_SHOWN: usize = 100;

/// A part of a request, fit to be repeated in an error.
fn shown(text: &str) -> String {
    clean(text).chars().take(MAX_SHOWN).collect()
}

/// What a query may still do. A plain comparison and a cell cost 1, a search
/// costs more for each byte of the text.
#[derive(Debug)]
struct Effort {
    left: usize,
}

/// Enough to search the requests of 20,000 clients and show all of each. It is
/// used up within half a second: others notice, but no heartbeat is missed.
const MAX_EFFORT: usize = 10_000_000;

/// What is held until the end costs more than what is looked at: it is memory.
const HELD_COST: usize = 8;

impl Effort {
    fn spend(&mut self, cost: usize) -> Result<(), Fault> {
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Fault::TooMuch("it takes longer than others should wait")),
        }
    }
}

/// The column of this name, and its place.
fn find<'c, R>(
    table: &str,
    columns: &'c [Column<R>],
    name: &str,
) -> Result<(usize, &'c Column<R>), Fault> {
    let mut numbered = columns.iter().enumerate();
    let found = numbered.find(|(_, column)| column.name == name);
    found.ok_or_else(|| {
        let name = shown(name);
        Fault::Invalid(format!("Table '{table}' has no column '{name}'"))
    })
}

/// Answers a query to the table of these columns and rows.
fn run<'a, R: 'a>(
    cost: Cost,
    query: &Query,
    columns: &[Column<R>],
    rows: impl Iterator<Item = &'a R>,
) -> Result<Vec<u8>, Fault> {
    let mut effort = Effort { left: cost.effort };
    let mut shown: Vec<&Column<R>> = Vec::new();
    for name in &query.columns {
        let (_, column) = find(&query.table, columns, name)?;
        // An answer would be as much longer as one likes than what there is to be said.
        if shown.iter().any(|other| other.name == column.name) {
            return Err(Fault::Invalid(format!("Column '{name}' is named twice")));
        }
        shown.push(column);
    }
    let filter = Filter::all(&query.filters, &query.table, columns)?;
    let stats = Stat::all(&query.stats, &query.table, columns)?;

    let mut matching = Vec::new();
    for row in rows {
        if filter.holds(row, columns, &mut effort)? {
            matching.push(row);
        }
    }
    sort(query, columns, &mut matching, &mut effort)?;

    let mut output = Output::new(query.format, query.separators, cost.room);
    if shown.is_empty() && stats.is_empty() {
        shown.extend(columns);
    }
    let by_itself = query.columns.is_empty() && stats.is_empty();
    if query.column_headers.unwrap_or(by_itself) {
        output.line(&names(&shown, stats.len()))?;
    }
    let limit = query.limit.unwrap_or(usize::MAX);
    if stats.is_empty() {
        for row in matching.into_iter().skip(query.offset).take(limit) {
            effort.spend(shown.len())?;
            output.line(&cells(&shown, row))?;
        }
    } else {
        let groups = grouped(&shown, &stats, columns, &matching, &mut effort)?;
        for line in groups.iter().skip(query.offset).take(limit) {
            output.line(line)?;
        }
    }
    output.finish()
}

fn cells<'a, R>(shown: &[&Column<R>], row: &'a R) -> Vec<Value<'a>> {
    shown.iter().map(|column| column.value(row)).collect()
}

/// The line with the names of the columns.
fn names<R>(shown: &[&Column<R>], stats: usize) -> Vec<Value<'static>> {
    let columns = shown.iter().map(|column| column.name.into());
    let stats = (1..=stats).map(|number| format!("stats_{number}").into());
    columns.chain(stats).map(Value::Text).collect()
}

/// Sorts rows by the columns of `OrderBy`; equal ones keep their order.
fn sort<R>(
    query: &Query,
    columns: &[Column<R>],
    rows: &mut Vec<&R>,
    effort: &mut Effort,
) -> Result<(), Fault> {
    // The last one first, so that the first one decides.
    for sort in query.sorts.iter().rev() {
        let (_, column) = find(&query.table, columns, &sort.column)?;
        // A sort compares each row about so often.
        effort.spend(rows.len() * (rows.len().max(1).ilog2() as usize + 1) / 4)?;
        let mut keyed: Vec<(Value, &R)> =
            rows.iter().map(|row| (column.value(*row), *row)).collect();
        keyed.sort_by(|(one, _), (other, _)| {
            let ordering = one.compared(other);
            if sort.descending {
                ordering.reverse()
            } else {
                ordering
            }
        });
        *rows = keyed.into_iter().map(|(_, row)| row).collect();
    }
    Ok(())
}

/// A line for each group of rows that agree in the columns shown, in the order
/// of their first rows. Without columns there is one group, also of no rows.
fn grouped<'a, R>(
    shown: &[&Column<R>],
    stats: &[Stat],
    columns: &[Column<R>],
    rows: &[&'a R],
    effort: &mut Effort,
) -> Result<Vec<Vec<Value<'a>>>, Fault> {
    let mut groups: Vec<(Vec<Value>, Vec<Tally>)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let none = vec![Tally::default(); stats.len()];
    if shown.is_empty() {
        groups.push((Vec::new(), none.clone()));
    }
    for row in rows {
        let place = if shown.is_empty() {
            0
        } else {
            effort.spend(shown.len())?;
            let cells = cells(shown, *row);
            let key = format!("{cells:?}");
            match places.get(&key) {
                Some(place) => *place,
                None => {
                    effort.spend(HELD_COST * (shown.len() + stats.len()))?;
                    groups.push((cells, none.clone()));
                    places.insert(key, groups.len() - 1);
                    groups.len() - 1
                }
            }
        };
        let tallies = groups.get_mut(place).map(|(_, tallies)| tallies);
        for (stat, tally) in stats.iter().zip(tallies.into_iter().flatten()) {
            tally.add(stat, *row, columns, effort)?;
        }
    }
    let lines = groups.into_iter().map(|(mut line, tallies)| {
        line.extend(
            stats
                .iter()
                .zip(&tallies)
                .map(|(stat, tally)| tally.result(stat)),
        );
        line
    });
    Ok(lines.collect())
}
