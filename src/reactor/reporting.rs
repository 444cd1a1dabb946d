//! What is counted and remembered of the sites, and how everything is gathered
//! for those who show it.

use super::Reactor;
use super::exchange::shown;
use super::site::{Service, SiteEntry};
use crate::channel::{self, Channel, Purpose};
use crate::client::{self, Client};
use crate::counters::Counter;
use crate::ids::{ChannelId, QueryId, SiteId};
use crate::pool::{Change, Loss, State, Vitals};
use crate::query::{Query, Stage};
use crate::report::{ChannelReport, ClientReport, DaemonReport, Event, Report, SiteReport};
use crate::sys;
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

/// So many changes of state are remembered.
const MOST_EVENTS: usize = 1000;

/// What a site says of itself in the answer to a heartbeat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Greeting {
    program_start: u64,
    program_version: String,
    livestatus_version: String,
    /// As it came; empty if it is too long to be one.
    body: Vec<u8>,
}

/// A greeting is no longer than this.
const LONGEST_GREETING: usize = 1000;

/// Of a version, so much is remembered.
const LONGEST_VERSION: usize = 100;

impl Greeting {
    pub(super) fn of_heartbeat(body: &[u8]) -> Greeting {
        let text = shown(body);
        let mut fields = text.split(';');
        let mut next = || fields.next().unwrap_or_default().trim();
        let start = next();
        let version = |text: &str| text.chars().take(LONGEST_VERSION).collect();
        Greeting {
            // Some cores give it with a fraction.
            program_start: start
                .split('.')
                .next()
                .unwrap_or_default()
                .parse()
                .unwrap_or(0),
            program_version: version(next()),
            livestatus_version: version(next()),
            body: match body.len() {
                ..=LONGEST_GREETING => body.to_vec(),
                _ => Vec::new(),
            },
        }
    }

    /// The answer to the last heartbeat, if there is one.
    pub(super) fn body(&self) -> Option<&[u8]> {
        (!self.body.is_empty()).then_some(self.body.as_slice())
    }
}

/// What went wrong with a site, and when.
#[derive(Debug)]
pub(super) struct History {
    last_reset: Instant,
    last_failed_connect: Option<(Instant, String)>,
    last_death: Option<Instant>,
}

impl History {
    /// Its channels are begun anew.
    pub(super) fn reset(&mut self, now: Instant) {
        self.last_reset = now;
    }

    /// When its channels were last begun anew.
    pub(super) fn began(&self) -> Instant {
        self.last_reset
    }

    pub(super) fn new(now: Instant) -> History {
        History {
            last_reset: now,
            last_failed_connect: None,
            last_death: None,
        }
    }
}

impl Reactor {
    /// Notes how the configuration was taken in; an error is one line for a person.
    pub fn note_configured(&mut self, result: Result<(), String>) {
        let now = sys::since_epoch().as_secs_f64();
        match result {
            Ok(()) => (self.configured, self.config_error) = (now, None),
            Err(text) => (self.tried, self.config_error) = (now, Some(text)),
        }
    }

    /// One more.
    pub(super) fn count(&mut self, site: SiteId, counter: Counter) {
        if let Some(entry) = self.sites.get_mut(site) {
            entry.counters.add(counter);
        }
    }

    /// What has become of a query. Only the first that is said of it counts, so
    /// that queries and what became of them always balance.
    pub(super) fn count_end(&mut self, id: QueryId, counter: Counter) {
        let Some(query) = self.queries.get_mut(id) else {
            return;
        };
        if !std::mem::replace(&mut query.is_counted, true) {
            let site = query.site;
            self.count(site, counter);
        }
    }

    /// The whole response of a query is there.
    pub(super) fn count_answer(&mut self, id: QueryId) {
        let Some(query) = self.queries.get(id) else {
            return;
        };
        let took = self
            .now
            .saturating_duration_since(query.sent.unwrap_or(self.now));
        if let Some(entry) = self.sites.get_mut(query.site) {
            entry.response_times.add(took);
        }
        self.count_end(id, Counter::Answered);
    }

