//! Sites offered on TCP ports: who may come in there, what he may do, and the
//! handshake of TLS before he says anything. A port stands beside its site's
//! socket and can come and go without it.

use super::door::Entrance;
use super::site::{Losses, Service, Wanted};
use super::{Reactor, Who};
use crate::client::{Parting, REQUEST_TIMEOUT, State, Via};
use crate::config::TcpPort;
use crate::counters::Counter;
use crate::ids::{ClientId, SiteId};
use crate::listen::{PortListener, Visitor};
use crate::pool;
use crate::proto::request::{HEARTBEAT, Request};
use crate::proto::response;
use crate::sys;
use crate::timers::{self, Armed};
use crate::tls::{Identity, IdentityFiles, words_of_client};
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

/// Visitors of one turn, refused ones included.
const MOST_ACCEPTED: usize = 64;

/// Handshakes at one port at a time; the next ones wait. Somebody who begins
/// them without end holds this much memory and no more: each up to 128 KiB.
const MOST_HANDSHAKES: usize = 64;

/// A handshake may take as long as a request.
const HANDSHAKE_TIMEOUT: std::time::Duration = REQUEST_TIMEOUT;

/// All ports, by their numbers.
pub(super) type Ports = HashMap<u16, Port>;

/// A port on which a site is offered.
#[derive(Debug)]
pub(super) struct Port {
    listener: PortListener,
    site: SiteId,
    /// Since when nobody can connect.
    deaf_since: Option<Instant>,
    /// Reminder of the end of a pause in accepting.
    pause: Armed,
    /// Handshakes under way.
    handshakes: usize,
    /// Visitors from addresses that may not come in, for the log.
    forbidden: Losses,
    /// Handshakes that have failed, for the log.
    failed: Losses,
    /// Commands where only reading is allowed, for the log.
    commands: Losses,
}

impl Reactor {
    /// What ports with TLS show.
    pub fn identify_by(&mut self, files: IdentityFiles) {
        self.identity = Some(Identity::new(files));
    }

    /// Takes the ports that are missing, so that what can fail has failed
    /// before anything is changed.
    pub(super) fn prepare_ports(&self, wanted: &[Wanted]) -> Result<Vec<PortListener>, String> {
        let numbers = wanted.iter().filter_map(|wanted| match wanted {
            Wanted::Served(config) => Some((&config.name, config.tcp.as_ref()?.port)),
            Wanted::Unusable(..) | Wanted::Console => None,
        });
        numbers
            .filter(|(_, number)| !self.ports.contains_key(number))
            .map(|(name, number)| {
                let prepared = self.sockets.prepare_port(number);
                prepared.map_err(|text| format!("site {name}: {text}"))
            })
            .collect()
    }

    /// Gives every port to the site that it is configured for, be it new or at
    /// another address, and closes those that are not wanted any more.
    pub(super) fn assign_ports(&mut self, new: Vec<PortListener>) {
        let mut wanted: HashMap<u16, SiteId> = HashMap::new();
        for (id, entry) in self.sites.iter() {
            if let (None, Some(tcp)) = (&entry.leaving, offer(&entry.service)) {
                wanted.insert(tcp.port, id);
            }
        }
        let numbers = self.ports.keys().copied();
        let closed: Vec<u16> = numbers.filter(|n| !wanted.contains_key(n)).collect();
        for number in closed {
            self.close_port(number);
        }
        for listener in new {
            if let Some(site) = wanted.get(&listener.number()) {
                let port = Port {
                    listener,
                    site: *site,
                    deaf_since: None,
                    pause: Armed::default(),
                    handshakes: 0,
                    forbidden: Losses::default(),
                    failed: Losses::default(),
                    commands: Losses::default(),
                };
                self.ports.insert(port.listener.number(), port);
            }
        }
        for (number, port) in &mut self.ports {
            if let Some(site) = wanted.get(number) {
                port.site = *site;
            }
        }
    }

    /// Opens new ports, unless nobody is to find them yet.
    pub(super) fn opened(
        &self,
        mut listeners: Vec<PortListener>,
    ) -> Result<Vec<PortListener>, String> {
        if !self.is_hidden {
            for listener in &mut listeners {
                self.open(listener)?;
            }
        }
        Ok(listeners)
    }

    /// Opens the ports that are not open yet.
    pub(super) fn open_ports(&mut self) -> Result<(), String> {
        let mut ports = std::mem::take(&mut self.ports);
        let closed = ports.values_mut().filter(|port| !port.listener.listens());
        let mut listeners = closed.map(|port| &mut port.listener);
        let opened = listeners.try_for_each(|listener| self.open(listener));
        self.ports = ports;
        opened
    }

    fn open(&self, listener: &mut PortListener) -> Result<(), String> {
        let number = listener.number();
        let (registry, token) = (self.poll.registry(), Who::Port(number).token());
        let opened = listener.listen();
        opened
            .and_then(|()| listener.register(registry, token))
            .map_err(|error| format!("cannot listen on port {number}: {}", sys::words(&error)))
    }

