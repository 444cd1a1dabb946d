//! The clients that people use, through the proxy: what they get is what they
//! get from the site itself, and what goes wrong reaches them as text that they
//! can show. Libraries are driven by small programs beside this file; clients
//! that are no more than a few lines are written here.

mod commands;
mod console;
mod gui;
mod libraries;
mod one_read;
mod program;
mod queries;
mod shells;

use std::path::PathBuf;

use crate::icinga2_site::{Icinga2, Transport, channels};
use crate::support::{Client, Daemon, FakeSite, Fault, site};

/// The name of the site in the proxy.
const SITE: &str = "muc";

/// Brings a lost channel back fast, so that no test waits for it.
const BRISK: &str = "'connect_retry': 0.1";

/// A fake site with the proxy in front of it.
struct Scene {
    // Dropped first: a site that goes away under the daemon only fills its log.
    daemon: Daemon,
    fake: FakeSite,
}

impl Scene {
    #[track_caller]
    fn start(fake: FakeSite, keys: &str) -> Scene {
        let daemon = Daemon::start(&site(SITE, &fake, &format!("{BRISK}, {keys}")));
        Scene { daemon, fake }
    }

    /// In front of a site that works.
    #[track_caller]
    fn ready() -> Scene {
        Scene::start(FakeSite::start(), "'channels': 2")
    }

    /// In front of a port where nothing listens.
    #[track_caller]
    fn dead() -> Scene {
        let scene = Scene::start(FakeSite::start_refusing(), "'channels': 2");
        // A site that has never been tried is not dead but starting.
        let response = scene.daemon.client(SITE).ask("GET hosts");
        response.expect_error(502, "not reachable");
        scene
    }

    /// With both channels taken by queries that the site holds back until
    /// [`FakeSite::release`]. The clients that hold them come along.
    #[track_caller]
    fn busy() -> (Scene, [Client; 2]) {
        let keys = "'channels': 2, 'channel_timeout': 0.2";
        let scene = Scene::start(FakeSite::start(), keys);
        scene.fake.await_ready(2);
        let holders = [(); 2].map(|()| {
            let client = scene.daemon.client(SITE);
            client.send("GET hosts\nTest-Hold: on\nResponseHeader: fixed16\n\n");
            client
        });
        scene.fake.await_stalled(2);
        (scene, holders)
    }

    fn socket(&self) -> PathBuf {
        self.daemon.socket(SITE)
    }

    /// What the site answers to the next query instead of the fake site's usual
    /// body, which no library understands. It closes the channel behind it.
    fn answer_next(&self, code: u16, body: &str) {
        let answer = format!("{code:03} {:11}\n{body}", body.len());
        self.fake.next(Fault::Raw(answer.into_bytes()));
    }
}

/// The proxy in front of icinga2, over TCP.
#[track_caller]
fn in_front_of(icinga2: &Icinga2) -> Daemon {
    // A channel is always free soon; a crowded machine must not make it "busy".
    let keys = format!("'channels': {}, 'channel_timeout': 15.0", channels());
    Daemon::start(&site(SITE, icinga2.spec(Transport::Tcp), &keys))
}

/// Where icinga2 itself listens on a UNIX socket: the address that every client
/// here understands.
fn socket_of(icinga2: &Icinga2) -> PathBuf {
    let config = site(SITE, icinga2.spec(Transport::Unix), "");
    let (_, path) = config.split_once("'path': '").unwrap();
    let (path, _) = path.split_once('\'').unwrap();
    PathBuf::from(path)
}
