//! From the sites that are served to those that are to be: what is the same
//! notices nothing. The start is the same thing, from nothing.

use super::door::Door;
use super::leaving::Farewell;
use super::site::{Service, SiteEntry, Wanted};
use super::{Reactor, Who};
use crate::config::{Config, SiteConfig};
use crate::ids::SiteId;
use crate::listen::Listener;
use crate::pool::{Input, Settings};
use crate::query::Stage;
use crate::sys;
use std::collections::HashMap;
use std::fmt;

/// What a new configuration has changed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Changes {
    /// Sites that are new.
    pub added: usize,
    /// Sites that are no longer served.
    pub removed: usize,
    /// Sites that are at another address.
    pub moved: usize,
    /// Sites with other settings.
    pub changed: usize,
    /// Sites of which nothing has changed.
    pub unchanged: usize,
    /// Of the sites that stay, those whose socket had gone and is there again.
    pub restored: usize,
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (self.added, "added"),
            (self.removed, "removed"),
            (self.moved, "at another address"),
            (self.changed, "changed"),
            (self.unchanged, "unchanged"),
            (self.restored, "with a new socket"),
        ];
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        let texts: Vec<String> = counts.map(|(n, what)| format!("{n} {what}")).collect();
        match texts.is_empty() {
            true => f.write_str("no sites"),
            false => f.write_str(&texts.join(", ")),
        }
    }
}

/// How a site that stays differs from what it is to be.
enum Difference {
    None,
    Settings(Box<SiteConfig>),
    Address(Wanted),
}

impl Reactor {
    /// Serves what `config` says from now on. On an error nothing has changed;
    /// it is one line for a person.
    pub fn configure(&mut self, config: Config) -> Result<Changes, String> {
        let served = config.sites.into_iter().map(Box::new).map(Wanted::Served);
        let refused = config.refused.into_iter().map(|site| {
            let problem = site.problem;
            let why = format!("Site {} is not configured correctly: {problem}", site.name);
            Wanted::Unusable(site.name, why)
        });
        let wanted: Vec<Wanted> = served.chain(refused).collect();
        let mut present: HashMap<String, SiteId> = HashMap::new();
        for (id, entry) in self.sites.iter() {
            if entry.leaving.is_none() && !matches!(entry.service, Service::Console) {
                present.insert(entry.name.clone(), id);
            }
        }
        let ports = self.prepare_ports(&wanted)?;
        let listeners = self.prepare_sockets(&wanted, &present)?;
        let ports = self.opened(ports)?;
        self.set_limits(config.limits);
        let mut changes = Changes::default();
        for (wanted, listener) in wanted.into_iter().zip(listeners) {
            match (present.remove(wanted.name()), listener) {
                (Some(id), listener) => self.adapt(id, wanted, listener, &mut changes),
                (None, Some(listener)) => {
                    changes.added += 1;
                    self.begin_site(wanted, listener);
                }
                (None, None) => {}
            }
        }
        for (name, id) in present {
            log::info!("site {name}: no longer in the configuration");
            changes.removed += 1;
            self.leave(id, Farewell::Removed);
        }
        self.assign_ports(ports);
        self.share_memory();
        self.run_policy();
        Ok(changes)
    }

    /// Makes the sockets that are missing, so that what can fail has failed
    /// before anything is changed.
    fn prepare_sockets(
        &self,
        wanted: &[Wanted],
        present: &HashMap<String, SiteId>,
    ) -> Result<Vec<Option<Listener>>, String> {
        let mut listeners = Vec::with_capacity(wanted.len());
        for site in wanted {
            let entry = present.get(site.name()).and_then(|id| self.sites.get(*id));
            let listener = entry.and_then(|entry| entry.listener.as_ref());
            listeners.push(match listener.is_some_and(Listener::is_in_place) {
                true => None,
                false => Some(self.sockets.prepare(site.name())?),
            });
        }
        if !self.is_hidden {
            listeners.iter().flatten().try_for_each(put_in_place)?;
        }
        Ok(listeners)
    }

    /// Sockets are made, but nobody is to find them before [`Reactor::show`].
    pub fn hide(&mut self) {
        self.is_hidden = true;
    }

    /// Puts all sockets where clients look for them, and opens all ports.
    pub fn show(&mut self) -> Result<(), String> {
        self.is_hidden = false;
        self.open_ports()?;
        let listeners = self.sites.iter().filter_map(|(_, e)| e.listener.as_ref());
        listeners.into_iter().try_for_each(put_in_place)
    }

    fn begin_site(&mut self, wanted: Wanted, listener: Listener) -> Option<SiteId> {
        let id = self.add_site(wanted, listener)?;
        self.listen_at(id);
        Some(id)
    }

    /// Asks for the events of a new listener.
    pub(super) fn listen_at(&mut self, id: SiteId) {
        let entry = self.sites.get_mut(id);
        if let Some(listener) = entry.and_then(|entry| entry.listener.as_mut()) {
            let token = Who::Listener(id).token();
            if let Err(error) = listener.register(self.poll.registry(), token) {
                let (name, words) = (self.site_name(id), sys::words(&error));
                log::error!("site {name}: cannot watch its socket: {words}");
            }
        }
    }

