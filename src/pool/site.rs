//! One site: its channels' states, its waiting queries, its health. The only
//! place where any of these changes. Must not know what a channel is made of.

use super::health::Health;
use super::{Action, Change, ChannelNo, Input, Loss, Refusal, State};
use crate::config::{Heartbeat, SiteConfig};
use crate::ids::QueryId;
use crate::proto::request::Kind;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a new channel may take from its first packet to the answer to its
/// first heartbeat, over all addresses of the site.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Least time between two attempts: xinetd shuts a port for everybody that is
/// asked more than 100 times a second (`cps = 100 3`).
const OPEN_SPACING: Duration = Duration::from_millis(20);

/// The cores close a connection that was idle for 300 s; one that has been
/// idle for this long is proved before.
const LONGEST_IDLE: Duration = Duration::from_secs(240);

/// After so long a time in good health, earlier failures no longer count.
const RECOVERY: Duration = Duration::from_secs(60);

/// The settings that the policy goes by.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Channels to keep open.
    pub channels: u8,
    /// How long a query waits for a free channel.
    pub channel_timeout: Duration,
    /// How often a channel is proved, and how long that may take.
    pub heartbeat: Heartbeat,
    /// The life of a query from the moment it gets a channel.
    pub query_timeout: Duration,
    /// Pause after a failed attempt.
    pub connect_retry: Duration,
}

impl From<&SiteConfig> for Settings {
    fn from(site: &SiteConfig) -> Self {
        Settings {
            channels: u8::try_from(site.channels).unwrap_or(u8::MAX),
            channel_timeout: site.channel_timeout,
            heartbeat: site.heartbeat,
            query_timeout: site.query_timeout,
            connect_retry: site.connect_retry,
        }
    }
}

/// A query on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Serving {
    query: QueryId,
    kind: Kind,
    deadline: Instant,
    /// Whether it was lost with another channel before.
    again: bool,
}

/// What a channel is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Channel {
    /// Not there.
    Closed,
    /// Connecting.
    Opening { until: Instant },
    /// A heartbeat is out; `first`: the channel has never answered one.
    Beating {
        since: Instant,
        until: Instant,
        first: bool,
    },
    /// Free. `since`: its last answer.
    Idle { since: Instant },
    /// At work.
    Serving(Serving),
}

impl Channel {
    /// Whether it has answered a heartbeat.
    fn is_proved(&self) -> bool {
        match self {
            Channel::Closed | Channel::Opening { .. } | Channel::Beating { first: true, .. } => {
                false
            }
            Channel::Beating { first: false, .. } | Channel::Idle { .. } | Channel::Serving(_) => {
                true
            }
        }
    }

    /// Whether it is on its way to be proved for the first time.
    fn is_coming(&self) -> bool {
        matches!(
            self,
            Channel::Opening { .. } | Channel::Beating { first: true, .. }
        )
    }

    fn deadline(&self) -> Option<Instant> {
        match self {
            Channel::Closed | Channel::Idle { .. } => None,
            Channel::Opening { until } | Channel::Beating { until, .. } => Some(*until),
            Channel::Serving(serving) => Some(serving.deadline),
        }
    }
}

/// A query that waits for its first channel.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    query: QueryId,
    kind: Kind,
    since: Instant,
}

/// A query that lost its channel and waits for a fresh one: one that has
/// answered since. An idle one may be as dead as the lost one without our knowing.
#[derive(Debug, Clone, Copy)]
struct Retry {
    query: QueryId,
    lost: Instant,
    deadline: Instant,
}

/// How the site is, with what belongs to that.
#[derive(Debug, Clone)]
enum Condition {
    Starting,
    Ready,
    Busy,
    Dead { cause: Loss },
}

/// The policy for one site.
#[derive(Debug)]
pub struct Site {
    settings: Settings,
    channels: Vec<Channel>,
    /// The idle channels, the longest idle first.
    idle: Vec<ChannelNo>,
    /// First come, first served.
    queue: VecDeque<Waiting>,
    /// Served before the queue: they came earlier.
    retries: VecDeque<Retry>,
    condition: Condition,
    /// Since when it is in this condition.
    since: Instant,
    /// When it was last proved after it had been dead or unknown.
    risen: Instant,
    health: Health,
    /// When the next heartbeat is to go out.
    next_beat: Instant,
    /// No attempt to open before this.
    next_open: Instant,
    /// When the last attempt began.
    last_open: Option<Instant>,
    /// The last attempt failed while other channels were alive. The next sign of trouble decides.
    doubt: Option<Loss>,
    /// When the last byte came from the site, on any channel.
    heard: Instant,
}

