//! What the daemon says of site `muc`: the lines that an administrator reads, from a mark on, and
//! what its clients are told.

use std::time::{Duration, Instant};

use crate::pair::{Pair, QUERY};
use crate::support::client::kept_and_framed;
use crate::support::{Client, Daemon, Response, eventually};

/// Far below every time for which a client may wait for anything in these tests.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A view of the log from a mark on.
pub struct Story<'a> {
    daemon: &'a Daemon,
    mark: usize,
}

impl<'a> Story<'a> {
    /// From a mark on.
    pub fn since(daemon: &'a Daemon, mark: usize) -> Story<'a> {
        Story { daemon, mark }
    }

    /// From the start of the daemon.
    pub fn whole(daemon: &'a Daemon) -> Story<'a> {
        Story { daemon, mark: 0 }
    }

    /// The lines about the site, without those for debugging and without what stands before its name.
    pub fn lines(&self) -> Vec<String> {
        let log = self.daemon.log().split_off(self.mark);
        let shown = log
            .iter()
            .filter(|line| !line.contains("[DEBUG]") && !line.contains("[TRACE]"));
        let about = shown.filter_map(|line| line.split_once("site muc: "));
        about.map(|(_, text)| text.to_owned()).collect()
    }

    /// The states in their order, each with its reason, without the times.
    pub fn states(&self) -> Vec<String> {
        let lines = self.lines();
        let states = lines.iter().filter_map(|line| line.split_once(" (was "));
        states.map(|(state, _)| state.to_owned()).collect()
    }

    /// The other lines.
    pub fn remarks(&self) -> Vec<String> {
        let is_state = |line: &String| line.contains(" (was ");
        let lines = self.lines().into_iter();
        lines.filter(|line| !is_state(line)).collect()
    }

    /// How many channels ended like this, attempts to open one among them.
    pub fn losses(&self, cause: &str) -> usize {
        let log = self.daemon.log().split_off(self.mark);
        let end = format!(": closed: {cause} (age ");
        let lines = log.iter().filter(|line| line.contains("channel muc/"));
        lines.filter(|line| line.contains(&end)).count()
    }

    /// How many channels ended, whatever by.
    pub fn all_losses(&self) -> usize {
        let log = self.daemon.log().split_off(self.mark);
        let lines = log.iter().filter(|line| line.contains("channel muc/"));
        lines.filter(|line| line.contains(": closed: ")).count()
    }

    /// Waits until a state is told, and gives how long the one before had lasted, in seconds.
    #[track_caller]
    pub fn await_state(&self, state: &str, before: &str) -> f64 {
        let start = format!("site muc: {state} (was {before} for ");
        let line = self.daemon.wait_log_after(self.mark, &start);
        let (_, rest) = line.split_once(&start).unwrap();
        let seconds = rest.strip_suffix(" s)").and_then(|text| text.parse().ok());
        seconds.unwrap_or_else(|| panic!("{line:?}"))
    }
}

/// A mark behind the line that says that the site is ready: the log may come later than the deed.
#[track_caller]
pub fn mark_ready(daemon: &Daemon) -> usize {
    daemon.wait_log("site muc: ready (was ");
    daemon.log_mark()
}

/// Asserts that this is what clients of a dead site read, and nothing else.
#[track_caller]
pub fn expect_unreachable(response: &Response, cause: &str) {
    let text = response.text();
    assert_eq!(response.code, 502, "{text:?}");
    let rest = text
        .strip_prefix(&format!("Site muc is not reachable: {cause} (for "))
        .and_then(|rest| rest.strip_suffix(")\n"))
        .unwrap_or_else(|| panic!("{cause:?} is not the cause in {text:?}"));
    let (lasted, next) = rest.split_once(" s, next attempt ").unwrap();
    assert!(lasted.parse::<u64>().is_ok(), "{text:?}");
    let in_seconds = next.strip_prefix("in ").and_then(|n| n.strip_suffix(" s"));
    let is_number = in_seconds.is_some_and(|n| n.parse::<u64>().is_ok());
    assert!(is_number || next == "under way", "{text:?}");
}

/// Asks a site that is dead, framed and bare: the refusal comes at once, and a connection that is
/// to be kept is kept.
#[track_caller]
pub fn expect_refused_at_once(client: &Client, bare: &Client, cause: &str) {
    let begun = Instant::now();
    expect_unreachable(&client.ask(QUERY), cause);
    client.expect_open();
    bare.send(format!("{QUERY}\n\n"));
    let text = String::from_utf8(bare.read_to_end()).unwrap();
    let start = format!("502: Site muc is not reachable: {cause} (for ");
    assert!(text.starts_with(&start), "{text:?}");
    assert!(begun.elapsed() < AT_ONCE, "not at once");
}

/// A query that the site holds back until it is released, on a channel by now.
#[track_caller]
pub fn run_query(pair: &Pair) -> Client {
    let held = pair.site.stalled();
    let client = pair.holder();
    pair.site.await_stalled(held + 1);
    client
}

/// A query that the daemon has, and no channel for.
#[track_caller]
pub fn queue_query(pair: &Pair) -> Client {
    let client = pair.client();
    client.send(kept_and_framed(QUERY));
    look_around(pair);
    client
}

/// Returns when the daemon has read everything that was sent before: it answers such a request
/// itself.
pub fn look_around(pair: &Pair) {
    let client = pair.client();
    client.send("NONSENSE\n\n");
    let answer = client.read_to_end();
    assert_eq!(answer, b"Invalid request method\n");
}

/// Waits until a time has passed, for lack of anything else that would show.
pub fn let_pass(time: Duration) {
    let end = Instant::now() + time;
    eventually("time has passed", || Instant::now() >= end);
}
