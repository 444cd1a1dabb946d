//! What is counted, and when.

use super::Reactor;
use crate::channel::Channel;
use crate::counters::Counter;
use crate::ids::{QueryId, SiteId};
use crate::pool::Loss;

impl Reactor {
    /// One more.
    pub(super) fn count(&mut self, site: SiteId, counter: Counter) {
        if let Some(entry) = self.sites.get_mut(site) {
            entry.counters.add(counter);
        }
    }

    /// What has become of a query. Only the first that is said of it counts, so
    /// that queries and what became of them always balance.
    pub(super) fn count_end(&mut self, id: QueryId, counter: Counter) {
        let Some(query) = self.queries.get_mut(id) else {
            return;
        };
        if !std::mem::replace(&mut query.is_counted, true) {
            let site = query.site;
            self.count(site, counter);
        }
    }

    /// The whole response of a query is there. One whose rest was dropped, because
    /// its client has gone, is none.
    pub(super) fn count_answer(&mut self, id: QueryId) {
        let Some(query) = self.queries.get(id).filter(|query| query.client.is_some()) else {
            return;
        };
        let took = self
            .now
            .saturating_duration_since(query.sent.unwrap_or(self.now));
        if let Some(entry) = self.sites.get_mut(query.site) {
            entry.response_times.add(took);
        }
        self.count_end(id, Counter::Answered);
    }

    /// An exchange has come to its end, or its channel has in the middle of it: so
    /// many bytes of it were sent.
    pub(super) fn count_sent(&mut self, site: SiteId, sent: usize) {
        if let Some(entry) = self.sites.get_mut(site) {
            entry.counters.add_many(Counter::BytesOut, sent as u64);
        }
    }

    /// A channel has ended.
    pub(super) fn count_loss(&mut self, channel: &Channel, loss: &Loss) {
        let Some(entry) = self.sites.get_mut(channel.site) else {
            return;
        };
        if let Loss::Missed(_) = loss {
            entry.counters.add(Counter::HeartbeatsMissed);
        }
        let is_ours = matches!(loss, Loss::NotNeeded | Loss::SiteDead);
        if !channel.is_proved && channel.queries == 0 && !is_ours {
            entry.counters.add(Counter::ConnectsFailed);
            entry.history.last_failed_connect = Some((self.now, loss.to_string()));
        }
    }
}
