//! What the fake site remembers and what it has been told to do: one lock, shared by the test and
//! the threads of the channels. It does no input or output but to end a channel.

use std::collections::{BTreeMap, VecDeque};
use std::net::Shutdown;
use std::sync::{Arc, Mutex, MutexGuard};

use super::answer::Identity;
use super::fault::Fault;
use crate::support::stream::Stream;

/// What happened at the site, in this order. The number is the channel's, counted from 1 in the
/// order of acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A channel was accepted.
    Opened(usize),
    /// A question about the site itself was read; its answer follows.
    Heartbeat(usize),
    /// Another `GET` was read; its answer follows.
    Request(usize),
    /// A command was read.
    Command(usize),
    /// The channel is closed, by either side.
    Closed(usize),
}

/// A channel that is open now.
#[derive(Debug)]
pub struct OpenChannel {
    /// Its stream. Whoever takes it out of here and drops it does not close it as long as the
    /// channel's thread holds it too.
    pub stream: Arc<Stream>,
    /// Whether no request is being read or answered on it.
    pub idle: bool,
}

/// Everything behind the lock.
#[derive(Debug, Default)]
pub struct State {
    pub stopping: bool,
    pub identity: Identity,
    pub accepted: usize,
    pub max_open: usize,
    /// Channels beyond these are closed at once.
    pub most_open: Option<usize>,
    pub open: BTreeMap<usize, OpenChannel>,
    pub events: Vec<Event>,
    pub requests: Vec<Vec<u8>>,
    pub heartbeats: usize,
    pub commands: Vec<String>,
    pub happened: BTreeMap<&'static str, usize>,
    pub stalled: usize,
    /// Grows with every release; a stall that began under a smaller number is over.
    pub releases: usize,
    pub next: VecDeque<Fault>,
    pub always: Option<Fault>,
    pub next_heartbeats: VecDeque<Fault>,
    pub all_heartbeats: Option<Fault>,
    /// What goes wrong after a command was read, before what stands behind it is answered.
    pub next_commands: VecDeque<Fault>,
    /// Whether wait queries are held back until a release, and not only for a short time.
    pub holds_waits: bool,
    /// How many channels are answered at a time, if not all.
    pub threads: Option<usize>,
}

/// The shared handle.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<State>>);

impl Ledger {
    /// The state itself. Nobody holds it while waiting for bytes.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Notes a new channel and gives its number; nothing when the site is ending.
    pub fn opened(&self, stream: &Arc<Stream>) -> Option<usize> {
        let mut state = self.lock();
        if state.stopping {
            return None;
        }
        if state.most_open.is_some_and(|most| state.open.len() >= most) {
            *state.happened.entry("turned-away").or_default() += 1;
            return None;
        }
        state.accepted += 1;
        let channel = state.accepted;
        let entry = OpenChannel {
            stream: Arc::clone(stream),
            idle: true,
        };
        state.open.insert(channel, entry);
        state.max_open = state.max_open.max(state.open.len());
        state.events.push(Event::Opened(channel));
        Some(channel)
    }

    /// Notes that a channel is closed.
    pub fn closed(&self, channel: usize) {
        let mut state = self.lock();
        state.open.remove(&channel);
        state.events.push(Event::Closed(channel));
    }

    /// Notes whether a channel is idle.
    pub fn set_idle(&self, channel: usize, idle: bool) {
        if let Some(open) = self.lock().open.get_mut(&channel) {
            open.idle = idle;
        }
    }

    /// Counts something that really happened.
    pub fn count(&self, name: &'static str) {
        *self.lock().happened.entry(name).or_default() += 1;
    }
}

impl State {
    /// What is to go wrong with the next answer of its kind.
    pub fn take_fault(&mut self, heartbeat: bool) -> Fault {
        let (next, always) = match heartbeat {
            true => (&mut self.next_heartbeats, &self.all_heartbeats),
            false => (&mut self.next, &self.always),
        };
        let fault = next.pop_front().or_else(|| always.clone());
        fault.unwrap_or(Fault::Nothing)
    }

    /// Whether there is a thread for a channel.
    pub fn has_thread(&self, channel: usize) -> bool {
        let older = self.open.range(..channel).count();
        self.threads.is_none_or(|threads| older < threads)
    }

    /// Wakes and ends the threads of all channels.
    pub fn end_all(&mut self) {
        self.stopping = true;
        for channel in self.open.values() {
            channel.stream.shutdown(Shutdown::Both);
        }
    }
}
