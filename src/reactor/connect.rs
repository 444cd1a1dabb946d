//! Opening a channel: looking the site's name up, and trying its addresses one
//! after another until one connects.

use super::secure::not_connected;
use super::{Reactor, SiteEntry, Who};
use crate::channel::{Attempt, Channel, State};
use crate::config::{Address, Family};
use crate::counters::Counter;
use crate::ids::{ChannelId, SiteId};
use crate::pool::{CONNECT_TIMEOUT, ChannelNo, Input, Loss};
use crate::stream::{Stream, Target};
use crate::timers;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Channels that are begun in one turn of the loop. A hundred sites that come
/// back at once would hold everybody up for some milliseconds otherwise.
pub(super) const OPENS: usize = 8;

/// How long a lookup may take, before the last good answer is taken instead.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(3);

/// How long it may take where there is none: a little less than the policy gives
/// the whole attempt, so that what is told is the better reason. At the start
/// hundreds of names may stand in line before it.
const FIRST_LOOKUP_PATIENCE: Duration = CONNECT_TIMEOUT.saturating_sub(Duration::from_millis(500));

impl Reactor {
    pub(super) fn open_channel(&mut self, site: SiteId, no: ChannelNo) {
        self.count(site, Counter::Connects);
        let channel = Channel::new(site, no, self.now);
        let (Some(id), Some(entry)) = (self.channels.insert(channel), self.sites.get_mut(site))
        else {
            return self.never_there(site, no);
        };
        if let Some(place) = entry.channels.get_mut(no.index()) {
            *place = Some(id);
        }
        self.channel_is_ready(id);
    }

    /// Looks a new channel's address up or connects, unless this turn has seen
    /// enough of that; then it has one of the next turns.
    pub(super) fn begin_channel(&mut self, id: ChannelId) {
        let Some(left) = self.opens_left.checked_sub(1) else {
            return self.channel_is_ready(id);
        };
        self.opens_left = left;
        let Some(channel) = self.channels.get_mut(id) else {
            return;
        };
        channel.state = State::LookingUp;
        let Some(entry) = self.sites.get_mut(channel.site) else {
            return;
        };
        match entry.address() {
            None => {}
            Some(Address::Unix(path)) => {
                let target = Target::Unix(path.clone());
                let token = Who::Channel(id).token();
                match Stream::connect(&target, self.poll.registry(), token) {
                    Ok(stream) => self.connecting(id, stream, Attempt::default()),
                    Err(error) => self.lose(id, not_connected(&error)),
                }
            }
            Some(Address::Tcp { host, .. }) => match self.resolver.ask(host, id) {
                Some(Ok(addresses)) => self.connect_to(id, &addresses),
                Some(Err(why)) => self.lose(id, Loss::NotFound(why)),
                None => self.be_patient(id, LOOKUP_PATIENCE),
            },
        }
    }

    /// Lookups have ended.
    pub(super) fn names_found(&mut self) {
        for (found, waiters) in self.resolver.answers() {
            for id in waiters {
                match &found {
                    Ok(addresses) => self.connect_to(id, addresses),
                    Err(why) => self.lose(id, Loss::NotFound(why.clone())),
                }
            }
        }
        self.run_policy();
    }

    /// Tries the addresses of a site's host, the one that was good last time
    /// first and the one that was not last.
    fn connect_to(&mut self, id: ChannelId, found: &[SocketAddr]) {
        let Some(channel) = self.channels.get(id) else {
            return;
        };
        if !matches!(channel.state, State::LookingUp) {
            return;
        }
        let Some(entry) = self.sites.get(channel.site) else {
            return;
        };
        let Some(Address::Tcp { port, family, .. }) = entry.address() else {
            return;
        };
        let wanted = |address: &SocketAddr| *family == Family::Any || address.is_ipv6();
        let mut addresses: Vec<SocketAddr> = found.iter().copied().filter(wanted).collect();
        for address in &mut addresses {
            address.set_port(*port);
        }
        if addresses.is_empty() {
            let text = "its name has no IPv6 address".to_string();
            return self.lose(id, Loss::NotFound(text));
        }
        let rank = |address: &SocketAddr| {
            let ip = Some(address.ip());
            (ip == entry.bad_address, ip != entry.good_address)
        };
        addresses.sort_by_key(rank);
        addresses.reverse();
        self.connect_next(id, addresses, None);
    }

