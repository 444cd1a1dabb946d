//! Requests that would bring a channel out of step, and clients that would take
//! more than their share.

use crate::pair::{BRISK, Pair, rewritten};
use crate::support::client::kept_and_framed;
use crate::support::site::payload;
use crate::support::{Client, Daemon, FakeSite, eventually, site};

#[test]
fn a_zero_byte_does_not_smuggle_a_command() {
    let pair = Pair::start("'channels': 1");
    let client = pair.client();
    client.send(kept_and_framed(b"GET hosts\n\0\nCOMMAND [1] SMUGGLED;x"));
    let text = client.read_to_end();
    assert!(text.starts_with(b"400: "), "{}", text.escape_ascii());
    pair.expect_unharmed();
    assert_eq!(pair.site.commands(), [""; 0]);
    let seen = pair.site.requests();
    assert!(seen.iter().all(|request| !request.contains(&0)));
}

#[test]
fn a_bare_header_name_does_not_reach_the_site() {
    let pair = Pair::start("");
    pair.ask("GET hosts\nResponseHeader\nKeepAlive\nLimit: 1")
        .expect(rewritten("GET hosts", "Limit: 1\n"));
}

#[test]
fn a_gui_reads_a_framed_refusal_of_a_request_that_is_too_large() {
    let pair = Pair::with(FakeSite::start(), "max_query = 100000", "");
    // As the GUI does, with the header that asks for framing at the end.
    let large = format!("GET hosts\n{}", "Filter: name = x\n".repeat(10_000));
    let large = kept_and_framed(large.trim_end());
    let fresh = pair.client();
    fresh.send(&large);
    fresh
        .read_response()
        .expect_error(413, "larger than 100000");
    let kept = pair.client();
    kept.ask("GET x").expect(rewritten("GET x", ""));
    kept.send(&large);
    kept.read_response().expect_error(413, "larger than 100000");
    assert_eq!(pair.site.requests().len(), 1);
}

#[test]
fn a_command_behind_a_last_query_is_dropped_whether_its_client_stays_or_goes() {
    let pair = Pair::start("'channels': 1");
    let both = "GET hosts\nTest-Delay: 100\n\nCOMMAND [1] TOO_LATE;x\n\n";
    let stays = pair.client();
    stays.send(both);
    assert!(!stays.read_to_end().is_empty());
    let goes = pair.client();
    goes.send(both);
    eventually("its query is at the site", || {
        pair.site.requests().len() == 2
    });
    goes.close();
    pair.expect_unharmed();
    assert_eq!(pair.site.commands(), [""; 0]);
}

#[test]
fn clients_that_left_a_command_behind_take_up_no_place() {
    let mut pair = Pair::with(FakeSite::start_refusing(), "", "'max_clients': 10");
    eventually("the site is dead", || {
        pair.ask("GET x").text().contains("is not reachable")
    });
    let count = 30;
    for number in 0..count {
        let client = pair.client();
        client.send(format!("COMMAND [1795198323] LEFT;{number}\n"));
        client.close();
    }
    // That they have gone is seen a moment after they were let in.
    eventually("a query is told of the dead site", || {
        pair.ask("GET x").text().contains("is not reachable")
    });
    assert_eq!(pair.site.commands(), [""; 0], "they still wait");
    pair.site.listen();
    eventually("all commands are delivered", || {
        pair.site.commands().len() >= count
    });
    let mut commands = pair.site.commands();
    commands.sort();
    commands.dedup();
    assert_eq!(commands.len(), count);
    assert_eq!(pair.site.commands().len(), count, "some twice");
}

#[test]
fn clients_that_do_not_read_leave_memory_to_other_sites() {
    let (held_up, well) = (FakeSite::start(), FakeSite::start());
    let config = format!(
        "response_buffer = 16777216\n{}{}",
        site("ber", &held_up, &format!("{BRISK}'channels': 30")),
        site("muc", &well, BRISK)
    );
    let daemon = Daemon::start(&config);
    let _crowd: Vec<Client> = (0..30)
        .map(|_| {
            let client = daemon.client("ber");
            client.send(kept_and_framed("GET x\nTest-Size: 4000000"));
            client
        })
        .collect();
    eventually("all queries are at the site", || {
        held_up.requests().len() == 30
    });
    for _ in 0..5 {
        let response = daemon
            .client("muc")
            .ask("GET x\nTest-Nonce: n\nTest-Size: 2000000");
        response.expect(payload("n", 2_000_000));
    }
}
