//! Who waits for a channel, for how long, and what those are told who wait in vain or are too many.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use mio::net::UnixStream;
use mio::{Events, Interest, Poll, Token};

use crate::pair::{BRISK, Pair, rewritten};
use crate::support::client::{assert_same, kept_and_framed};
use crate::support::{Client, Daemon, FakeSite, Fault, Place, eventually, site};

fn held(name: &str) -> String {
    format!("GET held\nFilter: name = {name}\nTest-Hold: on\n")
}

/// Clients whose queries the site holds back, one on each channel.
fn take(pair: &Pair, channels: usize) -> Vec<Client> {
    let take = |number: usize| {
        let client = pair.client();
        client.send(kept_and_framed(held(&number.to_string())));
        pair.site.await_stalled(number + 1);
        client
    };
    (0..channels).map(take).collect()
}

/// Channels and seconds in the text for those who waited in vain.
#[track_caller]
fn busy(text: &str) -> (usize, f64) {
    let parts = text.strip_prefix("All ").and_then(|rest| {
        rest.split_once(" channels busy, timeout waiting for free channel. (site muc, waited ")
    });
    let (channels, rest) = parts.unwrap_or_else(|| panic!("{text:?}"));
    let seconds = rest.strip_suffix(" s)\n").unwrap();
    (channels.parse().unwrap(), seconds.parse().unwrap())
}

#[test]
fn waiting_is_counted_from_the_end_of_the_request() {
    const PAUSE: Duration = Duration::from_millis(1_500);
    let pair = Pair::start("'channels': 1, 'channel_timeout': 1, 'heartbeat': (60, 10)");
    pair.site.await_ready(1);
    let _taken = take(&pair, 1);
    let client = pair.client();
    let begun = Instant::now();
    client.send("GET hosts\nColumns: name\n");
    // Longer than anybody may wait for a channel.
    std::thread::sleep(PAUSE);
    client.send(kept_and_framed("Filter: name = late"));
    let response = client.read_response();
    let whole = begun.elapsed();
    let (channels, waited) = busy(&response.text());
    assert_eq!((response.code, channels), (502, 1));
    assert!(waited >= 1.0, "{waited}");
    // The figure is rounded to a tenth.
    let most = whole.saturating_sub(PAUSE).as_secs_f64() + 0.1;
    assert!(waited <= most, "{waited} of {whole:?}");
}

/// Each is refused at its own time: none earlier because others were, and none forgotten.
#[test]
fn each_of_many_who_wait_in_vain_has_waited_for_its_whole_time() {
    let pair = Pair::start("'channels': 2, 'channel_timeout': 0.5, 'heartbeat': (60, 10)");
    pair.site.await_ready(2);
    let _taken = take(&pair, 2);
    let waiting: Vec<_> = (0..30)
        .map(|number| {
            let client = pair.client();
            let begun = Instant::now();
            client.send(kept_and_framed(format!("GET x\nFilter: name = {number}")));
            std::thread::sleep(Duration::from_millis(10));
            (client, begun)
        })
        .collect();
    for (client, begun) in &waiting {
        let response = client.read_response();
        let whole = begun.elapsed().as_secs_f64();
        let (channels, waited) = busy(&response.text());
        assert_eq!((response.code, channels), (502, 2));
        assert!(waited >= 0.5, "{waited}");
        assert!(whole >= 0.5, "answered after {whole} s");
        client.expect_open();
    }
    assert_eq!(pair.site.requests().len(), 2, "only the held ones");
}

/// An administrator has to see that the site has not got what was configured for it.
#[test]
fn those_who_wait_in_vain_are_told_how_many_channels_are_open() {
    let fake = FakeSite::start();
    fake.next_heartbeat(Fault::Nothing);
    fake.next_heartbeat(Fault::Nothing);
    // The third is accepted, and never answers.
    fake.all_heartbeats(Fault::Stall(Place::BeforeHeader));
    let keys = "'channels': 5, 'channel_timeout': 0.5, 'heartbeat': (60, 10)";
    let pair = Pair::with(fake, "", keys);
    pair.site.await_stalled(1);
    let taken: Vec<_> = ["a", "b"]
        .iter()
        .map(|name| {
            let client = pair.client();
            client.send(kept_and_framed(held(name)));
            client
        })
        .collect();
    pair.site.await_stalled(3);
    let response = pair.ask("GET x\nFilter: name = late");
    let (channels, _) = busy(&response.text());
    assert_eq!(channels, 2);
    pair.site.behave();
    pair.site.release();
    for (client, name) in taken.iter().zip(["a", "b"]) {
        let lines = format!("Filter: name = {name}\nTest-Hold: on\n");
        client.read_response().expect(rewritten("GET held", &lines));
    }
    pair.site.await_ready(5);
}

