//! What happens to a site when it is configured anew, when another daemon is
//! to take it over, and when it goes.

use super::{Condition, Settings, Site};
use crate::ids::QueryId;
use crate::pool::channel::Channel;
use crate::pool::{Action, ChannelNo, Errand, Loss, Refusal};
use std::time::Instant;

impl Site {
    /// Queries that are under way keep their limits, those that wait get new ones.
    pub(super) fn configure(&mut self, settings: Settings, now: Instant, out: &mut Vec<Action>) {
        let places = usize::from(settings.channels) + 1;
        if places > self.channels.len() {
            // The last number is the probe's, and becomes an ordinary channel's.
            self.close(self.probe(), Loss::NotNeeded, out);
            self.channels.resize(places, Channel::Closed);
            self.unused.resize(places, None);
        }
        // With fewer channels the places stay: those at work on them finish.
        if settings.channels != self.settings.channels {
            self.cap = None;
            self.stunted = false;
        }
        self.queue.set_patience(settings.channel_timeout);
        self.next_beat = self.next_beat.min(now + settings.heartbeat.interval);
        self.next_open = self.next_open.min(now + settings.connect_retry);
        self.settings = settings;
    }

    /// All channels are opened anew: those that are free at once, the others
    /// when they have done. What went wrong before is forgotten.
    pub(super) fn renew(&mut self, now: Instant, out: &mut Vec<Action>) {
        for index in 0..self.channels.len() {
            let channel = ChannelNo(index as u8);
            match self.channel(channel) {
                Channel::Serving(_) => self.stale.push(channel),
                _ => self.close(channel, Loss::NotNeeded, out),
            }
        }
        self.health.recovered();
        self.doubt = None;
        self.cap = None;
        self.stunted = false;
        self.fickle = false;
        self.open_soon(now);
        if self.is_well() && self.open_channels() == 0 && !self.opens_on_demand() {
            self.change(Condition::Starting, now, out);
        }
    }

    pub(super) fn close_stale(&mut self, out: &mut Vec<Action>) {
        let stale = std::mem::take(&mut self.stale);
        for channel in stale {
            match self.channel(channel) {
                Channel::Serving(_) => self.stale.push(channel),
                _ => self.close(channel, Loss::NotNeeded, out),
            }
        }
    }

    /// Takes those out who wait for a channel, to be given to another site;
    /// with the time since when each waits.
    pub fn hand_over(&mut self) -> Vec<(QueryId, Instant)> {
        self.queue.take_all()
    }

    /// Takes all out who wait for a channel, to be told that there will be none.
    pub fn give_all_up(&mut self) -> Vec<QueryId> {
        let mut all: Vec<QueryId> = self.queue.take_retries().collect();
        all.extend(self.hand_over().into_iter().map(|(query, _)| query));
        all
    }

    /// Another daemon has channels to the site too, for a while.
    pub(super) fn share(&mut self, until: Instant, now: Instant, out: &mut Vec<Action>) {
        self.shared_until = Some(until);
        if let Condition::Dead { cause } = &self.condition
            && self.is_for_want_of_room(cause, now)
        {
            self.fickle = false;
            self.open_soon(now);
            self.change(Condition::Starting, now, out);
        }
    }

    /// Whether a channel may have ended because another daemon has as many as
    /// the site accepts.
    pub(super) fn is_for_want_of_room(&self, loss: &Loss, now: Instant) -> bool {
        let is_shared = self.shared_until.is_some_and(|until| now < until);
        is_shared && matches!(loss, Loss::Closed | Loss::ClosedUnheard | Loss::Broken(_))
    }

    /// The site is to go.
    pub(super) fn retire(&mut self, waits: Option<Refusal>, out: &mut Vec<Action>) {
        self.retiring = true;
        let Some(refusal) = waits else { return };
        self.no_waits = Some(refusal.clone());
        for query in self.queue.take_waits() {
            out.push(Action::Refuse(query, refusal.clone()));
        }
        for index in 0..self.channels.len() {
            let channel = ChannelNo(index as u8);
            if let Channel::Serving(serving) = self.channel(channel)
                && matches!(serving.errand, Errand::Wait(_))
            {
                out.push(Action::Refuse(serving.query, refusal.clone()));
                self.close(channel, Loss::NotNeeded, out);
            }
        }
    }

    /// Where the site is to go and nobody waits, only channels at work are kept.
    /// And one idle channel for the last callers: where another daemon takes
    /// over, the site may not accept a further one.
    pub(super) fn clear_out(&mut self, out: &mut Vec<Action>) {
        if !self.retiring || self.queue.len() > 0 {
            return;
        }
        let beating = |c: &Channel| matches!(c, Channel::Beating { first: false, .. });
        let beating = self.channels.iter().position(beating);
        let kept = self.idle.last().map(|channel| channel.index()).or(beating);
        let kept = kept.filter(|_| self.no_waits.is_some());
        for index in 0..self.channels.len() {
            let channel = ChannelNo(index as u8);
            match self.channel(channel) {
                Channel::Serving(_) => {}
                _ if Some(index) == kept => {}
                _ => self.close(channel, Loss::NotNeeded, out),
            }
        }
    }

    pub(super) fn close(&mut self, channel: ChannelNo, loss: Loss, out: &mut Vec<Action>) {
        if self.channel(channel) != Channel::Closed {
            self.set(channel, Channel::Closed);
            self.idle.retain(|idle| *idle != channel);
            out.push(Action::Close(channel, loss));
        }
    }

    /// Channels that are free, and may be given up.
    pub fn idle_channels(&self) -> usize {
        self.idle.len()
    }

    /// Queries on channels.
    pub(super) fn serving(&self) -> usize {
        let serves = |c: &&Channel| matches!(c, Channel::Serving(_));
        self.channels.iter().filter(serves).count()
    }

    /// Whether a site that is to go has finished everything. There may be a
    /// channel that is of no use any more.
    pub fn is_done(&self) -> bool {
        self.retiring && self.queue.len() == 0 && self.serving() == 0
    }
}
