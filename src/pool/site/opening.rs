//! How many channels a site gets and when one is opened or given up.

use super::{CONNECT_TIMEOUT, Condition, SHORT_LIFE, Site};
use crate::pool::channel::Channel;
use crate::pool::{Action, ChannelNo, Core, Loss, Refusal, State};
use std::time::{Duration, Instant};

/// Least time between two attempts: xinetd shuts a port for everybody that is
/// asked more than 100 times a second (`cps = 100 3`).
const OPEN_SPACING: Duration = Duration::from_millis(20);

/// A site that takes few connections needs a moment to notice that one of them
/// is closed, before it takes another.
const NOTICED_AFTER: Duration = Duration::from_millis(100);

/// The cores close a connection that was idle for 300 s; one that has been
/// idle for this long is proved before.
const LONGEST_IDLE: Duration = Duration::from_secs(240);

/// After so long a time in good health, earlier failures no longer count.
const RECOVERY: Duration = Duration::from_secs(60);

/// Icinga 2 answers Livestatus from the threads that run its checks, twice its
/// cores; each connection that stays open takes one away for good.
const ICINGA2_CHANNELS: usize = 2;

/// A second channel to Icinga 2 is opened for a query that has waited for this
/// part of its time: where there is one processor there are two threads, and
/// two channels in steady use stop all checks.
const ICINGA2_SECOND_AFTER: u32 = 2;

/// How long a channel to Icinga 2 is kept after its last query.
const ICINGA2_KEPT: Duration = Duration::from_secs(5);

/// How often a connection is made to see whether Icinga 2 lives, while there is none.
const ICINGA2_PROBE: Duration = Duration::from_secs(30);

/// Where a site has answered on fewer channels than it accepts, the full number
/// is tried again after this.
const CAP_LASTS: Duration = Duration::from_secs(600);

/// And after this where that was less than a third.
const LOW_CAP_LASTS: Duration = Duration::from_secs(60);

/// Channels that are left to others where a site's worker threads are used up.
const LEFT_TO_OTHERS: usize = 2;

impl Site {
    pub(super) fn connected(&mut self, channel: ChannelNo, now: Instant, out: &mut Vec<Action>) {
        let Channel::Opening { until } = self.channel(channel) else {
            return;
        };
        let wanted = self.queue.len() > 0 && !self.queue.has_commands();
        if self.is_well() && self.opens_on_demand() && wanted && !self.unsettled {
            // The query that it was opened for is proof enough.
            self.doubt = None;
            self.rest(channel, now);
            return;
        }
        let until = match channel == self.probe() {
            true => now + self.heartbeat_timeout(),
            false => until,
        };
        self.prove_first(channel, until, now, out);
    }

    /// Sends the heartbeat that decides whether the channel can serve.
    pub(super) fn prove_first(
        &mut self,
        channel: ChannelNo,
        until: Instant,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
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
        if is_news {
            out.push(Action::Recognise(core));
        }
        if is_news && self.opens_on_demand() {
            self.queue.end_waiting_line();
        }
        self.health.observe(now.saturating_duration_since(since));
        if channel == self.probe() {
            // A slow query is no illness: nothing follows from that.
            self.close_unneeded(channel, now, out);
            return;
        }
        if self.fickle && !self.is_well() {
            let until = now + SHORT_LIFE;
            self.set(channel, Channel::Watched { until });
            return;
        }
        self.rest(channel, now);
        self.doubt = None;
        self.unsettled = false;
        if first {
            self.stunted = false;
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
            self.close_unneeded(channel, now, out);
        }
    }

    /// Something has failed that is not to be tried again at once.
    pub(super) fn pause(&mut self, now: Instant) {
        if self.is_well() && now.saturating_duration_since(self.risen) >= RECOVERY {
            self.health.recovered();
        }
        if std::mem::take(&mut self.tried) {
            // At a site that is well a channel is missed, and tried again soon;
            // one that is away is left alone for longer and longer.
            let pause = match self.is_well() {
                true => self.settings.connect_retry,
                false => self.health.pause(self.settings.connect_retry),
            };
            self.next_open = now + pause;
        }
    }

    pub(super) fn attempt_failed(&mut self, loss: Loss, now: Instant, out: &mut Vec<Action>) {
        if self.is_for_want_of_room(&loss, now) && self.state() != State::Dead {
            self.open_soon(now);
            return;
        }
        self.pause(now);
        // Where all others are at work and silent, this was as good as a probe.
        let silence = self.settings.heartbeat.interval + self.heartbeat_timeout();
        let silent = self.all_serve() && now >= self.heard + silence;
        // Another one that is on its way will tell.
        let is_last = self.open_channels() == 0 && !self.channels.iter().any(Channel::is_coming);
        if is_last || (silent && loss != Loss::NoRoom) {
            self.die(loss, now, out);
        } else {
            self.doubt = Some(loss);
            self.stunted = true;
        }
    }

    /// The site may take another channel in a moment: one has just been closed
    /// by us, or is being closed by the daemon that we share it with.
    pub(super) fn open_soon(&mut self, now: Instant) {
        self.next_open = now + NOTICED_AFTER;
    }

    /// How many channels there are to be shared out.
    pub(super) fn expected(&self) -> usize {
        match self.stunted {
            true => self.open_channels(),
            false => self.wanted(),
        }
    }

    /// Whether every channel that is open is at work.
    pub(super) fn all_serve(&self) -> bool {
        let serves = |c: &Channel| !c.is_open() || matches!(c, Channel::Serving(_));
        self.channels.iter().all(serves)
    }

    /// The number of the connection that is made beside the channels, when
    /// all of them are at work and silent.
    pub(super) fn probe(&self) -> ChannelNo {
        ChannelNo(self.channels.len().saturating_sub(1) as u8)
    }

