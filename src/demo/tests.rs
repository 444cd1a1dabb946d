//! The demonstration sites as a client meets them: over their sockets, byte by byte.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::{DemoSites, MAX_CLIENTS, invent, query};

/// Ends a test that hangs; nothing here should take a hundredth of it.
const PATIENCE: Duration = Duration::from_secs(30);

const FRAMED: &str = "ResponseHeader: fixed16\nKeepAlive: on\n";

struct Client(TcpStream);

impl Client {
    fn new(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Client(stream)
    }

    fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    fn framed(&mut self) -> (u16, String) {
        let mut header = [0; 16];
        self.0.read_exact(&mut header).unwrap();
        let header = std::str::from_utf8(&header).unwrap();
        assert!(header.ends_with('\n'), "{header:?}");
        let (status, length) = header.split_at(3);
        let mut body = vec![0; length.trim().parse().unwrap()];
        self.0.read_exact(&mut body).unwrap();
        (status.parse().unwrap(), String::from_utf8(body).unwrap())
    }

    fn rest(mut self) -> String {
        let mut text = String::new();
        self.0.read_to_string(&mut text).unwrap();
        text
    }
}

fn berlin(sites: &DemoSites) -> SocketAddr {
    sites.addresses()[0].1
}

/// One request, ended by a half-close as unixcat does it.
fn ask(address: SocketAddr, request: &str) -> String {
    let mut client = Client::new(address);
    client.send(request);
    client.0.shutdown(Shutdown::Write).unwrap();
    client.rest()
}

fn rows(address: SocketAddr, request: &str) -> Vec<Vec<String>> {
    let split = |line: &str| line.split(';').map(str::to_owned).collect();
    ask(address, request).lines().map(split).collect()
}

#[test]
fn the_sites_are_full_troubled_and_different() {
    let sites = DemoSites::start().unwrap();
    let mut names = BTreeSet::new();
    for (site, address) in sites.addresses() {
        let hosts = rows(address, "GET hosts\nColumns: name state\n");
        let services = rows(address, "GET services\nColumns: host_name state\n");
        assert_eq!(hosts.len(), 12);
        assert!((45..=60).contains(&services.len()), "{}", services.len());
        assert_eq!(hosts.iter().filter(|row| row[1] == "1").count(), 1);
        for state in ["0", "1", "2"] {
            assert!(services.iter().any(|row| row[1] == state), "{site} {state}");
        }
        let counts = ask(address, "GET status\nColumns: num_hosts num_services\n");
        assert_eq!(counts, format!("12;{}\n", services.len()));
        let here: BTreeSet<String> = hosts.into_iter().map(|row| row[0].clone()).collect();
        assert!(services.iter().all(|row| here.contains(&row[0])));
        names.extend(here);
    }
    assert_eq!(names.len(), 24);
}

#[test]
fn the_same_names_give_the_same_data_and_checks_move_with_the_clock() {
    let times = |now: i64| -> Vec<i64> {
        let lines = ["GET services", "Columns: last_check"].map(str::to_owned);
        let response = query::respond(&invent::berlin(), now, &lines);
        let text = String::from_utf8(response.bytes).unwrap();
        text.lines().map(|line| line.parse().unwrap()).collect()
    };
    let now = 1_795_198_323;
    let first = times(now);
    assert!(first.iter().all(|&time| time <= now && time > now - 60));
    let after = |seconds| {
        first
            .iter()
            .map(|time| time + seconds)
            .collect::<Vec<i64>>()
    };
    assert_eq!(times(now + 60), after(60));
    assert_ne!(times(now + 30), after(0));
    assert_ne!(times(now + 30), after(60));

    let everything = || {
        let lines = [
            "GET services",
            "Columns: host_name description plugin_output",
        ];
        query::respond(&invent::lisbon(), now, &lines.map(str::to_owned)).bytes
    };
    assert_eq!(everything(), everything());
}

