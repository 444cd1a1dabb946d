//! Queries of client libraries: rows, errors of the site, errors of the proxy.

use std::time::{Duration, Instant};

use super::program::{Program, Running};
use super::{SITE, Scene, in_front_of, socket_of};
use crate::icinga2_site::icinga2;
use crate::support::client::assert_same;
use crate::support::{FakeSite, eventually};

/// What is asked of icinga2: a table, its columns, a filter.
const QUERIES: &[[&str; 3]] = &[
    ["hosts", "name state display_name plugin_output", ""],
    ["hosts", "name alias address", "name = host7"],
    ["services", "host_name description state", "state = 2"],
    ["hostgroups", "name alias members", ""],
    ["hosts", "name", "name = nowhere"],
];

/// The output of every service: more than two megabytes, so that it is passed on
/// before it is complete.
const LONG: [&str; 3] = ["services", "description long_plugin_output", ""];

/// Two rows at the fake site, see [`Program::answer`].
pub const TWO_HOSTS: [&str; 3] = ["hosts", "name state", ""];

/// What the fake site answers with the right rows by itself, and without closing
/// the channel.
pub const ITSELF: [&str; 3] = ["status", "program_start livestatus_version", ""];

/// A table that no site has.
const NO_TABLE: [&str; 3] = ["nothing", "name", ""];

/// A column that icinga2 does not have.
const NO_COLUMN: [&str; 3] = ["hosts", "name nonsense", ""];

/// The Perl module pauses for a second between two attempts, and makes three.
const NO_RETRY: Duration = Duration::from_secs(1);

/// One program asks everything twice, so that those that keep their connection
/// use it again.
#[track_caller]
fn all_rows(mut running: Running) -> Vec<String> {
    let twice = QUERIES.iter().chain([&LONG]).chain(QUERIES);
    twice.map(|&query| running.query(query).rows()).collect()
}

/// The same client asks icinga2 itself and through the proxy.
#[track_caller]
pub fn rows_are_those_of_icinga2(program: &'static Program) {
    let icinga2 = icinga2();
    let wanted = all_rows(program.start_at_site(&socket_of(&icinga2)));
    // Without these, two empty answers would be equal too.
    assert!(wanted[0].contains("\"host39\""), "{}", wanted[0]);
    assert!(wanted[1].contains("host7"), "{}", wanted[1]);
    assert!(!wanted[1].contains("host39"), "{}", wanted[1]);
    assert!(wanted[QUERIES.len()].len() > 2_000_000);

    let daemon = in_front_of(&icinga2);
    let found = all_rows(program.start(&daemon.socket(SITE)));
    for (found, wanted) in found.iter().zip(&wanted) {
        assert_same(found.as_bytes(), wanted.as_bytes());
    }
}

/// The same client asks the fake site itself and through the proxy.
#[track_caller]
pub fn rows_are_those_of_the_fake_site(program: &'static Program) {
    let scene = Scene::start(FakeSite::start_unix(), "'channels': 2");
    let wanted = program.start(&scene.fake.path()).query(ITSELF);
    let mut running = program.start(&scene.socket());
    assert_eq!(running.query(ITSELF).rows(), wanted.rows());
    for _ in 0..3 {
        scene.answer_next(200, program.answer);
        assert_eq!(running.query(TWO_HOSTS).rows(), program.rows);
    }
    let asked = scene.fake.requests();
    assert_eq!(asked.len(), 3, "each query is asked once");
}

/// A missing table is a 404, a missing column a 452.
#[track_caller]
pub fn errors_of_icinga2_are_shown(program: &'static Program) {
    let icinga2 = icinga2();
    let daemon = in_front_of(&icinga2);
    let mut running = program.start(&daemon.socket(SITE));
    for _ in 0..2 {
        let outcome = running.query(NO_TABLE);
        outcome.expect_error("Table 'nothing' does not exist");
        running.query(NO_COLUMN).expect_error("nonsense");
    }
    // An error spoils nothing for what comes next.
    let found = running.query(QUERIES[1]).rows();
    drop(running);
    let mut at_site = program.start_at_site(&socket_of(&icinga2));
    assert_eq!(found, at_site.query(QUERIES[1]).rows());
}

/// Every code of an error that a core gives to a query and keeps the connection open with.
#[track_caller]
pub fn errors_of_the_fake_site_are_shown(program: &'static Program) {
    let scene = Scene::ready();
    let mut running = program.start(&scene.socket());
    for code in [400, 404, 413, 452] {
        let text = format!("no luck with {code}");
        scene.answer_next(code, &format!("{text}\n"));
        running.query(TWO_HOSTS).expect_error(&text);
    }
    scene.answer_next(200, program.answer);
    assert_eq!(running.query(TWO_HOSTS).rows(), program.rows);
    assert_eq!(scene.fake.requests().len(), 5, "no error is asked again");
}

/// The client shows the words of the proxy, at once, and works again with the site.
#[track_caller]
pub fn a_dead_site_is_shown(program: &'static Program) {
    let mut scene = Scene::dead();
    let mut running = program.start(&scene.socket());
    let times = [(); 3].map(|()| {
        let begun = Instant::now();
        let outcome = running.query(TWO_HOSTS);
        outcome.expect_error("Site muc is not reachable: Connection refused");
        begun.elapsed()
    });
    let quickest = times.into_iter().min().unwrap();
    assert!(quickest < NO_RETRY, "it took {quickest:?}");
    // The same client goes on when the site is back.
    scene.fake.listen();
    eventually("the site is back", || {
        scene.daemon.client(SITE).ask("GET hosts").code == 200
    });
    scene.answer_next(200, program.answer);
    assert_eq!(running.query(TWO_HOSTS).rows(), program.rows);
}

/// The same where all channels are held by others.
#[track_caller]
pub fn a_busy_site_is_shown(program: &'static Program) {
    let (scene, _holders) = Scene::busy();
    let mut running = program.start(&scene.socket());
    let outcome = running.query(TWO_HOSTS);
    outcome.expect_error("All 2 channels busy, timeout waiting for free channel");
    scene.fake.release();
    scene.fake.await_stalled(0);
    scene.answer_next(200, program.answer);
    assert_eq!(running.query(TWO_HOSTS).rows(), program.rows);
}
