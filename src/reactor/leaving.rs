//! Sites that are to go, because they were taken out of the configuration or
//! because the daemon stops. What was asked is answered; who has said nothing
//! is let go in a way that loses no request it has written; then the site goes.

use super::Reactor;
use super::door::Door;
use crate::client::{Client, Parting, State, Via};
use crate::counters::Counter;
use crate::ids::{ClientId, QueryId, SiteId};
use crate::pool::{Input, Loss, Refusal};
use crate::proto::request::Kind;
use crate::proto::response::BAD_GATEWAY;
use std::time::{Duration, Instant};

/// So long after its socket was taken away clients may still come: a path is
/// looked up before the connection stands in the queue.
const LAST_CALLERS: Duration = Duration::from_millis(100);

/// So long a client may take to begin with its first request, if it has just connected.
const GRACE: Duration = Duration::from_secs(1);

/// So long a daemon that stops may take to answer what was asked.
const LONGEST_STOP: Duration = Duration::from_secs(10);

/// Why a site goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Farewell {
    /// The daemon stops.
    Stopped,
    /// The daemon stops, and another one has taken its place already.
    Followed,
    /// It stands in the configuration no more.
    Removed,
    /// It is at another address now, and its clients are there already.
    Moved,
}

impl Farewell {
    fn sentence(self) -> &'static str {
        match self {
            Farewell::Stopped | Farewell::Followed => "the proxy is being stopped",
            Farewell::Removed | Farewell::Moved => "it was taken out of the configuration",
        }
    }
}

/// How far it is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nobody finds its socket any more; those who have are let in.
    Callers,
    /// New clients have time to begin.
    Grace,
    /// Only what was begun is finished.
    Finishing,
}

/// A site on its way out.
#[derive(Debug)]
pub(super) struct Leaving {
    farewell: Farewell,
    since: Instant,
    stage: Stage,
}

impl Leaving {
    /// Whether another site has taken its place.
    pub(super) fn is_moved(&self) -> bool {
        self.farewell == Farewell::Moved
    }

    /// When it gets further although nothing happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match (self.stage, self.farewell) {
            (Stage::Callers, _) => Some(self.since + LAST_CALLERS),
            (Stage::Grace, _) => Some(self.since + GRACE),
            (Stage::Finishing, Farewell::Stopped | Farewell::Followed) => {
                Some(self.since + LONGEST_STOP)
            }
            // Its queries have deadlines of their own.
            (Stage::Finishing, Farewell::Removed | Farewell::Moved) => None,
        }
    }
}

impl Reactor {
    /// Begins to end everything. Sockets are gone when this returns;
    /// [`Reactor::run`] goes on until all that was asked is answered.
    ///
    /// Where another daemon has followed this one (`is_followed`), ports stay
    /// open for a moment: connections that are being made cannot be handed over.
    /// Otherwise the next one must find them free.
    pub fn stop(&mut self, is_followed: bool) {
        self.stopping = true;
        let sites: Vec<SiteId> = self.sites.iter().map(|(id, _)| id).collect();
        // All sockets first: a daemon that is started now is to find none.
        for (_, entry) in self.sites.iter() {
            if let Some(listener) = &entry.listener {
                listener.take_away();
            }
        }
        if !is_followed {
            self.close_ports();
        }
        let farewell = match is_followed {
            true => Farewell::Followed,
            false => Farewell::Stopped,
        };
        for id in sites {
            self.leave(id, farewell);
        }
        self.let_go();
    }

    /// The site is to go.
    pub(super) fn leave(&mut self, id: SiteId, farewell: Farewell) {
        let Some(entry) = self.sites.get_mut(id) else {
            return;
        };
        if let Some(listener) = &entry.listener {
            listener.take_away();
        }
        let stage = match entry.listener {
            Some(_) => Stage::Callers,
            None => Stage::Finishing,
        };
        let leaving = Leaving {
            farewell,
            since: self.now,
            stage,
        };
        if entry.leaving.replace(leaving).is_none() {
            self.leaving.push(id);
        }
        while self.accept_some(Door::Socket(id)) {}
        // Who has moved along may go on waiting: it has not lost its site.
        let refusal = Refusal::Ended(farewell.sentence());
        let waits = (farewell != Farewell::Moved).then_some(refusal);
        self.tell(id, Input::Retired(waits));
        self.run_policy();
        self.wake_clients(id);
        self.arm_site(id);
    }

    /// Lets every client of the site have a look at how things are.
    fn wake_clients(&mut self, site: SiteId) {
        for id in self.clients_of(site) {
            self.client_is_ready(id);
        }
    }

