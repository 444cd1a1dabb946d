//! The event loop: the only place that owns sockets, reads the clock and
//! carries out what the policy decides. One turn is: wait, read the clock, note
//! what every event says, remind those whose time has come, then look after
//! everyone who may get on.

mod answers;
mod channels;
mod clients;
mod commands;
mod connect;
mod containment;
mod counting;
mod crowd;
mod door;
mod exchange;
mod history;
mod leaving;
mod log_limit;
mod orders;
mod policy;
mod port;
mod reload;
mod reporting;
mod room;
mod secure;
mod site;
mod standstill;
mod who;

pub use reload::Changes;
pub use site::SiteEntry;

use self::crowd::LongestIdle;
use self::door::Door;
use self::log_limit::LogLimit;
use crate::channel::Channel;
use crate::client::Client;
use crate::config::Limits;
use crate::ids::{ChannelId, ClientId, OfChannel, OfClient, OfQuery, OfSite, SiteId};
use crate::listen::Sockets;
use crate::memory::{Budget, SharedBudget, Tide};
use crate::pool::{self, Action, Input};
use crate::query::Query;
use crate::report;
use crate::resolve::Resolver;
use crate::slots::Slots;
use crate::sys;
use crate::timers::{self, Timers};
use crate::tls::{Identity, Trust};
use mio::event::Event;
use mio::{Events, Interest, Poll, Waker};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGURG, SIGUSR1, SIGUSR2};
pub use signal_hook_mio::v1_0::Signals;
use standstill::Standstill;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use who::{NAMES, SIGNALS, Who};

/// Read at one time. What is longer takes several reads of the same turn.
const SCRATCH: usize = 64 * 1024;

/// Events of one turn; more are told in the next.
const EVENTS: usize = 1024;

/// A daemon that takes over asks the one before it for room with this signal.
/// It has no other use, and whoever does not know it ignores it.
pub const MAKE_ROOM: i32 = SIGURG;

/// What is asked of the daemon as a whole, beyond serving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Finish and end; a second one: end.
    Stop,
    /// Read the configuration again; `terminal`: it may also mean that the
    /// terminal is gone.
    Reload {
        /// By the signal that terminals send.
        terminal: bool,
    },
    /// Write the state file.
    WriteState,
    /// Hand over to a new process.
    Restart,
    /// Give up half of all idle channels for a while.
    MakeRoom,
    /// The time that [`Reactor::run`] was given has come.
    Due,
    /// All that was under way when it was to stop is finished.
    Finished,
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
    trust: Trust,
    /// What ports with TLS show.
    identity: Option<Identity>,
    /// Ports on which sites are offered.
    ports: port::Ports,
    /// Steps of TLS handshakes that may still be done in this turn.
    handshakes_left: usize,
    /// New channels that may be begun in this turn.
    opens_left: usize,
    names_answered: bool,
    /// Memory for requests that are not complete.
    requests: Budget,
    /// Memory for responses.
    responses: SharedBudget,
    /// Memory for answers on the control socket.
    answers: Budget,
    /// How much of all three is held, up and down.
    tide: Tide,
    /// Channels that wait for memory, first come first served.
    short_of_memory: VecDeque<ChannelId>,
    limits: Limits,
    sockets: Sockets,
    /// Queries that take longer are logged.
    slow: Option<Duration>,
    /// Sockets are not to be found yet.
    is_hidden: bool,
    /// Sites that are to go.
    leaving: Vec<SiteId>,
    /// What has been asked of the daemon.
    calls: VecDeque<Call>,
    /// A descriptor to be given up when there are no others.
    spare: Option<File>,
    /// Clients over a limit that are being told so.
    turned_away: usize,
    /// Those clients of all sites who give way first.
    longest_idle: LongestIdle,
    /// Clients that were refused because all sites together have too many, for the log.
    refusals: LogLimit,
    /// Clients that have ever connected.
    clients_so_far: u64,
    /// The last changes of sites' states.
    events: VecDeque<report::Event>,
    /// How many there have ever been.
    events_so_far: u64,
    scratch: Box<[u8]>,
    /// The time of this turn.
    now: Instant,
    standstill: Standstill,
    /// When it was made.
    started: Instant,
    /// When the configuration was last taken in, in seconds since 1970.
    configured: f64,
    /// What is wrong with the one that was read last.
    config_fault: Option<history::ConfigFault>,
    /// An error of our own ends the process.
    is_loud: bool,
    /// Why it cannot be restarted, if that is so.
    no_restart: Option<&'static str>,
    /// Why nothing came of the last order to restart, once that is known.
    restart_error: Option<String>,
    /// Everything is being finished.
    stopping: bool,
}

