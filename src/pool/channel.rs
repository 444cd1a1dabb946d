//! What a channel is at, as far as the policy goes.

use super::Errand;
use crate::ids::QueryId;
use std::time::{Duration, Instant};

/// A query on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Serving {
    pub query: QueryId,
    pub errand: Errand,
    pub deadline: Instant,
    /// Its life, of which the deadline is the end.
    pub life: Duration,
    /// As it stood in the queue, should it have to go back there.
    pub since: Instant,
    pub ticket: u64,
    /// Whether it was lost with another channel before.
    pub again: bool,
    /// Whether somebody still wants its response.
    pub wanted: bool,
}

/// What a channel is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Channel {
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
    /// Has answered its first heartbeat and is watched for a while: the one
    /// before it hung up right after that.
    Watched { until: Instant },
    /// Free. `since`: its last answer.
    Idle { since: Instant },
    /// At work.
    Serving(Serving),
}

impl Channel {
    /// Whether it can serve or does so.
    pub fn is_open(&self) -> bool {
        match self {
            Channel::Closed
            | Channel::Opening { .. }
            | Channel::Watched { .. }
            | Channel::Beating { first: true, .. } => false,
            Channel::Beating { first: false, .. } | Channel::Idle { .. } | Channel::Serving(_) => {
                true
            }
        }
    }

    /// Whether it is on its way to be proved for the first time.
    pub fn is_coming(&self) -> bool {
        matches!(
            self,
            Channel::Opening { .. }
                | Channel::Watched { .. }
                | Channel::Beating { first: true, .. }
        )
    }

    /// Whether a wait query is on it that uses the share of those.
    pub fn is_waiting(&self) -> bool {
        matches!(self, Channel::Serving(serving) if matches!(serving.errand, Errand::Wait(_)))
    }

    /// When what it is at has taken too long.
    pub fn deadline(&self) -> Option<Instant> {
        match self {
            Channel::Closed | Channel::Idle { .. } => None,
            Channel::Opening { until }
            | Channel::Watched { until }
            | Channel::Beating { until, .. } => Some(*until),
            Channel::Serving(serving) => Some(serving.deadline),
        }
    }
}
