//! `liveproxyctl top` in a terminal that util-linux's `script` makes.

use crate::fake::{Fake, Run, command};
use crate::support::{Root, awaited};
use crate::tables::{four_sites, with};
use serde_json::json;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

/// A terminal, and what was shown in it.
struct Terminal {
    child: Child,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    /// Runs a command of the shell in it.
    fn run(root: &Root, commands: &str) -> Terminal {
        let commands = format!("stty rows 20 cols 100; {commands}");
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--command", &commands, "/dev/null"])
            .env("OMD_ROOT", root.path())
            .env("CTL", env!("CARGO_BIN_EXE_liveproxyctl"))
            .env("TERM", "xterm")
            .env("SHELL", "/bin/sh")
            .env_remove("NO_COLOR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let shown = Arc::new(Mutex::new(String::new()));
        let copy = Arc::clone(&shown);
        let mut output = child.stdout.take().unwrap();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                copy.lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Terminal { child, shown }
    }

    fn text(&self) -> String {
        self.shown.lock().unwrap().clone()
    }

    /// Waits until something stands in it.
    #[track_caller]
    fn await_text(&self, wanted: &str) {
        awaited(&format!("{wanted:?} is shown"), || {
            self.text().contains(wanted).then_some(())
        });
    }

    fn press(&mut self, key: u8) {
        self.child
            .stdin
            .as_mut()
            .unwrap()
            .write_all(&[key])
            .unwrap();
    }

    /// Waits for its end, and gives all that was shown.
    #[track_caller]
    fn end(mut self, code: i32) -> String {
        self.await_text("END");
        let child = &mut self.child;
        let status = awaited("it ends", || child.try_wait().unwrap());
        assert_eq!(status.code(), Some(code), "{}", self.text());
        self.text()
    }
}

/// Enters and leaves the other page of the terminal.
const PAGE: (&str, &str) = ("\x1b[?1049h", "\x1b[?1049l");

#[test]
fn sites_are_watched_and_the_terminal_is_given_back() {
    let fake = Fake::start(four_sites());
    for key in [b'q', 3] {
        let watch = "stty -g; \"$CTL\" top -i 0.2; code=$?; stty -g; echo END; exit $code";
        let mut terminal = Terminal::run(&fake.root, watch);
        terminal.await_text("muc");
        terminal.press(key);
        let text = terminal.end(0);
        let modes: Vec<&str> = text
            .split("\r\n")
            .map(|line| line.rsplit('\x1b').next().unwrap())
            .map(|line| line.strip_prefix("[?1049l").unwrap_or(line))
            .filter(|line| line.matches(':').count() > 20)
            .collect();
        assert!(modes.len() == 2 && modes[0] == modes[1], "{text}");
        assert!(text.contains(PAGE.0) && text.contains(PAGE.1), "{text}");
        let ber = text.find("ber").unwrap();
        assert!(ber < text.find("muc").unwrap(), "{text}");
    }
}

#[test]
fn rates_are_those_since_the_last_look() {
    let fake = Fake::start(four_sites());
    let mut terminal = Terminal::run(&fake.root, "\"$CTL\" top -i 0.2; echo END");
    terminal.await_text("queries 0.0/s");
    fake.change(|state| {
        let sites = state.tables.get_mut("sites").unwrap();
        sites[2] = with(sites[2].clone(), [("queries", json!(9_999_999))]);
    });
    awaited("a rate is shown", || {
        let text = terminal.text();
        let mut rates = text
            .split("queries ")
            .skip(1)
            .map(|rest| rest.split('.').next().unwrap());
        rates
            .any(|rate| rate.parse::<u64>().is_ok_and(|rate| rate > 1000))
            .then_some(())
    });
    terminal.press(b'q');
    terminal.end(0);
}

#[test]
fn a_daemon_that_goes_away_ends_nothing() {
    let fake = Fake::start(four_sites());
    let mut terminal = Terminal::run(&fake.root, "\"$CTL\" top -i 0.2; echo END");
    terminal.await_text("muc");
    std::fs::remove_file(fake.root.file("tmp/run/liveproxyd.ctl")).unwrap();
    terminal.await_text("liveproxyd does not run");
    terminal.press(b'q');
    terminal.end(0);
}

#[test]
fn a_signal_gives_the_terminal_back_too() {
    let fake = Fake::start(four_sites());
    let watch = "sh -c 'echo PID=$$.; exec \"$CTL\" top'; echo END";
    let terminal = Terminal::run(&fake.root, watch);
    terminal.await_text(PAGE.0);
    let text = terminal.text();
    let pid = text
        .split("PID=")
        .nth(1)
        .unwrap()
        .split('.')
        .next()
        .unwrap();
    assert!(Command::new("kill").arg(pid).status().unwrap().success());
    let text = terminal.end(0);
    assert!(text.contains(PAGE.1), "{text}");
}

#[test]
fn without_a_terminal_there_is_nothing_to_watch() {
    let fake = Fake::start(four_sites());
    fake.run(&["top"]).failed(2, "needs a terminal");
    let root = Root::new();
    let run = Run::of(command(&root, &["top"]).output().unwrap());
    run.failed(2, "needs a terminal");
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let fake = Fake::start(four_sites());
    for (before, is_coloured) in [("", true), ("NO_COLOR=1", false), ("TERM=dumb", false)] {
        let terminal = Terminal::run(&fake.root, &format!("{before} \"$CTL\" sites; echo END"));
        let text = terminal.end(0);
        assert_eq!(
            text.contains("\x1b[1;31mdead\x1b[0m"),
            is_coloured,
            "{before}: {text:?}"
        );
        assert!(text.contains("dead"));
    }
}
