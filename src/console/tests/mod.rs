//! What clients of the control socket get, byte for byte.

mod filters;
mod refusals;
mod values;

use super::*;

/// Our headers, where `proto::request` puts them.
const OURS: &str = "ResponseHeader: fixed16\nKeepAlive: on\n";

fn ask(table: &str, headers: &str) -> (u16, String) {
    let (report, events) = sample();
    let request = format!("GET {table}\n{OURS}{headers}\n");
    let Answer { code, body } = answer(MAX_ANSWER, request.as_bytes(), &report, &events);
    (code, String::from_utf8(body).unwrap())
}

fn rows(table: &str, headers: &str) -> String {
    let (code, body) = ask(table, headers);
    assert_eq!(code, 200, "{headers}: {body}");
    body
}

const SHOWN: &str = "Columns: name state clients heartbeat_typical\n\
    Columns: response_time_buckets last_failed_error address\n";

#[test]
fn csv_is_the_format_that_is_not_asked_for() {
    let want = "ber;dead;0;0.000;0,0,0,0,0,0,0,0,0,0,0,0,0,0;said \"no\\never\"; [2J ;tcp:10.1.1.1:6557\n\
        muc;ready;1;0.012;0,0,1,1,1,2,2,2,2,2,2,2,2,2;;tcp:München:6557\n\
        xxx;refused;0;0.000;0,0,0,0,0,0,0,0,0,0,0,0,0,0;;\n";
    assert_eq!(rows("sites", SHOWN), want);
    assert_eq!(rows("sites", &format!("{SHOWN}OutputFormat: csv\n")), want);
}

#[test]
fn csv_has_the_separators_that_are_asked_for() {
    let headers = "Columns: name response_time_buckets\nFilter: name = muc\nSeparators: 10 0 33 36\nColumnHeaders: on\n";
    assert_eq!(
        rows("sites", headers),
        "name\0response_time_buckets\nmuc\x000!0!1!1!1!2!2!2!2!2!2!2!2!2\n"
    );
    let (report, events) = sample();
    let request = b"GET sites\nColumns: name clients\nSeparators: 255 254\nLimit: 1\n\n";
    assert_eq!(
        answer(MAX_ANSWER, request, &report, &events).body,
        b"ber\xfe0\xff"
    );
}

#[test]
fn json_and_python_have_lists_of_lists() {
    let want = concat!(
        r#"[["ber","dead",0,0.000,[0,0,0,0,0,0,0,0,0,0,0,0,0,0],"said \"no\\never\"; [2J ","tcp:10.1.1.1:6557"],"#,
        "\n",
        r#"["muc","ready",1,0.012,[0,0,1,1,1,2,2,2,2,2,2,2,2,2],"","tcp:München:6557"],"#,
        "\n",
        r#"["xxx","refused",0,0.000,[0,0,0,0,0,0,0,0,0,0,0,0,0,0],"",""]]"#,
        "\n",
    );
    for format in ["json", "python", "python3"] {
        let headers = format!("{SHOWN}OutputFormat: {format}\n");
        assert_eq!(rows("sites", &headers), want, "{format}");
        let none = format!("Columns: name\nOutputFormat: {format}\nLimit: 0\n");
        assert_eq!(rows("sites", &none), "[]\n");
        let names = format!("{none}ColumnHeaders: on\n");
        assert_eq!(rows("sites", &names), "[[\"name\"]]\n");
    }
}

#[test]
fn without_columns_there_are_all_and_a_line_of_their_names() {
    let body = rows("channels", "");
    let want = "site;number;state;since;opened;descriptor;address;queries;client;request\n\
        muc;1;busy;1795198322;1795198023;9;10.1.1.2:6557;17;5;GET hosts\n";
    assert_eq!(body, want);
    let body = rows("channels", "ColumnHeaders: off\n");
    assert_eq!(body.lines().count(), 1);
}

#[test]
fn clients_and_events_are_shown() {
    let want = "5;muc;wait_for_response;1795198322;1795198293;12;815;1000;1;3;GET hosts\n";
    assert_eq!(rows("clients", "ColumnHeaders: off\n"), want);
    let want = "1;1795198311;ber;ready;dead;Connection refused;1.500\n";
    assert_eq!(rows("events", "ColumnHeaders: off\n"), want);
}

#[test]
fn the_test_of_a_connection_works_as_with_a_core() {
    let body = rows(
        "status",
        "Columns: program_start program_version livestatus_version\n",
    );
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(body, format!("1795194723;liveproxyd {version};{version}\n"));
}

#[test]
fn the_status_has_sums_over_all_sites() {
    let body = rows(
        "status",
        "Columns: sites sites_ready sites_dead sites_refused sites_busy queries config_error\n",
    );
    assert_eq!(
        body,
        "3;1;1;1;0;17;liveproxy.mk:3:7: not a number liveproxy.mk:9:1: no bracket\n"
    );
}

#[test]
fn the_columns_are_described() {
    let body = rows(
        "columns",
        "Filter: table = events\nFilter: name = lasted\nColumnHeaders: off\n",
    );
    assert_eq!(
        body,
        "events;lasted;float;How long the state before had lasted, in seconds.\n"
    );
    let count = rows("columns", "Stats: table = sites\n");
    let all = rows("sites", "Limit: 0\n");
    assert_eq!(count.trim(), all.split(';').count().to_string());
}
