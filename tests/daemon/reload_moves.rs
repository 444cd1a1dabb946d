//! A reload that changes a site: its address, its channels, its time-outs; under clients that stay.

use crate::pair::{BRISK, expect_held, rewritten};
use crate::reload::reload;
use crate::support::client::kept_and_framed;
use crate::support::{Client, Daemon, FakeSite, eventually, site};

fn ask(client: &Client, what: &str) {
    let line = format!("Filter: it = {what}");
    client
        .ask(format!("GET hosts\n{line}"))
        .expect(rewritten("GET hosts", &format!("{line}\n")));
}

#[test]
fn a_site_moves_and_its_clients_move_along() {
    let (old, new) = (FakeSite::start(), FakeSite::start());
    let keys = format!("{BRISK} 'channels': 1, 'channel_timeout': 20.0");
    let daemon = Daemon::start(&site("muc", &old, &keys));
    old.await_ready(1);
    let kept = daemon.client("muc");
    ask(&kept, "before");
    let (running, waiting, half) = (
        daemon.client("muc"),
        daemon.client("muc"),
        daemon.client("muc"),
    );
    running.send(kept_and_framed("GET hosts\nTest-Hold: on"));
    old.await_stalled(1);
    waiting.send(kept_and_framed("GET hosts\nFilter: it = waiting"));
    half.send("GET hosts\nFil");
    let command = daemon.client("muc");
    command.send("COMMAND [1] QUEUED;h\n");
    command.close();
    // Behind those: when it is let in, they are.
    let last = daemon.client("muc");
    last.send(kept_and_framed("GET hosts\nFilter: it = last"));
    let line = reload(&daemon, &site("muc", &new, &keys));
    assert!(line.ends_with("1 at another address"), "{line}");
    // Who waited is answered by the new one, though the old one still holds its query.
    waiting
        .read_response()
        .expect(rewritten("GET hosts", "Filter: it = waiting\n"));
    last.read_response()
        .expect(rewritten("GET hosts", "Filter: it = last\n"));
    eventually("the command goes to the new one", || {
        new.commands() == ["COMMAND [1] QUEUED;h"]
    });
    half.send("ter: it = half\nKeepAlive: on\nResponseHeader: fixed16\n\n");
    half.read_response()
        .expect(rewritten("GET hosts", "Filter: it = half\n"));
    ask(&kept, "after");
    assert_eq!((old.requests().len(), old.stalled()), (2, 1));
    old.release();
    expect_held(&running);
    ask(&running, "next");
    old.await_open(0);
    assert_eq!((old.requests().len(), new.requests().len()), (2, 5));
    assert_eq!(old.commands(), Vec::<String>::new());
    for client in [&kept, &running, &waiting, &half, &last] {
        client.expect_open();
    }
}

#[test]
fn a_command_held_for_a_dead_site_goes_to_where_the_site_has_moved() {
    let (old, new) = (FakeSite::start_refusing(), FakeSite::start());
    let daemon = Daemon::start(&site("muc", &old, ""));
    daemon.wait_log("site muc: dead");
    let client = daemon.client("muc");
    client.send("COMMAND [1] HELD;h\n");
    client.close();
    // It is read when a client that came later is answered.
    daemon
        .client("muc")
        .ask("GET hosts")
        .expect_error(502, "not reachable");
    reload(&daemon, &site("muc", &new, ""));
    eventually("the command is delivered", || {
        new.commands() == ["COMMAND [1] HELD;h"]
    });
    assert!(
        !daemon
            .log()
            .iter()
            .any(|line| line.contains("was not delivered"))
    );
}

