//! Commands on the channels to a site itself: when a channel is proved before it gets one, how long
//! one waits, and what becomes of it when the site dies meanwhile. In a chain of proxies the one in front has channels to the one behind only.

use std::time::Duration;

use crate::commands::{QUIET, command};
use crate::pair::{Pair, expect_held, rewritten};
use crate::support::client::kept_and_framed;
use crate::support::{Client, Event, Fault, Place, eventually};

/// Longer than a channel may have been silent before a command.
const IDLE: Duration = Duration::from_millis(1_200);

/// What happens at the site from here on.
fn events_from(pair: &Pair, mark: usize) -> Vec<Event> {
    pair.site.events().split_off(mark)
}

/// A site of so many channels that have been silent for long enough, a client, and how much has
/// happened at the site by now.
#[track_caller]
fn idle(channels: usize) -> (Pair, Client, usize) {
    let pair = Pair::start(&format!("{QUIET}'channels': {channels}"));
    pair.site.await_ready(channels);
    let client = pair.client();
    client.expect_silence(IDLE);
    let mark = pair.site.events().len();
    (pair, client, mark)
}

#[test]
fn proves_a_channel_that_was_idle_before_it_trusts_it_with_a_command() {
    let (pair, client, mark) = idle(1);
    client.send(format!("{}\n\n", command("PROVED")));
    eventually("the barrier is read", || {
        events_from(&pair, mark).len() >= 3
    });
    let proof = [Event::Heartbeat(1), Event::Command(1), Event::Heartbeat(1)];
    assert_eq!(events_from(&pair, mark), proof);
    assert_eq!(pair.site.commands(), [command("PROVED")]);
    pair.expect_unharmed();
    assert_eq!(pair.site.accepted(), 1, "the channel is out of step");
}

#[test]
fn does_not_prove_a_channel_that_has_just_answered() {
    let (pair, client, mark) = idle(1);
    let query = String::from_utf8(kept_and_framed("GET first")).unwrap();
    client.send(format!("{query}{}\n\n", command("AT_ONCE")));
    client.read_response().expect(rewritten("GET first", ""));
    eventually("the barrier is read", || {
        events_from(&pair, mark).len() >= 3
    });
    let unproved = [Event::Request(1), Event::Command(1), Event::Heartbeat(1)];
    assert_eq!(events_from(&pair, mark), unproved);
}

#[test]
fn a_command_waits_longer_for_a_channel_than_a_query() {
    let pair = Pair::start(&format!("{QUIET}'channels': 1, 'channel_timeout': 0.3"));
    pair.site.await_ready(1);
    let holder = pair.holder();
    pair.site.await_stalled(1);
    let patient = pair.client();
    patient.send(format!("{}\n", command("PATIENT")));
    patient.half_close();
    for _ in 0..3 {
        pair.ask("GET x").expect_error(502, "All 1 channels busy");
    }
    patient.expect_silence(Duration::from_millis(50));
    assert!(pair.site.commands().is_empty());
    pair.site.release();
    expect_held(&holder);
    assert_eq!(patient.read_to_end(), b"");
    assert_eq!(pair.site.commands(), [command("PATIENT")]);
}

#[test]
fn a_command_whose_channel_ends_at_the_proof_is_delivered_once_on_another() {
    for fault in [
        Fault::Close(Place::BeforeHeader),
        Fault::Reset(Place::BeforeHeader),
        Fault::Close(Place::InHeader(9)),
    ] {
        let (pair, client, mark) = idle(2);
        pair.site.next_heartbeat(fault.clone());
        client.send(format!("{}\n", command("MOVED")));
        client.half_close();
        assert_eq!(client.read_to_end(), b"");
        assert_eq!(pair.site.happened(fault.name()), 1, "{fault:?}");
        assert_eq!(pair.site.commands(), [command("MOVED")], "{fault:?}");
        let events = events_from(&pair, mark);
        let Some(Event::Heartbeat(proved)) = events.first() else {
            panic!("no proof: {events:?}");
        };
        assert!(!events.contains(&Event::Command(*proved)), "{events:?}");
        pair.expect_unharmed();
        assert_eq!(pair.site.commands().len(), 1, "delivered again");
    }
}

#[test]
fn commands_that_wait_when_the_site_dies_are_told_or_kept() {
    let mut pair = Pair::start(&format!("{QUIET}'channels': 1, 'channel_timeout': 20"));
    pair.site.await_ready(1);
    let _holder = pair.holder();
    pair.site.await_stalled(1);
    let waiting = pair.client();
    waiting.send(format!("{}\n", command("WAITED_FOR")));
    waiting.half_close();
    let gone = pair.client();
    gone.send(format!("{}\n", command("LEFT_ALONE")));
    gone.close();
    waiting.expect_silence(Duration::from_millis(50));
    pair.site.refuse();
    pair.site.reset_all();
    let text = String::from_utf8(waiting.read_to_end()).unwrap();
    assert!(
        text.starts_with("502: Site muc is not reachable"),
        "{text:?}"
    );
    pair.site.listen();
    eventually("the other one arrives", || !pair.site.commands().is_empty());
    pair.await_answers();
    assert_eq!(pair.site.commands(), [command("LEFT_ALONE")]);
}
