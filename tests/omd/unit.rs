//! The systemd unit: that systemd understands it, and how well it confines the daemon.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::site::project;

/// The exposure that `systemd-analyze security` may see at most; up to 2 it says OK.
const MOST_EXPOSURE: f64 = 2.0;

/// Runs systemd-analyze on the unit with the daemon that was built; `None`, with a word, where there is no systemd.
fn analyze(arguments: &[&str]) -> Option<Output> {
    if Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .is_err()
    {
        eprintln!("left out: there is no systemd-analyze");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("liveproxyd.service");
    let program = format!("\nExecStart={} ", env!("CARGO_BIN_EXE_liveproxyd"));
    let text = text("liveproxyd.service");
    assert!(text.contains("\nExecStart=liveproxyd "));
    fs::write(&unit, text.replace("\nExecStart=liveproxyd ", &program)).unwrap();
    let mut command = Command::new("systemd-analyze");
    command.args(arguments).arg(&unit);
    Some(command.env("SYSTEMD_PAGER", "").output().unwrap())
}

fn text(name: &str) -> String {
    let path: PathBuf = project().join("init").join(name);
    fs::read_to_string(path).unwrap()
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    let Some(output) = analyze(&["verify"]) else {
        return;
    };
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && words.is_empty(),
        "{}: {words}",
        output.status
    );
}

#[test]
fn the_unit_confines_the_daemon() {
    let Some(output) = analyze(&["security", "--offline=true", "--no-pager"]) else {
        return;
    };
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    if words.is_empty() {
        let why = String::from_utf8_lossy(&output.stderr);
        eprintln!("left out: this systemd-analyze cannot judge a unit that is not loaded: {why}");
        return;
    }
    let line = words
        .lines()
        .find(|line| line.contains("Overall exposure level"))
        .unwrap();
    let figure = line.split(": ").nth(1).unwrap().split(' ').next().unwrap();
    let exposure: f64 = figure.parse().unwrap();
    assert!(exposure <= MOST_EXPOSURE, "{words}");
    eprintln!("{line}");
}

/// The user, the folders and the options belong together, in three files.
#[test]
fn the_files_agree_with_each_other() {
    let unit = text("liveproxyd.service");
    for line in [
        "User=liveproxyd",
        "Group=liveproxyd",
        "RuntimeDirectory=liveproxyd",
        "LogsDirectory=liveproxyd",
        "ConfigurationDirectory=liveproxyd",
        "Type=notify",
        "ExecReload=kill -HUP $MAINPID",
    ] {
        assert!(unit.lines().any(|other| other == line), "no {line}");
    }
    assert!(text("liveproxyd.sysusers").contains("\nu liveproxyd "));
    let rotate = text("liveproxyd.logrotate");
    assert!(
        rotate.contains("\n/var/log/liveproxyd/livepd.log {")
            && rotate.contains("su liveproxyd liveproxyd")
    );
    let start = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="))
        .unwrap();
    let help = Command::new(env!("CARGO_BIN_EXE_liveproxyd"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for option in start.split(' ').filter(|word| word.starts_with("--")) {
        assert!(help.contains(option), "there is no option {option}");
    }
}

#[test]
fn systemd_listens_to_a_process_that_takes_over() {
    // By itself it listens to the main process alone: it would not hear which one that is after a
    // restart by order, and end the new one together with the old one.
    let unit = text("liveproxyd.service");
    assert!(unit.lines().any(|line| line == "NotifyAccess=all"));
}
