//! Icinga 2, as far as a scripted site can stand for it: channels exist only while somebody asks.

use std::net::TcpListener;
use std::time::Duration;

use crate::pair::{Pair, expect_held, rewritten};
use crate::support::client::kept_and_framed;
use crate::support::site::Identity;
use crate::support::{Daemon, Event, FakeSite, Fault, Namespace, Place, eventually, site};

/// A site that says of itself what Icinga 2 says.
fn icinga2() -> FakeSite {
    let fake = FakeSite::start();
    fake.identify(Identity {
        program_version: "r2.13.6-1-icinga2".to_owned(),
        ..Identity::default()
    });
    fake
}

/// A daemon in front of it that has seen what it is and let go of it.
fn unneeded(keys: &str) -> Pair {
    let pair = Pair::with(icinga2(), "", keys);
    eventually("the only channel is closed again", || {
        pair.site.heartbeats() == 1 && pair.site.open_channels() == 0
    });
    pair
}

/// Asserts that the site was never anything but ready since it first was.
fn expect_always_ready(pair: &Pair) {
    assert_eq!(pair.states(), ["ready"]);
}

#[test]
fn keeps_no_channel_to_icinga_2_and_stays_ready() {
    let pair = unneeded("");
    let client = pair.client();
    // Time enough for channels that should not come.
    client.expect_silence(Duration::from_millis(500));
    assert_eq!(pair.site.accepted(), 1);
    client.ask("GET hosts").expect(rewritten("GET hosts", ""));
    assert_eq!(pair.site.heartbeats(), 1, "the query was proof enough");
    let wanted = [
        Event::Opened(1),
        Event::Heartbeat(1),
        Event::Closed(1),
        Event::Opened(2),
        Event::Request(2),
    ];
    assert_eq!(pair.site.events(), wanted);
    pair.expect_unharmed();
    assert_eq!(pair.site.accepted(), 2, "one after another needs one only");
    eventually("it is closed when nobody asks", || {
        pair.site.open_channels() == 0
    });
    client.ask("GET hosts").expect(rewritten("GET hosts", ""));
    assert_eq!(pair.site.accepted(), 3);
    assert_eq!(pair.site.heartbeats(), 1);
    expect_always_ready(&pair);
}

/// A channel that was only ever asked queries had not proved its address, and its end made it a bad one.
#[test]
fn of_two_addresses_the_one_that_answers_queries_is_kept() {
    let Some(network) = Namespace::with_other_files_or_say("left out") else {
        return;
    };
    let fake = network.inside(icinga2);
    let port = fake.tcp().port();
    let silent = network.inside(|| TcpListener::bind(("127.0.0.2", port)).unwrap());
    silent.set_nonblocking(true).unwrap();
    let mut taken = Vec::new();
    let mut visits = || {
        taken.extend(silent.accept());
        taken.len()
    };
    let keys = "'heartbeat': (1, 0.3)";
    let builder = Daemon::builder().config(&site("muc", fake.spec_named("twofold"), keys));
    let hosts = "127.0.0.1 twofold\n127.0.0.2 twofold\n";
    let (daemon, _) = network.start_with_file(builder, "/etc/hosts", hosts);
    let pair = Pair { daemon, site: fake };
    pair.await_answers();
    // Which one came first is the resolver's choice.
    let before = visits();
    for _ in 0..2 {
        eventually("the channel is closed", || pair.site.open_channels() == 0);
        pair.ask("GET hosts").expect(rewritten("GET hosts", ""));
        assert_eq!(visits(), before);
    }
}

#[test]
fn a_channel_to_icinga_2_serves_further_queries_for_a_while() {
    let pair = unneeded("");
    let client = pair.client();
    client.ask("GET hosts").expect(rewritten("GET hosts", ""));
    client.expect_silence(Duration::from_millis(1_500));
    assert_eq!(pair.site.open_channels(), 1, "closed too soon");
    client.ask("GET hosts").expect(rewritten("GET hosts", ""));
    assert_eq!(pair.site.accepted(), 2);
}

#[test]
fn opens_a_second_channel_to_icinga_2_only_while_a_query_waits() {
    let pair = unneeded("'channel_timeout': 20");
    let held = pair.holder();
    pair.site.await_stalled(1);
    held.expect_silence(Duration::from_millis(200));
    assert_eq!(pair.site.open_channels(), 1);
    let clients: Vec<_> = (0..20)
        .map(|number| {
            let client = pair.client();
            let lines = format!("Filter: name = {number}\nTest-Delay: 20\n");
            client.send(kept_and_framed(format!("GET x\n{lines}")));
            (rewritten("GET x", &lines), client)
        })
        .collect();
    for (answer, client) in &clients {
        client.read_response().expect(answer);
    }
    assert_eq!(pair.site.stalled(), 1);
    pair.site.release();
    expect_held(&held);
    assert_eq!(pair.site.max_open(), 2);
    assert_eq!(pair.site.accepted(), 3);
    expect_always_ready(&pair);
    eventually("both are closed", || pair.site.open_channels() == 0);
}

#[test]
fn as_many_channels_to_icinga_2_are_kept_as_its_site_asks_for() {
    let pair = Pair::with(icinga2(), "", "'channels': 3, 'heartbeat': (1, 5), ");
    pair.site.await_ready(3);
    pair.expect_unharmed();
    // Longer than channels on demand live.
    pair.client().expect_silence(Duration::from_secs(6));
    assert_eq!(pair.site.open_channels(), 3);
    assert_eq!(pair.site.accepted(), 3);
    assert!(pair.site.heartbeats() > 3, "they are proved");
}

#[test]
fn delivers_commands_to_icinga_2() {
    let pair = unneeded("");
    let client = pair.client();
    client.send("COMMAND [1795198323] OF_A_SHELL;x\n");
    client.half_close();
    assert_eq!(client.read_to_end(), b"");
    let client = pair.client();
    client.send("COMMAND [1795198323] OF_NAGVIS;x\n");
    client.close();
    eventually("it arrives", || pair.site.commands().len() >= 2);
    pair.expect_unharmed();
    let wanted = ["OF_A_SHELL", "OF_NAGVIS"].map(|name| format!("COMMAND [1795198323] {name};x"));
    assert_eq!(pair.site.commands(), wanted);
    assert!(pair.site.max_open() <= 2);
    expect_always_ready(&pair);
}

#[test]
fn a_lost_answer_of_icinga_2_is_asked_again() {
    let pair = unneeded("");
    for fault in [
        Fault::Close(Place::BeforeHeader),
        Fault::Reset(Place::InBody(3)),
    ] {
        pair.site.next(fault.clone());
        pair.ask("GET hosts").expect(rewritten("GET hosts", ""));
        assert_eq!(pair.site.happened(fault.name()), 1);
    }
}

#[test]
fn icinga_2_that_goes_is_noticed_by_the_next_query() {
    let mut pair = unneeded("");
    pair.site.refuse();
    let client = pair.client();
    let response = client.ask("GET hosts");
    response.expect_error(502, "Site muc is not reachable: Connection refused");
    pair.site.listen();
    pair.await_answers();
    pair.expect_unharmed();
}
