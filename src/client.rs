//! A client: someone who has connected to a site's socket or port. Its requests are
//! answered strictly in order, so it has one query at a time; what it has
//! written behind that waits here. Knows queries only by id, and channels not at all.

use crate::ids::{QueryId, SiteId};
use crate::proto::request::{Framer, Step, Style};
use crate::stream::{Arrival, Stream};
use crate::timers::Armed;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// A request that is not complete this long after its first byte is refused,
/// as Naemon and Checkmk do.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A client that was refused in the middle of its request is listened to for
/// this long: a close on bytes that nobody has read would take the refusal with it.
pub const LINGER: Duration = Duration::from_secs(2);

/// Reads of one turn; a client that sends without end is gone on with later.
const MOST_READS: usize = 16;

/// Why there is no place for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooMany {
    /// Its site has as many as it may have.
    OfSite,
    /// All sites together have.
    OfAllSites,
    /// The system lets us open no more.
    OpenFiles,
}

/// Why a client's connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parting {
    /// It has said goodbye.
    Goodbye,
    /// It has its answer and wanted no more.
    Answered,
    /// It has gone.
    Gone,
    /// It did not take its answer in time.
    TooSlow,
    /// Its site was lost when half of the answer was out.
    CutShort,
    /// It was idle, and others needed its place.
    MadeRoom,
    /// There is no room for it.
    NoRoom,
    /// Its site is no longer served.
    Dismissed,
    /// The handshake of TLS has come to nothing.
    NotSecured,
}

impl std::fmt::Display for Parting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Parting::Goodbye => "goodbye",
            Parting::Answered => "answered",
            Parting::Gone => "gone",
            Parting::TooSlow => "too slow to take its answer",
            Parting::CutShort => "answer cut short by the site",
            Parting::MadeRoom => "idle when others needed its place",
            Parting::NoRoom => "no room",
            Parting::Dismissed => "its site is no longer served",
            Parting::NotSecured => "no TLS handshake",
        })
    }
}

/// So much of what has become of commands is kept for a client.
const MOST_TOLD: usize = 4096;

/// What is to be told about a command that failed.
#[derive(Debug)]
pub struct Failure {
    /// For a client that has half-closed: the site's own words, or ours.
    told: Vec<u8>,
    /// For a client that goes on asking, in place of its next answer.
    sentence: String,
}

impl Failure {
    /// What a client that has half-closed is sent, and what another one reads
    /// in place of its next answer.
    pub fn new(told: Vec<u8>, sentence: String) -> Self {
        Failure { told, sentence }
    }
}

/// By which way a client has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// The site's socket in the file system.
    Socket,
    /// The site's TCP port.
    Port,
}

/// What the client is at.
#[derive(Debug)]
pub enum State {
    /// The handshake of TLS.
    Securing {
        /// When it has to be done.
        until: Instant,
        /// The port to which it has come.
        port: u16,
        /// Where it comes from, for the log.
        from: IpAddr,
    },
    /// Its next request is awaited.
    Reading {
        /// When that began to come.
        since: Option<Instant>,
    },
    /// Its query is on its way.
    Asking(QueryId),
    /// It has got its last answer; what it still sends is dropped.
    Leaving {
        /// For how long.
        until: Instant,
    },
}

/// What a client has said.
#[derive(Debug)]
pub enum Heard {
    /// Nothing more at present.
    Nothing,
    /// Much, and there may be more; the others come first.
    Plenty,
    /// What the framer made of it; never [`Step::More`].
    Step(Step),
    /// The end of its input inside a request: we had stopped reading.
    CutByUs,
}

