//! How the daemon judges a site: starting, dead, back again; and what clients are told meanwhile.

use std::time::{Duration, Instant};

use crate::pair::{BRISK, Pair, QUERY, right_answer};
use crate::support::client::kept_and_framed;
use crate::support::{Client, Daemon, FakeSite, Fault, Place, Spec, eventually, site};

/// Heartbeats that are missed soon: every second, and half a second of patience.
const ALERT: &str = "'heartbeat': (1, 0.5), ";

/// Asserts the refusal that a person is shown for a dead site.
#[track_caller]
fn expect_unreachable(client: &Client, cause: &str) {
    let begun = Instant::now();
    let response = client.ask(QUERY);
    let start = format!("Site muc is not reachable: {cause}");
    response.expect_error(502, &start);
    let text = response.text();
    assert!(text.starts_with(&start), "{text:?}");
    assert!(text.contains(" (for ") && text.ends_with(")\n"), "{text:?}");
    // Far below every time for which a client may wait for a channel in these tests.
    assert!(begun.elapsed() < Duration::from_secs(5), "not at once");
}

/// Waits until the site counts as dead.
#[track_caller]
fn await_death(pair: &Pair) {
    eventually("the site is dead", || {
        let response = pair.ask(QUERY);
        response.code == 502 && response.text().contains("is not reachable")
    });
}

#[test]
fn a_client_of_a_starting_site_waits_until_it_is_served() {
    let fake = FakeSite::start();
    fake.all_heartbeats(Fault::Stall(Place::BeforeHeader));
    let pair = Pair::with(fake, "", "'channel_timeout': 20");
    pair.site.await_stalled(1);
    let client = pair.client();
    client.send(kept_and_framed(QUERY));
    client.expect_silence(Duration::from_millis(100));
    assert!(pair.site.requests().is_empty());
    pair.site.behave();
    pair.site.release();
    client.read_response().expect(right_answer());
}

#[test]
fn a_client_of_a_site_that_is_refused_is_told_at_once() {
    for form in ["framed", "bare"] {
        let pair = Pair::with(FakeSite::start_refusing(), "", "'channel_timeout': 20");
        let client = pair.client();
        if form == "framed" {
            expect_unreachable(&client, "Connection refused");
            client.expect_open();
            expect_unreachable(&client, "Connection refused");
        } else {
            client.send(format!("{QUERY}\n\n"));
            let text = String::from_utf8(client.read_to_end()).unwrap();
            let start = "502: Site muc is not reachable: Connection refused (for ";
            assert!(text.starts_with(start), "{text:?}");
        }
        assert_eq!(pair.site.accepted(), 0);
    }
}

#[test]
fn a_site_that_comes_back_is_served_again() {
    let mut pair = Pair::with(FakeSite::start_refusing(), "", "'channel_timeout': 20");
    for _ in 0..3 {
        await_death(&pair);
        pair.site.listen();
        pair.await_answers();
        pair.expect_unharmed();
        pair.site.refuse();
        pair.site.reset_all();
    }
    await_death(&pair);
    // Until the next attempt, the cause is the reset of the last channel.
    eventually("an attempt is refused", || {
        let told = pair.ask("GET hosts");
        told.text().contains("Connection refused")
    });
    expect_unreachable(&pair.client(), "Connection refused");
}

#[test]
fn a_site_that_stops_answering_heartbeats_is_dead() {
    let keys = format!("{ALERT}'channels': 3, 'channel_timeout': 20");
    let pair = Pair::start(&keys);
    pair.site.await_ready(3);
    pair.expect_unharmed();
    pair.site.all_heartbeats(Fault::Stall(Place::BeforeHeader));
    pair.site.always(Fault::Stall(Place::BeforeHeader));
    pair.site.await_happened("stall-before-header", 1);
    // Asking would show the stall too; without a question only the heartbeat can.
    eventually("all channels but a new attempt are closed", || {
        pair.site.open_channels() <= 1
    });
    expect_unreachable(&pair.client(), "");
    assert_eq!(pair.site.requests().len(), 8, "only the harmless ones");

    pair.site.behave();
    pair.site.release();
    pair.await_answers();
    pair.site.await_ready(3);
}

#[test]
fn a_site_that_answers_heartbeats_wrongly_is_not_reachable() {
    for fault in [
        Fault::Close(Place::BeforeHeader),
        Fault::Close(Place::InHeader(4)),
        Fault::Reset(Place::InBody(2)),
        Fault::Header(*b"200 not a header"),
        Fault::Raw(b"No UNIX socket /omd/sites/muc/tmp/run/live existing\n".to_vec()),
        Fault::Extra(b"200           2\nx\n".to_vec()),
    ] {
        let fake = FakeSite::start();
        fake.all_heartbeats(fault.clone());
        let pair = Pair::with(fake, "", "'channels': 2, 'channel_timeout': 20");
        expect_unreachable(&pair.client(), "");
        assert!(pair.site.happened(fault.name()) >= 1, "{fault:?}");
        assert!(pair.site.requests().is_empty(), "{fault:?}");
        pair.site.behave();
        pair.await_answers();
    }
}

#[test]
fn a_query_that_runs_when_the_site_dies_is_answered_at_once() {
    let keys = format!("{ALERT}'channels': 3, 'query_timeout': 600");
    let pair = Pair::start(&keys);
    pair.site.await_ready(3);
    let client = pair.holder();
    pair.site.await_stalled(1);
    pair.site.all_heartbeats(Fault::Stall(Place::BeforeHeader));
    let response = client.read_response();
    response.expect_error(502, "Site muc is not reachable: ");
    client.expect_open();
    assert!(pair.site.happened("stall-before-header") >= 1);
    assert_eq!(pair.site.requests().len(), 1, "it is not asked again");
}

