//! Letting clients in, at sites' sockets and at ports. Who gets a place and who
//! has to give way is another question: `crowd` answers it.

use super::log_limit::{LogLimit, Untold};
use super::port::Ports;
use super::site::SiteEntry;
use super::{Reactor, Who};
use crate::client::{Client, Parting, State};
use crate::ids::{OfSite, SiteId};
use crate::slots::Slots;
use crate::stream::{Socket, Stream};
use crate::sys;
use crate::timers::{self, Armed};
use crate::tls::Session;
use std::io;
use std::time::{Duration, Instant};

/// New clients of one turn, refused ones included; the next ones come after
/// everybody else had a turn.
const MOST_ACCEPTED: usize = 64;

/// After a failed accept, mostly for want of descriptors, the next is tried then.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where clients come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// A site's socket.
    Socket(SiteId),
    /// A TCP port.
    Port(u16),
}

impl Door {
    fn who(self) -> Who {
        match self {
            Door::Socket(site) => Who::Listener(site),
            Door::Port(number) => Who::Port(number),
        }
    }
}

/// Times in which nobody is let in at a door. Who can connect can bring them
/// about as often as he likes.
#[derive(Debug, Default)]
pub(super) struct Deafness {
    /// Since when it is so, and whether that was said.
    since: Option<(Instant, bool)>,
    limit: LogLimit,
    /// Reminder of the end of a pause in accepting.
    pause: Armed,
}

impl Deafness {
    /// Nobody is let in. What a line about it has to end with, if there is to be one.
    fn begin(&mut self, now: Instant) -> Option<Untold> {
        if self.since.is_some() {
            return None;
        }
        let untold = self.limit.count(now);
        self.since = Some((now, untold.is_some()));
        untold
    }

    /// Somebody could be let in again. How long that was not so, if it was said.
    fn end(&mut self, now: Instant) -> Option<Duration> {
        let (since, was_said) = self.since.take()?;
        was_said.then(|| now.saturating_duration_since(since))
    }
}

/// What stands between a connection and its first request.
pub(super) enum Entrance {
    /// Nothing.
    Open,
    /// The handshake of TLS, which begins in this state.
    Secured(Box<Session>, State),
}

fn deafness_of<'a>(
    door: Door,
    sites: &'a mut Slots<OfSite, SiteEntry>,
    ports: &'a mut Ports,
) -> Option<&'a mut Deafness> {
    match door {
        Door::Socket(site) => Some(&mut sites.get_mut(site)?.deafness),
        Door::Port(number) => Some(&mut ports.get_mut(&number)?.deafness),
    }
}

impl Reactor {
    /// Lets in those who wait at a door.
    pub(super) fn accept(&mut self, door: Door) {
        if self.accept_some(door) {
            self.ready.push_back(door.who());
        }
    }

    /// Lets some in; `true` if there may be more.
    pub(super) fn accept_some(&mut self, door: Door) -> bool {
        for _ in 0..MOST_ACCEPTED {
            let Some(site) = self.site_behind(door) else {
                return false;
            };
            if let Some(why) = self.hindrance(door, site) {
                self.accept_later(door, why);
                return false;
            }
            match self.accept_one(door, false) {
                Ok(true) => {}
                Ok(false) => {
                    self.accepts_again(door);
                    return false;
                }
                // The event is spent and will not be told again.
                Err(error) => {
                    self.accept_later(door, &sys::words(&error));
                    self.turn_one_away(door);
                    return false;
                }
            }
        }
        true
    }

    /// The site that clients reach at this door, if there is one.
    fn site_behind(&self, door: Door) -> Option<SiteId> {
        match door {
            Door::Socket(site) => self.sites.get(site)?.listener.as_ref().map(|_| site),
            Door::Port(number) => self.ports.get(&number).map(|port| port.site),
        }
    }

