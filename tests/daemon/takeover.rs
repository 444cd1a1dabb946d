//! `--takeover`: one daemon follows another, and no client loses a query by it.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use crate::pair::{BRISK, expect_answers, expect_held, rewritten};
use crate::support::client::kept_and_framed;
use crate::support::daemon::{Origin, signal};
use crate::support::{Background, FakeSite, Load, eventually, site};

/// As often a daemon is followed by another one under load.
const TAKEOVERS: usize = 20;

/// A daemon that serves, with all four channels to its site, which from now on accepts no more: one
/// that follows is held up on its way.
#[track_caller]
fn before_a_slow_takeover() -> (FakeSite, Background) {
    let mut fake = FakeSite::start();
    let background = Background::start(&site("muc", &fake, "'channels': 4"));
    fake.await_ready(4);
    fake.never_accept();
    (fake, background)
}

#[test]
fn twenty_takeovers_under_load_lose_nothing() {
    let fakes = [FakeSite::start(), FakeSite::start()];
    let names = ["muc", "ber"];
    let sites = names.iter().zip(&fakes);
    let config: String = sites
        .map(|(name, fake)| site(name, fake, "'channels': 4"))
        .collect();
    let background = Background::start(&config);
    let sockets: Vec<PathBuf> = names.map(|name| background.root().socket(name)).to_vec();
    let load = Load::start(&sockets);
    load.await_more(20);
    for _ in 0..TAKEOVERS {
        let (old, _) = background.take_over();
        load.await_more(20);
        background.await_gone(old);
    }
    let outcome = load.end();
    println!("{TAKEOVERS} takeovers: {outcome:?}");
    // That both kept clients were moved along each time shows that the disaster took place.
    assert!(outcome.reconnected >= TAKEOVERS, "{outcome:?}");
    assert_eq!(background.processes().len(), 1);
    assert_eq!(background.sockets(), ["ber", "muc"]);
}

#[test]
fn the_old_one_finishes_what_it_was_asked() {
    let fake = FakeSite::start();
    let background = Background::start(&site("muc", &fake, "'channels': 4"));
    let slow = background.client("muc");
    slow.send(kept_and_framed("GET hosts\nTest-Hold: on"));
    fake.await_stalled(1);
    let half = background.client("muc");
    half.send("GET hosts\n");
    let kept = background.client("muc");
    expect_answers(&kept);
    let (old, new) = background.take_over();
    // What was begun before is finished by the old one, in its own time.
    assert!(kept.at_end());
    assert!(kept.try_send("GET hosts\n\n").is_err());
    half.send("Columns: name\nKeepAlive: on\nResponseHeader: fixed16\n\n");
    half.read_response()
        .expect(rewritten("GET hosts", "Columns: name\n"));
    assert!(background.runs(old));
    expect_answers(&background.client("muc"));
    fake.release();
    expect_held(&slow);
    assert!(slow.at_end());
    background.await_gone(old);
    assert_eq!(background.processes(), [new]);
    assert_eq!(background.sockets(), ["muc"]);
    background.stop();
    assert_eq!(background.sockets(), Vec::<String>::new());
    assert!(!background.pid_file().exists());
}

#[test]
fn where_none_runs_it_is_a_start() {
    let fake = FakeSite::start();
    let background = Background::new(&site("muc", &fake, BRISK));
    let run = background.run(&["--takeover"]);
    assert_eq!(run.code(), 0, "{run:?}");
    expect_answers(&background.client("muc"));
    assert_eq!(background.processes(), [background.expect_pid()]);
    let next = background.root().file("tmp/run/liveproxyd.pid.next");
    assert!(!next.exists());
    // A plain start beside it is refused all the same.
    assert_eq!(background.run(&[]).code(), 1);
}

#[test]
fn of_two_at_once_one_is_refused() {
    let (_fake, background) = before_a_slow_takeover();
    let old = background.expect_pid();
    // The first one waits for the site, which is why the second one comes in time.
    let first = background.follower();
    first.wait_log(&format!("taking over from process {old}"));
    let second = background.run(&["--takeover"]);
    assert_eq!(second.code(), 1, "{second:?}");
    let named = format!("process {}", first.pid());
    assert!(second.stderr.contains(&named), "no {named:?} in {second:?}");
    assert_eq!(background.pid(), Some(old));
    first.wait_log(" is serving ");
    assert_eq!(background.pid(), Some(first.pid()));
    background.await_gone(old);
}

