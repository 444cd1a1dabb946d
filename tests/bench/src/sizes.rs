//! Many sites: how long a start takes, what memory it needs, what it costs
//! while nobody asks, and whether a query costs more.

use crate::Failure;
use crate::daemon::{Daemon, Setup};
use crate::load::Plan;
use crate::process::{self, Site};
use crate::table::{self, figure, median};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The daemon is watched for so long while nobody asks.
const REST: Duration = Duration::from_secs(10);

/// Queries are asked so many times for so long.
const SLICES: usize = 5;
const SLICE: f64 = 0.5;

/// Measures and prints.
pub fn run() -> Result<(), Failure> {
    let mut rows = Vec::new();
    for (sites, channels) in [(1, 5), (200, 5), (600, 3), (1000, 10)] {
        rows.push(measured(sites, channels)?);
    }
    let head = [
        "sites x channels",
        "all channels after s",
        "memory MB",
        "kB a channel",
        "% of a core at rest",
        "µs per query",
    ];
    table::print("Many sites:", &head, &rows)
}

fn measured(sites: u16, channels: usize) -> Result<Vec<String>, Failure> {
    let site = Site::start(sites, 0, false)?;
    let setup = Setup {
        sites,
        channels,
        tls: false,
    };
    let start = Instant::now();
    let daemon = Daemon::start(&[], &setup, &site)?;
    let ready = start.elapsed().as_secs_f64();
    let memory = process::memory(daemon.id(), "VmRSS")?;
    let open = f64::from(sites) * channels as f64;
    let before = process::processor_time(daemon.id())?;
    sleep(REST);
    let rest = process::processor_time(daemon.id())? - before;
    let plan = Plan {
        clients: 8,
        per_connection: 20,
        bytes: 1000,
        count: 0,
        seconds: SLICE,
    };
    let mut costs = Vec::new();
    for _ in 0..SLICES {
        let before = process::processor_time(daemon.id())?;
        let outcome = process::ask(&plan, &daemon.targets()[..1])?;
        let used = process::processor_time(daemon.id())? - before;
        costs.push(used / outcome.queries as f64);
    }
    daemon.end()?;
    Ok(vec![
        format!("{sites} x {channels}"),
        figure(ready),
        figure(memory as f64 / 1024.0),
        figure(memory as f64 / open),
        figure(rest / REST.as_micros() as f64 * 100.0),
        figure(median(costs)),
    ])
}
