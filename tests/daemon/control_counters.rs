//! Each counter, by making what it counts happen once.

use crate::pair::Pair;
use crate::story::run_query;
use crate::support::client::kept_and_framed;
use crate::support::{Console, FakeSite, Fault, Place, eventually};

/// A heartbeat as it goes over the wire, and the fake site's answer to it.
const HEARTBEAT: &str = "GET status\nResponseHeader: fixed16\nKeepAlive: on\n\
    Columns: program_start program_version livestatus_version\n\n";
const BEATEN: &str = "200          33\n1700000000;Fake 1.0;1.5.0 (fake)\n";

/// All counters that are not named have to be as they were.
struct Before {
    console: Console,
    counts: Vec<(String, f64)>,
}

/// Counters that go on by themselves.
const RESTLESS: [&str; 5] = [
    "heartbeats",
    "bytes_in",
    "bytes_out",
    "connects",
    "channels_lost",
];

impl Before {
    fn note(console: &Console) -> Before {
        let names = console.rows("GET columns\nColumns: name\nFilter: table = sites");
        let names = names.iter().map(|row| row[0].as_str().unwrap().to_owned());
        // The counters are those of the daemon as a whole too.
        let of_all = console.rows("GET columns\nColumns: name\nFilter: table = status");
        let of_all: Vec<&str> = of_all.iter().map(|row| row[0].as_str().unwrap()).collect();
        let from = of_all.iter().position(|n| *n == "clients_accepted");
        let counters = &of_all[from.unwrap()..];
        assert_eq!(counters.len(), 25);
        let counts = names.filter(|name| counters.contains(&name.as_str()));
        let counts = counts.map(|name| (name.clone(), console.number("muc", &name)));
        Before {
            counts: counts.collect(),
            console: console.clone(),
        }
    }

    /// One client was let in and asked one query, which is counted by these names besides.
    #[track_caller]
    fn expect_query(self, names: &[&str]) {
        let names = ["clients_accepted", "queries"].iter().chain(names);
        let grown: Vec<(&str, f64)> = names.map(|name| (*name, 1.0)).collect();
        self.expect(&grown);
    }

    /// These, and no others, have grown by so many.
    #[track_caller]
    fn expect(self, grown: &[(&str, f64)]) {
        for (name, before) in &self.counts {
            let more = grown.iter().find(|(grown, _)| grown == name);
            match more {
                Some((_, more)) => {
                    eventually(&format!("{name} has grown by {more}"), || {
                        self.console.number("muc", name) == before + more
                    });
                }
                None if RESTLESS.contains(&name.as_str()) => {}
                None => assert_eq!(self.console.number("muc", name), *before, "{name}"),
            }
        }
    }
}

/// With a pair whose site is ready with so many channels.
#[track_caller]
fn ready(keys: &str, channels: usize) -> (Pair, Console) {
    let pair = Pair::start(&format!("'channels': {channels}, {keys}"));
    pair.site.await_ready(channels);
    let console = pair.daemon.console();
    console.await_number("muc", "channels_open", channels as f64);
    (pair, console)
}

fn half_closed(pair: &Pair, command: &str) -> Vec<u8> {
    let client = pair.client();
    client.send(format!("COMMAND [1] {command}\n\n"));
    client.half_close();
    client.read_to_end()
}

#[test]
fn an_answered_query() {
    let (pair, console) = ready("", 1);
    let before = Before::note(&console);
    assert_eq!(pair.ask("GET hosts").code, 200);
    before.expect_query(&["queries_answered"]);
    // An error of the site is an answer of it too.
    let before = Before::note(&console);
    assert_eq!(pair.ask("GET hosts\nTest-Status: 404").code, 404);
    before.expect_query(&["queries_answered"]);
}

#[test]
fn a_query_for_a_dead_site() {
    let pair = Pair::with(FakeSite::start_refusing(), "", "'channels': 1");
    let console = pair.daemon.console();
    console.await_state("muc", "dead");
    let refused = console.number("muc", "queries_refused_unreachable");
    pair.ask("GET hosts").expect_error(502, "not reachable");
    console.await_number("muc", "queries_refused_unreachable", refused + 1.0);
    assert_eq!(console.number("muc", "queries"), 1.0);
    assert_eq!(console.number("muc", "deaths"), 1.0);
    let failed = console.number("muc", "connects_failed");
    eventually("the next attempt fails", || {
        console.number("muc", "connects_failed") > failed
    });
    // Each that has begun has ended, but for one.
    let (begun, failed) = (
        console.number("muc", "connects"),
        console.number("muc", "connects_failed"),
    );
    assert!(begun - failed <= 1.0, "{begun} {failed}");
}

