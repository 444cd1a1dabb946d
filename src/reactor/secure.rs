//! What TLS asks of the loop: whom a channel trusts, and that handshakes,
//! which take more processor time than anything else, keep nobody waiting.

use super::{Reactor, SiteEntry};
use crate::channel::State;
use crate::config::{Address, Tls};
use crate::ids::{ChannelId, SiteId};
use crate::pool::{CONNECT_TIMEOUT, Loss};
use crate::sys;
use crate::tls::Problem;
use std::io;
use std::time::{Duration, Instant};

/// Steps of handshakes in one turn of the loop. The heaviest, looking at the
/// site's certificate, takes a tenth of a millisecond or two; without a limit,
/// a hundred channels that come back at once held everybody up for 10 ms.
pub(super) const HANDSHAKES: usize = 1;

/// A handshake that is not answered is given up a little before the policy
/// gives the whole attempt up, so that what is told is the better reason.
const HANDSHAKE_PATIENCE: Duration = CONNECT_TIMEOUT.saturating_sub(Duration::from_millis(500));

impl Reactor {
    /// Whether the channel's site is to be reached with TLS.
    pub(super) fn wants_tls(&self, id: ChannelId) -> bool {
        let site = self.channels.get(id).map(|channel| channel.site);
        site.is_some_and(|site| self.tls_of(site).is_some())
    }

    /// The connection is made: has TLS spoken over it. `false` if that cannot
    /// be, or not in this turn.
    pub(super) fn secure(&mut self, id: ChannelId) -> bool {
        if !self.may_shake_hands(id) {
            return false;
        }
        let Some(channel) = self.channels.get_mut(id) else {
            return false;
        };
        let address = self.sites.get(channel.site).and_then(SiteEntry::address);
        let State::Connecting(stream, attempt) = &mut channel.state else {
            return false;
        };
        let (Some(tls), Some(address)) = (address.and_then(of_address), attempt.address) else {
            return false;
        };
        match self.trust.session(tls, address.ip(), self.now) {
            Ok(session) => {
                stream.secure(session);
                true
            }
            Err(why) => {
                self.lose(id, Loss::Untrusted(why));
                false
            }
        }
    }

    /// Whether the channel has a handshake to go on with and this turn has seen
    /// enough of those; then it has one of the next turns.
    pub(super) fn is_put_off(&mut self, id: ChannelId) -> bool {
        let has_work = match self.channels.get(id).map(|channel| &channel.state) {
            Some(State::Connecting(stream, _)) => stream.is_shaking_hands() && stream.can_read(),
            _ => false,
        };
        has_work && !self.may_shake_hands(id)
    }

    /// Takes one of the turn's steps for the channel, or has it wait for the next turn.
    fn may_shake_hands(&mut self, id: ChannelId) -> bool {
        let may = self.take_handshake_step();
        if !may {
            self.channel_is_ready(id);
        }
        may
    }

    /// Takes one of the turn's steps; `false` if none is left.
    pub(super) fn take_handshake_step(&mut self) -> bool {
        match self.handshakes_left.checked_sub(1) {
            Some(left) => {
                self.handshakes_left = left;
                true
            }
            None => false,
        }
    }

    /// The time for the last address is half over, or all over: a handshake
    /// that is still not answered then is an end of its own.
    pub(super) fn await_handshake(&mut self, id: ChannelId) {
        let Some(channel) = self.channels.get(id) else {
            return;
        };
        let State::Connecting(stream, _) = &channel.state else {
            return;
        };
        if !stream.is_shaking_hands() {
            return;
        }
        let end: Instant = channel.opened + HANDSHAKE_PATIENCE;
        match end.checked_duration_since(self.now) {
            Some(left) if !left.is_zero() => self.be_patient(id, left),
            _ => self.lose(id, Loss::HandshakeUnanswered),
        }
    }

    /// For the log: where it was looked whether a certificate is to be trusted.
    pub(super) fn looked_up_in(&self, site: SiteId, cause: &Loss) -> String {
        match (
            cause,
            self.tls_of(site).and_then(|tls| tls.ca_file.as_ref()),
        ) {
            (Loss::Untrusted(_), Some(file)) => format!(", trusted is {}", file.display()),
            _ => String::new(),
        }
    }

    fn tls_of(&self, site: SiteId) -> Option<&Tls> {
        of_address(self.sites.get(site)?.address()?)
    }
}

fn of_address(address: &Address) -> Option<&Tls> {
    match address {
        Address::Tcp { tls, .. } => tls.as_ref(),
        Address::Unix(_) => None,
    }
}

/// Why a connection was not made.
pub(super) fn not_connected(error: &io::Error) -> Loss {
    if sys::is_want_of_room(error) {
        // What this machine lacks is not the site's fault.
        return Loss::NoRoom;
    }
    match Problem::of(error) {
        None => Loss::NotConnected(sys::words(error)),
        Some(Problem::Untrusted(why)) => Loss::Untrusted(why.clone()),
        Some(Problem::NotTls(bytes)) => Loss::NotTls(bytes.clone()),
        Some(Problem::Ended) => Loss::HandshakeCut,
        Some(Problem::Failed(why)) => Loss::HandshakeFailed(why.clone()),
    }
}
