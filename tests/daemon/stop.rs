//! The end of the daemon: nothing new is taken, and all that was asked before is answered.

use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use crate::pair::{Pair, expect_held, rewritten};
use crate::support::client::kept_and_framed;
use crate::support::daemon::signal;
use crate::support::{FakeSite, Fault, Load, Place, eventually};

/// So long after the signal a client that has just come may begin, at least.
const GRACE: Duration = Duration::from_millis(500);

fn pid_file(pair: &Pair) -> std::path::PathBuf {
    pair.daemon.root().join("tmp/run/liveproxyd.pid")
}

/// Sends the signal and waits until it is heard.
fn stop(pair: &Pair) {
    pair.daemon.signal("TERM");
    pair.daemon.wait_log("stopping: what was asked is answered");
}

#[track_caller]
fn expect_good_end(mut pair: Pair) {
    let status = pair.daemon.await_end();
    assert_eq!(status.code(), Some(0), "{status}");
}

#[test]
fn sockets_and_pid_file_go_at_once_and_what_was_asked_is_answered() {
    let pair = Pair::start("'channels': 2");
    pair.site.await_ready(2);
    // Two at the site, one that waits for a channel, one that has begun.
    let asked: Vec<_> = (0..3).map(|_| pair.client()).collect();
    for client in &asked {
        client.send(kept_and_framed("GET hosts\nTest-Hold: on"));
    }
    pair.site.await_stalled(2);
    let half = pair.client();
    half.send("GET hos");
    let command = pair.client();
    command.send("COMMAND [1] WAITING;h\n");
    command.close();
    let idle = pair.client();
    pair.daemon.wait_log("is serving");
    eventually("all five are let in", || pair.daemon.descriptors() >= 5);
    let bare = pair.client();
    bare.send("GET hosts\nTest-Hold: on\n");
    bare.half_close();
    stop(&pair);
    assert!(!pair.daemon.socket("muc").exists());
    assert!(!pid_file(&pair).exists());
    assert!(UnixStream::connect(pair.daemon.socket("muc")).is_err());
    idle.send(kept_and_framed("GET hosts\nFilter: it = began"));
    half.send("ts\nKeepAlive: on\nResponseHeader: fixed16\n\n");
    pair.site.release();
    pair.site.await_happened("hold", 4);
    eventually("all that is held back is released", || {
        pair.site.release();
        pair.site.commands().len() == 1 && pair.site.stalled() == 0
    });
    for client in &asked {
        expect_held(client);
        assert!(client.at_end());
    }
    half.read_response().expect(rewritten("GET hosts", ""));
    idle.read_response()
        .expect(rewritten("GET hosts", "Filter: it = began\n"));
    assert_eq!(
        bare.read_to_end(),
        rewritten("GET hosts", "Test-Hold: on\n")
    );
    assert_eq!(pair.site.commands(), ["COMMAND [1] WAITING;h"]);
    expect_good_end(pair);
}

#[test]
fn clients_that_nobody_has_let_in_yet_are_served() {
    let pair = Pair::start("'channels': 2");
    pair.site.await_ready(2);
    // It does not run while they connect and ask, and finds the signal together with them.
    signal(pair.daemon.pid(), "STOP");
    let clients: Vec<_> = (0..100).map(|_| pair.client()).collect();
    for client in &clients {
        client.send("GET hosts\nFilter: it = early\n\n");
    }
    let silent: Vec<_> = (0..10).map(|_| pair.client()).collect();
    pair.daemon.signal("TERM");
    signal(pair.daemon.pid(), "CONT");
    pair.daemon.wait_log("stopping");
    for client in &silent {
        client.send("GET hosts\nFilter: it = late\n\n");
    }
    for client in &clients {
        assert_eq!(
            client.read_to_end(),
            rewritten("GET hosts", "Filter: it = early\n")
        );
    }
    for client in &silent {
        assert_eq!(
            client.read_to_end(),
            rewritten("GET hosts", "Filter: it = late\n")
        );
    }
    expect_good_end(pair);
}

#[test]
fn a_kept_client_is_closed_between_two_requests_and_loses_none_that_it_has_written() {
    let pair = Pair::start("'channels': 2");
    let (wrote, idle) = (pair.client(), pair.client());
    for client in [&wrote, &idle] {
        client.ask("GET hosts").expect(rewritten("GET hosts", ""));
    }
    let fresh = pair.client();
    let came = Instant::now();
    // Both the request and the signal are there when it looks again.
    signal(pair.daemon.pid(), "STOP");
    wrote.send(kept_and_framed("GET hosts\nFilter: it = written"));
    pair.daemon.signal("TERM");
    signal(pair.daemon.pid(), "CONT");
    wrote
        .read_response()
        .expect(rewritten("GET hosts", "Filter: it = written\n"));
    for client in [&wrote, &idle] {
        assert!(client.at_end());
        assert!(
            client.try_send("GET hosts\n\n").is_err(),
            "it could still write"
        );
    }
    // Nobody knows what one that says nothing is about to do, and so it gets a moment.
    assert!(fresh.at_end());
    assert!(came.elapsed() >= GRACE);
    expect_good_end(pair);
}

