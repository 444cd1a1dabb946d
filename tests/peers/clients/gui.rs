//! The way of the Checkmk GUI: one connection for everything, the headers behind
//! the query, a command without waiting for an answer, and at once a query that
//! waits for its effect. Whatever happens, it may only ever read framed answers.

use super::{SITE, Scene, in_front_of};
use crate::icinga2_site::{Transport, command, icinga2};
use crate::support::{Client, FakeSite, Fault, Place, Response, eventually};

/// What the answer to the query after a lost command begins with.
const NOT_DELIVERED: &str = "Command before this query was not delivered: ";

/// The same when the site may have got it.
const UNKNOWN: &str = "Command before this query may not have been delivered: ";

/// How often a command that gets lost at the right moment is tried: the moment
/// is missed when the machine is crowded.
const TRIALS: usize = 10;

/// A connection of the GUI.
struct Gui(Client);

impl Gui {
    /// The question that begins every page.
    const STATUS: &str = "GET status\nCache: reload\n\
        Columns: livestatus_version program_version program_start\n";

    #[track_caller]
    fn opened(scene: &Scene) -> Gui {
        Gui(scene.daemon.client(SITE))
    }

    /// A query as the GUI completes it.
    fn query(lines: &str) -> String {
        format!(
            "{lines}AuthUser: anna\nLocaltime: 1795198323\nOutputFormat: json\n\
             KeepAlive: on\nResponseHeader: fixed16\n\n"
        )
    }

    /// The query that waits for the effect of a command.
    fn wait(object: &str, condition: &str) -> String {
        Gui::query(&format!(
            "GET hosts\nWaitObject: {object}\nWaitCondition: {condition}\nWaitTimeout: 5000\n\
             WaitTrigger: check\nColumns: name state\nFilter: name = {object}\n"
        ))
    }

    #[track_caller]
    fn ask(&self, lines: &str) -> Response {
        self.0.send(Gui::query(lines));
        self.0.read_response()
    }
}

/// The answer of the fake site: what it has received.
fn received(lines: &str) -> String {
    let (first, rest) = lines.split_once('\n').unwrap();
    let tail = "AuthUser: anna\nLocaltime: 1795198323\nOutputFormat: json\n\n";
    format!("{first}\nResponseHeader: fixed16\nKeepAlive: on\n{rest}{tail}")
}

#[track_caller]
fn expect_beginning(response: &Response, beginning: &str) {
    assert_eq!(response.code, 502, "{response:?}");
    assert!(response.text().starts_with(beginning), "{response:?}");
}

#[test]
fn a_page_with_a_command_at_icinga2() {
    let icinga2 = icinga2();
    let direct = icinga2.direct(Transport::Unix);
    let daemon = in_front_of(&icinga2);
    let gui = Gui(daemon.client(SITE));
    assert_eq!(gui.ask(Gui::STATUS).code, 200);

    for (host, on) in [("host20", false), ("host20", true), ("host21", false)] {
        let (verb, value) = if on { ("ENABLE", 1) } else { ("DISABLE", 0) };
        let line = command(&format!("{verb}_HOST_NOTIFICATIONS;{host}"));
        let wait = Gui::query(&format!(
            "GET hosts\nWaitObject: {host}\nWaitCondition: notifications_enabled = {value}\n\
             WaitTimeout: 5000\nWaitTrigger: command\nColumns: name notifications_enabled\n\
             Filter: name = {host}\n"
        ));
        gui.0.send(format!("{line}\n\n{wait}"));
        // icinga2 has carried a command out before it reads what follows.
        let wanted = format!("[[\"{host}\",{value}]]");
        gui.0.read_response().expect(wanted);
        let names = "GET hosts\nColumns: name\nFilter: name = host1\n";
        gui.ask(names).expect("[[\"host1\"]]");
    }
    let query = b"GET hosts\nColumns: notifications_enabled\nFilter: name = host21\n";
    assert_eq!(direct.ask(query).text(), "0\n");
}

#[test]
fn a_page_with_commands_at_the_fake_site() {
    let scene = Scene::ready();
    let gui = Gui::opened(&scene);
    let status = "[[\"1.5.0 (fake)\",\"Fake 1.0\",1700000000]]\n";
    gui.ask(Gui::STATUS).expect(status);
    for number in 1..=10 {
        let line = format!("COMMAND [1795198323] NUMBER;{number}");
        let wait = Gui::wait("host1", "state >= 0");
        gui.0.send(format!("{line}\n\n{wait}"));
        let wait = "GET hosts\nWaitObject: host1\nWaitCondition: state >= 0\nWaitTimeout: 5000\n\
            WaitTrigger: check\nColumns: name state\nFilter: name = host1\n";
        gui.0.read_response().expect(received(wait));
        assert_eq!(scene.fake.commands().len(), number, "overtaken");
        assert_eq!(scene.fake.commands().last(), Some(&line));
        gui.ask("GET hosts\n").expect(received("GET hosts\n"));
    }
}

