//! What the site may do with an answer: cut it, stall it, spoil it. Whatever it is, this client
//! gets a whole response or a clean error, and the next one gets its own right answer.

use std::time::Duration;

use crate::pair::{Pair, QUERY, right_answer};
use crate::support::client::{assert_same, kept_and_framed};
use crate::support::site::payload;
use crate::support::{Fault, Place, Response, eventually};

/// Asserts the right answer, or an error that the proxy made itself.
#[track_caller]
fn expect_right_or_error(response: &Response) {
    match response.code {
        200 => assert_same(&response.body, &right_answer()),
        400 | 502 => assert!(response.body.ends_with(b"\n"), "{response:?}"),
        _ => panic!("{response:?}"),
    }
}

#[test]
fn reads_an_answer_split_at_every_byte() {
    let pair = Pair::start("'channels': 1");
    let client = pair.client();
    let whole = 16 + right_answer().len();
    for at in 1..whole {
        pair.site.next(Fault::Split(vec![at]));
        client.ask(QUERY).expect(right_answer());
    }
    pair.site.next(Fault::Split(vec![1; whole]));
    client.ask(QUERY).expect(right_answer());
    pair.site.next(Fault::Split(vec![15, 1, 1, 7]));
    client.ask(QUERY).expect(right_answer());
    assert_eq!(pair.site.happened("split"), whole + 1);
    assert_eq!(pair.site.accepted(), 1, "all on one channel");
}

#[test]
fn waits_for_an_answer_that_drips() {
    let pair = Pair::start("");
    pair.site.next(Fault::Drip(Duration::from_millis(4)));
    let slow = pair.client();
    slow.send(kept_and_framed("GET x\nTest-Nonce: slow\nTest-Size: 300"));
    pair.site.await_happened("drip", 1);
    pair.expect_unharmed();
    slow.read_response().expect(payload("slow", 300));
}

#[test]
fn passes_large_answers_on_unchanged() {
    let pair = Pair::start("");
    let client = pair.client();
    for size in [1_048_575, 1_048_576, 1_048_577, 5_000_000] {
        let nonce = format!("large{size}");
        let query = format!("GET x\nTest-Nonce: {nonce}\nTest-Size: {size}");
        client.ask(query).expect(payload(&nonce, size));
    }
    client.send("GET x\nTest-Nonce: bare\nTest-Size: 3000000\n\n");
    assert_same(&client.read_to_end(), &payload("bare", 3_000_000));
}

#[test]
fn never_mixes_up_large_answers() {
    let pair = Pair::start("'channels': 3");
    std::thread::scope(|scope| {
        for number in 0..6 {
            let pair = &pair;
            scope.spawn(move || {
                for round in 0..3 {
                    let nonce = format!("{number}-{round}");
                    let size = 1_200_000 + number * 7_919 + round * 300_001;
                    let query = format!("GET x\nTest-Nonce: {nonce}\nTest-Size: {size}");
                    pair.ask(query).expect(payload(&nonce, size));
                }
            });
        }
    });
    assert_eq!(pair.site.requests().len(), 6 * 3);
}

/// A client leaves an answer of this size unread, and the only channel must serve the next one.
fn a_client_that_does_not_read(size: usize) {
    let pair = Pair::start("'channels': 1");
    let lazy = pair.client();
    let query = format!("GET x\nTest-Nonce: lazy\nTest-Size: {size}");
    lazy.send(kept_and_framed(query));
    eventually("the site has the query", || pair.site.requests().len() == 1);
    pair.ask(QUERY).expect(right_answer());
    lazy.read_response().expect(payload("lazy", size));
    assert_eq!(pair.site.accepted(), 1);
}

#[test]
fn a_client_that_does_not_read_a_small_answer_holds_no_channel() {
    // More than the buffers of a UNIX socket take.
    a_client_that_does_not_read(900_000);
}

#[test]
fn a_client_that_does_not_read_a_large_answer_holds_no_channel() {
    a_client_that_does_not_read(4_000_000);
}

#[test]
fn passes_any_last_byte_of_a_header_on() {
    let pair = Pair::start("");
    // Icinga 2 puts the separator of data sets there, which the query chooses.
    for last in [b'!', b' ', b'\0', b'\xff'] {
        let mut header = format!("200 {:11}\n", right_answer().len()).into_bytes();
        header[15] = last;
        let header: [u8; 16] = header.try_into().unwrap();
        pair.site.next(Fault::Header(header));
        let client = pair.client();
        client.send(kept_and_framed(QUERY));
        assert_eq!(client.read_exactly(16), header);
        assert_same(&client.read_exactly(right_answer().len()), &right_answer());
        client.ask(QUERY).expect(right_answer());
    }
    assert_eq!(pair.site.happened("garbage-header"), 4);
    assert_eq!(
        pair.site.max_open(),
        pair.site.accepted(),
        "no channel is lost by it"
    );
}

