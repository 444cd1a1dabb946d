//! Heartbeats on channels that have answered before: when, on which, and how
//! long each may take.

use super::Site;
use crate::pool::channel::Channel;
use crate::pool::{Action, ChannelNo};
use std::time::{Duration, Instant};

impl Site {
    /// When another idle channel is to be asked, because a heartbeat is out and
    /// nothing comes from the site: only that can tell a core that hangs from a
    /// firewall that has dropped an idle connection. One is asked early, so that
    /// a slow site can answer in time; the others where it cannot be slowness.
    pub(super) fn opinion_due(&self) -> Option<Instant> {
        if self.idle.is_empty() {
            return None;
        }
        let beating = |channel: &Channel| match channel {
            Channel::Beating {
                since,
                until,
                first: false,
            } => Some((*since, *until)),
            _ => None,
        };
        let (since, until) = self.channels.iter().filter_map(beating).min()?;
        if self.heard >= since || self.opens_on_demand() {
            return None;
        }
        let time = until.saturating_duration_since(since);
        let after = match self.channels.iter().filter_map(beating).count() {
            1 => time / 4,
            _ => (time / 2).max(self.health.typical()),
        };
        Some(since + after)
    }

    pub(super) fn ask_for_opinions(&mut self, now: Instant, out: &mut Vec<Action>) {
        while self.opinion_due().is_some_and(|due| due <= now)
            && let Some(channel) = self.idle.first().copied()
        {
            self.idle.retain(|idle| *idle != channel);
            self.beat(channel, now, out);
        }
    }

    pub(super) fn beat(&mut self, channel: ChannelNo, now: Instant, out: &mut Vec<Action>) {
        let timeout = self.heartbeat_timeout();
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

    /// How long a heartbeat may take now.
    pub(super) fn heartbeat_timeout(&self) -> Duration {
        self.health.timeout(self.settings.heartbeat.timeout)
    }

    pub(super) fn longest_idle(&self) -> Option<Instant> {
        match self.channel(*self.idle.first()?) {
            Channel::Idle { since } => Some(since),
            _ => None,
        }
    }
}
