//! What others on the same machine put in the daemon's way: links and files of theirs where its
//! own files and sockets belong, pipes that nobody serves, and users who may not come in.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

use crate::control::{STRANGER, as_other};
use crate::pair::{BRISK, Pair, expect_answers};
use crate::support::daemon::signal;
use crate::support::{Background, Daemon, FakeSite, eventually, site};

const PRECIOUS: &str = "precious\n";

fn make_pipe(path: &Path) {
    let status = Command::new("mkfifo").arg(path).status().unwrap();
    assert!(status.success(), "mkfifo: {status}");
}

/// Fails to start, names what is in its way, and leaves nothing of its own.
#[track_caller]
fn expect_failure(background: &Background, words: &str) {
    let run = background.run(&[]);
    assert_eq!(run.code(), 1, "{run:?}");
    assert!(run.stderr.contains(words), "no {words:?} in {run:?}");
    assert_eq!(background.processes(), Vec::<u32>::new(), "{run:?}");
}

#[test]
fn a_link_in_place_of_the_pid_file_is_not_followed() {
    let fake = FakeSite::start();
    let background = Background::new(&site("muc", &fake, BRISK));
    let root = background.root();
    root.write("precious", PRECIOUS);
    symlink(root.file("precious"), background.pid_file()).unwrap();
    expect_failure(&background, "liveproxyd.pid");
    assert_eq!(fs::read_to_string(root.file("precious")).unwrap(), PRECIOUS);
    fs::remove_file(background.pid_file()).unwrap();

    // A link to nothing would make a file wherever its maker wants one.
    symlink(root.file("made"), background.pid_file()).unwrap();
    expect_failure(&background, "liveproxyd.pid");
    assert!(!root.file("made").exists());
    fs::remove_file(background.pid_file()).unwrap();

    // The same for the file of one that takes over; the daemon that runs goes on.
    assert_eq!(background.run(&[]).code(), 0);
    let pid = background.expect_pid();
    let next = root.file("tmp/run/liveproxyd.pid.next");
    symlink(root.file("precious"), &next).unwrap();
    let run = background.run(&["--takeover"]);
    assert_eq!(run.code(), 1, "{run:?}");
    assert_eq!(fs::read_to_string(root.file("precious")).unwrap(), PRECIOUS);
    assert_eq!(background.processes(), [pid]);
    expect_answers(&background.client("muc"));
}

#[test]
fn a_pipe_in_place_of_the_pid_file_ends_the_start() {
    let fake = FakeSite::start();
    let background = Background::new(&site("muc", &fake, BRISK));
    make_pipe(&background.pid_file());
    expect_failure(&background, "liveproxyd.pid");
}

#[test]
fn a_link_in_place_of_a_socket_is_neither_followed_nor_replaced() {
    let fake = FakeSite::start();
    for place in ["tmp/run/liveproxy/muc", "tmp/run/liveproxyd.ctl"] {
        let background = Background::new(&site("muc", &fake, BRISK));
        let root = background.root();
        fs::create_dir_all(root.file("tmp/run/liveproxy")).unwrap();
        let theirs = root.file("theirs");
        let listener = UnixListener::bind(&theirs).unwrap();
        listener.set_nonblocking(true).unwrap();
        let link = root.file(place);
        symlink(&theirs, &link).unwrap();
        expect_failure(&background, "there is a file that is no socket");
        assert_eq!(fs::read_link(&link).unwrap(), theirs);
        assert!(listener.accept().is_err(), "somebody has called there");
        fs::remove_file(&link).unwrap();
        assert_eq!(background.run(&[]).code(), 0);
        expect_answers(&background.client("muc"));
        UnixStream::connect(&theirs).unwrap();
    }
}

#[test]
fn a_link_in_place_of_the_state_file_is_replaced_and_not_followed() {
    let fake = FakeSite::start();
    let background = Background::new(&site("muc", &fake, BRISK));
    let root = background.root();
    root.write("precious", PRECIOUS);
    let state = root.file("var/log/liveproxyd.state");
    symlink(root.file("precious"), &state).unwrap();
    assert_eq!(background.run(&[]).code(), 0);
    let pid = background.expect_pid();
    // And where it is written before it is put there.
    let aside = root.file(&format!("var/log/.liveproxyd.state.new{pid}"));
    eventually("the state is written", || {
        signal(pid, "USR2");
        let is_link = fs::symlink_metadata(&state).is_ok_and(|data| data.is_symlink());
        !is_link && fs::read_to_string(&state).is_ok_and(|text| text.contains("[muc]"))
    });
    let _ = symlink(root.file("precious"), &aside);
    fs::remove_file(&state).unwrap();
    eventually("it is written again", || {
        signal(pid, "USR2");
        state.exists()
    });
    assert_eq!(fs::read_to_string(root.file("precious")).unwrap(), PRECIOUS);
    background.stop();
}

