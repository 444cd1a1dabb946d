//! Everything that is counted, in the text format of Prometheus. Names follow
//! its conventions; counters and classes of times come from where they are declared.

use super::ask::{Row, Table, table};
use super::connect::Door;
use super::show::STATES;
use super::{Failure, print};
use crate::counters::{CLASSES, COUNTERS, Counter, Declared};
use crate::replace::replace;
use crate::sys;
use std::fmt::Write;
use std::path::Path;

/// A column that is a value at this moment.
struct Gauge {
    name: &'static str,
    column: &'static str,
    help: &'static str,
}

const fn gauge(name: &'static str, column: &'static str, help: &'static str) -> Gauge {
    Gauge { name, column, help }
}

/// Of the daemon, from the table `status`.
const OF_DAEMON: &[Gauge] = &[
    gauge(
        "start_time_seconds",
        "program_start",
        "When the daemon was started, in seconds since 1970.",
    ),
    gauge(
        "config_read_timestamp_seconds",
        "last_reload",
        "When the configuration in force was read, in seconds since 1970.",
    ),
    gauge(
        "request_memory_bytes",
        "request_memory",
        "Memory of requests that are being read or wait.",
    ),
    gauge(
        "response_memory_bytes",
        "response_memory",
        "Memory of responses that are held.",
    ),
    gauge(
        "response_memory_limit_bytes",
        "response_memory_limit",
        "The most memory that responses may have.",
    ),
];

/// Of each site, from the table `sites`.
const OF_SITES: &[Gauge] = &[
    gauge(
        "state_since_timestamp_seconds",
        "since",
        "Since when the site has been in its state, in seconds since 1970.",
    ),
    gauge(
        "channels_configured",
        "channels_configured",
        "Channels that are to be kept open.",
    ),
    gauge(
        "channels_open",
        "channels_open",
        "Channels that serve or can serve.",
    ),
    gauge(
        "channels_busy",
        "channels_busy",
        "Channels that are at work.",
    ),
    gauge("clients", "clients", "Clients that are connected."),
    gauge(
        "queries_waiting",
        "waiting",
        "Queries that wait for a channel.",
    ),
    gauge(
        "oldest_wait_seconds",
        "oldest_wait",
        "How long the first of the waiting queries has waited.",
    ),
    gauge(
        "slow_readers",
        "slow_readers",
        "Clients that have not taken all of a response that is there.",
    ),
    gauge(
        "response_memory_bytes",
        "memory",
        "Memory of responses that are held for the site's clients.",
    ),
    gauge(
        "heartbeat_seconds",
        "heartbeat_last",
        "How long the last heartbeat took.",
    ),
];

/// Times of each site: their columns begin with this.
const TIMES: &[(&str, &str)] = &[
    (
        "response_time",
        "From the sending of a query to the end of its response.",
    ),
    (
        "waiting_time",
        "From the arrival of a query to its sending.",
    ),
];

/// The name of a counter's metric.
fn name_of(declared: &Declared) -> String {
    let name = match declared.counter {
        // By convention the unit is the last word.
        Counter::BytesIn => "received_bytes",
        Counter::BytesOut => "sent_bytes",
        _ => declared.name,
    };
    format!("liveproxyd_site_{name}_total")
}

/// Prints them, or writes them into a file that never holds half of them.
pub fn metrics(door: &Door, file: Option<&Path>) -> Result<(), Failure> {
    let text = match gathered(door) {
        Ok(text) => Ok(text),
        // Whoever collects this is to see that it is down, not yesterday's figures.
        Err(failure @ (Failure::Away(_) | Failure::Silent(_))) => {
            let mut text = String::new();
            up(&mut text, false);
            deliver(&text, file)?;
            Err(failure)
        }
        Err(failure) => Err(failure),
    }?;
    deliver(&text, file)
}

fn deliver(text: &str, file: Option<&Path>) -> Result<(), Failure> {
    let Some(file) = file else {
        return print(text);
    };
    replace(file, text).map_err(|error| {
        Failure::Failed(format!(
            "cannot write {}: {}",
            file.display(),
            sys::words(&error)
        ))
    })
}

fn gathered(door: &Door) -> Result<String, Failure> {
    let daemon = table(door, "status", "")?;
    let sites = table(door, "sites", "")?;
    rendered(&daemon, &sites)
}

