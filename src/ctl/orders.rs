//! Orders: given, waited for, and what came of them. The daemon carries out
//! most of them after it has taken them, so the outcome is read from its tables.

use super::Failure;
use super::ask::{self, Row, table};
use super::connect::{Door, unknown_site};
use super::show;
use super::table::Paint;
use super::words::span;
use crate::sys;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// Between two looks whether it has been done.
const STEP: Duration = Duration::from_millis(50);

/// How long a site may take until its new state is known: a connect has ten seconds.
const SITE_LIMIT: Duration = Duration::from_secs(12);

/// How long a reload may take: it reads files.
const RELOAD_LIMIT: Duration = Duration::from_secs(15);

/// How long a restart may take: the new process proves its channels first.
const RESTART_LIMIT: Duration = Duration::from_secs(30);

/// How long the end may take: running queries have ten seconds.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(15);

/// Looks until something is found or the time is over.
fn awaited<T>(
    limit: Duration,
    mut find: impl FnMut() -> Result<Option<T>, Failure>,
) -> Result<Option<T>, Failure> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = find()? {
            return Ok(Some(found));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        thread::sleep(STEP);
    }
}

/// What is shown of a site: state, reason, and how often it has failed so far.
struct Seen {
    state: String,
    reason: String,
    connects_failed: u64,
    deaths: u64,
}

fn look(door: &Door, site: &str) -> Result<Seen, Failure> {
    let sites = table(door, "sites", "")?;
    let mut names = Vec::new();
    for row in sites.rows() {
        let name = row.text("name")?;
        if name == site {
            return Ok(Seen {
                state: row.text("state")?,
                reason: show::reason(row)?,
                connects_failed: row.count("connects_failed")?,
                deaths: row.count("deaths")?,
            });
        }
        names.push(name);
    }
    Err(Failure::Failed(unknown_site(site, &names)))
}

fn told(site: &str, seen: &Seen) -> String {
    match seen.reason.as_str() {
        "" => format!("{site} is {}\n", seen.state),
        reason => format!("{site} is {}: {reason}\n", seen.state),
    }
}

/// The site once `holds`, or else the failure of not seeing that.
fn await_site(door: &Door, site: &str, holds: impl Fn(&Seen) -> bool) -> Result<String, Failure> {
    let mut last = None;
    let found = awaited(SITE_LIMIT, || {
        let seen = look(door, site)?;
        let done = holds(&seen).then_some(());
        last = Some(told(site, &seen));
        Ok(done)
    })?;
    let last = last.unwrap_or_default();
    match found {
        Some(()) => Ok(last),
        None => Err(Failure::Failed(format!(
            "the order was taken, but after {} {}",
            span(SITE_LIMIT.as_secs_f64()),
            last.trim_end()
        ))),
    }
}

/// Whether it is known how the site is, an order after it was last seen so. A
/// dead one stays dead until a channel is open: only another failure is news.
fn is_decided(seen: &Seen, before: &Seen) -> bool {
    match seen.state.as_str() {
        "starting" | "disabled" => false,
        "dead" => seen.connects_failed > before.connects_failed || seen.deaths > before.deaths,
        _ => true,
    }
}

/// Use a site no more.
pub fn disable(door: &Door, site: &str, reason: &str) -> Result<String, Failure> {
    look(door, site)?;
    ask::order(door, &format!("DISABLE_SITE;{site};{reason}"))?;
    await_site(door, site, |seen| seen.state == "disabled")
}

/// Use it again. How it is then decides nothing: the order was carried out.
pub fn enable(door: &Door, site: &str) -> Result<String, Failure> {
    let before = look(door, site)?;
    if before.state != "disabled" {
        return Err(Failure::Failed(format!("{site} is not disabled")));
    }
    ask::order(door, &format!("ENABLE_SITE;{site}"))?;
    await_site(door, site, |seen| is_decided(seen, &before))
}

/// Begin its channels anew.
pub fn reconnect(door: &Door, site: &str) -> Result<String, Failure> {
    let before = look(door, site)?;
    if before.state == "disabled" {
        return Err(Failure::Failed(told(site, &before).trim_end().into()));
    }
    // It is carried out before the daemon closes, so that all that is seen from
    // here on is later.
    ask::order(door, &format!("RECONNECT_SITE;{site}"))?;
    await_site(door, site, |seen| is_decided(seen, &before))
}

/// Tables hold whole seconds. What is to be told from a moment must not happen
/// within the same one.
fn next_second(moment: f64) {
    /// Should the clock have been set back, nobody waits for it.
    const MOST_STEPS: usize = 40;
    for _ in 0..MOST_STEPS {
        if sys::since_epoch().as_secs_f64() >= moment.floor() + 1.0 {
            return;
        }
        thread::sleep(STEP);
    }
}

