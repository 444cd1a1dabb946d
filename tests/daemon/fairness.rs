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

/// Two sites, `one` and `other`, and a daemon that takes so many clients of both.
fn limited(total: usize) -> (FakeSite, FakeSite, Daemon) {
    let (one, other) = (FakeSite::start(), FakeSite::start());
    let text = [
        format!("max_clients_total = {total}\n"),
        site("one", &one, BRISK),
        site("other", &other, BRISK),
    ]
    .concat();
    let daemon = Daemon::start(&text);
    (one, other, daemon)
}

#[track_caller]
fn expect_served(client: &Client) {
    client.ask("GET x").expect(rewritten("GET x", ""));
}

fn await_room(daemon: &Daemon, name: &str) {
    eventually("clients are served again", || {
        let client = daemon.client(name);
        let asked = client.try_send(kept_and_framed("GET x"));
        asked.is_ok() && client.read_once(3) == b"200"
    });
}

#[test]
fn each_client_over_the_limit_of_all_sites_is_told_at_every_site() {
    let (one, _other, daemon) = limited(8);
    let staying: Vec<_> = (0..8).map(|_| daemon.client("one")).collect();
    // None of them is idle, and may have to make room.
    for (number, client) in staying.iter().enumerate() {
        client.send(kept_and_framed(held(&number.to_string())));
    }
    one.await_stalled(8);
    for name in ["one", "other"] {
        for _ in 0..20 {
            expect_too_many(&daemon.client(name));
        }
    }
    let bare = daemon.client("other");
    bare.send("GET x\n\n");
    let words = "502: Too many clients of all sites: max_clients_total is 8\n";
    assert_eq!(String::from_utf8(bare.read_to_end()).unwrap(), words);
    one.release();
    for (number, client) in staying.iter().enumerate() {
        let lines = format!("Filter: name = {number}\nTest-Hold: on\n");
        client.read_response().expect(rewritten("GET held", &lines));
        expect_served(client);
    }
    drop(staying);
    await_room(&daemon, "other");
}

#[test]
fn where_the_limit_of_all_sites_is_reached_the_longest_idle_of_all_makes_room() {
    let (_one, _other, daemon) = limited(8);
    let names = ["one", "other"].repeat(4);
    let connected = |name: &&str| {
        let client = daemon.client(name);
        expect_served(&client);
        client
    };
    let idle: Vec<Client> = names.iter().map(connected).collect();
    // One that has asked within the last second is in the middle of a page.
    idle[7].expect_silence(Duration::from_millis(1_100));
    let ninth = daemon.client("other");
    expect_served(&ninth);
    assert!(idle[0].at_end(), "the longest idle one makes room");
    idle[1..].iter().for_each(expect_served);
    expect_served(&ninth);
}

#[test]
fn a_limit_that_is_reached_again_and_again_is_told_of_once_a_while() {
    let (one, _other, daemon) = limited(1);
    for _ in 0..5 {
        let client = daemon.client("one");
        client.send(kept_and_framed(held("it")));
        one.await_stalled(1);
        expect_too_many(&daemon.client("one"));
        one.release();
        assert_eq!(client.read_response().code, 200);
        drop(client);
        await_room(&daemon, "one");
    }
    daemon.wait_log("further ones are refused");
    let lines = daemon.log();
    let told = lines.iter().filter(|line| line.contains("further ones"));
    assert_eq!(told.count(), 1);
}

#[test]
fn who_is_kept_out_by_the_limit_of_open_files_is_told_so() {
    let fake = FakeSite::start();
    let keys = format!("{BRISK}'channels': 2, 'channel_timeout': 60");
    let daemon = Daemon::builder()
        .config(&site("muc", &fake, &keys))
        .under("ulimit -n 40")
        .start();
    let line = daemon.wait_log("the limit of open files is 40");
    let (_, rest) = line.split_once("at most ").unwrap();
    let most: usize = rest.split(' ').next().unwrap().parse().unwrap();
    let waiting: Vec<Client> = (0..most).map(|_| daemon.client("muc")).collect();
    for client in &waiting {
        client.send(kept_and_framed(held("one")));
    }
    fake.await_stalled(2);
    let told = daemon.client("muc").ask("GET x");
    let words = format!(
        "Too many clients of all sites: the limit of open files is 40, and {most} fit into it"
    );
    told.expect_error(502, &words);
}
