//! `liveproxyd.state`: its layout, when it is written, and that nobody sees a part of it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::pair::{BRISK, Pair};
use crate::support::{Background, Daemon, FakeSite, awaited, eventually, site};

/// How often it is written by itself.
const EVERY: Duration = Duration::from_secs(5);

/// How many times it is read while it is being written.
const LOOKS: usize = 20_000;

fn path(daemon: &Daemon) -> PathBuf {
    daemon.root().join("var/log/liveproxyd.state")
}

/// The file as it is once it says this.
#[track_caller]
fn state_with(daemon: &Daemon, words: &str) -> String {
    let path = path(daemon);
    awaited(&format!("the state file says {words:?}"), || {
        fs::read_to_string(&path)
            .ok()
            .filter(|text| text.contains(words))
    })
}

/// Whether a text is `pattern`, where `#` stands for a digit, `_` for one or more characters of a
/// word and everything else for itself.
fn is_of_form(text: &str, pattern: &str) -> bool {
    let Some(first) = pattern.chars().next() else {
        return text.is_empty();
    };
    let rest = &pattern[first.len_utf8()..];
    match first {
        '#' => text.starts_with(|c: char| c.is_ascii_digit()) && is_of_form(&text[1..], rest),
        '_' => {
            let word = text.find(|c: char| c.is_whitespace()).unwrap_or(text.len());
            (1..=word).any(|end| text.is_char_boundary(end) && is_of_form(&text[end..], rest))
        }
        _ => text
            .strip_prefix(first)
            .is_some_and(|text| is_of_form(text, rest)),
    }
}

/// `2026-11-20 17:52:24 (0:00:05)`.
const MOMENT: &str = "####-##-## ##:##:## (_:##:##)";

/// The lines of one site in their order; those that may be there any number of times are starred.
fn forms() -> Vec<(bool, Vec<String>)> {
    let at = |label: &str| format!("  {:<25}{MOMENT}", format!("{label}:"));
    let one = |line: &str| (false, vec![line.to_owned()]);
    let either = |lines: &[&str]| (false, lines.iter().map(|l| (*l).to_owned()).collect());
    vec![
        one("----------------------------------------------"),
        one("Current state:"),
        one("[muc]"),
        one("  State:                   _"),
        (false, vec![at("State dump time")]),
        (false, vec![at("Last reset")]),
        (
            false,
            vec![at("Site's last reload").replace("(_:", "(_ days, _:")],
        ),
        (
            false,
            vec![
                at("Last failed connect"),
                "  Last failed connect:     Never".to_owned(),
            ],
        ),
        either(&[
            "  Last failed error:       None",
            "  Last failed error:       _ _",
        ]),
        one("  Cached responses:        0"),
        one("  Channels:"),
        (
            true,
            vec![
                format!("       # - ready             -  client: none - since: {MOMENT}"),
                format!("      ## - ready             -  client: none - since: {MOMENT}"),
                format!("      ## - heartbeat         -  client: none - since: {MOMENT}"),
                format!("      ## - busy              -  client:    # - since: {MOMENT}"),
                format!("      ## - busy              -  client:   ## - since: {MOMENT}"),
            ],
        ),
        one("  Clients:"),
        (
            true,
            vec![
                format!("      ## - idle              - channel: none - since: {MOMENT}"),
                format!("      ## - wait_for_response - channel:    # - since: {MOMENT}"),
                format!("      ## - response          - channel: none - since: {MOMENT}"),
            ],
        ),
        one("  Heartbeat:"),
        either(&["    heartbeats received: _"]),
        either(&["    next in _s", "    out since _s"]),
        one("  Inventory:"),
        one("    State: not running"),
        one("    Last update: Never"),
    ]
}

#[track_caller]
fn expect_layout(text: &str) {
    let mut lines = text.lines().peekable();
    for (is_starred, forms) in forms() {
        let fits = |line: &&str| forms.iter().any(|form| is_of_form(line, form));
        let mut count = 0;
        while let Some(_line) = lines.next_if(fits) {
            count += 1;
            if !is_starred {
                break;
            }
        }
        let next = lines.peek();
        assert!(
            is_starred || count == 1,
            "{next:?} is not {forms:?} in\n{text}"
        );
    }
    assert_eq!(lines.next(), None, "{text}");
}

