//! The same commands with a daemon that runs, in front of fake sites: what the scripted socket
//! says is what the daemon says.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use crate::fake::{Run, command};
use crate::support::{Background, Daemon, FakeSite, Spec, eventually, site};
use crate::tables;

const BRISK: &str = "'connect_retry': 0.1, 'channels': 2";

/// Runs `liveproxyctl` on a daemon's root.
fn run(root: &std::path::Path, arguments: &[&str]) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_liveproxyctl"))
        .args(arguments)
        .env_clear()
        .env("TZ", "UTC")
        .env("OMD_ROOT", root)
        .output();
    Run::of(output.unwrap())
}

/// A site that is ready and one that is dead.
fn pair() -> (Daemon, FakeSite) {
    let fake = FakeSite::start();
    let config = format!(
        "{}{}",
        site("muc", &fake, BRISK),
        site("ber", Spec::text("'/nowhere/at/all'"), BRISK)
    );
    let daemon = Daemon::start(&config);
    fake.await_ready(2);
    daemon.console().await_number("muc", "channels_open", 2.0);
    daemon.console().await_state("ber", "dead");
    (daemon, fake)
}

#[test]
fn every_column_that_is_used_is_one_of_the_daemons() {
    let (daemon, _fake) = pair();
    let rows = daemon.console().rows("GET columns\nColumns: table name");
    let real: BTreeSet<(String, String)> = rows
        .iter()
        .map(|row| {
            let [table, name] = [0, 1].map(|at| row[at].as_str().unwrap().to_owned());
            (table, name)
        })
        .collect();
    // The tests of all commands stand on these rows, which have no column that no command needs.
    let shown = [
        ("status", tables::status()),
        ("sites", tables::site("muc")),
        ("channels", tables::channel()),
        ("clients", tables::client()),
        ("events", tables::event(1, "muc", "ready", "dead", "")),
    ];
    for (table, row) in shown {
        for (name, _) in row {
            let column = (table.to_owned(), name.to_owned());
            assert!(real.contains(&column), "{table} has no column {name}");
        }
    }
}

#[test]
fn what_is_shown_is_what_is_so() {
    let (daemon, fake) = pair();
    let root = daemon.root();
    let out = run(root, &["status"]).well();
    let process = format!("process {}", daemon.pid());
    assert!(out.contains(&process), "{out}");
    assert!(out.contains("Sites: 2 (1 dead, 1 ready)"), "{out}");
    let out = run(root, &["sites"]).well();
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[1].starts_with("ber   dead"), "{out}");
    assert!(lines[2].starts_with("muc   ready"), "{out}");
    let held = daemon.client("muc");
    held.send("GET hosts\nTest-Hold: on\n\n");
    fake.await_stalled(1);
    let out = run(root, &["channels", "muc"]).well();
    assert_eq!(out.matches("busy").count(), 1, "{out}");
    assert!(out.contains("GET hosts"), "{out}");
    let out = run(root, &["clients", "muc"]).well();
    assert!(
        out.contains("wait_for_response") || out.contains("wait for response"),
        "{out}"
    );
    let out = run(root, &["events"]).well();
    assert!(out.contains("ber") && out.contains("dead"), "{out}");
    for table in ["status", "sites", "channels", "clients", "events"] {
        let out = run(root, &[table, "--json"]).well();
        let rows: Vec<Value> = serde_json::from_str(&out).unwrap();
        assert!(rows.iter().all(Value::is_object), "{out}");
        assert!(!rows.is_empty(), "{table}");
    }
    fake.release();
    let out = run(root, &["query", "muc", "GET hosts", "Columns: name"]).well();
    // The fake site answers with what it was asked.
    assert!(out.contains("Columns: name"), "{out}");
    let check = run(root, &["check"]);
    assert_eq!(check.code, 1, "{check:?}");
    assert!(
        check.out.contains("1 of 2 sites not reachable (ber)"),
        "{check:?}"
    );
    let metrics = run(root, &["metrics"]).well();
    assert!(
        metrics.contains("liveproxyd_site_up{site=\"muc\"} 1"),
        "{metrics}"
    );
}

#[test]
fn orders_have_their_outcome() {
    let (daemon, fake) = pair();
    let root = daemon.root();
    let out = run(root, &["disable", "muc", "planned", "work"]).well();
    assert_eq!(out, "muc is disabled: planned work\n");
    run(root, &["reconnect", "muc"]).failed(1, "disabled");
    fake.await_open(0);
    assert_eq!(run(root, &["enable", "muc"]).well(), "muc is ready\n");
    run(root, &["enable", "muc"]).failed(1, "not disabled");
    let accepted = fake.accepted();
    assert_eq!(run(root, &["reconnect", "muc"]).well(), "muc is ready\n");
    assert!(fake.accepted() > accepted);
    let out = run(root, &["reload"]).well();
    assert!(out.starts_with("The configuration was read."), "{out}");
    std::fs::write(root.join("etc/check_mk/liveproxyd.mk"), "sites = (").unwrap();
    run(root, &["reload"]).failed(1, "the configuration in force stays");
    run(root, &["disable", "nobody", "x"]).failed(1, "nobody");
    // It runs in the foreground here.
    run(root, &["restart"]).failed(1, "foreground");
    let pid = daemon.pid();
    let out = run(root, &["shutdown"]).well();
    assert_eq!(out, format!("Process {pid} has ended\n"));
    run(root, &["status"]).failed(3, "");
}

#[test]
fn a_dead_site_is_told_as_it_is_after_the_order_and_not_as_it_was() {
    let mut fake = FakeSite::start_refusing();
    // On its own it is not tried again while the test runs.
    let daemon = Daemon::start(&site("muc", &fake, "'connect_retry': 600.0"));
    let (root, console) = (daemon.root(), daemon.console());
    console.await_state("muc", "dead");
    for order in ["reconnect", "enable"] {
        if order == "enable" {
            run(root, &["disable", "muc", "x"]).well();
        }
        let failed = console.number("muc", "connects_failed");
        let out = run(root, &[order, "muc"]).well();
        assert_eq!(out, "muc is dead: Connection refused\n");
        // It has been tried before this was said.
        assert!(console.number("muc", "connects_failed") > failed, "{order}");
    }
    fake.listen();
    assert_eq!(run(root, &["reconnect", "muc"]).well(), "muc is ready\n");
    fake.refuse();
    fake.close_all();
    console.await_state("muc", "dead");
    run(root, &["disable", "muc", "x"]).well();
    fake.listen();
    assert_eq!(run(root, &["enable", "muc"]).well(), "muc is ready\n");
}

#[test]
fn a_daemon_in_the_background_is_restarted() {
    let fake = FakeSite::start();
    let background = Background::start(&site("muc", &fake, BRISK));
    let old = background.expect_pid();
    let out = run(background.root().path(), &["restart"]).well();
    let told = format!("has taken over from process {old}\n");
    assert!(out.ends_with(&told), "{out}");
    background.await_gone(old);
    let new = background.expect_pid();
    assert_eq!(out, format!("Process {new} {told}"));
    let mut shutdown = command(background.root(), &["shutdown"]);
    let out = Run::of(shutdown.output().unwrap()).well();
    assert_eq!(out, format!("Process {new} has ended\n"));
    eventually("nothing is left", || background.processes().is_empty());
}
