//! Changes of sites' states: those that were, and those to come.

use super::ask::{Row, Table, table};
use super::connect::Door;
use super::show::tone;
use super::table::Paint;
use super::words::{moment, span};
use super::{Failure, print};
use std::thread;
use std::time::Duration;

/// Between two looks for new events.
const LOOK: Duration = Duration::from_secs(1);

/// Looks for new events that may be in vain one after another: a stop and a
/// start have a gap, and may take as long as running queries do.
const MISSES: usize = 20;

/// The last changes of state, and with `follow` those to come, until the daemon
/// has gone.
pub fn events(
    door: &Door,
    paint: Paint,
    number: usize,
    follow: bool,
    json: bool,
) -> Result<(), Failure> {
    let mut events = table(door, "events", "")?;
    let mut last = last_number(&events)?;
    let mut older = events.rows().count().saturating_sub(number);
    events.keep(|_| {
        let is_shown = older == 0;
        older = older.saturating_sub(1);
        Ok(is_shown)
    })?;
    if json && !follow {
        return print(&events.json());
    }
    let line = |row: Row<'_>| match json {
        true => Ok(row.json() + "\n"),
        false => event(row, paint),
    };
    let mut misses = 0;
    loop {
        let text: String = events.rows().map(line).collect::<Result<_, _>>()?;
        if !text.is_empty() {
            print(&text)?;
        }
        if !follow {
            return Ok(());
        }
        thread::sleep(LOOK);
        events = match table(door, "events", "") {
            Ok(events) => events,
            Err(Failure::Away(_) | Failure::Failed(_)) if misses < MISSES => {
                misses += 1;
                events.keep(|_| Ok(false))?;
                continue;
            }
            Err(failure) => return Err(failure),
        };
        misses = 0;
        let newest = last_number(&events)?;
        // Another process: its events count from 1 again.
        let seen = if newest < last { 0 } else { last };
        events.keep(|row| Ok(row.count("number")? > seen))?;
        last = newest;
    }
}

fn last_number(events: &Table) -> Result<u64, Failure> {
    let mut numbers = events.rows().map(|row| row.count("number"));
    numbers.try_fold(0, |most, number| Ok(most.max(number?)))
}

fn event(row: Row<'_>, paint: Paint) -> Result<String, Failure> {
    let (from, to) = (row.text("from")?, row.text("to")?);
    let cause = match row.text("cause")? {
        cause if cause.is_empty() => cause,
        cause => format!(": {cause}"),
    };
    Ok(format!(
        "{} {}: {} after {} {from}{cause}\n",
        moment(row.number("time")?),
        row.text("site")?,
        paint.tone(&to, tone(&to)),
        span(row.number("lasted")?),
    ))
}
