//! How everything is gathered for those who show it.

use super::Reactor;
use super::site::{Service, SiteEntry};
use crate::channel::{self, Channel, Purpose};
use crate::client::{self, Client};
use crate::pool::Vitals;
use crate::query::Stage;
use crate::report::{ChannelReport, ClientReport, DaemonReport, Report, SiteReport};
use crate::sys;
use std::collections::BTreeMap;
use std::time::Instant;

impl Reactor {
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
        let fault = self.config_fault.as_ref();
        Report {
            now: clock.time,
            daemon: DaemonReport {
                pid: std::process::id(),
                started: clock.at(self.started),
                configured: self.configured,
                config_error: fault.map_or_else(String::new, |fault| fault.text.clone()),
                config_error_since: fault.map_or(0.0, |fault| fault.since),
                config_in_part: fault.is_some_and(|fault| fault.in_part),
                restart_error: self.restart_error.clone().unwrap_or_default(),
                request_memory: self.requests.taken(),
                response_memory: self.responses.taken(),
                response_memory_limit: self.responses.limit(),
                answer_memory: self.answers.taken(),
            },
            sites,
            channels,
            clients,
        }
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
            request: query.map_or_else(String::new, |query| query.request.first_line()),
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
            request: query.map_or_else(String::new, |query| query.request.first_line()),
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