    pub(super) fn clients_of(&self, site: SiteId) -> Vec<ClientId> {
        let of_site = |(_, client): &(_, &Client)| client.site == site;
        self.clients
            .iter()
            .filter(of_site)
            .map(|(id, _)| id)
            .collect()
    }

    /// The next stage of a site on its way out may be due.
    pub(super) fn remind_leaving(&mut self, id: SiteId) {
        let entry = self.sites.get_mut(id);
        let leaving = entry.and_then(|entry| entry.leaving.as_mut());
        let due = |leaving: &&mut Leaving| leaving.deadline().is_some_and(|at| at <= self.now);
        let Some(leaving) = leaving.filter(due) else {
            return;
        };
        match leaving.stage {
            Stage::Callers => {
                leaving.stage = Stage::Grace;
                while self.accept_some(Door::Socket(id)) {}
                if let Some(entry) = self.sites.get_mut(id) {
                    entry.listener = None;
                }
            }
            Stage::Grace => {
                leaving.stage = Stage::Finishing;
                self.close_port_of(id);
                self.wake_clients(id);
            }
            Stage::Finishing => self.cut_off(id, Farewell::Stopped.sentence()),
        }
        self.arm_site(id);
    }

    /// A client with nothing under way, of a site that is to go, is told that
    /// nothing more will be read, in a way that it cannot miss: its next write
    /// fails. `true` if what it has written before is to be read now.
    pub(super) fn dismiss(&mut self, id: ClientId) -> bool {
        let Some(client) = self.clients.get_mut(id) else {
            return false;
        };
        let entry = self.sites.get(client.site);
        let Some(leaving) = entry.and_then(|entry| entry.leaving.as_ref()) else {
            return false;
        };
        let is_late = leaving.stage == Stage::Finishing;
        // A proxy in front that lost all its channels at once would take the
        // site for dead: half of them go a little later.
        let is_followed = leaving.farewell == Farewell::Followed;
        let may_stay = is_followed && client.via == Via::Port && client.number % 2 == 1;
        (is_late || !may_stay) && client.dismiss(is_late, self.now)
    }

    /// Sites that have finished go.
    pub(super) fn let_go(&mut self) {
        let leaving = std::mem::take(&mut self.leaving);
        for id in leaving {
            match self.is_done(id) {
                true => self.remove_site(id),
                false => self.leaving.push(id),
            }
        }
    }

    fn is_done(&mut self, id: SiteId) -> bool {
        let port = self.port_of(id);
        let Some(entry) = self.sites.get_mut(id) else {
            return true;
        };
        let callers = entry.listener.is_some() || port.is_some();
        let held = entry.clients > 0 || entry.memory.held() > 0;
        !callers && !held && entry.policy().is_none_or(|policy| policy.is_done())
    }

    fn remove_site(&mut self, id: SiteId) {
        let Some(entry) = self.sites.get_mut(id) else {
            return;
        };
        for channel in std::mem::take(&mut entry.channels).into_iter().flatten() {
            self.close_channel(channel, &Loss::NotNeeded);
        }
        if let Some(gone) = self.sites.remove(id)
            && gone.leaving.as_ref().is_some_and(Leaving::is_moved)
        {
            self.hand_down_counts(&gone);
        }
        self.share_memory();
    }

    /// The time for stopping is over: who still waits is told so.
    pub(super) fn cut_off(&mut self, id: SiteId, why: &'static str) {
        let refusal = Refusal::Ended(why);
        let text = refusal.text(self.site_name(id));
        let of_site = self.queries.iter().filter(|(_, query)| query.site == id);
        let queries: Vec<(QueryId, Kind)> = of_site
            .map(|(query_id, query)| (query_id, query.request.kind))
            .collect();
        let clients = self.clients_of(id);
        log::warn!(
            "site {}: {} clients and {} queries are cut off: {why}",
            self.site_name(id),
            clients.len(),
            queries.len()
        );
        for (query, kind) in queries {
            match kind {
                Kind::Command => self.refuse_command(id, query, &refusal),
                Kind::Get | Kind::Wait(_) => {
                    self.answer_own(query, Counter::RefusedOther, BAD_GATEWAY, &text);
                }
            }
        }
        for client in clients {
            if self
                .clients
                .get(client)
                .is_some_and(Client::is_inside_request)
            {
                self.cut_request_short(client);
            }
            self.attend_client(client);
            if let Some(state) = self.clients.get(client).map(|client| &client.state)
                && let State::Asking(query) = *state
            {
                self.end_query(query);
            }
            self.close_client(client, Parting::Dismissed);
        }
        self.remove_site(id);
    }
}
