//! SIGHUP and SIGUSR1: what has changed in the configuration changes, and nobody else notices.

use std::os::unix::net::{UnixListener, UnixStream};

use crate::pair::{BRISK, expect_answers, expect_held, rewritten};
use crate::support::client::kept_and_framed;
use crate::support::{Daemon, FakeSite, Load, Spec, eventually, site};

/// As often the configuration changes under load.
const RELOADS: usize = 100;

const CONFIGURATION: &str = "etc/check_mk/liveproxyd.mk";

/// Writes another configuration and has it read. Returns where its part of the log begins.
pub fn rewrite(daemon: &Daemon, text: &str) -> usize {
    daemon.configure(text);
    let mark = daemon.log_mark();
    daemon.signal("HUP");
    mark
}

/// Puts another configuration into effect.
#[track_caller]
pub fn reload(daemon: &Daemon, text: &str) -> String {
    let mark = rewrite(daemon, text);
    daemon.wait_log_after(mark, "configuration read again: ")
}

/// Has a configuration refused.
#[track_caller]
fn expect_refused(daemon: &Daemon, text: &str, words: &str) {
    let mark = rewrite(daemon, text);
    daemon.wait_log_after(mark, words);
    daemon.wait_log_after(mark, "the configuration stays as it was");
}

#[test]
fn what_has_not_changed_keeps_every_connection() {
    let (fake, other) = (FakeSite::start(), FakeSite::start());
    let same = site("muc", &fake, "'channels': 5");
    let daemon = Daemon::start(&format!("{same}{}", site("ber", &other, BRISK)));
    fake.await_ready(5);
    let kept = daemon.client("muc");
    expect_answers(&kept);
    let held = daemon.client("muc");
    held.send(kept_and_framed("GET hosts\nTest-Hold: on"));
    fake.await_stalled(1);
    let descriptors = daemon.descriptors();
    for name in ["HUP", "USR1"] {
        let mark = daemon.log_mark();
        daemon.signal(name);
        let line = daemon.wait_log_after(mark, "configuration read again: ");
        assert!(line.ends_with("2 unchanged"), "{line}");
    }
    let mark = rewrite(&daemon, &same);
    let line = daemon.wait_log_after(mark, "configuration read again: ");
    assert!(line.ends_with("1 removed, 1 unchanged"), "{line}");
    expect_answers(&kept);
    fake.release();
    expect_held(&held);
    assert_eq!((fake.accepted(), fake.open_channels()), (5, 5));
    other.await_open(0);
    eventually("the descriptors of the other site are given back", || {
        daemon.descriptors() < descriptors
    });
}

#[test]
fn sites_come_and_go() {
    let (fake, other) = (FakeSite::start(), FakeSite::start());
    let muc = site("muc", &fake, BRISK);
    let ber = site("ber", &other, "'channels': 2");
    let daemon = Daemon::start(&muc);
    for _ in 0..3 {
        let line = reload(&daemon, &format!("{muc}{ber}"));
        assert!(line.ends_with("1 added, 1 unchanged"), "{line}");
        let client = daemon.client("ber");
        expect_answers(&client);
        let line = reload(&daemon, &muc);
        assert!(line.ends_with("1 removed, 1 unchanged"), "{line}");
        assert!(!daemon.socket("ber").exists());
        assert!(client.at_end());
        other.await_open(0);
    }
    let line = reload(&daemon, "");
    assert!(line.ends_with("1 removed"), "{line}");
    fake.await_open(0);
    reload(&daemon, &muc);
    expect_answers(&daemon.client("muc"));
}

#[test]
fn a_site_that_goes_finishes_what_it_was_asked() {
    let (fake, other) = (FakeSite::start(), FakeSite::start());
    let muc = site("muc", &fake, "'channels': 1, 'channel_timeout': 20.0");
    let ber = site("ber", &other, BRISK);
    let daemon = Daemon::start(&format!("{muc}{ber}"));
    fake.await_ready(1);
    let (running, waiting) = (daemon.client("muc"), daemon.client("muc"));
    running.send(kept_and_framed("GET hosts\nTest-Hold: on"));
    fake.await_stalled(1);
    waiting.send(kept_and_framed("GET hosts\nFilter: it = waiting"));
    let mark = daemon.log_mark();
    reload(&daemon, &ber);
    assert!(!daemon.socket("muc").exists());
    // The same name again, while the old one still has something to do.
    reload(&daemon, &format!("{}{ber}", site("muc", &other, BRISK)));
    let newcomer = daemon.client("muc");
    newcomer
        .ask("GET hosts\nFilter: it = new")
        .expect(rewritten("GET hosts", "Filter: it = new\n"));
    fake.release();
    expect_held(&running);
    waiting
        .read_response()
        .expect(rewritten("GET hosts", "Filter: it = waiting\n"));
    assert!(running.at_end() && waiting.at_end());
    fake.await_open(0);
    assert_eq!((fake.requests().len(), other.requests().len()), (2, 1));
    expect_answers(&newcomer);
    assert!(
        daemon.socket("muc").exists(),
        "the old one took the new one's socket along"
    );
    let log = daemon.log().split_off(mark);
    assert!(!log.iter().any(|line| line.contains("[ERROR]")), "{log:?}");
}

