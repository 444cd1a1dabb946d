//! A response between its channel and its client: how much of it may be held in
//! memory, when the client may have it, and when its channel has to wait.

use crate::memory::Account;
use std::io;
use std::time::{Duration, Instant};

/// A response is passed on through a buffer of this size while it arrives, if
/// it is large and fast or too large to be held. Smaller ones are held whole.
const WINDOW: usize = 1024 * 1024;

/// Where a site may hold little, so many of its responses can be passed on at
/// a time all the same, through smaller windows.
const WINDOWS: usize = 4;

/// But no smaller than one read.
const LEAST_WINDOW: usize = 64 * 1024;

/// A response that can be expected to be complete within this time may be
/// begun before it is: Checkmk's GUI gives a body 30 s once it has the header.
const SOON: Duration = Duration::from_secs(10);

/// A client that has been behind its channel for so long is looked at: it is
/// slow if it will not have the rest soon.
const BEHIND: Duration = Duration::from_secs(1);

/// A client that will have the rest within so many times [`BEHIND`], at its
/// pace so far, may keep its channel: others wait 5 s for one. For a slower
/// one the rest is held, if there is memory.
const CATCHES_UP: u64 = 3;

/// What a response may use of memory, and so what may be done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grant {
    /// None yet: no more is read.
    Nothing,
    /// A window of a large response; how fast it comes is not known yet.
    Window,
    /// A window, passed on to the client as it fills.
    PassOn,
    /// The rest of a slow one was asked for and not granted yet: no more is read.
    Short,
    /// As much as it is long.
    Whole,
}

/// Since when a client is slower than its channel.
#[derive(Debug, Clone, Copy)]
struct Behind {
    since: Instant,
    /// How much of the response it had then.
    had: u64,
}

/// A response between its channel and its client.
#[derive(Debug)]
pub struct Response {
    /// What the client is to get, as far as it has come; the first `taken`
    /// bytes the client has.
    bytes: Vec<u8>,
    taken: usize,
    /// Length in all, with the header if the client wants one.
    length: u64,
    arrived: u64,
    began: Instant,
    /// The channel has to wait for the client.
    behind: Option<Behind>,
    grant: Grant,
    reserved: usize,
    has_begun: bool,
}

impl Response {
    /// A response of `length` bytes whose beginning has just come.
    pub fn new(length: u64, now: Instant) -> Self {
        Response {
            bytes: Vec::new(),
            taken: 0,
            length,
            arrived: 0,
            began: now,
            behind: None,
            grant: Grant::Nothing,
            reserved: 0,
            has_begun: false,
        }
    }

    /// An answer of our own, complete.
    pub fn own(bytes: Vec<u8>, now: Instant) -> Self {
        let length = bytes.len() as u64;
        Response {
            bytes,
            arrived: length,
            grant: Grant::Whole,
            ..Response::new(length, now)
        }
    }

    /// Reserves what it needs to go on. May be called at any time; `false`
    /// while there is not enough: then nothing more is to be read until memory
    /// was given back.
    pub fn reserve(&mut self, memory: &mut Account<'_>, now: Instant) -> bool {
        let whole = usize::try_from(self.length).unwrap_or(usize::MAX);
        if self.grant == Grant::Nothing {
            // The window is smaller where other sites have left little: nobody
            // waits for memory that another site holds.
            let most = memory.most();
            let window = (most / WINDOWS).clamp(LEAST_WINDOW, WINDOW);
            let first = whole.min(window).min(most);
            if !memory.take(first) {
                return false;
            }
            self.reserved = first;
            self.grant = match whole <= first {
                true => Grant::Whole,
                false => Grant::Window,
            };
        }
        if self.grant == Grant::Window && self.held() >= self.reserved {
            self.grant = match self.comes_soon(now) {
                true => Grant::PassOn,
                false => Grant::Short,
            };
        }
        if self.grant == Grant::Short {
            if whole > memory.most() {
                self.grant = Grant::PassOn;
            } else if memory.resize(self.reserved, whole) {
                self.reserved = whole;
                self.grant = Grant::Whole;
            }
        }
        !self.is_short()
    }

    /// When its client is to be looked at because its channel waits for it.
    pub fn is_slow_at(&self) -> Option<Instant> {
        self.behind.map(|behind| behind.since + BEHIND)
    }

    /// The client has been behind for a while: if it will not have the rest
    /// soon, what it has not taken is to be held. Without memory the channel
    /// goes on waiting, and this is tried again later.
    pub fn hold_the_rest(&mut self, memory: &mut Account<'_>, now: Instant) {
        let Some(behind) = self.behind else { return };
        let has = self.delivered();
        let rest = self.length - has;
        self.behind = Some(Behind {
            since: now,
            had: has,
        });
        if rest <= (has - behind.had).saturating_mul(CATCHES_UP) {
            return;
        }
        let rest = usize::try_from(rest).unwrap_or(usize::MAX);
        if memory.resize(self.reserved, rest) {
            self.reserved = rest;
            self.grant = Grant::Whole;
            self.behind = None;
        }
    }

