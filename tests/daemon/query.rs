//! What clients may send and how it reaches the site: framing, rewriting, and what is refused.

use std::time::{Duration, Instant};

use crate::pair::{Pair, rewritten};
use crate::support::client::assert_same;
use crate::support::site::payload;
use crate::support::{FakeSite, awaited, eventually};

const FRAMED: &str = "ResponseHeader: fixed16\n";
const KEPT: &str = "KeepAlive: on\n";

/// A query with its own two lines at the end, as the GUI sends it.
const QUERY: &str =
    "GET hosts\nColumns: name\nLocaltime: 1795198323\nKeepAlive: on\nResponseHeader: fixed16\n\n";

fn answer_to_query() -> Vec<u8> {
    rewritten("GET hosts", "Columns: name\nLocaltime: 1795198323\n")
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("200 {:11}\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

#[test]
fn answers_in_the_form_the_client_asked_for() {
    let pair = Pair::start("");
    let body = rewritten("GET hosts", "Columns: name\n");
    for (headers, response, kept) in [
        (String::new(), body.clone(), false),
        (FRAMED.to_owned(), framed(&body), false),
        (KEPT.to_owned(), body.clone(), true),
        (format!("{KEPT}{FRAMED}"), framed(&body), true),
        (format!("{FRAMED}KeepAlive: off\n"), framed(&body), false),
        ("ResponseHeader: off\n".to_owned(), body.clone(), false),
    ] {
        for by_half_close in [false, true] {
            let client = pair.client();
            let end = if by_half_close { "" } else { "\n" };
            client.send(format!("GET hosts\nColumns: name\n{headers}{end}"));
            if by_half_close {
                client.half_close();
            }
            assert_same(&client.read_exactly(response.len()), &response);
            if kept && !by_half_close {
                client.expect_open();
                client.send("GET hosts\nColumns: name\n\n");
                assert_same(&client.read_to_end(), &body);
            } else {
                assert!(client.at_end(), "{headers:?}, half-close: {by_half_close}");
            }
        }
    }
}

#[test]
fn reads_a_request_split_at_every_byte() {
    let pair = Pair::start("");
    for at in 0..=QUERY.len() {
        let client = pair.client();
        client.send_split(QUERY, at);
        client.read_response().expect(answer_to_query());
    }
    let client = pair.client();
    for byte in QUERY.as_bytes() {
        client.send([*byte]);
    }
    client.read_response().expect(answer_to_query());
    let asked = pair.site.requests();
    assert_eq!(asked, vec![answer_to_query(); QUERY.len() + 2]);
}

#[test]
fn serves_many_requests_on_one_connection() {
    let pair = Pair::start("");
    let client = pair.client();
    for size in [0, 1, 15, 16, 17, 4_096, 70_000, 3] {
        let query = format!("GET hosts\nTest-Nonce: n{size}\nTest-Size: {size}");
        client.ask(query).expect(payload(&format!("n{size}"), size));
    }
    client.expect_open();
    client.half_close();
    assert!(client.at_end());
}

#[test]
fn answers_several_requests_of_one_write_in_order() {
    let pair = Pair::start("'channels': 4");
    let client = pair.client();
    // The first ones take longest, so that answers in order of arrival would be out of order.
    let delays = [60, 40, 20, 0, 0];
    let query = |number: usize| {
        format!(
            "GET hosts\nTest-Delay: {}\nTest-Nonce: {number}\nTest-Size: 900\n",
            delays[number]
        )
    };
    let all: String = (0..delays.len())
        .map(|number| format!("{}{KEPT}{FRAMED}\n", query(number)))
        .collect();
    client.send(all);
    for number in 0..delays.len() {
        client
            .read_response()
            .expect(payload(&number.to_string(), 900));
    }
    client.expect_open();
}

#[test]
fn drops_what_follows_a_request_that_is_not_kept() {
    let pair = Pair::start("");
    let client = pair.client();
    client.send(format!("GET hosts\n{FRAMED}\nGET services\n{FRAMED}\n"));
    assert_same(&client.read_to_end(), &framed(&rewritten("GET hosts", "")));
    pair.expect_unharmed();
    let asked_for_services = |bytes: &Vec<u8>| bytes.starts_with(b"GET services");
    assert!(!pair.site.requests().iter().any(asked_for_services));
}

#[test]
fn ends_a_request_by_end_of_file_at_a_line_start() {
    let pair = Pair::start("");
    let client = pair.client();
    client.send("GET hosts\n");
    client.half_close();
    assert_same(&client.read_to_end(), &rewritten("GET hosts", ""));

    // The first request of two ends by a blank line, the second by the end of file.
    let client = pair.client();
    client.send(format!("GET a\n{KEPT}{FRAMED}\nGET b\n{KEPT}{FRAMED}"));
    client.half_close();
    client.read_response().expect(rewritten("GET a", ""));
    client.read_response().expect(rewritten("GET b", ""));
    assert!(client.at_end());
}

#[test]
fn takes_lines_that_end_in_carriage_return_and_line_feed() {
    let pair = Pair::start("");
    let client = pair.client();
    for _ in 0..2 {
        client.send(QUERY.replace('\n', "\r\n"));
        client.read_response().expect(answer_to_query());
    }
    client.expect_open();
}

#[test]
fn does_not_execute_a_request_that_ends_inside_a_line() {
    let pair = Pair::start("");
    for cut in [
        "G",
        "GET hosts",
        "GET hosts\nColumns: na",
        "COMMAND [1795198323] ENABLE_NOTIFICATIONS",
        "GET hosts\nLimit: 1\nResponseHeader: fixed16\nFil",
    ] {
        let client = pair.client();
        client.send(cut);
        client.half_close();
        let bytes = client.read_to_end();
        assert!(!bytes.starts_with(b"200"), "{}", bytes.escape_ascii());
        let client = pair.client();
        client.send(cut);
        client.close();
    }
    pair.ask("GET last").expect(rewritten("GET last", ""));
    assert_eq!(pair.site.requests(), [rewritten("GET last", "")]);
    assert!(pair.site.commands().is_empty());
}

#[test]
fn rewrites_the_headers_and_nothing_else() {
    let pair = Pair::start("");
    let filter = b"Filter: name ~ M\xfcnchen\\.\xff\nSeparators: 33 34 35 36\n";
    let mut sent = b"GET services\nKeepAlive: off\nCache: reload\nColumns: a b\n".to_vec();
    sent.extend_from_slice(filter);
    sent.extend_from_slice(b"ResponseHeader:fixed16\nOutputFormat: json  \n \t \nAnd: 2\n");
    sent.extend_from_slice(b"KeepAlive:on\nCache:\nX-Unknown: KeepAlive: off\nKeepAlive: on\n\n");

    let mut wanted = b"GET services\nResponseHeader: fixed16\nKeepAlive: on\n".to_vec();
    wanted.extend_from_slice(b"Columns: a b\n");
    wanted.extend_from_slice(filter);
    wanted.extend_from_slice(b"OutputFormat: json\nAnd: 2\nX-Unknown: KeepAlive: off\n\n");

    let client = pair.client();
    client.send(&sent);
    client.read_response().expect(&wanted);
    client.expect_open();
    assert_same(&pair.site.requests()[0], &wanted);
}

#[test]
fn passes_error_answers_on() {
    let pair = Pair::start("'channels': 2");
    pair.site.await_ready(2);
    let mut channels = 2;
    for (code, leaves_channel_in_step) in [(404, true), (413, true), (400, false), (452, false)] {
        let text = format!("Test-Status: {code}\n");
        let answer = pair.ask(format!("GET nothing\n{text}"));
        assert_eq!(answer.code, code);
        assert_same(&answer.body, &rewritten("GET nothing", &text));

        let client = pair.client();
        client.send(format!("GET nothing\n{text}\n"));
        assert_same(&client.read_to_end(), &rewritten("GET nothing", &text));
        if leaves_channel_in_step {
            pair.expect_unharmed();
            assert_eq!(pair.site.accepted(), channels, "{code} cost a channel");
        } else {
            channels += 2;
            eventually("both channels are replaced", || {
                pair.site.accepted() >= channels
            });
        }
    }
    pair.expect_unharmed();
}

#[test]
fn passes_an_empty_body_on() {
    let pair = Pair::start("");
    let client = pair.client();
    let answer = client.ask("GET hosts\nTest-Size: 0");
    assert_eq!(&answer.header, b"200           0\n");
    client.expect_open();
    client.send("GET hosts\nTest-Size: 0\n\n");
    assert!(client.at_end());
}

#[test]
fn writes_the_header_in_one_piece() {
    let pair = Pair::start("");
    let client = pair.client();
    for _ in 0..20 {
        client.send(QUERY);
        // Some clients read the header by one single read of 16 bytes.
        let header = client.read_once(16);
        assert_eq!(header.len(), 16);
        client.read_exactly(answer_to_query().len());
    }
}

#[test]
fn closes_after_a_blank_line_without_a_request() {
    let pair = Pair::start("");
    for blank in ["\n", "\r\n"] {
        let client = pair.client();
        client.send(blank);
        assert!(client.at_end());
    }
    let client = pair.client();
    client.send(QUERY);
    client.read_response().expect(answer_to_query());
    client.send("\n");
    assert!(client.at_end());
    let client = pair.client();
    client.half_close();
    assert!(client.at_end());
    assert_eq!(pair.site.requests(), [answer_to_query()]);
}

#[test]
fn refuses_a_request_over_the_limit() {
    let pair = Pair::with(FakeSite::start(), "max_query = 100000", "");
    let line = "Filter: name = abcdefgh\n";
    let under = line.repeat(90_000 / line.len());
    pair.ask(format!("GET hosts\n{under}"))
        .expect(rewritten("GET hosts", &under));

    let over = line.repeat(150_000 / line.len());
    let client = pair.client();
    // The refusal may come while the rest is still being sent.
    let _ = client.try_send(format!("GET hosts\n{FRAMED}{over}\n"));
    client.read_response().expect_error(413, "");
    assert!(client.at_end());

    let client = pair.client();
    let _ = client.try_send(format!("GET hosts\n{over}\n"));
    let text = String::from_utf8(client.read_to_end()).unwrap();
    assert!(
        text.starts_with("413: ") && text.ends_with('\n'),
        "{text:?}"
    );
    pair.expect_unharmed();
    assert_eq!(pair.site.requests().len(), 1 + 8);
}

#[test]
fn refuses_a_request_that_is_not_complete_in_time() {
    let pair = Pair::start("");
    let begun = Instant::now();
    let silent = pair.client();
    let halting = pair.client();
    halting.send(format!("GET hosts\n{FRAMED}"));
    let dripping = pair.client();
    dripping.send(format!("GET hosts\n{FRAMED}"));
    eventually("the dripping client is refused", || {
        // Single bytes are no excuse: the time counts from the first one.
        std::thread::sleep(Duration::from_millis(50));
        dripping.try_send("Filter: name = x\n").is_err()
    });
    assert!(begun.elapsed() >= Duration::from_secs(9), "refused early");
    for client in [&dripping, &halting] {
        client.read_response().expect_error(400, "");
        assert!(client.at_end());
    }
    silent.expect_open();
    silent.ask("GET late").expect(rewritten("GET late", ""));
    assert_eq!(pair.site.requests(), [rewritten("GET late", "")]);
}

#[test]
fn refuses_verbs_that_do_not_exist() {
    let pair = Pair::start("");
    for request in [
        "LOGROTATE\n\n",
        "get hosts\n\n",
        "GETTY hosts\n\n",
        "x\nResponseHeader: fixed16\n\n",
        "{\"json\": true}\n\n",
    ] {
        let client = pair.client();
        client.send(request);
        let bytes = client.read_to_end();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("Invalid request method\n"), "{text:?}");
    }
    assert_eq!(pair.site.happened("invalid-method"), 0);
    assert!(pair.site.requests().is_empty());
}

#[test]
fn passes_large_requests_on_unchanged() {
    let pair = Pair::start("'channels': 2");
    // More than the socket buffers take at once, so that it leaves in several writes.
    let lines = "Filter: name = abcdefghijklmnopqrstuvwxyz\n".repeat(100_000);
    let answer = rewritten("GET hosts", &lines);
    let sending = pair.client();
    std::thread::scope(|scope| {
        scope.spawn(|| sending.send(format!("GET hosts\n{lines}{KEPT}{FRAMED}\n")));
        sending.read_response().expect(&answer);
    });
    pair.expect_unharmed();
}

#[test]
fn never_mixes_up_the_answers_of_many_clients() {
    let pair = Pair::start("'channels': 5");
    std::thread::scope(|scope| {
        for number in 0..8 {
            let pair = &pair;
            scope.spawn(move || {
                let client = pair.client();
                for round in 0..40 {
                    let nonce = format!("{number}-{round}");
                    let size = (number * 7_919 + round * 977) % 20_000;
                    let query = format!("GET x\nTest-Nonce: {nonce}\nTest-Size: {size}");
                    client.ask(query).expect(payload(&nonce, size));
                }
            });
        }
    });
    assert_eq!(pair.site.requests().len(), 8 * 40);
    assert!(pair.site.max_open() <= 6, "{}", pair.site.max_open());
}

#[test]
fn survives_bytes_that_are_no_request() {
    let pair = Pair::start("");
    let noise = payload("hostile", 400 * 97);
    for (number, piece) in noise.chunks(97).enumerate() {
        let client = pair.client();
        // The daemon may refuse before everything is sent.
        let _ = client.try_send(piece);
        if number % 2 == 0 {
            client.half_close();
            let bytes = client.read_to_end();
            assert!(!bytes.starts_with(b"200"), "{}", bytes.escape_ascii());
        }
    }
    pair.expect_unharmed();
    assert!(pair.site.commands().is_empty());
}

#[test]
fn gives_back_all_descriptors() {
    let pair = Pair::start("'channels': 3");
    pair.site.await_ready(3);
    pair.expect_unharmed();
    let before = awaited("all clients are closed", || {
        let count = pair.daemon.descriptors();
        std::thread::sleep(Duration::from_millis(50));
        (count == pair.daemon.descriptors()).then_some(count)
    });
    for number in 0..60 {
        let client = pair.client();
        match number % 3 {
            0 => drop(client.ask("GET hosts")),
            1 => client.send("GET hosts\n\n"),
            _ => client.send("GET ho"),
        }
    }
    eventually("its descriptors are back", || {
        pair.daemon.descriptors() <= before
    });
}
