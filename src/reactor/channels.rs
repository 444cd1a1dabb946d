//! The channels' side of the loop: opening them, sending, taking in what the
//! sites answer.

use super::{News, Reactor, SiteEntry, Who};
use crate::channel::{Channel, MOST_READS, Purpose, State};
use crate::client::Parting;
use crate::config::{Address, Family};
use crate::ids::{ChannelId, ClientId, QueryId, SiteId};
use crate::pool::{ChannelNo, Input, Loss};
use crate::proto::request::{HEARTBEAT, Kind};
use crate::proto::response::{Defect, Frame, Header};
use crate::query::{Query, Stage};
use crate::stream::{Arrival, Stream, Target};
use crate::sys;
use std::io;
use std::net::{IpAddr, SocketAddr};

/// The rest of a response whose client has gone is read and dropped up to this
/// length; beyond it, closing the channel is cheaper.
const DROPPED_AT_MOST: u64 = 1024 * 1024;

/// So much of what was not a response is shown to a person.
const SHOWN: usize = 60;

/// What is to follow after a piece of input.
enum Next {
    /// The response goes on.
    More,
    /// It is complete.
    Complete(Header),
    /// There is no memory for more of it.
    Wait,
    /// The channel is of no use any more.
    Lose(Loss),
}

impl Reactor {
    pub(super) fn open_channel(&mut self, site: SiteId, no: ChannelNo) {
        let channel = Channel::new(site, no, self.now);
        let (Some(id), Some(entry)) = (self.channels.insert(channel), self.sites.get_mut(site))
        else {
            return;
        };
        if let Some(place) = entry.channels.get_mut(no.index()) {
            *place = Some(id);
        }
        match entry.address() {
            None => {}
            Some(Address::Unix(path)) => {
                let target = Target::Unix(path.clone());
                match Stream::connect(&target, self.poll.registry(), Who::Channel(id).token()) {
                    Ok(stream) => self.connecting(id, stream, Vec::new()),
                    Err(error) => self.lose(id, Loss::NotConnected(sys::words(&error))),
                }
            }
            Some(Address::Tcp { host, .. }) => match self.resolver.ask(host, id) {
                Some(Ok(addresses)) => self.connect_to(id, &addresses),
                Some(Err(why)) => self.lose(id, Loss::NotFound(why)),
                None => {}
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

    /// Tries the addresses of a site's host, one after another.
    fn connect_to(&mut self, id: ChannelId, found: &[IpAddr]) {
        let Some(channel) = self.channels.get(id) else {
            return;
        };
        let address = self.sites.get(channel.site).and_then(SiteEntry::address);
        let Some(Address::Tcp { port, family, .. }) = address else {
            return;
        };
        let wanted = |address: &&IpAddr| *family == Family::Any || address.is_ipv6();
        let mut addresses: Vec<SocketAddr> = found
            .iter()
            .filter(wanted)
            .map(|address| SocketAddr::new(*address, *port))
            .collect();
        if addresses.is_empty() {
            let text = "its name has no IPv6 address".to_string();
            return self.lose(id, Loss::NotFound(text));
        }
        addresses.reverse();
        self.connect_next(id, addresses, None);
    }

    /// Tries the last of `addresses`; `failed` is what the one before failed with.
    fn connect_next(
        &mut self,
        id: ChannelId,
        mut addresses: Vec<SocketAddr>,
        mut failed: Option<io::Error>,
    ) {
        while let Some(address) = addresses.pop() {
            let token = Who::Channel(id).token();
            match Stream::connect(&Target::Tcp(address), self.poll.registry(), token) {
                Ok(stream) => return self.connecting(id, stream, addresses),
                Err(error) => failed = Some(error),
            }
        }
        let words = failed.map_or_else(String::new, |error| sys::words(&error));
        self.lose(id, Loss::NotConnected(words));
    }

    fn connecting(&mut self, id: ChannelId, stream: Stream, others: Vec<SocketAddr>) {
        if let Some(channel) = self.channels.get_mut(id) {
            channel.state = State::Connecting(stream, others);
            // A UNIX socket is connected by now, and no event will say so.
            self.channel_is_ready(id);
        }
    }

    /// Lets a channel get on as far as it can.
    pub(super) fn attend_channel(&mut self, id: ChannelId) {
        for _ in 0..MOST_READS {
            let Some(channel) = self.channels.get_mut(id) else {
                return;
            };
            let goes_on = match &mut channel.state {
                State::LookingUp => false,
                State::Connecting(..) => self.establish(id),
                State::Idle(stream) => {
                    let loss = match stream.read(&mut self.scratch) {
                        Ok(Arrival::Nothing) => return,
                        Ok(Arrival::Bytes(_)) => Loss::Spoke,
                        Ok(Arrival::End) => Loss::Closed,
                        Err(error) => Loss::Broken(sys::words(&error)),
                    };
                    self.lose(id, loss);
                    false
                }
                State::Busy(..) => self.exchange(id),
            };
            self.run_policy();
            if !goes_on {
                return;
            }
        }
        self.channel_is_ready(id);
    }

    fn establish(&mut self, id: ChannelId) -> bool {
        let Some(channel) = self.channels.get_mut(id) else {
            return false;
        };
        let State::Connecting(stream, others) = &mut channel.state else {
            return false;
        };
        match stream.establish() {
            Ok(false) => false,
            Ok(true) => {
                let (site, no) = (channel.site, channel.no);
                channel.rest();
                self.tell(site, Input::Connected(no));
                true
            }
            Err(error) => {
                let others = std::mem::take(others);
                if let State::Connecting(stream, _) =
                    std::mem::replace(&mut channel.state, State::LookingUp)
                {
                    stream.close(self.poll.registry());
                }
                self.connect_next(id, others, Some(error));
                false
            }
        }
    }

    /// Sends and receives; `false` if nothing more can be done now.
    fn exchange(&mut self, id: ChannelId) -> bool {
        let Some(channel) = self.channels.get_mut(id) else {
            return false;
        };
        let State::Busy(stream, exchange) = &mut channel.state else {
            return false;
        };
        let query = match exchange.purpose {
            Purpose::Heartbeat => None,
            Purpose::Query(query) => self.queries.get_mut(query),
        };
        let request = query
            .as_ref()
            .map_or(HEARTBEAT, |query| &query.request.bytes);
        if let Some(rest) = request.get(exchange.sent..) {
            match stream.write(rest, self.poll.registry()) {
                Ok(count) => exchange.sent += count,
                Err(error) => {
                    self.channel_broke(id, &error);
                    return false;
                }
            }
        }
        let client = query.as_ref().and_then(|query| query.client);
        let response = query.and_then(Query::response_mut);
        if let (Some(header), Some(0)) = (exchange.frame.header(), exchange.frame.left()) {
            // Complete since earlier, but nobody had room for it.
            if response.is_none_or(|response| response.can_leave_channel()) {
                self.completed(id, header);
            }
            return false;
        }
        let room = response.map_or(usize::MAX, |response| response.room());
        let room = room.min(self.scratch.len());
        let Some(place) = self
            .scratch
            .get_mut(..room)
            .filter(|place| !place.is_empty())
        else {
            if let Some(client) = client {
                self.arm_client(client);
            }
            return false;
        };
        let next = match stream.read(place) {
            Ok(Arrival::Nothing) => return false,
            Ok(Arrival::Bytes(count)) => self.take_in(id, count),
            Ok(Arrival::End) => Next::Lose(ended(&exchange.frame)),
            Err(error) => Next::Lose(Loss::Broken(sys::words(&error))),
        };
        match next {
            Next::More => return true,
            Next::Wait => self.short.push_back(id),
            Next::Lose(loss) => self.lose(id, loss),
            Next::Complete(header) => self.completed(id, header),
        }
        false
    }

    /// Takes in the first `count` bytes of the scratch area for a busy channel.
    fn take_in(&mut self, id: ChannelId, count: usize) -> Next {
        let Some(channel) = self.channels.get_mut(id) else {
            return Next::Lose(Loss::Shutdown);
        };
        if let Some(policy) = self.sites.get_mut(channel.site).and_then(SiteEntry::policy) {
            policy.heard(self.now);
        }
        let State::Busy(stream, exchange) = &mut channel.state else {
            return Next::Lose(Loss::Spoke);
        };
        let fresh = self.scratch.get(..count).unwrap_or_default();
        let piece = match exchange.frame.take(fresh) {
            Ok(piece) => piece,
            Err(Defect::Surplus) => return Next::Lose(Loss::Surplus),
            Err(Defect::NotAHeader) => return Next::Lose(not_a_header(&exchange.frame, fresh)),
        };
        if piece.body.is_empty() && !piece.done {
            stream.hurry();
        }
        let mut freed = 0;
        if let Purpose::Query(query) = exchange.purpose
            && let Some(query) = self.queries.get_mut(query)
            && query.request.kind == Kind::Get
        {
            let client = query.client.and_then(|id| self.clients.get_mut(id));
            if let Some(client) = client {
                let registry = self.poll.registry();
                let write = |bytes: &[u8]| client.stream.write(bytes, registry);
                let memory = &mut self.responses;
                match query.take_in(
                    &piece,
                    exchange.frame.head(),
                    fresh,
                    write,
                    memory,
                    self.now,
                ) {
                    Ok(true) => {}
                    Ok(false) => return Next::Wait,
                    Err(_) => {
                        client.stream.give_up();
                        freed = query.abandon();
                    }
                }
            }
            if query.client.is_none() && exchange.frame.left() > Some(DROPPED_AT_MOST) {
                self.release(freed);
                return Next::Lose(Loss::Abandoned);
            }
        }
        let header = exchange.frame.header().filter(|_| piece.done);
        self.release(freed);
        header.map_or(Next::More, Next::Complete)
    }

    /// A response has come to its end: the channel is free or closed, the
    /// client gets what it has not got yet.
    fn completed(&mut self, id: ChannelId, header: Header) {
        let Some(channel) = self.channels.get_mut(id) else {
            return;
        };
        let State::Busy(_, exchange) = &channel.state else {
            return;
        };
        let (site, no, purpose) = (channel.site, channel.no, exchange.purpose);
        channel.rest();
        let behind = channel.look_behind(&mut self.scratch);
        let loss = match (behind, purpose) {
            (Ok(Arrival::Bytes(_)), _) => Some(Loss::Surplus),
            (Ok(Arrival::End), _) => Some(Loss::Closed),
            (Err(error), _) => Some(Loss::Broken(sys::words(&error))),
            (Ok(Arrival::Nothing), Purpose::Heartbeat) if header.status != 200 => {
                Some(Loss::Unwell(header.status))
            }
            (Ok(Arrival::Nothing), _) if !header.leaves_channel_in_step() => {
                Some(Loss::OutOfStep(header.status))
            }
            (Ok(Arrival::Nothing), _) => None,
        };
        let client = match purpose {
            Purpose::Heartbeat => None,
            Purpose::Query(query) => self.leave_channel(query),
        };
        match (loss, purpose) {
            (Some(loss), _) => self.lose(id, loss),
            (None, Purpose::Heartbeat) => {
                if let Some(channel) = self.channels.get_mut(id) {
                    channel.is_proved = true;
                }
                self.tell(site, Input::Beaten(no));
            }
            (None, Purpose::Query(_)) => self.tell(site, Input::Answered(no)),
        }
        // Those who wait come before this client's next query.
        self.run_policy();
        if let Some(client) = client {
            self.attend_client(client);
        }
    }

    /// The query's response is complete; returns the client that is to be looked after.
    fn leave_channel(&mut self, id: QueryId) -> Option<ClientId> {
        let query = self.queries.get_mut(id)?;
        let client = query.client;
        query.stage = match std::mem::replace(&mut query.stage, Stage::Waiting) {
            Stage::Sent {
                deadline,
                response: Some(response),
                ..
            } if client.is_some() => Stage::Answered { deadline, response },
            _ => {
                // A command that was consumed, or a response that nobody wants any more.
                self.end_query(id);
                return client;
            }
        };
        client
    }

    /// A channel ended by itself: the policy is to hear of it.
    pub(super) fn lose(&mut self, id: ChannelId, loss: Loss) {
        let Some((site, no, purpose)) = self.drop_channel(id, &loss) else {
            return;
        };
        let owed = match purpose {
            Some(Purpose::Query(query)) => self.lose_response(query),
            Some(Purpose::Heartbeat) | None => false,
        };
        self.news.push_back(News {
            site,
            input: Input::Lost {
                channel: no,
                loss,
                owed,
            },
            lost: Some(id),
        });
    }

    /// The query's channel is gone before its response was complete. Whether
    /// the query is still to be answered.
    fn lose_response(&mut self, id: QueryId) -> bool {
        let Some(query) = self.queries.get_mut(id) else {
            return false;
        };
        if query.has_begun() {
            let client = query.client;
            self.end_query(id);
            if let Some(client) = client {
                self.close_client(client, Parting::CutShort);
            }
            return false;
        }
        if query.client.is_none() && query.request.kind == Kind::Get {
            self.end_query(id);
            return false;
        }
        let reserved = query.reserved();
        query.stage = Stage::Waiting;
        self.release(reserved);
        true
    }

    /// Takes the channel away; what it was used for is returned.
    pub(super) fn drop_channel(
        &mut self,
        id: ChannelId,
        loss: &Loss,
    ) -> Option<(SiteId, ChannelNo, Option<Purpose>)> {
        let channel = self.channels.remove(id)?;
        let (site, no) = (channel.site, channel.no);
        // A query that costs its channel is no event of the site's, and the
        // death of a site is one line.
        let level = match loss {
            Loss::OutOfStep(_) | Loss::Abandoned | Loss::SiteDead => log::Level::Debug,
            _ if !channel.is_proved => log::Level::Debug,
            _ => log::Level::Info,
        };
        log::log!(
            level,
            "channel {}/{}: closed: {loss} (age {:.1} s, {} queries)",
            self.site_name(site),
            no.0,
            self.now
                .saturating_duration_since(channel.opened)
                .as_secs_f64(),
            channel.queries
        );
        let purpose = channel.purpose();
        if let Some(stream) = channel.into_stream() {
            stream.close(self.poll.registry());
        }
        Some((site, no, purpose))
    }

    /// Sending or receiving failed.
    pub(super) fn channel_broke(&mut self, id: ChannelId, error: &io::Error) {
        self.lose(id, Loss::Broken(sys::words(error)));
    }

    /// Gives memory back to the responses, and lets those go on that waited for it.
    pub(super) fn release(&mut self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        self.responses.give_back(bytes);
        while let Some(id) = self.short.front().copied() {
            let purpose = self.channels.get(id).and_then(Channel::purpose);
            if let Some(Purpose::Query(query)) = purpose
                && let Some(response) = self.queries.get_mut(query).and_then(Query::response_mut)
                && !response.reserve(&mut self.responses, self.now)
            {
                return;
            }
            self.short.pop_front();
            self.channel_is_ready(id);
        }
    }
}

/// What the end of the input means in the middle of an exchange.
fn ended(frame: &Frame) -> Loss {
    match frame.may_be_header() {
        true => Loss::Closed,
        false => Loss::NotAHeader(shown(frame.head())),
    }
}

fn not_a_header(frame: &Frame, fresh: &[u8]) -> Loss {
    // The frame has taken 16 bytes, of which the last may be from the fresh ones.
    match fresh.len() >= frame.head().len() && fresh.starts_with(frame.head()) {
        true => Loss::NotAHeader(shown(fresh)),
        false => Loss::NotAHeader(shown(frame.head())),
    }
}

/// The beginning of what was not a response, for a person.
fn shown(bytes: &[u8]) -> String {
    let start = bytes.get(..SHOWN).unwrap_or(bytes);
    start.trim_ascii_end().escape_ascii().to_string()
}
