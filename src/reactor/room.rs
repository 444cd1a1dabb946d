//! Memory for responses: how much of one may be read now, who waits for memory,
//! and who goes on when some came free.

use super::{Reactor, SiteEntry};
use crate::channel::{Channel, Incoming};
use crate::ids::{ChannelId, SiteId};
use crate::memory::Account;
use crate::query::Query;
use crate::response::Response;

impl Reactor {
    /// How much may be read now; nothing if the response has to wait for its
    /// client or for memory.
    pub(super) fn room(&mut self, id: ChannelId) -> Option<usize> {
        let exchange = self.channels.get(id)?.exchange()?;
        let Incoming::Passing(frame) = &exchange.incoming else {
            return Some(self.scratch.len());
        };
        let ended = frame.header().filter(|_| frame.left() == Some(0));
        let query = exchange.purpose.query();
        let query = query.and_then(|query| self.queries.get_mut(query));
        let client = query.as_ref().and_then(|query| query.client);
        let response = query.and_then(Query::response_mut);
        if let Some(header) = ended {
            // Complete since earlier, but what its client has not taken was not paid for.
            if response.is_none_or(|response| response.can_leave_channel()) {
                self.passed(id, header);
            }
            return None;
        }
        let room = response.map_or(usize::MAX, |response| response.room());
        if room == 0 {
            if let Some(client) = client {
                self.arm_client(client);
            }
            return None;
        }
        Some(room.min(self.scratch.len()))
    }

    /// A channel that we do not read, because its client or memory has to come
    /// first, is not silent.
    pub(super) fn hear_those_held_back(&mut self, site: SiteId) {
        let Some(entry) = self.sites.get(site) else {
            return;
        };
        let is_held_back = |id: &ChannelId| {
            let exchange = self.channels.get(*id).and_then(Channel::exchange);
            let query = exchange.and_then(|exchange| exchange.purpose.query());
            let query = query.and_then(|query| self.queries.get(query));
            query.is_some_and(Query::is_held_back)
        };
        let held_back = entry.channels.iter().flatten().any(is_held_back);
        let now = self.now;
        let entry = self.sites.get_mut(site).filter(|_| held_back);
        if let Some(policy) = entry.and_then(SiteEntry::policy) {
            policy.heard(now);
        }
    }

    /// Gives memory back to the responses of a site, and lets those go on that
    /// waited for it.
    pub(super) fn release(&mut self, site: SiteId, bytes: usize) {
        if bytes == 0 {
            return;
        }
        if let Some(entry) = self.sites.get_mut(site) {
            let mut account = Account {
                budget: &mut self.responses,
                share: &mut entry.memory,
            };
            account.give_back(bytes);
        }
        self.memory_came_free();
    }

    /// Lets those go on that waited for memory, as far as there is some: of each
    /// site in their order, but no site waits for another one.
    pub(super) fn memory_came_free(&mut self) {
        let mut blocked: Vec<SiteId> = Vec::new();
        let mut place = 0;
        while let Some(id) = self.short_of_memory.get(place).copied() {
            let site = self.channels.get(id).map(|channel| channel.site);
            let is_blocked = site.is_some_and(|site| blocked.contains(&site));
            let now = self.now;
            let waits = is_blocked
                || self
                    .response_on(id)
                    .is_some_and(|(response, mut memory)| !response.reserve(&mut memory, now));
            if waits {
                blocked.extend(site.filter(|_| !is_blocked));
                place += 1;
                continue;
            }
            self.short_of_memory.remove(place);
            self.goes_on(id);
        }
        for site in blocked {
            self.pass_on_if_stuck(site);
        }
    }

    /// The channel's response has to wait for memory.
    pub(super) fn wait_for_memory(&mut self, id: ChannelId) {
        self.short_of_memory.push_back(id);
        if let Some(channel) = self.channels.get(id) {
            self.pass_on_if_stuck(channel.site);
        }
    }

    /// Where all memory of a site is held by responses that wait for more of
    /// it, nobody would ever give any back: then they are passed on through the
    /// windows that they have.
    fn pass_on_if_stuck(&mut self, site: SiteId) {
        let channels = &self.channels;
        let of_site = |id: &ChannelId| channels.get(*id).is_some_and(|c| c.site == site);
        let waiting: Vec<ChannelId> = self
            .short_of_memory
            .iter()
            .copied()
            .filter(of_site)
            .collect();
        let mut held = 0;
        for id in &waiting {
            held += self
                .response_on(*id)
                .map_or(0, |(response, _)| response.reserved());
        }
        let of_all = self.sites.get(site).map_or(0, |entry| entry.memory.held());
        if held < of_all {
            return;
        }
        for id in waiting {
            let response = self.response_on(id);
            if !response.is_some_and(|(response, _)| response.pass_on_instead()) {
                continue;
            }
            self.short_of_memory.retain(|other| *other != id);
            self.goes_on(id);
        }
    }

    /// The channel no longer waits for memory. If its response is now passed
    /// on, its client has to make room in the window first.
    fn goes_on(&mut self, id: ChannelId) {
        let exchange = self.channels.get(id).and_then(Channel::exchange);
        let query = exchange.and_then(|exchange| exchange.purpose.query());
        if let Some(client) = query.and_then(|query| self.queries.get(query)?.client) {
            self.client_is_ready(client);
        }
        self.channel_is_ready(id);
    }

    /// The response that a channel is receiving for a client, and the memory for it.
    fn response_on(&mut self, id: ChannelId) -> Option<(&mut Response, Account<'_>)> {
        let channel = self.channels.get(id)?;
        let entry = self.sites.get_mut(channel.site)?;
        let query = channel.exchange()?.purpose.query()?;
        let response = self.queries.get_mut(query)?.response_mut()?;
        let account = Account {
            budget: &mut self.responses,
            share: &mut entry.memory,
        };
        Some((response, account))
    }
}
