//! The start in the background: the command returns when the daemon serves, or says why it does
//! not; and whatever an earlier daemon has left behind is no obstacle.

use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use crate::pair::{BRISK, expect_answers};
use crate::support::daemon::signal;
use crate::support::{Background, Daemon, FakeSite, awaited, eventually, site};

#[test]
fn the_command_returns_when_it_serves_and_a_stop_leaves_nothing_behind() {
    let fake = FakeSite::start();
    let background = Background::start(&site("muc", &fake, BRISK));
    // No waiting here: the sockets accept when the command has returned.
    let client = background.client("muc");
    let pid = background.expect_pid();
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    assert_eq!(name, "liveproxyd\n");
    let folder = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap();
    assert_eq!(
        folder.to_str(),
        Some("/"),
        "it keeps a folder from being unmounted"
    );
    expect_answers(&client);
    assert!(background.log().contains(" is serving "));
    background.stop();
    assert!(
        !background.pid_file().exists(),
        "the pid file is left behind"
    );
    assert_eq!(background.sockets(), Vec::<String>::new());
    assert!(client.at_end());
    assert!(background.log().contains("stopped"));
}

/// Fails to start on a root that was prepared by `prepare`, and says why in these words.
#[track_caller]
fn expect_failure(config: &str, prepare: impl FnOnce(&Background), words: &[&str]) {
    let background = Background::new(config);
    prepare(&background);
    let run = background.run(&[]);
    assert_eq!(run.code(), 1, "{run:?}");
    for word in words {
        assert!(run.stderr.contains(word), "no {word:?} in {run:?}");
    }
    assert!(!run.stderr.contains("panicked"), "{run:?}");
    assert_eq!(background.processes(), Vec::<u32>::new(), "{run:?}");
    assert!(!background.pid_file().exists(), "a pid file is left behind");
}

#[test]
fn a_start_that_fails_says_why() {
    let fake = FakeSite::start();
    let good = site("muc", &fake, BRISK);
    expect_failure("sites = {\n 'muc': (,}\n", |_| {}, &["liveproxyd.mk:2:"]);
    let log_is_a_folder = |background: &Background| {
        std::fs::create_dir_all(background.root().file("var/log/livepd.log")).unwrap();
    };
    expect_failure(&good, log_is_a_folder, &["cannot log to", "livepd.log"]);
    let folder_is_a_file = |background: &Background| {
        background.root().write("tmp/run/liveproxy", "");
    };
    expect_failure(&good, folder_is_a_file, &["tmp/run/liveproxy"]);
    let way_is_barred = |background: &Background| {
        std::fs::remove_dir(background.root().file("tmp/run")).unwrap();
        background.root().write("tmp/run", "");
    };
    expect_failure(&good, way_is_barred, &["cannot make", "tmp/run"]);
    let socket_is_a_file = |background: &Background| {
        background.root().write("tmp/run/liveproxy/muc", "precious");
    };
    expect_failure(&good, socket_is_a_file, &["muc", "no socket"]);
}

#[test]
fn another_daemon_on_a_socket_is_named_and_left_alone() {
    let fake = FakeSite::start();
    let config = format!("{}{}", site("ber", &fake, BRISK), site("muc", &fake, BRISK));
    let background = Background::new(&config);
    std::fs::create_dir_all(background.root().file("tmp/run/liveproxy")).unwrap();
    let other = UnixListener::bind(background.root().socket("muc")).unwrap();
    let run = background.run(&[]);
    assert_eq!(run.code(), 1, "{run:?}");
    let named = format!("process {} listens there", std::process::id());
    assert!(run.stderr.contains(&named), "no {named:?} in {run:?}");
    // What was made before the failure is gone, the other one's is not.
    assert_eq!(background.sockets(), ["muc"]);
    assert!(!background.pid_file().exists());
    drop(other);
    let run = background.run(&[]);
    assert_eq!(run.code(), 0, "{run:?}");
    expect_answers(&background.client("muc"));
}

#[test]
fn a_second_daemon_is_refused_with_the_first_one_s_number() {
    let fake = FakeSite::start();
    let background = Background::new(&site("muc", &fake, BRISK));
    let expect_refused_beside = |pid: u32| {
        for arguments in [&[][..], &["-g"]] {
            let run = background.run(arguments);
            assert_eq!(run.code(), 1, "{run:?}");
            let named = format!("running already, process {pid}");
            assert!(run.stderr.contains(&named), "no {named:?} in {run:?}");
        }
        assert_eq!(background.processes(), [pid]);
        assert_eq!(background.pid(), Some(pid));
        expect_answers(&background.client("muc"));
    };
    assert_eq!(background.run(&[]).code(), 0);
    let pid = background.expect_pid();
    expect_refused_beside(pid);
    // What is left of it is no obstacle for one in the foreground either.
    signal(pid, "KILL");
    background.await_gone(pid);
    let foreground = background.another().start();
    expect_refused_beside(foreground.pid());
}