impl Site {
    /// A site of which nothing is known yet. `seed` sets its jitter apart from other sites'.
    pub fn new(settings: Settings, now: Instant, seed: u64) -> Self {
        Site {
            channels: vec![Channel::Closed; usize::from(settings.channels)],
            idle: Vec::with_capacity(usize::from(settings.channels)),
            queue: VecDeque::new(),
            retries: VecDeque::new(),
            condition: Condition::Starting,
            since: now,
            risen: now,
            health: Health::new(seed),
            next_beat: now + settings.heartbeat.interval,
            next_open: now,
            last_open: None,
            doubt: None,
            heard: now,
            settings,
        }
    }

    /// Takes in what has happened and puts what is to be done into `out`.
    pub fn handle(&mut self, input: Input, now: Instant, out: &mut Vec<Action>) {
        match input {
            Input::Arrived(query, kind) => self.arrived(query, kind, now, out),
            Input::Withdrawn(query) => {
                self.queue.retain(|waiting| waiting.query != query);
                self.retries.retain(|retry| retry.query != query);
            }
            Input::Connected(channel) => self.connected(channel, now, out),
            Input::Beaten(channel) => self.beaten(channel, now, out),
            Input::Answered(channel) => {
                if let Channel::Serving(_) = self.channel(channel) {
                    self.rest(channel, now);
                }
            }
            Input::Lost {
                channel,
                loss,
                owed,
            } => self.lost(channel, loss, owed, now, out),
            Input::Due => self.due(now, out),
        }
        self.settle(now, out);
    }

    /// A byte came from the site.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// When [`Input::Due`] is to be handed in, if nothing else happens.
    pub fn deadline(&self) -> Option<Instant> {
        let beat = self.longest_idle().map(|since| self.beat_due(since));
        let open = self.wants_channel().then_some(self.next_open);
        let waiting = self
            .queue
            .front()
            .map(|waiting| self.patience_ends(waiting));
        let retry = self.retries.iter().map(|retry| retry.deadline).min();
        self.channels
            .iter()
            .filter_map(Channel::deadline)
            .chain([beat, open, waiting, retry].into_iter().flatten())
            .min()
    }

    /// How the site is.
    pub fn state(&self) -> State {
        match self.condition {
            Condition::Starting => State::Starting,
            Condition::Ready => State::Ready,
            Condition::Busy => State::Busy,
            Condition::Dead { .. } => State::Dead,
        }
    }

    /// Channels that have answered a heartbeat and are still open.
    pub fn open_channels(&self) -> usize {
        self.channels.iter().filter(|c| c.is_proved()).count()
    }

    /// Queries that wait for a channel.
    pub fn waiting(&self) -> usize {
        self.queue.len() + self.retries.len()
    }

    fn arrived(&mut self, query: QueryId, kind: Kind, now: Instant, out: &mut Vec<Action>) {
        if let Condition::Dead { .. } = self.condition {
            let rested = self
                .last_open
                .is_none_or(|at| now >= at + self.settings.connect_retry);
            if rested {
                self.next_open = now;
            }
            self.open_if_due(now, out);
            out.push(Action::Refuse(query, self.unreachable(now)));
            return;
        }
        self.queue.push_back(Waiting {
            query,
            kind,
            since: now,
        });
    }

    fn connected(&mut self, channel: ChannelNo, now: Instant, out: &mut Vec<Action>) {
        if let Channel::Opening { until } = self.channel(channel) {
            self.set(
                channel,
                Channel::Beating {
                    since: now,
                    until,
                    first: true,
                },
            );
            out.push(Action::Beat(channel));
        }
    }

    fn beaten(&mut self, channel: ChannelNo, now: Instant, out: &mut Vec<Action>) {
        let Channel::Beating { since, first, .. } = self.channel(channel) else {
            return;
        };
        self.health.observe(now.saturating_duration_since(since));
        self.rest(channel, now);
        if first {
            self.doubt = None;
            if let Condition::Starting | Condition::Dead { .. } = self.condition {
                self.next_beat = now + self.settings.heartbeat.interval;
                self.risen = now;
                self.change(Condition::Ready, now, out);
            }
        }
    }