/// Read the configuration again.
pub fn reload(door: &Door) -> Result<String, Failure> {
    let moments = |row: Row<'_>| -> Result<(f64, f64), Failure> {
        Ok((
            row.number("last_reload")?,
            row.number("config_error_since")?,
        ))
    };
    let before = moments(table(door, "status", "")?.only()?)?;
    next_second(before.0.max(before.1));
    ask::order(door, "RELOAD")?;
    let error = awaited(RELOAD_LIMIT, || {
        let status = table(door, "status", "")?;
        let row = status.only()?;
        let after = moments(row)?;
        let error = row.text("config_error")?;
        let is_done = after.0 > before.0 || (after.1 > before.1 && !error.is_empty());
        Ok(is_done.then_some(error))
    })?;
    match error.as_deref() {
        Some("") => {
            let sites = table(door, "sites", "")?;
            let mut text = format!(
                "The configuration was read. Sites: {}\n",
                show::states(&sites, Paint::No)?
            );
            for row in sites.rows() {
                if row.text("state")? == "refused" {
                    text.push_str(&format!("{}: {}\n", row.text("name")?, row.text("reason")?));
                }
            }
            Ok(text)
        }
        Some(error) => Err(Failure::Failed(format!(
            "the configuration in force stays: {error}"
        ))),
        None => Err(Failure::Failed(format!(
            "the order was taken, but nothing was read within {}; see the log",
            span(RELOAD_LIMIT.as_secs_f64())
        ))),
    }
}

fn pid(door: &Door) -> Result<u64, Failure> {
    table(door, "status", "")?.only()?.count("pid")
}

/// What has become of a restart.
enum Restarted {
    /// A new process serves; `problem`: what is wrong with its configuration, if anything is.
    By { pid: u64, problem: String },
    /// The old one goes on, and why.
    Not(String),
}

/// Nothing, as long as the old process says nothing of it.
fn restarted(door: &Door, before: u64) -> Result<Option<Restarted>, Failure> {
    let status = table(door, "status", "")?;
    let row = status.only()?;
    let pid = row.count("pid")?;
    if pid != before {
        let problem = row.text("config_error")?;
        return Ok(Some(Restarted::By { pid, problem }));
    }
    let why = row.text("restart_error")?;
    Ok((!why.is_empty()).then_some(Restarted::Not(why)))
}

/// Have a new process take over.
pub fn restart(door: &Door) -> Result<String, Failure> {
    let before = pid(door)?;
    ask::order(door, "RESTART")?;
    let outcome = awaited(RESTART_LIMIT, || match restarted(door, before) {
        // The old process may close while it is asked.
        Err(Failure::Failed(_) | Failure::Away(_)) => Ok(None),
        outcome => outcome,
    })?;
    let outcome = match outcome {
        None => restarted(door, before)?,
        outcome => outcome,
    };
    match outcome {
        Some(Restarted::By { pid, problem }) => {
            let mut text = format!("Process {pid} has taken over from process {before}\n");
            if !problem.is_empty() {
                text.push_str(&format!("The configuration is wrong: {problem}\n"));
            }
            Ok(text)
        }
        Some(Restarted::Not(why)) => {
            Err(Failure::Failed(format!("process {before} goes on: {why}")))
        }
        None => Err(Failure::Failed(format!(
            "no other process has taken over from process {before} within {}; see the log",
            span(RESTART_LIMIT.as_secs_f64())
        ))),
    }
}

/// End the daemon, and wait until it is gone.
pub fn shutdown(door: &Door) -> Result<String, Failure> {
    let before = pid(door)?;
    ask::order(door, "SHUTDOWN")?;
    let gone = awaited(SHUTDOWN_LIMIT, || {
        let is_closed = matches!(door.connect(), Err(Failure::Away(_)));
        Ok((is_closed && !is_alive(before)).then_some(()))
    })?;
    match gone {
        Some(()) => Ok(format!("Process {before} has ended\n")),
        None => Err(Failure::Failed(format!(
            "process {before} has not ended within {}",
            span(SHUTDOWN_LIMIT.as_secs_f64())
        ))),
    }
}

/// Whether there is such a process. One that has ended, and whose parent has not
/// taken note of it yet, is none.
fn is_alive(pid: u64) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in brackets may hold anything; the state stands behind it.
    let state = status.rsplit(") ").next().unwrap_or_default();
    !state.is_empty() && !state.starts_with(['Z', 'X'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_that_has_ended_is_gone_though_nobody_has_asked_for_its_end() {
        assert!(is_alive(std::process::id().into()));
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = u64::from(child.id());
        assert!(is_alive(pid));
        drop(child.stdin.take());
        let gone = awaited(SHUTDOWN_LIMIT, || Ok((!is_alive(pid)).then_some(())));
        assert_eq!(gone, Ok(Some(())));
        child.wait().unwrap();
        assert!(!is_alive(pid));
    }
}
