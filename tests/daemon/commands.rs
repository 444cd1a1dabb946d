//! Commands: delivered once, alone, in order, and without an answer.

use std::time::Duration;

use crate::pair::{Pair, expect_held, rewritten};
use crate::support::client::kept_and_framed;
use crate::support::site::payload;
use crate::support::{Fault, Place, eventually};

/// No heartbeat but those that a command causes.
pub const QUIET: &str = "'heartbeat': (200, 5), ";

/// The line of a command with this name.
pub fn command(name: &str) -> String {
    format!("COMMAND [1795198323] {name};x")
}

#[test]
fn delivers_commands_alone_and_answers_nothing() {
    let pair = Pair::start("");
    let client = pair.client();
    client.send("COMMAND [1795198323] FIRST;a\n\n");
    client.ask("GET after").expect(rewritten("GET after", ""));
    let first = "COMMAND [1795198323] FIRST;a".to_owned();
    assert_eq!(pair.site.commands(), [first], "the query overtook it");

    // Header lines behind a command would poison the channel; the next line is a request again.
    client.send("COMMAND [1795198323] SECOND;b\nKeepAlive: on\nAuthUser: x\n\n");
    client.send("COMMAND [1795198323] THIRD;c\nCOMMAND [1795198323] FOURTH;d\n\n");
    client.ask("GET again").expect(rewritten("GET again", ""));
    client.expect_open();
    let name = |line: &String| line.split([' ', ';']).nth(2).unwrap().to_owned();
    let names: Vec<_> = pair.site.commands().iter().map(name).collect();
    assert_eq!(names, ["FIRST", "SECOND", "THIRD", "FOURTH"]);
    pair.expect_unharmed();
    assert_eq!(pair.site.happened("invalid-method"), 0);
}

#[test]
fn delivers_a_command_whose_client_closes_at_once() {
    let pair = Pair::start("");
    // NagVis sends one line feed and closes; a shell ends its input and waits for the end.
    let client = pair.client();
    client.send("COMMAND [1795198323] OF_NAGVIS;x\n");
    client.close();
    eventually("the command arrives", || pair.site.commands().len() == 1);
    let client = pair.client();
    client.send("COMMAND [1795198323] OF_A_SHELL;x\n");
    client.half_close();
    assert_eq!(client.read_to_end(), b"");
    eventually("the command arrives", || pair.site.commands().len() == 2);
    pair.expect_unharmed();
    assert_eq!(pair.site.happened("invalid-method"), 0);
}

#[test]
fn a_command_that_the_site_refuses_harms_no_query() {
    let pair = Pair::start("'channels': 2");
    for _ in 0..4 {
        let client = pair.client();
        client.send("COMMAND [1795198323] NO_SUCH_COMMAND;x\n\n");
        // The site answers a refused command without any framing.
        let response = client.ask("GET after");
        match response.code {
            200 => response.expect(rewritten("GET after", "")),
            code => assert!([400, 502].contains(&code), "{response:?}"),
        }
        client.expect_open();
        pair.expect_unharmed();
    }
    assert_eq!(pair.site.commands().len(), 4, "delivered once each");
}

#[test]
fn keeps_the_order_of_commands_and_queries_in_one_write() {
    let pair = Pair::start("'channels': 3");
    let client = pair.client();
    let block = |number: usize| {
        format!(
            "COMMAND [1795198323] NUMBER_{number}\n\nGET x\nTest-Nonce: {number}\n\
             Test-Size: 40\nKeepAlive: on\nResponseHeader: fixed16\n\n"
        )
    };
    let all: String = (0..20).map(block).collect();
    client.send(all);
    client.half_close();
    for number in 0..20 {
        let body = payload(&number.to_string(), 40);
        client.read_response().expect(body);
        assert!(pair.site.commands().len() > number, "overtaken");
    }
    assert!(client.at_end());
    let commands = (0..20).map(|number| format!("COMMAND [1795198323] NUMBER_{number}"));
    assert_eq!(pair.site.commands(), commands.collect::<Vec<_>>());
}

#[test]
fn a_query_behind_a_command_waits_for_the_answer_to_its_barrier() {
    let pair = Pair::start(&format!("{QUIET}'channels': 3"));
    pair.site.await_ready(3);
    pair.site.next_command(Fault::Stall(Place::BeforeHeader));
    let client = pair.client();
    let query = String::from_utf8(kept_and_framed("GET behind")).unwrap();
    client.send(format!("{}\n\n{query}", command("SLOW")));
    pair.site.await_happened("stall-after-command", 1);
    // Two channels are free for it.
    client.expect_silence(Duration::from_millis(200));
    assert!(pair.site.requests().is_empty(), "the query overtook it");
    pair.ask("GET other").expect(rewritten("GET other", ""));
    pair.site.release();
    client.read_response().expect(rewritten("GET behind", ""));
    assert_eq!(pair.site.commands(), [command("SLOW")]);
}

#[test]
fn delivers_every_command_of_many_clients_once() {
    let pair = Pair::start("'channels': 3");
    let clients = 8;
    let rounds = 10;
    std::thread::scope(|scope| {
        for number in 0..clients {
            let pair = &pair;
            scope.spawn(move || {
                for round in 0..rounds {
                    let client = pair.client();
                    client.send(format!("{}\n", command(&format!("C{number}_{round}"))));
                    match round % 3 {
                        0 => client.close(),
                        1 => {
                            client.half_close();
                            assert_eq!(client.read_to_end(), b"");
                        }
                        _ => client.ask("GET x").expect(rewritten("GET x", "")),
                    }
                }
            });
        }
    });
    let count = clients * rounds;
    eventually("all arrive", || pair.site.commands().len() >= count);
    pair.expect_unharmed();
    let mut found = pair.site.commands();
    found.sort();
    let all = (0..clients)
        .flat_map(|number| (0..rounds).map(move |round| command(&format!("C{number}_{round}"))));
    let mut wanted: Vec<_> = all.collect();
    wanted.sort();
    assert_eq!(found, wanted);
    assert_eq!(pair.site.happened("invalid-method"), 0);
}

#[test]
fn a_client_that_leaves_takes_its_query_along_and_not_its_commands() {
    let pair = Pair::start(&format!("{QUIET}'channels': 1, 'channel_timeout': 20"));
    pair.site.await_ready(1);
    let holder = pair.holder();
    pair.site.await_stalled(1);
    let client = pair.client();
    let query = String::from_utf8(kept_and_framed("GET behind")).unwrap();
    let (first, second) = (command("FIRST"), command("SECOND"));
    client.send(format!("{first}\n\n{query}{second}\n"));
    client.expect_silence(Duration::from_millis(50));
    client.close();
    // Who comes later is asked for later.
    let later = pair.client();
    later.send(kept_and_framed("GET later"));
    later.expect_silence(Duration::from_millis(50));
    pair.site.release();
    expect_held(&holder);
    later.read_response().expect(rewritten("GET later", ""));
    eventually("both arrive", || pair.site.commands().len() >= 2);
    pair.expect_unharmed();
    assert_eq!(pair.site.commands(), [first, second]);
    let asked_for_it = |bytes: &Vec<u8>| bytes.starts_with(b"GET behind");
    assert!(!pair.site.requests().iter().any(asked_for_it));
}