#[test]
fn a_pipe_in_place_of_the_log_stops_nothing() {
    let fake = FakeSite::start();
    let background = Background::new(&site("muc", &fake, BRISK));
    let log = background.root().file("var/log/livepd.log");
    make_pipe(&log);
    expect_failure(&background, "cannot log to");
    fs::remove_file(&log).unwrap();

    // While it runs: the log is looked at with the next line, and opened anew.
    assert_eq!(background.run(&[]).code(), 0);
    let pid = background.expect_pid();
    let old = background.root().file("var/log/old");
    fs::rename(&log, &old).unwrap();
    make_pipe(&log);
    eventually("a line goes on into the old log", || {
        signal(pid, "HUP");
        let text = fs::read_to_string(&old).unwrap();
        text.contains("configuration read again")
    });
    expect_answers(&background.client("muc"));
    background.stop();
}

#[test]
fn nobody_else_can_lock_the_pid_file_and_strangers_read_nothing_that_is_written() {
    let fake = FakeSite::start();
    let background = Background::start(&site("muc", &fake, BRISK));
    let pid = background.expect_pid();
    let root = background.root();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&background.pid_file()), 0o600);
    let state = root.file("var/log/liveproxyd.state");
    eventually("the state is written", || {
        signal(pid, "USR2");
        state.exists()
    });
    for file in [&state, &root.file("var/log/livepd.log")] {
        assert_eq!(mode(file) & 0o027, 0, "{}", file.display());
    }
    // Also one that takes over has a file of its own.
    assert_eq!(background.run(&["--takeover"]).code(), 0);
    assert_ne!(background.expect_pid(), pid);
    assert_eq!(mode(&background.pid_file()), 0o600);
}

#[test]
fn a_site_that_leads_back_to_itself_over_a_link_is_dead_and_harms_no_other() {
    let fake = FakeSite::start();
    let builder = Daemon::builder();
    // By the letters of the path it cannot be told, so it is taken.
    let round = builder.root().file("round");
    symlink(builder.root().file("tmp/run/liveproxy"), &round).unwrap();
    let keys = format!("{BRISK}'channel_timeout': 0.5, 'heartbeat': (1, 1.0)");
    let config = site("ber", &round.join("ber"), &keys) + &site("muc", &fake, BRISK);
    let daemon = builder.config(&config).start();
    daemon.wait_log("site ber: dead");
    let told = daemon.client("ber").ask("GET hosts");
    told.expect_error(502, "Site ber is not reachable");
    for _ in 0..20 {
        expect_answers(&daemon.client("muc"));
    }
    let spent = daemon.processor_time();
    assert!(spent.as_secs() < 5, "it goes round: {spent:?}");
}

#[test]
fn a_stranger_cannot_connect_to_a_site() {
    let pair = Pair::start("");
    let root = pair.daemon.root().to_owned();
    // The root of the test is for its own user alone; its folders are not what is tested.
    for folder in [root.clone(), root.join("tmp"), root.join("tmp/run")] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let ask = "import socket, sys\n\
               s = socket.socket(socket.AF_UNIX)\n\
               s.connect(sys.argv[1])\n\
               s.sendall(b'GET hosts\\n\\n')\n\
               print(s.makefile().read(), end='')\n";
    let socket = pair.daemon.socket("muc");
    let Some(of_group) = as_other("0", ask, &socket) else {
        return;
    };
    let text = String::from_utf8_lossy(&of_group.stdout).into_owned();
    assert!(text.starts_with("GET hosts\n"), "{of_group:?}");
    let stranger = as_other(STRANGER, ask, &socket).unwrap();
    let text = String::from_utf8_lossy(&stranger.stderr).into_owned();
    assert!(text.contains("PermissionError"), "{text}");
    assert_eq!(pair.site.requests().len(), 1);
}