#[test]
fn half_a_request_is_never_executed() {
    let pair = Pair::start("'channels': 2");
    pair.site.await_ready(2);
    let asking = pair.holder();
    pair.site.await_stalled(1);
    // A filter that is not there yet, and half of a command, behind a query that is being served.
    asking.send("GET services\nColumns: name\n");
    let command = pair.client();
    command.ask("GET hosts").expect(rewritten("GET hosts", ""));
    command.send("COMMAND [1] SHUTDOWN_PROG");
    stop(&pair);
    pair.site.release();
    expect_held(&asking);
    // Both have begun, and may go on; one does, and the other one never does.
    asking.send("Filter: name = x\nKeepAlive: on\nResponseHeader: fixed16\n\n");
    let rest = "Columns: name\nFilter: name = x\n";
    asking
        .read_response()
        .expect(rewritten("GET services", rest));
    assert!(asking.at_end());
    let text = command.read_to_end();
    assert!(!text.is_empty(), "it is told nothing");
    assert_eq!(pair.site.commands(), Vec::<String>::new());
    expect_good_end(pair);
}

#[test]
fn wait_queries_are_answered_at_once_and_so_are_those_that_come_now() {
    let pair = Pair::start("'channels': 4");
    pair.site.await_ready(4);
    pair.site.hold_waits(true);
    let wait =
        "GET hosts\nWaitObject: h\nWaitTrigger: all\nWaitCondition: state = 1\nWaitTimeout: 60000";
    // Two have channels, one waits for a channel.
    let clients: Vec<_> = (0..3).map(|_| pair.client()).collect();
    for client in &clients {
        client.send(kept_and_framed(wait));
    }
    pair.site.await_happened("wait", 2);
    let late = pair.client();
    eventually("the late one is let in", || pair.daemon.descriptors() > 4);
    stop(&pair);
    late.send(kept_and_framed(wait));
    for client in clients.iter().chain([&late]) {
        client
            .read_response()
            .expect_error(502, "the proxy is being stopped");
    }
    assert_eq!(
        pair.site.happened("wait"),
        2,
        "a wait was sent though the daemon stops"
    );
    expect_good_end(pair);
}

#[test]
fn after_ten_seconds_those_who_still_wait_are_told_so() {
    let pair = Pair::start("'channels': 4");
    pair.site.await_ready(4);
    pair.site.always(Fault::Stall(Place::BeforeHeader));
    let (framed, bare) = (pair.client(), pair.client());
    framed.send(kept_and_framed("GET hosts"));
    bare.send("GET hosts\n\n");
    pair.site.await_stalled(2);
    pair.site.always(Fault::Stall(Place::InBody(2_000_000)));
    let begun = pair.client();
    begun.send("GET hosts\nTest-Size: 9000000\nResponseHeader: fixed16\n\n");
    pair.site.await_stalled(3);
    let half = pair.client();
    eventually("it is let in", || pair.daemon.descriptors() > 4);
    let began = Instant::now();
    stop(&pair);
    // Its own ten seconds end after those of the daemon.
    half.send("GET hosts\nResponseHeader: fixed16\n");
    framed
        .read_response()
        .expect_error(502, "the proxy is being stopped");
    assert!(began.elapsed() >= Duration::from_secs(9));
    assert!(bare.read_to_end().starts_with(b"502: Site muc"));
    half.read_response().expect_error(502, "not complete");
    // It got a beginning or nothing, and never a wrong end.
    let bytes = begun.read_to_end();
    let header = b"200     9000000\n";
    assert!(bytes.len() < 9_000_016);
    assert!(bytes.is_empty() || bytes.starts_with(header) || bytes.starts_with(b"502 "));
    expect_good_end(pair);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let pair = Pair::start("'channels': 1");
    pair.site.await_ready(1);
    let client = pair.holder();
    pair.site.await_stalled(1);
    stop(&pair);
    pair.daemon.signal("INT");
    pair.daemon.wait_log("stopping at once");
    assert!(client.at_end());
    expect_good_end(pair);
}

#[test]
fn what_others_have_put_in_its_place_is_left_alone() {
    let pair = Pair::start("");
    let socket = pair.daemon.socket("muc");
    std::fs::remove_file(&socket).unwrap();
    let _other = UnixListener::bind(&socket).unwrap();
    std::fs::remove_file(pid_file(&pair)).unwrap();
    std::fs::write(pid_file(&pair), "1\n").unwrap();
    stop(&pair);
    let (path, file) = (socket.clone(), pid_file(&pair));
    // The root goes with the daemon, so this is looked at before its end and after the removal.
    pair.daemon.wait_log("stopped");
    assert!(path.exists());
    assert_eq!(std::fs::read_to_string(file).unwrap(), "1\n");
    expect_good_end(pair);
}

#[test]
fn commands_of_clients_that_are_gone_are_delivered_before_the_end() {
    let pair = Pair::start("'channels': 1");
    pair.site.await_ready(1);
    let client = pair.holder();
    pair.site.await_stalled(1);
    let expected: Vec<String> = (0..20).map(|n| format!("COMMAND [1] C;{n}")).collect();
    for command in &expected {
        let client = pair.client();
        client.send(format!("{command}\n"));
        client.close();
    }
    stop(&pair);
    pair.site.release();
    expect_held(&client);
    pair.daemon.wait_log("stopped");
    // Each is a client of its own, and one that is let in before it has written comes a little later.
    let (mut delivered, mut expected) = (pair.site.commands(), expected);
    delivered.sort_unstable();
    expected.sort_unstable();
    assert_eq!(delivered, expected);
    expect_good_end(pair);
}

#[test]
fn a_stop_under_load_loses_nothing_that_was_asked() {
    for _ in 0..5 {
        let pair = Pair::with(FakeSite::start(), "", "'channels': 4");
        pair.site.await_ready(4);
        let load = Load::start(&[pair.daemon.socket("muc"), pair.daemon.socket("muc")]);
        load.await_more(30);
        // From here on a refused connect is what is to be expected, and nothing else.
        load.may_be_refused();
        pair.daemon.signal("TERM");
        expect_good_end(pair);
        let outcome = load.end();
        assert!(outcome.answered >= 30, "{outcome:?}");
    }
}
