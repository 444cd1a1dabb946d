//! The fake site asked directly: what the other tests take for granted of it.

use std::time::Duration;

use crate::support::client::kept_and_framed;
use crate::support::site::{IDLE_TEXT, payload};
use crate::support::{Client, Event, FakeSite, Fault, Place, eventually};

const QUERY: &[u8] = b"GET hosts\nResponseHeader: fixed16\nKeepAlive: on\nColumns: name\n\n";

fn fails(act: impl FnOnce() + std::panic::UnwindSafe) -> bool {
    std::panic::catch_unwind(act).is_err()
}

#[test]
fn echoes_a_request_and_keeps_the_channel() {
    for site in [
        FakeSite::start(),
        FakeSite::start_v6(),
        FakeSite::start_unix(),
    ] {
        let client = site.client();
        for _ in 0..3 {
            client.send(QUERY);
            client.read_response().expect(QUERY);
        }
        client.expect_open();
        assert_eq!(site.requests(), vec![QUERY.to_vec(); 3]);
        assert_eq!(site.accepted(), 1);
        assert_eq!(site.heartbeats(), 0);
        drop(client);
        site.await_open(0);
        let served = [Event::Opened(1)]
            .into_iter()
            .chain([Event::Request(1); 3])
            .chain([Event::Closed(1)]);
        assert_eq!(site.events(), served.collect::<Vec<_>>());
    }
}

#[test]
fn reads_requests_in_any_pieces_and_in_one_write() {
    let site = FakeSite::start();
    let client = site.client();
    for at in 0..=QUERY.len() {
        client.send_split(QUERY, at);
        client.read_response().expect(QUERY);
    }
    client.send(QUERY.repeat(5));
    for _ in 0..5 {
        client.read_response().expect(QUERY);
    }
}

#[test]
fn ends_a_request_as_naemon_does() {
    let site = FakeSite::start();
    let asked = |bytes: &[u8]| {
        let client = site.client();
        client.send(bytes);
        client.half_close();
        client.read_to_end()
    };
    assert_eq!(asked(b"GET hosts\n"), b"GET hosts\n");
    assert_eq!(asked(b"GET hosts\n\nGET x\n\n"), b"GET hosts\n\n");
    assert_eq!(asked(b"GET hosts\r\n\r\n\n"), b"GET hosts\r\n\n");
    assert_eq!(asked(b"GET hosts\nColumns: na"), IDLE_TEXT);
    assert_eq!(asked(b"LOGROTATE\n\n"), b"Invalid request method\n");
    assert_eq!(asked(b"get hosts\n\n"), b"Invalid request method\n");
    assert_eq!(asked(b""), b"");
    assert_eq!(site.happened("invalid-method"), 2);
    assert_eq!(site.happened("incomplete-request"), 1);
    assert_eq!(site.requests().len(), 3);
}

#[test]
fn lines_behind_a_command_poison_the_next_request() {
    let site = FakeSite::start();
    let client = site.client();
    client.send(b"COMMAND [1] A;h\n\n");
    client.send(QUERY);
    client.read_response().expect(QUERY);
    client.send(b"COMMAND [1] NO_SUCH_COMMAND;h\n\n");
    let refusal = b"400: Unknown command 'NO_SUCH_COMMAND'\n";
    assert_eq!(client.read_exactly(refusal.len()), refusal);
    client.send(b"COMMAND [1] B;h\nKeepAlive: on\n\n");
    client.send(QUERY);
    assert_eq!(client.read_to_end(), b"Invalid request method\n");
    let commands = ["[1] A;h", "[1] NO_SUCH_COMMAND;h", "[1] B;h"];
    assert_eq!(
        site.commands(),
        commands.map(|command| format!("COMMAND {command}"))
    );
}

