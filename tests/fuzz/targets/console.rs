//! The language of the control socket.

use liveproxyd::console::{MAX_ANSWER, answer, exercise, sample};

pub const WORDS: &[&str] = &[
    "GET status\n",
    "GET sites\n",
    "GET channels\n",
    "GET clients\n",
    "GET events\n",
    "GET columns\n",
    "Columns: name state\n",
    "Filter: name = muc\n",
    "Filter: queries > 3\n",
    "Filter: name ~ (a|b)*\n",
    "Filter: name !~~ M[u-w]c\n",
    "Filter: response_times >= 3\n",
    "And: 2\n",
    "Or: 2\n",
    "Negate:\n",
    "Stats: state = ready\n",
    "Stats: sum queries\n",
    "Stats: avg heartbeat_typical\n",
    "StatsAnd: 2\n",
    "StatsNegate:\n",
    "OrderBy: name desc\n",
    "Sort: since asc\n",
    "Limit: 1\n",
    "Offset: 18446744073709551615\n",
    "OutputFormat: json\n",
    "OutputFormat: python\n",
    "ColumnHeaders: on\n",
    "Separators: 10 59 44 124\n",
    "COMMAND [1795198323] DISABLE_SITE;muc;work",
    "COMMAND RELOAD",
    "-9223372036854775808",
    "1e308",
    "\n",
];

pub fn run(input: &[u8]) {
    exercise(input);
    let request = String::from_utf8_lossy(input);
    let lines = request.split('\n').map(str::trim_end);
    let lines: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
    let headers = lines.join("\n");
    let (report, events) = sample();
    let ask = |format: &str| {
        let request = format!("{headers}\nOutputFormat: {format}\n\n");
        answer(MAX_ANSWER, request.as_bytes(), &report, &events)
    };
    let (json, csv) = (ask("json"), ask("csv"));
    assert_eq!(json.code, csv.code, "one format is refused");
    if json.code != 200 {
        return;
    }
    let rows: Vec<Vec<serde_json::Value>> =
        serde_json::from_slice(&json.body).expect("not a list of lists");
    let is_known = |value: &serde_json::Value| !value.is_null() && !value.is_boolean();
    assert!(rows.iter().flatten().all(is_known), "null or a truth");
    // Other separators may be anything.
    if !headers.contains("Separators") {
        let lines = csv.body.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(lines, rows.len(), "the formats have different rows");
    }
}
