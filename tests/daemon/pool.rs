//! How many channels there are, who gets them in which order, and what becomes of them.

use std::time::Duration;

use crate::pair::{Pair, rewritten};
use crate::support::client::kept_and_framed;
use crate::support::site::IDLE_TEXT;
use crate::support::{Client, Event, Fault, Place, eventually};

/// A query that the site holds back until it is released.
fn held(name: &str) -> String {
    format!("GET held\nFilter: name = {name}\nTest-Hold: on\n")
}

fn answer_to_held(name: &str) -> Vec<u8> {
    let lines = format!("Filter: name = {name}\nTest-Hold: on\n");
    rewritten("GET held", &lines)
}

fn ask_held(pair: &Pair, name: &str) -> Client {
    let client = pair.client();
    client.send(kept_and_framed(held(name)));
    client
}

/// A query that has to wait behind held ones.
fn queue_up(pair: &Pair, name: &str) -> Client {
    let client = pair.client();
    client.send(kept_and_framed(format!("GET x\nFilter: name = {name}")));
    // The daemon sees clients in the order in which they speak only if it has looked in between.
    std::thread::sleep(Duration::from_millis(5));
    client
}

fn answer_to_queued(name: &str) -> Vec<u8> {
    rewritten("GET x", &format!("Filter: name = {name}\n"))
}

/// The names in the site's requests, in order.
fn names(pair: &Pair) -> Vec<String> {
    let name = |bytes: &Vec<u8>| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (_, rest) = text.split_once("Filter: name = ").unwrap();
        rest.lines().next().unwrap().to_owned()
    };
    pair.site.requests().iter().map(name).collect()
}

#[test]
fn opens_channels_one_after_another() {
    let pair = Pair::start("'channels': 6");
    pair.site.await_ready(6);
    let mut wanted = Vec::new();
    for channel in 1..=6 {
        wanted.extend([Event::Opened(channel), Event::Heartbeat(channel)]);
    }
    assert_eq!(pair.site.events(), wanted);
}

#[test]
fn opens_no_second_channel_before_the_first_has_answered() {
    let site = crate::support::FakeSite::start();
    site.next_heartbeat(Fault::Stall(Place::BeforeHeader));
    site.next_heartbeat(Fault::Stall(Place::InBody(3)));
    let pair = Pair::with(site, "", "'channels': 3");
    for (open, fault) in [(1, "stall-before-header"), (2, "stall-in-body")] {
        pair.site.await_happened(fault, 1);
        // Time enough for a channel that should not come.
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(pair.site.open_channels(), open);
        pair.site.release();
    }
    pair.site.await_ready(3);
}

#[test]
fn never_opens_more_channels_than_configured() {
    let pair = Pair::start("'channels': 3");
    let clients: Vec<_> = (0..30)
        .map(|number| {
            let client = pair.client();
            client.send(kept_and_framed(format!(
                "GET x\nFilter: name = {number}\nTest-Delay: 20"
            )));
            client
        })
        .collect();
    for (number, client) in clients.iter().enumerate() {
        let lines = format!("Filter: name = {number}\nTest-Delay: 20\n");
        client.read_response().expect(rewritten("GET x", &lines));
    }
    assert_eq!(pair.site.max_open(), 3);
    assert_eq!(pair.site.accepted(), 3);
}

#[test]
fn serves_as_many_queries_at_once_as_there_are_channels() {
    let pair = Pair::start("'channels': 4");
    let clients: Vec<_> = (0..4)
        .map(|number| ask_held(&pair, &number.to_string()))
        .collect();
    pair.site.await_stalled(4);
    pair.site.release();
    for (number, client) in clients.iter().enumerate() {
        let answer = answer_to_held(&number.to_string());
        client.read_response().expect(answer);
    }
}

#[test]
fn serves_waiting_clients_in_order() {
    let pair = Pair::start("'channels': 1, 'channel_timeout': 20");
    let first = ask_held(&pair, "first");
    pair.site.await_stalled(1);
    let waiting: Vec<_> = (0..12)
        .map(|number| queue_up(&pair, &number.to_string()))
        .collect();
    pair.site.release();
    first.read_response().expect(answer_to_held("first"));
    for (number, client) in waiting.iter().enumerate() {
        let answer = answer_to_queued(&number.to_string());
        client.read_response().expect(answer);
    }
    let mut wanted = vec!["first".to_owned()];
    wanted.extend((0..12).map(|number: usize| number.to_string()));
    assert_eq!(names(&pair), wanted);
}

#[test]
fn refuses_when_no_channel_gets_free_in_time() {
    let pair = Pair::start("'channels': 2, 'channel_timeout': 0.5");
    pair.site.await_ready(2);
    let first = ask_held(&pair, "a");
    pair.site.await_stalled(1);
    let second = ask_held(&pair, "b");
    pair.site.await_stalled(2);

    let client = pair.client();
    let response = client.ask("GET x\nFilter: name = late");
    response.expect_error(502, "");
    let text = response.text();
    let waited = text
        .strip_prefix("All 2 channels busy, timeout waiting for free channel. (site muc, waited ")
        .and_then(|rest| rest.strip_suffix(" s)\n"))
        .unwrap_or_else(|| panic!("{text:?}"));
    assert!(waited.parse::<f64>().unwrap() >= 0.5, "{text:?}");
    client.expect_open();

    let bare = pair.client();
    bare.send("GET x\nFilter: name = bare\n\n");
    let bytes = bare.read_to_end();
    let start = b"502: All 2 channels busy, timeout waiting for free channel. (site muc, waited ";
    assert!(bytes.starts_with(start), "{}", bytes.escape_ascii());

    pair.site.release();
    first.read_response().expect(answer_to_held("a"));
    second.read_response().expect(answer_to_held("b"));
    let response = client.ask("GET x\nFilter: name = then");
    response.expect(answer_to_queued("then"));
    assert_eq!(names(&pair), ["a", "b", "then"]);
}

