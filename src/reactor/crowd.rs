//! Places for clients: who gets one, who has to give way where they get scarce,
//! and what those are told for whom there is none.

use super::Reactor;
use crate::client::{Client, Parting, TooMany};
use crate::counters::Counter;
use crate::ids::{ClientId, OfClient, SiteId};
use crate::slots::Slots;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Clients over the limit that are let in at a time to be told so; the next
/// ones wait until these are gone.
const MOST_TURNED_AWAY: usize = 64;

/// But not more than this part of all clients, where there may be few.
const TURNED_AWAY_PART: usize = 4;

/// A client that has been idle for less is in the middle of a page, or has just come.
const LEAST_IDLE: Duration = Duration::from_secs(1);

/// So many who may have to give way are found at one time: to find them, all
/// clients have to be looked at, and newcomers may be many.
const FOUND_AT_ONCE: usize = 256;

/// Whether so many clients of `most` leave too little room: nine tenths do.
fn is_scarce(clients: usize, most: usize) -> bool {
    clients * 10 >= most * 9
}

/// Those who have been idle longest. Whoever becomes idle after a look comes
/// behind all that were found by it.
#[derive(Debug, Default)]
pub(super) struct LongestIdle {
    found: VecDeque<(Instant, ClientId)>,
    /// Before then nobody else has been idle for long enough.
    next_look: Option<Instant>,
}

impl LongestIdle {
    /// The next one to give way, of those clients that `is_meant`.
    fn next(
        &mut self,
        clients: &Slots<OfClient, Client>,
        is_meant: impl Fn(&Client) -> bool,
        now: Instant,
    ) -> Option<ClientId> {
        if let Some(id) = self.take(clients) {
            return Some(id);
        }
        if self.next_look.is_some_and(|at| now < at) {
            return None;
        }
        let meant = clients.iter().filter(|(_, client)| is_meant(client));
        let idle = meant.filter_map(|(id, client)| Some((client.idle_since()?, id)));
        let mut next_look = now + LEAST_IDLE;
        let mut found = Vec::new();
        for (since, id) in idle {
            match since + LEAST_IDLE {
                at if at <= now => found.push((since, id)),
                at => next_look = next_look.min(at),
            }
        }
        if found.len() > FOUND_AT_ONCE {
            found.select_nth_unstable(FOUND_AT_ONCE);
            found.truncate(FOUND_AT_ONCE);
            next_look = now;
        }
        found.sort_unstable();
        // There was room for all who are idle.
        found.shrink_to_fit();
        self.found = found.into();
        self.next_look = Some(next_look);
        self.take(clients)
    }

    fn take(&mut self, clients: &Slots<OfClient, Client>) -> Option<ClientId> {
        while let Some((since, id)) = self.found.pop_front() {
            let idle_since = clients.get(id).and_then(Client::idle_since);
            if idle_since == Some(since) {
                return Some(id);
            }
        }
        None
    }
}

impl Reactor {
    /// Clients of all sites. Those that are turned away have places of their own.
    fn clients_of_all(&self) -> usize {
        self.clients.len().saturating_sub(self.turned_away)
    }

    /// Makes room where it gets scarce: idle clients may stay for ever otherwise.
    pub(super) fn make_place(&mut self, site: SiteId) {
        let all = self.clients_of_all();
        let Some(entry) = self.sites.get_mut(site) else {
            return;
        };
        let (clients, now) = (&self.clients, self.now);
        let mut longest = None;
        if is_scarce(entry.clients, entry.most_clients()) {
            let is_meant = |client: &Client| client.site == site;
            longest = entry.longest_idle.next(clients, is_meant, now);
        }
        if longest.is_none() && is_scarce(all, self.limits.max_clients_total) {
            longest = self.longest_idle.next(clients, |_| true, now);
        }
        if let Some(id) = longest {
            self.close_client(id, Parting::MadeRoom);
        }
    }

    /// Why there is no place for a further client, if that is so; `is_last`:
    /// there is no descriptor for another one.
    pub(super) fn too_many(&self, site: SiteId, is_last: bool) -> Option<TooMany> {
        let entry = self.sites.get(site)?;
        if is_last {
            Some(TooMany::OpenFiles)
        } else if entry.clients >= entry.most_clients() {
            Some(TooMany::OfSite)
        } else if self.clients_of_all() >= self.limits.max_clients_total {
            Some(TooMany::OfAllSites)
        } else {
            None
        }
    }

    /// Whether a further client could not even be told that there are too many.
    pub(super) fn is_crowded(&self, site: SiteId) -> bool {
        let most = (self.limits.max_clients_total / TURNED_AWAY_PART).clamp(1, MOST_TURNED_AWAY);
        self.turned_away >= most && self.too_many(site, false).is_some()
    }

