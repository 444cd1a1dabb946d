//! One request and its response on a channel: sending, taking in what the
//! site answers, and what follows at its end.

use super::commands::outcome_behind_a_proxy;
use super::history::Greeting;
use super::{Reactor, SiteEntry};
use crate::channel::{Channel, Exchange, Incoming, Purpose, State};
use crate::counters::Counter;
use crate::ids::{ChannelId, ClientId, QueryId};
use crate::memory::Account;
use crate::pool::{self, Core, Input, Loss};
use crate::proto::request::HEARTBEAT;
use crate::proto::response::{BAD_GATEWAY, Defect, Header, Short, UNTRUSTED, shown};
use crate::query::Stage;
use crate::response::Response;
use crate::stream::{Arrival, Stream};
use crate::sys;
use crate::tls;
use std::io::{self, ErrorKind};
use std::time::Instant;

/// Read in place at one time. The last piece goes the usual way, where its end
/// is seen, and what stands behind it.
const IN_PLACE: usize = 64 * 1024;

/// The rest of a response whose client has gone is read and dropped up to this
/// length; beyond it, closing the channel is cheaper.
const DROPPED_AT_MOST: u64 = 1024 * 1024;

/// What is to follow after a piece of input.
enum Next {
    /// The response goes on.
    More,
    /// A response that was passed to a client is complete.
    Passed(Header),
    /// A short response is there.
    Collected(Short),
    /// There is no memory for more of it.
    Wait,
    /// The channel is of no use any more.
    Lose(Loss),
}

impl Reactor {
    /// Sends and receives; `false` if nothing more can be done now.
    pub(super) fn exchange(&mut self, id: ChannelId) -> bool {
        if !self.send_rest(id) {
            return false;
        }
        let Some(room) = self.room(id) else {
            return false;
        };
        let Some(channel) = self.channels.get_mut(id) else {
            return false;
        };
        let State::Busy(stream, exchange) = &mut channel.state else {
            return false;
        };
        // A server made with OpenSSL says nothing to one who begins with `GET `.
        // But one that has ever answered expects none.
        let never_answered = |entry: &SiteEntry| entry.good_address.is_none();
        let may_expect_tls = !channel.is_proved
            && exchange.purpose == Purpose::Heartbeat
            && stream.is_plain_tcp()
            && self.sites.get(channel.site).is_some_and(never_answered);
        let query = exchange.purpose.query();
        let queries = &mut self.queries;
        let in_place = read_in_place(stream, exchange, || queries.get_mut(query?)?.response_mut());
        let (arrival, is_in_place) = match in_place {
            Some(arrival) => (arrival, true),
            None => {
                let place = self.scratch.get_mut(..room).unwrap_or_default();
                (stream.read(place), false)
            }
        };
        let next = match arrival {
            Ok(Arrival::Nothing) => return false,
            Ok(Arrival::Bytes(count)) if is_in_place => {
                if let Some(entry) = self.sites.get_mut(channel.site) {
                    heard(entry, count, self.now);
                }
                Next::More
            }
            Ok(Arrival::Bytes(count)) => self.take_in(id, count),
            Ok(Arrival::End) => Next::Lose(match ended(exchange) {
                Loss::Closed if may_expect_tls => Loss::ClosedUnheard,
                loss => loss,
            }),
            Err(error) => Next::Lose(match (error.kind(), ended(exchange)) {
                (ErrorKind::ConnectionReset, Loss::Closed) if may_expect_tls => Loss::ClosedUnheard,
                _ => Loss::Broken(sys::words(&error)),
            }),
        };
        match next {
            Next::More => return true,
            Next::Wait => self.wait_for_memory(id),
            Next::Lose(loss) => self.lose(id, loss),
            Next::Passed(header) => self.passed(id, header),
            Next::Collected(short) => self.collected(id, short),
        }
        false
    }

    /// Sends what is left of the request; `false` if that failed.
    fn send_rest(&mut self, id: ChannelId) -> bool {
        let Some(channel) = self.channels.get_mut(id) else {
            return false;
        };
        let query = channel
            .exchange()
            .and_then(|exchange| exchange.purpose.query());
        let query = query.and_then(|query| self.queries.get(query));
        let request = query.map_or(HEARTBEAT, |query| &query.request.bytes);
        match channel.send(request, self.poll.registry()) {
            Ok(()) => true,
            Err(error) => {
                self.channel_broke(id, &error);
                false
            }
        }
    }