#[test]
fn a_faulty_configuration_changes_nothing_and_says_where_it_is_wrong() {
    let (fake, other) = (FakeSite::start(), FakeSite::start());
    let muc = site("muc", &fake, "'channels': 2");
    let ber = site("ber", &other, "'channels': 2");
    let daemon = Daemon::start(&format!("{muc}{ber}"));
    fake.await_ready(2);
    other.await_ready(2);
    let kept = daemon.client("muc");
    expect_answers(&kept);
    let file = daemon.root().join(CONFIGURATION);
    let at = |place: &str| format!("[ERROR] {}:{place}: ", file.display());
    expect_refused(&daemon, "sites = {}\nx = import os\n", &at("2:5"));
    // One wrong value, beside a site that is gone and one with another address.
    let text = format!(
        "{}\nsites['ber'] = {{'socket': ('127.0.0.1', 9), 'channels': 0}}\n",
        site("muc", &other, "")
    );
    expect_refused(&daemon, &text, &at("4:57"));
    reload(&daemon, &format!("{muc}{ber}"));
    expect_answers(&kept);
    expect_answers(&daemon.client("ber"));
    assert_eq!((fake.accepted(), other.accepted()), (2, 2));
    assert_eq!((fake.requests().len(), other.requests().len()), (2, 1));
}

#[test]
fn a_site_that_was_refused_at_the_start_is_served_once_it_is_good() {
    let (fake, other) = (FakeSite::start(), FakeSite::start());
    let muc = site("muc", &fake, "'channels': 2");
    let daemon = Daemon::start(&format!(
        "{muc}{}",
        site("ber", &other, "'channels': 'many'")
    ));
    fake.await_ready(2);
    let client = daemon.client("ber");
    client.ask("GET hosts").expect_error(502, "channels");
    reload(
        &daemon,
        &format!("{muc}{}", site("ber", &other, "'channels': 2")),
    );
    // The client that was told so may stay.
    expect_answers(&client);
    expect_answers(&daemon.client("ber"));
    assert_eq!(fake.accepted(), 2);
}

#[test]
fn sockets_that_were_deleted_come_back() {
    let fake = FakeSite::start();
    let text = format!("{}{}", site("muc", &fake, ""), site("ber", &fake, ""));
    let daemon = Daemon::start(&text);
    fake.await_ready(20);
    let kept = daemon.client("muc");
    expect_answers(&kept);
    std::fs::remove_file(daemon.socket("muc")).unwrap();
    let line = reload(&daemon, &text);
    assert!(line.ends_with("2 unchanged, 1 with a new socket"), "{line}");
    expect_answers(&daemon.client("muc"));
    std::fs::remove_dir_all(daemon.root().join("tmp/run/liveproxy")).unwrap();
    let line = reload(&daemon, &text);
    assert!(line.ends_with("2 unchanged, 2 with a new socket"), "{line}");
    for name in ["muc", "ber"] {
        expect_answers(&daemon.client(name));
    }
    expect_answers(&kept);
    assert_eq!(fake.accepted(), 20);
    let socket = daemon.socket("muc");
    assert_eq!(daemon.stop().code(), Some(0));
    assert!(!socket.exists());
}

