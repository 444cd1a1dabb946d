//! A query and its response: the thing that has a life here. Clients and
//! channels come and go; the response buffer belongs to the query, so a slow
//! client does not hold the channel and a lost channel does not cut the client.

use crate::ids::{ChannelId, ClientId, SiteId};
use crate::memory::Account;
use crate::proto::request::Request;
use crate::proto::response::{HEADER_LEN, Piece};
use std::io;
use std::time::{Duration, Instant};

/// A response is passed on through a buffer of this size while it arrives, if
/// it is large and fast or too large to be held. Smaller ones are held whole.
pub const WINDOW: usize = 1024 * 1024;

/// A response that can be expected to be complete within this time may be
/// begun before it is: Checkmk's GUI gives a body 30 s once it has the header.
const SOON: Duration = Duration::from_secs(10);

/// A client that takes nothing for so long holds its channel no longer: the
/// rest of its response is held for it, if there is memory.
const STALLED: Duration = Duration::from_secs(1);

/// A request that was received and not yet answered to its end.
#[derive(Debug)]
pub struct Query {
    /// The site it is for.
    pub site: SiteId,
    /// Who wants the answer. A command outlives its client; of another query
    /// without one, the rest of the response is read and dropped.
    pub client: Option<ClientId>,
    /// What is sent, and how it is to be answered.
    pub request: Request,
    /// Its share of the memory for requests.
    pub charged: usize,
    /// When its request was complete.
    pub arrived: Instant,
    /// When it was first sent.
    pub sent: Option<Instant>,
    /// How far it has come.
    pub stage: Stage,
    /// What the site sent in place of a response.
    pub strange_answer: Option<String>,
}

/// How far a query has come.
#[derive(Debug)]
pub enum Stage {
    /// It wants a channel.
    Waiting,
    /// It is a command for a dead site. It goes on waiting, but if its client
    /// waits for it, the client is told why it cannot be delivered.
    Held(String),
    /// It was given to a channel, and the response is on its way.
    Sent {
        /// Which channel.
        channel: ChannelId,
        /// The end of its life.
        deadline: Instant,
        /// The response, from its header on.
        response: Option<Response>,
    },
    /// The channel has nothing to do with it any more; the client has not got all.
    Answered {
        /// The end of its life.
        deadline: Instant,
        /// What the client has not got yet.
        response: Response,
    },
}

impl Query {
    /// The response, from its header on.
    pub fn response_mut(&mut self) -> Option<&mut Response> {
        match &mut self.stage {
            Stage::Waiting | Stage::Held(_) => None,
            Stage::Sent { response, .. } => response.as_mut(),
            Stage::Answered { response, .. } => Some(response),
        }
    }

    /// Takes in a piece of the response, which came in `fresh` and whose
    /// header is `head`, and gives the client what it may have. `false` if
    /// memory is needed to go on and there is none.
    pub fn take_in(
        &mut self,
        piece: &Piece<'_>,
        head: &[u8],
        fresh: &[u8],
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
        memory: &mut Account<'_>,
        now: Instant,
    ) -> io::Result<bool> {
        let fixed16 = self.request.style.fixed16;
        let Stage::Sent { response, .. } = &mut self.stage else {
            return Ok(true);
        };
        let mut bytes = piece.body;
        if let Some(header) = piece.began {
            let length = header.length + if fixed16 { HEADER_LEN as u64 } else { 0 };
            let response = response.insert(Response::new(length, now));
            if !piece.done {
                response.reserve(memory, now);
            }
            let came_at_once = fresh.len() == piece.body.len() + HEADER_LEN;
            match (fixed16, came_at_once) {
                (true, true) => bytes = fresh,
                (true, false) => response.push_header(head),
                (false, _) => {}
            }
        }
        let Some(response) = response else {
            return Ok(true);
        };
        response.push(bytes, &mut write, now)?;
        if response.is_delivered() {
            return Ok(true);
        }
        let granted = response.reserve(memory, now);
        response.flush(write, now)?;
        Ok(granted || response.is_delivered())
    }

    /// The client has gone: what is left of the response is for nobody.
    /// Returns the memory that is to be given back.
    pub fn abandon(&mut self) -> usize {
        let reserved = self.reserved();
        self.client = None;
        if let Stage::Sent { response, .. } = &mut self.stage {
            *response = None;
        }
        reserved
    }

    /// Whether the client has seen any of the response.
    pub fn has_begun(&self) -> bool {
        match &self.stage {
            Stage::Waiting | Stage::Held(_) => false,
            Stage::Sent { response, .. } => response.as_ref().is_some_and(|r| r.has_begun),
            Stage::Answered { response, .. } => response.has_begun,
        }
    }

