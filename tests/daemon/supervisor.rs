//! What a service manager is told over its datagram socket.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::pair::BRISK;
use crate::support::{Background, Daemon, FakeSite, Root, site, stretched};

/// The other end of `$NOTIFY_SOCKET`.
struct Manager {
    socket: UnixDatagram,
    root: Root,
}

impl Manager {
    fn new() -> Manager {
        let root = Root::new();
        let socket = UnixDatagram::bind(root.file("notify")).unwrap();
        let patience = Some(stretched(Duration::from_secs(20)));
        socket.set_read_timeout(patience).unwrap();
        Manager { socket, root }
    }

    fn address(&self) -> String {
        self.root.file("notify").display().to_string()
    }

    /// The next message, as its lines.
    #[track_caller]
    fn next(&self) -> Vec<String> {
        let mut bytes = [0; 4096];
        let count = self.socket.recv(&mut bytes).expect("a message");
        let text = String::from_utf8(bytes[..count].to_vec()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[track_caller]
    fn expect(&self, lines: &[&str]) {
        assert_eq!(self.next(), lines);
    }

    /// Takes one more message if there is one, which has to be this; whether there was none.
    #[track_caller]
    fn is_quiet_or(&self, ready: &str) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let mut bytes = [0; 4096];
        let count = self.socket.recv(&mut bytes);
        self.socket.set_nonblocking(false).unwrap();
        let Ok(count) = count else { return true };
        let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
        assert!(text.starts_with(ready), "{text}");
        false
    }

    /// Whether nothing has come that was not looked at.
    fn is_quiet(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let quiet = self.socket.recv(&mut [0; 16]).is_err();
        self.socket.set_nonblocking(false).unwrap();
        quiet
    }
}

#[test]
fn it_is_told_of_the_start_of_each_reload_and_of_the_stop() {
    let manager = Manager::new();
    let fake = FakeSite::start();
    let builder = Daemon::builder().config(&site("muc", &fake, BRISK));
    let mut daemon = builder.env("NOTIFY_SOCKET", &manager.address()).start();
    let ready = format!("MAINPID={}", daemon.pid());
    manager.expect(&[&ready, "READY=1"]);
    let mut last = 0;
    for name in ["HUP", "USR1"] {
        daemon.signal(name);
        let reloading = manager.next();
        assert_eq!(reloading[0], "RELOADING=1", "{reloading:?}");
        let at: u128 = reloading[1]
            .strip_prefix("MONOTONIC_USEC=")
            .unwrap()
            .parse()
            .unwrap();
        // The manager compares it with the time of its own request.
        assert!(at > last, "{reloading:?}");
        last = at;
        manager.expect(&[&ready, "READY=1"]);
    }
    // A reload that fails ends as well.
    daemon.configure("x = (");
    daemon.signal("HUP");
    assert_eq!(manager.next()[0], "RELOADING=1");
    manager.expect(&[&ready, "READY=1"]);
    daemon.signal("TERM");
    manager.expect(&["STOPPING=1"]);
    assert_eq!(daemon.await_end().code(), Some(0));
    assert!(manager.is_quiet());
}

#[test]
fn it_is_told_of_a_start_only_when_that_succeeds() {
    let manager = Manager::new();
    let builder = Daemon::builder().config("sites = (");
    let run = builder
        .arg("-g")
        .env("NOTIFY_SOCKET", &manager.address())
        .run();
    assert_eq!(run.code(), 1, "{run:?}");
    assert!(manager.is_quiet());
}

#[test]
fn the_watchdog_hears_of_it_again_and_again() {
    let manager = Manager::new();
    let fake = FakeSite::start();
    let builder = Daemon::builder().config(&site("muc", &fake, BRISK));
    let daemon = builder
        .env("NOTIFY_SOCKET", &manager.address())
        .env("WATCHDOG_USEC", "100000")
        .start();
    assert!(manager.next().contains(&"READY=1".to_owned()));
    for _ in 0..5 {
        manager.expect(&["WATCHDOG=1"]);
    }
    // Until the very end: a stop takes longer than the watchdog waits.
    let client = daemon.client("muc");
    client.send("GET hosts\nTest-Hold: on\n\n");
    fake.await_stalled(1);
    daemon.signal("TERM");
    let heard = (0..1_000).any(|_| manager.next() == ["STOPPING=1"]);
    assert!(heard, "the manager never hears of the stop");
    for _ in 0..5 {
        manager.expect(&["WATCHDOG=1"]);
    }
    fake.release();
    client.read_to_end();
    assert_eq!(daemon.stop().code(), Some(0));
}

#[test]
fn a_takeover_is_no_stop_of_the_service() {
    let manager = Manager::new();
    let fake = FakeSite::start();
    let background = Background::new(&site("muc", &fake, BRISK));
    let address = manager.address();
    let managed = || background.another().env("NOTIFY_SOCKET", &address);
    let mut first = managed().start();
    manager.expect(&[&format!("MAINPID={}", first.pid()), "READY=1"]);
    let second = managed().arg("--takeover").start();
    let ready = format!("MAINPID={}", second.pid());
    manager.expect(&[&ready, "READY=1"]);
    assert_eq!(first.await_end().code(), Some(0));
    // It may be said twice, but nothing else.
    while !manager.is_quiet_or(&ready) {}
    assert_eq!(second.stop().code(), Some(0));
    manager.expect(&["STOPPING=1"]);
}

#[test]
fn without_a_manager_or_with_one_that_is_gone_nothing_is_missed() {
    let fake = FakeSite::start();
    let config = site("muc", &fake, BRISK);
    let builder = Daemon::builder().config(&config);
    let daemon = builder.env("NOTIFY_SOCKET", "/nonexistent/notify").start();
    assert_eq!(daemon.client("muc").ask("GET hosts").code, 200);
    assert_eq!(daemon.stop().code(), Some(0));
    let background = Background::start(&config);
    assert_eq!(background.client("muc").ask("GET hosts").code, 200);
}