/// A client.
#[derive(Debug)]
pub struct Client {
    /// The site it is connected to.
    pub site: SiteId,
    /// By which way it has come.
    pub via: Via,
    /// Its connection.
    pub stream: Stream,
    /// What it is at.
    pub state: State,
    /// There is no place for it: it will be told so and leave.
    pub turned_away: Option<TooMany>,
    /// It has gone, and is here only for the end of its command.
    pub is_ghost: bool,
    /// Reminder of [`Client::deadline`].
    pub armed: Armed,
    /// Whether it stands in the list of those to be looked after.
    pub is_ready: bool,
    /// Share of the memory for requests.
    pub charged: usize,
    /// Its number, for people; no other client ever has it.
    pub number: u64,
    /// When it came.
    pub connected: Instant,
    /// Requests of its that became queries.
    pub requests: u64,
    /// When it came, or got its last answer.
    rested: Instant,
    /// Commands of its that failed and of which it has not been told.
    failure: Option<Failure>,
    framer: Framer,
    /// Read behind the request that is being answered.
    pending: Vec<u8>,
    /// It will send no more.
    ended: bool,
    /// We read no more than what it had written by then.
    dismissed: bool,
    /// It was told that no more will come from us, and has until then to end.
    seen_off: Option<Instant>,
}

impl Client {
    /// A client that has just connected.
    pub fn new(
        site: SiteId,
        stream: Stream,
        turned_away: Option<TooMany>,
        number: u64,
        now: Instant,
    ) -> Self {
        Client {
            site,
            via: match stream.is_remote() {
                true => Via::Port,
                false => Via::Socket,
            },
            stream,
            state: State::Reading {
                // One that is turned away may not even be idle for long.
                since: turned_away.map(|_| now),
            },
            turned_away,
            is_ghost: false,
            armed: Armed::default(),
            is_ready: false,
            charged: 0,
            number,
            connected: now,
            requests: 0,
            rested: now,
            failure: None,
            framer: Framer::default(),
            pending: Vec::new(),
            ended: false,
            dismissed: false,
            seen_off: None,
        }
    }

    /// Takes in what the client has sent, up to the end of one request of at
    /// most `limit` bytes.
    pub fn listen(&mut self, scratch: &mut [u8], limit: usize) -> Heard {
        if !self.pending.is_empty() {
            let mut input = self.pending.as_slice();
            let step = self.framer.feed(&mut input, limit);
            let taken = self.pending.len() - input.len();
            self.pending.drain(..taken);
            if step != Step::More {
                return Heard::Step(step);
            }
            self.pending = Vec::new();
        }
        for _ in 0..MOST_READS {
            if self.ended && self.dismissed && self.framer.is_pending() {
                return Heard::CutByUs;
            }
            if self.ended {
                return Heard::Step(self.framer.end());
            }
            match self.stream.read(scratch) {
                Ok(Arrival::Bytes(count)) => {
                    let mut input = scratch.get(..count).unwrap_or_default();
                    let step = self.framer.feed(&mut input, limit);
                    if step != Step::More {
                        self.pending.extend_from_slice(input);
                        return Heard::Step(step);
                    }
                }
                Ok(Arrival::Nothing) => {
                    self.framer.shrink();
                    return Heard::Nothing;
                }
                Ok(Arrival::End) => self.ended = true,
                Err(_) => {
                    self.ended = true;
                    self.stream.note_gone();
                }
            }
        }
        Heard::Plenty
    }

    /// Reads and drops what a leaving client still sends; `false` once it has ended.
    pub fn drop_input(&mut self, scratch: &mut [u8]) -> bool {
        for _ in 0..MOST_READS {
            match self.stream.read(scratch) {
                Ok(Arrival::Bytes(_)) => {}
                Ok(Arrival::Nothing) => return true,
                Ok(Arrival::End) | Err(_) => return false,
            }
        }
        true
    }

    /// It has got its answer; its next request is awaited.
    pub fn rest(&mut self, now: Instant) {
        // One that is turned away is not to stay.
        let since = self.turned_away.map(|_| now);
        self.state = State::Reading { since };
        self.rested = now;
    }

    /// Notes that it has made a request.
    pub fn asks(&mut self, query: QueryId) {
        self.requests += 1;
        self.state = State::Asking(query);
    }

