//! `liveproxyctl query`: a client like others, on a site's own socket.

use crate::fake::{Fake, Run, command};
use crate::tables::four_sites;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::process::Stdio;
use std::thread::{self, JoinHandle};

/// A site that takes one request up to its empty line, or, for a command, up to the end, and answers.
fn site(fake: &Fake, answer: &'static [u8]) -> JoinHandle<String> {
    std::fs::create_dir_all(fake.root.file("tmp/run/liveproxy")).unwrap();
    let _ = std::fs::remove_file(fake.root.socket("muc"));
    let listener = UnixListener::bind(fake.root.socket("muc")).unwrap();
    thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(client.try_clone().unwrap());
        let mut request = String::new();
        while !request.ends_with("\n\n") && reader.read_line(&mut request).unwrap() > 0 {}
        if request.starts_with("COMMAND") {
            reader.read_to_string(&mut request).unwrap();
        }
        client.write_all(answer).unwrap();
        request
    })
}

#[test]
fn a_query_is_framed_and_its_response_printed() {
    let fake = Fake::start(four_sites());
    let asked = site(&fake, b"200          11\n[[\"wh1\",0]]");
    let run = fake.run(&[
        "query",
        "muc",
        "GET hosts",
        "Columns: name state",
        "--format",
        "json",
    ]);
    assert_eq!(run.well(), "[[\"wh1\",0]]");
    let wanted = "GET hosts\nColumns: name state\nOutputFormat: json\nResponseHeader: fixed16\n\n";
    assert_eq!(asked.join().unwrap(), wanted);
}

#[test]
fn a_query_may_come_from_standard_input() {
    let fake = Fake::start(four_sites());
    let asked = site(&fake, b"200           5\nwh1;0");
    let mut child = command(&fake.root, &["query", "muc"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Kept open: an empty line ends a query, as it does for a site.
    let mut input = child.stdin.take().unwrap();
    input
        .write_all(b"GET hosts\nKeepAlive: on\nLimit: 1\n\n")
        .unwrap();
    let mut out = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut out)
        .unwrap();
    assert_eq!(out, "wh1;0");
    drop(input);
    assert!(child.wait().unwrap().success());
    let wanted = "GET hosts\nLimit: 1\nResponseHeader: fixed16\n\n";
    assert_eq!(asked.join().unwrap(), wanted);
}

#[test]
fn the_status_of_the_response_decides_the_exit_code() {
    let fake = Fake::start(four_sites());
    for (answer, words) in [
        (
            &b"502          46\nSite muc is not reachable: Connection refused\n"[..],
            "liveproxyctl: Site muc is not reachable: Connection refused\n",
        ),
        (b"404           0\n", "the site answered 404"),
        (b"400: no such thing\n", "400: no such thing"),
        (b"", "closed the connection without an answer"),
    ] {
        let asked = site(&fake, answer);
        fake.run(&["query", "muc", "GET hosts"]).failed(1, words);
        asked.join().unwrap();
    }
}

#[test]
fn a_response_that_is_cut_is_a_failure() {
    let fake = Fake::start(four_sites());
    let asked = site(&fake, b"200          11\nwh1;0");
    let run = fake.run(&["query", "muc", "GET hosts"]);
    assert_eq!((run.code, run.out.as_str()), (1, "wh1;0"));
    assert!(run.err.contains("6 bytes before the end"), "{run:?}");
    asked.join().unwrap();
}

#[test]
fn a_command_is_half_closed_and_its_error_told() {
    let fake = Fake::start(four_sites());
    let asked = site(&fake, b"");
    let line = "COMMAND [1] DISABLE_NOTIFICATIONS";
    assert_eq!(fake.run(&["query", "muc", line]).well(), "");
    assert_eq!(asked.join().unwrap(), format!("{line}\n\n"));
    let asked = site(&fake, b"502: Site muc is not reachable\n");
    fake.run(&["query", "muc", line])
        .failed(1, "502: Site muc is not reachable");
    asked.join().unwrap();
}

#[test]
fn a_site_that_is_not_there_is_told_with_those_that_are() {
    let fake = Fake::start(four_sites());
    drop(site(&fake, b""));
    fake.run(&["query", "mcu", "GET hosts"])
        .failed(1, "There is no site 'mcu', but muc");
    fake.run(&["query", "../muc", "GET hosts"])
        .failed(2, "is not the name of a site");
    fake.run(&["query", "muc", "hosts"])
        .failed(2, "a query begins with 'GET ' or 'COMMAND '");
    std::fs::remove_file(fake.root.file("tmp/run/liveproxyd.ctl")).unwrap();
    let run = Run::of(
        command(&fake.root, &["query", "ber", "GET hosts"])
            .output()
            .unwrap(),
    );
    run.failed(3, "liveproxyd does not run");
}
