//! A daemon that is not there, may not be asked, does not answer, or is of another kind.

use crate::fake::{Fake, Run, command};
use crate::support::Root;
use crate::tables::{four_sites, site};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::Command;

#[test]
fn without_a_daemon_every_command_says_so_and_ends_with_3() {
    let root = Root::new();
    for arguments in [
        &["status"][..],
        &["sites"],
        &["channels"],
        &["clients"],
        &["events", "-f"],
        &["query", "muc", "GET hosts"],
        &["disable", "muc", "work"],
        &["enable", "muc"],
        &["reconnect", "muc"],
        &["reload"],
        &["restart"],
        &["shutdown"],
    ] {
        let run = Run::of(command(&root, arguments).output().unwrap());
        run.failed(3, "liveproxyd does not run: there is no ");
    }
}

#[test]
fn a_socket_on_which_nobody_listens_is_no_daemon() {
    let root = Root::new();
    drop(UnixListener::bind(root.file("tmp/run/liveproxyd.ctl")).unwrap());
    let run = Run::of(command(&root, &["status"]).output().unwrap());
    run.failed(3, "is left over, nobody listens on it");
}

#[test]
fn the_socket_may_be_named() {
    let fake = Fake::start(four_sites());
    let path = fake.root.file("other.ctl");
    fs::rename(fake.root.file("tmp/run/liveproxyd.ctl"), &path).unwrap();
    let option = format!("--control-socket={}", path.display());
    fake.run(&["status"]).failed(3, "does not run");
    assert!(fake.run(&[&option, "sites", "muc"]).well().contains("muc"));
    assert!(fake.run(&["sites", "muc", &option]).well().contains("muc"));
}

#[test]
fn who_may_not_ask_is_told_why() {
    let fake = Fake::start(four_sites());
    let socket = fake.root.file("tmp/run/liveproxyd.ctl");
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o600)).unwrap();
    // Root may do everything, so another user has to ask then, with a program that it can reach.
    let is_root = own_user() == 0;
    if !is_root {
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o000)).unwrap();
        fake.run(&["status"])
            .failed(1, "may not be asked by this user");
        return;
    }
    for folder in ["", "tmp", "tmp/run"] {
        let rights = fs::Permissions::from_mode(0o755);
        fs::set_permissions(fake.root.file(folder), rights).unwrap();
    }
    let program = fake.root.file("liveproxyctl");
    fs::copy(env!("CARGO_BIN_EXE_liveproxyctl"), &program).unwrap();
    for (command, code, words) in [
        ("status", 1, "may not be asked by this user"),
        ("check", 3, "LIVEPROXY UNKNOWN - "),
    ] {
        let output = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&program)
            .arg("--root")
            .arg(fake.root.path())
            .arg(command)
            .output()
            .unwrap();
        let run = Run::of(output);
        assert_eq!(run.code, code, "{run:?}");
        assert!(format!("{}{}", run.out, run.err).contains(words), "{run:?}");
    }
}

/// The user of this process.
fn own_user() -> u32 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").unwrap().uid()
}

#[test]
fn a_daemon_that_says_nothing_is_not_waited_for_for_ever() {
    let fake = Fake::start(four_sites());
    fake.change(|state| state.is_mute = true);
    fake.run(&["status"]).failed(1, "did not answer within 8 s");
}

#[test]
fn a_table_of_another_version_is_told_with_the_column() {
    let fake = Fake::start(vec![site("muc")]);
    fake.change(|state| {
        let sites = state.tables.get_mut("sites").unwrap();
        sites[0].retain(|(name, _)| *name != "channels_open");
    });
    let run = fake.run(&["sites"]);
    run.failed(
        1,
        "table sites has no column channels_open; is the daemon of another version",
    );
    // What programs get is what is there.
    assert!(
        fake.run(&["sites", "--json"])
            .well()
            .contains("channels_busy")
    );
}

#[test]
fn a_refusal_and_an_answer_that_is_none_are_told() {
    let fake = Fake::start(four_sites());
    let answer = |code, text: &str| {
        let text = text.to_owned();
        fake.change(|state| {
            state.errors.insert("sites", (code, text));
        });
        fake.run(&["sites"])
    };
    answer(400, "Unknown header\n").failed(1, "refused the question: Unknown header");
    answer(200, "not json\n").failed(1, "table sites cannot be read");
    answer(200, "[[\"name\"],[1,2]]\n").failed(1, "not as many values");
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    let root = Root::new();
    for arguments in [
        &[][..],
        &["stats"],
        &["disable", "muc"],
        &["top", "-i", "x"],
    ] {
        let run = Run::of(command(&root, arguments).output().unwrap());
        run.failed(2, "(try --help)");
    }
    let run = Run::of(command(&root, &["--help"]).output().unwrap());
    assert!(run.well().contains("Exit codes: 0 done, 1 failed"));
}

#[test]
fn each_command_stands_in_the_documentation() {
    let help = Run::of(command(&Root::new(), &["--help"]).output().unwrap()).well();
    let text = include_str!("../../doc/liveproxyctl.md");
    let commands = help.split("Commands:\n").nth(1).unwrap();
    let commands = commands.lines().take_while(|line| !line.is_empty());
    let names: Vec<&str> = commands
        .map(|line| line.split_whitespace().next().unwrap())
        .collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert!(
            text.contains(&format!("\n| `{name}")),
            "{name} is not documented"
        );
    }
}