#[test]
fn every_line_of_a_live_daemons_file_is_of_the_known_form() {
    let pair = Pair::start("'channels': 3");
    pair.site.await_ready(3);
    let idle = pair.client();
    assert_eq!(idle.ask("GET hosts").code, 200);
    let _busy = pair.holder();
    pair.site.await_stalled(1);
    pair.daemon.console().order("WRITE_STATE");
    let text = state_with(&pair.daemon, "wait_for_response");
    expect_layout(&text);
    assert!(
        text.contains("  State:                   ready\n"),
        "{text}"
    );
    assert_eq!(text.matches(" - channel: ").count(), 2, "{text}");
    assert_eq!(text.matches(" -  client: ").count(), 3, "{text}");
    // The numbers are those of the control socket.
    let console = pair.daemon.console();
    for row in console.rows("GET channels\nColumns: descriptor client\nFilter: state = busy") {
        let [descriptor, client] = [row[0].to_string(), row[1].to_string()];
        let line = format!("     {descriptor:>3} - busy              -  client: {client:>4} - ");
        assert!(text.contains(&line), "no {line:?} in\n{text}");
    }
    pair.site.release();
}

#[test]
fn it_is_written_every_five_seconds_and_whenever_it_is_wanted() {
    let pair = Pair::start("'channels': 1");
    state_with(&pair.daemon, "State:                   ready");
    let inode = || fs::metadata(path(&pair.daemon)).unwrap().ino();
    let modified = || {
        fs::metadata(path(&pair.daemon))
            .unwrap()
            .modified()
            .unwrap()
    };
    // By itself, and not more often than it should be: its own times tell, however late this looks.
    let mut times = vec![modified()];
    while times.len() < 3 {
        let last = *times.last().unwrap();
        eventually("it is written again", || modified() != last);
        times.push(modified());
    }
    let pause = times[2].duration_since(times[1]).unwrap();
    assert!(pause >= EVERY.mul_f64(0.8), "{pause:?}");
    // By signal, by order and after a reload, good or bad, at once: well before its time.
    let began = Instant::now();
    let wanted: [&dyn Fn(); 4] = [
        &|| pair.daemon.signal("USR2"),
        &|| pair.daemon.console().order("WRITE_STATE"),
        &|| pair.daemon.signal("HUP"),
        &|| {
            pair.daemon.configure("sites = (");
            pair.daemon.signal("USR1");
        },
    ];
    for want in wanted {
        let before = inode();
        want();
        eventually("it is written", || inode() != before);
    }
    println!("written four times within {:?}", began.elapsed());
    let text = state_with(&pair.daemon, "Last reload failed:");
    assert!(text.contains("  Configuration error:     "), "{text}");
    assert!(text.contains("liveproxyd.mk:1:"), "{text}");
}

#[test]
fn a_reader_never_sees_a_part_of_it() {
    let pair = Pair::start("'channels': 5");
    pair.site.await_ready(5);
    state_with(&pair.daemon, "State:                   ready");
    let console = pair.daemon.console().client();
    let mut inodes = std::collections::BTreeSet::new();
    for look in 0..LOOKS {
        if look % 4 == 0 {
            console.send("COMMAND [1] WRITE_STATE\n\n");
        }
        let file = fs::File::open(path(&pair.daemon)).unwrap();
        inodes.insert(file.metadata().unwrap().ino());
        let text = std::io::read_to_string(file).unwrap();
        assert!(
            text.starts_with("-----") && text.ends_with("Last update: Never\n"),
            "{text}"
        );
        if inodes.len() > 2 && look > LOOKS / 10 {
            break;
        }
    }
    assert!(inodes.len() > 1, "it was never written meanwhile");
    // Nothing is left beside it.
    console.ask("GET sites\nColumns: name").expect("muc\n");
    eventually("nothing lies beside it", || {
        let entries = fs::read_dir(pair.daemon.root().join("var/log")).unwrap();
        entries.count() == 1
    });
}