/// Takes note of signals from here on: those that come before the loop runs are
/// kept for it. The error is one line for a person.
pub fn note_signals() -> Result<Signals, String> {
    Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, MAKE_ROOM])
        .map_err(|error| format!("cannot watch for signals: {}", sys::words(&error)))
}

impl Reactor {
    /// A loop without sites. To be made in the process in which it is to run:
    /// an epoll instance is shared over a fork.
    pub fn new(sockets: Sockets, mut signals: Signals) -> io::Result<Reactor> {
        sys::keep_freed_memory();
        let poll = Poll::new()?;
        let limits = Limits::default();
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
            trust: Trust::default(),
            identity: None,
            ports: port::Ports::new(),
            handshakes_left: 0,
            opens_left: 0,
            names_answered: false,
            requests: Budget::new(limits.request_buffer),
            responses: SharedBudget::new(limits.response_buffer),
            answers: Budget::new(orders::MOST_UNREAD),
            tide: Tide::default(),
            short_of_memory: VecDeque::new(),
            limits,
            sockets,
            slow: None,
            is_hidden: false,
            leaving: Vec::new(),
            calls: VecDeque::new(),
            spare: File::open("/dev/null").ok(),
            turned_away: 0,
            longest_idle: LongestIdle::default(),
            refusals: LogLimit::default(),
            clients_so_far: 0,
            events: VecDeque::new(),
            events_so_far: 0,
            scratch: vec![0; SCRATCH].into_boxed_slice(),
            now: Instant::now(),
            standstill: Standstill::default(),
            started: Instant::now(),
            configured: 0.0,
            config_fault: None,
            is_loud: false,
            no_restart: None,
            restart_error: None,
            stopping: false,
        })
    }

    /// Logs every query that takes longer than this.
    pub fn log_slow_queries(&mut self, limit: Option<Duration>) {
        self.slow = limit;
    }

    /// Nobody may be replaced any more: the daemon before this one is on its way out.
    pub fn forget_predecessor(&mut self) {
        self.sockets.predecessor = None;
    }

    /// Serves until something is asked of the daemon, or until `due`. The error,
    /// one line for a person, says why the loop cannot go on.
    pub fn run(&mut self, due: Option<Instant>) -> Result<Call, String> {
        let mut events = Events::with_capacity(EVENTS);
        self.stood_still(Instant::now());
        self.run_policy();
        loop {
            if let Some(call) = self.calls.pop_front() {
                return Ok(call);
            }
            if self.stopping && self.sites.is_empty() {
                return Ok(Call::Finished);
            }
            if due.is_some_and(|due| due <= self.now) {
                return Ok(Call::Due);
            }
            self.turn(&mut events, due)
                .map_err(|error| format!("the event loop failed: {}", sys::words(&error)))?;
        }
    }

    fn turn(&mut self, events: &mut Events, due: Option<Instant>) -> io::Result<()> {
        self.wait(events, due)?;
        self.handshakes_left = secure::HANDSHAKES;
        self.opens_left = connect::OPENS;
        for event in events.iter() {
            self.note(event);
        }
        if std::mem::take(&mut self.names_answered) {
            self.names_found();
        }
        // Whoever becomes ready from here on has its turn in the next round:
        // nobody can keep the loop from looking at the others.
        for _ in 0..self.ready.len() {
            match self.ready.pop_front() {
                Some(who @ Who::Listener(id)) => {
                    self.contained(who, |all| all.accept(Door::Socket(id)));
                }
                Some(who @ Who::Port(number)) => {
                    self.contained(who, |all| all.accept(Door::Port(number)));
                }
                Some(who @ Who::Client(id)) => {
                    if let Some(client) = self.clients.get_mut(id) {
                        client.is_ready = false;
                        self.contained(who, |all| all.attend_client(id));
                    }
                }
                Some(who @ Who::Channel(id)) => {
                    if let Some(channel) = self.channels.get_mut(id) {
                        channel.is_ready = false;
                        self.contained(who, |all| all.attend_channel(id));
                    }
                }
                Some(Who::Site(_)) | None => {}
            }
        }
        // What has come in time was read before: only now may anybody be late.
        if self.standstill.is_over(self.now) {
            self.remind();
        }
        if !self.leaving.is_empty() {
            self.let_go();
        }
        let held = self.requests.taken() + self.responses.taken() + self.answers.taken();
        if self.tide.has_ebbed(held, self.now) {
            sys::give_memory_back();
        }
        Ok(())
    }

    /// Waits for events, or until `due` or somebody's time has come, and reads the clock.
    fn wait(&mut self, events: &mut Events, due: Option<Instant>) -> io::Result<()> {
        let before = Instant::now();
        let timeout = match self.ready.is_empty() {
            true => {
                let next = self.timers.next().map(|at| self.standstill.put_off(at));
                let first = next.into_iter().chain(due).min();
                first.map(|at| rounded_up(at, before))
            }
            false => Some(Duration::ZERO),
        };
        // A signal ends the waiting without telling what else there is.
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == ErrorKind::Interrupted => self.look(events)?,
            other => other?,
        }
        let after = Instant::now();
        let overslept = timeout.map(|timeout| after.saturating_duration_since(before + timeout));
        // Working for so long is as bad as sleeping.
        let worked = before.saturating_duration_since(self.now);
        let late = worked.max(overslept.unwrap_or_default());
        self.now = after;
        self.note_late(late);
        Ok(())
    }

    /// It is `now`, and nothing was done since the last turn.
    fn stood_still(&mut self, now: Instant) {
        let late = now.saturating_duration_since(self.now);
        self.now = now;
        self.note_late(late);
    }

    fn note_late(&mut self, late: Duration) {
        if self.standstill.note(late, self.now) {
            let seconds = late.as_secs_f64();
            log::warn!("the daemon stood still for {seconds:.1} s; time-outs have to wait");
        }
    }

    /// Fetches the events that there are.
    fn look(&mut self, events: &mut Events) -> io::Result<()> {
        match self.poll.poll(events, Some(Duration::ZERO)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            other => other,
        }
    }

    /// Notes what an event says; nothing is done before all of them are noted.
    fn note(&mut self, event: &Event) {
        match event.token() {
            SIGNALS => self.take_signals(),
            // The answers wait until every event is noted.
            NAMES => self.names_answered = true,
            token => match Who::of(token) {
                Some(who @ (Who::Listener(_) | Who::Port(_))) => self.ready.push_back(who),
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
            self.contained(who, |all| all.remind_one(who, at));
        }
    }

    fn remind_one(&mut self, who: Who, at: Instant) {
        match who {
            Who::Site(id) => self.remind_site(id, at),
            Who::Client(id) => {
                if let Some(client) = self.clients.get_mut(id)
                    && timers::fired(&mut client.armed, at)
                {
                    self.remind_client(id);
                }
            }
            Who::Listener(id) => self.accept_again(Door::Socket(id), at),
            Who::Port(number) => self.accept_again(Door::Port(number), at),
            Who::Channel(id) => self.remind_channel(id, at),
        }
    }

    fn take_signals(&mut self) {
        let pending: Vec<i32> = self.signals.pending().collect();
        for signal in pending {
            match signal {
                SIGTERM | SIGINT => self.call(Call::Stop),
                SIGHUP => self.call(Call::Reload { terminal: true }),
                SIGUSR1 => self.call(Call::Reload { terminal: false }),
                SIGUSR2 => self.call(Call::WriteState),
                MAKE_ROOM => self.call(Call::MakeRoom),
                _ => {}
            }
        }
    }

    /// Other limits from now on.
    fn set_limits(&mut self, limits: Limits) {
        self.requests.set_limit(limits.request_buffer);
        self.responses.set_limit(limits.response_buffer);
        self.limits = limits;
    }

    /// Shares the memory for responses out among the sites that there are now:
    /// each has a part of its own.
    fn share_memory(&mut self) {
        let shares = self.sites.iter().map(|(_, entry)| &entry.memory);
        self.responses.divide(shares);
        self.memory_came_free();
    }

    /// Sites and their policies.
    fn policies(&mut self) -> impl Iterator<Item = (SiteId, &mut pool::Site)> {
        let sites = self.sites.iter_mut();
        sites.filter_map(|(id, entry)| Some((id, entry.policy()?)))
    }

    /// Whether it is known of every site whether it can be reached.
    pub fn is_settled(&mut self) -> bool {
        self.policies()
            .all(|(_, policy)| policy.state() != pool::State::Starting)
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
}