    /// Takes in the first `count` bytes of the scratch area for a busy channel.
    fn take_in(&mut self, id: ChannelId, count: usize) -> Next {
        let Some(channel) = self.channels.get_mut(id) else {
            return Next::More;
        };
        let site = channel.site;
        let Some(entry) = self.sites.get_mut(site) else {
            return Next::More;
        };
        heard(entry, count, self.now);
        let State::Busy(stream, exchange) = &mut channel.state else {
            return Next::More;
        };
        let fresh = self.scratch.get(..count).unwrap_or_default();
        let frame = match &mut exchange.incoming {
            Incoming::Passing(frame) => frame,
            Incoming::Short(collector) => {
                let behind_command = matches!(exchange.purpose, Purpose::Command(_));
                return match collector.take(fresh, behind_command) {
                    Ok(Some(short)) => Next::Collected(short),
                    Ok(None) => {
                        stream.hurry();
                        Next::More
                    }
                    Err(defect) => Next::Lose(no_response(defect, collector.bytes())),
                };
            }
        };
        let piece = match frame.take(fresh) {
            Ok(piece) => piece,
            // The beginning may have come earlier, the better part is mostly here.
            Err(defect) if fresh.starts_with(frame.head()) => {
                return Next::Lose(no_response(defect, fresh));
            }
            Err(defect) => return Next::Lose(no_response(defect, frame.head())),
        };
        if piece.body.is_empty() && !piece.done {
            stream.hurry();
        }
        let query = exchange.purpose.query();
        let query = query.and_then(|query| self.queries.get_mut(query));
        let (mut gone, mut freed) = (None, 0);
        let mut nobody_waits = true;
        if let Some(query) = query {
            let client = query.client.and_then(|id| self.clients.get_mut(id));
            if let Some(client) = client {
                let registry = self.poll.registry();
                let write = |bytes: &[u8]| client.stream.write(bytes, registry);
                let mut memory = Account {
                    budget: &mut self.responses,
                    share: &mut entry.memory,
                };
                let head = frame.head();
                match query.take_in(&piece, head, fresh, write, &mut memory, self.now) {
                    Ok(true) => {}
                    Ok(false) => return Next::Wait,
                    Err(_) => {
                        client.stream.note_gone();
                        gone = query.client;
                        freed = query.abandon();
                    }
                }
            }
            nobody_waits = query.client.is_none();
        }
        let header = frame.header().filter(|_| piece.done);
        let much_to_come = frame.left() > Some(DROPPED_AT_MOST);
        self.release(site, freed);
        if let Some(client) = gone {
            self.client_is_ready(client);
        }
        match header {
            Some(header) => Next::Passed(header),
            None if nobody_waits && much_to_come => Next::Lose(Loss::Abandoned),
            None => Next::More,
        }
    }

    /// A response that goes to a client has come to its end: the channel is
    /// free or closed, the client gets what it has not got yet.
    pub(super) fn passed(&mut self, id: ChannelId, header: Header) {
        let Some(channel) = self.channels.get_mut(id) else {
            return;
        };
        // Where a site gets channels only for queries, there is no heartbeat to prove them.
        if header.status == 200
            && !channel.is_proved
            && let Some(entry) = self.sites.get_mut(channel.site)
        {
            prove(channel, entry);
        }
        let (site, sent) = (channel.site, channel.sent());
        let query = channel.exchange().and_then(|e| e.purpose.query());
        self.count_sent(site, sent);
        let request = query.and_then(|query| self.queries.get(query));
        // A site may answer before it has read everything; the rest would then
        // be the beginning of the next request.
        let was_read = request.is_none_or(|query| sent >= query.request.bytes.len());
        if let Some(query) = query {
            self.count_answer(query);
            self.log_if_slow(query, "answered");
        }
        let client = query.and_then(|query| self.leave_channel(query));
        let in_step = header.leaves_channel_in_step() && was_read;
        let loss = (!in_step).then_some(Loss::OutOfStep(header.status));
        self.free(id, loss, Input::Answered);
        // Those who wait come before this client's next query.
        self.run_policy();
        if let Some(client) = client {
            self.attend_client(client);
        }
    }

