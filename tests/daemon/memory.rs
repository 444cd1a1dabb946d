//! Memory: how much responses and requests may take, that no site takes it from another, and that
//! the system gets it back.

use std::io::Read;
use std::time::Duration;

use crate::pair::{BRISK, Pair, rewritten};
use crate::support::client::kept_and_framed;
use crate::support::site::{noise, payload};
use crate::support::{Client, Daemon, FakeSite, Fault, eventually, site};

const MB: usize = 1_000_000;

/// The bytes of a response are counted with their headers, sockets and the allocator's own ways on top.
const SLACK_KB: usize = 8 * 1024;

fn sized(nonce: &str, size: usize) -> Vec<u8> {
    kept_and_framed(format!("GET x\nTest-Nonce: {nonce}\nTest-Size: {size}"))
}

/// So slow at first that the rest cannot be expected soon: such a response is held whole.
fn slow_line() -> Fault {
    Fault::SlowStart(1_200_000, Duration::from_secs(2))
}

/// Reads a framed response and compares it piece by piece: many of them at a time take no memory.
#[track_caller]
fn expect_in_pieces(client: &Client, nonce: &str, size: usize) {
    const PIECE: usize = 65_536;
    let header = client.read_exactly(16);
    assert_eq!(header, format!("200 {size:11}\n").as_bytes());
    let mut wanted = noise(nonce);
    let mut left = size;
    while left > 0 {
        let piece = client.read_exactly(left.min(PIECE));
        let mut right = vec![0; piece.len()];
        wanted.read_exact(&mut right).unwrap();
        assert!(piece == right, "not what was sent, {left} before the end");
        left -= piece.len();
    }
}

#[test]
fn a_hundred_megabytes_over_a_fast_line_take_four_at_most() {
    let pair = Pair::start("'channels': 2");
    let client = pair.client();
    client.send(sized("warm", 2 * MB));
    expect_in_pieces(&client, "warm", 2 * MB);
    let taken = || {
        pair.daemon.forget_peak();
        let before = pair.daemon.resident_kb();
        client.send(sized("large", 100 * MB));
        expect_in_pieces(&client, "large", 100 * MB);
        pair.daemon.peak_kb().saturating_sub(before)
    };
    // A machine that is busy with other tests may make this client a slow one, and the rest of its
    // response is held then.
    let fits = (0..3).map(|_| taken()).find(|taken| {
        println!("100 MB over a fast line: {taken} KiB more at most");
        *taken < 4 * 1024
    });
    assert!(fits.is_some());
}

#[test]
fn fifty_slow_lines_at_once_stay_within_the_memory_for_responses() {
    const SITES: usize = 5;
    const LINES: usize = 10;
    const BUFFER: usize = 64 << 20;
    let fakes: Vec<FakeSite> = (0..SITES).map(|_| FakeSite::start()).collect();
    let mut config = format!("response_buffer = {BUFFER}\n");
    for (number, fake) in fakes.iter().enumerate() {
        fake.always(slow_line());
        let keys = format!("{BRISK}'channels': {LINES}, 'heartbeat': (200, 10)");
        config += &site(&format!("s{number}"), fake, &keys);
    }
    let daemon = Daemon::start(&config);
    fakes.iter().for_each(|fake| fake.await_ready(LINES));
    daemon.forget_peak();
    let before = daemon.resident_kb();
    std::thread::scope(|scope| {
        for number in 0..SITES * LINES {
            let daemon = &daemon;
            scope.spawn(move || {
                let client = daemon.client(&format!("s{}", number % SITES));
                client.set_read_timeout(Duration::from_secs(60));
                let nonce = number.to_string();
                client.send(sized(&nonce, 10 * MB));
                expect_in_pieces(&client, &nonce, 10 * MB);
            });
        }
    });
    let taken = daemon.peak_kb().saturating_sub(before);
    println!("50 x 10 MB at once: {taken} KiB more at most");
    // A window keeps up to half as much again, which its client has taken.
    let windows = SITES * LINES * 512;
    assert!(taken < BUFFER / 1024 + windows, "{taken} KiB");
    for fake in &fakes {
        assert_eq!(fake.happened("slow-start"), LINES);
        assert_eq!(fake.requests().len(), LINES, "some were asked twice");
    }
}

/// Clients that take nothing of responses of this size, until all that is there is held for them
/// by a daemon that held nothing `before`.
fn crowd_that_does_not_read(pair: &Pair, before: usize, count: usize, size: usize) -> Vec<Client> {
    let crowd: Vec<Client> = (0..count)
        .map(|_| {
            let client = pair.client();
            client.send(sized("n", size));
            client
        })
        .collect();
    // What the sockets hold is not in the daemon.
    let least = count * (size - 300_000) / 1024;
    eventually("all responses are held", || {
        pair.daemon.resident_kb() > before + least
    });
    crowd
}

#[test]
fn memory_goes_back_to_the_system_after_a_peak() {
    let globals = "response_buffer = 268435456";
    let pair = Pair::with(FakeSite::start(), globals, "'channels': 20");
    pair.site.await_ready(20);
    pair.ask("GET hosts").expect(rewritten("GET hosts", ""));
    let before = pair.daemon.resident_kb();
    // Large ones and ones that no allocator asks the system for one by one.
    for (count, size) in [(11, 10 * MB), (130, 950_000), (11, 10 * MB)] {
        let mut crowd = crowd_that_does_not_read(&pair, before, count, size);
        let peak = pair.daemon.resident_kb();
        // The last one stays: what lies behind the free memory must not keep it.
        let last = crowd.pop();
        drop(crowd);
        eventually("the system has the memory back", || {
            pair.daemon.resident_kb() < before + size / 1024 + SLACK_KB
        });
        drop(last);
        let after = pair.daemon.resident_kb();
        println!("{count} x {size}: {before} KiB before, {peak} at the peak, {after} after");
    }
    pair.expect_unharmed();
}

