//! What must hold after each input. For simulations.

use super::{Condition, Site};
use crate::ids::QueryId;
use crate::pool::channel::Channel;
use std::time::Instant;

impl Site {
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
            idle.is_empty() || !self.queue.has_gets(),
            "a query waits beside a free channel"
        );
        assert!(
            idle.is_empty()
                || !self.queue.has_commands()
                || count(|c| matches!(c, Channel::Beating { first: false, .. })) > 0,
            "a command waits beside a free channel that nobody proves"
        );
        let probe = self.channel(self.probe());
        assert!(
            probe == Channel::Closed || probe.is_coming(),
            "the probe serves"
        );
        assert!(
            // There may have been more channels when they began.
            count(Channel::is_waiting) <= (self.channels.len() / 2).max(1),
            "wait queries use more than their share"
        );
        if let Condition::Dead { .. } = self.condition {
            assert_eq!(
                self.queue.len_without_commands(),
                0,
                "a query waits for a dead site"
            );
            assert_eq!(self.open_channels(), 0, "a dead site has a channel");
        }
        let mut queries: Vec<QueryId> = self.queue.all().collect();
        queries.extend(self.channels.iter().filter_map(|c| match c {
            Channel::Serving(serving) => Some(serving.query),
            _ => None,
        }));
        queries.sort_unstable();
        assert!(
            queries.is_sorted_by(|a, b| a < b),
            "a query is in two places"
        );
    }
}