#[test]
fn answers_heartbeats_as_asked() {
    let site = FakeSite::start();
    let client = site.client();
    let columns = "GET status\nColumns: program_start program_version livestatus_version";
    let answer = client.ask(columns);
    answer.expect("1700000000;Fake 1.0;1.5.0 (fake)\n");
    let answer = client.ask("GET status\nColumns: livestatus_version program_start\nLimit: 0");
    answer.expect("");
    let answer = client.ask("GET status\nColumns: program_start\nOutputFormat: json");
    answer.expect("[[1700000000]]\n");
    assert_eq!(site.heartbeats(), 3);
    assert_eq!(site.requests().len(), 0);

    let answer = client.ask("GET status\nColumns: program_start num_hosts");
    assert!(answer.text().starts_with("GET status\n"), "{answer:?}");
    assert_eq!(site.requests().len(), 1);
}

#[test]
fn computes_codes_and_large_bodies() {
    let site = FakeSite::start();
    let client = site.client();
    let answer = client.ask("GET hosts\nTest-Status: 404");
    assert_eq!(answer.code, 404);
    client.ask("GET hosts\nTest-Size: 0").expect("");
    let answer = client.ask("GET hosts\nTest-Nonce: a\nTest-Size: 1000003");
    answer.expect(payload("a", 1_000_003));
    let values: std::collections::BTreeSet<_> = answer.body.iter().collect();
    assert_eq!(values.len(), 256, "every byte value occurs");
    let other = client.ask("GET hosts\nTest-Nonce: b\nTest-Size: 1000003");
    assert_ne!(other.body, answer.body);
    let refused = client.ask("GET hosts\nCache: reload");
    refused.expect_error(400, "Undefined request header");
}

#[test]
fn payload_does_not_depend_on_how_it_is_written() {
    let site = FakeSite::start();
    let client = site.client();
    site.next(Fault::Split((1..40).collect()));
    let answer = client.ask("GET hosts\nTest-Nonce: x\nTest-Size: 2000");
    answer.expect(payload("x", 2_000));
    assert_eq!(site.happened("split"), 1);
    assert_eq!(payload("x", 2_000)[..777], payload("x", 777));
}

#[test]
fn every_end_of_an_answer_happens_where_it_should() {
    let site = FakeSite::start();
    let whole = 16 + QUERY.len();
    let places = [
        (Place::BeforeHeader, 0, "before-header"),
        (Place::InHeader(5), 5, "in-header"),
        (Place::InBody(0), 16, "in-body"),
        (Place::InBody(9), 25, "in-body"),
        (Place::AfterAnswer, whole, "after-answer"),
    ];
    for (place, sent, name) in places {
        let client = site.client();
        site.next(Fault::Close(place));
        client.send(QUERY);
        assert_eq!(client.read_to_end().len(), sent, "{place:?}");
        assert!(site.happened(&format!("close-{name}")) >= 1);

        let client = site.client();
        site.next(Fault::Stall(place));
        client.send(QUERY);
        assert_eq!(client.read_exactly(sent).len(), sent);
        site.await_stalled(1);
        client.expect_silence(Duration::from_millis(30));
        site.release();
        assert_eq!(client.read_exactly(whole - sent).len(), whole - sent);
        client.expect_open();
        assert!(site.happened(&format!("stall-{name}")) >= 1);
    }
    site.await_open(0);
}

#[test]
fn a_reset_is_a_reset_and_a_close_is_none() {
    let site = FakeSite::start();
    let asked = |fault: Fault| {
        site.next(fault);
        let stream = std::net::TcpStream::connect(site.tcp()).unwrap();
        std::io::Write::write_all(&mut &stream, QUERY).unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut &stream, &mut bytes).map_err(|error| error.kind())
    };
    let reset = Err(std::io::ErrorKind::ConnectionReset);
    assert_eq!(asked(Fault::Reset(Place::BeforeHeader)), reset);
    assert_eq!(asked(Fault::Reset(Place::InHeader(3))), reset);
    assert_eq!(asked(Fault::Reset(Place::InBody(3))), reset);
    assert_eq!(asked(Fault::Close(Place::InHeader(0))), Ok(0));
    assert_eq!(site.happened("reset-in-body"), 1);
}

#[test]
fn a_stall_ends_when_the_channel_is_closed() {
    let site = FakeSite::start();
    site.next(Fault::Stall(Place::InBody(1)));
    let client = site.client();
    client.send(QUERY);
    site.await_stalled(1);
    client.close();
    site.await_stalled(0);
    site.await_open(0);
}