    /// When the probe is due; nothing while a channel could tell more.
    pub(super) fn probe_due(&self) -> Option<Instant> {
        // Asked after everything that happens, and mostly answered by this.
        if !self.idle.is_empty() {
            return None;
        }
        let could_tell = |c: &Channel| !matches!(c, Channel::Closed | Channel::Serving(_));
        if self.serving() < self.wanted()
            || self.channels.iter().any(could_tell)
            || self.retiring
            || !self.is_well()
            || self.opens_on_demand()
            || self.is_disabled()
        {
            return None;
        }
        let silent = self.heard + self.settings.heartbeat.interval + self.heartbeat_timeout();
        // A reload may make it due in the moment in which a channel was tried.
        let spaced = self.last_open.map(|last| last + OPEN_SPACING);
        Some(silent.max(self.probe_after)).max(spaced)
    }

    pub(super) fn probe_if_due(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.probe_due().is_some_and(|due| due <= now) {
            self.probe_after = now + self.settings.connect_retry;
            self.open(self.probe(), now, out);
        }
    }

    /// The site accepts connections and answers none: it may still be at work
    /// on what it was asked, but nobody else is to wait for it.
    pub(super) fn fall_mute(&mut self, loss: Loss, now: Instant, out: &mut Vec<Action>) {
        self.probe_after = now + self.settings.connect_retry;
        let since = *self.mute.get_or_insert(now);
        let lasted = now.saturating_duration_since(since);
        for query in self.queue.drain_queries() {
            out.push(Action::Refuse(query, Refusal::Mute { lasted }));
        }
        if let Condition::Ready = self.condition {
            self.change_because(Some(loss), Condition::Busy, now, out);
        }
    }

    /// The site accepts one more channel and does not answer on it, although it
    /// answers on the others: its worker threads are used up.
    pub(super) fn limit_channels(&mut self, now: Instant, out: &mut Vec<Action>) {
        let cap = self.open_channels().saturating_sub(LEFT_TO_OTHERS).max(1);
        // Far fewer than configured may only mean that others were faster.
        let lasts = match cap * 3 < usize::from(self.settings.channels) {
            true => LOW_CAP_LASTS,
            false => CAP_LASTS,
        };
        self.cap = Some((cap, now + lasts));
        out.push(Action::Limit(cap));
    }

    /// How many channels are to be kept.
    fn wanted(&self) -> usize {
        let configured = usize::from(self.settings.channels);
        let most = match self.retiring {
            true => self.serving() + self.queue.len(),
            // The second is closed as soon as nobody waits for it.
            false if self.opens_on_demand() => 1,
            false => self.cap.map_or(configured, |(cap, _)| cap),
        };
        configured.min(most).min(self.most.unwrap_or(configured))
    }

    /// Whether it is to have no connection at all.
    fn is_disabled(&self) -> bool {
        self.most == Some(0)
    }

    /// How many channels there are or are being opened.
    fn taken(&self) -> usize {
        let channels = self.channels.split_last().map_or(&[][..], |(_, rest)| rest);
        channels.iter().filter(|c| **c != Channel::Closed).count()
    }

    pub(super) fn close_surplus(&mut self, now: Instant, out: &mut Vec<Action>) {
        while !self.retiring
            && self.taken() > self.wanted()
            && let Some(channel) = self.idle.first().copied()
        {
            self.close_unneeded(channel, now, out);
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
        self.open(channel, now, out);
    }

    fn open(&mut self, channel: ChannelNo, now: Instant, out: &mut Vec<Action>) {
        let until = now + CONNECT_TIMEOUT;
        self.stale.retain(|stale| *stale != channel);
        self.set(channel, Channel::Opening { until });
        self.last_open = Some(now);
        self.tried = true;
        self.next_open = self.next_open.max(now + OPEN_SPACING);
        out.push(Action::Open(channel));
    }

    /// When one more channel is to be opened, one after another; nothing if none is wanted.
    pub(super) fn open_due(&self) -> Option<Instant> {
        let due = match self.is_well() && self.opens_on_demand() {
            true => self.demanded(),
            false => (self.taken() < self.wanted()).then_some(self.next_open),
        };
        due.filter(|_| !self.is_disabled() && !self.channels.iter().any(Channel::is_coming))
    }

    /// When a channel is to be opened where they are opened on demand.
    fn demanded(&self) -> Option<Instant> {
        let most = ICINGA2_CHANNELS.min(usize::from(self.settings.channels));
        match (self.taken(), self.queue.oldest()) {
            (0, None) if self.retiring => None,
            (0, None) => Some(self.next_open.max(self.next_probe)),
            (0, Some(_)) => Some(self.next_open),
            (taken, Some(oldest)) if taken < most => {
                let urgent = oldest + self.settings.channel_timeout / ICINGA2_SECOND_AFTER;
                Some(self.next_open.max(urgent))
            }
            _ => None,
        }
    }

    /// Whether the site's core is hurt by connections that are merely kept.
    pub(super) fn opens_on_demand(&self) -> bool {
        self.settings.adapts && self.core == Some(Core::Icinga2)
    }

    /// The channel is not needed at present.
    pub(super) fn close_unneeded(
        &mut self,
        channel: ChannelNo,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        self.close(channel, Loss::NotNeeded, out);
        self.next_probe = now + ICINGA2_PROBE;
    }

    /// When something is to be done about the channel that is idle longest.
    pub(super) fn idle_ends(&self, since: Instant) -> Instant {
        match self.opens_on_demand() {
            true => since + ICINGA2_KEPT,
            false => self.next_beat.min(since + LONGEST_IDLE),
        }
    }
}
