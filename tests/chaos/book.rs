//! What was seen and what was sent, for the account in the end.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;

use crate::support::FakeSite;
use crate::town::{Fakes, Town};

/// What a client was told of its command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Nothing: it did not listen.
    Nothing,
    /// That it was delivered, by silence.
    Delivered,
    /// That it was not.
    NotDelivered,
    /// That nobody knows.
    Unknown,
}

/// A command that a daemon has taken.
#[derive(Debug)]
pub struct Sent {
    pub site: &'static str,
    pub line: String,
    pub told: Told,
}

#[derive(Debug, Default)]
pub struct Book {
    counts: Mutex<BTreeMap<&'static str, u64>>,
    commands: Mutex<Vec<Sent>>,
    failures: Mutex<Vec<String>>,
}

/// How many failures are shown: the first ones tell most.
const SHOWN: usize = 10;

/// In every command, behind its name.
pub const MARK: &str = "CHAOS;";

impl Book {
    pub fn count(&self, what: &'static str) {
        *self.counts.lock().unwrap().entry(what).or_default() += 1;
    }

    pub fn sent(&self, site: &'static str, line: String, told: Told) {
        self.count(match told {
            Told::Nothing => "command: nobody listens",
            Told::Delivered => "command: delivered",
            Told::NotDelivered => "command: not delivered",
            Told::Unknown => "command: unknown",
        });
        let mut commands = self.commands.lock().unwrap();
        commands.push(Sent { site, line, told });
    }

    pub fn fail(&self, what: String) {
        self.failures.lock().unwrap().push(what);
    }

    pub fn has_failures(&self) -> bool {
        !self.failures.lock().unwrap().is_empty()
    }

    pub fn summary(&self) -> String {
        let counts = self.counts.lock().unwrap();
        let lines = counts
            .iter()
            .map(|(what, times)| format!("{times:8}  {what}\n"));
        lines.collect()
    }

    pub fn expect_no_failures(&self, seed: u64) {
        let failures = self.failures.lock().unwrap();
        let first: Vec<&String> = failures.iter().take(SHOWN).collect();
        assert!(first.is_empty(), "seed {seed}: {first:#?}");
    }

    /// A run in which nothing happened proves nothing.
    pub fn expect_variety(&self) {
        let counts = self.counts.lock().unwrap();
        for what in [
            "right",
            "refused",
            "command: delivered",
            "steward: reload",
            "steward: takeover",
            "steward: stop and start",
        ] {
            assert!(counts.contains_key(what), "no {what}: {counts:?}");
        }
    }

    /// Every query came to its own site, at most twice; every command at most once, and where it
    /// did not come, somebody was told.
    pub fn expect_balance(&self, town: &Town, fakes: &Fakes, log: &str) {
        assert!(!log.contains("internal error"), "the daemon panicked");
        for (house, fakes) in town.houses.iter().zip(fakes) {
            check_requests(house.name, fakes);
        }
        let mut arrived: HashMap<String, (usize, &str)> = HashMap::new();
        for (house, fakes) in town.houses.iter().zip(fakes) {
            for command in fakes.iter().flat_map(FakeSite::commands) {
                arrived.entry(command).or_insert((0, house.name)).0 += 1;
            }
        }
        let logged = commands_of(log, "delivered");
        let given_up = commands_of(log, " was not delivered");
        let mut wrong = Vec::new();
        for command in self.commands.lock().unwrap().iter() {
            let (times, site) = arrived.remove(&command.line).unwrap_or((0, command.site));
            let fits = match command.told {
                Told::Delivered => times == 1,
                Told::NotDelivered => times == 0,
                Told::Unknown => times <= 1,
                Told::Nothing => times == 1 || times == 0 && logged.contains(command.line.as_str()),
            };
            let denied = times > 0 && given_up.contains(command.line.as_str());
            if !fits || denied || site != command.site {
                wrong.push(format!("{command:?}: {times} times at {site}"));
            }
        }
        wrong.truncate(SHOWN);
        assert!(wrong.is_empty(), "commands: {wrong:#?}");
        // Whoever could not write all of it is not in the book; once is all the same the most.
        let twice: Vec<_> = arrived
            .iter()
            .filter(|(_, (times, _))| *times > 1)
            .collect();
        assert!(twice.is_empty(), "twice: {twice:?}");
    }
}

/// The commands in those lines of a log that have these words.
fn commands_of<'a>(log: &'a str, words: &str) -> HashSet<&'a str> {
    let lines = log.lines().filter(|line| line.contains(words));
    lines
        .filter_map(|line| line.get(line.find("COMMAND [")?..))
        .map(str::trim_end)
        .collect()
}

fn check_requests(name: &str, fakes: &[FakeSite]) {
    let own = format!("Filter: site = {name}\n");
    let mut visits: HashMap<String, usize> = HashMap::new();
    for request in fakes.iter().flat_map(FakeSite::requests) {
        let text = String::from_utf8_lossy(&request);
        assert!(text.contains(&own), "at {name}: {text:?}");
        let visit = text.lines().find(|line| line.starts_with("Filter: visit"));
        let visit = visit.unwrap_or_else(|| panic!("at {name}: {text:?}"));
        *visits.entry(visit.to_owned()).or_default() += 1;
    }
    let often: Vec<_> = visits.iter().filter(|(_, times)| **times > 2).collect();
    assert!(often.is_empty(), "asked more than twice: {often:?}");
}
