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
mod tests {
    use super::*;
    use crate::memory::{Share, SharedBudget};

    /// Memory that one site may use up to `limit`.
    struct Memory {
        budget: SharedBudget,
        share: Share,
    }

    impl Memory {
        fn new(limit: usize) -> Self {
            Memory {
                budget: SharedBudget::new(2 * limit),
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
    fn what_is_held_in_any_case_is_read_to_its_place() {
        let (mut seen, mut budget) = (Vec::new(), Memory::new(1000));
        let now = Instant::now();
        let mut response = Response::new(10, now);
        let read = |bytes: &mut Vec<u8>, most: usize| {
            assert!(bytes.capacity() - bytes.len() >= most);
            bytes.extend_from_slice(b"cde");
            Some("three")
        };
        assert_eq!(response.read_in_place(4, read), None, "there is no memory");
        response.reserve(&mut budget.account(), now);
        response.push(b"ab", taking(&mut seen, 99), now).unwrap();
        assert_eq!(response.read_in_place(4, read), Some("three"));
        response.push(b"fghij", taking(&mut seen, 99), now).unwrap();
        assert!(response.is_delivered());
        assert_eq!(seen, b"abcdefghij");
        assert_eq!(response.read_in_place(4, read), None, "it may be passed on");
    }

    #[test]
    fn a_window_is_never_filled_in_place() {
        let mut budget = Memory::new(100 * WINDOW);
        let now = Instant::now();
        let mut response = Response::new(LARGE, now);
        response.reserve(&mut budget.account(), now);
        let read = |_: &mut Vec<u8>, most| Some(most);
        assert_eq!(response.read_in_place(WINDOW, read), None);
        assert_eq!(response.read_in_place(WINDOW - 1, read), Some(WINDOW - 1));
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

    /// One whose client has taken the first window of it and has another one before it.
    fn behind(limit: usize, now: Instant) -> (Response, Memory) {
        let (mut response, budget, _) = after_one_window(LARGE, limit, 0);
        assert_eq!(response.is_slow_at(), None);
        let mut seen = Vec::new();
        response
            .push(&vec![b'y'; WINDOW], taking(&mut seen, 0), now)
            .unwrap();
        assert_eq!(response.room(), 0);
        (response, budget)
    }

    #[test]
    fn what_a_stalled_client_has_not_taken_is_held_for_it() {
        let now = Instant::now();
        let (mut response, mut budget) = behind(100 * WINDOW, now);
        assert_eq!(response.is_slow_at(), Some(now + BEHIND));
        response.hold_the_rest(&mut budget.account(), now + BEHIND);
        assert_eq!(response.room(), usize::MAX);
        assert_eq!(budget.taken(), LARGE as usize - WINDOW);
        assert_eq!(response.is_slow_at(), None);
    }

    #[test]
    fn a_client_that_takes_a_little_all_the_time_is_slow_too() {
        let now = Instant::now();
        let (mut response, mut budget) = behind(100 * WINDOW, now);
        let mut seen = Vec::new();
        for _ in 0..10 {
            response
                .flush(taking(&mut seen, 1000), now + BEHIND)
                .unwrap();
            let fresh = vec![b'z'; response.room()];
            response.push(&fresh, taking(&mut seen, 0), now).unwrap();
        }
        assert_eq!(response.is_slow_at(), Some(now + BEHIND));
        response.hold_the_rest(&mut budget.account(), now + BEHIND);
        assert_eq!(response.room(), usize::MAX);
    }

    #[test]
    fn a_client_that_will_soon_have_the_rest_keeps_its_channel() {
        let now = Instant::now();
        let (mut response, mut budget) = behind(100 * WINDOW, now);
        let mut seen = Vec::new();
        for _ in 0..20 {
            response.flush(taking(&mut seen, WINDOW / 4), now).unwrap();
            let fresh = vec![b'z'; response.room()];
            response.push(&fresh, taking(&mut seen, 0), now).unwrap();
        }
        response.hold_the_rest(&mut budget.account(), now + BEHIND);
        assert_eq!(budget.taken(), WINDOW);
        assert_eq!(response.is_slow_at(), Some(now + BEHIND + BEHIND));
        response.flush(taking(&mut seen, WINDOW), now).unwrap();
        assert_eq!(response.is_slow_at(), None);
    }

    #[test]
    fn a_response_that_has_begun_goes_on_when_its_rest_is_held() {
        let now = Instant::now();
        let (mut response, mut budget) = behind(100 * WINDOW, now);
        response.hold_the_rest(&mut budget.account(), now + BEHIND);
        let mut seen = Vec::new();
        response.push(b"more", taking(&mut seen, 99), now).unwrap();
        assert_eq!(seen.len(), 99);
        response.flush(taking(&mut seen, 2 * WINDOW), now).unwrap();
        assert!(seen.ends_with(b"yymore"));
    }

    #[test]
    fn without_memory_a_stalled_client_is_looked_at_again() {
        let now = Instant::now();
        let (mut response, mut budget) = behind(4 * WINDOW, now);
        response.hold_the_rest(&mut budget.account(), now + BEHIND);
        assert_eq!((response.room(), budget.taken()), (0, WINDOW));
        assert_eq!(response.is_slow_at(), Some(now + BEHIND + BEHIND));
    }

    #[test]
    fn a_response_does_not_wait_for_memory_that_other_sites_hold() {
        let mut shares = [Share::default(), Share::default()];
        let mut budget = SharedBudget::new(16 * WINDOW);
        budget.divide(shares.iter());
        let [one, other] = &mut shares;
        let mut account = Account {
            budget: &mut budget,
            share: other,
        };
        assert!(account.take(8 * WINDOW));
        let mut account = Account {
            budget: &mut budget,
            share: one,
        };
        let length = 6 * WINDOW as u64;
        let now = Instant::now();
        let later = now + Duration::from_secs(60);
        let mut response = Response::new(length, now);
        assert!(response.reserve(&mut account, now));
        let fresh = vec![b'x'; response.room()];
        response.push(&fresh, |_| Ok(0), now).unwrap();
        assert!(response.reserve(&mut account, later));
        assert_eq!(response.grant, Grant::PassOn);
    }
}
