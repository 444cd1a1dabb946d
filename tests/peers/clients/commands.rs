//! Commands of client libraries: they arrive once, the client is let go at once,
//! and it is told what went wrong as far as it listens.

use std::path::Path;
use std::time::{Duration, Instant};

use super::program::{Learns, Outcome, Program};
use super::queries::{ITSELF, TWO_HOSTS};
use super::{SITE, Scene, in_front_of};
use crate::icinga2_site::{Icinga2, Transport, icinga2};
use crate::support::{FakeSite, eventually};

/// The fake site refuses every command in which this stands.
const REFUSED: &str = "NO_SUCH_COMMAND;x";

/// Well under the half second for which the Perl module waits for the end of
/// the connection, and far under what others wait.
const AT_ONCE: Duration = Duration::from_millis(400);

/// How often the time of a command is taken. The least counts, because only one
/// of them need not have been disturbed.
const TRIALS: usize = 8;

/// The commands that the fake site has got, without their times.
fn commands_at(fake: &FakeSite) -> Vec<String> {
    let without_time = |line: &String| match line.split_once("] ") {
        Some((_, command)) => command.to_owned(),
        None => panic!("a command without a time: {line:?}"),
    };
    fake.commands().iter().map(without_time).collect()
}

/// The command that acknowledges a service, as every program sends it.
fn acknowledgement(service: &str) -> String {
    format!("ACKNOWLEDGE_SVC_PROBLEM;{service};2;1;1;anna;seen")
}

/// Whether icinga2 itself says that a service is acknowledged.
#[track_caller]
fn is_acknowledged(icinga2: &Icinga2, service: &str) -> bool {
    let (host, service) = service.split_once(';').unwrap();
    let query = format!(
        "GET services\nColumns: acknowledged\nFilter: host_name = {host}\nFilter: description = {service}\n"
    );
    let answer = icinga2.direct(Transport::Unix).ask(query.as_bytes()).text();
    match answer.as_str() {
        "0\n" => false,
        "1\n" => true,
        other => panic!("{query} was answered {other:?}"),
    }
}

/// What the client sends is carried out by a real core.
#[track_caller]
pub fn a_command_takes_effect_at_icinga2(program: &'static Program) {
    let service = program.service;
    let icinga2 = icinga2();
    assert!(!is_acknowledged(&icinga2, service), "{service}");
    let daemon = in_front_of(&icinga2);
    let mut running = program.start(&daemon.socket(SITE));
    assert_eq!(running.acknowledge(service), Outcome::Sent);
    eventually(&format!("{service} is acknowledged"), || {
        is_acknowledged(&icinga2, service)
    });
}

/// Each is sent by a client of its own, which is gone at once.
#[track_caller]
pub fn commands_arrive_once(program: &'static Program) {
    let scene = Scene::ready();
    let services = ["a;1", "b;2", "c;3"];
    for service in services {
        let mut running = program.start(&scene.socket());
        assert_eq!(running.acknowledge(service), Outcome::Sent);
        // Ended at once, as the page of a web server ends.
    }
    eventually("all commands have arrived", || {
        scene.fake.commands().len() >= services.len()
    });
    let mut found = commands_at(&scene.fake);
    // Those of clients that have not waited to the end may overtake each other.
    if program.learns != Learns::Waits {
        found.sort();
    }
    assert_eq!(found, services.map(acknowledgement));
}

/// The query never sees the site as it was before the command.
#[track_caller]
pub fn a_query_follows_a_command(program: &'static Program) {
    let scene = Scene::ready();
    let mut running = program.start(&scene.socket());
    let wanted = running.query(ITSELF).rows();
    for round in 1..=3 {
        assert_eq!(running.acknowledge("a;1"), Outcome::Sent);
        assert_eq!(running.query(ITSELF).rows(), wanted);
        // It asks on a new connection, which knows nothing of the command.
        if program.learns == Learns::WaitsBriefly {
            eventually("the command has arrived", || {
                scene.fake.commands().len() == round
            });
        }
        assert_eq!(scene.fake.commands().len(), round, "overtaken");
    }
}

