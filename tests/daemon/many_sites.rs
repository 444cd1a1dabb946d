//! Hundreds of sites that go and come back together, while one more goes on being asked.

use std::time::Duration;

use crate::pair::rewritten;
use crate::support::{Client, Crowd, Daemon, FakeSite, Spec, eventually, site};

const SITES: usize = 600;

/// Some sites have as many as a site may have: they are the ones that could be called too fast.
const MOST_CHANNELS: usize = 50;
const FEW_CHANNELS: usize = 2;

/// xinetd shuts a port for everybody after more connects than this in a second.
const MOST_CONNECTS: usize = 100;

fn channels_of(number: usize) -> usize {
    match number % 100 {
        0 => MOST_CHANNELS,
        _ => FEW_CHANNELS,
    }
}

/// One site that is always well, and as many others as that. All of them are configured alike.
fn before(crowd: &Crowd, well: &FakeSite) -> Daemon {
    // Heartbeats have time enough on any machine: they are not what this is about.
    let keys = |channels: usize| {
        format!("'connect_retry': 1, 'heartbeat': (3, 15), 'channels': {channels}")
    };
    let mut text = site("well", well, &keys(FEW_CHANNELS));
    for (number, address) in crowd.addresses().iter().enumerate() {
        let name = format!("s{number}");
        text += &site(&name, Spec::from(*address), &keys(channels_of(number)));
    }
    Daemon::start(&text)
}

/// Waits for something, and asks the healthy site all the time; each answer has to be right.
#[track_caller]
fn await_beside_queries(what: &str, client: &Client, holds: impl Fn() -> bool) {
    let mut asked = 0;
    eventually(what, || {
        let line = format!("Filter: name = {what} {asked}\n");
        asked += 1;
        client
            .ask(format!("GET hosts\n{line}"))
            .expect(rewritten("GET hosts", &line));
        holds()
    });
}

#[test]
fn hundreds_of_sites_that_come_back_at_once_are_called_one_connect_at_a_time() {
    // Both sides of every channel but the daemon's are in this process.
    liveproxyd::sys::raise_file_limit().unwrap();
    let crowd = Crowd::refusing(SITES);
    let well = FakeSite::start();
    let daemon = before(&crowd, &well);
    let client = daemon.client("well");
    await_beside_queries("all others have refused", &client, || {
        let dead = daemon.log();
        let dead = dead.iter().filter(|line| line.contains(": dead: "));
        dead.count() == SITES
    });

    let all: usize = (0..SITES).map(channels_of).sum();
    crowd.listen();
    await_beside_queries("all others are back", &client, || crowd.proved() == all);
    for number in [0, 1, SITES - 1] {
        let line = format!("Filter: name = {number}\n");
        let client = daemon.client(&format!("s{number}"));
        let response = client.ask(format!("GET hosts\n{line}"));
        response.expect(rewritten("GET hosts", &line));
    }
    crowd.close_all();
    await_beside_queries("all others are back again", &client, || {
        let visits = crowd.visits();
        let accepted: usize = visits.iter().map(|visits| visits.accepted.len()).sum();
        accepted >= 2 * all && crowd.proved() == all
    });

    for (number, visits) in crowd.visits().iter().enumerate() {
        assert_eq!(visits.overlaps, 0, "site {number}: two connects at once");
        assert!(visits.accepted.len() >= 2 * channels_of(number), "{number}");
        let most = visits.most_within(Duration::from_secs(1));
        assert!(most <= MOST_CONNECTS, "site {number}: {most} in a second");
    }
    assert_eq!(well.accepted(), FEW_CHANNELS, "it was never lost");
}