    fn lost(
        &mut self,
        channel: ChannelNo,
        loss: Loss,
        owed: bool,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let was = self.channel(channel);
        if was == Channel::Closed {
            return;
        }
        self.set(channel, Channel::Closed);
        self.idle.retain(|idle| *idle != channel);
        if let Channel::Serving(serving) = was
            && owed
        {
            self.lost_query(serving, &loss, now, out);
        }
        if was.is_coming() {
            self.attempt_failed(loss, now, out);
        } else if self.open_channels() == 0
            && let Some(doubt) = self.doubt.take()
        {
            // The attempt to replace an earlier one has failed already, and now none is left.
            self.die(doubt, now, out);
        }
    }

    fn lost_query(&mut self, serving: Serving, loss: &Loss, now: Instant, out: &mut Vec<Action>) {
        let refusal = match (serving.kind, loss) {
            (Kind::Command, loss) => Refusal::CommandUnknown(loss.clone()),
            (Kind::Get, loss) if loss.may_retry() && !serving.again => {
                self.retries.push_back(Retry {
                    query: serving.query,
                    lost: now,
                    deadline: serving.deadline,
                });
                return;
            }
            (Kind::Get, Loss::NotAHeader(bytes)) => Refusal::NotLivestatus(bytes.clone()),
            (Kind::Get, Loss::Closed | Loss::Broken(_)) => Refusal::LostTwice,
            (Kind::Get, loss) => Refusal::Unusable(loss.clone()),
        };
        out.push(Action::Refuse(serving.query, refusal));
    }

    fn attempt_failed(&mut self, loss: Loss, now: Instant, out: &mut Vec<Action>) {
        let well = matches!(self.condition, Condition::Ready | Condition::Busy);
        if well && now.saturating_duration_since(self.risen) >= RECOVERY {
            self.health.recovered();
        }
        self.next_open = now + self.health.pause(self.settings.connect_retry);
        if self.open_channels() == 0 {
            self.die(loss, now, out);
        } else {
            self.doubt = Some(loss);
        }
    }

    /// The site is dead: nothing of it is kept, everyone who waits is told.
    fn die(&mut self, cause: Loss, now: Instant, out: &mut Vec<Action>) {
        self.doubt = None;
        self.idle.clear();
        self.health.forget();
        if self.state() == State::Dead {
            // Another attempt has failed, and the cause may be another one by now.
            self.condition = Condition::Dead { cause };
        } else {
            self.next_open = self.next_open.max(now + self.settings.connect_retry);
            self.change(Condition::Dead { cause }, now, out);
        }
        let refusal = self.unreachable(now);
        for index in 0..self.channels.len() {
            let channel = ChannelNo(index as u8);
            let was = self.channel(channel);
            if was == Channel::Closed {
                continue;
            }
            self.set(channel, Channel::Closed);
            if let Channel::Serving(serving) = was {
                let refusal = match serving.kind {
                    Kind::Get => refusal.clone(),
                    Kind::Command => Refusal::CommandUnknown(Loss::SiteDead),
                };
                out.push(Action::Refuse(serving.query, refusal));
            }
            out.push(Action::Close(channel, Loss::SiteDead));
        }
        let waiting = self.queue.drain(..).map(|waiting| waiting.query);
        let retries = self.retries.drain(..).map(|retry| retry.query);
        for query in retries.chain(waiting) {
            out.push(Action::Refuse(query, refusal.clone()));
        }
    }

    /// Ends what has taken too long.
    fn due(&mut self, now: Instant, out: &mut Vec<Action>) {
        for index in 0..self.channels.len() {
            let channel = ChannelNo(index as u8);
            let late = self.channel(channel).deadline().is_some_and(|at| at <= now);
            if late {
                self.overdue(channel, now, out);
            }
        }
        while let Some(waiting) = self.queue.front().copied()
            && self.patience_ends(&waiting) <= now
        {
            // A channel may have come free in this very moment.
            self.serve(now, out);
            if self
                .queue
                .front()
                .is_some_and(|first| first.query == waiting.query)
            {
                self.queue.pop_front();
                self.out_of_patience(waiting, now, out);
            }
        }
        let limit = self.settings.query_timeout;
        self.retries.retain(|retry| {
            let late = retry.deadline <= now;
            if late {
                out.push(Action::Refuse(retry.query, Refusal::TimedOut { limit }));
            }
            !late
        });
    }

