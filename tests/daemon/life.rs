//! The process itself: its command line, its start, its places on disk and its end.

use std::collections::BTreeSet;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::pair::{BRISK, Pair, rewritten};
use crate::support::client::kept_and_framed;
use crate::support::daemon::{Origin, Run};
use crate::support::{
    Background, Client, Console, Daemon, FakeSite, Spec, awaited, eventually, site, stretched,
};

/// An address at which nothing has to listen: these sites are never asked.
const NOWHERE: &str = "('tcp', {'address': ('127.0.0.1', 9), 'tls': ('plain_text', {})})";

const CONFIGURATION: &str = "etc/check_mk/liveproxyd.mk";

fn check(config: &str) -> Run {
    Daemon::builder().config(config).arg("-t").run()
}

#[test]
fn checks_a_good_configuration() {
    let text = format!(
        "{}{}",
        site("muc", Spec::text(NOWHERE), "'channels': 3"),
        site("ber", Spec::text("('unix', {'path': '/run/ber'})"), "")
    );
    let run = check(&text);
    assert_eq!(run.code(), 0, "{run:?}");
    for word in ["muc", "ber", "127.0.0.1", "/run/ber", "channels"] {
        assert!(run.stdout.contains(word), "no {word} in {run:?}");
    }
    assert!(!run.root.socket("muc").exists(), "a check must not listen");
}

#[test]
fn checks_an_empty_configuration() {
    for run in [check(""), Daemon::builder().arg("-t").run()] {
        assert_eq!(run.code(), 0, "{run:?}");
    }
}

#[test]
fn names_the_place_of_every_error() {
    let place = |run: &Run, line: usize, column: usize| {
        let file = run.root.file(CONFIGURATION);
        format!("{}:{line}:{column}: ", file.display())
    };
    let value = "sites = {\n  'muc': {'socket': ('127.0.0.1', 9),\n    'channels': 'many'}}\n";
    let run = check(value);
    assert_eq!(run.code(), 1, "{run:?}");
    let printed = format!("{}{}", run.stdout, run.stderr);
    let at = place(&run, 3, 17);
    assert!(printed.contains(&at), "no {at} in {run:?}");
    assert!(printed.contains("channels"), "{run:?}");

    let syntax = "x = 1\ny = import os\n";
    let run = check(syntax);
    assert_eq!(run.code(), 1, "{run:?}");
    let printed = format!("{}{}", run.stdout, run.stderr);
    let file = run.root.file(CONFIGURATION);
    let at = format!("{}:2:", file.display());
    assert!(printed.contains(&at), "no {at} in {run:?}");
}

#[test]
fn refuses_a_wrong_option_in_one_line() {
    for arguments in [
        vec!["--no-such-option"],
        vec!["-Z"],
        vec!["--root"],
        vec!["stray"],
    ] {
        let builder = Daemon::builder().without_root();
        let run = arguments
            .iter()
            .fold(builder, |builder, argument| builder.arg(argument))
            .run();
        assert_eq!(run.code(), 2, "{run:?}");
        assert_eq!(run.stdout, "", "{run:?}");
        // The reason on one line, the hint behind or below it.
        assert!(run.stderr.lines().count() <= 2, "{run:?}");
        assert!(run.stderr.contains("--help"), "{run:?}");
    }
}

#[test]
fn tells_its_version_and_its_options() {
    for option in ["-V", "--version"] {
        let run = Daemon::builder().without_root().arg(option).run();
        assert_eq!(run.code(), 0, "{run:?}");
        assert!(run.stdout.contains("liveproxyd"), "{run:?}");
        assert!(run.stdout.contains(env!("CARGO_PKG_VERSION")), "{run:?}");
    }
    for option in ["-h", "--help"] {
        let run = Daemon::builder().without_root().arg(option).run();
        assert_eq!(run.code(), 0, "{run:?}");
        for word in [
            "--foreground",
            "--check-config",
            "--root",
            "--demo",
            "--site",
        ] {
            assert!(run.stdout.contains(word), "no {word} in {run:?}");
        }
    }
}

#[test]
fn runs_sites_of_the_command_line_without_any_file() {
    let tcp = FakeSite::start();
    let unix = FakeSite::start_unix();
    let daemon = Daemon::builder()
        .arg("-s")
        .arg(&format!("muc=tcp:127.0.0.1:{}", tcp.tcp().port()))
        .arg("--site")
        .arg(&format!("ber=unix:{}", unix.path().display()))
        .start();
    for name in ["muc", "ber"] {
        let response = daemon.client(name).ask("GET hosts");
        response.expect(rewritten("GET hosts", ""));
    }
    assert!(!daemon.root().join(CONFIGURATION).exists());
    assert_eq!((tcp.requests().len(), unix.requests().len()), (1, 1));
}

#[test]
fn ends_on_a_signal_and_takes_its_sockets_along() {
    for name in ["TERM", "INT"] {
        let mut pair = Pair::start("'channels': 2");
        pair.site.await_ready(2);
        let idle = pair.client();
        idle.ask("GET hosts").expect(rewritten("GET hosts", ""));
        let socket = pair.daemon.socket("muc");
        assert!(socket.exists());
        pair.daemon.signal(name);
        let status = pair.daemon.await_end();
        assert_eq!(status.code(), Some(0), "{status}");
        assert!(!socket.exists(), "the socket is left behind");
        assert!(idle.at_end());
        pair.site.await_open(0);
    }
}