#[test]
fn a_killed_daemon_leaves_nothing_that_hinders_the_next_one() {
    let fake = FakeSite::start();
    let background = Background::start(&site("muc", &fake, BRISK));
    let pid = background.expect_pid();
    signal(pid, "KILL");
    background.await_gone(pid);
    assert_eq!(background.sockets(), ["muc"]);
    // What it would have left if it had been killed at its start, or when it took over.
    for name in [format!(".muc.{pid}"), ".gone.4194999".to_owned()] {
        let path = background.root().socket(&name);
        drop(UnixListener::bind(path).unwrap());
    }
    let next = "tmp/run/liveproxyd.pid.next";
    background.root().write(next, &format!("{pid}\n"));
    // Not ours: somebody listens there, it is no socket, or it has another name.
    let alive = background.root().socket(".alive.4194998");
    let _alive = UnixListener::bind(alive).unwrap();
    background
        .root()
        .write("tmp/run/liveproxy/.muc.4194997", "");
    drop(UnixListener::bind(background.root().socket("other.1")).unwrap());

    let run = background.run(&[]);
    assert_eq!(run.code(), 0, "{run:?}");
    assert_ne!(background.expect_pid(), pid);
    expect_answers(&background.client("muc"));
    let left = [".alive.4194998", ".muc.4194997", "muc", "other.1"];
    assert_eq!(background.sockets(), left);
    let run = background.run(&["--takeover"]);
    assert_eq!(run.code(), 0, "{run:?}");
    assert!(!background.root().file(next).exists());
}

#[test]
fn whatever_stands_in_a_pid_file_is_no_obstacle() {
    let fake = FakeSite::start();
    // A process that lives and is no daemon, one that cannot live, and nonsense.
    let texts = [
        format!("{}\n", std::process::id()),
        "4194999\n".to_owned(),
        String::new(),
        "a text that is longer than a number\n".to_owned(),
    ];
    for text in texts {
        let background = Background::new(&site("muc", &fake, BRISK));
        background.root().write("tmp/run/liveproxyd.pid", &text);
        let run = background.run(&[]);
        assert_eq!(run.code(), 0, "{text:?}: {run:?}");
        let written = std::fs::read_to_string(background.pid_file()).unwrap();
        assert_eq!(written, format!("{}\n", background.expect_pid()));
        expect_answers(&background.client("muc"));
    }
}

/// Starts the daemon from a shell, which gives it strange surroundings.
#[track_caller]
fn start_from(script: &str, background: &Background) {
    let mut shell = Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_liveproxyd")]);
    shell.arg("--root").arg(background.root().path());
    shell.env_remove("OMD_ROOT").stdin(Stdio::null());
    let mut child = shell
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let status = awaited("the shell ends", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0), "{script}");
    expect_answers(&background.client("muc"));
}

#[test]
fn closed_or_broken_standard_streams_and_a_lost_folder_do_no_harm() {
    let fake = FakeSite::start();
    // The bad site is told about on standard error, whatever that is.
    let config = format!(
        "{}{}",
        site("muc", &fake, BRISK),
        site("ber", &fake, "'channels': 'many'")
    );
    for script in [
        "exec \"$0\" \"$@\" <&- >&- 2>&-",
        // The reader of the pipe is gone before anything is written.
        "mkfifo \"$2/p\"; exec 3<>\"$2/p\" 4>\"$2/p\" 3<&-; exec \"$0\" \"$@\" >&4 2>&4",
        "mkdir \"$2/x\"; cd \"$2/x\"; rmdir \"$2/x\"; exec \"$0\" \"$@\"",
    ] {
        let background = Background::new(&config);
        start_from(script, &background);
        let pid = background.expect_pid();
        let place = |fd| std::fs::read_link(format!("/proc/{pid}/fd/{fd}")).unwrap();
        for fd in 0..3 {
            assert_eq!(place(fd).to_str(), Some("/dev/null"), "{script}");
        }
    }
}

#[test]
fn who_starts_it_through_a_pipe_gets_the_end_of_the_pipe() {
    let fake = FakeSite::start();
    let background = Background::new(&site("muc", &fake, BRISK));
    // `run` itself waits until nobody holds its pipes.
    let run = background.run(&[]);
    assert_eq!((run.code(), run.stdout.as_str()), (0, ""), "{run:?}");
    let pid = background.expect_pid();
    eventually("it has no terminal and a session of its own", || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        let (session, terminal) = (fields[3], fields[4]);
        session != std::process::id().to_string() && terminal == "0"
    });
}

#[test]
fn it_starts_without_a_site_and_on_a_root_of_which_little_is_there() {
    let background = Background::new("");
    std::fs::remove_dir_all(background.root().file("tmp")).unwrap();
    std::fs::remove_dir_all(background.root().file("var")).unwrap();
    let run = background.run(&[]);
    assert_eq!(run.code(), 0, "{run:?}");
    background.await_log("no site is configured");
    assert_eq!(background.sockets(), Vec::<String>::new());
    background.stop();
    let daemon = Daemon::builder().config("").start();
    assert_eq!(daemon.stop().code(), Some(0));
}
