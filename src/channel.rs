//! A channel: one connection to a site, over which one request at a time goes
//! out and one response comes back. Knows queries only by id and clients not at all.

use crate::ids::{QueryId, SiteId};
use crate::pool::ChannelNo;
use crate::proto::response::{Collector, Frame};
use crate::stream::{Arrival, Stream};
use crate::timers::Armed;
use mio::Registry;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

/// Reads of one turn; a site that floods is gone on with later.
pub const MOST_READS: usize = 4;

/// What a request on a channel is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To see that the site lives.
    Heartbeat,
    /// To answer a client.
    Query(QueryId),
    /// To have something done. The response is that to the barrier behind it.
    Command(QueryId),
}

impl Purpose {
    /// The query, if it is for one.
    pub fn query(self) -> Option<QueryId> {
        match self {
            Purpose::Heartbeat => None,
            Purpose::Query(query) | Purpose::Command(query) => Some(query),
        }
    }
}

/// How far a response has come.
#[derive(Debug)]
pub enum Incoming {
    /// One that goes on to a client; only its end is looked for.
    Passing(Frame),
    /// One that is wanted whole.
    Short(Collector),
}

/// One request and its response.
#[derive(Debug)]
pub struct Exchange {
    /// What it is for.
    pub purpose: Purpose,
    /// How much of the request was written.
    pub sent: usize,
    /// How far the response has come.
    pub incoming: Incoming,
}

/// An address that is being tried.
#[derive(Debug, Default)]
pub struct Attempt {
    /// The address; none for a UNIX socket.
    pub address: Option<SocketAddr>,
    /// Those to be tried after it, the next one last.
    pub others: Vec<SocketAddr>,
}

/// What a channel is at.
#[derive(Debug)]
pub enum State {
    /// Nothing has been done for it yet.
    New,
    /// The site's name is being looked up; there is no connection yet.
    LookingUp,
    /// The connection is being made.
    Connecting(Stream, Attempt),
    /// Nothing is asked, so nothing may come.
    Idle(Stream),
    /// A request is out.
    Busy(Stream, Exchange),
}

/// A channel.
#[derive(Debug)]
pub struct Channel {
    /// The site it leads to.
    pub site: SiteId,
    /// Its number within the site.
    pub no: ChannelNo,
    /// When it began.
    pub opened: Instant,
    /// Since when it is at what it is at.
    pub since: Instant,
    /// The address it is connected to, if it has one.
    pub address: Option<IpAddr>,
    /// Whether anything on it has ever been answered as a core does.
    pub is_proved: bool,
    /// Queries that were sent over it.
    pub queries: u64,
    /// Whether it stands in the list of those to be looked after.
    pub is_ready: bool,
    /// Until when the name may be looked up, or the address tried.
    pub patience: Option<Instant>,
    /// Reminder of that.
    pub armed: Armed,
    /// What it is at.
    pub state: State,
}

impl Channel {
    /// A channel that has only a number yet.
    pub fn new(site: SiteId, no: ChannelNo, now: Instant) -> Self {
        Channel {
            site,
            no,
            opened: now,
            since: now,
            address: None,
            is_proved: false,
            queries: 0,
            is_ready: false,
            patience: None,
            armed: Armed::default(),
            state: State::New,
        }
    }

    /// Its connection, if there is one.
    pub fn stream(&self) -> Option<&Stream> {
        match &self.state {
            State::New | State::LookingUp => None,
            State::Connecting(stream, _) | State::Idle(stream) | State::Busy(stream, _) => {
                Some(stream)
            }
        }
    }

    /// Its connection, if there is one.
    pub fn stream_mut(&mut self) -> Option<&mut Stream> {
        match &mut self.state {
            State::New | State::LookingUp => None,
            State::Connecting(stream, _) | State::Idle(stream) | State::Busy(stream, _) => {
                Some(stream)
            }
        }
    }

    /// Its connection, taken out for good.
    pub fn into_stream(self) -> Option<Stream> {
        match self.state {
            State::New | State::LookingUp => None,
            State::Connecting(stream, _) | State::Idle(stream) | State::Busy(stream, _) => {
                Some(stream)
            }
        }
    }

    /// Its request and response, if a request is out.
    pub fn exchange(&self) -> Option<&Exchange> {
        match &self.state {
            State::Busy(_, exchange) => Some(exchange),
            State::New | State::LookingUp | State::Connecting(..) | State::Idle(_) => None,
        }
    }

    /// How much of the request that is out was written.
    pub fn sent(&self) -> usize {
        self.exchange().map_or(0, |exchange| exchange.sent)
    }

    /// Whether nothing is asked on it.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle(_))
    }

    /// The connection is made: nothing is asked yet.
    pub fn rest(&mut self, now: Instant) {
        self.since = now;
        self.state = match std::mem::replace(&mut self.state, State::LookingUp) {
            State::Connecting(stream, _) | State::Idle(stream) | State::Busy(stream, _) => {
                State::Idle(stream)
            }
            State::New | State::LookingUp => State::LookingUp,
        };
    }

    /// Begins to send `request`. An error if the channel is not free.
    pub fn begin(
        &mut self,
        purpose: Purpose,
        request: &[u8],
        registry: &Registry,
        now: Instant,
    ) -> io::Result<()> {
        let stream = match std::mem::replace(&mut self.state, State::LookingUp) {
            State::Idle(stream) => stream,
            other => {
                self.state = other;
                return Err(io::Error::other("internal error: the channel is not free"));
            }
        };
        self.queries += u64::from(purpose != Purpose::Heartbeat);
        let incoming = match purpose {
            Purpose::Query(_) => Incoming::Passing(Frame::default()),
            Purpose::Heartbeat | Purpose::Command(_) => Incoming::Short(Collector::default()),
        };
        let exchange = Exchange {
            purpose,
            sent: 0,
            incoming,
        };
        self.state = State::Busy(stream, exchange);
        self.since = now;
        self.send(request, registry)
    }

    /// Goes on sending `request`.
    pub fn send(&mut self, request: &[u8], registry: &Registry) -> io::Result<()> {
        if let State::Busy(stream, exchange) = &mut self.state
            && let Some(rest) = request.get(exchange.sent..)
        {
            exchange.sent += stream.write(rest, registry)?;
        }
        Ok(())
    }

    /// Whether anything stands behind the response that has just ended: bytes
    /// that nobody asked for, or the end. Costs nothing while neither was announced.
    pub fn look_behind(&mut self, scratch: &mut [u8]) -> io::Result<Arrival> {
        match self.stream_mut() {
            Some(stream) => stream.read(scratch),
            None => Ok(Arrival::Nothing),
        }
    }
}