    /// Why nobody can be let in for now, if that is so.
    fn hindrance(&self, door: Door, site: SiteId) -> Option<&'static str> {
        match door {
            _ if self.is_crowded(site) => Some("as many as can be told so are being refused"),
            Door::Port(number) if self.has_all_handshakes(number) => {
                Some("as many handshakes as can be are under way")
            }
            Door::Socket(_) | Door::Port(_) => None,
        }
    }

    /// Lets the next one in; `false` if nobody waits. `is_last`: there is no
    /// descriptor for another one.
    fn accept_one(&mut self, door: Door, is_last: bool) -> io::Result<bool> {
        match door {
            Door::Socket(site) => {
                let entry = self.sites.get(site);
                let Some(listener) = entry.and_then(|entry| entry.listener.as_ref()) else {
                    return Ok(false);
                };
                let Some(socket) = listener.accept()? else {
                    return Ok(false);
                };
                self.let_in(site, socket, Entrance::Open, is_last);
            }
            Door::Port(number) => {
                let Some(port) = self.ports.get(&number) else {
                    return Ok(false);
                };
                let Some((socket, from)) = port.listener.accept()? else {
                    return Ok(false);
                };
                self.receive_visitor(number, socket, from, is_last);
            }
        }
        Ok(true)
    }

    /// The door, for the log.
    fn subject_of(&self, door: Door) -> String {
        match door {
            Door::Socket(site) => format!("site {}", self.site_name(site)),
            Door::Port(number) => self.subject_of_port(number),
        }
    }

    /// The next clients have to wait. It is said once, however long it lasts.
    fn accept_later(&mut self, door: Door, why: &str) {
        let Some(deafness) = deafness_of(door, &mut self.sites, &mut self.ports) else {
            return;
        };
        let again = Some(self.now + ACCEPT_PAUSE);
        self.timers.arm(door.who(), &mut deafness.pause, again);
        if let Some(untold) = deafness.begin(self.now) {
            let subject = self.subject_of(door);
            log::warn!("{subject}: no client can connect: {why}{untold}");
        }
    }

    fn accepts_again(&mut self, door: Door) {
        let deafness = deafness_of(door, &mut self.sites, &mut self.ports);
        if let Some(lasted) = deafness.and_then(|deafness| deafness.end(self.now)) {
            let (subject, lasted) = (self.subject_of(door), lasted.as_secs_f64());
            log::info!("{subject}: clients can connect again, after {lasted:.1} s");
        }
    }

    /// The pause in accepting is over.
    pub(super) fn accept_again(&mut self, door: Door, at: Instant) {
        if let Some(deafness) = deafness_of(door, &mut self.sites, &mut self.ports)
            && timers::fired(&mut deafness.pause, at)
        {
            self.ready.push_back(door.who());
        }
    }

    /// A descriptor is kept for this: the next client is told instead of left waiting.
    fn turn_one_away(&mut self, door: Door) {
        if let Some(spare) = self.spare.take() {
            drop(spare);
            // It fails again where somebody else was quicker.
            let _ = self.accept_one(door, true);
        }
    }

    /// Takes a client in; `is_last`: there is no descriptor for another one.
    pub(super) fn let_in(
        &mut self,
        site: SiteId,
        socket: Socket,
        entrance: Entrance,
        is_last: bool,
    ) {
        self.make_place(site);
        if self.sites.get(site).is_none() {
            return;
        }
        let too_many = self.too_many(site, is_last);
        let now = self.now;
        self.clients_so_far += 1;
        let number = self.clients_so_far;
        let id = self.clients.insert_with(|id| {
            let mut stream = Stream::accepted(socket, Who::Client(id).token());
            let (session, state) = match entrance {
                Entrance::Open => (None, None),
                Entrance::Secured(session, state) => (Some(session), Some(state)),
            };
            if let Some(session) = session {
                stream.secure(*session);
            }
            let mut client = Client::new(site, stream, too_many, number, now);
            client.state = state.unwrap_or(client.state);
            client
        });
        let Some(id) = id else { return };
        self.take_place(site, too_many);
        // Mostly the request is there already, and often the client is done
        // with before an event could be asked for. An error of our own costs
        // this client, and not the others at the door.
        self.contained(Who::Client(id), |all| all.attend_client(id));
        if let Some(client) = self.clients.get_mut(id)
            && let Err(error) = client.stream.register(self.poll.registry())
        {
            log::warn!("cannot watch a client: {}", sys::words(&error));
            self.close_client(id, Parting::NoRoom);
        }
    }
}
