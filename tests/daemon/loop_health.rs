//! The loop itself: no event is lost and none goes round for ever, whatever signals come, however
//! long the process stands still, and however little there is to do.

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::pair::{BRISK, Pair, QUERY, expect_held, rewritten, right_answer};
use crate::story::let_pass;
use crate::support::client::kept_and_framed;
use crate::support::{Client, Daemon, FakeSite, Fault, Place, eventually, site};

/// How often the daemon is woken up in a second, over a few of them.
fn wakes_a_second(daemon: &Daemon) -> f64 {
    const TIME: Duration = Duration::from_secs(3);
    let (begun, before) = (Instant::now(), daemon.sleeps());
    let_pass(TIME);
    (daemon.sleeps() - before) as f64 / begun.elapsed().as_secs_f64()
}

/// Asserts that the daemon comes to rest: it is woken seldom, and takes next to no processor time.
#[track_caller]
fn expect_rest(daemon: &Daemon, most_wakes: f64) {
    // What happened before may still be coming in.
    eventually("the daemon comes to rest", || {
        let before = daemon.processor_time();
        let wakes = wakes_a_second(daemon);
        let used = daemon.processor_time() - before;
        println!("{wakes:.1} wakes a second, {used:?} of the processor in three");
        wakes < most_wakes && used < Duration::from_millis(500)
    });
}

#[test]
fn a_daemon_without_sites_sleeps() {
    let mut daemon = Daemon::start("");
    expect_rest(&daemon, 2.0);
    assert!(daemon.runs());
    assert!(daemon.stop().success());
}

#[test]
fn an_idle_site_wakes_the_daemon_seldom() {
    let pair = Pair::start("'heartbeat': (1, 2), 'channels': 10");
    pair.site.await_ready(10);
    let clients: Vec<Client> = (0..50).map(|_| pair.client()).collect();
    for client in &clients {
        client.ask(QUERY).expect(right_answer());
    }
    let heartbeats = pair.site.heartbeats();
    expect_rest(&pair.daemon, 20.0);
    assert!(pair.site.heartbeats() > heartbeats, "it was not alive");
}

#[test]
fn a_site_that_is_away_wakes_the_daemon_seldom() {
    let fake = FakeSite::start_refusing();
    let daemon = Daemon::start(&site("muc", &fake, "'connect_retry': 0.5"));
    daemon.wait_log("site muc: dead");
    let client = daemon.client("muc");
    assert_eq!(client.ask(QUERY).code, 502);
    expect_rest(&daemon, 20.0);
}

#[test]
fn nobody_who_waits_keeps_the_daemon_awake() {
    let keys = "'channels': 6, 'heartbeat': (200, 10), 'channel_timeout': 60";
    let pair = Pair::with(FakeSite::start(), "response_buffer = 4194304", keys);
    pair.site.await_ready(6);
    let mut crowd = Vec::new();
    let mut come = |request: &[u8]| {
        let client = pair.client();
        client.send(request);
        crowd.push(client);
    };
    // One whose answer is held, some who wait for memory or for a slow client, one that has
    // half-closed, one in the middle of its request, one that has said nothing, and some who wait
    // for a channel.
    for size in [1_500_000, 1_900_000, 1_900_000, 30_000_000] {
        come(&kept_and_framed(format!("GET x\nTest-Size: {size}")));
    }
    for _ in 0..4 {
        come(&kept_and_framed("GET x\nTest-Hold: on"));
    }
    come(b"GET half\n");
    come(b"");
    crowd[6].half_close();
    eventually("the site has as much as it can", || {
        pair.site.requests().len() >= 6
    });
    expect_rest(&pair.daemon, 20.0);
    drop(crowd);
    pair.site.release();
    eventually("all is well again", || pair.ask("GET hosts").code == 200);
}

/// Sends each of these signals that many times, mixed, faster than any test could.
fn send_signals(pid: u32, names: &[&str], times: usize) {
    let kill = |name: &&str| format!("kill -{name} {pid}");
    let kills: Vec<String> = names.iter().map(kill).collect();
    let script = format!("for i in $(seq {times}); do {}; done", kills.join("; "));
    let status = Command::new("sh").args(["-c", &script]).status().unwrap();
    assert!(status.success(), "{status}");
}

