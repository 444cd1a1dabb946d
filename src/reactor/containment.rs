//! An error of our own, found in the middle of a step, ends what the step was
//! about and not the daemon: hundreds of other sites are served by it.

use super::site::{Service, Wanted};
use super::{Reactor, Who};
use crate::channel::Purpose;
use crate::ids::{ChannelId, ClientId, QueryId, SiteId};
use crate::pool::{Loss, Refusal};
use crate::proto::request::Kind;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What those are told who waited for an answer.
const WHY: &str = "the proxy has had an internal error";

impl Reactor {
    /// An internal error ends the process, loudly, instead of being contained.
    pub fn fail_loudly(&mut self) {
        self.is_loud = true;
    }

    /// Does one step for `who`. Should it fail by an error of our own, that was
    /// logged by the hook for panics; who it was about is let go, and its site
    /// is begun anew, because nobody knows what is left of it.
    pub(super) fn contained(&mut self, who: Who, step: impl FnOnce(&mut Reactor)) {
        if self.is_loud {
            return step(self);
        }
        if self.survives(step) {
            return;
        }
        let site = self.site_of(who);
        // Whatever was half told is told no more; what others have to hear is whole.
        self.news.retain(|news| Some(news.site) != site);
        self.actions.clear();
        self.survives(|all| all.let_fall(who));
        let Some(site) = site else { return };
        if !self.survives(|all| all.begin_anew(site)) {
            self.drop_site(site);
        }
    }

    /// Whether a step comes to its end without an error of our own.
    fn survives(&mut self, step: impl FnOnce(&mut Reactor)) -> bool {
        catch_unwind(AssertUnwindSafe(|| step(self))).is_ok()
    }

    fn site_of(&self, who: Who) -> Option<SiteId> {
        match who {
            Who::Site(id) | Who::Listener(id) => Some(id),
            Who::Port(_) => None,
            Who::Client(id) => self.clients.get(id).map(|client| client.site),
            Who::Channel(id) => self.channels.get(id).map(|channel| channel.site),
        }
    }

    /// Closes a connection. The policy is not told: it is not to be relied upon.
    fn let_fall(&mut self, who: Who) {
        match who {
            Who::Client(id) => self.let_client_fall(id),
            Who::Channel(id) => self.let_channel_fall(id),
            Who::Site(_) | Who::Listener(_) | Who::Port(_) => {}
        }
    }

    fn let_client_fall(&mut self, id: ClientId) {
        self.forget_client(id);
        // By its state it may not have come to the query, or be past it already.
        let queries = self.queries.iter();
        let queries = queries.filter(|(_, query)| query.client == Some(id));
        let queries: Vec<QueryId> = queries.map(|(query_id, _)| query_id).collect();
        for query_id in queries {
            match self.queries.get_mut(query_id) {
                Some(query) if query.request.kind == Kind::Command => query.client = None,
                _ => self.end_query(query_id),
            }
        }
    }

    fn let_channel_fall(&mut self, id: ChannelId) {
        let Some(channel) = self.channels.remove(id) else {
            return;
        };
        self.count_sent(channel.site, channel.sent());
        if let Some(exchange) = channel.exchange()
            && let Purpose::Command(query) = exchange.purpose
            && exchange.sent > 0
        {
            let refusal = Refusal::MayHaveBeenDelivered(Loss::Broken(WHY.into()));
            self.refuse_command(channel.site, query, &refusal);
        }
        if let Some(stream) = channel.into_stream() {
            stream.close();
        }
    }

    fn begin_anew(&mut self, id: SiteId) {
        let Some(entry) = self.sites.get(id) else {
            return;
        };
        // Nothing of the others outlasts a step.
        let Service::Pooled(pooled) = &entry.service else {
            return;
        };
        let heir = match entry.leaving {
            None => {
                log::error!("site {}: begun anew after an internal error", entry.name);
                let wanted = Wanted::Served(Box::new(pooled.config.clone()));
                self.move_site(id, wanted)
            }
            // It is to go in any case, only sooner.
            Some(_) => None,
        };
        match heir {
            Some(heir) => self.hand_port_over(id, heir),
            None => self.close_port_of(id),
        }
        // Its channels are closed by this, and no sooner: they know which
        // commands have been written.
        self.cut_off(id, WHY);
    }

    /// Drops all that belongs to a site that cannot even be begun anew.
    fn drop_site(&mut self, id: SiteId) {
        log::error!(
            "site {}: given up after an internal error",
            self.site_name(id)
        );
        let channels = self.channels.iter();
        let channels = channels.filter(|(_, channel)| channel.site == id);
        let channels: Vec<Who> = channels.map(|(id, _)| Who::Channel(id)).collect();
        let clients = self.clients_of(id).into_iter().map(Who::Client);
        for who in channels.into_iter().chain(clients) {
            self.survives(|all| all.let_fall(who));
        }
        // Those whose clients have gone before.
        let queries = self.queries.iter();
        let queries = queries.filter(|(_, query)| query.site == id);
        let queries: Vec<(QueryId, Kind)> = queries
            .map(|(query_id, query)| (query_id, query.request.kind))
            .collect();
        for (query, kind) in queries {
            self.survives(|all| match kind {
                Kind::Command => all.refuse_command(id, query, &Refusal::Ended(WHY)),
                Kind::Get | Kind::Wait(_) => all.end_query(query),
            });
        }
        self.drop_port_of(id);
        self.sites.remove(id);
    }
}

#[cfg(test)]
mod tests;
