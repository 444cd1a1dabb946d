//! Commands. There is no response to one, so that it was delivered is known by
//! the answer to the barrier behind it, and that it was not is told where the
//! client can hear it: when it half-closes, or in place of its next answer. A
//! command outlives its client.

use super::Reactor;
use crate::channel::Purpose;
use crate::client::Failure;
use crate::counters::Counter;
use crate::ids::{ClientId, QueryId, SiteId};
use crate::pool::{Input, Owed, Refusal};
use crate::proto::request::Request;
use crate::proto::response::{self, BAD_GATEWAY, Short, shown};
use crate::query::Stage;

/// What somebody is told who gives a command where only reading is allowed.
const READ_ONLY: &str = "This port takes no commands";

/// How the sentence begins that stands in place of the answer behind a command.
const BEFORE: &str = "Command before this query ";

/// What has become of a command that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nobody has executed it.
    NotDelivered,
    /// It was sent, and nothing more is known.
    Unknown,
}

impl Fate {
    const ALL: [Fate; 2] = [Fate::NotDelivered, Fate::Unknown];

    fn words(self) -> &'static str {
        match self {
            Fate::NotDelivered => "was not delivered",
            Fate::Unknown => "may not have been delivered",
        }
    }

    fn counter(self) -> Counter {
        match self {
            Fate::NotDelivered => Counter::CommandsNotDelivered,
            Fate::Unknown => Counter::CommandsUnknown,
        }
    }
}

/// Where the barrier behind a command was answered by another proxy: what that
/// one tells of the command, and why, if it has failed.
pub(super) fn outcome_behind_a_proxy(barrier: &Short) -> Option<(Fate, String)> {
    if barrier.header.status != BAD_GATEWAY {
        return None;
    }
    let text = String::from_utf8_lossy(&barrier.body);
    let rest = text.strip_prefix(BEFORE)?;
    Fate::ALL.into_iter().find_map(|fate| {
        let why = rest.strip_prefix(fate.words())?.strip_prefix(": ")?;
        Some((fate, why.trim_end().to_string()))
    })
}

/// Whether these are a core's own words on a command, `400: text`.
fn is_of_core(why: &str) -> bool {
    let code = why.split_once(": ").map_or("", |(code, _)| code);
    code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit())
}

impl Reactor {
    /// The barrier behind a command was answered: the site has consumed the
    /// command, and this is what it had to say to it, if anything.
    pub(super) fn command_consumed(&mut self, id: QueryId, refusal: &[u8]) {
        let counter = match refusal.is_empty() {
            true => Counter::CommandsDelivered,
            false => Counter::CommandsRefused,
        };
        self.count_end(id, counter);
        if refusal.is_empty() {
            self.command_ended(id, None);
            return;
        }
        let text = shown(refusal);
        // Where nobody is left to be told, the log is the only place.
        let client = self.queries.get(id).and_then(|query| query.client);
        let client = client.and_then(|client| self.clients.get(client));
        let level = match client.is_none_or(|client| client.stream.hung_up()) {
            true => log::Level::Error,
            false => log::Level::Warn,
        };
        log::log!(level, "{}: {text}: {}", self.subject(id), self.line(id));
        let sentence = format!("{BEFORE}{}: {text}", Fate::NotDelivered.words());
        self.command_ended(id, Some(Failure::new(refusal.to_vec(), sentence)));
    }

    /// The channel of a command was lost. Not written, it may go on another one;
    /// refused before the end, its fate is known.
    pub(super) fn lose_command(&mut self, id: QueryId, written: bool, refusal: &[u8]) -> Owed {
        if !refusal.is_empty() {
            self.command_consumed(id, refusal);
            return Owed::Nothing;
        }
        if written {
            return Owed::Unknown;
        }
        if let Some(query) = self.queries.get_mut(id) {
            query.stage = Stage::Waiting;
        }
        Owed::All
    }

    /// The policy gives a command up.
    pub(super) fn refuse_command(&mut self, site: SiteId, id: QueryId, refusal: &Refusal) {
        let was_lost = matches!(refusal, Refusal::MayHaveBeenDelivered(_));
        let fate = match was_lost || self.is_written(id) {
            true => Fate::Unknown,
            false => Fate::NotDelivered,
        };
        self.count_end(id, fate.counter());
        let text = refusal.text(self.site_name(site));
        self.command_failed(id, fate, &text);
    }