#[test]
fn garbage_instead_of_a_header_reaches_nobody() {
    let pair = Pair::start("'channels': 3");
    for header in [
        b"200        abc1\n",
        b"200     12 4567\n",
        b"200 5          \n",
        b"200            \n",
        b"200          -5\n",
        b"200          +5\n",
        b"2x0           5\n",
        b" 200          5\n",
        b"200\t          5\n",
        b"HTTP/1.1 400 Bad",
        b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        b"\xff\xfe\xfd\xfc\xff\xfe\xfd\xfc\xff\xfe\xfd\xfc\xff\xfe\xfd\xfc",
    ] {
        pair.site.next(Fault::Header(*header));
        expect_right_or_error(&pair.ask(QUERY));
        pair.expect_unharmed();
    }
    assert_eq!(pair.site.happened("garbage-header"), 12);
}

#[test]
fn garbage_twice_is_an_error() {
    let pair = Pair::start("'channels': 3");
    pair.site.next(Fault::Header(*b"No such header!\n"));
    pair.site.next(Fault::Header(*b"No such header!\n"));
    let client = pair.client();
    let response = client.ask(QUERY);
    assert!([400, 502].contains(&response.code), "{response:?}");
    assert_eq!(pair.site.happened("garbage-header"), 2);
    client.expect_open();
    pair.expect_unharmed();
}

#[test]
fn a_text_of_the_way_there_is_shown_when_it_comes_twice() {
    let pair = Pair::start("'channels': 3");
    let text = b"No UNIX socket /omd/sites/muc/tmp/run/live existing\n";
    pair.site.next(Fault::Raw(text.to_vec()));
    pair.ask(QUERY).expect(right_answer());
    assert_eq!(pair.site.happened("raw-text"), 1);

    pair.site.next(Fault::Raw(text.to_vec()));
    pair.site.next(Fault::Raw(text.to_vec()));
    let response = pair.ask(QUERY);
    assert!([400, 502].contains(&response.code), "{response:?}");
    assert!(response.text().contains("No UNIX socket"), "{response:?}");
    assert_eq!(pair.site.happened("raw-text"), 3);
    pair.expect_unharmed();
}

#[test]
fn bytes_behind_an_answer_reach_nobody() {
    let pair = Pair::start("'channels': 2");
    let whole_answer = b"200           5\nevil\n";
    for (number, extra) in [b"\n".as_slice(), b"x", whole_answer].iter().enumerate() {
        pair.site.next(Fault::Extra(extra.to_vec()));
        expect_right_or_error(&pair.ask(QUERY));
        assert_eq!(pair.site.happened("extra-bytes"), number + 1);
        eventually("its channel is replaced", || {
            pair.site.accepted() > 2 + number
        });
        pair.expect_unharmed();
    }
}

#[test]
fn a_length_that_is_too_small_harms_no_other_client() {
    let pair = Pair::start("'channels': 2");
    pair.site.next(Fault::WrongLength(-7));
    let response = pair.ask(QUERY);
    // Nobody can tell a short answer from a right one; what must not happen is that the rest
    // becomes the beginning of somebody's answer.
    if response.code == 200 {
        assert_same(&response.body, &right_answer()[..right_answer().len() - 7]);
    }
    assert_eq!(pair.site.happened("wrong-length"), 1);
    eventually("its channel is replaced", || pair.site.accepted() >= 3);
    pair.expect_unharmed();
}

#[test]
fn a_length_that_is_too_large_ends_in_an_error() {
    let pair = Pair::start("'channels': 2, 'query_timeout': 1");
    pair.site.next(Fault::WrongLength(1));
    pair.ask(QUERY)
        .expect_error(502, "did not answer within 1 s");
    assert_eq!(pair.site.happened("wrong-length"), 1);
    pair.expect_unharmed();
}

#[test]
fn an_absurd_length_takes_no_memory() {
    let pair = Pair::start("'channels': 2, 'query_timeout': 1");
    pair.ask(QUERY).expect(right_answer());
    let before = pair.daemon.resident_kb();
    pair.site.next(Fault::Header(*b"200 99999999999\n"));
    let client = pair.client();
    client.send(format!("{QUERY}\nResponseHeader: fixed16\n\n"));
    let bytes = client.read_to_end();
    // Either the proxy refuses, or it has begun to pass the answer on, and then it closes.
    let begun = bytes.starts_with(b"200 99999999999\n");
    assert!(
        begun || bytes.starts_with(b"502 "),
        "{}",
        bytes.escape_ascii()
    );
    assert_eq!(pair.site.happened("garbage-header"), 1);
    assert!(pair.daemon.resident_kb() < before + 20_000);
    pair.expect_unharmed();
}

