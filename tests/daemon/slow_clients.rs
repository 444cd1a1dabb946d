//! Clients that take their time, and clients that go: what they cost, and that it is given back.

use std::time::{Duration, Instant};

use crate::pair::{Pair, QUERY, right_answer};
use crate::support::client::{assert_same, kept_and_framed};
use crate::support::site::payload;
use crate::support::{Client, FakeSite, Fault, Place, eventually};

fn sized(nonce: &str, size: usize) -> Vec<u8> {
    kept_and_framed(format!("GET x\nTest-Nonce: {nonce}\nTest-Size: {size}"))
}

/// Takes a little of a response all the time until told to hurry; returns all bytes of it.
fn read_slowly(client: &Client, size: usize, hurry: impl Fn() -> bool) -> Vec<u8> {
    const SIP: usize = 4_096;
    let mut bytes = Vec::new();
    while !hurry() && bytes.len() + SIP <= size {
        bytes.extend(client.read_exactly(SIP));
        std::thread::sleep(Duration::from_millis(10));
    }
    let rest = client.read_exactly(size - bytes.len());
    [bytes, rest].concat()
}

#[test]
fn a_client_that_reads_slowly_gets_all_of_it_and_keeps_no_channel() {
    // Held whole; passed on and then held; too large to be held at once.
    for size in [900_000, 8_000_000, 30_000_000] {
        let pair = Pair::start("'channels': 1");
        let slow = pair.client();
        slow.send(sized("slow", size));
        let served = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let done = || served.load(std::sync::atomic::Ordering::SeqCst);
                read_slowly(&slow, 16 + size, done)
            });
            eventually("the site has the query", || pair.site.requests().len() == 1);
            for _ in 0..3 {
                pair.ask(QUERY).expect(right_answer());
            }
            let at_once = reader.is_finished();
            served.store(true, std::sync::atomic::Ordering::SeqCst);
            assert!(!at_once, "it was not slow");
            let bytes = reader.join().unwrap();
            assert_same(&bytes[16..], &payload("slow", size));
        });
        assert_eq!(pair.site.accepted(), 1, "all on one channel");
        slow.ask(QUERY).expect(right_answer());
    }
}

#[test]
fn a_client_that_never_reads_is_left_when_the_life_of_its_query_is_over() {
    const LIFE: Duration = Duration::from_secs(3);
    let pair = Pair::start("'channels': 1, 'query_timeout': 3");
    pair.site.await_ready(1);
    let nobody = pair.daemon.descriptors();
    for (size, least_kb) in [(900_000, 500), (8_000_000, 6_000), (30_000_000, 20_000)] {
        let memory = pair.daemon.resident_kb();
        let begun = Instant::now();
        let lazy = pair.client();
        lazy.send(sized("lazy", size));
        eventually("its response is held", || {
            pair.daemon.resident_kb() > memory + least_kb
        });
        assert!(pair.daemon.resident_kb() < memory + size / 1024 + 4_096);
        pair.ask(QUERY).expect(right_answer());
        eventually("it is left", || pair.daemon.descriptors() <= nobody);
        assert!(begun.elapsed() >= LIFE, "after {:?}", begun.elapsed());
        eventually("its memory is given back", || {
            pair.daemon.resident_kb() < memory + 4_096
        });
        let bytes = lazy.read_to_end();
        assert!(bytes.len() < 16 + size);
        assert_same(&bytes[16..], &payload("lazy", size)[..bytes.len() - 16]);
    }
    pair.expect_unharmed();
}

/// What a client is at when it goes.
#[derive(Clone, Copy, Debug)]
enum At {
    Connected,
    HalfARequest,
    Waiting,
    Sent,
    Receiving,
    Window,
    HeldForIt,
    HalfRead,
    Answered,
    Command,
    CommandWaiting,
}