#[test]
fn queries_that_wait_when_the_site_dies_are_answered_at_once() {
    let keys = "'channels': 2, 'channel_timeout': 600, 'query_timeout': 600";
    let mut pair = Pair::start(keys);
    pair.site.await_ready(2);
    let clients: Vec<_> = (0..6).map(|_| pair.holder()).collect();
    pair.site.await_stalled(2);
    pair.site.refuse();
    pair.site.reset_all();
    for client in &clients {
        let response = client.read_response();
        assert_eq!(response.code, 502, "{response:?}");
        client.expect_open();
    }
    expect_unreachable(&clients[0], "Connection refused");
    assert_eq!(pair.site.requests().len(), 2);
}

#[test]
fn one_missed_heartbeat_costs_one_channel_only() {
    let keys = format!("{ALERT}'channels': 4");
    let pair = Pair::start(&keys);
    pair.site.await_ready(4);
    pair.site.next_heartbeat(Fault::Stall(Place::BeforeHeader));
    // Queries keep bytes coming from the site while its heartbeat goes unanswered.
    let client = pair.client();
    eventually("the silent channel is replaced", || {
        client.ask(QUERY).expect(right_answer());
        pair.site.happened("stall-before-header") == 1 && pair.site.accepted() > 4
    });
    pair.site.await_ready(4);
    assert_eq!(pair.site.accepted(), 5);
    client.ask(QUERY).expect(right_answer());
}

#[test]
fn a_silent_site_holds_up_no_other() {
    let silent = FakeSite::start();
    silent.all_heartbeats(Fault::Stall(Place::BeforeHeader));
    silent.always(Fault::Stall(Place::InBody(10)));
    let mut unheard = FakeSite::start();
    unheard.never_accept();
    let well = FakeSite::start();
    let keys = format!("{BRISK}'channels': 2, 'channel_timeout': 600");
    let text = [
        site("silent", &silent, &keys),
        site("unheard", &unheard, &keys),
        site("muc", &well, &keys),
    ]
    .concat();
    let daemon = Daemon::start(&text);
    silent.await_stalled(1);
    eventually("a connect hangs", || unheard.unanswered_connects() > 0);
    let stuck: Vec<_> = ["silent", "unheard", "silent", "unheard"]
        .iter()
        .map(|name| {
            let client = daemon.client(name);
            client.send(kept_and_framed(QUERY));
            client
        })
        .collect();
    let client = daemon.client("muc");
    for _ in 0..100 {
        client.ask(QUERY).expect(right_answer());
    }
    stuck.iter().for_each(Client::expect_open);
}

#[test]
fn a_site_that_never_accepts_is_not_reachable() {
    let mut fake = FakeSite::start();
    fake.never_accept();
    let mut pair = Pair::with(fake, "", "'channel_timeout': 0.5");
    eventually("a connect hangs", || pair.site.unanswered_connects() > 0);
    let client = pair.client();
    client.ask(QUERY).expect_error(502, "muc");
    client.expect_open();
    await_death(&pair);
    pair.site.listen();
    pair.await_answers();
}

#[test]
fn a_name_that_does_not_exist_is_not_reachable() {
    // A label of more than 63 bytes is refused by every resolver without asking anybody.
    let name = format!("{}.invalid", "n".repeat(64));
    let keys = format!("{BRISK}'channel_timeout': 20");
    let daemon = Daemon::start(&site("muc", Spec::named(&name, 6557), &keys));
    let client = daemon.client("muc");
    expect_unreachable(&client, "");
    let text = client.ask(QUERY).text();
    assert!(!text.contains("refused"), "{text:?}");
}

#[test]
fn sites_of_every_kind_are_served() {
    let by_name = FakeSite::start();
    let v6 = FakeSite::start_v6();
    let unix = FakeSite::start_unix();
    let builder = Daemon::builder();
    let local = FakeSite::start_unix_at(&builder.root().file("tmp/run/live"));
    let text = [
        site("v6", &v6, BRISK),
        site("unix", &unix, BRISK),
        site("local", Spec::text("('local', None)"), BRISK),
        site("name", by_name.spec_named("localhost"), BRISK),
    ]
    .concat();
    let daemon = builder.config(&text).start();
    for (name, fake) in [
        ("v6", &v6),
        ("unix", &unix),
        ("local", &local),
        ("name", &by_name),
    ] {
        let client = daemon.client(name);
        client.ask(QUERY).expect(right_answer());
        assert_eq!(fake.requests(), [right_answer()], "{name}");
    }
}

#[test]
fn a_unix_site_that_is_away_is_not_reachable() {
    let mut pair = Pair::with(FakeSite::start_unix(), "", "'channel_timeout': 20");
    pair.ask(QUERY).expect(right_answer());
    pair.site.refuse();
    pair.site.close_all();
    // If no attempt was under way, it is dead by the end of its channels until the next one.
    eventually("an attempt is refused", || {
        pair.ask(QUERY).text().contains("Connection refused")
    });
    expect_unreachable(&pair.client(), "Connection refused");
    pair.site.listen();
    pair.await_answers();

    let nothing = pair.daemon.root().join("nothing");
    let keys = format!("{BRISK}'channel_timeout': 20");
    let daemon = Daemon::start(&site("muc", nothing.as_path(), &keys));
    expect_unreachable(&daemon.client("muc"), "No such file or directory");
}