#[test]
fn a_large_answer_in_flight_survives_the_move_whole() {
    let (old, new) = (FakeSite::start(), FakeSite::start());
    let daemon = Daemon::start(&site("muc", &old, BRISK));
    let client = daemon.client("muc");
    client.send(kept_and_framed(
        "GET hosts\nTest-Nonce: big\nTest-Size: 80000000",
    ));
    // More than what is held: the client has begun to read and holds the rest up.
    let header = client.read_exactly(16);
    assert_eq!(header, b"200    80000000\n");
    reload(&daemon, &site("muc", &new, BRISK));
    ask(&daemon.client("muc"), "new");
    let body = client.read_exactly(80_000_000);
    assert!(
        body == crate::support::site::payload("big", 80_000_000),
        "wrong bytes"
    );
    ask(&client, "next");
    old.await_open(0);
    assert_eq!(new.requests().len(), 2);
    reload(&daemon, "");
    new.await_open(0);
    assert!(client.at_end());
}

#[test]
fn more_and_fewer_channels_cost_no_query() {
    let fake = FakeSite::start();
    let keys = |channels: usize| format!("'channels': {channels}, 'channel_timeout': 20.0");
    let daemon = Daemon::start(&site("muc", &fake, &keys(2)));
    fake.await_ready(2);
    let clients: Vec<_> = (0..6).map(|_| daemon.client("muc")).collect();
    for client in &clients {
        client.send(kept_and_framed("GET hosts\nTest-Hold: on"));
    }
    fake.await_stalled(2);
    // Those who wait get the new channels.
    reload(&daemon, &site("muc", &fake, &keys(5)));
    fake.await_stalled(5);
    assert_eq!(fake.accepted(), 5);
    reload(&daemon, &site("muc", &fake, &keys(1)));
    eventually("all are released", || {
        fake.release();
        fake.requests().len() == 6 && fake.stalled() == 0
    });
    for client in &clients {
        expect_held(client);
    }
    fake.await_open(1);
    for client in &clients {
        ask(client, "again");
    }
    reload(&daemon, &site("muc", &fake, &keys(3)));
    fake.await_ready(3);
    assert_eq!(fake.happened("hold"), 6, "a query was sent twice");
}

#[test]
fn changed_time_outs_hold_for_those_who_wait_already() {
    let fake = FakeSite::start();
    let keys = |timeout: &str| format!("'channels': 1, 'channel_timeout': {timeout}");
    let daemon = Daemon::start(&site("muc", &fake, &keys("300.0")));
    fake.await_ready(1);
    let (running, waiting, patient) = (
        daemon.client("muc"),
        daemon.client("muc"),
        daemon.client("muc"),
    );
    running.send(kept_and_framed("GET hosts\nTest-Hold: on"));
    fake.await_stalled(1);
    waiting.send(kept_and_framed("GET hosts"));
    reload(&daemon, &site("muc", &fake, &keys("0.2")));
    waiting
        .read_response()
        .expect_error(502, "timeout waiting for free channel");
    reload(&daemon, &site("muc", &fake, &keys("300.0")));
    patient.send(kept_and_framed("GET hosts"));
    // The query that runs has the time it was given; the next one gets less.
    let short = format!("{}, 'query_timeout': 0.3", keys("300.0"));
    reload(&daemon, &site("muc", &fake, &short));
    fake.release();
    expect_held(&running);
    patient.read_response().expect(rewritten("GET hosts", ""));
    running.send(kept_and_framed("GET hosts\nTest-Hold: on"));
    running
        .read_response()
        .expect_error(502, "did not answer within");
    assert_eq!(fake.happened("hold"), 2);
}

#[test]
fn the_number_of_clients_of_a_site_follows_it_to_another_address() {
    let (old, new) = (FakeSite::start(), FakeSite::start());
    let keys = "'max_clients': 2";
    let daemon = Daemon::start(&site("muc", &old, keys));
    let (first, second) = (daemon.client("muc"), daemon.client("muc"));
    for client in [&first, &second] {
        ask(client, "old");
    }
    reload(&daemon, &site("muc", &new, keys));
    let third = daemon.client("muc");
    third.ask("GET hosts").expect_error(502, "Too many clients");
    for client in [&first, &second] {
        ask(client, "new");
    }
    drop(first);
    eventually("there is room for another one", || {
        daemon.client("muc").ask("GET hosts").code == 200
    });
}
