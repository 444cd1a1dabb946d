//! Two daemons in a row: what the one in front makes of what the one behind tells it.

use std::net::{Ipv4Addr, SocketAddr};

use crate::pair::{BRISK, expect_held, rewritten};
use crate::support::chain::free_port;
use crate::support::client::kept_and_framed;
use crate::support::{Client, Daemon, FakeSite, Spec, eventually, site};

/// A daemon with these keys for the site, and one in front of it with heartbeats in quick succession.
fn chain(fake: &FakeSite, keys: &str) -> (Daemon, Daemon) {
    let port = free_port();
    let tcp = format!("'tcp': {{'port': {port}, 'only_from': ['127.0.0.1']}}, ");
    let behind = Daemon::start(&site("muc", fake, &format!("{BRISK}{tcp}{keys}")));
    let spec = Spec::from(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let front = Daemon::start(&site("muc", spec, &format!("{BRISK}'heartbeat': (1, 2.0)")));
    (behind, front)
}

fn begin(daemon: &Daemon, lines: &str) -> Client {
    let client = daemon.client("muc");
    client.send(kept_and_framed(lines));
    client
}

#[test]
fn a_site_whose_channels_are_all_busy_is_not_dead_in_front() {
    let fake = FakeSite::start();
    let (_behind, front) = chain(&fake, "'channels': 1, 'heartbeat': (200, 5)");
    let slow = begin(&front, "GET hosts\nTest-Hold: on");
    fake.await_stalled(1);
    // Longer than a heartbeat in front may take, and each of them is answered.
    let begun = std::time::Instant::now();
    eventually("several heartbeats have passed", || {
        begun.elapsed().as_secs() >= 5
    });
    let lines = front.log();
    assert!(
        !lines.iter().any(|line| line.contains("site muc: dead")),
        "{lines:#?}"
    );
    fake.release();
    expect_held(&slow);
}

#[test]
fn a_site_that_is_dead_behind_is_dead_in_front_with_its_reason_and_comes_back() {
    let mut fake = FakeSite::start();
    let (_behind, front) = chain(&fake, "");
    front
        .client("muc")
        .ask("GET a")
        .expect(rewritten("GET a", ""));
    fake.refuse();
    fake.close_all();
    let words = "heartbeat answered with status 502: Site muc is not reachable: Connection refused";
    eventually("the reason comes through", || {
        let answer = front.client("muc").ask("GET b");
        answer.code == 502 && answer.text().contains(words)
    });
    fake.listen();
    eventually("it is back", || {
        front.client("muc").ask("GET c").code == 200
    });
}