    /// Nothing is to be read from it beyond what it has written so far, unless
    /// it is in the middle of a request. One that has not asked anything yet
    /// stays too, if it may not be dismissed `anyway`. `true` if what it has
    /// written by now is to be read.
    ///
    /// Over TCP nobody can be told that no more is read: its write would succeed
    /// all the same. So the end of what we send tells it, and it is listened to
    /// until it ends as well: a command that was on its way still counts.
    pub fn dismiss(&mut self, anyway: bool, now: Instant) -> bool {
        let is_reading = matches!(self.state, State::Reading { .. });
        let may_go = self.requests > 0 || anyway;
        if self.dismissed || !is_reading || !may_go || self.is_inside_request() {
            return false;
        }
        self.dismissed = true;
        match self.via {
            Via::Socket => {
                self.stream.shut_read();
                true
            }
            Via::Port => {
                self.stream.shut_write();
                self.seen_off = Some(now + LINGER);
                false
            }
        }
    }

    /// Whether nothing can be said to it any more, and it is only waited for its end.
    pub fn is_seen_off(&self) -> bool {
        self.seen_off.is_some()
    }

    /// When it came, or got its last answer.
    pub fn rested(&self) -> Instant {
        self.rested
    }

    /// Since when nothing is to be done for it; nothing if there is.
    pub fn idle_since(&self) -> Option<Instant> {
        let is_reading = matches!(self.state, State::Reading { since: None });
        let is_idle = is_reading && self.pending.is_empty() && !self.stream.can_read();
        is_idle.then_some(self.rested)
    }

    /// Whether it waits for something: it has half-closed, or gone on asking.
    /// The empty line behind a command is no question.
    pub fn awaits_us(&mut self, scratch: &mut [u8]) -> bool {
        if self.pending.len() < scratch.len() {
            self.read_ahead(scratch);
        }
        let asks = self
            .pending
            .iter()
            .any(|byte| !matches!(byte, b'\r' | b'\n'));
        let listens = self.ended || self.stream.is_half_closed();
        !self.stream.hung_up() && (asks || listens)
    }

    fn read_ahead(&mut self, scratch: &mut [u8]) {
        match self.stream.read(scratch) {
            Ok(Arrival::Bytes(count)) => {
                let bytes = scratch.get(..count).unwrap_or_default();
                self.pending.extend_from_slice(bytes);
            }
            Ok(Arrival::Nothing) => {}
            Ok(Arrival::End) => self.ended = true,
            Err(_) => {
                self.ended = true;
                self.stream.note_gone();
            }
        }
    }

    /// A command of its has failed.
    pub fn add_failure(&mut self, failure: Failure) {
        match &mut self.failure {
            None => self.failure = Some(failure),
            Some(earlier) if earlier.told.len() + failure.told.len() <= MOST_TOLD => {
                earlier.told.extend_from_slice(&failure.told);
            }
            Some(_) => {}
        }
    }

    /// What is to be said to a half-closed client about its commands.
    pub fn take_told(&mut self) -> Option<Vec<u8>> {
        self.failure.take().map(|failure| failure.told)
    }

    /// What is to be said about its commands in place of an answer.
    pub fn take_sentence(&mut self) -> Option<String> {
        self.failure.take().map(|failure| failure.sentence)
    }

    /// Whether a request has begun that is not complete.
    pub fn is_inside_request(&self) -> bool {
        self.framer.is_pending()
    }

    /// How it wants the response to the request that is being read.
    pub fn style(&self) -> Style {
        self.framer.style()
    }

    /// Bytes held for requests that are not complete.
    pub fn held(&self) -> usize {
        self.framer.held() + self.pending.len()
    }

    /// Whether bytes may be lost if the connection is closed now. Over TCP what
    /// it still sends would destroy what is on its way to it.
    pub fn has_unread(&self) -> bool {
        let may_send = self.via == Via::Port && !self.stream.is_half_closed();
        !self.ended && (self.stream.can_read() || may_send)
    }

    /// Until when it has time for what it is at; a query's own deadline is not counted.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Securing { until, .. } => Some(until),
            State::Reading { since } => {
                let complete = since.map(|since| since + REQUEST_TIMEOUT);
                complete.into_iter().chain(self.seen_off).min()
            }
            State::Asking(_) => None,
            State::Leaving { until } => Some(until),
        }
    }
}
