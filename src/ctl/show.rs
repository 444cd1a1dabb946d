//! Status, sites, channels and clients as people want to see them: what needs
//! somebody first.

use super::Failure;
use super::ask::{Row, Table, table};
use super::connect::{Door, unknown_site};
use super::table::{Cell, Grid, Paint, Sheet, Side, Tone};
use super::words::{ago, bytes, count, many, moment, span};
use crate::counters::COUNTERS;
use std::cmp::Reverse;

/// The states of sites, the worst first, and how they are meant.
pub const STATES: [(&str, Tone); 6] = [
    ("dead", Tone::Bad),
    ("refused", Tone::Bad),
    ("busy", Tone::Warning),
    ("starting", Tone::Warning),
    ("disabled", Tone::Faint),
    ("ready", Tone::Good),
];

/// The tone of a state; one that nobody knows here is worth a look.
pub fn tone(state: &str) -> Tone {
    let known = STATES.iter().find(|(name, _)| *name == state);
    known.map_or(Tone::Warning, |(_, tone)| *tone)
}

/// The rows of the table `sites`, the worst first; among those of one state
/// the ones with most waiting.
pub fn worst_first(table: &Table) -> Result<Vec<Row<'_>>, Failure> {
    let mut rows = Vec::new();
    for row in table.rows() {
        let state = row.text("state")?;
        let rank = STATES.iter().position(|(name, _)| *name == state);
        let waiting = Reverse(row.count("waiting")?);
        rows.push(((rank, waiting, row.text("name")?), row));
    }
    rows.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

/// The daemon's time of day, by which everything that it says is to be measured.
pub fn now(daemon: Row<'_>) -> Result<f64, Failure> {
    daemon.number("now")
}

/// The channels of a site: at work, open, wanted.
pub fn channels_of(row: Row<'_>) -> Result<String, Failure> {
    let (busy, open) = (row.count("channels_busy")?, row.count("channels_open")?);
    Ok(format!(
        "{busy}/{open}/{}",
        row.count("channels_configured")?
    ))
}

/// The daemon as a whole, and the sites that are not well.
pub fn status(door: &Door, sheet: Sheet, json: bool) -> Result<String, Failure> {
    let daemon = table(door, "status", "")?;
    if json {
        return Ok(daemon.json());
    }
    let row = daemon.only()?;
    let sites = table(door, "sites", "")?;
    let now = now(row)?;
    let started = row.number("program_start")?;
    let mut lines = vec![format!(
        "{}, process {}, runs since {} ({})",
        row.text("program_version")?,
        row.count("pid")?,
        moment(started),
        ago(started, now)
    )];
    let error = row.text("config_error")?;
    lines.push(match error.as_str() {
        "" => format!("Configuration: read {}", moment(row.number("last_reload")?)),
        error => {
            let since = moment(row.number("config_error_since")?);
            let read = moment(row.number("last_reload")?);
            let text = format!("wrong since {since}: {error}");
            let text = sheet.paint.tone(&text, Tone::Bad);
            match row.count("config_in_part")? {
                0 => format!("Configuration: {text}; that of {read} is in force"),
                _ => format!("Configuration: {text}; the rest of it is in force"),
            }
        }
    });
    lines.push(format!("Sites: {}", states(&sites, sheet.paint)?));
    let sum = |column| sum(&sites, column);
    lines.push(format!(
        "Channels: {} open of {}, {} at work",
        count(sum("channels_open")?),
        count(sum("channels_configured")?),
        count(sum("channels_busy")?)
    ));
    lines.push(format!(
        "Clients: {} connected, {} waiting",
        count(sum("clients")?),
        count(sum("waiting")?)
    ));
    let refusals: u64 = sites.rows().map(refused).sum::<Result<_, _>>()?;
    lines.push(format!(
        "Queries: {} so far, {} answered, {} refused",
        count(sum("queries")?),
        count(sum("queries_answered")?),
        count(refusals)
    ));
    lines.push(format!(
        "Memory: {} for responses of at most {}, {} for requests",
        bytes(row.number("response_memory")?),
        bytes(row.number("response_memory_limit")?),
        bytes(row.number("request_memory")?)
    ));
    let mut text = lines.join("\n") + "\n";
    let mut sick = Vec::new();
    for row in worst_first(&sites)? {
        if row.text("state")? != "ready" {
            sick.push(row);
        }
    }
    if !sick.is_empty() {
        text.push('\n');
        text.push_str(&site_grid(sick, now)?.text(sheet));
    }
    Ok(text)
}