#[test]
fn forgets_a_waiting_client_that_is_gone() {
    let pair = Pair::start("'channels': 1, 'channel_timeout': 20");
    let first = ask_held(&pair, "first");
    pair.site.await_stalled(1);
    let waiting: Vec<_> = (0..10)
        .map(|number| queue_up(&pair, &number.to_string()))
        .collect();
    let mut staying = Vec::new();
    for (number, client) in waiting.into_iter().enumerate() {
        match number % 3 {
            0 => staying.push((number, client)),
            _ => client.close(),
        }
    }
    // A client that comes after the hang-ups has them read before itself.
    let last = queue_up(&pair, "last");
    std::thread::sleep(Duration::from_millis(50));
    pair.site.release();
    first.read_response().expect(answer_to_held("first"));
    for (number, client) in &staying {
        let answer = answer_to_queued(&number.to_string());
        client.read_response().expect(answer);
    }
    last.read_response().expect(answer_to_queued("last"));
    assert_eq!(names(&pair), ["first", "0", "3", "6", "9", "last"]);
}

#[test]
fn survives_clients_that_go_while_they_are_served() {
    let pair = Pair::start("'channels': 2");
    pair.site.await_ready(2);
    for round in 0..5 {
        let gone = [
            ask_held(&pair, &format!("x{round}")),
            ask_held(&pair, &format!("y{round}")),
        ];
        eventually("both are served", || {
            pair.site.happened("hold") == 2 * (round + 1)
        });
        drop(gone);
        let next = queue_up(&pair, "next");
        pair.site.release();
        next.read_response().expect(answer_to_queued("next"));
    }
    pair.site.await_ready(2);
    pair.expect_unharmed();
}

#[test]
fn clients_that_go_in_the_middle_of_a_large_answer_cost_nothing() {
    let pair = Pair::start("'channels': 2");
    pair.expect_unharmed();
    let descriptors = pair.daemon.descriptors();
    for number in 0..10 {
        let client = pair.client();
        client.send(kept_and_framed(format!(
            "GET x\nTest-Nonce: {number}\nTest-Size: 8000000"
        )));
        client.read_exactly(100);
        client.close();
    }
    pair.expect_unharmed();
    pair.site.await_ready(2);
    eventually("its descriptors are back", || {
        pair.daemon.descriptors() <= descriptors + 1
    });
}

#[test]
fn refuses_clients_over_the_limit() {
    let pair = Pair::start("'channels': 1, 'max_clients': 3, 'channel_timeout': 20");
    let first = ask_held(&pair, "first");
    pair.site.await_stalled(1);
    let waiting: Vec<_> = (0..2)
        .map(|number| queue_up(&pair, &number.to_string()))
        .collect();
    let too_many = pair.client();
    // It may be refused before it has said anything.
    let _ = too_many.try_send(kept_and_framed("GET x\nFilter: name = many"));
    let bytes = too_many.read_to_end();
    assert!(bytes.starts_with(b"502"), "{}", bytes.escape_ascii());

    pair.site.release();
    first.read_response().expect(answer_to_held("first"));
    for (number, client) in waiting.iter().enumerate() {
        let answer = answer_to_queued(&number.to_string());
        client.read_response().expect(answer);
    }
    drop((first, waiting));
    pair.await_answers();
}

#[test]
fn replaces_idle_channels_that_are_lost() {
    let pair = Pair::start("'channels': 3");
    for round in 0..4 {
        pair.site.await_ready(3);
        eventually("a channel is idle", || pair.site.close_idle());
        eventually("the channel is replaced", || {
            pair.site.accepted() > 3 + round
        });
        pair.expect_unharmed();
    }
    assert_eq!(pair.site.happened("idle-close"), 4);
    pair.site.await_ready(3);

    pair.site.reset_all();
    pair.await_answers();
    pair.site.await_ready(3);
}

#[test]
fn never_takes_the_words_of_an_idle_channel_for_an_answer() {
    let pair = Pair::start("'channels': 2");
    let console = pair.daemon.console();
    // What the site has answered, the daemon may not have read yet; with one channel less the site
    // would be dead.
    let await_both = || console.await_number("muc", "channels_open", 2.0);
    let whole_answer = b"200           5\nevil\n";
    let mut lost = 0;
    for text in [IDLE_TEXT, whole_answer, b"x"] {
        await_both();
        eventually("a channel is idle", || pair.site.speak_on_idle(text));
        pair.expect_unharmed();
        lost += 1;
        eventually("the channel is replaced", || {
            pair.site.accepted() >= 2 + lost
        });
        await_both();
        eventually("a channel is idle", || pair.site.babble_on_idle(text));
        pair.expect_unharmed();
        lost += 1;
        eventually("the channel is replaced", || {
            pair.site.accepted() >= 2 + lost
        });
    }
    assert_eq!(pair.site.happened("idle-text"), 3);
    assert_eq!(pair.site.happened("idle-bytes"), 3);
}
