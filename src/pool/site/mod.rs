//! One site: its channels' states, its waiting queries, its health. The only
//! place where any of these changes. Must not know what a channel is made of.

mod beating;
mod changing;
mod check;
mod failing;
mod opening;
mod serving;
mod vitals;

pub use vitals::Vitals;

use super::channel::Channel;
use super::health::Health;
use super::queue::Queue;
use super::{Action, Change, ChannelNo, Core, Errand, Input, Loss, Refusal, State};
use crate::config::{Heartbeat, SiteConfig};
use crate::ids::QueryId;
use crate::proto::request::Kind;
use std::time::{Duration, Instant};

/// How long a new channel may take from its first packet to the answer to its
/// first heartbeat, over all addresses of the site.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A channel that ends so soon after its first heartbeat, having served
/// nobody, was none.
const SHORT_LIFE: Duration = Duration::from_secs(1);

/// The settings that the policy goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Whether the number of channels may be adapted to what the site's core can serve.
    pub adapts: bool,
}

impl From<&SiteConfig> for Settings {
    fn from(site: &SiteConfig) -> Self {
        Settings {
            channels: u8::try_from(site.channels).unwrap_or(u8::MAX),
            channel_timeout: site.channel_timeout,
            heartbeat: site.heartbeat,
            query_timeout: site.query_timeout,
            connect_retry: site.connect_retry,
            adapts: !site.channels_from_site,
        }
    }
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
    /// By number; the last one is the probe.
    channels: Vec<Channel>,
    /// The idle channels, the longest idle first.
    idle: Vec<ChannelNo>,
    queue: Queue,
    condition: Condition,
    /// Since when it is in this condition.
    since: Instant,
    /// When it was last proved after it had been dead or unknown.
    risen: Instant,
    health: Health,
    /// What the site runs, once it has answered.
    core: Option<Core>,
    /// When the next heartbeat is to go out.
    next_beat: Instant,
    /// No attempt to open before this.
    next_open: Instant,
    /// When the next connection is made only to see whether the site lives,
    /// where channels are opened on demand.
    next_probe: Instant,
    /// The last attempt to open one more channel failed, though others were alive.
    stunted: bool,
    /// Fewer channels than configured, and until when: the site accepts more
    /// than it answers on.
    cap: Option<(usize, Instant)>,
    /// All channels are at work and silent, and the probe got no answer since.
    mute: Option<Instant>,
    /// No probe before this.
    probe_after: Instant,
    /// No channel is given up before this because nobody wants what it is at.
    next_sacrifice: Instant,
    /// When the last attempt began.
    last_open: Option<Instant>,
    /// Whether one began since something failed: what goes wrong together is one failure.
    tried: bool,
    /// For each channel that has served nobody, when it was proved.
    unused: Vec<Option<Instant>>,
    /// The last attempt failed while other channels were alive. Should the site end the last of
    /// those, it is dead.
    doubt: Option<Loss>,
    /// A channel was ended by the site since it last answered a heartbeat: it
    /// may be another core by now.
    unsettled: bool,
    /// A channel was lost right after its first heartbeat: if the site is dead,
    /// the next one has to last a while before it counts as back.
    fickle: bool,
    /// When the last byte came from the site, on any channel.
    heard: Instant,
    /// Channels at work that go when they have done.
    stale: Vec<ChannelNo>,
    /// No more channels than these, while another daemon takes over or the site is disabled.
    most: Option<usize>,
    /// Until then another daemon's channels may take up all that the site accepts.
    shared_until: Option<Instant>,
    /// What is under way is finished, and then the site goes.
    retiring: bool,
    /// What wait queries are told while the site goes, if they are not to wait.
    no_waits: Option<Refusal>,
}

impl Site {
    /// A site of which nothing is known yet. `seed` sets its jitter apart from other sites'.
    pub fn new(settings: Settings, now: Instant, seed: u64) -> Self {
        Site {
            channels: vec![Channel::Closed; usize::from(settings.channels) + 1],
            idle: Vec::with_capacity(usize::from(settings.channels)),
            queue: Queue::new(settings.channel_timeout),
            condition: Condition::Starting,
            since: now,
            risen: now,
            health: Health::new(seed),
            core: None,
            next_beat: now + settings.heartbeat.interval,
            next_open: now,
            next_probe: now,
            stunted: false,
            cap: None,
            mute: None,
            probe_after: now,
            next_sacrifice: now,
            last_open: None,
            tried: false,
            unused: vec![None; usize::from(settings.channels) + 1],
            doubt: None,
            unsettled: false,
            fickle: false,
            heard: now,
            stale: Vec::new(),
            most: None,
            shared_until: None,
            retiring: false,
            no_waits: None,
            settings,
        }
    }