    /// The exchange on a channel has come to its end.
    pub(super) fn count_sent(&mut self, id: ChannelId) {
        let Some(channel) = self.channels.get(id) else {
            return;
        };
        let sent = channel.exchange().map_or(0, |exchange| exchange.sent);
        if let Some(entry) = self.sites.get_mut(channel.site) {
            entry.counters.add_many(Counter::BytesOut, sent as u64);
        }
    }

    /// A channel has ended, perhaps in the middle of an exchange.
    pub(super) fn count_written(&mut self, channel: &Channel) {
        let sent = channel.exchange().map_or(0, |exchange| exchange.sent);
        if let Some(entry) = self.sites.get_mut(channel.site) {
            entry.counters.add_many(Counter::BytesOut, sent as u64);
        }
    }

    /// A channel has ended.
    pub(super) fn count_loss(&mut self, channel: &Channel, loss: &Loss) {
        let Some(entry) = self.sites.get_mut(channel.site) else {
            return;
        };
        if let Loss::Missed(_) = loss {
            entry.counters.add(Counter::HeartbeatsMissed);
        }
        let is_ours = matches!(loss, Loss::NotNeeded | Loss::SiteDead);
        if !channel.is_proved && channel.queries == 0 && !is_ours {
            entry.counters.add(Counter::ConnectsFailed);
            entry.history.last_failed_connect = Some((self.now, loss.to_string()));
        }
    }

    /// Remembers a change of a site's state.
    pub(super) fn note_change(&mut self, site: SiteId, change: &Change) {
        let Some(entry) = self.sites.get_mut(site) else {
            return;
        };
        match change.to {
            State::Dead => {
                entry.counters.add(Counter::Deaths);
                entry.history.last_death = Some(self.now);
            }
            State::Ready if change.from == State::Dead => entry.history.last_reset = self.now,
            State::Ready | State::Busy | State::Starting => {}
        }
        if entry.disabled.is_some() {
            // It is shown as disabled, whatever becomes of its last channels.
            return;
        }
        let name = entry.name.clone();
        let cause = change.cause.as_ref().map(Loss::to_string);
        self.remember(Event {
            site: name,
            from: change.from.name(),
            to: change.to.name(),
            cause: cause.unwrap_or_default(),
            lasted: change.lasted,
            ..Event::default()
        });
    }

    pub(super) fn remember(&mut self, event: Event) {
        self.events_so_far += 1;
        if self.events.len() == MOST_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(Event {
            number: self.events_so_far,
            time: sys::since_epoch().as_secs_f64(),
            ..event
        });
    }

    /// How everything is at this moment.
    pub fn report(&self) -> Report {
        let clock = Clock {
            instant: self.now,
            time: sys::since_epoch().as_secs_f64(),
        };
        let mut sites = Vec::with_capacity(self.sites.len());
        let mut channels = Vec::with_capacity(self.channels.len());
        let mut slow_readers = BTreeMap::new();
        for (_, query) in self.queries.iter() {
            if let Stage::Answered { .. } = query.stage {
                *slow_readers.entry(query.site).or_default() += 1;
            }
        }
        for (id, entry) in self.sites.iter() {
            if !entry.is_shown() {
                continue;
            }
            let mut report = entry.report(clock);
            report.slow_readers = slow_readers.get(&id).copied().unwrap_or_default();
            sites.push(report);
            let of_site = entry.channels.iter().flatten();
            let known = of_site.filter_map(|id| self.channels.get(*id));
            channels.extend(known.map(|channel| self.report_channel(channel, &entry.name, clock)));
        }
        sites.sort_by(|a, b| a.name.cmp(&b.name));
        channels.sort_by(|a, b| (&a.site, a.number).cmp(&(&b.site, b.number)));
        let clients = self.clients.iter();
        let mut clients: Vec<ClientReport> = clients
            .map(|(_, client)| self.report_client(client, clock))
            .collect();
        clients.sort_by_key(|client| client.number);
        Report {
            now: clock.time,
            daemon: DaemonReport {
                pid: std::process::id(),
                started: clock.at(self.started),
                configured: self.configured,
                config_error: self.config_error.clone().unwrap_or_default(),
                config_error_since: self.config_error.as_ref().map_or(0.0, |_| self.tried),
                request_memory: self.requests.taken(),
                response_memory: self.responses.taken(),
                response_memory_limit: self.responses.limit(),
            },
            sites,
            channels,
            clients,
        }
    }

