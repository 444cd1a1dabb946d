//! Processes that are killed outright, at either end of the daemon: nothing of theirs is said any
//! more, and the system closes what they had.

use std::process::{Command, Stdio};

use crate::pair::{BRISK, Pair, QUERY, rewritten};
use crate::support::client::kept_and_framed;
use crate::support::daemon::signal;
use crate::support::site::payload;
use crate::support::{Background, Client, Daemon, FakeSite, Fault, Place, eventually, site};

/// Large enough that no daemon in between holds it whole.
const LARGE: usize = 30_000_000;

#[test]
fn a_core_that_is_killed_costs_what_it_was_at_and_is_served_when_it_is_back() {
    // A daemon as the core: a process that can be killed and started again.
    let fake = FakeSite::start();
    let config = site("muc", &fake, &format!("{BRISK}'channels': 4"));
    let core = Background::start(&format!("response_buffer = 16777216\n{config}"));
    fake.await_ready(4);
    let socket = core.root().socket("muc");
    let config = site("muc", &socket, &format!("{BRISK}'channels': 4"));
    let front = Daemon::start(&format!("response_buffer = 16777216\n{config}"));
    front.client("muc").ask(QUERY);

    let held = front.client("muc");
    held.send(kept_and_framed("GET held\nTest-Hold: on"));
    fake.await_stalled(1);
    fake.next(Fault::Stall(Place::InBody(LARGE / 3)));
    let cut = front.client("muc");
    cut.send(kept_and_framed(format!("GET cut\nTest-Size: {LARGE}")));
    // A part of it comes through both daemons.
    let header = String::from_utf8(cut.read_exactly(16)).unwrap();
    assert_eq!(header, format!("200 {LARGE:>11}\n"));
    let mut part = cut.read_exactly(LARGE / 3);

    let pid = core.expect_pid();
    signal(pid, "KILL");
    core.await_gone(pid);
    // Whether the end of the last channel or the next connect is the cause is a matter of moments.
    let told = held.read_response();
    told.expect_error(502, "Site muc is not reachable: ");
    part.extend(cut.read_to_end());
    assert!(part.len() < LARGE, "the rest was made up");
    assert!(payload("", LARGE).starts_with(&part));
    front.wait_log("site muc: dead: ");

    assert_eq!(core.run(&[]).code(), 0);
    eventually("it is served again", || held.ask(QUERY).code == 200);
    fake.release();
}

#[test]
fn a_client_that_is_killed_gives_everything_back() {
    let pair = Pair::start("'channels': 2");
    pair.site.await_ready(2);
    let (nobody, memory) = (pair.daemon.descriptors(), pair.daemon.resident_kb());
    for lines in ["Test-Hold: on", "Test-Size: 30000000"] {
        // Before the answer, and in the middle of it.
        if lines.starts_with("Test-Size") {
            pair.site.next(Fault::Stall(Place::InBody(LARGE / 2)));
        }
        let mut client = Command::new(env!("CARGO_BIN_EXE_liveproxyctl"))
            .arg("--root")
            .arg(pair.daemon.root())
            .args(["query", "muc", "GET x", lines])
            .env_remove("OMD_ROOT")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        pair.site.await_stalled(1);
        client.kill().unwrap();
        client.wait().unwrap();
        eventually("nobody is left", || {
            pair.daemon.console().number("muc", "clients") == 0.0
        });
        pair.site.release();
        pair.site.await_stalled(0);
    }
    eventually("its descriptors and memory are given back", || {
        pair.daemon.descriptors() <= nobody && pair.daemon.resident_kb() < memory + 4_096
    });
    let answered: Vec<Client> = (0..4).map(|_| pair.client()).collect();
    for client in &answered {
        let right = rewritten("GET hosts", "Filter: name = asked\n");
        client.ask(QUERY).expect(right);
    }
}
