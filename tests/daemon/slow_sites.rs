//! A site that is slow, and one of which a single channel is dead, between real sockets. What takes
//! minutes is in the simulation.

use std::time::Duration;

use crate::pair::{Pair, QUERY, rewritten, right_answer};
use crate::support::client::kept_and_framed;
use crate::support::{Client, Event, FakeSite, Fault, Place, eventually};

/// Heartbeats overlap here: a new one goes out every second, and each takes half a second longer.
#[test]
fn a_site_with_slow_heartbeats_stays_ready() {
    let fake = FakeSite::start();
    fake.all_heartbeats(Fault::Late(Duration::from_millis(1_500)));
    let keys = "'channels': 3, 'heartbeat': (1, 15), 'channel_timeout': 20";
    let pair = Pair::with(fake, "", keys);
    pair.site.await_happened("late", 3 + 6);
    pair.ask(QUERY).expect(right_answer());
    assert_eq!(pair.states(), ["ready"]);
    assert_eq!(pair.site.accepted(), 3, "no channel was replaced");
}

/// Nobody asks anything, so that no answer shows that the site lives.
#[test]
fn a_silent_channel_of_an_idle_site_costs_one_channel() {
    let pair = Pair::start("'channels': 4, 'heartbeat': (3, 2.5)");
    pair.site.await_ready(4);
    pair.site.next_heartbeat(Fault::Stall(Place::BeforeHeader));
    pair.site.await_happened("stall-before-header", 1);
    eventually("the silent channel is replaced", || {
        pair.site.accepted() == 5
    });
    pair.site.await_ready(4);
    pair.ask(QUERY).expect(right_answer());
    assert_eq!(pair.states(), ["ready"]);
    assert_eq!(pair.site.accepted(), 5);
}

#[test]
fn long_queries_on_all_channels_are_answered_while_a_probe_shows_that_the_site_lives() {
    let pair = Pair::start("'channels': 10, 'heartbeat': (1, 2)");
    pair.site.await_ready(10);
    let lines = |number: usize| format!("Filter: name = {number}\nTest-Hold: on\n");
    let clients: Vec<Client> = (0..10)
        .map(|number| {
            let client = pair.client();
            client.send(kept_and_framed(format!("GET long\n{}", lines(number))));
            client
        })
        .collect();
    pair.site.await_stalled(10);
    eventually("two probes have come and gone", || {
        pair.site.accepted() >= 12 && pair.site.open_channels() == 10
    });
    assert_eq!(pair.site.stalled(), 10, "no query was given up");
    pair.site.release();
    for (number, client) in clients.iter().enumerate() {
        let answer = rewritten("GET long", &lines(number));
        client.read_response().expect(answer);
    }
    assert!(!pair.states().contains(&"dead".to_owned()));
    assert_eq!(pair.site.max_open(), 11, "one probe at a time");
    for probe in [11, 12] {
        let is_its = |event: &Event| {
            use Event::{Closed, Heartbeat, Opened};
            [Opened(probe), Heartbeat(probe), Closed(probe)].contains(event)
        };
        let events = pair.site.events();
        let its: Vec<_> = events.into_iter().filter(is_its).collect();
        let whole = [
            Event::Opened(probe),
            Event::Heartbeat(probe),
            Event::Closed(probe),
        ];
        assert_eq!(its, whole);
    }
}
