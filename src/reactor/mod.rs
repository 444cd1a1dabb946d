//! The event loop: the only place that owns sockets, reads the clock and
//! carries out what the policy decides. One turn is: wait, read the clock, note
//! what every event says, remind those whose time has come, then look after
//! everyone who may get on.

mod channels;
mod clients;
mod commands;
mod connect;
mod door;
mod exchange;
mod policy;
mod site;

pub use site::SiteEntry;

use crate::channel::Channel;
use crate::client::Client;
use crate::config::Limits;
use crate::ids::{ChannelId, ClientId, OfChannel, OfClient, OfQuery, OfSite, SiteId};
use crate::memory::Budget;
use crate::pool::{Action, Input};
use crate::query::Query;
use crate::resolve::Resolver;
use crate::slots::{Id, Slots};
use crate::timers::{self, Timers};
use mio::event::Event;
use mio::{Events, Interest, Poll, Token, Waker};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook_mio::v1_0::Signals;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Read at one time. What is longer takes several reads of the same turn.
const SCRATCH: usize = 64 * 1024;

/// Events of one turn; more are told in the next.
const EVENTS: usize = 1024;

const SIGNALS: Token = Token(usize::MAX);
const NAMES: Token = Token(usize::MAX - 1);

/// Somebody who has a socket, or a deadline, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    /// A site's policy, which has a deadline.
    Site(SiteId),
    /// A site's listening socket.
    Listener(SiteId),
    Client(ClientId),
    Channel(ChannelId),
}

impl Who {
    fn token(self) -> Token {
        let (kind, id) = match self {
            Who::Site(id) => (0, id.pack()),
            Who::Listener(id) => (1, id.pack()),
            Who::Client(id) => (2, id.pack()),
            Who::Channel(id) => (3, id.pack()),
        };
        Token((kind << Id::<()>::PACKED_BITS | id) as usize)
    }

    fn of(token: Token) -> Option<Who> {
        let bits = token.0 as u64;
        let id = bits & ((1 << Id::<()>::PACKED_BITS) - 1);
        match bits >> Id::<()>::PACKED_BITS {
            0 => Some(Who::Site(Id::unpack(id))),
            1 => Some(Who::Listener(Id::unpack(id))),
            2 => Some(Who::Client(Id::unpack(id))),
            3 => Some(Who::Channel(Id::unpack(id))),
            _ => None,
        }
    }
}

/// Something the policy of a site is to be told.
struct News {
    site: SiteId,
    input: Input,
    /// The channel that was lost: its number may belong to another by the time
    /// the policy hears of it.
    lost: Option<ChannelId>,
}

/// The loop and everything in it.
pub struct Reactor {
    poll: Poll,
    signals: Signals,
    sites: Slots<OfSite, SiteEntry>,
    clients: Slots<OfClient, Client>,
    channels: Slots<OfChannel, Channel>,
    queries: Slots<OfQuery, Query>,
    /// Those who may get on.
    ready: VecDeque<Who>,
    timers: Timers<Who>,
    news: VecDeque<News>,
    /// Kept between turns for its room.
    actions: Vec<Action>,
    resolver: Resolver<ChannelId>,
    names_answered: bool,
    /// Memory for requests that are not complete.
    requests: Budget,
    /// Memory for responses.
    responses: Budget,
    /// Channels that wait for memory, first come first served.
    short_of_memory: VecDeque<ChannelId>,
    limits: Limits,
    /// A descriptor to be given up when there are no others.
    spare: Option<File>,
    /// Clients over a limit that are being told so.
    turned_away: usize,
    scratch: Box<[u8]>,
    /// The time of this turn.
    now: Instant,
    ends_with_terminal: bool,
    stopping: bool,
}