/// A client that asks again as soon as it is answered, and never blocks.
struct Asking {
    stream: UnixStream,
    request: Vec<u8>,
    right: Vec<u8>,
    answer: Vec<u8>,
    answers: usize,
}

impl Asking {
    fn start(pair: &Pair, number: usize) -> Asking {
        let lines = format!("Filter: name = {number}\nTest-Delay: 20\n");
        let body = rewritten("GET x", &lines);
        let header = format!("200 {:11}\n", body.len());
        let mut asking = Asking {
            stream: UnixStream::connect(pair.daemon.socket("muc")).unwrap(),
            request: kept_and_framed(format!("GET x\n{lines}")),
            right: [header.as_bytes(), &body].concat(),
            answer: Vec::new(),
            answers: 0,
        };
        asking.stream.write_all(&asking.request).unwrap();
        asking
    }

    /// Reads what there is.
    fn attend(&mut self) {
        let mut buffer = [0; 1_024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => panic!("closed after {} answers", self.answers),
                Ok(count) => self.answer.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error} after {} answers", self.answers),
            }
            if self.answer.len() >= self.right.len() {
                assert_same(&self.answer, &self.right);
                self.answer.clear();
                self.answers += 1;
                self.stream.write_all(&self.request).unwrap();
            }
        }
    }
}

/// One thread for all of them, so that it is the daemon's order that is seen, and not the order in
/// which a system wakes threads.
#[test]
fn two_hundred_clients_of_five_channels_are_served_alike() {
    const MOST: usize = 12;
    const LEAST: usize = 10;
    let pair = Pair::start("'channels': 5, 'channel_timeout': 600, 'query_timeout': 600");
    pair.site.await_ready(5);
    let mut poll = Poll::new().unwrap();
    let mut clients: Vec<Asking> = (0..200)
        .map(|number| Asking::start(&pair, number))
        .collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let stream = &mut client.stream;
        let registry = poll.registry();
        registry
            .register(stream, Token(number), Interest::READABLE)
            .unwrap();
    }
    let mut events = Events::with_capacity(clients.len());
    for round in 1..=MOST {
        eventually("somebody has one answer more", || {
            let step = Some(Duration::from_millis(100));
            poll.poll(&mut events, step).unwrap();
            for event in &events {
                clients[event.token().0].attend();
            }
            clients.iter().any(|client| client.answers >= round)
        });
    }
    let answers: Vec<usize> = clients.iter().map(|client| client.answers).collect();
    let least = answers.iter().min().copied();
    assert!(least >= Some(LEAST), "{MOST} for one, for all {answers:?}");
    assert_eq!(pair.site.max_open(), 5);
    assert_eq!(pair.states(), ["ready"]);
}

/// The text has to tell what is wrong: it is the proxy's limit, not the site.
#[track_caller]
fn expect_too_many(client: &Client) {
    // It may be refused and closed before it has said anything.
    let _ = client.try_send(kept_and_framed("GET x\nFilter: name = many"));
    let text = String::from_utf8(client.read_to_end()).unwrap();
    assert!(text.starts_with("502"), "{text:?}");
    assert!(text.contains("clients"), "{text:?}");
}

#[test]
fn each_of_very_many_clients_over_the_limit_is_told() {
    let pair = Pair::start("'channels': 1, 'max_clients': 3, 'heartbeat': (60, 10)");
    pair.site.await_ready(1);
    let mut staying = take(&pair, 1);
    staying.extend((0..2).map(|_| pair.client()));
    // More than are told at a time.
    let many: Vec<_> = (0..200).map(|_| pair.client()).collect();
    many.iter().for_each(expect_too_many);
    pair.site.release();
    let lines = "Filter: name = 0\nTest-Hold: on\n";
    staying[0]
        .read_response()
        .expect(rewritten("GET held", lines));
    drop(staying);
    pair.await_answers();
}

#[test]
fn each_client_over_the_limit_of_all_sites_is_told_at_every_site() {
    let (one, other) = (FakeSite::start(), FakeSite::start());
    let text = [
        "max_clients_total = 8\n".to_owned(),
        site("one", &one, BRISK),
        site("other", &other, BRISK),
    ]
    .concat();
    let daemon = Daemon::start(&text);
    let ask = |client: &Client| client.ask("GET x").expect(rewritten("GET x", ""));
    let staying: Vec<_> = (0..8).map(|_| daemon.client("one")).collect();
    staying.iter().for_each(ask);
    for name in ["one", "other"] {
        for _ in 0..20 {
            expect_too_many(&daemon.client(name));
        }
    }
    staying.iter().for_each(ask);
    drop(staying);
    eventually("clients are served again", || {
        let client = daemon.client("other");
        let asked = client.try_send(kept_and_framed("GET x"));
        asked.is_ok() && client.read_once(3) == b"200"
    });
}