#[test]
fn wrong_bytes_are_written_as_told() {
    let site = FakeSite::start();
    let client = site.client();
    site.next(Fault::Header(*b"200     seven  \n"));
    client.send(QUERY);
    assert_eq!(client.read_exactly(16), b"200     seven  \n");
    assert_eq!(client.read_exactly(QUERY.len()), QUERY);

    site.next(Fault::WrongLength(-3));
    client.send(QUERY);
    let answer = client.read_response();
    answer.expect(&QUERY[..QUERY.len() - 3]);
    assert_eq!(client.read_exactly(3), QUERY[QUERY.len() - 3..]);

    site.next(Fault::Extra(b"more".to_vec()));
    client.send(QUERY);
    client.read_response().expect(QUERY);
    assert_eq!(client.read_exactly(4), b"more");

    site.next(Fault::Drip(Duration::from_micros(100)));
    client.send(QUERY);
    client.read_response().expect(QUERY);

    site.next(Fault::Raw(b"No UNIX socket /x existing\n".to_vec()));
    client.send(QUERY);
    assert_eq!(client.read_to_end(), b"No UNIX socket /x existing\n");
    for name in [
        "garbage-header",
        "wrong-length",
        "extra-bytes",
        "drip",
        "raw-text",
    ] {
        assert_eq!(site.happened(name), 1, "{name}");
    }
}

#[test]
fn faults_of_heartbeats_and_of_queries_are_apart() {
    let site = FakeSite::start();
    site.all_heartbeats(Fault::Close(Place::BeforeHeader));
    site.always(Fault::Close(Place::InHeader(1)));
    site.next(Fault::Nothing);
    let client = site.client();
    client.send(QUERY);
    client.read_response().expect(QUERY);
    client.send(QUERY);
    assert_eq!(client.read_to_end(), b"2");
    let client = site.client();
    client.send(b"GET status\nColumns: program_start\n\n");
    assert_eq!(client.read_to_end(), b"");
    site.behave();
    let client = site.client();
    client
        .ask("GET status\nColumns: program_start")
        .expect("1700000000\n");
}

#[test]
fn held_answers_wait_for_their_release() {
    let site = FakeSite::start();
    let held = site.client();
    held.send(b"GET hosts\nTest-Hold: on\n\n");
    site.await_stalled(1);
    let other = site.client();
    other.send(QUERY);
    other.read_response().expect(QUERY);
    held.expect_open();
    site.release();
    assert_eq!(held.read_to_end(), b"GET hosts\nTest-Hold: on\n\n");
    assert_eq!(site.happened("hold"), 1);
    site.await_stalled(0);
}

#[test]
fn idle_channels_speak_and_close_on_demand() {
    let site = FakeSite::start();
    assert!(!site.close_idle(), "there is no channel yet");
    let client = site.client();
    site.await_open(1);
    assert!(site.babble_on_idle(b"hello"));
    assert_eq!(client.read_exactly(5), b"hello");
    assert!(site.speak_on_idle(IDLE_TEXT));
    assert_eq!(client.read_to_end(), IDLE_TEXT);
    site.await_open(0);

    let client = site.client();
    site.await_open(1);
    assert!(site.close_idle());
    assert!(client.at_end());
    site.await_open(0);
    let client = site.client();
    site.await_open(1);
    site.reset_all();
    assert!(client.at_end());
    site.await_open(0);
}

