//! Queries that wait at the site for something to happen: a line and a share of their own.

use std::time::Duration;

use crate::commands::command;
use crate::pair::{Pair, rewritten};
use crate::support::client::kept_and_framed;
use crate::support::{Client, Event, FakeSite, eventually};

/// The lines of a wait query behind its first one.
fn wait_lines(name: &str, limit: &str) -> String {
    format!(
        "WaitObject: {name}\nWaitCondition: last_check > 1795198323\nWaitTrigger: check\n{limit}\
         Filter: name = {name}\n"
    )
}

/// Longer than any test.
const LONG: &str = "WaitTimeout: 60000\n";

fn send_wait(client: &Client, name: &str, limit: &str) {
    let lines = wait_lines(name, limit);
    client.send(kept_and_framed(format!("GET hosts\n{lines}")));
}

fn answer_to_wait(name: &str, limit: &str) -> Vec<u8> {
    rewritten("GET hosts", &wait_lines(name, limit))
}

/// The answer to a wait query that the proxy has given another limit.
fn answer_to_cut(name: &str, limit: &str, millis: u32) -> Vec<u8> {
    let lines = format!("{}WaitTimeout: {millis}\n", wait_lines(name, limit));
    rewritten("GET hosts", &lines)
}

/// A site that holds waits back until it is told to release them.
fn holding() -> FakeSite {
    let fake = FakeSite::start();
    fake.hold_waits(true);
    fake
}

#[test]
fn waits_use_at_most_half_of_the_channels() {
    let pair = Pair::with(holding(), "", "'channels': 4, 'channel_timeout': 20");
    pair.site.await_ready(4);
    let waiting: Vec<_> = (0..6)
        .map(|number: usize| {
            let client = pair.client();
            send_wait(&client, &number.to_string(), LONG);
            (number.to_string(), client)
        })
        .collect();
    pair.site.await_stalled(2);
    // Plain queries come later, and have two channels left at the same time.
    let held: Vec<_> = (0..2)
        .map(|_| {
            let client = pair.client();
            client.send(kept_and_framed("GET x\nTest-Delay: 100"));
            client
        })
        .collect();
    for client in &held {
        let answer = rewritten("GET x", "Test-Delay: 100\n");
        client.read_response().expect(answer);
    }
    pair.expect_unharmed();
    assert_eq!(pair.site.stalled(), 2);
    assert_eq!(pair.site.happened("wait"), 2, "a third one was sent");
    pair.site.hold_waits(false);
    pair.site.release();
    for (name, client) in &waiting {
        client.read_response().expect(answer_to_wait(name, LONG));
    }
    assert_eq!(pair.site.accepted(), 4);
}

#[test]
fn a_wait_that_has_queued_too_long_gets_the_present_state() {
    let pair = Pair::with(holding(), "", "'channels': 2, 'channel_timeout': 0.3");
    pair.site.await_ready(2);
    let holder = pair.client();
    send_wait(&holder, "holder", LONG);
    pair.site.await_stalled(1);
    for limit in [LONG, "", "WaitTimeout: 0\n"] {
        let client = pair.client();
        send_wait(&client, "late", limit);
        client
            .read_response()
            .expect(answer_to_cut("late", limit, 1));
        client.expect_open();
    }
    assert_eq!(pair.site.stalled(), 1, "the holder's place was not free");
    pair.site.release();
    holder
        .read_response()
        .expect(answer_to_wait("holder", LONG));
    pair.expect_unharmed();
}

#[test]
fn a_wait_that_would_hold_the_only_channel_is_cut() {
    let pair = Pair::start("'channels': 1");
    let client = pair.client();
    for limit in ["WaitTimeout: 20000\n", "", "WaitTimeout: 0\n"] {
        send_wait(&client, "cut", limit);
        let answer = answer_to_cut("cut", limit, 5_000);
        client.read_response().expect(answer);
    }
    for limit in ["WaitTimeout: 200\n", "WaitTimeout: 5000\n"] {
        send_wait(&client, "left", limit);
        client.read_response().expect(answer_to_wait("left", limit));
    }
    assert_eq!(pair.site.happened("wait"), 5);
    pair.expect_unharmed();
    assert_eq!(pair.site.accepted(), 1);
}

