//! Answers on their way to their clients, and what becomes of a query whose
//! client goes before or takes too long.

use super::Reactor;
use crate::client::{LINGER, Parting, State};
use crate::counters::Counter;
use crate::ids::{ClientId, QueryId};
use crate::memory::Account;
use crate::pool::{Input, Loss};
use crate::proto::request::{Kind, Request, Style};
use crate::proto::response;
use crate::query::{Query, Stage};
use crate::response::Response;
use std::time::Duration;

/// How long a client may take to read a sentence of ours.
const OWN_ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

impl Reactor {
    /// Gives a client bytes of our own; without `keep_alive` they are its last.
    pub(super) fn answer_bytes(&mut self, id: ClientId, keep_alive: bool, bytes: Vec<u8>) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        let request = Request {
            bytes: Vec::new(),
            kind: Kind::Get,
            style: Style {
                fixed16: false,
                keep_alive,
            },
        };
        let query = self.queries.insert(Query {
            stage: Stage::Answered {
                deadline: self.now + OWN_ANSWER_TIMEOUT,
                response: Response::own(bytes, self.now),
            },
            // It was none.
            is_counted: true,
            ..Query::new(client.site, id, request, self.now)
        });
        match query {
            Some(query) => client.state = State::Asking(query),
            None => self.close_client(id, Parting::NoRoom),
        }
    }

    /// Answers a query with a sentence of our own, which counts as `counter`.
    pub(super) fn answer_own(&mut self, id: QueryId, counter: Counter, code: u16, text: &str) {
        let Some(query) = self.queries.get(id) else {
            return;
        };
        let has_begun = query.has_begun();
        let Some(client) = query.client else {
            self.end_query(id);
            return;
        };
        if has_begun {
            // Half of an answer is out: only the close tells that it stays half.
            self.count_end(id, Counter::Cut);
            self.end_query(id);
            self.hang_up(client, Parting::CutShort);
            return;
        }
        self.count_end(id, counter);
        let Some(query) = self.queries.get_mut(id) else {
            return;
        };
        let (site, reserved) = (query.site, query.reserved());
        let fixed16 = query.request.style.fixed16;
        if !fixed16 {
            // Without framing, only the close tells where the answer ends.
            query.request.style.keep_alive = false;
        }
        query.stage = Stage::Answered {
            deadline: self.now + OWN_ANSWER_TIMEOUT,
            response: Response::own(response::own(code, text, fixed16), self.now),
        };
        self.release(site, reserved);
        self.client_is_ready(client);
    }

    /// Gives the client what there is for it; `false` if nothing more can be done now.
    pub(super) fn deliver(&mut self, id: ClientId, query_id: QueryId) -> bool {
        let Some(client) = self.clients.get_mut(id) else {
            return false;
        };
        let Some(query) = self.queries.get_mut(query_id) else {
            // A command that was consumed: nothing is said about it.
            client.rest(self.now);
            return true;
        };
        if client.stream.hung_up() {
            if query.request.kind != Kind::Command {
                self.abandon(id, query_id);
                return true;
            }
            // It only waits for the end of its command, and takes up no place.
            if !std::mem::replace(&mut client.is_ghost, true) {
                let (site, turned_away) = (client.site, client.turned_away.is_some());
                self.free_place(site, turned_away);
                return true;
            }
        }
        let channel = match &query.stage {
            Stage::Sent { channel, .. } => Some(*channel),
            Stage::Held(_) if client.awaits_us(&mut self.scratch) => {
                self.give_up_command(query_id);
                return true;
            }
            Stage::Waiting | Stage::Held(_) | Stage::Answered { .. } => None,
        };
        let style = query.request.style;
        let registry = self.poll.registry();
        let Some(response) = query.response_mut() else {
            return false;
        };
        let now = self.now;
        // A record of TLS that the system has not taken goes first.
        let mut outcome = match client.stream.is_flushed() {
            true => Ok(()),
            false => client.stream.write(&[], registry).map(|_| ()),
        };
        if outcome.is_ok() {
            outcome = response.flush(|bytes| client.stream.write(bytes, registry), now);
        }
        if outcome.is_err() {
            client.stream.note_gone();
            self.abandon(id, query_id);
            return true;
        }
        let delivered = response.is_delivered() && client.stream.is_flushed();
        if let Some(channel) = channel {
            // It may have waited for room.
            self.channel_is_ready(channel);
            self.arm_client(id);
            return false;
        }
        if !delivered {
            self.arm_client(id);
            return false;
        }
        client.rest(self.now);
        self.end_query(query_id);
        if !style.keep_alive {
            self.see_off(id);
        }
        true
    }

    /// The client's answer was its last.
    fn see_off(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        if !client.has_unread() {
            return self.close_client(id, Parting::Answered);
        }
        client.stream.shut_write();
        client.state = State::Leaving {
            until: self.now + LINGER,
        };
        self.arm_client(id);
    }

    /// The client of a query is gone. What it has sent behind the query may
    /// hold commands, so it is read on.
    pub(super) fn abandon(&mut self, id: ClientId, query_id: QueryId) {
        if let Some(client) = self.clients.get_mut(id) {
            client.rest(self.now);
        }
        let Some(query) = self.queries.get_mut(query_id) else {
            return;
        };
        if query.request.kind == Kind::Command {
            query.client = None;
            return;
        }
        let was_last = !query.request.style.keep_alive;
        match query.stage {
            Stage::Waiting | Stage::Held(_) => {
                let site = query.site;
                self.end_query(query_id);
                self.tell(site, Input::Withdrawn(query_id));
                self.run_policy();
            }
            Stage::Sent { channel, .. } => {
                let is_wait = matches!(query.request.kind, Kind::Wait(_));
                let site = query.site;
                let freed = query.abandon();
                self.release(site, freed);
                if is_wait {
                    // It would hold the channel for as long as it waits.
                    self.lose(channel, Loss::Abandoned);
                    self.run_policy();
                } else {
                    // The rest of its response is dropped, or the channel closed.
                    if let Some(no) = self.channels.get(channel).map(|channel| channel.no) {
                        self.tell(site, Input::Abandoned(no));
                    }
                    self.channel_is_ready(channel);
                }
            }
            Stage::Answered { .. } => self.end_query(query_id),
        }
        if was_last {
            // What stands behind it is dropped, as if the client had stayed.
            self.close_client(id, Parting::Gone);
        }
    }

    /// The client of a query takes too long.
    pub(super) fn query_overdue(&mut self, id: ClientId, query_id: QueryId) {
        let Some(query) = self.queries.get_mut(query_id) else {
            return;
        };
        match &mut query.stage {
            Stage::Waiting | Stage::Held(_) => {}
            Stage::Sent {
                channel, response, ..
            } => {
                if let Some(response) = response
                    && let Some(entry) = self.sites.get_mut(query.site)
                {
                    let mut memory = Account {
                        budget: &mut self.responses,
                        share: &mut entry.memory,
                    };
                    response.hold_the_rest(&mut memory, self.now);
                }
                let channel = *channel;
                // What it has taken already need not be held.
                self.memory_came_free();
                self.channel_is_ready(channel);
                self.arm_client(id);
            }
            Stage::Answered { .. } => {
                self.end_query(query_id);
                self.hang_up(id, Parting::TooSlow);
            }
        }
    }

    /// Forgets a query and gives back what it held.
    pub(super) fn end_query(&mut self, id: QueryId) {
        self.count_end(id, Counter::Abandoned);
        if let Some(query) = self.queries.remove(id) {
            self.requests.give_back(query.charged);
            self.answers.give_back(query.unread);
            self.release(query.site, query.reserved());
        }
    }
}