#[test]
fn a_query_for_a_busy_site() {
    let (pair, console) = ready("'channel_timeout': 0.2", 1);
    let held = run_query(&pair);
    let before = Before::note(&console);
    pair.ask("GET hosts").expect_error(502, "channels busy");
    before.expect_query(&["queries_refused_busy"]);
    pair.site.release();
    assert_eq!(held.read_response().code, 200);
}

#[test]
fn a_query_that_is_not_answered_in_time() {
    let (pair, console) = ready("'query_timeout': 0.3", 1);
    pair.site.next(Fault::Stall(Place::BeforeHeader));
    let before = Before::note(&console);
    pair.ask("GET hosts").expect_error(502, "did not answer");
    before.expect_query(&["queries_refused_timeout"]);
}

#[test]
fn a_query_that_is_sent_once_more() {
    let (pair, console) = ready("", 2);
    let before = Before::note(&console);
    pair.site.next(Fault::Close(Place::BeforeHeader));
    assert_eq!(pair.ask("GET hosts").code, 200);
    before.expect_query(&[
        "queries_answered",
        "queries_retried",
        "channels_lost",
        "connects",
    ]);
}

#[test]
fn a_query_that_is_lost_twice() {
    let (pair, console) = ready("", 2);
    let before = Before::note(&console);
    pair.site.next(Fault::Close(Place::BeforeHeader));
    pair.site.next(Fault::Close(Place::BeforeHeader));
    pair.ask("GET hosts").expect_error(502, "twice");
    before.expect(&[
        ("clients_accepted", 1.0),
        ("queries", 1.0),
        ("queries_retried", 1.0),
        ("queries_refused_other", 1.0),
        ("channels_lost", 2.0),
    ]);
}

#[test]
fn a_query_for_a_disabled_site() {
    let (pair, console) = ready("", 1);
    console.order("DISABLE_SITE;muc;");
    let before = Before::note(&console);
    pair.ask("GET hosts").expect_error(502, "disabled");
    before.expect_query(&["queries_refused_other"]);
}

#[test]
fn a_response_that_is_cut() {
    const SIZE: usize = 90 << 20;
    let (pair, console) = ready("", 1);
    let before = Before::note(&console);
    // Larger than half of the memory, so that it is passed on while it comes.
    pair.site.next(Fault::Close(Place::InBody(SIZE - 1)));
    let client = pair.client();
    client.send(kept_and_framed(format!(
        "GET hosts\nTest-Size: {SIZE}\nTest-Nonce: cut"
    )));
    assert!(client.read_to_end().len() < SIZE + 16);
    before.expect_query(&["queries_cut", "channels_lost"]);
}

#[test]
fn commands_of_each_fate() {
    let (pair, console) = ready("", 2);
    let before = Before::note(&console);
    assert_eq!(half_closed(&pair, "DO_SOMETHING"), b"");
    before.expect_query(&["commands_delivered"]);
    let before = Before::note(&console);
    assert!(!half_closed(&pair, "NO_SUCH_COMMAND").is_empty());
    before.expect_query(&["commands_refused"]);
    let before = Before::note(&console);
    pair.site.next_command(Fault::Close(Place::BeforeHeader));
    assert!(half_closed(&pair, "ANOTHER").starts_with(b"502: "));
    before.expect_query(&["commands_unknown"]);
}

#[test]
fn a_command_that_is_not_delivered() {
    let pair = Pair::with(FakeSite::start_refusing(), "", "'channels': 1");
    let console = pair.daemon.console();
    console.await_state("muc", "dead");
    assert!(half_closed(&pair, "X").starts_with(b"502: "));
    console.await_number("muc", "commands_not_delivered", 1.0);
    assert_eq!(console.number("muc", "queries"), 1.0);
    assert_eq!(console.number("muc", "queries_refused_unreachable"), 0.0);
}