/// A client that goes on using the connection on which it sent a command fares
/// no worse than at the site itself.
#[track_caller]
pub fn it_goes_on_after_a_command_as_at_the_site(program: &'static Program) {
    let fates = |socket: &Path| {
        let mut running = program.start(socket);
        let before = running.query(ITSELF);
        let sent = running.acknowledge("a;1");
        let after = [(); 2].map(|()| running.query(ITSELF).without_text());
        (before, sent, after)
    };
    let fake = FakeSite::start_unix();
    let wanted = fates(&fake.path());
    assert_eq!(wanted.1, Outcome::Sent);
    let scene = Scene::ready();
    assert_eq!(fates(&scene.socket()), wanted);
    eventually("the command has arrived", || {
        scene.fake.commands().len() == 1
    });
}

/// What a client shows of a command that fails, and how often it was sent. A
/// client that waits for half a second only is given several chances, because a
/// crowded machine may need longer now and then.
#[track_caller]
fn shown_of_command(program: &'static Program, scene: &Scene, service: &str) -> (Outcome, usize) {
    for trial in 1..=TRIALS {
        let mut running = program.start(&scene.socket());
        let outcome = running.acknowledge(service);
        match (program.learns, outcome) {
            (Learns::WithNextQuery, Outcome::Sent) => return (running.query(TWO_HOSTS), trial),
            (Learns::WaitsBriefly, Outcome::Sent) => {}
            (_, outcome) => return (outcome, trial),
        }
    }
    panic!("{} has not heard of a failure", program.name);
}

/// The client shows the words of the site itself.
#[track_caller]
pub fn a_refused_command_is_shown(program: &'static Program) {
    let scene = Scene::ready();
    let (outcome, times) = shown_of_command(program, &scene, REFUSED);
    outcome.expect_error("400: Unknown command 'NO_SUCH_COMMAND'");
    if program.learns == Learns::WithNextQuery {
        outcome.expect_error("Command before this query was not delivered: ");
    }
    assert_eq!(scene.fake.commands().len(), times, "written again");
    // Whoever asks next is not harmed by what the site has said unasked.
    scene.answer_next(200, program.answer);
    let mut another = program.start(&scene.socket());
    assert_eq!(another.query(TWO_HOSTS).rows(), program.rows);
}

/// The client shows why the command could not be delivered.
#[track_caller]
pub fn a_command_for_a_dead_site_is_shown(program: &'static Program) {
    let scene = Scene::dead();
    let (outcome, _) = shown_of_command(program, &scene, "a;1");
    outcome.expect_error("Site muc is not reachable: Connection refused");
    if program.learns == Learns::WithNextQuery {
        outcome.expect_error("Command before this query was not delivered: ");
    }
}

/// Its page was shown and forgotten when the site comes back.
#[track_caller]
pub fn a_command_for_a_dead_site_outlives_its_client(program: &'static Program) {
    let mut scene = Scene::dead();
    let mut running = program.start(&scene.socket());
    assert_eq!(running.acknowledge("a;1"), Outcome::Sent);
    drop(running);
    scene.fake.listen();
    eventually("the command has arrived", || {
        !scene.fake.commands().is_empty()
    });
    assert_eq!(commands_at(&scene.fake), [acknowledgement("a;1")]);
}

/// Nobody waits here but the proxy: the client has gone when the site gets free.
#[track_caller]
pub fn a_command_for_a_busy_site_outlives_its_client(program: &'static Program) {
    let (scene, _holders) = Scene::busy();
    let mut running = program.start(&scene.socket());
    assert_eq!(running.acknowledge("a;1"), Outcome::Sent);
    drop(running);
    assert!(scene.fake.commands().is_empty(), "the site is not busy");
    scene.fake.release();
    eventually("the command has arrived", || {
        !scene.fake.commands().is_empty()
    });
    assert_eq!(commands_at(&scene.fake), [acknowledgement("a;1")]);
}

/// A client that waits for the end of the connection waits no longer than the
/// command takes.
#[track_caller]
pub fn the_end_comes_at_once(program: &'static Program) {
    let scene = Scene::ready();
    let quickest = (0..TRIALS).map(|_| {
        let mut running = program.start(&scene.socket());
        // Until this is answered the program itself has to be loaded.
        running.query(ITSELF).rows();
        let begun = Instant::now();
        assert_eq!(running.acknowledge("a;1"), Outcome::Sent);
        begun.elapsed()
    });
    let quickest = quickest.min().unwrap();
    assert!(quickest < AT_ONCE, "the end took {quickest:?}");
    eventually("all commands have arrived", || {
        scene.fake.commands().len() == TRIALS
    });
}
