//! What people see.

use crate::fake::{Fake, command};
use crate::support::awaited;
use crate::tables::{channel, client, event, four_sites, site, status, with};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

#[test]
fn sites_are_shown_the_worst_first() {
    let fake = Fake::start(four_sites());
    let wanted = "\
SITE  STATE          SINCE  CHANNELS  CLIENTS  WAITING  QUERIES    P90  HEARTBEAT  ADDRESS       REASON
ber   dead      1 min 23 s    0/0/10        0        0        5             12 ms  tcp:ber:6557  Connection refused
par   busy             3 s    5/5/10       40       35      400             12 ms  tcp:par:6557  All 5 channels busy; answers on no more than 5 channels
ham   disabled       5 min    0/0/10        0        0        0             12 ms  tcp:ham:6557  planned work
muc   ready          5 min   4/10/10        6        0   12 345  42 ms      12 ms  tcp:muc:6557
";
    assert_eq!(fake.run(&["sites"]).well(), wanted);
}

#[test]
fn the_status_sums_up_and_names_the_sick() {
    let fake = Fake::start(four_sites());
    let wanted = "\
liveproxyd 0.1.0, process 2000000001, runs since 2026-11-19 17:12:03 (1 d 1 h)
Configuration: read 2026-11-20 18:02:03
Sites: 4 (1 dead, 1 busy, 1 disabled, 1 ready)
Channels: 15 open of 40, 9 at work
Clients: 46 connected, 35 waiting
Queries: 12 750 so far, 12 640 answered, 105 refused
Memory: 1.5 MiB for responses of at most 128.0 MiB, 120 B for requests
";
    let out = fake.run(&["status"]).well();
    let (summary, sick) = out.split_once("\n\n").unwrap();
    assert_eq!(format!("{summary}\n"), wanted);
    assert!(sick.contains("ber   dead") && sick.contains("par   busy"));
    assert!(!sick.contains("muc"), "{sick}");
}

#[test]
fn a_configuration_that_is_wrong_stands_in_the_status() {
    for (in_part, what) in [(0, "that of 2026-11-20 18:02:03"), (1, "the rest of it")] {
        let fake = Fake::start(vec![site("muc")]);
        fake.change(|state| {
            let row = with(
                status(),
                [
                    ("config_error", json!("liveproxy.mk:3:7: not a number")),
                    ("config_error_since", json!(1_795_198_000)),
                    ("config_in_part", json!(in_part)),
                ],
            );
            state.tables.insert("status", vec![row]);
        });
        let out = fake.run(&["status"]).well();
        let line = out.lines().find(|line| line.starts_with("Configuration"));
        let wanted = format!(
            "Configuration: wrong since 2026-11-20 18:06:40: liveproxy.mk:3:7: not a number; \
             {what} is in force"
        );
        assert_eq!(line, Some(wanted.as_str()));
    }
}

#[test]
fn named_sites_are_shown_alone_and_unknown_ones_are_told() {
    let fake = Fake::start(four_sites());
    let out = fake.run(&["sites", "muc"]).well();
    assert_eq!(out.lines().count(), 2, "{out}");
    assert!(out.contains("muc   ready"));
    let run = fake.run(&["sites", "muc", "mcu"]);
    run.failed(1, "There is no site 'mcu', but ber, ham, muc, par");
}

#[test]
fn programs_get_all_columns_as_json() {
    let fake = Fake::start(four_sites());
    let out = fake.run(&["sites", "muc", "--json"]).well();
    let found: Value = serde_json::from_str(&out).unwrap();
    let [muc] = found.as_array().unwrap().as_slice() else {
        panic!("not one site: {out}");
    };
    assert_eq!(muc["name"], "muc");
    // A number that does not fit into a double.
    assert_eq!(muc["bytes_in"], json!(9_007_199_254_740_993_u64));
    assert_eq!(muc["response_time_buckets"][5], 2);
    for arguments in [["status", "-j"], ["sites", "-j"]] {
        let out = fake.run(&arguments).well();
        assert!(serde_json::from_str::<Value>(&out).unwrap().is_array());
    }
}