    /// Closes a port; those who have connected are let in.
    fn close_port(&mut self, number: u16) {
        if let Some(port) = self.ports.get(&number) {
            port.listener.close_the_door();
        }
        while self.accept_some_at(number) {}
        self.ports.remove(&number);
    }

    /// Closes all ports.
    pub(super) fn close_ports(&mut self) {
        let numbers: Vec<u16> = self.ports.keys().copied().collect();
        for number in numbers {
            self.close_port(number);
        }
    }

    /// Closes the port of a site, if it has one.
    pub(super) fn close_port_of(&mut self, site: SiteId) {
        if let Some(number) = self.port_of(site) {
            self.close_port(number);
        }
    }

    /// The port on which a site is offered now.
    pub(super) fn port_of(&self, site: SiteId) -> Option<u16> {
        let number = offer(&self.sites.get(site)?.service)?.port;
        let port = self.ports.get(&number)?;
        (port.site == site).then_some(number)
    }

    /// Lets in those who wait at a port.
    pub(super) fn accept_at(&mut self, number: u16) {
        if self.accept_some_at(number) {
            self.ready.push_back(Who::Port(number));
        }
    }

    /// Lets some in; `true` if there may be more.
    fn accept_some_at(&mut self, number: u16) -> bool {
        for _ in 0..MOST_ACCEPTED {
            let Some(port) = self.ports.get(&number) else {
                return false;
            };
            if port.handshakes >= MOST_HANDSHAKES {
                self.accept_at_later(number, "as many handshakes as can be are under way");
                return false;
            }
            if self.is_crowded(port.site) {
                self.accept_at_later(number, "as many as can be told so are being refused");
                return false;
            }
            match port.listener.accept() {
                Ok(Some((visitor, from))) => self.receive_visitor(number, visitor, from, false),
                Ok(None) => {
                    self.accepts_again_at(number);
                    return false;
                }
                // The event is spent and will not be told again.
                Err(error) => {
                    self.accept_at_later(number, &sys::words(&error));
                    self.turn_one_away_at(number);
                    return false;
                }
            }
        }
        true
    }

    /// The next visitors have to wait. It is said once, however long it lasts.
    fn accept_at_later(&mut self, number: u16, why: &str) {
        let Some(port) = self.ports.get_mut(&number) else {
            return;
        };
        let at = self.now + super::door::ACCEPT_PAUSE;
        self.timers
            .arm(Who::Port(number), &mut port.pause, Some(at));
        if port.deaf_since.is_none() {
            port.deaf_since = Some(self.now);
            let subject = self.subject_of_port(number);
            log::warn!("{subject}: no client can connect: {why}");
        }
    }

    fn accepts_again_at(&mut self, number: u16) {
        let port = self.ports.get_mut(&number);
        if let Some(since) = port.and_then(|port| port.deaf_since.take()) {
            let lasted = self.now.saturating_duration_since(since).as_secs_f64();
            let subject = self.subject_of_port(number);
            log::info!("{subject}: clients can connect again, after {lasted:.1} s");
        }
    }

    /// A descriptor is kept for this: the next client is told instead of left waiting.
    fn turn_one_away_at(&mut self, number: u16) {
        let (Some(port), Some(spare)) = (self.ports.get(&number), self.spare.take()) else {
            return;
        };
        drop(spare);
        if let Ok(Some((visitor, from))) = port.listener.accept() {
            self.receive_visitor(number, visitor, from, true);
        }
    }

    /// The pause in accepting is over.
    pub(super) fn accept_at_again(&mut self, number: u16, at: Instant) {
        if let Some(port) = self.ports.get_mut(&number)
            && timers::fired(&mut port.pause, at)
        {
            self.ready.push_back(Who::Port(number));
        }
    }

    /// Somebody has connected. One who may not is closed without a byte.
    fn receive_visitor(&mut self, number: u16, visitor: Visitor, from: IpAddr, is_last: bool) {
        let Some(site) = self.ports.get(&number).map(|port| port.site) else {
            return;
        };
        let Some(tcp) = self.sites.get(site).and_then(|entry| offer(&entry.service)) else {
            return;
        };
        let networks = tcp.only_from.as_ref();
        if networks.is_some_and(|networks| !networks.iter().any(|n| n.contains(from))) {
            self.count(site, Counter::ClientsForbidden);
            let now = self.now;
            let port = self.ports.get_mut(&number);
            if let Some(count) = port.and_then(|port| port.forbidden.count(now)) {
                let subject = self.subject_of_port(number);
                log::warn!(
                    "{subject}: {from} is not in 'only_from' and was closed{}",
                    among(count)
                );
            }
            return;
        }
        if !tcp.tls {
            return self.let_in(site, visitor, Entrance::Open, is_last);
        }
        let now = self.now;
        let session = match &mut self.identity {
            Some(identity) => identity.session(now),
            None => Err("no certificate is named".into()),
        };
        match session {
            Ok(session) => {
                if let Some(port) = self.ports.get_mut(&number) {
                    port.handshakes += 1;
                }
                let handshake = State::Securing {
                    until: now + HANDSHAKE_TIMEOUT,
                    port: number,
                    from,
                };
                let entrance = Entrance::Secured(Box::new(session), handshake);
                self.let_in(site, visitor, entrance, is_last);
            }
            Err(why) => self.handshake_failed(site, number, from, &why),
        }
    }