#[test]
fn memory_of_requests_goes_back_to_the_system_too() {
    let pair = Pair::start("");
    pair.ask("GET hosts").expect(rewritten("GET hosts", ""));
    let before = pair.daemon.resident_kb();
    // It has to be there before the 10 s are over that it may take.
    let line = format!("Filter: name = {}\n", "x".repeat(50_000));
    let half_a_request = format!("GET hosts\n{}", line.repeat(100));
    let crowd: Vec<Client> = (0..8)
        .map(|_| {
            let client = pair.client();
            client.send(&half_a_request);
            client
        })
        .collect();
    let least = crowd.len() * half_a_request.len() / 1024 * 9 / 10;
    assert!(least > 30_000);
    eventually("all of them are held", || {
        pair.daemon.resident_kb() > before + least
    });
    drop(crowd);
    eventually("the system has the memory back", || {
        pair.daemon.resident_kb() < before + SLACK_KB
    });
    pair.expect_unharmed();
}

#[test]
fn requests_being_read_share_their_memory() {
    let globals = "request_buffer = 1000000\nmax_query = 900000";
    let pair = Pair::with(FakeSite::start(), globals, "");
    let lines = |count: usize| "Filter: name = x\n".repeat(count);
    let first = pair.client();
    first.send(format!("GET hosts\n{}", lines(40_000)));
    let refused = |client: &Client| {
        // One that is refused half-way may be let go before it has sent all.
        if client
            .try_send(kept_and_framed(format!("GET y\n{}", lines(40_000))))
            .is_ok()
        {
            client.half_close();
        }
        let text = client.read_to_end();
        text.starts_with(b"502") && String::from_utf8_lossy(&text).contains("no memory left")
    };
    // It may be faster than what the first has sent.
    eventually("a second one is refused", || refused(&pair.client()));
    // Small ones still fit, and the first is not disturbed.
    pair.ask("GET small").expect(rewritten("GET small", ""));
    first.send("KeepAlive: on\nResponseHeader: fixed16\n\n");
    first
        .read_response()
        .expect(rewritten("GET hosts", &lines(40_000)));
    // What was taken is given back: by the answered one and by one that leaves half-way.
    let gone = pair.client();
    gone.send(format!("GET hosts\n{}", lines(50_000)));
    drop(gone);
    eventually("there is memory again", || {
        let client = pair.client();
        let large = format!("GET z\n{}ResponseHeader: fixed16\n\n", lines(50_000));
        let sent = client.try_send(large);
        sent.is_ok() && client.read_to_end().starts_with(b"200 ")
    });
}

#[test]
fn any_number_of_sites_with_stalled_clients_holds_up_no_other() {
    const HELD_UP: usize = 7;
    const BUFFER: usize = 16 << 20;
    let well = FakeSite::start();
    let mut config = format!("response_buffer = {BUFFER}\n");
    config += &site(
        "muc",
        &well,
        &format!("{BRISK}'channels': 4, 'channel_timeout': 15"),
    );
    let held_up: Vec<FakeSite> = (0..HELD_UP).map(|_| FakeSite::start()).collect();
    for (number, fake) in held_up.iter().enumerate() {
        let keys = format!("{BRISK}'channels': 10, 'heartbeat': (200, 10)");
        config += &site(&format!("s{number}"), fake, &keys);
    }
    let daemon = Daemon::start(&config);
    well.await_ready(4);
    held_up.iter().for_each(|fake| fake.await_ready(10));
    let before = daemon.resident_kb();

    // One site after another takes all that it can get, in responses of several sizes.
    let mut crowd = Vec::new();
    for (number, fake) in held_up.iter().enumerate() {
        for size in [4 * MB, 900_000, 400_000].into_iter().cycle().take(30) {
            let client = daemon.client(&format!("s{number}"));
            client.send(sized("n", size));
            crowd.push(client);
        }
        eventually("the site's channels are at work", || {
            fake.requests().len() >= 10
        });
    }
    eventually("most of the memory is taken", || {
        daemon.resident_kb() > before + BUFFER / 1024 * 2 / 3
    });
    // All of them at once, more than is left, fast and slow, and one after another on each channel.
    let sizes = [200, 60_000, 900_000, 2 * MB, 9 * MB, 30 * MB];
    for round in ["at first", "when they have been stalled for long"] {
        well.next(slow_line());
        std::thread::scope(|scope| {
            for size in sizes {
                let daemon = &daemon;
                scope.spawn(move || {
                    let client = daemon.client("muc");
                    client.send(sized(round, size));
                    expect_in_pieces(&client, round, size);
                });
            }
        });
    }
    assert_eq!(well.happened("slow-start"), 2);
    let taken = daemon.resident_kb().saturating_sub(before);
    assert!(taken < BUFFER / 1024 + SLACK_KB, "{taken} KiB");
    // Those who were held up have lost nothing by it.
    let first = crowd.swap_remove(0);
    expect_in_pieces(&first, "n", 4 * MB);
    drop(crowd);
    eventually("the system has the memory back", || {
        daemon.resident_kb() < before + SLACK_KB
    });
    let client = daemon.client("s0");
    client
        .ask("GET x\nTest-Nonce: again\nTest-Size: 3000000")
        .expect(payload("again", 3 * MB));
}
