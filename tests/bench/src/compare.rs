//! liveproxyd, HAProxy in TCP mode and no proxy at all, measured in turns
//! within one run: what else the machine does then hits all of them alike.

use crate::Failure;
use crate::daemon::{Daemon, HaProxy, Setup};
use crate::load::{Outcome, Plan};
use crate::process::{self, Site};
use crate::table::{self, figure, median};

/// Turns of each.
const ROUNDS: usize = 7;

/// How long one measures in a turn.
const SLICE: f64 = 0.5;

/// Channels of liveproxyd.
const CHANNELS: usize = 5;

/// A way of asking the site.
struct Way {
    name: &'static str,
    targets: Vec<String>,
    /// The proxy's process.
    process: Option<u32>,
    turns: Vec<(Outcome, Option<f64>)>,
}

impl Way {
    fn new(name: &'static str, targets: Vec<String>, process: Option<u32>) -> Way {
        Way {
            name,
            targets,
            process,
            turns: Vec::new(),
        }
    }

    /// Has its turn.
    fn ask(&mut self, plan: &Plan) -> Result<(), Failure> {
        let before = self.process.map(process::processor_time).transpose()?;
        let outcome = process::ask(plan, &self.targets)
            .map_err(|failure| format!("{}: {failure}", self.name))?;
        let after = self.process.map(process::processor_time).transpose()?;
        let used = before.zip(after).map(|(before, after)| after - before);
        let cost = used.map(|used| used / outcome.queries as f64);
        self.turns.push((outcome, cost));
        Ok(())
    }

    fn row(&self, other: Option<&Way>) -> Vec<String> {
        let of =
            |value: fn(&Outcome) -> f64| figure(median(self.turns.iter().map(|(o, _)| value(o))));
        let costs = self.turns.iter().filter_map(|(_, cost)| *cost);
        let ratio = other.and_then(|other| {
            let pairs = self.turns.iter().zip(&other.turns);
            let ratios: Vec<f64> = pairs
                .filter_map(|((_, own), (_, others))| Some((*own)? / (*others)?))
                .collect();
            (!ratios.is_empty()).then(|| figure(median(ratios)))
        });
        vec![
            self.name.into(),
            of(Outcome::rate),
            of(|outcome| outcome.half),
            of(|outcome| outcome.most),
            match self.process {
                Some(_) => figure(median(costs)),
                None => "-".into(),
            },
            ratio.unwrap_or_else(|| "-".into()),
        ]
    }
}

const HEAD: [&str; 6] = [
    "",
    "queries/s",
    "median µs",
    "99 % µs",
    "proxy's µs per query",
    "of HAProxy's",
];

/// Measures and prints everything.
pub fn run() -> Result<(), Failure> {
    let kept = Plan {
        clients: 8,
        per_connection: 20,
        bytes: 1000,
        count: 0,
        seconds: SLICE,
    };
    let fresh = Plan {
        per_connection: 1,
        ..kept.clone()
    };
    let large = Plan {
        clients: 4,
        bytes: 1_000_000,
        ..kept.clone()
    };
    for tls in [false, true] {
        let site = Site::start(1, 0, tls)?;
        let setup = Setup {
            sites: 1,
            channels: CHANNELS,
            tls,
        };
        let daemon = Daemon::start(&[], &setup, &site)?;
        let rival = match process::exists("haproxy") {
            true => Some(HaProxy::start(&site, 1000, tls)?),
            false => None,
        };
        let over = if tls { ", site asked over TLS" } else { "" };
        for (title, plan) in [
            ("1 kB, 20 queries a connection, 8 clients", &kept),
            ("1 kB, one query a connection, 8 clients", &fresh),
            ("1 MB, 20 queries a connection, 4 clients", &large),
        ] {
            let mut ways = vec![Way::new("liveproxyd", daemon.targets(), Some(daemon.id()))];
            ways.extend(
                rival
                    .as_ref()
                    .map(|rival| Way::new("HAProxy, TCP mode", rival.targets(), Some(rival.id()))),
            );
            if !tls {
                let address = format!("127.0.0.1:{}", site.port);
                ways.push(Way::new("site asked directly", vec![address], None));
            }
            take_turns(&mut ways, plan)?;
            let rows: Vec<_> = ways.iter().map(|way| way.row(ways.get(1))).collect();
            table::print(&format!("{title}{over}:"), &HEAD, &rows)?;
        }
        daemon.end()?;
    }
    overload()
}

fn take_turns(ways: &mut [Way], plan: &Plan) -> Result<(), Failure> {
    for round in 0..ROUNDS {
        let count = ways.len();
        for place in 0..count {
            // Each of them is first as often as last.
            ways[(round + place) % count].ask(plan)?;
        }
    }
    Ok(())
}

/// More clients than channels, and answers that take their time.
fn overload() -> Result<(), Failure> {
    const DELAY: u64 = 20;
    let possible = CHANNELS as f64 * 1000.0 / DELAY as f64;
    let plan = Plan {
        clients: 200,
        per_connection: 1,
        bytes: 1000,
        count: 0,
        seconds: 5.0,
    };
    let site = Site::start(1, DELAY, false)?;
    let setup = Setup {
        sites: 1,
        channels: CHANNELS,
        tls: false,
    };
    let daemon = Daemon::start(&[], &setup, &site)?;
    let mut rows = Vec::new();
    let mut row = |name: &str, targets: Vec<String>, plan: &Plan| -> Result<(), Failure> {
        let outcome = process::ask(plan, &targets)?;
        rows.push(vec![
            name.into(),
            figure(outcome.rate()),
            figure(outcome.rate() / possible),
            format!("{} to {}", outcome.fewest, outcome.luckiest),
        ]);
        Ok(())
    };
    row("liveproxyd", daemon.targets(), &plan)?;
    let kept = Plan {
        per_connection: 20,
        ..plan.clone()
    };
    row("liveproxyd, connections kept", daemon.targets(), &kept)?;
    if process::exists("haproxy") {
        let rival = HaProxy::start(&site, CHANNELS, false)?;
        row("HAProxy, TCP mode", rival.targets(), &plan)?;
    }
    let title = format!("200 clients, {CHANNELS} channels, {DELAY} ms an answer:");
    let head = ["", "queries/s", "of the possible", "answers a client"];
    table::print(&title, &head, &rows)?;
    daemon.end()
}
