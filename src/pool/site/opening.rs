//! How many channels a site gets and when one is opened or given up.

use super::{CONNECT_TIMEOUT, Condition, Site};
use crate::pool::channel::Channel;
use crate::pool::{Action, ChannelNo, Core, Loss};
use std::time::{Duration, Instant};

/// Least time between two attempts: xinetd shuts a port for everybody that is
/// asked more than 100 times a second (`cps = 100 3`).
const OPEN_SPACING: Duration = Duration::from_millis(20);

/// The cores close a connection that was idle for 300 s; one that has been
/// idle for this long is proved before.
const LONGEST_IDLE: Duration = Duration::from_secs(240);

/// After so long a time in good health, earlier failures no longer count.
const RECOVERY: Duration = Duration::from_secs(60);

/// Icinga 2 answers Livestatus from the threads that run its checks, twice its
/// cores; each connection that stays open takes one away for good.
const ICINGA2_CHANNELS: usize = 2;

/// How long a channel to Icinga 2 is kept after its last query.
const ICINGA2_KEPT: Duration = Duration::from_secs(5);

/// How often a connection is made to see whether Icinga 2 lives, while there is none.
const ICINGA2_PROBE: Duration = Duration::from_secs(30);

impl Site {
    pub(super) fn connected(&mut self, channel: ChannelNo, now: Instant, out: &mut Vec<Action>) {
        let Channel::Opening { until } = self.channel(channel) else {
            return;
        };
        let wanted = self.queue.len() > 0 && !self.queue.has_commands();
        if self.is_well() && self.opens_on_demand() && wanted {
            // The query that it was opened for is proof enough.
            self.doubt = None;
            self.rest(channel, now);
            return;
        }
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

    pub(super) fn beaten(
        &mut self,
        channel: ChannelNo,
        core: Core,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let Channel::Beating { since, first, .. } = self.channel(channel) else {
            return;
        };
        let is_news = self.core.replace(core) != Some(core);
        if is_news && self.opens_on_demand() {
            self.queue.end_waiting_line();
            out.push(Action::Adapt(core));
        }
        self.health.observe(now.saturating_duration_since(since));
        self.rest(channel, now);
        if first {
            self.doubt = None;
            if let Some(unused) = self.unused.get_mut(channel.index()) {
                *unused = Some(now);
            }
            if !self.is_well() {
                self.next_beat = now + self.settings.heartbeat.interval;
                self.risen = now;
                self.change(Condition::Ready, now, out);
            }
        }
        self.serve(now, out);
        if self.opens_on_demand() && self.idle.contains(&channel) {
            // It was opened only to see whether the site lives.
            self.retire(channel, now, out);
        }
    }

    /// Something has failed that is not to be tried again at once.
    pub(super) fn pause(&mut self, now: Instant) {
        if self.is_well() && now.saturating_duration_since(self.risen) >= RECOVERY {
            self.health.recovered();
        }
        self.next_open = now + self.health.pause(self.settings.connect_retry);
    }

    pub(super) fn attempt_failed(&mut self, loss: Loss, now: Instant, out: &mut Vec<Action>) {
        self.pause(now);
        if self.open_channels() == 0 {
            self.die(loss, now, out);
        } else {
            self.doubt = Some(loss);
        }
    }

    pub(super) fn open_if_due(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.open_due().is_none_or(|due| now < due) {
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

    /// When one more channel is to be opened, one after another; nothing if none is wanted.
    pub(super) fn open_due(&self) -> Option<Instant> {
        let is_full = !self.channels.contains(&Channel::Closed);
        if is_full || self.channels.iter().any(Channel::is_coming) {
            return None;
        }
        if !self.is_well() {
            return Some(self.next_open);
        }
        if !self.opens_on_demand() {
            return Some(self.next_open);
        }
        match (self.open_channels(), self.queue.len()) {
            (0, 0) => Some(self.next_open.max(self.next_probe)),
            (_, 0) => None,
            (open, _) => (open < ICINGA2_CHANNELS).then_some(self.next_open),
        }
    }

    /// Whether the site's core is hurt by connections that are merely kept.
    pub(super) fn opens_on_demand(&self) -> bool {
        self.settings.adapts && self.core == Some(Core::Icinga2)
    }

    /// The channel is not needed at present.
    pub(super) fn retire(&mut self, channel: ChannelNo, now: Instant, out: &mut Vec<Action>) {
        self.set(channel, Channel::Closed);
        self.idle.retain(|idle| *idle != channel);
        self.next_probe = now + ICINGA2_PROBE;
        out.push(Action::Close(channel, Loss::NotNeeded));
    }

    /// When something is to be done about the channel that is idle longest.
    pub(super) fn idle_ends(&self, since: Instant) -> Instant {
        match self.opens_on_demand() {
            true => since + ICINGA2_KEPT,
            false => self.next_beat.min(since + LONGEST_IDLE),
        }
    }
}
