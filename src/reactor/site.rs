//! A site in the loop: its listening socket, its policy and its channels.

use super::crowd::LongestIdle;
use super::door::Deafness;
use super::history::{Greeting, History};
use super::leaving::Leaving;
use super::log_limit::LogLimit;
use super::orders::Disabled;
use super::{News, Reactor, Who};
use crate::config::{Address, SiteConfig};
use crate::counters::{Counters, Histogram};
use crate::fnv::fnv1a;
use crate::ids::{ChannelId, SiteId};
use crate::listen::Listener;
use crate::memory::Share;
use crate::pool::{self, ChannelNo, Input, Settings};
use crate::timers::{self, Armed};
use std::net::IpAddr;
use std::time::Instant;

/// Clients of a site that is not served, each of which is there for one
/// sentence, and of the daemon itself.
const CLIENTS_OF_OTHERS: usize = 100;

/// What stands for a name where the daemon itself is asked. No site is called so.
pub(super) const CONSOLE: &str = "(control)";

/// What stands behind a site's socket.
#[derive(Debug)]
pub enum Service {
    /// Channels to the site.
    Pooled(Box<Pooled>),
    /// Nothing: what is configured for it cannot be used. The text says why.
    Unusable(String),
    /// The daemon itself.
    Console,
}

/// A site as it is to be.
#[derive(Debug)]
pub(super) enum Wanted {
    /// Served like this.
    Served(Box<SiteConfig>),
    /// By this name, and whoever asks is told this.
    Unusable(String, String),
    /// The daemon's own socket.
    Console,
}

impl Wanted {
    pub(super) fn name(&self) -> &str {
        match self {
            Wanted::Served(config) => &config.name,
            Wanted::Unusable(name, _) => name,
            Wanted::Console => CONSOLE,
        }
    }
}

/// A site that is served.
#[derive(Debug)]
pub struct Pooled {
    pub(super) policy: pool::Site,
    pub(super) config: SiteConfig,
}

/// A site in the loop.
#[derive(Debug)]
pub struct SiteEntry {
    /// Its name.
    pub name: String,
    pub(super) service: Service,
    /// Its socket; one that has moved to another address has left it behind.
    pub(super) listener: Option<Listener>,
    /// Set while it is not to be used.
    pub(super) disabled: Option<Disabled>,
    /// Set when it is to go.
    pub(super) leaving: Option<Leaving>,
    /// Its channels by number.
    pub(super) channels: Vec<Option<ChannelId>>,
    /// Memory that its responses hold.
    pub(super) memory: Share,
    /// What was counted.
    pub(super) counters: Counters,
    /// From the sending of a query to the end of its response.
    pub(super) response_times: Histogram,
    /// From the arrival of a query to its sending.
    pub(super) waiting_times: Histogram,
    /// What the site says of itself.
    pub(super) greeting: Greeting,
    /// What went wrong, and when.
    pub(super) history: History,
    /// Clients that are connected to it.
    pub(super) clients: usize,
    /// The address at which a heartbeat was answered last.
    pub(super) good_address: Option<IpAddr>,
    /// The address at which the last attempt failed.
    pub(super) bad_address: Option<IpAddr>,
    /// Reminder of the policy's deadline.
    armed: Armed,
    /// Those of its clients who give way first.
    pub(super) longest_idle: LongestIdle,
    /// Clients that were refused because it has as many as it may have, for the log.
    pub(super) refusals: LogLimit,
    /// Times in which nobody is let in at its socket.
    pub(super) deafness: Deafness,
    /// Channels that were lost, for the log.
    pub(super) losses: LogLimit,
}

impl SiteEntry {
    /// Whether it is one of those that people ask for: one that has moved to
    /// another address has a successor of the same name.
    pub(super) fn is_shown(&self) -> bool {
        let has_moved = self.leaving.as_ref().is_some_and(Leaving::is_moved);
        !has_moved && !matches!(self.service, Service::Console)
    }

