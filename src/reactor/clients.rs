//! The clients' side of the loop: taking their requests, giving them their
//! answers.

use super::{Reactor, Who};
use crate::client::{Client, Heard, Parting, REQUEST_TIMEOUT, State, Via};
use crate::counters::Counter;
use crate::ids::ClientId;
use crate::pool::Input;
use crate::proto::request::{Fault, Kind, Request, Step, Style};
use crate::proto::response::{self, BAD_GATEWAY, BAD_REQUEST};
use crate::query::{Query, Stage};
use crate::reactor::site::Service;
use std::fs::File;
use std::time::Instant;

/// Steps of one client in one turn: a request read, an answer given.
const MOST_ROUNDS: usize = 32;

/// What a client is told whose request was not complete when nothing more was read.
const STOPPED_READING: &str =
    "The proxy is being stopped, and the request was not complete. Please ask again";

/// What a client is told when the memory for requests is used up.
const NO_MEMORY: &str = "The proxy has no memory left for requests";

impl Reactor {
    /// Lets a client get on, as far as it can in one turn.
    pub(super) fn attend_client(&mut self, id: ClientId) {
        for _ in 0..MOST_ROUNDS {
            let Some(client) = self.clients.get_mut(id) else {
                return;
            };
            let goes_on = match client.state {
                State::Securing { .. } => self.secure_client(id),
                State::Reading { .. } => self.listen(id),
                State::Asking(query) => self.deliver(id, query),
                State::Leaving { .. } => {
                    if !client.drop_input(&mut self.scratch) {
                        self.close_client(id, Parting::Answered);
                    } else if client.stream.can_read() {
                        self.client_is_ready(id);
                    }
                    false
                }
            };
            if !goes_on {
                return;
            }
        }
        self.client_is_ready(id);
    }

    /// Takes in what the client says; `false` if nothing more can be done now.
    fn listen(&mut self, id: ClientId) -> bool {
        let Some(client) = self.clients.get_mut(id) else {
            return false;
        };
        let heard = client.listen(&mut self.scratch, self.limits.max_query);
        let is_complete = matches!(heard, Heard::Step(Step::Complete(_)));
        if !is_complete && !self.requests.resize(client.charged, client.held()) {
            let style = client.style();
            self.answer_unasked(id, style, BAD_GATEWAY, NO_MEMORY);
            return true;
        }
        if !is_complete || self.requests.resize(client.charged, client.held()) {
            client.charged = client.held();
        }
        match heard {
            Heard::Plenty => {
                self.reading_since(id);
                self.client_is_ready(id);
                false
            }
            Heard::Nothing | Heard::Step(Step::More) if client.stream.hung_up() => {
                self.close_client(id, Parting::Gone);
                false
            }
            Heard::Nothing | Heard::Step(Step::More) => {
                self.reading_since(id);
                self.dismiss(id)
            }
            Heard::CutByUs => {
                self.cut_request_short(id);
                true
            }
            Heard::Step(Step::End) => self.say_goodbye(id),
            Heard::Step(Step::Faulty(fault, style)) => {
                self.refuse_fault(id, fault, style);
                true
            }
            Heard::Step(Step::Complete(request)) => {
                self.receive(id, request);
                true
            }
        }
    }

    /// The rest of the client's request comes too late.
    pub(super) fn cut_request_short(&mut self, id: ClientId) {
        let style = self.clients.get(id).map(Client::style).unwrap_or_default();
        self.answer_unasked(id, style, BAD_GATEWAY, STOPPED_READING);
    }

    /// The client sends no more; `true` if it is to be told something before it goes.
    fn say_goodbye(&mut self, id: ClientId) -> bool {
        let client = self.clients.get_mut(id);
        if let Some(told) = client.and_then(Client::take_told) {
            self.answer_bytes(id, false, told);
            return true;
        }
        self.close_client(id, Parting::Goodbye);
        false
    }