    fn overdue(&mut self, channel: ChannelNo, now: Instant, out: &mut Vec<Action>) {
        let was = self.channel(channel);
        self.set(channel, Channel::Closed);
        match was {
            Channel::Closed | Channel::Idle { .. } => {}
            Channel::Opening { .. } | Channel::Beating { first: true, .. } => {
                out.push(Action::Close(channel, Loss::NoAnswer));
                self.attempt_failed(Loss::NoAnswer, now, out);
            }
            Channel::Beating { since, until, .. } => {
                let loss = Loss::Missed(until.saturating_duration_since(since));
                out.push(Action::Close(channel, loss.clone()));
                let silent = self.heard < since;
                if silent || self.doubt.is_some() {
                    self.next_open = now + self.health.pause(self.settings.connect_retry);
                    self.die(loss, now, out);
                } else {
                    // A firewall drops idle connections one by one: see at once about the next.
                    self.next_beat = now;
                }
            }
            Channel::Serving(serving) => {
                let limit = self.settings.query_timeout;
                out.push(Action::Refuse(serving.query, Refusal::TimedOut { limit }));
                out.push(Action::Close(channel, Loss::TimedOut(limit)));
            }
        }
    }

    fn out_of_patience(&mut self, waiting: Waiting, now: Instant, out: &mut Vec<Action>) {
        let waited = now.saturating_duration_since(waiting.since);
        let refusal = match self.open_channels() {
            0 => Refusal::NoChannel { waited },
            channels => Refusal::Busy { channels, waited },
        };
        out.push(Action::Refuse(waiting.query, refusal));
        if let Condition::Ready = self.condition {
            self.change(Condition::Busy, now, out);
        }
    }

    /// Brings everything to rest that can move now. Called after each input.
    fn settle(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.serve(now, out);
        self.open_if_due(now, out);
        if let Condition::Busy = self.condition
            && !self.idle.is_empty()
        {
            self.change(Condition::Ready, now, out);
        }
        while let Some(since) = self.longest_idle()
            && self.beat_due(since) <= now
        {
            let channel = self.idle.remove(0);
            self.next_beat = now + self.settings.heartbeat.interval;
            self.beat(channel, now, out);
        }
    }

    /// Free channels go to those who wait. The one used last is taken first:
    /// it is the surest to be alive, and the others show by idling that they are too many.
    fn serve(&mut self, now: Instant, out: &mut Vec<Action>) {
        while let Some(retry) = self.retries.front().copied()
            && let Some(channel) = self.idle.last().copied()
        {
            let fresh =
                matches!(self.channel(channel), Channel::Idle { since } if since > retry.lost);
            let proving = self
                .channels
                .iter()
                .any(|c| matches!(c, Channel::Beating { .. }));
            if !fresh && proving {
                break;
            }
            self.idle.pop();
            if !fresh {
                self.beat(channel, now, out);
                break;
            }
            self.retries.pop_front();
            self.assign(
                channel,
                Serving {
                    query: retry.query,
                    kind: Kind::Get,
                    deadline: retry.deadline,
                    again: true,
                },
                out,
            );
        }
        while let Some(waiting) = self.queue.front().copied()
            && let Some(channel) = self.idle.pop()
        {
            self.queue.pop_front();
            self.assign(
                channel,
                Serving {
                    query: waiting.query,
                    kind: waiting.kind,
                    deadline: now + self.settings.query_timeout,
                    again: false,
                },
                out,
            );
        }
    }

    fn assign(&mut self, channel: ChannelNo, serving: Serving, out: &mut Vec<Action>) {
        self.set(channel, Channel::Serving(serving));
        out.push(Action::Assign {
            query: serving.query,
            channel,
            deadline: serving.deadline,
        });
    }

    fn open_if_due(&mut self, now: Instant, out: &mut Vec<Action>) {
        if !self.wants_channel() || now < self.next_open {
            return;
        }
        let closed = self.channels.iter().position(|c| *c == Channel::Closed);
        let Some(channel) = closed.map(|index| ChannelNo(index as u8)) else {
            return;
        };
        let until = now + CONNECT_TIMEOUT;
        self.set(channel, Channel::Opening { until });
        self.last_open = Some(now);
        self.next_open = now + OPEN_SPACING;
        out.push(Action::Open(channel));
    }