/// `4 (1 dead, 3 ready)`
pub fn states(sites: &Table, paint: Paint) -> Result<String, Failure> {
    let mut found: Vec<(String, u64)> = Vec::new();
    for row in worst_first(sites)? {
        let state = row.text("state")?;
        match found.last_mut() {
            Some((last, number)) if *last == state => *number += 1,
            _ => found.push((state, 1)),
        }
    }
    let number = sites.rows().count();
    let parts: Vec<String> = found
        .iter()
        .map(|(state, number)| paint.tone(&format!("{} {state}", count(*number)), tone(state)))
        .collect();
    Ok(match parts.is_empty() {
        true => "none".into(),
        false => format!("{number} ({})", parts.join(", ")),
    })
}

/// The sum of a column.
pub fn sum(table: &Table, column: &str) -> Result<u64, Failure> {
    table.rows().map(|row| row.count(column)).sum()
}

/// How many queries of a site were refused, for whatever reason.
pub fn refused(row: Row<'_>) -> Result<u64, Failure> {
    let names = COUNTERS.iter().map(|declared| declared.name);
    names
        .filter(|name| name.starts_with("queries_refused_"))
        .map(|name| row.count(name))
        .sum()
}

/// All sites, or these.
pub fn sites(door: &Door, sheet: Sheet, names: &[String], json: bool) -> Result<String, Failure> {
    let mut sites = table(door, "sites", "")?;
    let known: Vec<String> = sites
        .rows()
        .map(|row| row.text("name"))
        .collect::<Result<_, _>>()?;
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        return Err(Failure::Failed(unknown_site(name, &known)));
    }
    sites.keep(|row| Ok(names.is_empty() || names.contains(&row.text("name")?)))?;
    if json {
        return Ok(sites.json());
    }
    if known.is_empty() {
        return Ok("No site is configured.\n".into());
    }
    let now = now(table(door, "status", "")?.only()?)?;
    Ok(site_grid(worst_first(&sites)?, now)?.text(sheet))
}

fn site_grid(rows: Vec<Row<'_>>, now: f64) -> Result<Grid, Failure> {
    let mut grid = Grid::new(&[
        ("SITE", Side::Left),
        ("STATE", Side::Left),
        ("SINCE", Side::Right),
        ("CHANNELS", Side::Right),
        ("CLIENTS", Side::Right),
        ("WAITING", Side::Right),
        ("QUERIES", Side::Right),
        ("P90", Side::Right),
        ("HEARTBEAT", Side::Right),
        ("ADDRESS", Side::Left),
        ("REASON", Side::Left),
    ]);
    for row in rows {
        let state = row.text("state")?;
        grid.push(vec![
            row.text("name")?.into(),
            Cell::toned(state.as_str(), tone(&state)),
            ago(row.number("since")?, now).into(),
            channels_of(row)?.into(),
            count(row.count("clients")?).into(),
            waiting(row)?,
            count(row.count("queries")?).into(),
            some_span(row.number("response_time_p90")?).into(),
            some_span(row.number("heartbeat_typical")?).into(),
            row.text("address")?.into(),
            reason(row)?.into(),
        ]);
    }
    Ok(grid)
}

/// How many queries wait for a channel, which nobody should for long.
pub fn waiting(row: Row<'_>) -> Result<Cell, Failure> {
    Ok(match row.count("waiting")? {
        0 => Cell::from("0"),
        number => Cell::toned(count(number), Tone::Warning),
    })
}

/// What is to be said about a site.
pub fn reason(row: Row<'_>) -> Result<String, Failure> {
    let reason = row.text("reason")?;
    let limit = row.count("channels_limit")?;
    Ok(match (reason.as_str(), limit) {
        (_, 0) => reason,
        ("", limit) => format!("answers on no more than {}", many(limit, "channel")),
        (reason, limit) => format!(
            "{reason}; answers on no more than {}",
            many(limit, "channel")
        ),
    })
}

/// Empty where nothing has been measured yet.
fn some_span(seconds: f64) -> String {
    match seconds > 0.0 {
        true => span(seconds),
        false => String::new(),
    }
}

/// The filter for rows of one site.
fn of_site(door: &Door, site: &Option<String>, column: &str) -> Result<String, Failure> {
    let Some(site) = site else {
        return Ok(String::new());
    };
    // A site without channels is something else than a site that is not there.
    let sites = table(door, "sites", "")?;
    let known: Vec<String> = sites
        .rows()
        .map(|row| row.text("name"))
        .collect::<Result<_, _>>()?;
    match known.contains(site) {
        true => Ok(format!("Filter: {column} = {site}\n")),
        false => Err(Failure::Failed(unknown_site(site, &known))),
    }
}

