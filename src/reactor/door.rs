//! Letting clients in, and turning those away for whom there is no room.

use super::{Reactor, Who};
use crate::client::{Client, Parting, State};
use crate::counters::Counter;
use crate::ids::SiteId;
use crate::listen::{Listener, Visitor};
use crate::stream::Stream;
use crate::sys;
use crate::timers;
use crate::tls::Session;
use std::time::{Duration, Instant};

/// New clients of one turn; the next ones come after everybody else had a turn.
const MOST_ACCEPTED: usize = 64;

/// Clients over the limit that are let in at a time to be told so; the next
/// ones wait until these are gone.
const MOST_TURNED_AWAY: usize = 64;

/// But not more than this part of all clients, where there may be few.
const TURNED_AWAY_PART: usize = 4;

/// A client that has been idle for less is in the middle of a page, or has just come.
const LEAST_IDLE: Duration = Duration::from_secs(1);

/// After a failed accept, mostly for want of descriptors, the next is tried then.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What stands between a connection and its first request.
pub(super) enum Entrance {
    /// Nothing.
    Open,
    /// The handshake of TLS, which begins in this state.
    Secured(Box<Session>, State),
}

impl Reactor {
    /// Lets in those who wait at a site's socket.
    pub(super) fn accept(&mut self, site: SiteId) {
        if self.accept_some(site) {
            self.ready.push_back(Who::Listener(site));
        }
    }

    /// Lets some in; `true` if there may be more.
    pub(super) fn accept_some(&mut self, site: SiteId) -> bool {
        for _ in 0..MOST_ACCEPTED {
            if self.is_crowded(site) {
                self.accept_later(site, "as many as can be told so are being refused");
                return false;
            }
            let entry = self.sites.get_mut(site);
            let Some(listener) = entry.and_then(|entry| entry.listener.as_ref()) else {
                return false;
            };
            match listener.accept() {
                Ok(Some(socket)) => self.let_in(site, socket, Entrance::Open, false),
                Ok(None) => {
                    self.accepts_again(site);
                    return false;
                }
                // The event is spent and will not be told again.
                Err(error) => {
                    self.accept_later(site, &sys::words(&error));
                    self.turn_one_away(site);
                    return false;
                }
            }
        }
        true
    }

    /// Whether a further client could not even be told that there are too many.
    pub(super) fn is_crowded(&self, site: SiteId) -> bool {
        let is_full = self
            .sites
            .get(site)
            .is_some_and(|entry| entry.clients >= entry.most_clients());
        let is_full = is_full || self.clients.len() >= self.limits.max_clients_total;
        let most = (self.limits.max_clients_total / TURNED_AWAY_PART).clamp(1, MOST_TURNED_AWAY);
        is_full && self.turned_away >= most
    }

    /// The next clients have to wait. It is said once, however long it lasts.
    fn accept_later(&mut self, site: SiteId, why: &str) {
        if let Some(entry) = self.sites.get_mut(site) {
            if entry.deaf_since.is_none() {
                let more = entry.deafness.count(self.now);
                entry.deaf_since = Some((self.now, more.is_some()));
                if let Some(count) = more {
                    let again = match count {
                        1 => String::new(),
                        _ => format!(" ({} times more since the last line like this)", count - 1),
                    };
                    log::warn!("site {}: no client can connect: {why}{again}", entry.name);
                }
            }
            let at = self.now + ACCEPT_PAUSE;
            self.timers
                .arm(Who::Listener(site), &mut entry.pause, Some(at));
        }
    }

    /// A descriptor is kept for this: the next client is told instead of left waiting.
    fn turn_one_away(&mut self, site: SiteId) {
        let Some(entry) = self.sites.get_mut(site) else {
            return;
        };
        let Some(spare) = self.spare.take() else {
            return;
        };
        drop(spare);
        let accepted = entry.listener.as_ref().map(Listener::accept);
        if let Some(Ok(Some(socket))) = accepted {
            self.let_in(site, socket, Entrance::Open, true);
        }
    }

    fn accepts_again(&mut self, site: SiteId) {
        if let Some(entry) = self.sites.get_mut(site)
            && let Some((since, true)) = entry.deaf_since.take()
        {
            let lasted = self.now.saturating_duration_since(since).as_secs_f64();
            log::info!(
                "site {}: clients can connect again, after {lasted:.1} s",
                entry.name
            );
        }
    }

    /// The pause in accepting is over.
    pub(super) fn accept_again(&mut self, site: SiteId, at: Instant) {
        if let Some(entry) = self.sites.get_mut(site)
            && timers::fired(&mut entry.pause, at)
        {
            self.ready.push_back(Who::Listener(site));
        }
    }

    /// Takes a client in; `is_last`: there is no descriptor for another one.
    pub(super) fn let_in(
        &mut self,
        site: SiteId,
        visitor: Visitor,
        entrance: Entrance,
        is_last: bool,
    ) {
        let Some(entry) = self.sites.get_mut(site) else {
            return;
        };
        let most = entry.most_clients();
        if entry.clients * 10 >= most * 9 {
            self.close_longest_idle(site);
        }
        let Some(entry) = self.sites.get_mut(site) else {
            return;
        };
        let full =
            is_last || entry.clients >= most || self.clients.len() >= self.limits.max_clients_total;
        let now = self.now;
        self.clients_so_far += 1;
        let number = self.clients_so_far;
        let id = self.clients.insert_with(|id| {
            let mut stream = Stream::accepted(visitor, Who::Client(id).token());
            let (session, state) = match entrance {
                Entrance::Open => (None, None),
                Entrance::Secured(session, state) => (Some(session), Some(state)),
            };
            if let Some(session) = session {
                stream.secure(*session);
            }
            let mut client = Client::new(site, stream, full, number, now);
            client.state = state.unwrap_or(client.state);
            client
        });
        let Some(id) = id else { return };
        match full {
            true => {
                self.turned_away += 1;
                entry.counters.add(Counter::ClientsRefused);
            }
            false => {
                entry.clients += 1;
                entry.counters.add(Counter::Clients);
            }
        }
        if full && !entry.is_full {
            log::warn!(
                "site {}: {} clients, {} of all sites: further ones are refused",
                entry.name,
                entry.clients,
                self.clients.len() - self.turned_away
            );
        }
        entry.is_full = full || (entry.is_full && entry.clients * 10 >= most * 9);
        // Mostly the request is there already, and often the client is done
        // with before an event could be asked for.
        self.attend_client(id);
        if let Some(client) = self.clients.get_mut(id)
            && let Err(error) = client.stream.register(self.poll.registry())
        {
            log::warn!("cannot watch a client: {}", sys::words(&error));
            self.close_client(id, Parting::NoRoom);
        }
    }

    /// Makes room where it gets scarce: idle clients may stay for ever otherwise.
    fn close_longest_idle(&mut self, site: SiteId) {
        let of_site = self
            .clients
            .iter()
            .filter(|(_, client)| client.site == site);
        let idle = of_site.filter_map(|(id, client)| Some((client.idle_since()?, id)));
        if let Some((since, id)) = idle.min()
            && since + LEAST_IDLE <= self.now
        {
            self.close_client(id, Parting::MadeRoom);
        }
    }
}