fn rendered(daemon: &Table, sites: &Table) -> Result<String, Failure> {
    let mut text = String::new();
    up(&mut text, true);
    of_daemon(&mut text, daemon.only()?)?;
    let rows: Vec<(String, Row<'_>)> = sites
        .rows()
        .map(|row| Ok((label(&row.text("name")?), row)))
        .collect::<Result<_, Failure>>()?;
    states(&mut text, &rows)?;
    for Gauge { name, column, help } in OF_SITES {
        let name = format!("liveproxyd_site_{name}");
        head(&mut text, &name, "gauge", help);
        for (site, row) in &rows {
            let value = row.number(column)?;
            sample(&mut text, &format!("{name}{{site={site}}}"), value);
        }
    }
    for declared in &COUNTERS {
        let name = name_of(declared);
        head(&mut text, &name, "counter", declared.meaning);
        for (site, row) in &rows {
            let value = row.count(declared.name)?;
            sample(&mut text, &format!("{name}{{site={site}}}"), value);
        }
    }
    for (column, help) in TIMES {
        times(&mut text, column, help, &rows)?;
    }
    Ok(text)
}

fn up(text: &mut String, is_up: bool) {
    let name = "liveproxyd_up";
    head(text, name, "gauge", "Whether the daemon runs and answers.");
    sample(text, name, u8::from(is_up));
}

fn of_daemon(text: &mut String, row: Row<'_>) -> Result<(), Failure> {
    let name = "liveproxyd_build_info";
    head(
        text,
        name,
        "gauge",
        "The daemon's version, with the value 1.",
    );
    let version = label(&row.text("program_version")?);
    sample(text, &format!("{name}{{version={version}}}"), 1);
    let name = "liveproxyd_config_wrong";
    let help = "Whether the configuration could not be used when it was last read.";
    head(text, name, "gauge", help);
    let is_wrong = !row.text("config_error")?.is_empty();
    sample(text, name, u8::from(is_wrong));
    for Gauge { name, column, help } in OF_DAEMON {
        let name = format!("liveproxyd_{name}");
        head(text, &name, "gauge", help);
        sample(text, &name, row.number(column)?);
    }
    Ok(())
}

fn states(text: &mut String, rows: &[(String, Row<'_>)]) -> Result<(), Failure> {
    let name = "liveproxyd_site_info";
    let help = "What the site is and says of itself, with the value 1.";
    head(text, name, "gauge", help);
    for (site, row) in rows {
        let labels = format!(
            "site={site},address={},program_version={},livestatus_version={}",
            label(&row.text("address")?),
            label(&row.text("program_version")?),
            label(&row.text("livestatus_version")?)
        );
        sample(text, &format!("{name}{{{labels}}}"), 1);
    }
    let name = "liveproxyd_site_up";
    let help = "Whether the site answers: it is ready or busy.";
    head(text, name, "gauge", help);
    for (site, row) in rows {
        let is_up = matches!(row.text("state")?.as_str(), "ready" | "busy");
        sample(text, &format!("{name}{{site={site}}}"), u8::from(is_up));
    }
    let name = "liveproxyd_site_state";
    let help = "The site's state: 1 for the one it is in, 0 for the others.";
    head(text, name, "gauge", help);
    for (site, row) in rows {
        let state = row.text("state")?;
        for (each, _) in STATES {
            let series = format!("{name}{{site={site},state=\"{each}\"}}");
            sample(text, &series, u8::from(state == each));
        }
    }
    Ok(())
}

fn times(
    text: &mut String,
    column: &str,
    help: &str,
    rows: &[(String, Row<'_>)],
) -> Result<(), Failure> {
    let name = format!("liveproxyd_site_{column}_seconds");
    head(text, &name, "histogram", help);
    for (site, row) in rows {
        let buckets = row.counts(&format!("{column}_buckets"))?;
        let count = row.count(&format!("{column}_count"))?;
        for (limit, bucket) in CLASSES.iter().zip(buckets) {
            let limit = *limit as f64 / 1000.0;
            let series = format!("{name}_bucket{{site={site},le=\"{limit}\"}}");
            sample(text, &series, bucket);
        }
        sample(
            text,
            &format!("{name}_bucket{{site={site},le=\"+Inf\"}}"),
            count,
        );
        let sum = row.number(&format!("{column}_sum"))?;
        sample(text, &format!("{name}_sum{{site={site}}}"), sum);
        sample(text, &format!("{name}_count{{site={site}}}"), count);
    }
    Ok(())
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a text cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn sample(text: &mut String, series: &str, value: impl std::fmt::Display) {
    let _ = writeln!(text, "{series} {value}");
}

/// A value of a label, in its quotes.
fn label(value: &str) -> String {
    let escaped = value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_leave_its_quotes() {
        assert_eq!(label("a\\b\"c\nd"), "\"a\\\\b\\\"c\\nd\"");
    }

    #[test]
    fn names_follow_the_conventions() {
        for declared in &COUNTERS {
            let name = name_of(declared);
            let is_good = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
            assert!(name.bytes().all(is_good), "{name}");
            assert!(!name.contains("bytes_in") && name.ends_with("_total"));
        }
    }
}