    /// The last changes of sites' states, the oldest first.
    pub fn events(&self) -> &VecDeque<Event> {
        &self.events
    }

    fn report_channel(&self, channel: &Channel, site: &str, clock: Clock) -> ChannelReport {
        let exchange = channel.exchange();
        let state = match (&channel.state, exchange.map(|exchange| exchange.purpose)) {
            (channel::State::New | channel::State::LookingUp, _) => "connecting",
            (channel::State::Connecting(..), _) => "connecting",
            (channel::State::Idle(_), _) => "ready",
            (channel::State::Busy(..), Some(Purpose::Heartbeat) | None) => "heartbeat",
            (channel::State::Busy(..), Some(Purpose::Query(_) | Purpose::Command(_))) => "busy",
        };
        let query = exchange.and_then(|exchange| exchange.purpose.query());
        let query = query.and_then(|query| self.queries.get(query));
        let client = query.and_then(|query| self.clients.get(query.client?));
        ChannelReport {
            site: site.into(),
            number: channel.no.index(),
            state,
            since: clock.at(channel.since),
            opened: clock.at(channel.opened),
            descriptor: channel.stream().map_or(-1, |stream| stream.descriptor()),
            address: channel.address.map_or_else(String::new, |a| a.to_string()),
            queries: channel.queries,
            client: client.map_or(0, |client| client.number),
            request: query.map_or_else(String::new, first_line),
        }
    }

    fn report_client(&self, client: &Client, clock: Clock) -> ClientReport {
        let query = match client.state {
            client::State::Asking(query) => self.queries.get(query),
            client::State::Securing { .. }
            | client::State::Reading { .. }
            | client::State::Leaving { .. } => None,
        };
        let (state, since) = match (&client.state, query.map(|query| &query.stage)) {
            (client::State::Securing { .. }, _) => ("handshake", client.rested()),
            (client::State::Leaving { .. }, _) => ("leaving", client.rested()),
            (client::State::Reading { since: Some(since) }, _) => ("reading", *since),
            (client::State::Reading { since: None }, _) | (_, None) => ("idle", client.rested()),
            (_, Some(Stage::Waiting | Stage::Held(_))) => ("wait_for_channel", client.rested()),
            (_, Some(Stage::Sent { .. })) => ("wait_for_response", client.rested()),
            (_, Some(Stage::Answered { .. })) => ("response", client.rested()),
        };
        let since = query.map_or(since, |query| query.sent.unwrap_or(query.arrived));
        let channel = query.and_then(|query| match query.stage {
            Stage::Sent { channel, .. } => self.channels.get(channel),
            Stage::Waiting | Stage::Held(_) | Stage::Answered { .. } => None,
        });
        let peer = client.stream.peer();
        let entry = self.sites.get(client.site).filter(|entry| entry.is_shown());
        ClientReport {
            number: client.number,
            site: entry.map_or_else(String::new, |entry| entry.name.clone()),
            state,
            since: clock.at(since),
            connected: clock.at(client.connected),
            descriptor: client.stream.descriptor(),
            pid: peer.map_or(0, |peer| peer.pid),
            uid: peer.map_or(-1, |peer| i64::from(peer.uid)),
            channel: channel.map_or(-1, |channel| i64::from(channel.no.0)),
            requests: client.requests,
            request: query.map_or_else(String::new, first_line),
        }
    }
}

/// From the loop's time to that of the calendar.
#[derive(Debug, Clone, Copy)]
struct Clock {
    instant: Instant,
    time: f64,
}

