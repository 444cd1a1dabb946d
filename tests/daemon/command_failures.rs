//! Commands that fail: never sent twice, and told where their client can hear it.

use std::time::{Duration, Instant};

use crate::commands::{QUIET, command};
use crate::pair::{Pair, rewritten};
use crate::support::client::kept_and_framed;
use crate::support::{Client, FakeSite, Fault, Place, Response, eventually};

/// The words of the fake site to a command that it refuses.
const REFUSED: &str = "Unknown command 'NO_SUCH_COMMAND'";

/// The ways in which a channel can end when its command has been read.
const ENDS: [(Fault, &str); 2] = [
    (Fault::Close(Place::BeforeHeader), "close-after-command"),
    (Fault::Reset(Place::BeforeHeader), "reset-after-command"),
];

/// Sends a command as a client does that waits for nothing but the end.
#[track_caller]
fn send_and_half_close(pair: &Pair, name: &str) -> String {
    let client = pair.client();
    client.send(format!("{}\n\n", command(name)));
    client.half_close();
    String::from_utf8(client.read_to_end()).unwrap()
}

/// Asserts the error in place of an answer, and that the client may go on.
#[track_caller]
fn expect_told_and_kept(client: &Client, told: &Response, start: &str) {
    told.expect_error(502, start);
    assert!(told.text().starts_with(start), "{told:?}");
    client.expect_open();
}

#[test]
fn a_command_that_was_read_and_not_confirmed_is_never_sent_again() {
    for (fault, name) in ENDS {
        let pair = Pair::start(&format!("{QUIET}'channels': 3"));
        pair.site.await_ready(3);
        pair.site.next_command(fault.clone());
        let text = send_and_half_close(&pair, "ONCE");
        assert!(
            text.starts_with("502: ") && text.ends_with('\n'),
            "{text:?}"
        );
        assert_eq!(text.lines().count(), 1, "{text:?}");
        assert_eq!(pair.site.happened(name), 1);
        pair.daemon.wait_log(&command("ONCE"));

        pair.site.next_command(fault.clone());
        let client = pair.client();
        client.send(format!("{}\n\n", command("ONCE_TOO")));
        pair.site.await_happened(name, 2);
        let told = client.ask("GET x");
        let start = "Command before this query may not have been delivered: ";
        expect_told_and_kept(&client, &told, start);
        client.ask("GET x").expect(rewritten("GET x", ""));
        assert_eq!(pair.site.requests().len(), 1, "one was told, one asked");

        // A client that is gone can be told nothing: the log is.
        pair.site.next_command(fault);
        let client = pair.client();
        client.send(format!("{}\n", command("LOGGED")));
        client.close();
        let line = pair.daemon.wait_log(&command("LOGGED"));
        assert!(line.contains("may not have been delivered"), "{line}");

        pair.site.await_ready(3);
        pair.expect_unharmed();
        let sent = ["ONCE", "ONCE_TOO", "LOGGED"].map(command);
        assert_eq!(pair.site.commands(), sent, "sent twice");
    }
}