    /// Takes in what has happened and puts what is to be done into `out`.
    pub fn handle(&mut self, input: Input, now: Instant, out: &mut Vec<Action>) {
        self.mute.take_if(|since| self.heard > *since);
        match input {
            Input::Arrived(query, kind) => self.arrived(query, kind, now, now, out),
            Input::Moved(query, kind, since) => self.arrived(query, kind, since, now, out),
            Input::Withdrawn(query) => self.queue.withdraw(query),
            Input::Connected(channel) => self.connected(channel, now, out),
            Input::Beaten(channel, core) => self.beaten(channel, core, now, out),
            Input::Answered(channel) => {
                if let Channel::Serving(_) = self.channel(channel) {
                    self.rest(channel, now);
                }
            }
            Input::Abandoned(channel) => self.abandoned(channel),
            Input::Lost {
                channel,
                loss,
                owed,
            } => self.lost(channel, loss, owed, now, out),
            Input::Due => self.due(now, out),
            Input::Configured(settings) => self.configure(settings, now, out),
            Input::Limited(most) => self.most = most,
            Input::Renewed => self.renew(now, out),
            Input::Shared(until) => self.share(until, now, out),
            Input::Retired(waits) => self.retire(waits, out),
        }
        self.settle(now, out);
    }

    /// A byte came from the site.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// When [`Input::Due`] is to be handed in, if nothing else happens.
    pub fn deadline(&self) -> Option<Instant> {
        let idle = self.longest_idle().map(|since| self.idle_ends(since));
        self.channels
            .iter()
            .filter_map(Channel::deadline)
            .chain(
                [
                    idle,
                    self.open_due(),
                    self.probe_due(),
                    self.sacrifice_due(),
                    self.opinion_due(),
                    self.cap.map(|(_, until)| until),
                    self.queue.deadline(),
                ]
                .into_iter()
                .flatten(),
            )
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

    /// Channels that serve or can serve.
    pub fn open_channels(&self) -> usize {
        self.channels.iter().filter(|c| c.is_open()).count()
    }

    /// Queries that wait for a channel.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    fn arrived(
        &mut self,
        query: QueryId,
        kind: Kind,
        since: Instant,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let errand = match kind {
            Kind::Get => Errand::Get,
            Kind::Command => Errand::Command,
            // Icinga 2 does not know waiting and answers at once.
            Kind::Wait(_) if self.opens_on_demand() => Errand::Get,
            Kind::Wait(timeout) => Errand::Wait(timeout),
        };
        if let (Some(refusal), Errand::Wait(_)) = (&self.no_waits, errand) {
            out.push(Action::Refuse(query, refusal.clone()));
            return;
        }
        if let Condition::Dead { .. } = self.condition {
            let rested = self
                .last_open
                .is_none_or(|at| now >= at + self.settings.connect_retry);
            if rested {
                self.next_open = now;
            }
            self.open_if_due(now, out);
            let refusal = self.unreachable(now);
            if errand != Errand::Command {
                out.push(Action::Refuse(query, refusal));
                return;
            }
            // It may outlast the trouble, if nobody waits for its end.
            out.push(Action::Hold(query, refusal));
        } else if let Some(mute) = self.mute
            && errand != Errand::Command
        {
            let lasted = now.saturating_duration_since(mute);
            out.push(Action::Refuse(query, Refusal::Mute { lasted }));
            return;
        }
        self.queue.push(query, errand, since);
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
        self.ask_for_opinions(now, out);
        // A channel may have come free in this very moment.
        self.serve(now, out);
        while let Some(waiting) = self.queue.pop_impatient(now) {
            self.out_of_patience(waiting, now, out);
        }
        while let Some(retry) = self.queue.pop_late_retry(now) {
            let limit = retry.life;
            out.push(Action::Refuse(retry.query, Refusal::TimedOut { limit }));
        }
    }

    /// Brings everything to rest that can move now. Called after each input.
    fn settle(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.close_stale(out);
        if self.most.is_some() {
            // The other daemon needs it more than those who wait here.
            self.close_surplus(now, out);
        }
        self.serve(now, out);
        self.cap.take_if(|(_, until)| *until <= now);
        self.close_surplus(now, out);
        self.clear_out(out);
        self.sacrifice_if_due(now, out);
        self.open_if_due(now, out);
        self.probe_if_due(now, out);
        let has_room = !self.idle.is_empty() || self.opens_on_demand();
        if let Condition::Busy = self.condition
            && has_room
            && !self.queue.has_gets()
        {
            self.change(Condition::Ready, now, out);
        }
        while let Some(since) = self.longest_idle()
            && self.idle_ends(since) <= now
        {
            let channel = self.idle.remove(0);
            if self.opens_on_demand() {
                self.close_unneeded(channel, now, out);
            } else {
                self.next_beat = now + self.settings.heartbeat.interval;
                self.beat(channel, now, out);
            }
        }
    }

    fn is_well(&self) -> bool {
        matches!(self.condition, Condition::Ready | Condition::Busy)
    }

    /// The channel has just answered and is free.
    fn rest(&mut self, channel: ChannelNo, now: Instant) {
        self.set(channel, Channel::Idle { since: now });
        self.idle.push(channel);
    }

    fn change(&mut self, condition: Condition, now: Instant, out: &mut Vec<Action>) {
        let cause = match &condition {
            Condition::Dead { cause } => Some(cause.clone()),
            Condition::Starting | Condition::Ready | Condition::Busy => None,
        };
        self.change_because(cause, condition, now, out);
    }

    fn change_because(
        &mut self,
        cause: Option<Loss>,
        condition: Condition,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let from = self.state();
        let lasted = now.saturating_duration_since(self.since);
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
}