const EVERYWHERE: [At; 11] = [
    At::Connected,
    At::HalfARequest,
    At::Waiting,
    At::Sent,
    At::Receiving,
    At::Window,
    At::HeldForIt,
    At::HalfRead,
    At::Answered,
    At::Command,
    At::CommandWaiting,
];

impl At {
    /// A client that is at this. The second one keeps the only channel busy where that is needed.
    fn client(self, pair: &Pair) -> (Client, Option<Client>) {
        let asked = pair.site.requests().len();
        let is_asked = || eventually("it is asked", || pair.site.requests().len() == asked + 1);
        let client = pair.client();
        let mut other = None;
        let occupied = || {
            let other = pair.holder();
            pair.site.await_stalled(1);
            Some(other)
        };
        match self {
            At::Connected => {}
            At::HalfARequest => client.send(&sized("n", 100)[..20]),
            At::Waiting => {
                other = occupied();
                client.send(kept_and_framed(QUERY));
            }
            At::Sent => {
                client.send(kept_and_framed("GET x\nTest-Hold: on"));
                pair.site.await_stalled(1);
            }
            At::Receiving => {
                pair.site.next(Fault::Stall(Place::InBody(500_000)));
                client.send(sized("n", 900_000));
                pair.site.await_stalled(1);
            }
            At::Window => {
                pair.site.next(Fault::Stall(Place::InBody(1_500_000)));
                client.send(sized("n", 1_900_000));
                pair.site.await_stalled(1);
                client.read_exactly(16);
            }
            At::HeldForIt => {
                client.send(sized("n", 1_900_000));
                is_asked();
                // The channel is free again, so all that has come is held.
                pair.ask(QUERY).expect(right_answer());
            }
            At::HalfRead => {
                client.send(sized("n", 1_900_000));
                client.read_exactly(950_000);
            }
            At::Answered => client.ask(QUERY).expect(right_answer()),
            At::Command => {
                pair.site.next_command(Fault::Stall(Place::BeforeHeader));
                let commands = pair.site.commands().len();
                client.send("COMMAND [1] A;h\n\n");
                eventually("the site has it", || {
                    pair.site.commands().len() == commands + 1
                });
            }
            At::CommandWaiting => {
                other = occupied();
                client.send("COMMAND [1] B;h\n\n");
            }
        }
        (client, other)
    }
}

#[test]
fn a_client_gives_everything_back_whatever_it_is_at_when_it_goes() {
    const ROUNDS: usize = 3;
    let keys = "'channels': 1, 'max_clients': 4, 'heartbeat': (200, 10)";
    let pair = Pair::with(FakeSite::start(), "response_buffer = 4194304", keys);
    pair.site.await_ready(1);
    let before = pair.daemon.descriptors();
    for at in EVERYWHERE {
        for round in 0..ROUNDS {
            let (client, other) = at.client(&pair);
            // A client that still wants its answer is not gone.
            if round % 2 == 1 && !matches!(at, At::Connected | At::HalfARequest | At::Answered) {
                client.half_close();
            }
            client.close();
            if let Some(other) = other {
                pair.site.release();
                other.read_response();
            }
            pair.site.release();
            eventually(&format!("nothing is left of one that was {at:?}"), || {
                pair.daemon.descriptors() <= before && pair.site.stalled() == 0
            });
            // One more than the places that there are would be refused.
            eventually("there are as many places as before", || {
                let crowd: Vec<Client> = (0..4).map(|_| pair.client()).collect();
                crowd.iter().all(|client| client.ask(QUERY).code == 200)
            });
        }
    }
    let commands = pair.site.commands();
    assert_eq!(commands.len(), 2 * ROUNDS, "each once: {commands:?}");
    // As much memory as one site may hold, for one response that is held whole.
    pair.site
        .next(Fault::SlowStart(1_200_000, Duration::from_secs(7)));
    let last = pair.client();
    last.send(sized("last", 2_000_000));
    last.read_response().expect(payload("last", 2_000_000));
    assert_eq!(pair.site.happened("slow-start"), 1);
}