#[test]
fn the_end_comes_at_once_after_a_command_that_fails() {
    let pair = Pair::start(&format!("{QUIET}'channels': 1, 'connect_retry': 60"));
    pair.site.await_ready(1);
    pair.site.next_command(Fault::Close(Place::BeforeHeader));
    let begun = Instant::now();
    let text = send_and_half_close(&pair, "AT_ONCE");
    assert!(text.starts_with("502: "), "{text:?}");
    // Thruk's client library waits 3 s for the end, whatever it means.
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[test]
fn a_half_closed_client_reads_what_the_site_says_to_its_command() {
    let pair = Pair::start("'channels': 2");
    let text = send_and_half_close(&pair, "NO_SUCH_COMMAND");
    assert_eq!(text, format!("400: {REFUSED}\n"));
    let line = pair.daemon.wait_log(&command("NO_SUCH_COMMAND"));
    assert!(line.contains(REFUSED), "{line}");
    assert_eq!(send_and_half_close(&pair, "GOOD"), "");
    // The site's words and the answer to the barrier come in any pieces.
    pair.site.next_heartbeat(Fault::Split(vec![1; 40]));
    let text = send_and_half_close(&pair, "NO_SUCH_COMMAND");
    assert_eq!(text, format!("400: {REFUSED}\n"));
    assert_eq!(pair.site.happened("split"), 1);
    assert_eq!(pair.site.commands().len(), 3);
}

#[test]
fn a_client_that_goes_on_is_told_of_a_refused_command_in_place_of_its_answer() {
    let pair = Pair::start("'channels': 2");
    let client = pair.client();
    let query = String::from_utf8(kept_and_framed("GET x")).unwrap();
    client.send(format!("{}\n\n{query}{query}", command("NO_SUCH_COMMAND")));
    let start = "Command before this query was not delivered: ";
    let told = client.read_response();
    told.expect_error(502, REFUSED);
    assert!(told.text().starts_with(start), "{told:?}");
    client.read_response().expect(rewritten("GET x", ""));
    client.expect_open();

    let bare = pair.client();
    bare.send(format!("{}\n\nGET x\n\n", command("NO_SUCH_COMMAND")));
    let text = String::from_utf8(bare.read_to_end()).unwrap();
    assert!(text.starts_with(&format!("502: {start}")), "{text:?}");
    assert!(text.contains(REFUSED) && text.ends_with('\n'), "{text:?}");
    assert_eq!(pair.site.requests().len(), 1);
}

/// A daemon in front of a site that refuses, and counts as dead.
fn dead_pair() -> Pair {
    let pair = Pair::with(FakeSite::start_refusing(), "", QUIET);
    eventually("the site is dead", || {
        let response = pair.ask("GET x");
        response.text().starts_with("Site muc is not reachable")
    });
    pair
}

#[test]
fn a_client_that_waits_for_its_command_to_a_dead_site_is_told_at_once() {
    let pair = dead_pair();
    let begun = Instant::now();
    let text = send_and_half_close(&pair, "NOWHERE");
    // In a chain the reason comes from the one behind.
    let start = "502: Site muc is not reachable: ";
    assert!(text.starts_with(start), "{text:?}");
    assert!(text.contains("Connection refused"), "{text:?}");
    let line = pair.daemon.wait_log(&command("NOWHERE"));
    assert!(line.contains("was not delivered"), "{line}");

    let client = pair.client();
    let query = String::from_utf8(kept_and_framed("GET x")).unwrap();
    client.send(format!("{}\n\n{query}", command("NOWHERE_TOO")));
    let told = client.read_response();
    let start = "Command before this query was not delivered: Site muc is not reachable";
    expect_told_and_kept(&client, &told, start);
    // Far below the 30 s for which a command may wait.
    assert!(begun.elapsed() < Duration::from_secs(10), "not at once");
    let response = client.ask("GET x");
    assert!(response.text().starts_with("Site muc is"), "{response:?}");
}

#[test]
fn a_command_whose_client_did_not_wait_outlasts_the_trouble_of_its_site() {
    let mut pair = dead_pair();
    let client = pair.client();
    client.send(format!("{}\n", command("OF_NAGVIS")));
    client.close();
    let kept = pair.client();
    kept.send(format!("{}\n\n", command("KEPT")));
    // Who comes later is answered later.
    pair.ask("GET x").expect_error(502, "is not reachable");
    kept.expect_open();
    pair.site.listen();
    eventually("both arrive", || pair.site.commands().len() >= 2);
    kept.ask("GET x").expect(rewritten("GET x", ""));
    pair.expect_unharmed();
    let wanted = ["OF_NAGVIS", "KEPT"].map(command);
    assert_eq!(pair.site.commands(), wanted);
}
