//! The table `sites`.

use super::column::{Column, float, int, list, seconds, text, time};
use super::tables::counters;
use crate::counters::Histogram;
use crate::report::SiteReport;

/// The table `sites`.
pub(super) fn sites() -> Vec<Column<SiteReport>> {
    let mut columns = vec![
        text("name", "Its name.", |site: &SiteReport| &site.name),
        text(
            "state",
            "One of starting, ready, busy, dead, disabled, and refused if its configuration is wrong.",
            |site| site.state,
        ),
        text(
            "reason",
            "Why it is in that state, where there is a reason to be given.",
            |site| &site.reason,
        ),
        time("since", "Since when it is in that state.", |site| {
            site.since
        }),
        text(
            "address",
            "Where it is reached: tcp:HOST:PORT or unix:PATH.",
            |site| &site.address,
        ),
        text("socket", "The socket on which it is offered.", |site| {
            &site.socket
        }),
        int(
            "channels_configured",
            "Channels that are to be kept open.",
            |site| site.channels_configured as u64,
        ),
        int(
            "channels_open",
            "Channels that serve or can serve.",
            |site| site.channels_open as u64,
        ),
        int("channels_busy", "Of these, channels at work.", |site| {
            site.channels_busy as u64
        }),
        int(
            "channels_limit",
            "The most channels it gets because it did not answer on more; 0 if it gets all.",
            |site| site.channels_limit as u64,
        ),
        int("clients", "Clients that are connected.", |site| {
            site.clients as u64
        }),
        int("waiting", "Queries that wait for a channel.", |site| {
            site.waiting as u64
        }),
        float(
            "oldest_wait",
            "How long the first of them has waited, in seconds.",
            |site| seconds(site.oldest_wait),
        ),
        int(
            "slow_readers",
            "Clients that have not taken all of a response that is there.",
            |site| site.slow_readers as u64,
        ),
        int(
            "memory",
            "Bytes of responses that are held for its clients.",
            |site| site.memory as u64,
        ),
        text(
            "program_version",
            "What runs there, as it says itself.",
            |site| &site.program_version,
        ),
        text(
            "livestatus_version",
            "The version of Livestatus there, as it says itself.",
            |site| &site.livestatus_version,
        ),
        time(
            "program_start",
            "When the core there was started, as it says itself.",
            |site| site.program_start as f64,
        ),
        time(
            "last_reset",
            "When its channels were last begun anew, after its death or at the start.",
            |site| site.last_reset,
        ),
        time(
            "last_failed_connect",
            "When an attempt to open a channel failed last; 0 if never.",
            |site| site.last_failed_connect,
        ),
        text("last_failed_error", "Why that attempt failed.", |site| {
            &site.last_failed_error
        }),
        time("last_death", "When it died last; 0 if never.", |site| {
            site.last_death
        }),
        float(
            "heartbeat_typical",
            "The median time of its last heartbeats, in seconds.",
            |site| seconds(site.heartbeat_typical),
        ),
        float(
            "heartbeat_last",
            "The time of its last heartbeat, in seconds.",
            |site| seconds(site.heartbeat_last),
        ),
        float(
            "heartbeat_timeout",
            "How long a heartbeat may take, in seconds.",
            |site| seconds(site.heartbeat_timeout),
        ),
        float(
            "next_heartbeat",
            "Seconds until the next heartbeat; below 0 if one is overdue.",
            |site| site.next_heartbeat,
        ),
        float(
            "heartbeat_out",
            "For how many seconds a heartbeat has been out; -1 if none is.",
            |site| site.heartbeat_out.unwrap_or(-1.0),
        ),
    ];
    columns.extend(counters(|site: &SiteReport, counter| {
        site.counters.get(counter)
    }));
    columns.extend(response_times());
    columns.extend(waiting_times());
    columns
}

fn response_times() -> [Column<SiteReport>; 6] {
    [
        float(
            "response_time_p50",
            "Half of all responses were complete within this time after their query was sent, in seconds; an estimate.",
            |site| seconds(site.response_times.quantile(0.5)),
        ),
        float(
            "response_time_p90",
            "The same for 90 % of all responses.",
            |site| seconds(site.response_times.quantile(0.9)),
        ),
        float(
            "response_time_p99",
            "The same for 99 % of all responses.",
            |site| seconds(site.response_times.quantile(0.99)),
        ),
        float(
            "response_time_sum",
            "The times of all responses together, in seconds.",
            |site| seconds(site.response_times.sum()),
        ),
        int(
            "response_time_count",
            "Responses whose time was taken.",
            |site| site.response_times.count(),
        ),
        list(
            "response_time_buckets",
            "For each class of status.time_classes, the responses that took no longer.",
            |site| buckets(&site.response_times),
        ),
    ]
}

fn waiting_times() -> [Column<SiteReport>; 6] {
    [
        float(
            "waiting_time_p50",
            "Half of all queries were sent within this time after they had arrived, in seconds; an estimate.",
            |site| seconds(site.waiting_times.quantile(0.5)),
        ),
        float(
            "waiting_time_p90",
            "The same for 90 % of all queries.",
            |site| seconds(site.waiting_times.quantile(0.9)),
        ),
        float(
            "waiting_time_p99",
            "The same for 99 % of all queries.",
            |site| seconds(site.waiting_times.quantile(0.99)),
        ),
        float(
            "waiting_time_sum",
            "The waiting times of all queries together, in seconds.",
            |site| seconds(site.waiting_times.sum()),
        ),
        int(
            "waiting_time_count",
            "Queries whose waiting time was taken.",
            |site| site.waiting_times.count(),
        ),
        list(
            "waiting_time_buckets",
            "For each class of status.time_classes, the queries that waited no longer.",
            |site| buckets(&site.waiting_times),
        ),
    ]
}

fn buckets(times: &Histogram) -> Vec<i64> {
    let counts = times.cumulated().map(|(_, count)| count);
    counts
        .map(|count| i64::try_from(count).unwrap_or(i64::MAX))
        .collect()
}