#[test]
fn one_that_cannot_serve_leaves_the_old_one_alone() {
    let fake = FakeSite::start();
    let good = site("muc", &fake, "'channels': 4");
    let background = Background::start(&good);
    let pid = background.expect_pid();
    fake.await_ready(4);
    let client = background.client("muc");
    expect_answers(&client);
    // One is refused by its configuration, the other one by a socket of a third party.
    background.configure("sites = {\n 'muc': (,}\n");
    let run = background.run(&["--takeover"]);
    assert_eq!(run.code(), 1, "{run:?}");
    assert!(run.stderr.contains("liveproxyd.mk:2:"), "{run:?}");
    background.configure(&format!("{good}{}", site("ber", &fake, "")));
    let other = std::os::unix::net::UnixListener::bind(background.root().socket("ber")).unwrap();
    let run = background.run(&["--takeover"]);
    assert_eq!(run.code(), 1, "{run:?}");
    let named = format!("process {} listens there", std::process::id());
    assert!(run.stderr.contains(&named), "{run:?}");
    drop(other);
    assert_eq!(background.processes(), [pid]);
    assert_eq!(background.pid(), Some(pid));
    expect_answers(&client);
    expect_answers(&background.client("muc"));
    fake.await_ready(4);
}

#[test]
fn one_that_is_killed_on_its_way_gives_the_channels_back() {
    let (mut fake, background) = before_a_slow_takeover();
    let pid = background.expect_pid();
    let client = background.client("muc");
    expect_answers(&client);
    let mut next = background.follower();
    fake.await_open(2);
    next.signal("KILL");
    next.await_end();
    fake.listen();
    expect_answers(&client);
    background.await_log("no other daemon has taken over: all channels are kept again");
    fake.await_open(4);
    assert_eq!(background.pid(), Some(pid));
    expect_answers(&client);
}

#[test]
fn one_that_is_told_to_stop_on_its_way_leaves_nothing_behind() {
    let (_fake, background) = before_a_slow_takeover();
    let pid = background.expect_pid();
    let mut next = background.follower();
    next.signal("TERM");
    assert_eq!(next.await_end().code(), Some(1));
    next.wait_log("told to stop before it could take over");
    assert_eq!(background.sockets(), ["muc"]);
    assert!(
        !background
            .root()
            .file("tmp/run/liveproxyd.pid.next")
            .exists()
    );
    assert_eq!(background.pid(), Some(pid));
    expect_answers(&background.client("muc"));
}

/// It went on, and a daemon ran although somebody had stopped it and was told so.
#[test]
fn whoever_stops_the_old_one_has_stopped_the_next_one_too() {
    let (_fake, background) = before_a_slow_takeover();
    let mut next = background.follower();
    background.stop();
    assert_eq!(next.await_end().code(), Some(1));
    next.wait_log("was stopped before it was followed");
    assert_eq!(background.sockets(), Vec::<String>::new());
    assert!(background.processes().is_empty());
}

#[test]
fn one_that_dies_while_it_is_followed_is_replaced_all_the_same() {
    let (mut fake, background) = before_a_slow_takeover();
    let pid = background.expect_pid();
    let mut next = background.follower();
    signal(pid, "KILL");
    fake.listen();
    next.await_serving();
    expect_answers(&background.client("muc"));
    assert_eq!(background.pid(), Some(next.pid()));
    assert!(!next.log().iter().any(|line| line.contains("cannot signal")));
}

#[test]
fn without_sites_it_follows_as_well() {
    let background = Background::start("");
    for _ in 0..3 {
        let (old, _) = background.take_over();
        background.await_gone(old);
    }
    background.stop();
    assert!(!background.pid_file().exists());
}

#[test]
fn a_site_that_takes_no_more_connections_than_its_channels_fails_no_query() {
    for (channels, kind) in [(4, "four"), (2, "two"), (1, "one")] {
        let fake = FakeSite::start();
        let keys = format!("'channels': {channels}");
        let background = Background::start(&site("muc", &fake, &keys));
        fake.await_ready(channels);
        fake.accept_at_most(channels);
        let socket = background.root().socket("muc");
        let load = Load::start(&[socket]);
        load.await_more(10);
        for _ in 0..3 {
            let (old, _) = background.take_over();
            load.await_more(10);
            background.await_gone(old);
        }
        let turned_away = fake.happened("turned-away");
        println!("{kind}: {:?}, {turned_away} turned away", load.end());
    }
}