#[test]
fn without_columns_come_all_of_them_under_a_header_row() {
    let site = invent::berlin();
    // Performance data contains semicolons, so columns are kept apart by something else.
    let ask = |table: &str, header: &str| -> Vec<Vec<String>> {
        let table = format!("GET {table}");
        let lines = [&table, "Separators: 10 1 44 124", header].map(str::to_owned);
        let response = query::respond(&site, 1_795_198_323, &lines);
        let text = String::from_utf8(response.bytes).unwrap();
        let split = |line: &str| line.split('\u{1}').map(str::to_owned).collect();
        text.lines().map(split).collect()
    };
    for table in ["status", "hosts", "services"] {
        let all = ask(table, "AuthUser: me");
        let bare = ask(table, "ColumnHeaders: off");
        assert!(all.iter().all(|row| row.len() == all[0].len()), "{table}");
        assert!(!bare.is_empty());
        assert_eq!(all[1..], bare);
        assert_eq!(ask(table, &format!("Columns: {}", all[0].join(" "))), bare);
    }
    let named = [
        "GET hosts",
        "Columns: state name",
        "ColumnHeaders: on",
        "Limit: 0",
    ];
    let response = query::respond(&site, 0, &named.map(str::to_owned));
    assert_eq!(response.bytes, b"state;name\n");
}

#[test]
fn requests_of_one_write_are_answered_in_order_until_one_does_not_keep() {
    let sites = DemoSites::start().unwrap();
    let mut client = Client::new(berlin(&sites));
    client.send(&format!(
        "GET hosts\n{FRAMED}Columns: name\nLimit: 1\n\n\
         GET nothing\n{FRAMED}\n\
         GET status\nColumns: num_hosts\nResponseHeader: fixed16\nOutputFormat: json\n\n"
    ));
    assert_eq!(client.framed(), (200, "berlin-gw\n".to_owned()));
    assert_eq!(client.framed().0, 404);
    assert_eq!(client.framed(), (200, "[[12]]\n".to_owned()));
    assert_eq!(client.rest(), "");
}

#[test]
fn mistakes_are_answered_in_the_form_asked_for() {
    let sites = DemoSites::start().unwrap();
    let mut kept = Client::new(berlin(&sites));
    for (request, status) in [
        ("GET hosts\nFooBar: 1\n", 400),
        ("GET hosts\nno colon\n", 400),
        ("GET hosts\nColumns: name nothing\n", 400),
        ("GET hosts\nFilter: nothing = 1\n", 400),
        ("GET hosts\nFilter: name\n", 400),
        ("GET hosts\nFilter: name =~~ x\n", 400),
        ("GET hosts\nFilter: state = up\n", 400),
        ("GET hosts\nFilter: state ~ 1\n", 400),
        ("GET hosts\nFilter: groups = linux\n", 400),
        ("GET hosts\nFilter: state = 0\nAnd: 2\n", 400),
        ("GET hosts\nOr: 99999999999999999999\n", 400),
        ("GET hosts\nLimit: -1\n", 400),
        ("GET hosts\nOutputFormat: xml\n", 400),
        ("GET hosts\nSeparators: 10 59 44\n", 400),
        ("GET hosts\nSeparators: 10 59 44 256\n", 400),
        ("GET hosts\nKeepAlive: maybe\n", 400),
        ("GET hosts\nColumnHeaders: 1\n", 400),
        ("GET hosts\nResponseHeader: fixed17\n", 400),
        ("GET nothing\n", 404),
        ("GET\n", 452),
    ] {
        kept.send(&format!("{request}{FRAMED}\n"));
        let (framed, text) = kept.framed();
        assert_eq!(framed, status, "{request:?}: {text}");
        assert_eq!(text.matches('\n').count(), 1, "{text:?}");
        assert_eq!(ask(berlin(&sites), request), text);
    }
    let wide = "name ".repeat(257);
    let wide = ask(berlin(&sites), &format!("GET hosts\nColumns: {wide}\n"));
    assert_eq!(wide, "More than 256 columns\n");
    let undefined = ask(berlin(&sites), "GET hosts\nFooBar: 1\n");
    assert_eq!(undefined, "Undefined request header 'FooBar: 1'\n");
}

