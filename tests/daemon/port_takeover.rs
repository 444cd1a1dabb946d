//! `--takeover` with ports: the next daemon listens beside the one before it, and nobody who
//! connects meanwhile is lost.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::pair::{BRISK, expect_answers, expect_held};
use crate::support::chain::free_port;
use crate::support::client::kept_and_framed;
use crate::support::daemon::signal;
use crate::support::{Background, Client, Daemon, FakeSite, Load, Spec, eventually, site};

/// As often a daemon is followed by another one under load.
const TAKEOVERS: usize = 20;

fn there(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// What everybody may do, said on purpose, so that nothing is warned of.
fn offer(port: u16) -> String {
    format!("'tcp': {{'port': {port}, 'only_from': ['127.0.0.1']}}, ")
}

#[test]
fn twenty_takeovers_under_load_lose_nothing_at_a_port() {
    let (fake, port) = (FakeSite::start(), free_port());
    let keys = format!("'channels': 4, {}", offer(port));
    let background = Background::start(&site("muc", &fake, &keys));
    let mut load = Load::start(&[background.root().socket("muc")]);
    load.add_tcp(there(port), 1);
    load.await_more(20);
    for _ in 0..TAKEOVERS {
        let (old, _) = background.take_over();
        load.await_more(20);
        background.await_gone(old);
    }
    let outcome = load.end();
    println!("{TAKEOVERS} takeovers: {outcome:?}");
    // That both kept clients were moved along each time shows that the disaster took place.
    assert!(outcome.reconnected >= 2 * TAKEOVERS, "{outcome:?}");
    assert_eq!(background.processes().len(), 1);
}

#[test]
fn clients_of_a_daemon_in_front_lose_nothing_when_the_one_behind_is_followed() {
    let (fake, port) = (FakeSite::start(), free_port());
    let keys = format!("'channels': 4, {}", offer(port));
    let behind = Background::start(&site("muc", &fake, &keys));
    let front = Daemon::start(&site("muc", Spec::from(there(port)), BRISK));
    expect_answers(&front.client("muc"));
    let sockets: Vec<PathBuf> = vec![front.socket("muc")];
    let load = Load::start(&sockets);
    load.await_more(20);
    for _ in 0..5 {
        let (old, _) = behind.take_over();
        load.await_more(20);
        behind.await_gone(old);
    }
    println!("{:?}", load.end());
}

#[test]
fn the_old_one_finishes_what_it_was_asked_at_its_port_and_gets_no_more() {
    let (fake, port) = (FakeSite::start(), free_port());
    let background = Background::start(&site("muc", &fake, &format!("{BRISK}{}", offer(port))));
    let slow = Client::connect_tcp(there(port));
    slow.send(kept_and_framed("GET hosts\nTest-Hold: on"));
    fake.await_stalled(1);
    let kept = Client::connect_tcp(there(port));
    expect_answers(&kept);
    let (old, _) = background.take_over();
    assert!(kept.at_end());
    for _ in 0..20 {
        expect_answers(&Client::connect_tcp(there(port)));
    }
    assert!(background.runs(old));
    fake.release();
    expect_held(&slow);
    assert!(slow.at_end());
    drop((slow, kept));
    background.await_gone(old);
    expect_answers(&Client::connect_tcp(there(port)));
}

/// What was allowed for the takeover stayed allowed, and two daemons shared a port.
#[test]
fn one_that_has_followed_takes_no_port_of_others() {
    let (fake, port) = (FakeSite::start(), free_port());
    let other = Daemon::start(&site("ber", &fake, &offer(port)));
    let background = Background::start(&site("muc", &fake, BRISK));
    background.take_over();
    let pid = background.expect_pid();
    background.configure(&site("muc", &fake, &format!("{BRISK}{}", offer(port))));
    signal(pid, "HUP");
    background.await_log(&format!("cannot listen on port {port}"));
    expect_answers(&Client::connect_tcp(there(port)));
    assert_eq!(other.console().number("ber", "clients_accepted"), 1.0);
}

#[test]
fn one_that_cannot_take_over_gets_nobody_who_connects() {
    let (mut fake, port) = (FakeSite::start(), free_port());
    let background = Background::start(&site(
        "muc",
        &fake,
        &format!("'channels': 4, {}", offer(port)),
    ));
    let pid = background.expect_pid();
    fake.await_ready(4);
    // The next one waits for the site, and is told to stop meanwhile.
    fake.never_accept();
    let mut next = background.follower();
    for _ in 0..20 {
        expect_answers(&Client::connect_tcp(there(port)));
    }
    next.signal("TERM");
    assert_eq!(next.await_end().code(), Some(1));
    eventually("all is as before", || background.pid() == Some(pid));
    for _ in 0..20 {
        expect_answers(&Client::connect_tcp(there(port)));
    }
}