#[test]
fn clients_that_are_sent_away() {
    let (pair, console) = ready("'max_clients': 2", 1);
    let crowd = [pair.client(), pair.client()];
    for client in &crowd {
        assert_eq!(client.ask("GET hosts").code, 200);
    }
    let before = Before::note(&console);
    let third = pair.client();
    third.send("GET hosts\nResponseHeader: fixed16\n\n");
    third.read_response().expect_error(502, "Too many clients");
    before.expect(&[
        ("clients_refused", 1.0),
        ("queries", 1.0),
        ("queries_refused_other", 1.0),
    ]);
}

#[test]
fn a_client_that_goes_while_it_waits() {
    let (pair, console) = ready("", 1);
    let holder = run_query(&pair);
    let before = Before::note(&console);
    let waiting = pair.client();
    waiting.send(kept_and_framed("GET hosts"));
    console.await_number("muc", "waiting", 1.0);
    drop(waiting);
    console.await_number("muc", "waiting", 0.0);
    before.expect_query(&["queries_abandoned"]);
    pair.site.release();
    assert_eq!(holder.read_response().code, 200);
}

#[test]
fn a_client_that_goes_while_it_is_served() {
    let (pair, console) = ready("", 1);
    let before = Before::note(&console);
    pair.site.next(Fault::Stall(Place::BeforeHeader));
    let client = pair.client();
    client.send(kept_and_framed("GET hosts"));
    pair.site.await_stalled(1);
    drop(client);
    console.await_number("muc", "clients", 0.0);
    // What comes now is dropped.
    pair.site.release();
    before.expect_query(&["queries_abandoned"]);
}

#[test]
fn a_text_that_came_twice_in_place_of_a_response() {
    let (pair, console) = ready("", 2);
    let before = Before::note(&console);
    for _ in 0..2 {
        pair.site.next(Fault::Raw(b"Not for you\n".to_vec()));
    }
    pair.ask("GET hosts").expect_error(400, "Not for you");
    before.expect(&[
        ("clients_accepted", 1.0),
        ("queries", 1.0),
        ("queries_retried", 1.0),
        ("queries_refused_other", 1.0),
        ("channels_lost", 2.0),
    ]);
}

#[test]
fn bytes_are_counted_to_the_last_one() {
    // One heartbeat at the start and no further one for a long time.
    let (pair, console) = ready("'heartbeat': (600, 60.0)", 1);
    assert_eq!(console.number("muc", "heartbeats"), 1.0);
    assert_eq!(console.number("muc", "bytes_out"), HEARTBEAT.len() as f64);
    assert_eq!(console.number("muc", "bytes_in"), BEATEN.len() as f64);
    let asked = crate::pair::rewritten("GET hosts", "Columns: name\n").len();
    for count in 1..=3 {
        let response = pair.ask("GET hosts\nColumns: name");
        assert_eq!(response.body.len(), asked);
        let beats = console.number("muc", "heartbeats");
        let out = beats * HEARTBEAT.len() as f64 + (count * asked) as f64;
        assert_eq!(console.number("muc", "bytes_out"), out);
        let back = beats * BEATEN.len() as f64 + (count * (asked + 16)) as f64;
        assert_eq!(console.number("muc", "bytes_in"), back);
    }
}

#[test]
fn bytes_of_a_query_that_was_given_up_are_counted_too() {
    let (pair, console) = ready("'heartbeat': (600, 60.0), 'query_timeout': 0.3", 1);
    let out = console.number("muc", "bytes_out");
    pair.site.next(Fault::Stall(Place::BeforeHeader));
    pair.ask("GET hosts").expect_error(502, "did not answer");
    let asked = crate::pair::rewritten("GET hosts", "").len() as f64;
    // The channel was closed for it; the next one begins with a heartbeat.
    let least = out + asked;
    let heartbeat = HEARTBEAT.len() as f64;
    eventually("the bytes are counted", || {
        let now = console.number("muc", "bytes_out");
        now == least || now == least + heartbeat
    });
}

#[test]
fn a_heartbeat_that_is_missed() {
    let (pair, console) = ready("'heartbeat': (1, 0.3)", 1);
    pair.site.next_heartbeat(Fault::Stall(Place::BeforeHeader));
    console.await_number("muc", "heartbeats_missed", 1.0);
    let lost = console.number("muc", "channels_lost");
    assert_eq!(lost, 1.0);
    console.await_state("muc", "ready");
    let heartbeats = console.number("muc", "heartbeats");
    eventually("a heartbeat is answered", || {
        console.number("muc", "heartbeats") > heartbeats
    });
}