#[test]
fn a_request_that_is_none_closes_the_client() {
    let sites = DemoSites::start().unwrap();
    for verb in ["LOGROTATE", "get hosts", "GETTING hosts"] {
        let mut client = Client::new(berlin(&sites));
        client.send(&format!("{verb}\n{FRAMED}\n"));
        assert_eq!(client.rest(), "Invalid request method\n", "{verb}");
    }
    let mut blank = Client::new(berlin(&sites));
    blank.send("\n");
    assert_eq!(blank.rest(), "");
    let cut = ask(berlin(&sites), "GET hosts\nColumns: na");
    assert!(cut.contains("request still incomplete"), "{cut}");
}

#[test]
fn headers_that_change_nothing_here_are_accepted() {
    let sites = DemoSites::start().unwrap();
    let plain = "GET hosts\nColumns: name\n";
    let with = "AuthUser: nobody\nLocaltime: 5\nWaitObject: x\nWaitTrigger: all\nWaitTimeout: 60000\n\
                WaitCondition: state = 7\nWaitConditionAnd: 1\nWaitConditionOr: 1\nWaitConditionNegate:\n";
    let expected = ask(berlin(&sites), plain);
    assert_eq!(expected.lines().count(), 12);
    assert_eq!(ask(berlin(&sites), &format!("{plain}{with}")), expected);
}

#[test]
fn lines_end_as_in_real_cores() {
    let sites = DemoSites::start().unwrap();
    let mut client = Client::new(berlin(&sites));
    client.send(&format!(
        "GET status  \n \t\nColumns:num_hosts\r\n{FRAMED}\r\n"
    ));
    assert_eq!(client.framed(), (200, "12\n".to_owned()));
    client.send(&format!("GET status\nColumns: num_hosts\n{FRAMED}"));
    client.0.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.framed(), (200, "12\n".to_owned()));
    assert_eq!(client.rest(), "");
}

#[test]
fn filters_choose_rows() {
    let sites = DemoSites::start().unwrap();
    let address = berlin(&sites);
    let all = rows(
        address,
        "GET services\nColumns: host_name description state\n",
    );
    type Choice = fn(&str, &str, i64) -> bool;
    let cases: &[(&str, Choice)] = &[
        ("Filter: state = 0", |_, _, state| state == 0),
        ("Filter: state != 0", |_, _, state| state != 0),
        ("Filter: state > 1", |_, _, state| state > 1),
        ("Filter: state >= 1\nFilter: state < 2", |_, _, state| {
            state == 1
        }),
        ("Filter: state <= 1", |_, _, state| state <= 1),
        ("Filter: description = CPU load", |_, text, _| {
            text == "CPU load"
        }),
        ("Filter: host_name > berlin-m", |host, _, _| {
            host > "berlin-m"
        }),
        ("Filter: description ~ e", |_, text, _| text.contains('e')),
        ("Filter: description ~ ^Filesystem", |_, text, _| {
            text.starts_with("Filesystem")
        }),
        ("Filter: description ~ 1$", |_, text, _| text.ends_with('1')),
        ("Filter: description ~ ^PING$", |_, text, _| text == "PING"),
        ("Filter: description ~ ^nterface", |_, _, _| false),
        ("Filter: description ~ nterface$", |_, _, _| false),
        ("Filter: description ~ ^PIN$", |_, _, _| false),
        ("Filter: description ~~ ping", |_, text, _| text == "PING"),
        ("Filter: description ~ ping", |_, _, _| false),
        ("Filter: host_groups >= linux", |host, _, _| {
            ["web", "db", "mail"].iter().any(|role| host.contains(role))
        }),
        (
            "Filter: host_groups < linux\nFilter: state = 0",
            |host, _, state| {
                state == 0 && !["web", "db", "mail"].iter().any(|role| host.contains(role))
            },
        ),
        ("Filter: host_groups ~ ^print", |host, _, _| {
            host == "berlin-print"
        }),
        ("Filter: groups =", |_, _, _| true),
        ("Filter: groups !=", |_, _, _| false),
        (
            "Filter: state = 1\nFilter: state = 2\nOr: 2",
            |_, _, state| state > 0,
        ),
        (
            "Filter: state = 1\nFilter: state = 2\nOr: 2\nFilter: description = PING\nFilter: description = HTTP\nOr: 2",
            |_, text, state| state > 0 && ["PING", "HTTP"].contains(&text),
        ),
        (
            "Filter: description = PING\nFilter: state = 0\nAnd: 2\nFilter: description = HTTP\nOr: 2",
            |_, text, state| text == "HTTP" || (text == "PING" && state == 0),
        ),
        ("And: 0", |_, _, _| true),
        ("Or: 0", |_, _, _| false),
    ];
    for (filter, choice) in cases {
        let request = format!("GET services\nColumns: host_name description state\n{filter}\n");
        let expected = all
            .iter()
            .filter(|row| choice(&row[0], &row[1], row[2].parse().unwrap()));
        let expected: Vec<Vec<String>> = expected.cloned().collect();
        assert_eq!(rows(address, &request), expected, "{filter}");
    }
}

