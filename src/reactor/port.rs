//! Sites offered on TCP ports: who may come in there, what he may do, and the
//! handshake of TLS before he says anything. A port stands beside its site's
//! socket and can come and go without it.

use super::door::{Deafness, Door, Entrance};
use super::log_limit::LogLimit;
use super::site::{Service, Wanted};
use super::{Reactor, Who};
use crate::client::{Parting, REQUEST_TIMEOUT, State, Via};
use crate::config::TcpPort;
use crate::counters::Counter;
use crate::ids::{ClientId, SiteId};
use crate::listen::PortListener;
use crate::pool;
use crate::proto::request::{HEARTBEAT, Request};
use crate::proto::response;
use crate::stream::Socket;
use crate::sys;
use crate::tls::{Identity, IdentityFiles, words_of_client};
use std::collections::HashMap;
use std::net::IpAddr;

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
    pub(super) listener: PortListener,
    pub(super) site: SiteId,
    /// Times in which nobody is let in.
    pub(super) deafness: Deafness,
    /// Handshakes under way.
    pub(super) handshakes: usize,
    /// Visitors from addresses that may not come in, for the log.
    forbidden: LogLimit,
    /// Handshakes that have failed, for the log.
    failed: LogLimit,
    /// Commands where only reading is allowed, for the log.
    commands: LogLimit,
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
                    deafness: Deafness::default(),
                    handshakes: 0,
                    forbidden: LogLimit::default(),
                    failed: LogLimit::default(),
                    commands: LogLimit::default(),
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
        while self.accept_some(Door::Port(number)) {}
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

    /// Who comes to the port of one site is for another one from now on.
    pub(super) fn hand_port_over(&mut self, old: SiteId, new: SiteId) {
        let of_old = self.ports.values_mut().filter(|port| port.site == old);
        of_old.for_each(|port| port.site = new);
    }

    /// Takes the port of a site away; those who have connected are not let in.
    pub(super) fn drop_port_of(&mut self, site: SiteId) {
        self.ports.retain(|_, port| port.site != site);
    }

    /// The port on which a site is offered now.
    pub(super) fn port_of(&self, site: SiteId) -> Option<u16> {
        let number = offer(&self.sites.get(site)?.service)?.port;
        let port = self.ports.get(&number)?;
        (port.site == site).then_some(number)
    }

    /// Whether no further handshake may begin at a port.
    pub(super) fn has_all_handshakes(&self, number: u16) -> bool {
        let port = self.ports.get(&number);
        port.is_some_and(|port| port.handshakes >= MOST_HANDSHAKES)
    }

    /// Somebody has connected. One who may not is closed without a byte.
    pub(super) fn receive_visitor(
        &mut self,
        number: u16,
        socket: Socket,
        from: IpAddr,
        is_last: bool,
    ) {
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
            if let Some(untold) = port.and_then(|port| port.forbidden.count(now)) {
                let subject = self.subject_of_port(number);
                log::warn!("{subject}: {from} is not in 'only_from' and was closed{untold}");
            }
            return;
        }
        if !tcp.tls {
            return self.let_in(site, socket, Entrance::Open, is_last);
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
                self.let_in(site, socket, entrance, is_last);
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
        if let Some(untold) = port.and_then(|port| port.failed.count(now)) {
            let subject = self.subject_of_port(number);
            log::warn!("{subject}: no TLS handshake with {from}: {why}{untold}");
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

    /// Says that a client has given a command where only reading is allowed.
    pub(super) fn tell_of_command(&mut self, site: SiteId, why: &str) {
        let (now, number) = (self.now, self.port_of(site));
        let port = number.and_then(|number| Some((number, self.ports.get_mut(&number)?)));
        if let Some((number, port)) = port
            && let Some(untold) = port.commands.count(now)
        {
            let subject = self.subject_of_port(number);
            log::warn!("{subject}: a command was refused: {why}{untold}");
        }
    }

    /// The port, for the log.
    pub(super) fn subject_of_port(&self, number: u16) -> String {
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