    /// The name of its state.
    pub(super) fn state_name(&self) -> &'static str {
        match (&self.service, &self.disabled) {
            (_, Some(_)) => "disabled",
            (Service::Pooled(pooled), None) => pooled.policy.state().name(),
            (Service::Unusable(_) | Service::Console, None) => "refused",
        }
    }

    /// Since when it is in that state.
    pub(super) fn state_since(&self) -> Instant {
        match (&self.service, &self.disabled) {
            (_, Some(disabled)) => disabled.since,
            (Service::Pooled(pooled), None) => pooled.policy.vitals().since,
            (Service::Unusable(_) | Service::Console, None) => self.history.last_reset,
        }
    }

    /// How many clients it may have.
    pub(super) fn most_clients(&self) -> usize {
        match &self.service {
            Service::Pooled(pooled) => pooled.config.max_clients,
            Service::Unusable(_) | Service::Console => CLIENTS_OF_OTHERS,
        }
    }

    /// The channel with this number.
    pub(super) fn channel(&self, no: ChannelNo) -> Option<ChannelId> {
        self.channels.get(no.index()).copied().flatten()
    }

    /// Its policy, unless it has none.
    pub(super) fn policy(&mut self) -> Option<&mut pool::Site> {
        match &mut self.service {
            Service::Pooled(pooled) => Some(&mut pooled.policy),
            Service::Unusable(_) | Service::Console => None,
        }
    }

    /// How many channels the site itself is configured to have.
    pub(super) fn channels_by_hand(&self) -> Option<usize> {
        match &self.service {
            Service::Pooled(pooled) => {
                let config = &pooled.config;
                config.channels_from_site.then_some(config.channels)
            }
            Service::Unusable(_) | Service::Console => None,
        }
    }

    /// Where it is reached, unless it is not served.
    pub(super) fn address(&self) -> Option<&Address> {
        match &self.service {
            Service::Pooled(pooled) => Some(&pooled.config.address),
            Service::Unusable(_) | Service::Console => None,
        }
    }
}

impl Reactor {
    /// Takes a site in, with its socket.
    pub(super) fn add_site(&mut self, site: Wanted, listener: Listener) -> Option<SiteId> {
        let (name, service, channels) = match site {
            Wanted::Served(config) => {
                let settings = Settings::from(&*config);
                // One more than the pool has: the probe.
                let channels = usize::from(settings.channels) + 1;
                let name = config.name.clone();
                let policy = pool::Site::new(settings, self.now, fnv1a(name.as_bytes()));
                let config = *config;
                let service = Service::Pooled(Box::new(Pooled { policy, config }));
                (name, service, channels)
            }
            Wanted::Unusable(name, why) => (name, Service::Unusable(why), 0),
            Wanted::Console => (CONSOLE.into(), Service::Console, 0),
        };
        let id = self.sites.insert(SiteEntry {
            name,
            service,
            listener: Some(listener),
            disabled: None,
            leaving: None,
            channels: vec![None; channels],
            memory: Share::default(),
            counters: Counters::default(),
            response_times: Histogram::default(),
            waiting_times: Histogram::default(),
            greeting: Greeting::default(),
            history: History::new(self.now),
            clients: 0,
            good_address: None,
            bad_address: None,
            armed: Armed::default(),
            longest_idle: LongestIdle::default(),
            refusals: LogLimit::default(),
            deafness: Deafness::default(),
            losses: LogLimit::default(),
        })?;
        self.tell(id, Input::Due);
        Some(id)
    }

    /// The policy's time may have come, or the end of one that is to go.
    pub(super) fn remind_site(&mut self, id: SiteId, at: Instant) {
        let Some(entry) = self.sites.get_mut(id) else {
            return;
        };
        if !timers::fired(&mut entry.armed, at) {
            return;
        }
        self.remind_leaving(id);
        let Some(entry) = self.sites.get_mut(id) else {
            return;
        };
        let due = entry.policy().and_then(|policy| policy.deadline());
        if due.is_some_and(|due| due <= self.now) {
            self.hear_those_held_back(id);
            self.tell(id, Input::Due);
            self.run_policy();
        } else {
            self.arm_site(id);
        }
    }

    /// Makes sure that the site is reminded in time.
    pub(super) fn arm_site(&mut self, id: SiteId) {
        if let Some(entry) = self.sites.get_mut(id) {
            let leaving = entry.leaving.as_ref().and_then(Leaving::deadline);
            let deadline = entry.policy().and_then(|policy| policy.deadline());
            let deadline = deadline.into_iter().chain(leaving).min();
            self.timers.arm(Who::Site(id), &mut entry.armed, deadline);
        }
    }

    /// The policy is to hear of `input`.
    pub(super) fn tell(&mut self, site: SiteId, input: Input) {
        self.news.push_back(News {
            site,
            input,
            lost: None,
        });
    }

    /// The name of a site, for the log and for answers.
    pub(super) fn site_name(&self, id: SiteId) -> &str {
        self.sites.get(id).map_or("", |entry| &entry.name)
    }
}