#[test]
fn a_filter_may_be_nested_as_deep_as_a_request_is_long() {
    let sites = DemoSites::start().unwrap();
    let nested = "Filter: state = 0\nOr: 2\n".repeat(20_000);
    let request = format!("GET hosts\nColumns: name\nFilter: name = berlin-gw\n{nested}");
    let found = rows(berlin(&sites), &request);
    assert_eq!(found.len(), 11);
}

#[test]
fn separators_and_limit_are_obeyed() {
    let sites = DemoSites::start().unwrap();
    let request = "GET hosts\nColumns: name groups parents\nLimit: 2\nSeparators: 33 0 124 64\n";
    assert_eq!(
        ask(berlin(&sites), request),
        "berlin-gw\0berlin|network\0!berlin-fw\0berlin|network\0berlin-gw!"
    );
    assert_eq!(
        ask(berlin(&sites), "GET hosts\nLimit: 0\nColumns: name\n"),
        ""
    );
}

#[test]
fn literals_are_plain_ascii_and_escaped() {
    let sites = DemoSites::start().unwrap();
    let request = "GET hosts\nColumns: name alias notes state parents services\nFilter: name ~ -gw$\nFilter: name ~ -print\nOr: 2\n";
    let csv = ask(berlin(&sites), request);
    assert!(csv.contains(";Gateway \"Mitte\";rack "), "{csv}");
    assert!(csv.contains(";Printer, Büro;rack "), "{csv}");
    for (format, quote) in [("json", "\""), ("python", "u\""), ("python3", "\"")] {
        let text = ask(
            berlin(&sites),
            &format!("{request}OutputFormat: {format}\n"),
        );
        assert!(text.is_ascii(), "{text}");
        assert!(text.starts_with(&format!(
            "[[{quote}berlin-gw\",{quote}Gateway \\\"Mitte\\\"\","
        )));
        assert!(text.contains(&format!(
            "],\n[{quote}berlin-print\",{quote}Printer, B\\u00fcro\","
        )));
        assert!(text.contains("\\u0009unit "), "{text}");
        assert!(text.contains(&format!(
            ",[{quote}berlin-gw\"],[{quote}PING\",{quote}Toner\"]]]\n"
        )));
        assert!(text.contains(",0,[],["), "{text}");
    }
    let drive = "GET services\nColumns: description\nFilter: description ~ ^Filesystem C\nOutputFormat: json\n";
    assert_eq!(ask(berlin(&sites), drive), "[[\"Filesystem C:\\\\\"]]\n");
}