#[test]
fn channels_and_clients_are_shown() {
    let fake = Fake::start(four_sites());
    fake.change(|state| {
        state.tables.insert("channels", vec![channel()]);
        state.tables.insert("clients", vec![client()]);
    });
    let wanted = "\
SITE  CHANNEL  STATE  SINCE    AGE  QUERIES  ADDRESS        CLIENT  REQUEST
muc         3  busy     2 s  5 min    1 234  10.1.1.2:6557      17  GET hosts
";
    assert_eq!(fake.run(&["channels", "muc"]).well(), wanted);
    let asked = fake.state.lock().unwrap().asked.join("\n");
    assert!(asked.contains("Filter: site = muc"), "{asked}");
    let wanted = "\
CLIENT  SITE  STATE              SINCE   AGE  REQUESTS  PROCESS  USER  CHANNEL  REQUEST
    17  muc   wait_for_response    2 s  30 s         4      815    33        3  GET hosts
";
    assert_eq!(fake.run(&["clients"]).well(), wanted);
    fake.run(&["clients", "mcu"])
        .failed(1, "There is no site 'mcu'");
}

#[test]
fn clients_that_wait_stand_before_those_that_do_not() {
    let states = [
        "wait_for_channel",
        "wait_for_response",
        "response",
        "reading",
        "handshake",
        "leaving",
        "idle",
        "a_later_one",
    ];
    let fake = Fake::start(four_sites());
    fake.change(|state| {
        let rows = states.iter().rev();
        let rows = rows.map(|name| with(client(), [("state", json!(name))]));
        state.tables.insert("clients", rows.collect());
    });
    let out = fake.run(&["clients"]).well();
    let shown = out.lines().skip(1);
    let shown: Vec<&str> = shown
        .map(|line| line.split_whitespace().nth(2).unwrap())
        .collect();
    assert_eq!(shown, states);
}

#[test]
fn nothing_to_show_is_said() {
    let fake = Fake::start(Vec::new());
    fake.change(|state| {
        state.tables.insert("channels", Vec::new());
        state.tables.insert("clients", Vec::new());
    });
    assert_eq!(fake.run(&["sites"]).well(), "No site is configured.\n");
    assert_eq!(fake.run(&["channels"]).well(), "No channel is open.\n");
    assert_eq!(fake.run(&["clients"]).well(), "Nobody is connected.\n");
    assert_eq!(fake.run(&["sites", "--json"]).well(), "[]\n");
}

#[test]
fn the_last_events_are_shown() {
    let fake = Fake::start(four_sites());
    fake.change(|state| {
        let rows = vec![
            event(1, "ber", "starting", "ready", ""),
            event(2, "ber", "ready", "dead", "Connection refused"),
        ];
        state.tables.insert("events", rows);
    });
    let wanted = "2026-11-20 18:10:25 ber: dead after 12 s ready: Connection refused\n";
    assert_eq!(fake.run(&["events", "-n", "1"]).well(), wanted);
    assert_eq!(fake.run(&["events"]).well().lines().count(), 2);
    let out = fake.run(&["events", "-n1", "--json"]).well();
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!(found[0]["to"], "dead");
}

#[test]
fn events_to_come_are_followed_over_a_restart_of_the_daemon() {
    let fake = Fake::start(four_sites());
    let events = |state: &mut crate::fake::State, numbers: &[u64], site: &str| {
        let rows = numbers
            .iter()
            .map(|number| event(*number, site, "ready", "dead", ""));
        state.tables.insert("events", rows.collect());
    };
    fake.change(|state| events(state, &[1, 2], "old"));
    let mut child = command(&fake.root, &["events", "-f"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert!(next().contains(" old: ") && next().contains(" old: "));
    fake.change(|state| events(state, &[1, 2, 3], "new"));
    assert!(
        next().contains(":26 new: "),
        "the event before was shown again"
    );
    // Another process counts from 1, and between the two there is a gap. It must be longer than
    // the time between two looks, which nothing outside shows.
    let socket = fake.root.file("tmp/run/liveproxyd.ctl");
    let aside = fake.root.file("aside");
    std::fs::rename(&socket, &aside).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(2100));
    fake.change(|state| events(state, &[1], "other"));
    std::fs::rename(&aside, &socket).unwrap();
    assert!(next().contains(" other: "));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_pipe_that_is_closed_early_is_no_failure() {
    let fake = Fake::start(
        (0..3000)
            .map(|number| site(&format!("site{number}")))
            .collect(),
    );
    let mut child = command(&fake.root, &["sites", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let status = awaited("it ends", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    let mut text = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut text).unwrap();
    assert_eq!(text, "");
}