impl Clock {
    fn at(self, instant: Instant) -> f64 {
        match self.instant.checked_duration_since(instant) {
            Some(ago) => self.time - ago.as_secs_f64(),
            None => self.time + self.until(instant),
        }
    }

    /// Seconds until then; below 0 if it is over.
    fn until(self, instant: Instant) -> f64 {
        match instant.checked_duration_since(self.instant) {
            Some(left) => left.as_secs_f64(),
            None => -self.instant.duration_since(instant).as_secs_f64(),
        }
    }
}

impl SiteEntry {
    fn report(&self, clock: Clock) -> SiteReport {
        let history = &self.history;
        let at = |instant: Option<Instant>| instant.map_or(0.0, |instant| clock.at(instant));
        let failed = history.last_failed_connect.as_ref();
        let mut report = SiteReport {
            name: self.name.clone(),
            state: "refused",
            since: clock.at(history.last_reset),
            socket: self.listener.as_ref().map_or_else(String::new, |listener| {
                listener.path().display().to_string()
            }),
            clients: self.clients,
            memory: self.memory.held(),
            program_version: self.greeting.program_version.clone(),
            livestatus_version: self.greeting.livestatus_version.clone(),
            program_start: self.greeting.program_start,
            last_reset: clock.at(history.last_reset),
            last_failed_connect: at(failed.map(|(at, _)| *at)),
            last_failed_error: failed.map_or_else(String::new, |(_, words)| words.clone()),
            last_death: at(history.last_death),
            counters: self.counters.clone(),
            response_times: self.response_times.clone(),
            waiting_times: self.waiting_times.clone(),
            ..SiteReport::default()
        };
        match &self.service {
            Service::Unusable(why) => report.reason.clone_from(why),
            Service::Console => {}
            Service::Pooled(pooled) => {
                let Vitals {
                    state,
                    cause,
                    since,
                    open,
                    busy,
                    limit,
                    waiting,
                    oldest,
                    typical,
                    last,
                    timeout,
                    next_beat,
                    beating,
                } = pooled.policy.vitals();
                report.address = pooled.config.address.to_string();
                report.channels_configured = pooled.config.channels;
                report.state = state.name();
                report.reason = cause.map_or_else(String::new, |cause| cause.to_string());
                report.since = clock.at(since);
                report.channels_open = open;
                report.channels_busy = busy;
                report.channels_limit = limit.unwrap_or(0);
                report.waiting = waiting;
                report.oldest_wait = oldest.map_or_else(Default::default, |oldest| {
                    clock.instant.saturating_duration_since(oldest)
                });
                report.heartbeat_typical = typical;
                report.heartbeat_last = last;
                report.heartbeat_timeout = timeout;
                report.next_heartbeat = clock.until(next_beat);
                report.heartbeat_out = beating.map(|since| {
                    let out = clock.instant.saturating_duration_since(since);
                    out.as_secs_f64()
                });
            }
        }
        if let Some(disabled) = &self.disabled {
            report.state = "disabled";
            report.reason.clone_from(&disabled.reason);
            report.since = clock.at(disabled.since);
        }
        report
    }
}

fn first_line(query: &Query) -> String {
    let bytes = &query.request.bytes;
    shown(
        bytes
            .split(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_is_read_from_the_answer_to_a_heartbeat_whatever_it_is() {
        let greeting = Greeting::of_heartbeat(b"1700000000;Check_MK 2.3.0p1;2.3.0p1\n");
        assert_eq!(greeting.program_start, 1_700_000_000);
        assert_eq!(greeting.program_version, "Check_MK 2.3.0p1");
        assert_eq!(greeting.livestatus_version, "2.3.0p1");
        assert_eq!(
            Greeting::of_heartbeat(b"1700000000.25;x").program_start,
            1_700_000_000
        );
        assert_eq!(Greeting::of_heartbeat(b"\xff;;;;").program_start, 0);
        assert_eq!(Greeting::of_heartbeat(&[b'x'; 1001]).body(), None);
        assert_eq!(Greeting::of_heartbeat(b""), Greeting::default());
    }
}
