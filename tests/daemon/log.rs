//! The log: where its lines go, and that nothing from outside can break one.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::pair::{BRISK, Pair, expect_answers, rewritten};
use crate::support::client::kept_and_framed;
use crate::support::daemon::signal;
use crate::support::{Background, Daemon, FakeSite, Fault, eventually, site};

/// Whether a line begins as `2026-11-20 17:52:24,739 [INFO] `.
fn is_stamped(line: &str) -> bool {
    let shape = b"dddd-dd-dd dd:dd:dd,ddd [";
    let bytes = line.as_bytes();
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'd' => byte.is_ascii_digit(),
        shape => byte == shape,
    };
    let level = line.get(shape.len()..).unwrap_or_default();
    bytes.len() > shape.len()
        && bytes.iter().zip(shape).all(fits)
        && ["ERROR] ", "WARN] ", "INFO] ", "DEBUG] ", "TRACE] "]
            .iter()
            .any(|l| level.starts_with(l))
}

#[track_caller]
fn expect_whole_lines(text: &str) {
    assert!(text.ends_with('\n'), "the last line is torn: {text}");
    for line in text.lines() {
        assert!(is_stamped(line), "a line without a stamp: {line:?}");
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn every_line_begins_with_the_time_in_milliseconds() {
    let fake = FakeSite::start();
    let background = Background::new(&site("muc", &fake, BRISK));
    assert_eq!(background.run(&["--debug"]).code(), 0);
    expect_answers(&background.client("muc"));
    background.stop();
    let log = background.log();
    assert!(log.lines().count() > 5, "{log}");
    expect_whole_lines(&log);
}

#[test]
fn a_log_that_was_renamed_away_is_made_anew() {
    let fake = FakeSite::start();
    let background = Background::start(&site("muc", &fake, BRISK));
    let (log, old) = (
        background.root().file("var/log/livepd.log"),
        background.root().file("var/log/livepd.log.1"),
    );
    let pid = background.expect_pid();
    background.await_log(" is serving ");
    std::fs::rename(&log, &old).unwrap();
    signal(pid, "HUP");
    background.await_log("configuration read again");
    assert!(!read(&old).contains("configuration read again"));
    // Without a signal too, though it may take a second and a line.
    let older = background.root().file("var/log/livepd.log.2");
    std::fs::rename(&log, &older).unwrap();
    eventually("a line appears in a new file", || {
        signal(pid, "USR1");
        read(&log).contains("configuration read again")
    });
    // The folder with it, at a moment when no state file is being put there.
    let folder = background.root().file("var/log");
    eventually("the folder is gone", || {
        std::fs::remove_dir_all(&folder).is_ok()
    });
    expect_answers(&background.client("muc"));
    // A reload makes it again.
    eventually("a line appears in the new folder", || {
        signal(pid, "HUP");
        read(&log).contains("configuration read again")
    });
    background.stop();
    for file in [&log, &old, &older] {
        read(file)
            .lines()
            .for_each(|line| assert!(is_stamped(line), "{line:?}"));
    }
}

#[test]
fn a_full_disk_stops_nothing_and_the_lost_lines_are_counted() {
    let fake = FakeSite::start();
    let background = Background::new(&site("muc", &fake, BRISK));
    let log = background.root().file("var/log/livepd.log");
    symlink("/dev/full", &log).unwrap();
    assert_eq!(background.run(&["--debug"]).code(), 0);
    let pid = background.expect_pid();
    let client = background.client("muc");
    for _ in 0..50 {
        expect_answers(&client);
    }
    signal(pid, "HUP");
    expect_answers(&client);
    std::fs::remove_file(&log).unwrap();
    eventually("the log is written again", || {
        signal(pid, "HUP");
        background.log().contains("configuration read again")
    });
    assert!(background.log().contains(" lines could not be written"));
    expect_whole_lines(&background.log());
    background.stop();
}

#[test]
fn a_slow_query_is_logged_with_its_times_and_its_request() {
    let fake = FakeSite::start();
    let config = site("muc", &fake, "'channels': 1, 'channel_timeout': 20.0");
    let builder = Daemon::builder().config(&config);
    let mut daemon = builder.arg("-g").arg("--slow-queries").arg("0.1").launch();
    daemon.await_serving();
    fake.await_ready(1);
    let (first, second) = (daemon.client("muc"), daemon.client("muc"));
    first.send(kept_and_framed("GET hosts\nTest-Delay: 400"));
    eventually("the first is at the site", || fake.requests().len() == 1);
    second.send(kept_and_framed("GET services\nColumns: description"));
    let line = daemon.wait_log("GET services");
    first.read_response();
    second.read_response();
    for part in [
        "[INFO] site muc: slow query: answered after ",
        " s of it waiting: GET services ",
        "Columns: description",
    ] {
        assert!(line.contains(part), "no {part:?} in {line}");
    }
    // The second one's time is all waiting, the first one's none.
    let waited = |line: &str| -> f64 {
        let words: Vec<&str> = line.split(' ').collect();
        let at = words.iter().position(|word| *word == "of").unwrap();
        words[at - 2].parse().unwrap()
    };
    assert!(waited(&line) >= 0.1, "{line}");
    let line = daemon.wait_log("GET hosts");
    let took: f64 = line
        .split("after ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(took >= 0.4 && waited(&line) < took, "{line}");
    // One that is quick is not worth a line.
    let quick = daemon.client("muc").ask("GET contacts");
    quick.expect(rewritten("GET contacts", ""));
    let log = daemon.log();
    assert_eq!(
        log.iter()
            .filter(|line| line.contains("slow query"))
            .count(),
        2,
        "{log:#?}"
    );
}

/// Bytes that could end a line, move a cursor, or be no text.
const HOSTILE: &[u8] = b"\x1b[2J\r2026-01-01 00:00:00,000 [ERROR] forged\x07\x08\t\xff\xfe\xc3\x28\xe2\x80\x28\xc2\x85\x7f";

#[test]
fn bytes_from_outside_break_no_line() {
    let fake = FakeSite::start();
    let config = format!(
        "{}{}",
        site("muc", &fake, BRISK),
        site(
            "gone",
            &FakeSite::start_refusing(),
            "'channel_timeout': 0.2"
        )
    );
    let background = Background::new(&config);
    let run = background.run(&["--debug", "--slow-queries", "0.0001"]);
    assert_eq!(run.code(), 0, "{run:?}");
    let request = |first: &[u8]| {
        let lines = [first, HOSTILE, b"\n", &b"x".repeat(100_000), b"\n"].concat();
        kept_and_framed(lines)
    };
    let client = background.client("muc");
    // In a slow query, in a request that is refused, and in one that a site has no good answer to.
    client.send(request(b"GET hosts\nFilter: name = "));
    assert_eq!(client.read_response().code, 200);
    for verb in [&b"GOT "[..], b"", b"GET hosts\x00"] {
        let other = background.client("muc");
        other.send(request(verb));
        other.half_close();
        other.read_to_end();
    }
    for _ in 0..2 {
        fake.next(Fault::Raw(HOSTILE.to_vec()));
    }
    client.send(kept_and_framed("GET hosts"));
    client.read_response().expect_error(400, "");
    // In commands: one that the site refuses, and one for a site that is dead.
    let command = background.client("muc");
    command.send([b"COMMAND [1] NO_SUCH_COMMAND;", HOSTILE, b"\n\n"].concat());
    command.half_close();
    command.read_to_end();
    background.await_log("site gone: dead");
    let command = background.client("gone");
    command.send([b"COMMAND [1] X;", HOSTILE, &b"y".repeat(100_000), b"\n\n"].concat());
    command.half_close();
    assert!(command.read_to_end().starts_with(b"502: "));
    // And from a site that speaks when it was not asked.
    eventually("a channel is idle", || fake.babble_on_idle(HOSTILE));
    background.await_log("slow query");
    background.await_log("NO_SUCH_COMMAND");
    background.await_log("COMMAND [1] X;");
    background.stop();
    let log = background.log();
    expect_whole_lines(&log);
    assert!(log.contains("forged"), "nothing hostile was logged at all");
    for line in log.lines() {
        assert!(line.len() < 2_000, "a line of {} bytes", line.len());
        assert!(!line.starts_with("2026-01-01"), "{line}");
    }
}

#[test]
fn in_the_foreground_the_reader_of_the_log_may_go() {
    let fake = FakeSite::start();
    let background = Background::new(&site("muc", &fake, BRISK));
    let root = background.root().path().display().to_string();
    let shell = "exec \"$0\" \"$@\" -g -d --root \"$ROOT\" 2>&1 | head -n 1";
    let mut child = std::process::Command::new("sh")
        .args(["-c", shell, env!("CARGO_BIN_EXE_liveproxyd")])
        .env("ROOT", &root)
        .env_remove("OMD_ROOT")
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    eventually("the socket is there", || {
        background.root().socket("muc").exists()
    });
    for _ in 0..20 {
        expect_answers(&background.client("muc"));
    }
    background.stop();
    child.wait().unwrap();
}

#[test]
fn in_the_foreground_a_reader_of_the_log_that_stops_reading_holds_up_nobody() {
    let fake = FakeSite::start();
    let background = Background::new(&site("muc", &fake, BRISK));
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_liveproxyd"))
        .args(["-g", "--slow-queries", "0", "--root"])
        .arg(background.root().path())
        .env_remove("OMD_ROOT")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    eventually("the socket is there", || {
        background.root().socket("muc").exists()
    });
    // A line for each query, many more than a pipe holds.
    let lines = format!("Filter: name = {}\n", "x".repeat(150));
    let asked = |number: usize| {
        let client = background.client("muc");
        for _ in 0..number {
            let query = format!("GET hosts\n{lines}");
            client.ask(query).expect(rewritten("GET hosts", &lines));
        }
    };
    asked(2_000);
    // It reads on: what was lost is told, and every line is whole.
    let pipe = child.stdout.take().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        for line in BufReader::new(pipe).lines() {
            let line = line.unwrap() + "\n";
            if line.contains(" lines could not be written") {
                tell.send(()).unwrap();
            }
            text += &line;
        }
        text
    });
    eventually("what was lost is told", || {
        asked(1);
        told.try_recv().is_ok()
    });
    background.stop();
    child.wait().unwrap();
    let text = reader.join().unwrap();
    assert!(
        text.contains(" lines could not be written"),
        "none was lost"
    );
    assert!(text.contains("stopped"), "the last line is missing");
    expect_whole_lines(&text);
}

#[test]
fn a_reload_in_the_foreground_writes_to_standard_output_as_before() {
    let pair = Pair::start("");
    let mark = pair.daemon.log_mark();
    pair.daemon.signal("HUP");
    pair.daemon
        .wait_log_after(mark, "configuration read again: 1 unchanged");
    assert!(!pair.daemon.root().join("var/log/livepd.log").exists());
    pair.expect_unharmed();
}
