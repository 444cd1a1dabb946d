//! Instructions of a whole query through the daemon: callgrind counts the
//! process twice, with few queries and with many, and the difference belongs
//! to the queries. Unlike time, that is the same on a busy machine.

use crate::Failure;
use crate::daemon::{Daemon, Setup};
use crate::load::Plan;
use crate::process::{self, Site};
use crate::table::{self, figure};
use std::fs;

/// What is counted.
enum Work {
    Queries(Plan),
    /// The control socket is asked for all sites.
    Status,
}

/// Measures and prints.
pub fn run() -> Result<(), Failure> {
    if !process::exists("valgrind") {
        return Err("there is no valgrind".into());
    }
    let kept = Plan {
        clients: 8,
        per_connection: 20,
        bytes: 1000,
        count: 0,
        seconds: 60.0,
    };
    let fresh = Plan {
        per_connection: 1,
        ..kept.clone()
    };
    let large = Plan {
        bytes: 1_000_000,
        ..kept.clone()
    };
    let queries = |plan: &Plan| Work::Queries(plan.clone());
    let mut rows = Vec::new();
    for (title, sites, tls, few, many, work) in [
        ("kept connection, 1 kB", 1, false, 200, 2000, queries(&kept)),
        (
            "fresh connection, 1 kB",
            1,
            false,
            200,
            2000,
            queries(&fresh),
        ),
        ("kept connection, 1 MB", 1, false, 20, 120, queries(&large)),
        (
            "kept connection, 1 kB, TLS to the site",
            1,
            true,
            200,
            2000,
            queries(&kept),
        ),
        (
            "kept connection, 1 kB, one of 100 sites",
            100,
            false,
            200,
            2000,
            queries(&kept),
        ),
        (
            "control socket, a row for each of 100 sites",
            100,
            false,
            5,
            50,
            Work::Status,
        ),
    ] {
        let site = Site::start(sites, 0, tls)?;
        let setup = Setup {
            sites,
            channels: if sites == 1 { 5 } else { 2 },
            tls,
        };
        let base = match counted(&setup, &site, &work, few) {
            // Not every daemon has a control socket.
            Err(failure) if matches!(work, Work::Status) => {
                rows.push(vec![title.into(), format!("left out: {failure}")]);
                continue;
            }
            other => other?,
        };
        let all = counted(&setup, &site, &work, many)?;
        let one = all.saturating_sub(base) as f64 / (many - few) as f64;
        rows.push(vec![title.into(), figure(one)]);
    }
    table::print(
        "Instructions outside of the kernel:",
        &["", "for one"],
        &rows,
    )
}

fn counted(setup: &Setup, site: &Site, work: &Work, count: u64) -> Result<u64, Failure> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("counts");
    let option = format!("--callgrind-out-file={}", path.display());
    let wrapper = ["valgrind", "-q", "--tool=callgrind", &option];
    let daemon = Daemon::start(&wrapper, setup, site)?;
    match work {
        Work::Queries(plan) => {
            let plan = Plan {
                count,
                ..plan.clone()
            };
            // One site of many: that they are there must not cost anything.
            process::ask(&plan, &daemon.targets()[..1])?;
        }
        Work::Status => {
            for _ in 0..count {
                daemon.control("GET sites\n\n")?;
            }
        }
    }
    daemon.end()?;
    let text = fs::read_to_string(&path)?;
    let sum = text.lines().find_map(|line| line.strip_prefix("summary: "));
    Ok(sum.ok_or("callgrind has counted nothing")?.trim().parse()?)
}