#[test]
fn a_command_is_obeyed_in_silence() {
    let sites = DemoSites::start().unwrap();
    let acknowledged = "GET hosts\nColumns: name\nFilter: acknowledged = 1\n";
    let command = "COMMAND [1795198323] ACKNOWLEDGE_HOST_PROBLEM";
    let mut client = Client::new(berlin(&sites));
    client.send(&format!("{acknowledged}{FRAMED}\n"));
    assert_eq!(client.framed(), (200, String::new()));
    // The response to the query behind them proves that the commands wrote nothing.
    client.send(&format!(
        "{command};berlin-fw;1;1;1;me;seen\n\nCOMMAND nonsense\n\n"
    ));
    client.send(&format!("{acknowledged}{FRAMED}\n"));
    assert_eq!(client.framed(), (200, "berlin-fw\n".to_owned()));
    // Several in one request, and a query straight behind them.
    client.send(&format!(
        "{command};berlin-web1;1\n{command};berlin-db1;1\n{acknowledged}{FRAMED}\n"
    ));
    assert_eq!(
        client.framed(),
        (200, "berlin-fw\nberlin-web1\nberlin-db1\n".to_owned())
    );
    // One line feed and the end; then a line that was cut short and must not count.
    assert_eq!(
        ask(berlin(&sites), &format!("{command};berlin-db2;1\n")),
        ""
    );
    let cut = ask(berlin(&sites), &format!("{command};berlin-gw;1"));
    assert!(cut.contains("incomplete"), "{cut}");
    let now = "berlin-fw\nberlin-web1\nberlin-db1\nberlin-db2\n";
    assert_eq!(ask(berlin(&sites), acknowledged), now);
    assert_eq!(ask(sites.addresses()[1].1, acknowledged), "");
}

#[test]
fn too_long_and_too_large_are_refused() {
    let sites = DemoSites::start().unwrap();
    let start = "GET hosts\nColumns: name\nFilter: name = ";
    let longest = "x".repeat(64 * 1024 - "Filter: name = ".len());
    assert_eq!(ask(berlin(&sites), &format!("{start}{longest}\n")), "");
    assert_eq!(
        ask(berlin(&sites), &format!("{start}{longest}x")),
        "Client request line too long\n"
    );

    let mut large = Client::new(berlin(&sites));
    let line = format!("Filter: name = {}\n", "x".repeat(32_752));
    assert_eq!(line.len(), 32_768);
    large.send(&line.repeat(32));
    large.send("x\n");
    assert_eq!(large.rest(), "Client request too large\n");
}

#[test]
fn one_client_too_many_is_closed_and_a_place_is_given_back() {
    let sites = DemoSites::start().unwrap();
    let request = format!("GET status\nColumns: num_hosts\n{FRAMED}\n");
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..MAX_CLIENTS {
        let mut client = Client::new(berlin(&sites));
        client.send(&request);
        assert_eq!(client.framed().0, 200);
        clients.push(client);
    }
    assert_eq!(Client::new(berlin(&sites)).rest(), "");
    clients.pop();
    // The place is free when the thread has noticed, which nothing outside can see but by trying.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut client = Client::new(berlin(&sites));
        let mut first = [0; 1];
        let sent = client.0.write_all(request.as_bytes());
        if sent.and_then(|()| client.0.read_exact(&mut first)).is_ok() {
            break;
        }
        assert!(Instant::now() < deadline, "no place was given back");
        thread::yield_now();
    }
}

#[test]
fn dropped_sites_close_their_clients_and_their_threads_end() {
    let sites = DemoSites::start().unwrap();
    let clients = sites.addresses().map(|(_, address)| {
        let mut client = Client::new(address);
        client.send(&format!("GET status\nColumns: num_hosts\n{FRAMED}\n"));
        assert_eq!(client.framed().0, 200);
        client
    });
    // Every thread of a site, the one that owns the listener included, holds on to this.
    let held = [&sites.berlin, &sites.lisbon].map(|site| Arc::downgrade(&site.shared));
    drop(sites);
    for client in clients {
        assert_eq!(client.rest(), "");
    }
    let deadline = Instant::now() + PATIENCE;
    while held.iter().any(|shared| shared.strong_count() > 0) {
        assert!(Instant::now() < deadline, "a thread goes on");
        thread::yield_now();
    }
}
