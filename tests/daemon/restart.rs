//! The order to restart: another process serves, or the old one goes on and says why.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::pair::{BRISK, Pair, rewritten};
use crate::support::background::Sweep;
use crate::support::{Background, Daemon, FakeSite, Load, Root, eventually, site, stretched};

/// Variables that nobody knows, and the length of their names: of a hundred it is complained, with
/// each name twice, and a pipe holds 64 KiB.
const WORDY: usize = 200;
const LONG: usize = 1_000;

#[track_caller]
fn await_other(background: &Background, old: u32) -> u32 {
    eventually("another process serves", || {
        background.pid().is_some_and(|pid| pid != old)
    });
    background.await_gone(old);
    background.expect_pid()
}

#[test]
fn in_the_background_a_new_process_takes_over_and_nothing_is_lost() {
    let fake = FakeSite::start();
    let background = Background::start(&site("muc", &fake, "'channels': 4"));
    let console = background.console();
    let load = Load::start(&[background.root().socket("muc")]);
    load.await_more(20);
    for _ in 0..3 {
        let old = background.expect_pid();
        console.order("RESTART");
        let new = await_other(&background, old);
        let pid = console.value("GET status\nColumns: pid");
        assert_eq!(pid, new);
        load.await_more(20);
    }
    let outcome = load.end();
    println!("restarted three times: {outcome:?}");
    assert_eq!(background.processes().len(), 1);
    assert_eq!(
        background
            .log()
            .matches("a new process was started")
            .count(),
        3
    );
}

#[test]
fn a_new_process_that_fails_is_told_of_and_the_old_one_goes_on() {
    let fake = FakeSite::start();
    let good = site("muc", &fake, BRISK);
    let background = Background::start(&good);
    let console = background.console();
    let old = background.expect_pid();
    background.configure("sites = (");
    console.order("RESTART");
    background.await_log("not restarted: the new process has failed");
    let log = background.log();
    let line = log.lines().find(|line| line.contains("not restarted"));
    let line = line.unwrap();
    assert!(line.contains("liveproxyd.mk:1:"), "{line}");
    assert!(line.contains("the configuration cannot be read"), "{line}");
    assert!(!line.contains("sites = ("), "{line}");
    let told = || console.value("GET status\nColumns: restart_error");
    assert!(line.ends_with(told().as_str().unwrap()), "{line}");
    assert_eq!(background.expect_pid(), old);
    assert_eq!(console.value("GET status\nColumns: pid"), old);
    let answer = background.client("muc").ask("GET hosts");
    answer.expect(rewritten("GET hosts", ""));
    // Mended, the next one succeeds.
    background.configure(&good);
    console.order("RESTART");
    await_other(&background, old);
}

#[test]
fn a_new_process_with_more_to_say_than_a_pipe_holds_takes_over_all_the_same() {
    let fake = FakeSite::start();
    let background = Background::start(&site("muc", &fake, BRISK));
    let old = background.expect_pid();
    let unknown: String = (0..WORDY)
        .map(|number| format!("nobody_knows_{}_{number} = 1\n", "x".repeat(LONG)))
        .collect();
    background.configure(&format!("{}{unknown}", site("muc", &fake, BRISK)));
    let words = background.run(&["--check-config"]).stderr.len();
    assert!(words > 65_536, "{words} bytes fit into a pipe");
    background.console().order("RESTART");
    await_other(&background, old);
    let answer = background.client("muc").ask("GET hosts");
    answer.expect(rewritten("GET hosts", ""));
}

#[test]
fn in_the_foreground_without_a_manager_it_is_refused() {
    let mut pair = Pair::start("'channels': 1");
    let console = pair.daemon.console();
    let told = console.try_order("RESTART");
    assert!(
        told.starts_with("400: Not restarted: it runs in the foreground"),
        "{told}"
    );
    assert_eq!(console.text("muc", "name"), "muc");
    assert!(pair.daemon.runs());
}

#[test]
fn under_a_manager_the_new_process_is_the_one_to_watch() {
    let root = Root::new();
    let manager = UnixDatagram::bind(root.file("notify")).unwrap();
    let patience = stretched(Duration::from_secs(20));
    manager.set_read_timeout(Some(patience)).unwrap();
    let fake = FakeSite::start();
    // As systemd does it: the watchdog listens to this very process. A shell knows its own number
    // and becomes the daemon.
    let builder = Daemon::builder()
        .config(&site("muc", &fake, BRISK))
        .env("NOTIFY_SOCKET", &root.file("notify").display().to_string())
        .env("WATCHDOG_USEC", "200000")
        .under("export WATCHDOG_PID=$$");
    // The new process is nobody's child here.
    let _sweep = Sweep(builder.root().path().to_owned());
    let mut daemon = builder.start();
    let console = daemon.console();
    let old = daemon.pid();
    console.order("RESTART");
    assert_eq!(daemon.await_end().code(), Some(0));
    let new = console.value("GET status\nColumns: pid").as_u64().unwrap();
    assert_ne!(new, u64::from(old));
    // What the old one has said may still be there; only the new one has a watchdog from here on.
    let mut bytes = [0; 4096];
    manager.set_nonblocking(true).unwrap();
    let mut said = String::new();
    while let Ok(count) = manager.recv(&mut bytes) {
        said.push_str(&String::from_utf8_lossy(&bytes[..count]));
        said.push('\n');
    }
    manager.set_nonblocking(false).unwrap();
    assert!(said.contains(&format!("MAINPID={new}\n")), "{said}");
    assert!(!said.contains("STOPPING=1"), "{said}");
    let count = manager
        .recv(&mut bytes)
        .expect("the watchdog hears of the new one");
    assert_eq!(&bytes[..count], b"WATCHDOG=1\n");
    console.order("SHUTDOWN");
    eventually("the new process has ended", || {
        !std::path::Path::new(&format!("/proc/{new}")).exists()
    });
}