impl Reactor {
    /// A loop without sites. To be made in the process in which it is to run:
    /// an epoll instance is shared over a fork.
    pub fn new(limits: Limits) -> io::Result<Reactor> {
        let poll = Poll::new()?;
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2])?;
        poll.registry()
            .register(&mut signals, SIGNALS, Interest::READABLE)?;
        let waker = Arc::new(Waker::new(poll.registry(), NAMES)?);
        Ok(Reactor {
            poll,
            signals,
            sites: Slots::default(),
            clients: Slots::default(),
            channels: Slots::default(),
            queries: Slots::default(),
            ready: VecDeque::new(),
            timers: Timers::default(),
            news: VecDeque::new(),
            actions: Vec::new(),
            resolver: Resolver::new(waker),
            names_answered: false,
            requests: Budget::new(limits.request_buffer),
            responses: Budget::new(limits.response_buffer),
            short_of_memory: VecDeque::new(),
            limits,
            spare: File::open("/dev/null").ok(),
            turned_away: 0,
            scratch: vec![0; SCRATCH].into_boxed_slice(),
            now: Instant::now(),
            ends_with_terminal: false,
            stopping: false,
        })
    }

    /// The terminal going away ends the loop, too: there is nothing to reload.
    pub fn end_with_terminal(&mut self) {
        self.ends_with_terminal = true;
    }

    /// Serves until a signal ends it.
    pub fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        self.now = Instant::now();
        self.run_policy();
        while !self.stopping {
            self.turn(&mut events)?;
        }
        Ok(())
    }

    fn turn(&mut self, events: &mut Events) -> io::Result<()> {
        let timeout = match self.ready.is_empty() {
            true => self.timers.next().map(|at| rounded_up(at, Instant::now())),
            false => Some(Duration::ZERO),
        };
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == ErrorKind::Interrupted => events.clear(),
            other => other?,
        }
        self.now = Instant::now();
        for event in events.iter() {
            self.note(event);
        }
        if std::mem::take(&mut self.names_answered) {
            self.names_found();
        }
        self.remind();
        // Whoever becomes ready from here on has its turn in the next round:
        // nobody can keep the loop from looking at the others.
        for _ in 0..self.ready.len() {
            match self.ready.pop_front() {
                Some(Who::Listener(id)) => self.accept(id),
                Some(Who::Client(id)) => {
                    if let Some(client) = self.clients.get_mut(id) {
                        client.is_ready = false;
                        self.attend_client(id);
                    }
                }
                Some(Who::Channel(id)) => {
                    if let Some(channel) = self.channels.get_mut(id) {
                        channel.is_ready = false;
                        self.attend_channel(id);
                    }
                }
                Some(Who::Site(_)) | None => {}
            }
        }
        Ok(())
    }

    /// Notes what an event says; nothing is done before all of them are noted.
    fn note(&mut self, event: &Event) {
        match event.token() {
            SIGNALS => self.take_signals(),
            // The answers wait until every event is noted.
            NAMES => self.names_answered = true,
            token => match Who::of(token) {
                Some(who @ Who::Listener(_)) => self.ready.push_back(who),
                Some(Who::Client(id)) => {
                    if let Some(client) = self.clients.get_mut(id) {
                        client.stream.mark(event);
                        self.client_is_ready(id);
                    }
                }
                Some(Who::Channel(id)) => {
                    if let Some(channel) = self.channels.get_mut(id) {
                        if let Some(stream) = channel.stream_mut() {
                            stream.mark(event);
                        }
                        self.channel_is_ready(id);
                    }
                }
                Some(Who::Site(_)) | None => {}
            },
        }
    }

    fn client_is_ready(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get_mut(id)
            && !client.is_ready
        {
            client.is_ready = true;
            self.ready.push_back(Who::Client(id));
        }
    }

    /// An idle channel is looked after before anybody is given a channel: what
    /// it has to say is that it ends.
    fn channel_is_ready(&mut self, id: ChannelId) {
        if let Some(channel) = self.channels.get_mut(id)
            && !channel.is_ready
        {
            channel.is_ready = true;
            match channel.is_idle() {
                true => self.ready.push_front(Who::Channel(id)),
                false => self.ready.push_back(Who::Channel(id)),
            }
        }
    }

    fn remind(&mut self) {
        while let Some((at, who)) = self.timers.pop(self.now) {
            match who {
                Who::Site(id) => self.remind_site(id, at),
                Who::Client(id) => {
                    if let Some(client) = self.clients.get_mut(id)
                        && timers::fired(&mut client.armed, at)
                    {
                        self.remind_client(id);
                    }
                }
                Who::Listener(id) => self.accept_again(id, at),
                Who::Channel(id) => self.remind_channel(id, at),
            }
        }
    }

    fn take_signals(&mut self) {
        let pending: Vec<i32> = self.signals.pending().collect();
        for signal in pending {
            match signal {
                SIGTERM | SIGINT => {
                    log::info!("stopping on signal {signal}");
                    self.stopping = true;
                }
                SIGHUP if self.ends_with_terminal => self.stopping = true,
                SIGHUP | SIGUSR1 => {
                    log::warn!("a changed configuration takes effect with the next restart");
                }
                _ => log::debug!("signal {signal} has no effect"),
            }
        }
    }

    /// Ends everything and takes the sockets away.
    pub fn close(mut self) {
        let sites: Vec<SiteId> = self.sites.iter().map(|(id, _)| id).collect();
        for id in sites {
            self.sites.remove(id);
        }
    }
}

/// The kernel counts in milliseconds: rounded down, the loop would spin through the last one.
fn rounded_up(at: Instant, now: Instant) -> Duration {
    let left = at.saturating_duration_since(now);
    Duration::from_millis(left.as_nanos().div_ceil(1_000_000) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_never_shorter_than_asked_for() {
        let now = Instant::now();
        for (nanos, want) in [(0, 0), (1, 1), (999_999, 1), (1_000_000, 1), (1_000_001, 2)] {
            let at = now + Duration::from_nanos(nanos);
            assert_eq!(rounded_up(at, now), Duration::from_millis(want));
        }
        assert_eq!(
            rounded_up(now, now + Duration::from_secs(1)),
            Duration::ZERO
        );
    }

    #[test]
    fn a_token_names_who_it_was_made_for() {
        let mut slots: Slots<OfClient, Client> = Slots::default();
        let id = Id::unpack(u64::from(u32::MAX) << 24 | 77);
        assert!(slots.get_mut(id).is_none());
        for who in [
            Who::Client(id),
            Who::Site(Id::unpack(id.pack())),
            Who::Channel(Id::unpack(5)),
        ] {
            assert_eq!(Who::of(who.token()), Some(who));
        }
        assert_eq!(Who::of(SIGNALS), None);
        assert_eq!(Who::of(NAMES), None);
    }
}