    /// Memory of the budget that it holds, to be given back when it ends.
    pub fn reserved(&self) -> usize {
        match &self.stage {
            Stage::Waiting | Stage::Held(_) => 0,
            Stage::Sent { response, .. } => response.as_ref().map_or(0, |r| r.reserved),
            Stage::Answered { response, .. } => response.reserved,
        }
    }
}

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
    /// When the client last took some of it.
    last_taken: Instant,
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
            last_taken: now,
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
            let first = whole.min(WINDOW);
            if !memory.take(first) {
                return false;
            }
            self.reserved = first;
            self.grant = match whole <= WINDOW {
                true => Grant::Whole,
                false => Grant::Window,
            };
        }
        if self.grant == Grant::Window && self.arrived >= WINDOW as u64 {
            self.grant = match self.comes_soon(now) || whole > memory.most() {
                true => Grant::PassOn,
                false => Grant::Short,
            };
        }
        if self.grant == Grant::Short && memory.resize(self.reserved, whole) {
            self.reserved = whole;
            self.grant = Grant::Whole;
        }
        !self.is_short()
    }

    /// When its client counts as stalled, if it takes nothing until then.
    pub fn stalls_at(&self) -> Option<Instant> {
        (self.grant == Grant::PassOn && !self.is_complete()).then(|| self.last_taken + STALLED)
    }

    /// The client has stalled: what it has not taken is to be held. Without
    /// memory the channel goes on waiting, and this is tried again later.
    pub fn hold_the_rest(&mut self, memory: &mut Account<'_>, now: Instant) {
        let taken = self.arrived - (self.bytes.len() - self.taken) as u64;
        let rest = usize::try_from(self.length - taken).unwrap_or(usize::MAX);
        self.last_taken = now;
        if memory.resize(self.reserved, rest) {
            self.reserved = rest;
            self.grant = Grant::Whole;
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

    /// Memory of the budget that it holds.
    pub fn reserved(&self) -> usize {
        self.reserved
    }

    /// How much more may be read now.
    pub fn room(&self) -> usize {
        match self.grant {
            Grant::Nothing | Grant::Short => 0,
            Grant::Window | Grant::PassOn => WINDOW.saturating_sub(self.bytes.len() - self.taken),
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
        self.note_taken(written, now);
        if let Some(rest) = fresh.get(written..) {
            self.keep(rest);
        }
        Ok(())
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
        self.note_taken(written, now);
        self.taken += written;
        if self.taken == self.bytes.len() {
            self.bytes.clear();
            self.taken = 0;
        }
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

    fn note_taken(&mut self, bytes: usize, now: Instant) {
        if bytes > 0 {
            self.has_begun = true;
            self.last_taken = now;
        }
    }

    /// Only a complete response is begun, or one that is passed on. One that has
    /// begun goes on, also when its rest is held for a client that had stalled.
    fn may_pass(&self) -> bool {
        self.is_complete() || self.grant == Grant::PassOn || self.has_begun
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.bytes.is_empty() && self.grant == Grant::Whole {
            self.bytes.reserve_exact(self.reserved);
        }
        if self.taken >= WINDOW / 2 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    fn comes_soon(&self, now: Instant) -> bool {
        let pace = now.saturating_duration_since(self.began).as_secs_f64() / self.arrived as f64;
        let missing = self.length.saturating_sub(self.arrived) as f64;
        missing * pace <= SOON.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Budget, Share};

    /// Memory that one site may use up to `limit`.
    struct Memory {
        budget: Budget,
        share: Share,
    }

    impl Memory {
        fn new(limit: usize) -> Self {
            Memory {
                budget: Budget::new(2 * limit),
                share: Share::default(),
            }
        }

        fn account(&mut self) -> Account<'_> {
            Account {
                budget: &mut self.budget,
                share: &mut self.share,
            }
        }

        fn taken(&self) -> usize {
            self.share.held()
        }
    }

    /// A client that takes up to `most` bytes at a time.
    fn taking<'a>(
        seen: &'a mut Vec<u8>,
        most: usize,
    ) -> impl FnMut(&[u8]) -> io::Result<usize> + 'a {
        move |bytes| {
            let taken = bytes.len().min(most);
            seen.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }
    }

    #[test]
    fn a_small_response_is_not_begun_before_it_is_complete() {
        let (mut seen, mut budget) = (Vec::new(), Memory::new(1000));
        let mut response = Response::new(6, Instant::now());
        assert!(response.reserve(&mut budget.account(), Instant::now()));
        response.push_header(b"he");
        response
            .push(b"ad", taking(&mut seen, 99), Instant::now())
            .unwrap();
        assert!(!response.has_begun && !response.is_complete());
        response
            .push(b"xy", taking(&mut seen, 4), Instant::now())
            .unwrap();
        assert!(response.is_complete() && !response.is_delivered());
        response
            .flush(taking(&mut seen, 99), Instant::now())
            .unwrap();
        assert!(response.is_delivered());
        assert_eq!(seen, b"headxy");
        assert_eq!(response.reserved, 6);
    }

    #[test]
    fn a_response_without_memory_waits_for_it() {
        let mut budget = Memory::new(100);
        assert!(budget.account().take(60));
        let now = Instant::now();
        let mut response = Response::new(50, now);
        assert!(!response.reserve(&mut budget.account(), now));
        assert_eq!(response.room(), 0);
        budget.account().give_back(60);
        assert!(response.reserve(&mut budget.account(), now));
        assert!(response.room() >= 50);
        assert_eq!(budget.taken(), 50);
    }

    /// Pushes a window's worth that took `seconds` to come, then looks what was granted.
    fn after_one_window(length: u64, limit: usize, seconds: u64) -> (Response, Memory, Vec<u8>) {
        let (mut seen, mut budget) = (Vec::new(), Memory::new(limit));
        let began = Instant::now();
        let mut response = Response::new(length, began);
        assert!(response.reserve(&mut budget.account(), began));
        assert_eq!(response.room(), WINDOW);
        response
            .push(&vec![b'x'; WINDOW], taking(&mut seen, 0), began)
            .unwrap();
        assert_eq!(response.room(), 0);
        response.reserve(&mut budget.account(), began + Duration::from_secs(seconds));
        response
            .flush(taking(&mut seen, usize::MAX), Instant::now())
            .unwrap();
        (response, budget, seen)
    }

    const LARGE: u64 = 20 * WINDOW as u64;

    #[test]
    fn a_large_fast_response_is_passed_on_through_its_window() {
        let (response, budget, seen) = after_one_window(LARGE, 100 * WINDOW, 0);
        assert_eq!(seen.len(), WINDOW);
        assert!(response.has_begun && !response.is_complete());
        assert_eq!((response.room(), budget.taken()), (WINDOW, WINDOW));
    }

    #[test]
    fn a_large_slow_response_is_held_whole() {
        let (response, budget, seen) = after_one_window(LARGE, 100 * WINDOW, 1);
        assert!(seen.is_empty() && !response.has_begun);
        assert_eq!(
            (response.room(), budget.taken()),
            (usize::MAX, LARGE as usize)
        );
    }

    #[test]
    fn a_slow_response_larger_than_half_of_all_memory_is_passed_on() {
        let (response, budget, seen) = after_one_window(LARGE, 15 * WINDOW, 1);
        assert_eq!(seen.len(), WINDOW);
        assert_eq!((response.room(), budget.taken()), (WINDOW, WINDOW));
    }

    #[test]
    fn a_slow_client_of_a_passed_on_response_stops_the_reading() {
        let (mut response, ..) = after_one_window(LARGE, 100 * WINDOW, 0);
        let mut seen = Vec::new();
        response
            .push(&vec![b'y'; WINDOW], taking(&mut seen, 10), Instant::now())
            .unwrap();
        assert_eq!(response.room(), 10);
        response
            .flush(taking(&mut seen, WINDOW / 2), Instant::now())
            .unwrap();
        assert_eq!(response.room(), 10 + WINDOW / 2);
    }

    #[test]
    fn what_a_stalled_client_has_not_taken_is_held_for_it() {
        let (mut response, mut budget, _) = after_one_window(LARGE, 100 * WINDOW, 0);
        let stalls_at = response.stalls_at().unwrap();
        response.hold_the_rest(&mut budget.account(), stalls_at);
        assert_eq!(response.room(), usize::MAX);
        assert_eq!(budget.taken(), LARGE as usize - WINDOW);
        assert_eq!(response.stalls_at(), None);
    }

    #[test]
    fn a_response_that_has_begun_goes_on_when_its_rest_is_held() {
        let (mut response, mut budget, _) = after_one_window(LARGE, 100 * WINDOW, 0);
        response.hold_the_rest(&mut budget.account(), Instant::now());
        let mut seen = Vec::new();
        response
            .push(b"more", taking(&mut seen, 99), Instant::now())
            .unwrap();
        assert_eq!(seen, b"more");
    }

    #[test]
    fn without_memory_a_stalled_client_is_looked_at_again() {
        let (mut response, mut budget, _) = after_one_window(LARGE, 3 * WINDOW, 0);
        let stalls_at = response.stalls_at().unwrap();
        response.hold_the_rest(&mut budget.account(), stalls_at);
        assert_eq!(response.room(), WINDOW);
        assert_eq!(response.stalls_at(), Some(stalls_at + STALLED));
    }
}