#[test]
fn refuses_and_listens_again_at_the_same_address() {
    let mut tcp = FakeSite::start();
    let before = tcp.client();
    before.send(QUERY);
    before.read_response().expect(QUERY);
    let address = tcp.tcp();
    for _ in 0..3 {
        tcp.refuse();
        let error = std::net::TcpStream::connect(address).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        tcp.listen();
        let client = tcp.client();
        client.send(QUERY);
        client.read_response().expect(QUERY);
    }
    before.send(QUERY);
    before.read_response().expect(QUERY);

    let mut unix = FakeSite::start_unix();
    unix.refuse();
    let error = std::os::unix::net::UnixStream::connect(unix.path()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    unix.listen();
    let client = unix.client();
    client.send(QUERY);
    client.read_response().expect(QUERY);
}

#[test]
fn leaves_connects_unanswered() {
    let mut site = FakeSite::start();
    site.never_accept();
    let address = site.tcp();
    assert_eq!(site.unanswered_connects(), 0);
    let connecting = std::thread::spawn(move || {
        std::net::TcpStream::connect_timeout(&address, Duration::from_secs(10))
    });
    eventually("a connect hangs", || site.unanswered_connects() == 1);
    site.listen();
    assert!(
        connecting.join().unwrap().is_ok(),
        "its next try is accepted"
    );
}

#[test]
fn strict_reading_finds_a_wrong_header() {
    let site = FakeSite::start();
    for header in [
        b"200          5 \n",
        b"200           5 ",
        b"20            5\n",
        b"200-          5\n",
        b"200       5    \n",
        b"200  5        5\n",
    ] {
        site.next(Fault::Header(*header));
        let client: Client = site.client();
        client.send(QUERY);
        let read = std::panic::AssertUnwindSafe(|| drop(client.read_response()));
        assert!(fails(read), "{}", header.escape_ascii());
    }
}

#[test]
fn a_command_can_end_its_channel() {
    let site = FakeSite::start();
    site.next_command(Fault::Close(Place::BeforeHeader));
    site.next_command(Fault::Reset(Place::BeforeHeader));
    for name in ["close-after-command", "reset-after-command"] {
        let client = site.client();
        client.send(b"COMMAND [1] A;h\n\n");
        client.send(QUERY);
        assert_eq!(client.read_to_end(), b"");
        assert_eq!(site.happened(name), 1);
    }
    assert_eq!(site.commands().len(), 2);
    assert!(site.requests().is_empty());

    site.next_command(Fault::Stall(Place::BeforeHeader));
    let client = site.client();
    client.send([b"COMMAND [1] A;h\n\n", QUERY].concat());
    site.await_happened("stall-after-command", 1);
    client.expect_silence(Duration::from_millis(20));
    site.release();
    client.read_response().expect(QUERY);
}

#[test]
fn waits_end_soon_or_are_held() {
    let site = FakeSite::start();
    let client = site.client();
    let wait = |limit: &str| {
        let lines = format!("GET hosts\nWaitTrigger: check\n{limit}");
        kept_and_framed(lines)
    };
    for limit in ["", "WaitTimeout: 0\n", "WaitTimeout: 60000\n"] {
        client.send(wait(limit));
        client.read_response().expect(wait(limit));
    }
    site.hold_waits(true);
    client.send(wait("WaitTimeout: 1\n"));
    client.read_response().expect(wait("WaitTimeout: 1\n"));
    client.send(wait(""));
    site.await_stalled(1);
    client.expect_silence(Duration::from_millis(20));
    site.release();
    client.read_response().expect(wait(""));
    assert_eq!(site.happened("wait"), 5);
}

#[test]
fn slow_and_hasty_answers_and_late_ends() {
    let site = FakeSite::start();
    let client = site.client();
    site.next(Fault::SlowStart(40, Duration::from_millis(50)));
    client.send(QUERY);
    client.read_response().expect(QUERY);
    assert_eq!(site.happened("slow-start"), 1);

    site.next(Fault::Late(Duration::from_millis(20)));
    client.send(QUERY);
    client.expect_silence(Duration::from_millis(5));
    client.read_response().expect(QUERY);
    assert_eq!(site.happened("late"), 1);

    site.next(Fault::Linger(Duration::from_millis(20)));
    client.send(QUERY);
    client.read_response().expect(QUERY);
    assert!(client.at_end());
    assert_eq!(site.happened("linger"), 1);

    let client = site.client();
    client.send(b"GET hasty\nColumns: a\n");
    client.read_response().expect("hasty\n");
    site.await_stalled(1);
    client.send(b"\n");
    site.release();
    // What it had not read was the end of a request, and is the beginning of one now.
    assert_eq!(client.read_to_end(), b"Invalid request method\n");
    assert_eq!(site.happened("hasty-answer"), 1);
}