    /// Whether one more is to be opened, one after another.
    fn wants_channel(&self) -> bool {
        self.channels.contains(&Channel::Closed) && !self.channels.iter().any(Channel::is_coming)
    }

    fn beat(&mut self, channel: ChannelNo, now: Instant, out: &mut Vec<Action>) {
        let timeout = self.health.timeout(self.settings.heartbeat.timeout);
        self.set(
            channel,
            Channel::Beating {
                since: now,
                until: now + timeout,
                first: false,
            },
        );
        out.push(Action::Beat(channel));
    }

    /// The channel has just answered and is free.
    fn rest(&mut self, channel: ChannelNo, now: Instant) {
        self.set(channel, Channel::Idle { since: now });
        self.idle.push(channel);
    }

    /// When the next heartbeat is due, given the longest idle channel's last answer.
    fn beat_due(&self, since: Instant) -> Instant {
        self.next_beat.min(since + LONGEST_IDLE)
    }

    fn longest_idle(&self) -> Option<Instant> {
        match self.channel(*self.idle.first()?) {
            Channel::Idle { since } => Some(since),
            _ => None,
        }
    }

    fn patience_ends(&self, waiting: &Waiting) -> Instant {
        waiting.since + self.settings.channel_timeout
    }

    fn unreachable(&self, now: Instant) -> Refusal {
        let cause = match &self.condition {
            Condition::Dead { cause } => cause.clone(),
            Condition::Starting | Condition::Ready | Condition::Busy => Loss::NoAnswer,
        };
        let coming = self.channels.iter().any(Channel::is_coming);
        Refusal::Unreachable {
            cause,
            lasted: now.saturating_duration_since(self.since),
            next: (!coming).then(|| self.next_open.saturating_duration_since(now)),
        }
    }

    fn change(&mut self, condition: Condition, now: Instant, out: &mut Vec<Action>) {
        let from = self.state();
        let lasted = now.saturating_duration_since(self.since);
        let cause = match &condition {
            Condition::Dead { cause } => Some(cause.clone()),
            Condition::Starting | Condition::Ready | Condition::Busy => None,
        };
        self.condition = condition;
        self.since = now;
        out.push(Action::Tell(Change {
            from,
            to: self.state(),
            lasted,
            cause,
        }));
    }

    fn channel(&self, channel: ChannelNo) -> Channel {
        self.channels
            .get(channel.index())
            .copied()
            .unwrap_or(Channel::Closed)
    }

    fn set(&mut self, channel: ChannelNo, state: Channel) {
        if let Some(place) = self.channels.get_mut(channel.index()) {
            *place = state;
        }
    }

    /// Panics where something holds that must not. For simulations.
    pub fn check(&self) {
        let idle: Vec<Instant> = self
            .idle
            .iter()
            .map(|channel| match self.channel(*channel) {
                Channel::Idle { since } => since,
                other => panic!("{other:?} is listed as idle"),
            })
            .collect();
        let count = |is: fn(&Channel) -> bool| self.channels.iter().filter(|c| is(c)).count();
        assert!(idle.is_sorted(), "the longest idle does not come first");
        assert_eq!(idle.len(), count(|c| matches!(c, Channel::Idle { .. })));
        assert!(count(Channel::is_coming) <= 1, "two attempts at once");
        assert!(
            idle.is_empty() || self.queue.is_empty(),
            "a query waits beside a free channel"
        );
        if let Condition::Dead { .. } = self.condition {
            assert_eq!(self.waiting(), 0, "a query waits for a dead site");
            assert_eq!(self.open_channels(), 0, "a dead site has a channel");
        }
        let mut queries: Vec<QueryId> = self.queue.iter().map(|waiting| waiting.query).collect();
        queries.extend(self.retries.iter().map(|retry| retry.query));
        queries.extend(self.channels.iter().filter_map(|c| match c {
            Channel::Serving(serving) => Some(serving.query),
            _ => None,
        }));
        queries.sort_unstable();
        assert!(
            queries.windows(2).all(|pair| pair[0] != pair[1]),
            "a query is in two places"
        );
    }
}