    /// A client has come and takes up a place, unless there are too many.
    pub(super) fn take_place(&mut self, site: SiteId, too_many: Option<TooMany>) {
        let Some(entry) = self.sites.get_mut(site) else {
            return;
        };
        let Some(too_many) = too_many else {
            entry.clients += 1;
            entry.counters.add(Counter::Clients);
            return;
        };
        self.turned_away += 1;
        entry.counters.add(Counter::ClientsRefused);
        match too_many {
            TooMany::OfSite => {
                if let Some(untold) = entry.refusals.count(self.now) {
                    let (name, clients) = (&entry.name, entry.clients);
                    log::warn!("site {name}: {clients} clients, further ones are refused{untold}");
                }
            }
            TooMany::OfAllSites => {
                if let Some(untold) = self.refusals.count(self.now) {
                    let (clients, why) = (self.clients_of_all(), self.words_of_total());
                    log::warn!("{clients} clients, further ones are refused: {why}{untold}");
                }
            }
            // That nobody can connect was said, and why.
            TooMany::OpenFiles => {}
        }
    }

    /// A client no longer takes up a place.
    pub(super) fn free_place(&mut self, site: SiteId, turned_away: bool) {
        if turned_away {
            self.turned_away = self.turned_away.saturating_sub(1);
        } else if let Some(entry) = self.sites.get_mut(site) {
            entry.clients = entry.clients.saturating_sub(1);
        }
    }

    /// What a client is told for which there is no place.
    pub(super) fn words_of_crowd(&self, site: SiteId, too_many: TooMany) -> String {
        match too_many {
            TooMany::OfSite => format!("Too many clients of site {}", self.site_name(site)),
            TooMany::OfAllSites => {
                format!("Too many clients of all sites: {}", self.words_of_total())
            }
            TooMany::OpenFiles => "Too many clients: the proxy can open no more files".into(),
        }
    }

    /// What bounds the number of all clients.
    fn words_of_total(&self) -> String {
        let most = self.limits.max_clients_total;
        match self.limits.open_files {
            None => format!("max_clients_total is {most}"),
            Some(files) => format!("the limit of open files is {files}, and {most} fit into it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::QueryId;
    use crate::stream::{Socket, Stream};
    use mio::Token;
    use mio::net::UnixStream;

    struct Idle {
        clients: Slots<OfClient, Client>,
        ends: Vec<UnixStream>,
        longest: LongestIdle,
        start: Instant,
    }

    impl Idle {
        fn new() -> Idle {
            Idle {
                clients: Slots::default(),
                ends: Vec::new(),
                longest: LongestIdle::default(),
                start: Instant::now(),
            }
        }

        fn at(&self, millis: u64) -> Instant {
            self.start + Duration::from_millis(millis)
        }

        /// A client of this site that is idle from then on.
        fn client(&mut self, site: SiteId, since: u64) -> ClientId {
            let (end, own) = UnixStream::pair().unwrap();
            self.ends.push(end);
            let stream = Stream::accepted(Socket::Unix(own), Token(1));
            let mut client = Client::new(site, stream, None, 1, self.at(since));
            // Until it was read, it may have something to say.
            client.listen(&mut [0; 16], 16);
            self.clients.insert(client).unwrap()
        }

        /// Who gives way then, and goes.
        fn next(&mut self, site: SiteId, now: u64) -> Option<ClientId> {
            let now = self.at(now);
            let is_meant = |client: &Client| client.site == site;
            let id = self.longest.next(&self.clients, is_meant, now)?;
            self.clients.remove(id).map(|_| id)
        }
    }

    #[test]
    fn the_longest_idle_come_first_and_those_who_are_not_idle_long_enough_not_at_all() {
        let (site, other) = (SiteId::unpack(1), SiteId::unpack(2));
        let mut idle = Idle::new();
        let late = idle.client(site, 1_500);
        let second = idle.client(site, 200);
        let first = idle.client(site, 100);
        idle.client(other, 0);
        assert_eq!(idle.next(site, 1_050), None);
        assert_eq!(idle.next(site, 2_000), Some(first));
        assert_eq!(idle.next(site, 2_000), Some(second));
        assert_eq!(idle.next(site, 2_000), None);
        assert_eq!(idle.next(site, 2_499), None);
        assert_eq!(idle.next(site, 2_500), Some(late));
        assert_eq!(idle.next(site, 9_000), None);
    }

    #[test]
    fn who_was_found_and_is_not_idle_any_more_stays() {
        let site = SiteId::unpack(1);
        let mut idle = Idle::new();
        let all = [0, 10, 20, 30].map(|since| idle.client(site, since));
        assert_eq!(idle.next(site, 2_000), Some(all[0]));
        idle.clients
            .get_mut(all[1])
            .unwrap()
            .asks(QueryId::unpack(1));
        idle.clients.remove(all[2]).unwrap();
        assert_eq!(idle.next(site, 2_000), Some(all[3]));
    }

    #[test]
    fn clients_are_not_looked_at_again_for_each_newcomer() {
        let site = SiteId::unpack(1);
        let mut idle = Idle::new();
        idle.client(site, 0);
        idle.client(site, 1_500);
        let looks = std::cell::Cell::new(0);
        for now in (2_000..2_500).step_by(10) {
            let now = idle.at(now);
            let is_meant = |_: &Client| {
                looks.set(looks.get() + 1);
                true
            };
            idle.longest.next(&idle.clients, is_meant, now);
        }
        assert_eq!(looks.get(), 2, "one look at two clients");
    }
}
