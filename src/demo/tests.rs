//! The demonstration sites as a client meets them: over their sockets.

#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::{DemoSites, MAX_CLIENTS, MAX_REQUEST};

/// Ends a test that hangs; nothing here should take a hundredth of it.
const PATIENCE: Duration = Duration::from_secs(30);

/// What follows the first `Filter: `.
const EITHER: &str = "state > 0\nFilter: state < 2\nAnd: 2\nFilter: description = HTTP\nOr: 2";

const KEPT_REQUEST: &str =
    "GET status\nColumns: num_hosts\nResponseHeader: fixed16\nKeepAlive: on\n\n";

const KEPT_RESPONSE: &str = "200           3\n10\n";

/// The sites and the address of the first.
fn start() -> (DemoSites, SocketAddr) {
    let sites = DemoSites::start().unwrap();
    let [(_, berlin), _] = sites.addresses();
    (sites, berlin)
}

fn connect(address: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

/// Asks, half-closes as shell clients do, and returns all that comes.
fn ask(address: SocketAddr, request: &str) -> String {
    let mut client = connect(address);
    client.write_all(request.as_bytes()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    text
}

fn rows(address: SocketAddr, request: &str) -> Vec<Vec<String>> {
    let split = |line: &str| line.split(';').map(str::to_owned).collect();
    ask(address, request).lines().map(split).collect()
}

/// Whether the client gets a response; it may ask again then.
fn is_answered(mut client: &TcpStream) -> bool {
    let sent = client.write_all(KEPT_REQUEST.as_bytes());
    sent.is_ok() && client.read_exact(&mut [0; KEPT_RESPONSE.len()]).is_ok()
}

fn await_that(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::yield_now();
    }
}

#[test]
fn tables_agree_and_show_trouble() {
    let sites = DemoSites::start().unwrap();
    for (name, address) in sites.addresses() {
        let hosts = rows(address, "GET hosts\nColumns: name state num_services\n");
        let services = rows(address, "GET services\nColumns: host_name state\n");
        let counts = ask(address, "GET status\nColumns: num_hosts num_services\n");
        assert_eq!(counts, format!("{};{}\n", hosts.len(), services.len()));
        assert_eq!(hosts.iter().filter(|host| host[1] == "1").count(), 1);
        for host in &hosts {
            assert!(host[0].starts_with(name));
            let of_host = services.iter().filter(|service| service[0] == host[0]);
            assert_eq!(of_host.count().to_string(), host[2], "{host:?}");
        }
        for state in ["0", "1", "2"] {
            assert!(services.iter().any(|row| row[1] == state), "{name} {state}");
        }
    }
}

#[test]
fn without_columns_come_all_of_them_under_their_names() {
    let (_sites, berlin) = start();
    for table in ["status", "hosts", "services"] {
        let all = rows(berlin, &format!("GET {table}\n"));
        assert!(all.len() > 1 && all[0].len() >= 10, "{all:?}");
        assert!(all.iter().all(|row| row.len() == all[0].len()), "{all:?}");
        let chosen = format!("GET {table}\nColumns: {}\n", all[0].join(" "));
        assert_eq!(rows(berlin, &chosen).len(), all.len() - 1);
        let names = format!("{chosen}ColumnHeaders: on\nLimit: 0\n");
        assert_eq!(rows(berlin, &names), all[..1]);
    }
}

#[test]
fn filters_choose_rows() {
    let (_sites, berlin) = start();
    let request = "GET services\nColumns: description state\n";
    let all = rows(berlin, request);
    type Choice = fn(&str, &str) -> bool;
    let cases: [(&str, Choice); 13] = [
        ("state = 0", |_, state| state == "0"),
        ("state != 0", |_, state| state != "0"),
        ("state <= 1", |_, state| state != "2"),
        ("state > 1", |_, state| state == "2"),
        ("state >= 1\nFilter: state < 2", |_, state| state == "1"),
        ("description > M", |text, _| text > "M"),
        ("description = CPU load", |text, _| text == "CPU load"),
        ("description ~ e", |text, _| text.contains('e')),
        ("description ~ ^P", |text, _| text.starts_with('P')),
        ("description ~ P$", |text, _| text.ends_with('P')),
        ("description ~~ ^ping$", |text, _| text == "PING"),
        ("description !=", |_, _| true),
        (EITHER, |text, state| text == "HTTP" || state == "1"),
    ];
    for (filter, choice) in cases {
        let chosen = all.iter().filter(|row| choice(&row[0], &row[1]));
        let expected: Vec<Vec<String>> = chosen.cloned().collect();
        let found = rows(berlin, &format!("{request}Filter: {filter}\n"));
        assert_eq!(found, expected, "{filter}");
    }
}

#[test]
fn formats_escape_what_csv_does_not() {
    let (_sites, berlin) = start();
    let hosts = "GET hosts\nColumns: alias state\nFilter: name ~ sw\n";
    let service = "GET services\nColumns: description\nFilter: description ~ SQL\nLimit: 1\n";
    let csv = "Switch, ground floor;0\nSwitch, Büro;0\n";
    assert_eq!(ask(berlin, hosts), csv);
    assert_eq!(ask(berlin, service), "PostgreSQL \"main\"\n");
    for (format, u) in [("json", ""), ("python", "u"), ("python3", "")] {
        let format = format!("OutputFormat: {format}\n");
        let switches =
            format!("[[{u}\"Switch, ground floor\",0],\n[{u}\"Switch, B\\u00fcro\",0]]\n");
        assert_eq!(ask(berlin, &format!("{hosts}{format}")), switches);
        let postgres = format!("[[{u}\"PostgreSQL \\\"main\\\"\"]]\n");
        assert_eq!(ask(berlin, &format!("{service}{format}")), postgres);
    }
}

#[test]
fn requests_are_answered_in_order_until_one_does_not_keep() {
    let (_sites, berlin) = start();
    let requests = format!(
        "COMMAND [1] ACKNOWLEDGE_HOST_PROBLEM;berlin-gw;1\n\nCOMMAND nonsense\n\n{KEPT_REQUEST}\
         GET nothing\nResponseHeader: fixed16\nKeepAlive: on\n\n\
         GET hosts \r\nColumns:name\nLimit: 1\nAuthUser: me\nWaitTrigger: all\n\r\nGET hosts\n\n"
    );
    let not_found = "404          31\nTable 'nothing' does not exist\n";
    let responses = format!("{KEPT_RESPONSE}{not_found}berlin-gw\n");
    assert_eq!(ask(berlin, &requests), responses);
}

#[test]
fn mistakes_are_answered_in_the_form_asked_for() {
    let (_sites, berlin) = start();
    for (status, request) in [
        (400, "GET hosts\nStats: state = 0\n"),
        (400, "GET hosts\nno colon\n"),
        (400, "GET hosts\nColumns: name nothing\n"),
        (400, "GET hosts\nFilter: nothing = 1\n"),
        (400, "GET hosts\nFilter: state = up\n"),
        (400, "GET hosts\nFilter: state ~ 1\n"),
        (400, "GET hosts\nFilter: state = 0\nAnd: 2\n"),
        (400, "GET hosts\nOutputFormat: xml\n"),
        (400, "GET hosts\nKeepAlive: maybe\n"),
        (404, "GET nothing\n"),
        (452, "GET\n"),
    ] {
        let text = ask(berlin, request);
        assert_eq!(text.lines().count(), 1, "{request:?}: {text}");
        let framed = ask(berlin, &format!("{request}ResponseHeader: fixed16\n"));
        assert_eq!(framed, format!("{status} {:11}\n{text}", text.len()));
    }
}

#[test]
fn what_is_no_request_closes_the_client() {
    let (_sites, berlin) = start();
    assert_eq!(ask(berlin, "get hosts\n\n"), "Invalid request method\n");
    assert_eq!(ask(berlin, "\n"), "");
    assert_eq!(ask(berlin, "GET hosts\nLimit: 1"), super::INCOMPLETE);
    let large = "x".repeat(MAX_REQUEST as usize);
    assert_eq!(ask(berlin, &large), "Client request too large\n");
}

#[test]
fn one_client_too_many_is_closed_and_a_place_is_given_back() {
    let (_sites, berlin) = start();
    let mut clients: Vec<TcpStream> = (0..MAX_CLIENTS).map(|_| connect(berlin)).collect();
    assert!(clients.iter().all(is_answered));
    assert!(!is_answered(&connect(berlin)));
    clients.pop();
    await_that("a free place", || is_answered(&connect(berlin)));
}

#[test]
fn dropped_sites_answer_nobody() {
    let (sites, berlin) = start();
    let client = connect(berlin);
    assert!(is_answered(&client));
    drop(sites);
    assert!(!is_answered(&client));
    await_that("a closed port", || TcpStream::connect(berlin).is_err());
}