    /// Notes when the request that is being read began.
    fn reading_since(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        if client.turned_away.is_some() {
            // Its time runs since it came.
        } else if client.is_inside_request() {
            if let State::Reading { since } = &mut client.state {
                since.get_or_insert(self.now);
            }
        } else {
            client.rest(self.now);
        }
        self.arm_client(id);
    }

    /// A request is complete: it becomes a query.
    fn receive(&mut self, id: ClientId, request: Request) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        let (site, style, kind) = (client.site, request.style, request.kind);
        let via = client.via;
        if kind == Kind::Command && !self.may_command(site, via) {
            return self.command_forbidden(id);
        }
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        if kind != Kind::Command {
            if client.stream.hung_up() || client.is_seen_off() {
                // Nobody is there to read the answer; commands behind it still count.
                client.rest(self.now);
                return;
            }
            if let Some(text) = client.take_sentence() {
                let bytes = response::own(BAD_GATEWAY, &text, style.fixed16);
                return self.answer_bytes(id, style.fixed16 && style.keep_alive, bytes);
            }
        }
        if via == Via::Port
            && client.turned_away.is_none()
            && let Some(bytes) = self.answer_to_heartbeat(site, &request)
        {
            return self.answer_bytes(id, true, bytes);
        }
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        let Some(entry) = self.sites.get(site) else {
            return self.close_client(id, Parting::Dismissed);
        };
        let is_console = matches!(entry.service, Service::Console);
        // An order takes up no place, and may be what is to end the crowd.
        if is_console && (client.turned_away.is_none() || kind == Kind::Command) {
            client.requests += 1;
            return self.ask_console(id, &request);
        }
        self.count(site, Counter::Queries);
        let Some(entry) = self.sites.get(site) else {
            return;
        };
        // A command takes up no place: its client is mostly gone by now.
        let turned_away = self.clients.get(id).and_then(|one| one.turned_away);
        let too_many = turned_away.filter(|_| kind != Kind::Command);
        let disabled = entry.disabled.as_ref();
        let refusal = match (&entry.service, too_many) {
            (_, Some(too_many)) => Some(self.words_of_crowd(site, too_many)),
            (Service::Unusable(why), _) => Some(why.clone()),
            (Service::Console, _) => None,
            (Service::Pooled(_), None) if disabled.is_some() => {
                disabled.map(|disabled| disabled.refusal().text(&entry.name))
            }
            (Service::Pooled(_), None) if !self.requests.take(request.bytes.len()) => {
                Some(NO_MEMORY.into())
            }
            (Service::Pooled(_), None) => None,
        };
        if let Some(text) = refusal {
            return self.turn_down(id, &request, &text);
        }
        let query = Query::new(site, id, request, self.now);
        let Some(query) = self.queries.insert(query) else {
            self.count(site, Counter::RefusedOther);
            return self.close_client(id, Parting::NoRoom);
        };
        if let Some(client) = self.clients.get_mut(id) {
            client.asks(query);
        }
        self.tell(site, Input::Arrived(query, kind));
        self.run_policy();
    }

    /// Answers a request without asking its site.
    fn turn_down(&mut self, id: ClientId, request: &Request, text: &str) {
        let style = request.style;
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        if request.kind == Kind::Command {
            client.rest(self.now);
            return self.command_not_taken(id, request, text);
        }
        let stays = style.fixed16 && style.keep_alive && client.turned_away.is_none();
        let site = client.site;
        self.count(site, Counter::RefusedOther);
        let bytes = response::own(BAD_GATEWAY, text, style.fixed16);
        self.answer_bytes(id, stays, bytes);
    }

    /// Answers a request that did not become one, and lets the client go.
    fn answer_unasked(&mut self, id: ClientId, style: Style, code: u16, text: &str) {
        self.answer_bytes(id, false, response::own(code, text, style.fixed16));
    }

    fn refuse_fault(&mut self, id: ClientId, fault: Fault, style: Style) {
        let text = fault.text();
        log::debug!("refused a request: {text}");
        let bytes = match fault {
            // As Naemon puts it, without a code: no header was read that could ask for one.
            Fault::UnknownVerb if !style.fixed16 => format!("{text}\n").into_bytes(),
            Fault::UnknownVerb
            | Fault::TooLarge(_)
            | Fault::LineTooLong
            | Fault::CutShort
            | Fault::ZeroByte => response::own(fault.code(), &text, style.fixed16),
        };
        self.answer_bytes(id, false, bytes);
    }

    /// The time for what the client is at may be over.
    pub(super) fn remind_client(&mut self, id: ClientId) {
        let due = self.client_deadline(id).is_some_and(|at| at <= self.now);
        let Some(client) = self.clients.get(id) else {
            return;
        };
        if !due {
            return self.arm_client(id);
        }
        match client.state {
            State::Securing { .. } => self.handshake_overdue(id),
            State::Reading { .. } if client.is_seen_off() => {
                self.close_client(id, Parting::Dismissed);
            }
            State::Reading { .. } => {
                let style = client.style();
                if let Some(too_many) = client.turned_away {
                    let text = self.words_of_crowd(client.site, too_many);
                    self.answer_unasked(id, style, BAD_GATEWAY, &text);
                } else {
                    let seconds = REQUEST_TIMEOUT.as_secs();
                    let text = format!("Request was not complete within {seconds} s");
                    self.answer_unasked(id, style, BAD_REQUEST, &text);
                }
                self.attend_client(id);
            }
            State::Asking(query) => self.query_overdue(id, query),
            State::Leaving { .. } => self.close_client(id, Parting::Answered),
        }
    }

    fn client_deadline(&self, id: ClientId) -> Option<Instant> {
        let client = self.clients.get(id)?;
        match client.state {
            State::Asking(query) => match &self.queries.get(query)?.stage {
                Stage::Answered { deadline, .. } => Some(*deadline),
                Stage::Sent { response, .. } => response.as_ref()?.is_slow_at(),
                Stage::Waiting | Stage::Held(_) => None,
            },
            State::Securing { .. } | State::Reading { .. } | State::Leaving { .. } => {
                client.deadline()
            }
        }
    }

    /// Makes sure that the client is reminded in time.
    pub(super) fn arm_client(&mut self, id: ClientId) {
        let deadline = self.client_deadline(id);
        if let Some(client) = self.clients.get_mut(id) {
            self.timers
                .arm(Who::Client(id), &mut client.armed, deadline);
        }
    }

    /// Ends the connection in the middle of an answer. Commands that the client
    /// has sent behind its query are still read.
    pub(super) fn hang_up(&mut self, id: ClientId, why: Parting) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        log::trace!("client hung up on: {why}");
        client.stream.hang_up();
        client.rest(self.now);
        self.client_is_ready(id);
    }

    /// Closes a client's connection.
    pub(super) fn close_client(&mut self, id: ClientId, why: Parting) {
        if let Some(client) = self.clients.get(id)
            && let State::Asking(query) = client.state
        {
            self.abandon(id, query);
        }
        if let Some(client) = self.clients.get(id) {
            log::trace!("client of {}: closed: {why}", self.site_name(client.site));
        }
        self.forget_client(id);
    }

    /// Closes a client's connection and gives back what it held. Its query, if
    /// it has one, is not told.
    pub(super) fn forget_client(&mut self, id: ClientId) {
        let Some(client) = self.clients.remove(id) else {
            return;
        };
        self.requests.give_back(client.charged);
        if let State::Securing { port, .. } = client.state {
            self.end_handshake(port);
        }
        if !client.is_ghost {
            self.free_place(client.site, client.turned_away.is_some());
        }
        client.stream.close();
        if self.spare.is_none() {
            self.spare = File::open("/dev/null").ok();
        }
    }
}