#[test]
fn queries_do_not_notice_hundreds_of_signals() {
    const SIGNALS: [&str; 7] = ["HUP", "USR1", "USR2", "WINCH", "STOP", "CONT", "PIPE"];
    const ROUNDS: usize = 30;
    let pair = Pair::start("'channels': 4");
    pair.site.await_ready(4);
    let pid = pair.daemon.pid();
    let (asked, all_sent) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for asker in 0..4 {
            let (pair, asked, all_sent) = (&pair, &asked, &all_sent);
            scope.spawn(move || {
                let client = pair.client();
                while !all_sent.load(Ordering::SeqCst) {
                    let number = asked.fetch_add(1, Ordering::SeqCst);
                    let lines = format!("Filter: name = {asker}-{number}\nTest-Delay: 1\n");
                    let answer = client.ask(format!("GET hosts\n{lines}"));
                    answer.expect(rewritten("GET hosts", &lines));
                }
            });
        }
        for _ in 0..ROUNDS {
            let before = asked.load(Ordering::SeqCst);
            send_signals(pid, &SIGNALS, 10);
            // The next signals meet other queries; an asker that failed must not be waited for.
            let end = Instant::now() + Duration::from_secs(5);
            while asked.load(Ordering::SeqCst) < before + 4 && Instant::now() < end {
                std::thread::yield_now();
            }
        }
        all_sent.store(true, Ordering::SeqCst);
    });
    let asked = asked.into_inner();
    let signals = ROUNDS * 10 * SIGNALS.len();
    println!("{asked} queries while {signals} signals came");
    assert!(asked >= ROUNDS * 4, "hardly a query met a signal");
    assert_eq!(pair.site.requests().len(), asked, "some were asked twice");
    assert_eq!(pair.site.accepted(), 4, "a channel was lost");
    expect_rest(&pair.daemon, 50.0);
    pair.expect_unharmed();
}

/// Stops the daemon, does something, lets time pass, and lets it go on.
fn standing_still(daemon: &Daemon, time: Duration, meanwhile: impl FnOnce()) {
    daemon.signal("STOP");
    meanwhile();
    let_pass(time);
    daemon.signal("CONT");
}

#[test]
fn an_answer_that_came_while_the_daemon_stood_still_is_in_time() {
    let keys = "'channels': 2, 'query_timeout': 4, 'channel_timeout': 4, 'heartbeat': (1, 3)";
    let pair = Pair::start(keys);
    pair.site.await_ready(2);
    for _ in 0..2 {
        // All channels are at work, and one more client waits.
        let held: Vec<Client> = (0..2).map(|_| pair.holder()).collect();
        pair.site.await_stalled(2);
        let waiting = pair.client();
        waiting.send(kept_and_framed(QUERY));
        let half = pair.client();
        half.send("GET half\n");
        standing_still(&pair.daemon, Duration::from_secs(6), || {
            pair.site.release();
            half.send("KeepAlive: on\nResponseHeader: fixed16\n\n");
        });
        for client in &held {
            expect_held(client);
        }
        waiting.read_response().expect(right_answer());
        half.read_response().expect(rewritten("GET half", ""));
    }
    // More were accepted: where all are silent, one connection beside them looks what is the matter.
    let log = pair.daemon.log();
    let bad = |line: &&String| {
        ["lost", "dead", "busy"]
            .iter()
            .any(|word| line.contains(word))
    };
    assert_eq!(log.iter().find(bad), None);
    pair.expect_unharmed();
}

#[test]
fn a_heartbeat_answered_while_the_daemon_stood_still_is_not_missed() {
    for place in [Place::BeforeHeader, Place::InBody(4)] {
        let pair = Pair::start("'channels': 1, 'heartbeat': (1, 3)");
        pair.site.await_ready(1);
        pair.site.next_heartbeat(Fault::Stall(place));
        pair.site.await_stalled(1);
        standing_still(&pair.daemon, Duration::from_secs(5), || pair.site.release());
        pair.daemon.wait_log("stood still for");
        let heartbeats = pair.site.heartbeats();
        eventually("the next heartbeats are answered", || {
            pair.site.heartbeats() >= heartbeats + 2
        });
        assert_eq!(pair.site.accepted(), 1, "the channel was lost");
        let log = pair.daemon.log();
        assert!(!log.iter().any(|line| line.contains("site muc: dead")));
    }
}

#[test]
fn a_site_that_stood_still_as_well_gets_the_time_to_answer() {
    let pair = Pair::start("'channels': 1, 'heartbeat': (1, 3)");
    pair.site.await_ready(1);
    pair.site.next_heartbeat(Fault::Stall(Place::BeforeHeader));
    pair.site.await_stalled(1);
    standing_still(&pair.daemon, Duration::from_secs(5), || {});
    pair.site.release();
    let heartbeats = pair.site.heartbeats();
    eventually("the next heartbeats are answered", || {
        pair.site.heartbeats() >= heartbeats + 2
    });
    assert_eq!(pair.site.accepted(), 1, "the channel was lost");

    // But one that stays silent is dead all the same.
    pair.site.next_heartbeat(Fault::Stall(Place::BeforeHeader));
    pair.site.await_stalled(1);
    standing_still(&pair.daemon, Duration::from_secs(5), || {});
    pair.daemon.wait_log("site muc: dead");
}

#[test]
fn channels_that_ended_while_the_daemon_stood_still_serve_nobody() {
    let fake = FakeSite::start();
    let daemon = Daemon::start(&site("muc", &fake, &format!("{BRISK}'channels': 4")));
    fake.await_ready(4);
    let client = daemon.client("muc");
    standing_still(&daemon, Duration::from_secs(2), || {
        fake.close_all();
        client.send("COMMAND [1] A;h\n\n");
        client.send(kept_and_framed(QUERY));
    });
    client.read_response().expect(right_answer());
    assert_eq!(fake.commands(), ["COMMAND [1] A;h"]);
    assert_eq!(fake.requests().len(), 1);
}