    /// The site of a command is dead. The command stays, unless somebody waits
    /// for its end.
    pub(super) fn hold_command(&mut self, site: SiteId, id: QueryId, refusal: &Refusal) {
        let text = refusal.text(self.site_name(site));
        let Some(query) = self.queries.get_mut(id) else {
            return;
        };
        query.stage = Stage::Held(text);
        if let Some(client) = query.client {
            self.client_is_ready(client);
        }
    }

    /// Somebody waits for the end of a command that is held.
    pub(super) fn give_up_command(&mut self, id: QueryId) {
        let Some(query) = self.queries.get_mut(id) else {
            return;
        };
        let site = query.site;
        if let Stage::Held(text) = std::mem::replace(&mut query.stage, Stage::Waiting) {
            self.count_end(id, Counter::CommandsNotDelivered);
            self.command_failed(id, Fate::NotDelivered, &text);
            self.tell(site, Input::Withdrawn(id));
            self.run_policy();
        }
    }

    /// A command that did not even become a query.
    pub(super) fn command_not_taken(&mut self, id: ClientId, request: &Request, why: &str) {
        let line = request.first_line();
        log::error!("command was not delivered: {why}: {line}");
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        client.add_failure(failure(Fate::NotDelivered, why));
        let site = client.site;
        self.count(site, Counter::CommandsNotDelivered);
    }

    /// Another proxy, to which the command was given, tells that it has failed.
    pub(super) fn command_failed_elsewhere(&mut self, id: QueryId, fate: Fate, why: &str) {
        if fate == Fate::NotDelivered && is_of_core(why) {
            return self.command_consumed(id, format!("{why}\n").as_bytes());
        }
        self.count_end(id, fate.counter());
        self.command_failed(id, fate, why);
    }

    /// A command where only reading is allowed.
    pub(super) fn command_forbidden(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        let site = client.site;
        client.rest(self.now);
        client.add_failure(failure(Fate::NotDelivered, READ_ONLY));
        self.count(site, Counter::Queries);
        self.count(site, Counter::CommandsNotDelivered);
        self.tell_of_command(site, READ_ONLY);
    }

    fn command_failed(&mut self, id: QueryId, fate: Fate, why: &str) {
        log::error!(
            "{}: command {}: {why}: {}",
            self.subject(id),
            fate.words(),
            self.line(id)
        );
        self.command_ended(id, Some(failure(fate, why)));
    }

    /// Nothing more will become of the command; its client goes on.
    fn command_ended(&mut self, id: QueryId, failure: Option<Failure>) {
        let client = self.queries.get(id).and_then(|query| query.client);
        self.end_query(id);
        let Some(id) = client else { return };
        if let Some(client) = self.clients.get_mut(id)
            && let Some(failure) = failure
        {
            client.add_failure(failure);
        }
        self.client_is_ready(id);
    }

    /// Whether any of the command has left the process.
    fn is_written(&self, id: QueryId) -> bool {
        let Some(query) = self.queries.get(id) else {
            return false;
        };
        let Stage::Sent { channel, .. } = query.stage else {
            return false;
        };
        let exchange = self.channels.get(channel).and_then(|c| c.exchange());
        exchange
            .is_some_and(|exchange| exchange.purpose == Purpose::Command(id) && exchange.sent > 0)
    }

    /// The site of a query, for the log.
    fn subject(&self, id: QueryId) -> String {
        let site = self.queries.get(id).map(|query| query.site);
        format!("site {}", site.map_or("", |site| self.site_name(site)))
    }

    /// The command's own line, for the log.
    fn line(&self, id: QueryId) -> String {
        let query = self.queries.get(id);
        query.map_or_else(String::new, |query| query.request.first_line())
    }
}

fn failure(fate: Fate, why: &str) -> Failure {
    let told = response::own(BAD_GATEWAY, why, false);
    Failure::new(told, format!("{BEFORE}{}: {why}", fate.words()))
}
