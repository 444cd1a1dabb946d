//! System calls of a query, counted by strace.

use crate::Failure;
use crate::daemon::{Daemon, HaProxy, Setup};
use crate::load::Plan;
use crate::process::{self, Running, Site};
use crate::table::{self, figure};
use std::fs;
use std::process::{Command, Stdio};

/// So many queries are counted.
const QUERIES: u64 = 4000;

/// Fewer calls a query than this are not named.
const WORTH_NAMING: f64 = 0.02;

/// Measures and prints.
pub fn run() -> Result<(), Failure> {
    if !process::exists("strace") {
        return Err("there is no strace".into());
    }
    let site = Site::start(1, 0, false)?;
    let setup = Setup {
        sites: 1,
        channels: 5,
        tls: false,
    };
    let daemon = Daemon::start(&[], &setup, &site)?;
    let rival = match process::exists("haproxy") {
        true => Some(HaProxy::start(&site, 1000, false)?),
        false => None,
    };
    let mut rows = Vec::new();
    for (title, per_connection, bytes, count) in [
        ("kept connection, 1 kB", 20, 1000, QUERIES),
        ("fresh connection, 1 kB", 1, 1000, QUERIES),
        ("kept connection, 1 MB", 20, 1_000_000, QUERIES / 10),
    ] {
        let plan = Plan {
            clients: 8,
            per_connection,
            bytes,
            count,
            seconds: 60.0,
        };
        rows.push(counted(
            "liveproxyd",
            title,
            daemon.id(),
            &daemon.targets(),
            &plan,
        )?);
        if let Some(rival) = &rival {
            rows.push(counted(
                "HAProxy",
                title,
                rival.id(),
                &rival.targets(),
                &plan,
            )?);
        }
    }
    let head = ["", "", "calls a query", "of these"];
    table::print("System calls:", &head, &rows)?;
    daemon.end()
}

fn counted(
    name: &str,
    title: &str,
    id: u32,
    targets: &[String],
    plan: &Plan,
) -> Result<Vec<String>, Failure> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("calls");
    let tracer = Command::new("strace")
        .args(["-c", "-f", "-p", &id.to_string(), "-o"])
        .arg(&path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let tracer = Running::new(tracer);
    process::await_that("strace", || {
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        Ok(!status.contains("TracerPid:\t0\n"))
    })?;
    let outcome = process::ask(plan, targets)?;
    // It writes its table when it is interrupted.
    process::signal(tracer.id(), "INT")?;
    process::await_that("strace's table", || {
        Ok(fs::read_to_string(&path).is_ok_and(|text| text.trim_end().ends_with("total")))
    })?;
    let mut calls: Vec<(f64, String)> = Vec::new();
    let text = fs::read_to_string(&path)?;
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // Time in percent, seconds, time a call, calls, errors if any, name.
        if let [_, _, _, count, .., call] = fields.as_slice()
            && let Ok(count) = count.parse::<u64>()
            && *call != "total"
        {
            calls.push((count as f64 / outcome.queries as f64, (*call).into()));
        }
    }
    calls.sort_by(|a, b| b.0.total_cmp(&a.0));
    let sum = calls.iter().map(|(count, _)| count).sum();
    let named = calls.iter().filter(|(count, _)| *count >= WORTH_NAMING);
    let named: Vec<String> = named.map(|(n, call)| format!("{call} {n:.2}")).collect();
    Ok(vec![
        name.into(),
        title.into(),
        figure(sum),
        named.join(", "),
    ])
}
