//! Each column gives the value that it names: all are different here.

use crate::console::*;
use crate::counters::COUNTERS;
use crate::report::{DaemonReport, SiteReport};
use std::time::Duration;

/// A site of which no two values are alike, but for the classes of times.
fn site() -> SiteReport {
    let mut site = SiteReport {
        name: "name".into(),
        state: "state",
        reason: "reason".into(),
        since: 101.0,
        address: "address".into(),
        socket: "socket".into(),
        channels_configured: 102,
        channels_open: 103,
        channels_busy: 104,
        channels_limit: 105,
        clients: 106,
        waiting: 107,
        oldest_wait: Duration::from_millis(1_080),
        slow_readers: 109,
        memory: 110,
        program_version: "program".into(),
        livestatus_version: "livestatus".into(),
        program_start: 111,
        last_reset: 112.0,
        last_failed_connect: 113.0,
        last_failed_error: "error".into(),
        last_death: 114.0,
        heartbeat_typical: Duration::from_millis(1_150),
        heartbeat_last: Duration::from_millis(1_160),
        heartbeat_timeout: Duration::from_millis(1_170),
        next_heartbeat: -1.18,
        heartbeat_out: Some(1.19),
        ..SiteReport::default()
    };
    for (number, declared) in (201..).zip(COUNTERS) {
        site.counters.add_many(declared.counter, number);
    }
    // Upper limits of three classes, at the quantiles.
    for (count, millis) in [(50, 1), (40, 10), (9, 100), (1, 1_000)] {
        for _ in 0..count {
            site.response_times.add(Duration::from_millis(millis));
            site.waiting_times.add(Duration::from_millis(millis * 2));
        }
    }
    site
}

/// The names and values of all columns of the first row.
fn named_values(table: &str, report: &Report) -> String {
    let request = format!("GET {table}\n\n");
    let Answer { code, body } = answer(MAX_ANSWER, request.as_bytes(), report, &VecDeque::new());
    let text = String::from_utf8(body).unwrap();
    assert_eq!(code, 200, "{text}");
    let mut lines = text.lines().map(|line| line.split(';'));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let pairs = names
        .zip(values)
        .map(|(name, value)| format!("{name} {value}\n"));
    pairs.collect()
}

fn counters(factor: u64) -> String {
    let numbered = (201..).zip(COUNTERS);
    let lines = numbered
        .map(|(number, declared): (u64, _)| format!("{} {}\n", declared.name, number * factor));
    lines.collect()
}

#[test]
fn the_columns_of_sites_give_what_they_name() {
    let report = Report {
        sites: vec![site()],
        ..Report::default()
    };
    let before = "name name\nstate state\nreason reason\nsince 101\naddress address\nsocket socket\n\
        channels_configured 102\nchannels_open 103\nchannels_busy 104\nchannels_limit 105\n\
        clients 106\nwaiting 107\noldest_wait 1.080\nslow_readers 109\nmemory 110\n\
        program_version program\nlivestatus_version livestatus\nprogram_start 111\n\
        last_reset 112\nlast_failed_connect 113\nlast_failed_error error\nlast_death 114\n\
        heartbeat_typical 1.150\nheartbeat_last 1.160\nheartbeat_timeout 1.170\n\
        next_heartbeat -1.180\nheartbeat_out 1.190\n";
    let behind = "response_time_p50 0.001\nresponse_time_p90 0.010\nresponse_time_p99 0.100\n\
        response_time_sum 2.350\nresponse_time_count 100\n\
        response_time_buckets 50,50,50,90,90,90,99,99,99,100,100,100,100,100\n\
        waiting_time_p50 0.002\nwaiting_time_p90 0.020\nwaiting_time_p99 0.200\n\
        waiting_time_sum 4.700\nwaiting_time_count 100\n\
        waiting_time_buckets 0,50,50,50,90,90,90,99,99,99,100,100,100,100\n";
    let want = format!("{before}{}{behind}", counters(1));
    assert_eq!(named_values("sites", &report), want);
}

#[test]
fn the_columns_of_status_give_what_they_name() {
    let in_state = |state| SiteReport { state, ..site() };
    let report = Report {
        now: 301.9,
        daemon: DaemonReport {
            pid: 302,
            started: 303.0,
            configured: 304.0,
            config_error: "error".into(),
            config_error_since: 305.0,
            config_in_part: true,
            restart_error: "no".into(),
            request_memory: 306,
            response_memory: 307,
            response_memory_limit: 308,
            answer_memory: 309,
        },
        sites: ["starting", "ready", "busy", "dead", "disabled", "refused"]
            .into_iter()
            .enumerate()
            .flat_map(|(number, state)| vec![in_state(state); number + 1])
            .collect(),
        ..Report::default()
    };
    let version = env!("CARGO_PKG_VERSION");
    let before = format!(
        "program_start 303\nprogram_version liveproxyd {version}\nlivestatus_version {version}\n\
        pid 302\nnow 301\nlast_reload 304\nconfig_error error\nconfig_error_since 305\nconfig_in_part 1\nrestart_error no\n\
        request_memory 306\nresponse_memory 307\nresponse_memory_limit 308\nanswer_memory 309\nsites 21\n\
        sites_starting 1\nsites_ready 2\nsites_busy 3\nsites_dead 4\nsites_disabled 5\n\
        sites_refused 6\nchannels 0\nchannels_busy {}\nclients 0\nwaiting {}\nslow_readers {}\n\
        time_classes 1,2,5,10,20,50,100,200,500,1000,2000,5000,10000,60000\n",
        104 * 21,
        107 * 21,
        109 * 21
    );
    let want = format!("{before}{}", counters(21));
    assert_eq!(named_values("status", &report), want);
}
