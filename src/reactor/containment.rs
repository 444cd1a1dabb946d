//! An error of our own, found in the middle of a step, ends what the step was
//! about and not the daemon: hundreds of other sites are served by it.

use super::{Reactor, Who};
use crate::config::SiteConfig;
use crate::ids::SiteId;
use crate::reactor::site::{Service, Wanted};
use std::panic::{AssertUnwindSafe, catch_unwind};

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
        if catch_unwind(AssertUnwindSafe(|| step(self))).is_ok() {
            return;
        }
        let site = self.site_of(who);
        // Whatever was half told is told no more.
        self.news.clear();
        self.actions.clear();
        self.let_fall(who);
        let Some(site) = site else { return };
        log::error!(
            "site {}: begun anew after an internal error",
            self.site_name(site)
        );
        if catch_unwind(AssertUnwindSafe(|| self.begin_anew(site))).is_err() {
            log::error!(
                "site {}: given up after an internal error",
                self.site_name(site)
            );
            self.sites.remove(site);
        }
    }

    fn site_of(&self, who: Who) -> Option<SiteId> {
        match who {
            Who::Site(id) | Who::Listener(id) => Some(id),
            Who::Port(_) => None,
            Who::Client(id) => self.clients.get(id).map(|client| client.site),
            Who::Channel(id) => self.channels.get(id).map(|channel| channel.site),
        }
    }

    /// Closes a connection without any of the steps that usually belong to it.
    fn let_fall(&mut self, who: Who) {
        match who {
            Who::Client(id) => {
                if let Some(client) = self.clients.remove(id) {
                    client.stream.close();
                    if let Some(entry) = self.sites.get_mut(client.site) {
                        entry.clients = entry.clients.saturating_sub(1);
                    }
                }
            }
            Who::Channel(id) => {
                let channel = self.channels.remove(id);
                if let Some(stream) = channel.and_then(|channel| channel.into_stream()) {
                    stream.close();
                }
            }
            Who::Site(_) | Who::Listener(_) | Who::Port(_) => {}
        }
    }

    fn begin_anew(&mut self, id: SiteId) {
        let config = self.sites.get(id).and_then(|entry| match &entry.service {
            Service::Pooled(pooled) => Some(pooled.config.clone()),
            Service::Unusable(_) | Service::Console => None,
        });
        if let Some(config) = config {
            self.renew_site(id, config);
        }
    }

    fn renew_site(&mut self, id: SiteId, config: SiteConfig) {
        self.move_site(id, Wanted::Served(Box::new(config)));
        // What the old one was at may be what went wrong.
        if let Some(entry) = self.sites.get_mut(id) {
            for channel in std::mem::take(&mut entry.channels).into_iter().flatten() {
                self.lose(channel, crate::pool::Loss::NoRoom);
            }
        }
        self.news.clear();
        self.cut_off(id, "the proxy has had an internal error");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Surroundings};
    use crate::listen::{Access, Sockets};
    use crate::reactor::note_signals;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    #[test]
    fn an_internal_error_costs_its_client_and_begins_its_site_anew() {
        let dir = tempfile::tempdir().unwrap();
        let sockets = Sockets {
            folder: dir.path().into(),
            access: Access {
                mode: 0o600,
                group: None,
            },
            predecessor: None,
        };
        let surroundings = Surroundings {
            local_core: dir.path().join("live"),
            socket_dir: dir.path().into(),
        };
        let sites = ["muc=unix:/nowhere/live".to_string()];
        let config = config::from_site_options(&sites, &surroundings).unwrap();
        let mut reactor = Reactor::new(sockets, note_signals().unwrap()).unwrap();
        reactor.configure(config).unwrap();
        let mut client = UnixStream::connect(dir.path().join("muc")).unwrap();
        let soon = || Some(Instant::now() + Duration::from_millis(50));
        reactor.run(soon()).unwrap();
        let (id, _) = reactor.clients.iter().next().unwrap();
        let (site, _) = reactor.sites.iter().next().unwrap();
        reactor.contained(Who::Client(id), |_| panic!("for the test"));
        assert!(reactor.clients.is_empty());
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
        assert!(reactor.sites.get(site).is_none(), "it is another one now");

        let mut next = UnixStream::connect(dir.path().join("muc")).unwrap();
        next.write_all(b"GET hosts\n\n").unwrap();
        let mut answer = String::new();
        next.set_read_timeout(Some(Duration::from_millis(1)))
            .unwrap();
        while !answer.ends_with('\n') {
            reactor.run(soon()).unwrap();
            let _ = next.read_to_string(&mut answer);
        }
        assert!(answer.starts_with("502: Site muc"), "{answer}");
    }
}
