//! Commands: delivered once, alone, in order, and without an answer.

use crate::pair::{Pair, rewritten};
use crate::support::eventually;
use crate::support::site::payload;

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