/// The text of the site would be taken for the next header.
#[test]
fn a_refused_command_is_told_in_the_next_answer() {
    let scene = Scene::ready();
    let gui = Gui::opened(&scene);
    gui.ask("GET hosts\n").expect(received("GET hosts\n"));
    let line = "COMMAND [1795198323] NO_SUCH_COMMAND;x\n\n";
    for in_one_write in [true, false] {
        let wait = Gui::wait("host1", "state >= 0");
        if in_one_write {
            gui.0.send(format!("{line}{wait}"));
        } else {
            gui.0.send(line);
            eventually("the site has the command", || {
                scene.fake.commands().len() == 2
            });
            gui.0.expect_open();
            gui.0.send(wait);
        }
        let response = gui.0.read_response();
        expect_beginning(&response, NOT_DELIVERED);
        response.expect_error(502, "Unknown command 'NO_SUCH_COMMAND'");
        // Told once, and the connection goes on.
        gui.ask("GET hosts\n").expect(received("GET hosts\n"));
    }
    assert_eq!(scene.fake.commands().len(), 2, "written once each");
}

#[test]
fn a_command_for_a_dead_site_is_told_in_the_next_answer() {
    let mut scene = Scene::dead();
    let gui = Gui::opened(&scene);
    let line = "COMMAND [1795198323] SOME;x\n\n";
    let wait = Gui::wait("host1", "state >= 0");
    gui.0.send(format!("{line}{wait}"));
    let response = gui.0.read_response();
    expect_beginning(&response, NOT_DELIVERED);
    response.expect_error(502, "not reachable: Connection refused");
    let response = gui.ask("GET hosts\n");
    expect_beginning(&response, "Site muc is not reachable: ");

    scene.fake.listen();
    eventually("the site is back", || gui.ask("GET hosts\n").code == 200);
    assert!(scene.fake.commands().is_empty(), "told as not delivered");
}

/// The site takes the command and closes instead of answering the query that
/// proves it: nobody can know whether it was carried out.
#[test]
fn a_command_with_an_unknown_fate_is_told_and_not_repeated() {
    // With a heartbeat far away, the next question about the site itself is the proof.
    let keys = "'channels': 1, 'heartbeat': (3600, 10.0)";
    let scene = Scene::start(FakeSite::start(), keys);
    scene.fake.await_ready(1);
    let gui = Gui::opened(&scene);
    for trial in 1..=TRIALS {
        eventually("the site is back", || gui.ask("GET hosts\n").code == 200);
        scene.fake.next_heartbeat(Fault::Close(Place::BeforeHeader));
        let line = format!("COMMAND [1795198323] TRIAL;{trial}");
        gui.0
            .send(format!("{line}\n\n{}", Gui::wait("host1", "state >= 0")));
        let response = gui.0.read_response();
        let sent = scene
            .fake
            .commands()
            .iter()
            .filter(|found| **found == line)
            .count();
        assert_eq!(sent, 1, "{response:?}");
        // A channel that was silent for too long is asked whether it lives before the command is
        // written; then it was that question which failed, and the command went over another channel.
        if response.code == 502 {
            expect_beginning(&response, UNKNOWN);
            eventually("the site is back", || gui.ask("GET hosts\n").code == 200);
            return;
        }
    }
    panic!("the moment was missed {TRIALS} times");
}

/// Ten people who acknowledge at once wait for each other, but none sees an error.
#[test]
fn many_pages_at_once_see_no_error() {
    let scene = Scene::ready();
    let pages: Vec<_> = (0..10).map(|_| Gui::opened(&scene)).collect();
    for (number, page) in pages.iter().enumerate() {
        let wait = Gui::wait(&format!("host{number}"), "state >= 0");
        let line = format!("COMMAND [1795198323] NUMBER;{number}");
        page.0.send(format!("{line}\n\n{wait}"));
    }
    for (number, page) in pages.iter().enumerate() {
        let response = page.0.read_response();
        assert_eq!(response.code, 200, "{response:?}");
        let filter = format!("Filter: name = host{number}\n");
        assert!(response.text().contains(&filter), "{response:?}");
    }
    assert_eq!(scene.fake.commands().len(), pages.len());
}