#[test]
fn an_answer_lost_once_is_asked_again() {
    let pair = Pair::start("'channels': 3");
    for fault in every_loss() {
        let asked_before = pair.site.requests().len();
        let lost_before = pair.site.happened(fault.name());
        pair.site.next(fault.clone());
        pair.ask(QUERY).expect(right_answer());
        assert_eq!(pair.site.happened(fault.name()), lost_before + 1);
        let asked = pair.site.requests().split_off(asked_before);
        assert_eq!(asked, [right_answer(), right_answer()], "{fault:?}");
    }
    pair.expect_unharmed();
}

#[test]
fn an_answer_lost_twice_is_an_error() {
    let pair = Pair::start("'channels': 3");
    for fault in every_loss() {
        let lost_before = pair.site.happened(fault.name());
        pair.site.next(fault.clone());
        pair.site.next(fault.clone());
        let client = pair.client();
        let response = client.ask(QUERY);
        let text = "Site muc closed the connection twice on this query";
        response.expect_error(502, text);
        assert_eq!(pair.site.happened(fault.name()), lost_before + 2);
        client.expect_open();

        pair.site.next(fault.clone());
        pair.site.next(fault.clone());
        let client = pair.client();
        client.send(format!("{QUERY}\n\n"));
        let bytes = client.read_to_end();
        assert_eq!(String::from_utf8(bytes).unwrap(), format!("502: {text}\n"));
        pair.await_answers();
    }
}

fn every_loss() -> Vec<Fault> {
    let places = [
        Place::BeforeHeader,
        Place::InHeader(1),
        Place::InHeader(15),
        Place::InBody(0),
        Place::InBody(20),
    ];
    let losses = places.map(|place| [Fault::Close(place), Fault::Reset(place)]);
    losses.concat()
}

#[test]
fn an_answer_that_stalls_is_an_error_after_the_query_timeout() {
    let pair = Pair::start("'channels': 5, 'query_timeout': 1");
    pair.site.await_ready(5);
    let places = [
        Place::BeforeHeader,
        Place::InHeader(7),
        Place::InBody(0),
        Place::InBody(20),
    ];
    let mut clients = Vec::new();
    for place in places {
        pair.site.next(Fault::Stall(place));
        let client = pair.client();
        client.send(kept_and_framed(QUERY));
        clients.push(client);
    }
    pair.site.await_stalled(places.len());
    for client in &clients {
        let response = client.read_response();
        response.expect_error(502, "Site muc did not answer within 1 s");
        client.expect_open();
    }
    // Their channels are closed: a late answer would be the next client's.
    pair.site.await_stalled(0);
    let asked = pair.site.requests().len();
    assert_eq!(asked, places.len(), "a stalled query is never asked again");
    for (name, times) in [
        ("stall-before-header", 1),
        ("stall-in-header", 1),
        ("stall-in-body", 2),
    ] {
        assert_eq!(pair.site.happened(name), times, "{name}");
    }
    pair.expect_unharmed();
}

#[test]
fn a_stall_that_ends_in_time_is_no_error() {
    let pair = Pair::start("");
    for place in [Place::BeforeHeader, Place::InHeader(9), Place::InBody(3)] {
        pair.site.next(Fault::Stall(place));
        let client = pair.client();
        client.send(kept_and_framed(QUERY));
        pair.site.await_stalled(1);
        client.expect_silence(Duration::from_millis(50));
        pair.site.release();
        client.read_response().expect(right_answer());
    }
}

#[test]
fn a_site_that_closes_after_every_answer_is_still_served() {
    let pair = Pair::start("'channels': 3");
    pair.site.always(Fault::Close(Place::AfterAnswer));
    let client = pair.client();
    for _ in 0..20 {
        client.ask(QUERY).expect(right_answer());
    }
    pair.site.await_happened("close-after-answer", 20);
    assert_eq!(pair.site.happened("close-after-answer"), 20);
    pair.site.always(Fault::Reset(Place::AfterAnswer));
    for _ in 0..20 {
        let response = client.ask(QUERY);
        // A reset may overtake the answer before the proxy has read it, and on a second channel
        // again; then there is an error, never half an answer.
        expect_right_or_error(&response);
    }
    pair.site.await_happened("reset-after-answer", 20);
    pair.site.behave();
    pair.await_answers();
}