    /// A heartbeat is answered, or the barrier behind a command.
    fn collected(&mut self, id: ChannelId, short: Short) {
        let Some(channel) = self.channels.get(id) else {
            return;
        };
        self.count_sent(channel.site, channel.sent());
        let Some(channel) = self.channels.get_mut(id) else {
            return;
        };
        let Some(purpose) = channel.exchange().map(|exchange| exchange.purpose) else {
            return;
        };
        let is_well = short.header.status == 200;
        let unwell = || {
            // In a chain another proxy says what is wrong.
            let words = match short.header.status {
                BAD_GATEWAY | UNTRUSTED => shown(&short.body),
                _ => String::new(),
            };
            Loss::Unwell(short.header.status, words)
        };
        let loss = (!is_well).then(unwell);
        match purpose {
            Purpose::Heartbeat | Purpose::Query(_) => {
                if is_well && let Some(entry) = self.sites.get_mut(channel.site) {
                    prove(channel, entry);
                    entry.counters.add(Counter::Heartbeats);
                    entry.greeting = Greeting::of_heartbeat(&short.body);
                }
                let core = Core::of_heartbeat(&short.body);
                self.free(id, loss, |no| Input::Beaten(no, core));
            }
            Purpose::Command(query) => {
                let outcome = outcome_behind_a_proxy(&short);
                // It has told what became of the command, and goes on.
                self.free(id, loss.filter(|_| outcome.is_none()), Input::Answered);
                match outcome {
                    Some((fate, why)) => self.command_failed_elsewhere(query, fate, &why),
                    None => self.command_consumed(query, &short.refusal),
                }
            }
        }
    }

    /// Nothing is asked on the channel any more. It is free, unless there is
    /// `loss` or something stands behind the response.
    fn free(
        &mut self,
        id: ChannelId,
        loss: Option<Loss>,
        news: impl FnOnce(pool::ChannelNo) -> Input,
    ) {
        let Some(channel) = self.channels.get_mut(id) else {
            return;
        };
        channel.rest(self.now);
        let behind = match channel.look_behind(&mut self.scratch) {
            Ok(Arrival::Nothing) => None,
            Ok(Arrival::Bytes(_)) => Some(Loss::Surplus),
            Ok(Arrival::End) => Some(Loss::Closed),
            Err(error) => Some(Loss::Broken(sys::words(&error))),
        };
        let (site, no) = (channel.site, channel.no);
        match loss.or(behind) {
            Some(loss) => self.lose(id, loss),
            None => self.tell(site, news(no)),
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
            // Nobody wants it any more.
            _ => {
                self.end_query(id);
                return client;
            }
        };
        client
    }
}

/// The channel leads to a core, and so does its address.
fn prove(channel: &mut Channel, entry: &mut SiteEntry) {
    channel.is_proved = true;
    entry.good_address = channel.address;
    entry
        .bad_address
        .take_if(|bad| channel.address == Some(*bad));
}

/// A site has sent so many bytes: it is not silent.
fn heard(entry: &mut SiteEntry, count: usize, now: Instant) {
    entry.counters.add_many(Counter::BytesIn, count as u64);
    if let Some(policy) = entry.policy() {
        policy.heard(now);
    }
}

/// Reads the middle of a long response that is held to where it is held.
fn read_in_place<'a>(
    stream: &mut Stream,
    exchange: &mut Exchange,
    response: impl FnOnce() -> Option<&'a mut Response>,
) -> Option<io::Result<Arrival>> {
    let Incoming::Passing(frame) = &mut exchange.incoming else {
        return None;
    };
    if frame.left()? <= IN_PLACE as u64 {
        return None;
    }
    let arrival =
        response()?.read_in_place(IN_PLACE, |bytes, most| stream.read_onto(bytes, most))?;
    if let Ok(Arrival::Bytes(count)) = arrival {
        frame.skip(count);
    }
    Some(arrival)
}

/// What the end of the input means in the middle of an exchange.
fn ended(exchange: &Exchange) -> Loss {
    let (may_be_header, bytes) = match &exchange.incoming {
        Incoming::Passing(frame) => (frame.may_be_header(), frame.head()),
        Incoming::Short(collector) => (collector.bytes().is_empty(), collector.bytes()),
    };
    match may_be_header {
        true => Loss::Closed,
        false => not_a_response(bytes),
    }
}

fn no_response(defect: Defect, bytes: &[u8]) -> Loss {
    match defect {
        Defect::NotAHeader => not_a_response(bytes),
        Defect::Surplus => Loss::Surplus,
    }
}

fn not_a_response(bytes: &[u8]) -> Loss {
    match tls::is_alert(bytes) {
        true => Loss::SpeaksTls,
        false => Loss::NotAHeader(shown(bytes)),
    }
}