#[test]
fn where_it_cannot_be_written_that_is_said_once_and_when_it_can_again() {
    let fake = FakeSite::start();
    let builder = Daemon::builder().config(&site("muc", &fake, BRISK));
    let folder = builder.root().file("state");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("now");
    let argument = file.display().to_string();
    let daemon = builder.arg("--state-file").arg(&argument).start();
    eventually("it is there", || file.exists());
    fs::remove_dir_all(&folder).unwrap();
    let console = daemon.console();
    let warnings = || {
        let lines = daemon.log();
        lines.iter().filter(|l| l.contains("cannot write")).count()
    };
    for _ in 0..5 {
        console.order("WRITE_STATE");
    }
    daemon.wait_log(&format!("cannot write {argument}: "));
    assert_eq!(daemon.client("muc").ask("GET hosts").code, 200);
    let mark = daemon.log_mark();
    console.order("WRITE_STATE");
    daemon.wait_log_after(mark, "write the state file");
    console.ask("GET sites\nColumns: name").expect("muc\n");
    assert_eq!(warnings(), 1);
    fs::create_dir(&folder).unwrap();
    console.order("WRITE_STATE");
    eventually("it is there again", || file.exists());
    daemon.wait_log(&format!("{argument} is written again"));
    // The next time it is said anew.
    fs::remove_dir_all(&folder).unwrap();
    console.order("WRITE_STATE");
    eventually("it is said anew", || warnings() == 2);
}

#[test]
fn a_full_disk_leaves_the_last_whole_file() {
    let root_only = Command::new("unshare").args(["-m", "true"]).status();
    if !root_only.is_ok_and(|status| status.success()) {
        println!("SKIPPED: the tests' user may not mount anything");
        return;
    }
    let fake = FakeSite::start();
    let builder = Daemon::builder().config(&site("muc", &fake, BRISK));
    let folder = builder.root().file("small");
    fs::create_dir(&folder).unwrap();
    let argument = folder.join("now").display().to_string();
    let mount = format!("mount -t tmpfs -o size=16k small {}", folder.display());
    let builder = builder.arg("--state-file").arg(&argument);
    let builder = builder.wrapped(["unshare", "-m"].map(str::to_owned));
    let daemon = builder.under(&mount).start();
    // As the daemon sees it.
    let inside = PathBuf::from(format!("/proc/{}/root{}", daemon.pid(), folder.display()));
    let file = inside.join("now");
    eventually("it is there", || file.exists());
    let whole = fs::read_to_string(&file).unwrap();
    let mut filler = fs::File::create(inside.join("filler")).unwrap();
    while std::io::Write::write(&mut filler, &[0; 512]).is_ok_and(|count| count > 0) {}
    let console = daemon.console();
    console.order("WRITE_STATE");
    daemon.wait_log("No space left on device");
    let left = fs::read_to_string(&file).unwrap();
    assert!(
        left.starts_with(&whole[..62]) && left.ends_with("Never\n"),
        "{left}"
    );
    assert_eq!(daemon.client("muc").ask("GET hosts").code, 200);
    drop(filler);
    fs::remove_file(inside.join("filler")).unwrap();
    console.order("WRITE_STATE");
    daemon.wait_log("is written again");
    assert_eq!(fs::read_dir(&inside).unwrap().count(), 1);
}

#[test]
fn it_goes_with_its_daemon_but_stays_where_another_one_has_taken_over() {
    let fake = FakeSite::start();
    let background = Background::start(&site("muc", &fake, BRISK));
    let file = background.root().file("var/log/liveproxyd.state");
    eventually("it is there", || file.exists());
    let old = background.expect_pid();
    assert_eq!(background.run(&["--takeover"]).code(), 0);
    background.await_gone(old);
    assert!(file.exists(), "the old one has removed the new one's file");
    background.stop();
    assert!(!file.exists());
}