#[test]
fn a_check_that_finds_no_site_says_where_it_has_looked() {
    let builder = Daemon::builder().file("etc/check_mk/sites.mk", "sites = {}\n");
    let run = builder.arg("--check-config").run();
    assert_eq!(run.code(), 0, "{run:?}");
    for word in ["no site is configured in ", "/etc/check_mk/liveproxyd.d"] {
        assert!(run.stderr.contains(word), "no {word:?} in {run:?}");
    }
}

#[test]
fn runs_the_good_sites_beside_a_bad_one() {
    let fake = FakeSite::start();
    let text = format!(
        "{}{}",
        site("muc", &fake, BRISK),
        site("ber", Spec::text(NOWHERE), "'channels': 'many'")
    );
    let daemon = Daemon::start(&text);
    let client = daemon.client("muc");
    client.ask("GET hosts").expect(rewritten("GET hosts", ""));
    let client = daemon.client("ber");
    client.ask("GET hosts").expect_error(502, "channels");
    let bare = daemon.client("ber");
    bare.send("GET hosts\n\n");
    assert!(bare.read_to_end().starts_with(b"502: "));
    let warned = |line: &String| line.contains("ber") && line.contains("channels");
    let consoled = |line: &String| line.contains("starts all the same");
    eventually("standard error names the bad site", || {
        let lines = daemon.lines_of(Origin::Stderr);
        lines.iter().any(warned) && lines.iter().any(consoled)
    });
}

#[test]
fn does_not_start_when_no_site_is_good_or_the_syntax_is_wrong() {
    for text in [
        "sites = {'muc': \n".to_owned(),
        site("muc", Spec::text(NOWHERE), "'channels': 0"),
    ] {
        for foreground in [true, false] {
            let builder = Daemon::builder().config(&text);
            let run = match foreground {
                true => builder.arg("-g").run(),
                false => builder.run(),
            };
            assert_eq!(run.code(), 1, "{run:?}");
            assert!(run.stderr.contains("liveproxyd.mk:"), "{run:?}");
            assert!(!run.root.socket("muc").exists());
        }
    }
}

#[test]
fn logs_to_standard_output_in_the_foreground() {
    let pair = Pair::start("");
    let serving = format!("liveproxyd {} is serving 1 site", env!("CARGO_PKG_VERSION"));
    let lines = pair.daemon.lines_of(Origin::Stdout);
    let said = lines.iter().any(|line| line.contains(&serving));
    assert!(said, "no {serving:?} in {lines:?}");
    assert!(!pair.daemon.root().join("var/log/livepd.log").exists());
}

/// All sockets whose paths are printed in these lines.
fn printed_sockets(lines: &[String]) -> BTreeSet<PathBuf> {
    let is_end = |c: char| c.is_whitespace() || "'\"`,;:()=".contains(c);
    let words = lines.iter().flat_map(|line| line.split(is_end));
    let is_socket = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
    };
    words
        .filter(|word| word.starts_with('/') && is_socket(Path::new(word)))
        .map(PathBuf::from)
        .collect()
}

#[test]
fn demonstrates_itself_and_leaves_nothing_behind() {
    let place = tempfile::Builder::new().prefix("lpdemo").tempdir().unwrap();
    let mut daemon = Daemon::builder()
        .without_root()
        .arg("--demo")
        .env("TMPDIR", &place.path().display().to_string())
        .launch();
    let sockets = awaited("two sockets are printed", || {
        let found = printed_sockets(&daemon.lines_of(Origin::Stdout));
        (found.len() >= 2).then_some(found)
    });
    for socket in &sockets {
        assert!(UnixStream::connect(socket).is_ok());
        let client = Client::connect(socket);
        client.send(kept_and_framed("GET hosts\nColumns: name"));
        let response = client.read_response();
        assert_eq!(response.code, 200, "{response:?}");
        assert!(response.text().lines().count() > 1, "{response:?}");
    }
    // Its folder is the root of the daemon.
    let root = sockets.iter().find_map(|path| path.ancestors().nth(4));
    let console = Console::of(root.unwrap());
    let read = || console.value("GET status\nColumns: last_reload").as_u64();
    let at_start = read();
    assert!(at_start > Some(0));
    // An order that cannot be carried out is refused, and nobody waits for it.
    let told = console.try_order("RESTART");
    assert!(told.starts_with("400: Not restarted"), "{told}");
    eventually("it is read again", || {
        console.order("RELOAD");
        read() > at_start
    });
    let in_place = sockets.iter().all(|path| path.starts_with(place.path()));
    assert!(in_place, "{sockets:?} are not in a directory of its own");
    daemon.signal("INT");
    let status = daemon.await_end();
    assert_eq!(status.code(), Some(0), "{status}");
    let left: Vec<_> = std::fs::read_dir(place.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// The number stood in the file before the daemon listened to signals, and a reload at that moment
/// ended it.
#[test]
fn whoever_knows_its_number_may_have_it_reload() {
    let fake = FakeSite::start();
    for number in [libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2].repeat(7) {
        let background = Background::new(&site("muc", &fake, ""));
        let mut daemon = background.another().arg("-g").launch();
        let file = background.pid_file();
        // Without a pause between looks, unlike other waiting: the moment is short.
        let deadline = Instant::now() + stretched(Duration::from_secs(20));
        while !std::fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n')) {
            assert!(daemon.runs() && Instant::now() < deadline);
        }
        // At once: to start a program for it would take too long.
        liveproxyd::sys::signal(daemon.pid().try_into().unwrap(), number).unwrap();
        daemon.await_serving();
        assert!(daemon.runs());
    }
}
