//! The channels' side of the loop: opening them, sending, taking in what the
//! sites answer.

use super::{News, Reactor, SiteEntry, Who};
use crate::channel::{Channel, MOST_READS, Purpose, State};
use crate::client::Parting;
use crate::config::{Address, Family};
use crate::ids::{ChannelId, QueryId, SiteId};
use crate::pool::{ChannelNo, Input, Loss, Owed};
use crate::proto::response::BAD_REQUEST;
use crate::query::Stage;
use crate::stream::{Arrival, Stream, Target};
use crate::sys;
use std::io;
use std::net::{IpAddr, SocketAddr};

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

    /// A channel ended by itself: the policy is to hear of it.
    pub(super) fn lose(&mut self, id: ChannelId, loss: Loss) {
        let Some(channel) = self.drop_channel(id, &loss) else {
            return;
        };
        let owed = match channel.exchange() {
            None => Owed::Nothing,
            Some(exchange) => match exchange.purpose {
                Purpose::Heartbeat => Owed::Nothing,
                Purpose::Query(query) => self.lose_response(query, &loss),
                Purpose::Command(query) => self.lose_command(query, exchange.sent > 0),
            },
        };
        let (site, no) = (channel.site, channel.no);
        if let Some(stream) = channel.into_stream() {
            stream.close(self.poll.registry());
        }
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

    /// The query's channel is gone before its response was complete. What it is still owed.
    fn lose_response(&mut self, id: QueryId, loss: &Loss) -> Owed {
        let Some(query) = self.queries.get_mut(id) else {
            return Owed::Nothing;
        };
        let Some(client) = query.client else {
            self.end_query(id);
            return Owed::Nothing;
        };
        if query.has_begun() {
            self.end_query(id);
            self.close_client(client, Parting::CutShort);
            return Owed::Nothing;
        }
        if let Loss::NotAHeader(text) = loss {
            if query.strange_answer.as_ref() == Some(text) {
                // Twice the same is what the site has to say to this query.
                self.answer_own(id, BAD_REQUEST, text);
                return Owed::Nothing;
            }
            query.strange_answer = Some(text.clone());
        }
        let reserved = query.reserved();
        query.stage = Stage::Waiting;
        self.release(reserved);
        Owed::All
    }

    /// Takes the channel away.
    fn drop_channel(&mut self, id: ChannelId, loss: &Loss) -> Option<Channel> {
        let channel = self.channels.remove(id)?;
        // A query that costs its channel is no event of the site's, and the
        // death of a site is one line.
        let level = match loss {
            Loss::OutOfStep(_) | Loss::Abandoned | Loss::SiteDead | Loss::NotNeeded => {
                log::Level::Debug
            }
            _ if !channel.is_proved => log::Level::Debug,
            _ => log::Level::Info,
        };
        log::log!(
            level,
            "channel {}/{}: closed: {loss} (age {:.1} s, {} queries)",
            self.site_name(channel.site),
            channel.no.0,
            self.now
                .saturating_duration_since(channel.opened)
                .as_secs_f64(),
            channel.queries
        );
        Some(channel)
    }

    /// The policy has done with the channel.
    pub(super) fn close_channel(&mut self, id: ChannelId, loss: &Loss) {
        let Some(channel) = self.drop_channel(id, loss) else {
            return;
        };
        let query = channel
            .exchange()
            .and_then(|exchange| exchange.purpose.query());
        if let Some(query) = query
            && let Some(query_left) = self.queries.get(query)
            && query_left.client.is_none()
        {
            // Its client has gone before; the policy does not know.
            self.end_query(query);
        }
        if let Some(stream) = channel.into_stream() {
            stream.close(self.poll.registry());
        }
    }

    /// Sending or receiving failed.
    pub(super) fn channel_broke(&mut self, id: ChannelId, error: &io::Error) {
        self.lose(id, Loss::Broken(sys::words(error)));
    }
}