    /// Makes a site that is served into what it is to be.
    fn adapt(
        &mut self,
        id: SiteId,
        wanted: Wanted,
        listener: Option<Listener>,
        changes: &mut Changes,
    ) {
        if let Some(listener) = listener {
            changes.restored += 1;
            self.replace_listener(id, listener);
        }
        match self.difference(id, wanted) {
            Difference::None => changes.unchanged += 1,
            Difference::Settings(config) => {
                changes.changed += 1;
                self.set_config(id, *config);
            }
            Difference::Address(wanted) => {
                changes.moved += 1;
                let service = self.sites.get(id).map(|entry| &entry.service);
                let change = match (service, &wanted) {
                    (Some(Service::Unusable(_)), _) => "it can be served now",
                    (_, Wanted::Unusable(..)) => "it can no longer be served",
                    _ => "it has another address",
                };
                log::info!("site {}: {change}", wanted.name());
                self.move_site(id, wanted);
            }
        }
    }

    fn difference(&self, id: SiteId, wanted: Wanted) -> Difference {
        let service = self.sites.get(id).map(|entry| &entry.service);
        match (service, wanted) {
            (Some(Service::Pooled(now)), Wanted::Served(config)) => {
                if now.config == *config {
                    Difference::None
                } else if now.config.address == config.address {
                    Difference::Settings(config)
                } else {
                    Difference::Address(Wanted::Served(config))
                }
            }
            (_, wanted) => Difference::Address(wanted),
        }
    }

    /// Those who have found the old socket are let in.
    fn replace_listener(&mut self, id: SiteId, listener: Listener) {
        while self.accept_some(Door::Socket(id)) {}
        if let Some(entry) = self.sites.get_mut(id) {
            entry.listener = Some(listener);
        }
        self.listen_at(id);
    }

    fn set_config(&mut self, id: SiteId, config: SiteConfig) {
        let Some(entry) = self.sites.get_mut(id) else {
            return;
        };
        log::info!("site {}: its settings have changed", entry.name);
        let settings = Settings::from(&config);
        let places = usize::from(settings.channels) + 1;
        if places > entry.channels.len() {
            entry.channels.resize(places, None);
        }
        if let Service::Pooled(pooled) = &mut entry.service {
            pooled.config = config;
        }
        self.tell(id, Input::Configured(settings));
    }

    /// What a site that has moved has counted since belongs to the one after it.
    pub(super) fn hand_down_counts(&mut self, gone: &SiteEntry) {
        let mut sites = self.sites.iter_mut();
        let is_heir = |entry: &SiteEntry| entry.is_shown() && entry.name == gone.name;
        if let Some((_, heir)) = sites.find(|(_, entry)| is_heir(entry)) {
            heir.counters.merge(&gone.counters);
            heir.response_times.merge(&gone.response_times);
            heir.waiting_times.merge(&gone.waiting_times);
        }
    }

    /// Another site takes the place of this one: its clients and those of their
    /// queries that have not been sent go there. What was sent is finished where
    /// it is. Returns the new one, if there is room for it.
    pub(super) fn move_site(&mut self, old: SiteId, wanted: Wanted) -> Option<SiteId> {
        let listener = self.sites.get_mut(old)?.listener.take()?;
        let new = self.add_site(wanted, listener)?;
        let (mut clients, mut waiting) = (0, Vec::new());
        let mut counted = None;
        if let Some(entry) = self.sites.get_mut(old) {
            counted = Some((
                std::mem::take(&mut entry.counters),
                std::mem::take(&mut entry.response_times),
                std::mem::take(&mut entry.waiting_times),
            ));
            clients = std::mem::take(&mut entry.clients);
            let policy = entry.policy();
            waiting = policy.map_or_else(Vec::new, |policy| policy.hand_over());
        }
        if let Some(entry) = self.sites.get_mut(new) {
            entry.clients = clients;
            if let Some(counted) = counted {
                (entry.counters, entry.response_times, entry.waiting_times) = counted;
            }
            let (token, registry) = (Who::Listener(new).token(), self.poll.registry());
            let renamed = entry.listener.as_mut().map(|l| l.rename(registry, token));
            if let Some(Err(error)) = renamed {
                let words = sys::words(&error);
                log::error!("site {}: cannot watch its socket: {words}", entry.name);
            }
        }
        // An event under the old name, or a pause in accepting, would be lost.
        self.ready.push_back(Who::Listener(new));
        for (_, client) in self.clients.iter_mut() {
            if client.site == old {
                client.site = new;
            }
        }
        for (id, since) in waiting {
            if let Some(query) = self.queries.get_mut(id) {
                query.site = new;
                query.stage = Stage::Waiting;
                let kind = query.request.kind;
                self.tell(new, Input::Moved(id, kind, since));
            }
        }
        self.stay_disabled(old, new);
        self.leave(old, Farewell::Moved);
        Some(new)
    }
}

fn put_in_place(listener: &Listener) -> Result<(), String> {
    listener.put_in_place().map_err(|error| {
        let (path, words) = (listener.path().display(), sys::words(&error));
        format!("cannot put the socket {path} in place: {words}")
    })
}
