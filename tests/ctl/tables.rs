//! Tables as the daemon fills them. Must not know sockets.

use liveproxyd::counters::{CLASSES, COUNTERS};
use serde_json::{Value, json};

/// When everything in the tests happens: the daemon's time of day.
pub const NOW: u64 = 1_795_198_323;

/// One row: names and values in the daemon's order.
pub type Row = Vec<(&'static str, Value)>;

/// Replaces values of a row; each must be one that is there.
#[track_caller]
pub fn with<const N: usize>(mut row: Row, values: [(&str, Value); N]) -> Row {
    for (name, value) in values {
        let place = row.iter_mut().find(|(column, _)| *column == name);
        place.unwrap_or_else(|| panic!("no column {name}")).1 = value;
    }
    row
}

/// The only row of the table `status`.
pub fn status() -> Row {
    vec![
        ("program_start", json!(NOW - 90_000)),
        ("program_version", json!("liveproxyd 0.1.0")),
        ("livestatus_version", json!("0.1.0")),
        // Higher than any process can be.
        ("pid", json!(2_000_000_001)),
        ("now", json!(NOW)),
        ("last_reload", json!(NOW - 600)),
        ("config_error", json!("")),
        ("config_error_since", json!(0)),
        ("config_in_part", json!(0)),
        ("restart_error", json!("")),
        ("request_memory", json!(120)),
        ("response_memory", json!(1_572_864)),
        ("response_memory_limit", json!(134_217_728)),
    ]
}

/// A site that is well and has done nothing yet.
pub fn site(name: &str) -> Row {
    let mut row: Row = vec![
        ("name", json!(name)),
        ("state", json!("ready")),
        ("reason", json!("")),
        ("since", json!(NOW - 300)),
        ("address", json!(format!("tcp:{name}:6557"))),
        ("channels_configured", json!(10)),
        ("channels_open", json!(10)),
        ("channels_busy", json!(0)),
        ("channels_limit", json!(0)),
        ("clients", json!(0)),
        ("waiting", json!(0)),
        ("oldest_wait", json!(0.0)),
        ("slow_readers", json!(0)),
        ("memory", json!(0)),
        ("program_version", json!("1.4.1")),
        ("livestatus_version", json!("1.4.1-naemon")),
        ("heartbeat_typical", json!(0.012)),
        ("heartbeat_last", json!(0.013)),
    ];
    row.extend(COUNTERS.iter().map(|counter| (counter.name, json!(0))));
    row.extend([
        ("response_time_p90", json!(0.0)),
        ("response_time_sum", json!(0.0)),
        ("response_time_count", json!(0)),
        ("response_time_buckets", json!(vec![0; CLASSES.len()])),
        ("waiting_time_sum", json!(0.0)),
        ("waiting_time_count", json!(0)),
        ("waiting_time_buckets", json!(vec![0; CLASSES.len()])),
    ]);
    row
}

/// One site that is well and at work, one that is dead, one that has too much to do, one that is disabled.
pub fn four_sites() -> Vec<Row> {
    vec![
        with(
            site("ber"),
            [
                ("state", json!("dead")),
                ("reason", json!("Connection refused")),
                ("since", json!(NOW - 83)),
                ("channels_open", json!(0)),
                ("queries", json!(5)),
                ("queries_refused_unreachable", json!(5)),
            ],
        ),
        with(
            site("ham"),
            [
                ("state", json!("disabled")),
                ("reason", json!("planned work")),
                ("channels_open", json!(0)),
            ],
        ),
        with(
            site("muc"),
            [
                ("channels_busy", json!(4)),
                ("clients", json!(6)),
                ("queries", json!(12_345)),
                ("queries_answered", json!(12_340)),
                ("response_time_p90", json!(0.0421)),
                ("response_time_sum", json!(61.5)),
                ("response_time_count", json!(3)),
                (
                    "response_time_buckets",
                    json!([0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2]),
                ),
                ("bytes_in", json!(9_007_199_254_740_993_u64)),
            ],
        ),
        with(
            site("par"),
            [
                ("state", json!("busy")),
                ("reason", json!("All 5 channels busy")),
                ("since", json!(NOW - 3)),
                ("channels_open", json!(5)),
                ("channels_busy", json!(5)),
                ("channels_limit", json!(5)),
                ("clients", json!(40)),
                ("waiting", json!(35)),
                ("queries", json!(400)),
                ("queries_answered", json!(300)),
                ("queries_refused_busy", json!(100)),
            ],
        ),
    ]
}

/// A channel at work.
pub fn channel() -> Row {
    vec![
        ("site", json!("muc")),
        ("number", json!(3)),
        ("state", json!("busy")),
        ("since", json!(NOW - 2)),
        ("opened", json!(NOW - 300)),
        ("descriptor", json!(9)),
        ("address", json!("10.1.1.2:6557")),
        ("queries", json!(1_234)),
        ("client", json!(17)),
        ("request", json!("GET hosts")),
    ]
}

/// The client it works for.
pub fn client() -> Row {
    vec![
        ("number", json!(17)),
        ("site", json!("muc")),
        ("state", json!("wait_for_response")),
        ("since", json!(NOW - 2)),
        ("connected", json!(NOW - 30)),
        ("descriptor", json!(12)),
        ("pid", json!(815)),
        ("uid", json!(33)),
        ("channel", json!(3)),
        ("requests", json!(4)),
        ("request", json!("GET hosts")),
    ]
}

/// A change of state.
pub fn event(number: u64, site: &str, from: &str, to: &str, cause: &str) -> Row {
    vec![
        ("number", json!(number)),
        ("time", json!(NOW - 100 + number)),
        ("site", json!(site)),
        ("from", json!(from)),
        ("to", json!(to)),
        ("cause", json!(cause)),
        ("lasted", json!(12.25)),
    ]
}

/// A table in `OutputFormat: json` with its column headers. Without a row no column is known.
pub fn rendered(rows: &[Row]) -> String {
    let columns = |row: &Row| row.iter().map(|(name, _)| json!(name)).collect();
    let mut lines: Vec<Value> = vec![rows.first().map_or(json!([]), columns)];
    lines.extend(
        rows.iter()
            .map(|row| row.iter().map(|(_, value)| value.clone()).collect()),
    );
    format!("{}\n", Value::Array(lines))
}
