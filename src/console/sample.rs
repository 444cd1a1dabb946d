//! A small daemon that does not exist: rows for tests and for fuzzing.

use crate::counters::Counter;
use crate::report::{ChannelReport, ClientReport, DaemonReport, Event, Report, SiteReport};
use std::collections::VecDeque;
use std::time::Duration;

/// When it is there.
const NOW: f64 = 1_795_198_323.25;

/// Three sites, of which one is dead and one refused, with texts that could
/// break lines.
pub fn sample() -> (Report, VecDeque<Event>) {
    let report = Report {
        now: NOW,
        daemon: DaemonReport {
            pid: 4711,
            started: NOW - 3_600.0,
            configured: NOW - 600.0,
            config_error: "liveproxy.mk:3:7: not a number\nliveproxy.mk:9:1: no bracket".into(),
            config_error_since: NOW - 60.0,
            config_in_part: false,
            restart_error: String::new(),
            request_memory: 120,
            response_memory: 4_096,
            response_memory_limit: 134_217_728,
            answer_memory: 0,
        },
        sites: vec![ber(), muc(), xxx()],
        channels: vec![ChannelReport {
            site: "muc".into(),
            number: 1,
            state: "busy",
            since: NOW - 0.5,
            opened: NOW - 300.0,
            descriptor: 9,
            address: "10.1.1.2:6557".into(),
            queries: 17,
            client: 5,
            request: "GET hosts".into(),
        }],
        clients: vec![ClientReport {
            number: 5,
            site: "muc".into(),
            state: "wait_for_response",
            since: NOW - 0.5,
            connected: NOW - 30.0,
            descriptor: 12,
            pid: 815,
            uid: 1_000,
            channel: 1,
            requests: 3,
            request: "GET hosts".into(),
        }],
    };
    let event = Event {
        number: 1,
        time: NOW - 12.0,
        site: "ber".into(),
        from: "ready",
        to: "dead",
        cause: "Connection refused".into(),
        lasted: Duration::from_millis(1_500),
    };
    (report, VecDeque::from([event]))
}

fn ber() -> SiteReport {
    SiteReport {
        name: "ber".into(),
        state: "dead",
        reason: "Connection refused".into(),
        since: NOW - 12.0,
        address: "tcp:10.1.1.1:6557".into(),
        channels_configured: 10,
        last_failed_connect: NOW - 1.0,
        last_failed_error: "said \"no\\never\";\x1b[2J\n".into(),
        last_death: NOW - 12.0,
        ..SiteReport::default()
    }
}

fn muc() -> SiteReport {
    let mut site = SiteReport {
        name: "muc".into(),
        state: "ready",
        since: NOW - 300.0,
        address: "tcp:München:6557".into(),
        channels_configured: 10,
        channels_open: 4,
        channels_busy: 1,
        channels_limit: 4,
        clients: 1,
        program_version: "1.5.2-naemon".into(),
        heartbeat_typical: Duration::from_micros(12_345),
        heartbeat_out: Some(0.25),
        ..SiteReport::default()
    };
    site.counters.add_many(Counter::Queries, 17);
    site.response_times.add(Duration::from_millis(3));
    site.response_times.add(Duration::from_millis(30));
    site
}

fn xxx() -> SiteReport {
    SiteReport {
        name: "xxx".into(),
        state: "refused",
        reason: "channels: 0 is less than 1".into(),
        ..SiteReport::default()
    }
}