    /// Goes on with a client's handshake; `true` once it is done.
    pub(super) fn secure_client(&mut self, id: ClientId) -> bool {
        let Some(client) = self.clients.get(id) else {
            return false;
        };
        if client.stream.can_read() && !self.take_handshake_step() {
            self.client_is_ready(id);
            return false;
        }
        let Some(client) = self.clients.get_mut(id) else {
            return false;
        };
        let outcome = client.stream.establish();
        let State::Securing { port, from, .. } = client.state else {
            return false;
        };
        match outcome {
            Ok(true) => {
                client.rest(self.now);
                self.end_handshake(port);
                true
            }
            // It was just taken for gone: an end in the middle of a handshake.
            Ok(false) if client.stream.hung_up() => {
                self.give_handshake_up(id, port, from, "it closed the connection");
                false
            }
            Ok(false) => {
                self.arm_client(id);
                false
            }
            Err(error) => {
                self.give_handshake_up(id, port, from, &words_of_client(&error));
                false
            }
        }
    }

    /// The client's handshake takes too long.
    pub(super) fn handshake_overdue(&mut self, id: ClientId) {
        let client = self.clients.get(id);
        if let Some(State::Securing { port, from, .. }) = client.map(|client| &client.state) {
            let (port, from) = (*port, *from);
            let seconds = HANDSHAKE_TIMEOUT.as_secs();
            self.give_handshake_up(id, port, from, &format!("not done within {seconds} s"));
        }
    }

    fn give_handshake_up(&mut self, id: ClientId, number: u16, from: IpAddr, why: &str) {
        if let Some(site) = self.clients.get(id).map(|client| client.site) {
            self.handshake_failed(site, number, from, why);
        }
        self.close_client(id, Parting::NotSecured);
    }

    fn handshake_failed(&mut self, site: SiteId, number: u16, from: IpAddr, why: &str) {
        self.count(site, Counter::ClientsNotSecured);
        let now = self.now;
        let port = self.ports.get_mut(&number);
        if let Some(count) = port.and_then(|port| port.failed.count(now)) {
            let subject = self.subject_of_port(number);
            log::warn!(
                "{subject}: no TLS handshake with {from}: {why}{}",
                among(count)
            );
        }
    }

    /// A client is not in its handshake any more.
    pub(super) fn end_handshake(&mut self, number: u16) {
        if let Some(port) = self.ports.get_mut(&number) {
            port.handshakes = port.handshakes.saturating_sub(1);
        }
    }

    /// The answer to the heartbeat of a proxy in front, while the site lives: it
    /// asks for what is known here already. If it had to queue for a channel, a
    /// site that is only busy would be dead there, and Icinga 2 would be asked
    /// every few seconds by way of each proxy.
    pub(super) fn answer_to_heartbeat(&self, site: SiteId, request: &Request) -> Option<Vec<u8>> {
        if request.bytes != HEARTBEAT || !request.style.fixed16 || !request.style.keep_alive {
            return None;
        }
        let entry = self.sites.get(site)?;
        let Service::Pooled(pooled) = &entry.service else {
            return None;
        };
        match pooled.policy.state() {
            pool::State::Ready | pool::State::Busy => {}
            pool::State::Starting | pool::State::Dead => return None,
        }
        Some(response::framed(entry.greeting.body()?))
    }

    /// Whether a client of this site may give commands. Where a port is not
    /// configured any more, those who are still connected to it may only read.
    pub(super) fn may_command(&self, site: SiteId, via: Via) -> bool {
        let offer = self.sites.get(site).and_then(|entry| offer(&entry.service));
        via == Via::Socket || offer.is_some_and(|tcp| tcp.commands)
    }

    /// For the log: a client has given a command where only reading is allowed.
    /// Nothing if that was told a short time ago.
    pub(super) fn tell_of_command(&mut self, site: SiteId) -> Option<String> {
        let (now, number) = (self.now, self.port_of(site)?);
        let count = self.ports.get_mut(&number)?.commands.count(now)?;
        let subject = self.subject_of_port(number);
        Some(format!("{subject}: a command was refused{}", among(count)))
    }

    /// The port, for the log.
    fn subject_of_port(&self, number: u16) -> String {
        let site = self.ports.get(&number).map(|port| port.site);
        let name = site.map_or("", |site| self.site_name(site));
        format!("site {name}: port {number}")
    }
}

/// How a site is offered on a port.
fn offer(service: &Service) -> Option<&TcpPort> {
    match service {
        Service::Pooled(pooled) => pooled.config.tcp.as_ref(),
        Service::Unusable(_) | Service::Console => None,
    }
}

/// What a line that stands for several adds.
fn among(count: u32) -> String {
    match count {
        1 => String::new(),
        count => format!(" ({count} such since the last line)"),
    }
}