/// The channels.
pub fn channels(
    door: &Door,
    sheet: Sheet,
    site: &Option<String>,
    json: bool,
) -> Result<String, Failure> {
    let channels = table(door, "channels", &of_site(door, site, "site")?)?;
    if json {
        return Ok(channels.json());
    }
    let now = now(table(door, "status", "")?.only()?)?;
    let mut grid = Grid::new(&[
        ("SITE", Side::Left),
        ("CHANNEL", Side::Right),
        ("STATE", Side::Left),
        ("SINCE", Side::Right),
        ("AGE", Side::Right),
        ("QUERIES", Side::Right),
        ("ADDRESS", Side::Left),
        ("CLIENT", Side::Right),
        ("REQUEST", Side::Left),
    ]);
    for row in channels.rows() {
        let state = row.text("state")?;
        let tone = match state.as_str() {
            "ready" => Tone::Good,
            "connecting" => Tone::Warning,
            _ => Tone::Plain,
        };
        let client = match row.count("client")? {
            0 => String::new(),
            number => number.to_string(),
        };
        grid.push(vec![
            row.text("site")?.into(),
            row.count("number")?.to_string().into(),
            Cell::toned(state, tone),
            ago(row.number("since")?, now).into(),
            ago(row.number("opened")?, now).into(),
            count(row.count("queries")?).into(),
            row.text("address")?.into(),
            client.into(),
            row.text("request")?.into(),
        ]);
    }
    Ok(match channels.rows().count() {
        0 => "No channel is open.\n".into(),
        _ => grid.text(sheet),
    })
}

/// Those who are connected, those that wait longest first.
pub fn clients(
    door: &Door,
    sheet: Sheet,
    site: &Option<String>,
    json: bool,
) -> Result<String, Failure> {
    const STATES: [(&str, Tone); 7] = [
        ("wait_for_channel", Tone::Warning),
        ("wait_for_response", Tone::Plain),
        ("response", Tone::Plain),
        ("reading", Tone::Plain),
        ("handshake", Tone::Plain),
        ("leaving", Tone::Faint),
        ("idle", Tone::Faint),
    ];
    let clients = table(door, "clients", &of_site(door, site, "site")?)?;
    if json {
        return Ok(clients.json());
    }
    let mut rows = Vec::new();
    for row in clients.rows() {
        let state = row.text("state")?;
        let rank = STATES.iter().position(|(name, _)| *name == state);
        rows.push((rank, row.number("since")?, row));
    }
    // Of one that nobody knows here it is not known that it waits.
    let order = |rank: &Option<usize>| rank.unwrap_or(STATES.len());
    rows.sort_by(|(rank, since, _), (other, later, _)| {
        order(rank).cmp(&order(other)).then(since.total_cmp(later))
    });
    let now = now(table(door, "status", "")?.only()?)?;
    let mut grid = Grid::new(&[
        ("CLIENT", Side::Right),
        ("SITE", Side::Left),
        ("STATE", Side::Left),
        ("SINCE", Side::Right),
        ("AGE", Side::Right),
        ("REQUESTS", Side::Right),
        ("PROCESS", Side::Right),
        ("USER", Side::Right),
        ("CHANNEL", Side::Right),
        ("REQUEST", Side::Left),
    ]);
    let known = |number: f64| match number >= 0.0 {
        true => format!("{number}"),
        false => String::new(),
    };
    for (rank, since, row) in rows {
        let tone = rank.map_or(Tone::Plain, |rank| STATES[rank].1);
        let site = match row.text("site")? {
            site if site.is_empty() => Cell::toned("(control)", Tone::Faint),
            site => site.into(),
        };
        grid.push(vec![
            row.count("number")?.to_string().into(),
            site,
            Cell::toned(row.text("state")?, tone),
            ago(since, now).into(),
            ago(row.number("connected")?, now).into(),
            count(row.count("requests")?).into(),
            match row.number("pid")? {
                0.0 => "".into(),
                pid => known(pid).into(),
            },
            known(row.number("uid")?).into(),
            known(row.number("channel")?).into(),
            row.text("request")?.into(),
        ]);
    }
    Ok(match clients.rows().count() {
        0 => "Nobody is connected.\n".into(),
        _ => grid.text(sheet),
    })
}
