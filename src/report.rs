//! How everything is at one moment: plain data, gathered by the loop for those
//! who show it (state file, control socket). Nothing in here decides anything.
//!
//! Points in time are seconds since 1970, because that is what Livestatus
//! tables hold; 0 means "never".

use crate::counters::{Counters, Histogram};
use std::time::Duration;

/// The whole daemon.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// When this was gathered.
    pub now: f64,
    /// The daemon itself.
    pub daemon: DaemonReport,
    /// The sites, by name.
    pub sites: Vec<SiteReport>,
    /// Their channels, by site and number.
    pub channels: Vec<ChannelReport>,
    /// Everyone who is connected.
    pub clients: Vec<ClientReport>,
}

/// The daemon itself.
#[derive(Debug, Clone, Default)]
pub struct DaemonReport {
    /// Its process.
    pub pid: u32,
    /// When it started.
    pub started: f64,
    /// When it last read its configuration and used it.
    pub configured: f64,
    /// What was wrong when the configuration was last read again; empty if nothing.
    pub config_error: String,
    /// When that was.
    pub config_error_since: f64,
    /// It is in use all the same, without what is wrong: the daemon has started with it.
    pub config_in_part: bool,
    /// Why nothing came of the last order to restart; empty if that is not so, or not known yet.
    pub restart_error: String,
    /// Bytes of requests that are being read or wait.
    pub request_memory: usize,
    /// Bytes of responses that are held.
    pub response_memory: usize,
    /// The most that may be.
    pub response_memory_limit: usize,
    /// Bytes of answers on the control socket that are not read yet, but for small ones.
    pub answer_memory: usize,
}

/// One site.
#[derive(Debug, Clone, Default)]
pub struct SiteReport {
    /// Its name.
    pub name: String,
    /// `starting`, `ready`, `busy`, `dead`, `disabled`, or `refused` if its configuration is wrong.
    pub state: &'static str,
    /// Why, where there is a reason to be given.
    pub reason: String,
    /// Since when.
    pub since: f64,
    /// Where it is reached: `tcp:HOST:PORT` or `unix:PATH`.
    pub address: String,
    /// Its listening socket.
    pub socket: String,
    /// Channels that are to be kept.
    pub channels_configured: usize,
    /// Channels that serve or can serve.
    pub channels_open: usize,
    /// Of these, at work.
    pub channels_busy: usize,
    /// How many it gets at most because it did not answer on more; 0 if it has all.
    pub channels_limit: usize,
    /// Clients that are connected.
    pub clients: usize,
    /// Queries that wait for a channel.
    pub waiting: usize,
    /// How long the first of them has waited.
    pub oldest_wait: Duration,
    /// Clients that have not taken all of a response that is there.
    pub slow_readers: usize,
    /// Bytes of responses that are held for them.
    pub memory: usize,
    /// What runs there, as it says itself: program version.
    pub program_version: String,
    /// What runs there, as it says itself: version of Livestatus.
    pub livestatus_version: String,
    /// When the core there was started, as it says itself.
    pub program_start: u64,
    /// When its channels were last begun anew, after its death or at the start.
    pub last_reset: f64,
    /// When an attempt to open a channel failed last.
    pub last_failed_connect: f64,
    /// Why.
    pub last_failed_error: String,
    /// When it died last.
    pub last_death: f64,
    /// Median of its last heartbeats.
    pub heartbeat_typical: Duration,
    /// The last one.
    pub heartbeat_last: Duration,
    /// How long one may take.
    pub heartbeat_timeout: Duration,
    /// Seconds until the next one; below 0 if one is overdue.
    pub next_heartbeat: f64,
    /// Since when one is out, in seconds before now; `None` if none is.
    pub heartbeat_out: Option<f64>,
    /// What was counted.
    pub counters: Counters,
    /// From the sending of a query to the end of its response.
    pub response_times: Histogram,
    /// From the arrival of a query to its sending.
    pub waiting_times: Histogram,
}

/// One channel.
#[derive(Debug, Clone, Default)]
pub struct ChannelReport {
    /// Its site.
    pub site: String,
    /// Its number there.
    pub number: usize,
    /// `connecting`, `ready`, `busy` or `heartbeat`.
    pub state: &'static str,
    /// Since when.
    pub since: f64,
    /// When it was begun.
    pub opened: f64,
    /// Its descriptor; -1 if it has none yet.
    pub descriptor: i32,
    /// The address it is connected to, if it has one.
    pub address: String,
    /// Queries that were sent over it.
    pub queries: u64,
    /// Number of the client that it works for; 0 if none.
    pub client: u64,
    /// The first line of what it was asked, while it is busy.
    pub request: String,
}

/// One client.
#[derive(Debug, Clone, Default)]
pub struct ClientReport {
    /// Its number, never given to another one.
    pub number: u64,
    /// Its site; empty on the control socket.
    pub site: String,
    /// `handshake`, `idle`, `reading`, `wait_for_channel`, `wait_for_response`, `response` or `leaving`.
    pub state: &'static str,
    /// Since when.
    pub since: f64,
    /// When it connected.
    pub connected: f64,
    /// Its descriptor.
    pub descriptor: i32,
    /// Its process; 0 if that is not known.
    pub pid: i32,
    /// Its user; -1 if that is not known.
    pub uid: i64,
    /// Number of the channel that works for it; -1 if none.
    pub channel: i64,
    /// Requests it has made.
    pub requests: u64,
    /// The first line of the one that it waits for.
    pub request: String,
}

/// A change of a site's state.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Event {
    /// Counts up from 1.
    pub number: u64,
    /// When.
    pub time: f64,
    /// The site.
    pub site: String,
    /// Its state before.
    pub from: &'static str,
    /// Its state from then on.
    pub to: &'static str,
    /// Why, where there is a reason to be given.
    pub cause: String,
    /// How long the state before had lasted.
    pub lasted: Duration,
}