    /// Tries the last of `addresses`; `failed` is what the one before failed with.
    fn connect_next(
        &mut self,
        id: ChannelId,
        mut others: Vec<SocketAddr>,
        mut failed: Option<io::Error>,
    ) {
        while let Some(address) = others.pop() {
            let token = Who::Channel(id).token();
            match Stream::connect(&Target::Tcp(address), self.poll.registry(), token) {
                Ok(stream) => {
                    // The rest of the time is for those that follow, and the heartbeat.
                    let opened = self
                        .channels
                        .get(id)
                        .map_or(self.now, |channel| channel.opened);
                    let left = (opened + CONNECT_TIMEOUT).saturating_duration_since(self.now);
                    let share = left / (others.len() as u32 + 2);
                    let attempt = Attempt {
                        address: Some(address),
                        others,
                    };
                    self.connecting(id, stream, attempt);
                    return self.be_patient(id, share);
                }
                Err(error) => failed = Some(error),
            }
        }
        let loss = failed.map_or(Loss::NoAnswer, |error| not_connected(&error));
        self.lose(id, loss);
    }

    fn connecting(&mut self, id: ChannelId, stream: Stream, attempt: Attempt) {
        if let Some(channel) = self.channels.get_mut(id) {
            channel.state = State::Connecting(stream, attempt);
            // A UNIX socket is connected by now, and no event will say so.
            self.channel_is_ready(id);
        }
    }

    /// Goes on with making the connection; `true` once it is made.
    pub(super) fn establish(&mut self, id: ChannelId) -> bool {
        if self.is_put_off(id) {
            return false;
        }
        let wants_tls = self.wants_tls(id);
        let Some(channel) = self.channels.get_mut(id) else {
            return false;
        };
        let State::Connecting(stream, attempt) = &mut channel.state else {
            return false;
        };
        match stream.establish() {
            Ok(false) => false,
            Ok(true) if wants_tls && !stream.is_secured() => self.secure(id),
            Ok(true) => {
                let (site, no) = (channel.site, channel.no);
                channel.address = attempt.address.map(|address| address.ip());
                channel.rest(self.now);
                channel.patience = None;
                self.tell(site, Input::Connected(no));
                true
            }
            Err(error) => {
                self.try_another(id, error);
                false
            }
        }
    }

    /// The address does not answer, or refuses: on to the next one.
    fn try_another(&mut self, id: ChannelId, error: io::Error) {
        let Some(channel) = self.channels.get_mut(id) else {
            return;
        };
        if let State::Connecting(stream, attempt) =
            std::mem::replace(&mut channel.state, State::LookingUp)
        {
            stream.close();
            self.connect_next(id, attempt.others, Some(error));
        }
    }

    pub(super) fn be_patient(&mut self, id: ChannelId, time: Duration) {
        if let Some(channel) = self.channels.get_mut(id) {
            channel.patience = Some(self.now + time);
            let (who, armed) = (Who::Channel(id), &mut channel.armed);
            self.timers.arm(who, armed, channel.patience);
        }
    }

    /// The time for a lookup or an address may be over.
    pub(super) fn remind_channel(&mut self, id: ChannelId, at: Instant) {
        let Some(channel) = self.channels.get_mut(id) else {
            return;
        };
        if !timers::fired(&mut channel.armed, at) {
            return;
        }
        if channel.patience.is_none_or(|until| until > self.now) {
            let (who, armed) = (Who::Channel(id), &mut channel.armed);
            return self.timers.arm(who, armed, channel.patience);
        }
        channel.patience = None;
        match &channel.state {
            State::LookingUp => self.stop_looking_up(id),
            State::Connecting(_, attempt) if !attempt.others.is_empty() => {
                self.try_another(id, io::ErrorKind::TimedOut.into());
            }
            // The policy sees to the last one.
            State::Connecting(..) => self.await_handshake(id),
            State::New | State::Idle(_) | State::Busy(..) => {}
        }
        self.run_policy();
    }

    fn stop_looking_up(&mut self, id: ChannelId) {
        let site = self.channels.get(id).map(|channel| channel.site);
        let entry = site.and_then(|site| self.sites.get(site));
        let Some(Address::Tcp { host, .. }) = entry.and_then(SiteEntry::address) else {
            return;
        };
        match self.resolver.known(host) {
            Some(addresses) => self.connect_to(id, &addresses),
            None => {
                let opened = self
                    .channels
                    .get(id)
                    .map_or(self.now, |channel| channel.opened);
                let left = (opened + FIRST_LOOKUP_PATIENCE).saturating_duration_since(self.now);
                if left > Duration::ZERO {
                    return self.be_patient(id, left);
                }
                let seconds = FIRST_LOOKUP_PATIENCE.as_secs_f64();
                let text = format!("name {host} not found: no answer within {seconds:.1} s");
                self.lose(id, Loss::NotFound(text));
            }
        }
    }
}