#[test]
fn another_daemon_in_the_way_of_a_new_site_changes_nothing() {
    let fake = FakeSite::start();
    let muc = site("muc", &fake, "'channels': 2");
    let daemon = Daemon::start(&muc);
    fake.await_ready(2);
    let kept = daemon.client("muc");
    expect_answers(&kept);
    let other = UnixListener::bind(daemon.socket("new")).unwrap();
    // Two more than are there; the first of them could be made.
    let text = format!(
        "{}{}{}",
        site("ber", &fake, ""),
        site("muc", &fake, "'channels': 4"),
        site("new", &fake, "")
    );
    let words = format!("process {} listens there", std::process::id());
    expect_refused(&daemon, &text, &words);
    assert!(!daemon.socket("ber").exists());
    assert!(UnixStream::connect(daemon.socket("new")).is_ok());
    let names = std::fs::read_dir(daemon.root().join("tmp/run/liveproxy"))
        .unwrap()
        .count();
    assert_eq!(names, 2, "something is left behind");
    expect_answers(&kept);
    assert_eq!(fake.accepted(), 2);
    drop(other);
    reload(&daemon, &text);
    expect_answers(&daemon.client("new"));
    expect_answers(&kept);
}

#[test]
fn global_limits_and_the_log_s_level_change() {
    let fake = FakeSite::start();
    let muc = site("muc", &fake, BRISK);
    let mut daemon = Daemon::builder().config(&muc).arg("-g").launch();
    daemon.await_serving();
    let first = daemon.client("muc");
    expect_answers(&first);
    reload(
        &daemon,
        &format!("max_clients_total = 1\nliveproxyd_log_levels = {{'cmk.liveproxyd': 10}}\n{muc}"),
    );
    // Were it idle, it might have to make room.
    first.send(kept_and_framed("GET hosts\nTest-Hold: on"));
    fake.await_stalled(1);
    let second = daemon.client("muc");
    second
        .ask("GET hosts")
        .expect_error(502, "Too many clients of all sites");
    assert!(second.at_end());
    fake.release();
    expect_held(&first);
    // Whoever it is told to.
    let _ = daemon.client("muc").try_send("NONSENSE\n\n");
    daemon.wait_log("[DEBUG] refused a request");
    reload(
        &daemon,
        &format!("response_buffer = 4194304\nmax_query = 65536\n{muc}"),
    );
    let third = daemon.client("muc");
    expect_answers(&third);
    let long = format!("GET hosts\nFilter: name = {}", "x".repeat(70_000));
    third.ask(&long).expect_error(413, "");
    let body = crate::support::site::payload("n", 5_000_000);
    first
        .ask("GET hosts\nTest-Nonce: n\nTest-Size: 5000000")
        .expect(body);
}

#[test]
fn a_hundred_reloads_under_load_fail_no_query() {
    let fakes: Vec<FakeSite> = (0..3).map(|_| FakeSite::start()).collect();
    let same = site("same", &fakes[0], "'channels': 4");
    let extra = site(
        "extra",
        Spec::named("localhost", fakes[2].tcp().port()),
        "'channels': 2",
    );
    let muc = |number: usize| {
        let fake = &fakes[number % 2 + 1];
        let channels = 2 + number % 3 * 2;
        site("muc", fake, &format!("{BRISK} 'channels': {channels}"))
    };
    let daemon = Daemon::start(&format!("{same}{}", muc(0)));
    fakes[0].await_ready(4);
    let mut load = Load::start(&[daemon.socket("same"), daemon.socket("muc")]);
    load.add(&daemon.socket("muc"), crate::support::load::Manner::Kept, 7);
    load.add(
        &daemon.socket("muc"),
        crate::support::load::Manner::OneShot,
        8,
    );
    load.await_more(20);
    for number in 1..=RELOADS {
        // The address changes with every second one, channels with each, and a third site comes and goes.
        let extra = if number % 4 < 2 { extra.as_str() } else { "" };
        reload(&daemon, &format!("{same}{}{extra}", muc(number / 2)));
        load.await_more(5);
    }
    let outcome = load.end();
    println!("{RELOADS} reloads: {outcome:?}");
    assert_eq!(
        outcome.reconnected, 0,
        "kept clients were closed: {outcome:?}"
    );
    // Sites that were left have no connection any more, and the one that stayed has its first ones.
    assert_eq!(fakes[0].accepted(), 4);
    for fake in &fakes[1..] {
        assert!(fake.requests().len() > RELOADS / 10, "no query went there");
    }
    reload(&daemon, &same);
    for fake in &fakes[1..] {
        fake.await_open(0);
    }
    let descriptors = daemon.descriptors();
    reload(&daemon, &format!("{same}{}", muc(0)));
    reload(&daemon, &same);
    fakes[1].await_open(0);
    eventually("no descriptor is left behind", || {
        daemon.descriptors() <= descriptors
    });
}