    /// There will be no memory for it: it is passed on through the window that
    /// it has. `false` if it has none.
    pub fn pass_on_instead(&mut self) -> bool {
        let has_window = self.grant == Grant::Short;
        if has_window {
            self.grant = Grant::PassOn;
        }
        has_window
    }

    /// Whether the client has seen any of it.
    pub fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Memory of the budget that it holds.
    pub fn reserved(&self) -> usize {
        self.reserved
    }

    /// How much more may be read now.
    pub fn room(&self) -> usize {
        match self.grant {
            Grant::Nothing | Grant::Short => 0,
            Grant::Window | Grant::PassOn => self.reserved.saturating_sub(self.held()),
            Grant::Whole => usize::MAX,
        }
    }

    /// Whether it waits for memory.
    pub fn is_short(&self) -> bool {
        matches!(self.grant, Grant::Nothing | Grant::Short)
    }

    /// Takes in what came from the channel and gives the client what it may
    /// have; `write` returns how much was written.
    pub fn push(
        &mut self,
        fresh: &[u8],
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
        now: Instant,
    ) -> io::Result<()> {
        self.arrived += fresh.len() as u64;
        if !self.bytes.is_empty() || !self.may_pass() {
            self.keep(fresh);
            return self.flush(write, now);
        }
        // Nothing is held: what the client takes at once is never copied.
        let written = write(fresh)?;
        self.has_begun |= written > 0;
        if let Some(rest) = fresh.get(written..) {
            self.keep(rest);
        }
        self.note_pace(now);
        Ok(())
    }

    /// Lets the next bytes, `most` of them, be read straight to where they are
    /// held. `None` if they may be passed on at once, or would fill the memory.
    pub fn read_in_place<T>(
        &mut self,
        most: usize,
        read: impl FnOnce(&mut Vec<u8>, usize) -> Option<T>,
    ) -> Option<T> {
        if self.may_pass() || self.room() <= most {
            return None;
        }
        self.make_room(most);
        let before = self.bytes.len();
        let outcome = read(&mut self.bytes, most);
        self.arrived += (self.bytes.len() - before) as u64;
        outcome
    }

    /// Takes in bytes to which more will be added before the client gets any.
    pub fn push_header(&mut self, header: &[u8]) {
        self.arrived += header.len() as u64;
        self.keep(header);
    }

    /// Gives the client what it may have of what is held.
    pub fn flush(
        &mut self,
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
        now: Instant,
    ) -> io::Result<()> {
        if !self.may_pass() {
            return Ok(());
        }
        let held = self.bytes.get(self.taken..).unwrap_or_default();
        if held.is_empty() {
            return Ok(());
        }
        let written = write(held)?;
        self.has_begun |= written > 0;
        self.taken += written;
        if self.taken == self.bytes.len() {
            self.bytes.clear();
            self.taken = 0;
        }
        self.note_pace(now);
        Ok(())
    }

    /// Whether all of it has come.
    pub fn is_complete(&self) -> bool {
        self.arrived >= self.length
    }

    /// Whether the client has all of it.
    pub fn is_delivered(&self) -> bool {
        self.is_complete() && self.taken == self.bytes.len()
    }

    /// Whether it can do without its channel: all has come, and what the
    /// client has not got is paid for.
    pub fn can_leave_channel(&self) -> bool {
        self.is_delivered() || (self.is_complete() && self.grant != Grant::Nothing)
    }

    /// Bytes that have come and that the client has not got.
    fn held(&self) -> usize {
        self.bytes.len() - self.taken
    }

    /// Bytes that the client has.
    fn delivered(&self) -> u64 {
        self.arrived - self.held() as u64
    }

    /// A client is behind once the window is full, until half of it is free:
    /// one that is slower than its site never gets so far.
    fn note_pace(&mut self, now: Instant) {
        let held = self.held();
        if self.grant != Grant::PassOn || self.is_complete() || held < self.reserved / 2 {
            self.behind = None;
        } else if held >= self.reserved {
            let had = self.delivered();
            self.behind.get_or_insert(Behind { since: now, had });
        }
    }

    /// Only a complete response is begun, or one that is passed on. One that has
    /// begun goes on, also when its rest is held for a client that had stalled.
    fn may_pass(&self) -> bool {
        self.is_complete() || self.grant == Grant::PassOn || self.has_begun
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.taken >= self.reserved / 2 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.make_room(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// Growing by doubling could take twice of what was reserved.
    fn make_room(&mut self, more: usize) {
        if self.bytes.capacity() < self.bytes.len() + more {
            let missing = self.reserved.saturating_sub(self.bytes.len());
            self.bytes.reserve_exact(missing.max(more));
        }
    }

    fn comes_soon(&self, now: Instant) -> bool {
        let pace = now.saturating_duration_since(self.began).as_secs_f64() / self.arrived as f64;
        let missing = self.length.saturating_sub(self.arrived) as f64;
        missing * pace <= SOON.as_secs_f64()
    }
}

#[cfg(test)]
mod tests;