#[test]
fn in_the_foreground_it_follows_and_is_followed() {
    let fake = FakeSite::start();
    let background = Background::new(&site("muc", &fake, "'channels': 4"));
    let mut first = background.another().start();
    let kept = background.client("muc");
    expect_answers(&kept);
    let follow = || background.another().arg("--takeover").start();
    let mut second = follow();
    assert_eq!(first.await_end().code(), Some(0));
    assert!(kept.at_end());
    expect_answers(&background.client("muc"));
    let written = std::fs::read_to_string(background.pid_file()).unwrap();
    assert_eq!(written, format!("{}\n", second.pid()));
    let third = follow();
    assert_eq!(second.await_end().code(), Some(0));
    expect_answers(&background.client("muc"));
    assert!(third.lines_of(Origin::Stderr).is_empty());
    assert_eq!(third.stop().code(), Some(0));
    assert!(!background.pid_file().exists());
    assert_eq!(background.sockets(), Vec::<String>::new());
}

#[test]
fn one_that_hangs_is_replaced_all_the_same_and_finishes_when_it_is_woken() {
    let fake = FakeSite::start();
    let background = Background::start(&site("muc", &fake, BRISK));
    let old = background.expect_pid();
    signal(old, "STOP");
    let stuck = background.client("muc");
    stuck.send(kept_and_framed("GET hosts"));
    // More of them than its queue takes: nothing more can be told about whose socket it is.
    let mut waiting = Vec::new();
    loop {
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        socket.set_nonblocking(true).unwrap();
        let path = socket2::SockAddr::unix(background.root().socket("muc")).unwrap();
        if socket.connect(&path).is_err() {
            break;
        }
        waiting.push(socket);
        assert!(waiting.len() < 100_000, "its queue has no end");
    }
    let (_, new) = background.take_over();
    expect_answers(&background.client("muc"));
    assert!(background.runs(old));
    signal(old, "CONT");
    stuck.read_response().expect(rewritten("GET hosts", ""));
    drop(waiting);
    background.await_gone(old);
    assert_eq!(background.processes(), [new]);
    expect_answers(&background.client("muc"));
}

#[test]
fn it_brings_a_changed_configuration_along() {
    let (one, other) = (FakeSite::start(), FakeSite::start());
    let config = |fake| site("muc", fake, BRISK);
    let background = Background::start(&format!("{}{}", config(&one), site("gone", &one, BRISK)));
    background.configure(&format!("{}{}", config(&other), site("new", &other, BRISK)));
    let (old, _) = background.take_over();
    for name in ["muc", "new"] {
        expect_answers(&background.client(name));
    }
    assert_eq!((one.requests().len(), other.requests().len()), (0, 2));
    background.await_gone(old);
    eventually("the socket of the site that is no more is gone", || {
        background.sockets() == ["muc", "new"]
    });
    let gone = UnixStream::connect(background.root().socket("gone"));
    assert!(gone.is_err());
}

#[test]
fn a_stop_and_a_start_lose_no_query_and_leave_only_a_short_gap() {
    let fake = FakeSite::start();
    let background = Background::start(&site("muc", &fake, "'channels': 4"));
    for _ in 0..3 {
        let slow = background.client("muc");
        slow.send(kept_and_framed("GET hosts\nTest-Delay: 300"));
        let asked = rewritten("GET hosts", "Test-Delay: 300\n");
        eventually("the query is at the site", || {
            fake.requests().last() == Some(&asked)
        });
        let pid = background.expect_pid();
        signal(pid, "TERM");
        let began = std::time::Instant::now();
        eventually("the pid file goes", || !background.pid_file().exists());
        assert_eq!(background.sockets(), Vec::<String>::new());
        let run = background.run(&[]);
        assert_eq!(run.code(), 0, "{run:?}");
        let gap: Duration = began.elapsed();
        println!("gap: {gap:?}");
        expect_answers(&background.client("muc"));
        slow.read_response()
            .expect(rewritten("GET hosts", "Test-Delay: 300\n"));
        background.await_gone(pid);
        assert_eq!(
            background.sockets(),
            ["muc"],
            "the old one took the new one's socket along"
        );
        assert_ne!(background.expect_pid(), pid);
    }
}