#[test]
fn a_client_that_leaves_its_wait_frees_the_place_at_once() {
    let pair = Pair::with(holding(), "", "'channels': 2, 'channel_timeout': 20");
    pair.site.await_ready(2);
    let mut served = pair.client();
    send_wait(&served, "0", LONG);
    for number in 1..4 {
        pair.site.await_happened("wait", number);
        let next = pair.client();
        send_wait(&next, &number.to_string(), LONG);
        next.expect_silence(Duration::from_millis(20));
        assert_eq!(pair.site.happened("wait"), number, "beyond its share");
        std::mem::replace(&mut served, next).close();
        pair.site.await_happened("wait", number + 1);
        eventually("the channel is closed and replaced", || {
            let closed = |event: &Event| matches!(event, Event::Closed(_));
            let lost = pair.site.events().into_iter().filter(closed).count();
            lost == number && pair.site.accepted() == 2 + number
        });
    }
    pair.site.await_ready(2);
    pair.site.release();
    served.read_response().expect(answer_to_wait("3", LONG));
    pair.expect_unharmed();
}

#[test]
fn a_wait_whose_client_leaves_the_line_is_never_sent() {
    let pair = Pair::with(holding(), "", "'channels': 2, 'channel_timeout': 0.5");
    pair.site.await_ready(2);
    let holder = pair.client();
    send_wait(&holder, "holder", LONG);
    pair.site.await_stalled(1);
    let gone = pair.client();
    send_wait(&gone, "gone", LONG);
    gone.expect_silence(Duration::from_millis(20));
    gone.close();
    let late = pair.client();
    send_wait(&late, "late", LONG);
    late.read_response().expect(answer_to_cut("late", LONG, 1));
    pair.site.release();
    holder
        .read_response()
        .expect(answer_to_wait("holder", LONG));
    assert_eq!(pair.site.happened("wait"), 2);
}

#[test]
fn waits_are_answered_at_once_when_the_site_dies() {
    let mut pair = Pair::with(holding(), "", "'channels': 2, 'channel_timeout': 20");
    pair.site.await_ready(2);
    let clients = ["sent", "queued"].map(|name| {
        let client = pair.client();
        send_wait(&client, name, LONG);
        client
    });
    pair.site.await_stalled(1);
    pair.site.refuse();
    pair.site.reset_all();
    for client in &clients {
        let response = client.read_response();
        response.expect_error(502, "Site muc ");
        client.expect_open();
    }
}

#[test]
fn a_wait_does_not_end_because_its_client_sends_no_more() {
    let pair = Pair::with(holding(), "", "'channels': 2");
    let client = pair.client();
    client.send(format!("GET hosts\n{}", wait_lines("half", LONG)));
    client.half_close();
    pair.site.await_stalled(1);
    client.expect_silence(Duration::from_millis(50));
    pair.site.release();
    assert_eq!(client.read_to_end(), answer_to_wait("half", LONG));
}

#[test]
fn ten_people_who_acknowledge_at_once_see_no_error() {
    let pair = Pair::start("'channels': 10");
    pair.site.await_ready(10);
    let limit = "WaitTimeout: 10000\n";
    let people: Vec<_> = (0..10)
        .map(|number: usize| {
            let name = format!("ACKNOWLEDGE_{number}");
            let client = pair.client();
            let lines = wait_lines(&name, limit);
            let query = kept_and_framed(format!("GET hosts\n{lines}"));
            let mut bytes = format!("{}\n\n", command(&name)).into_bytes();
            bytes.extend_from_slice(&query);
            client.send(bytes);
            (name, client)
        })
        .collect();
    for (name, client) in &people {
        let response = client.read_response();
        assert_eq!(response.code, 200, "{response:?}");
        let whole = answer_to_wait(name, limit);
        let cut = answer_to_cut(name, limit, 1);
        assert!([whole, cut].contains(&response.body), "{response:?}");
    }
    assert_eq!(pair.site.happened("wait"), 10);
    let mut found = pair.site.commands();
    found.sort();
    let mut wanted: Vec<_> = people.iter().map(|(name, _)| command(name)).collect();
    wanted.sort();
    assert_eq!(found, wanted);
}
