//! How a site is, for those who show it.

use super::{Condition, Site};
use crate::pool::channel::Channel;
use crate::pool::{Loss, State};
use std::time::{Duration, Instant};

/// What there is to be said of a site's health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vitals {
    /// Its state.
    pub state: State,
    /// Why, if it is dead.
    pub cause: Option<Loss>,
    /// Since when.
    pub since: Instant,
    /// Channels that serve or can serve.
    pub open: usize,
    /// Of these, at work.
    pub busy: usize,
    /// The most that it gets, because it did not answer on more.
    pub limit: Option<usize>,
    /// Queries that wait for a channel.
    pub waiting: usize,
    /// Since when the first of them waits.
    pub oldest: Option<Instant>,
    /// Median of the last heartbeats.
    pub typical: Duration,
    /// The last one.
    pub last: Duration,
    /// How long one may take now.
    pub timeout: Duration,
    /// When the next one is due.
    pub next_beat: Instant,
    /// Since when one is out.
    pub beating: Option<Instant>,
}

impl Site {
    /// How it is.
    pub fn vitals(&self) -> Vitals {
        let cause = match &self.condition {
            Condition::Dead { cause } => Some(cause.clone()),
            Condition::Starting | Condition::Ready | Condition::Busy => None,
        };
        let beating = self.channels.iter().filter_map(|channel| match channel {
            Channel::Beating { since, .. } => Some(*since),
            Channel::Closed | Channel::Opening { .. } | Channel::Watched { .. } => None,
            Channel::Idle { .. } | Channel::Serving(_) => None,
        });
        Vitals {
            state: self.state(),
            cause,
            since: self.since,
            open: self.open_channels(),
            busy: self.serving(),
            limit: self.cap.map(|(cap, _)| cap),
            waiting: self.queue.len(),
            oldest: self.queue.oldest(),
            typical: self.health.typical(),
            last: self.health.last(),
            timeout: self.heartbeat_timeout(),
            next_beat: self.next_beat,
            beating: beating.min(),
        }
    }
}
