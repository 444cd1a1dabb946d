//! A client that takes the header with one single read of 16 bytes, as
//! go-livestatus does, and fails when fewer come: the header must never be
//! written in pieces.

use super::{SITE, Scene, in_front_of};
use crate::icinga2_site::{Transport, icinga2};
use crate::support::client::{assert_same, kept_and_framed};
use crate::support::site::payload;
use crate::support::{Client, Fault};

/// Bytes of a fixed16 header.
const HEADER: usize = 16;

/// How often a small answer is read. A header in pieces is a matter of timing,
/// and shows itself rarely.
const TIMES: usize = 300;

/// Sizes of answers: without a body, at the borders of usual buffers, and large
/// ones that are passed on before they are complete.
const SIZES: &[usize] = &[
    0, 1, 4_080, 4_081, 65_520, 65_536, 1_048_576, 1_048_577, 3_000_000, 9_000_000,
];

/// Reads header and body the way this client does.
#[track_caller]
fn response(client: &Client) -> (String, Vec<u8>) {
    let header = client.read_once(HEADER);
    assert_eq!(header.len(), HEADER, "\"{}\"", header.escape_ascii());
    let header = String::from_utf8(header).unwrap();
    let length: usize = header[4..].trim().parse().unwrap();
    let body = client.read_exactly(length);
    (header[..3].to_owned(), body)
}

#[track_caller]
fn ask(client: &Client, lines: &str) -> (String, Vec<u8>) {
    client.send(kept_and_framed(lines));
    response(client)
}

fn sized(nonce: &str, size: usize) -> String {
    format!("GET hosts\nTest-Nonce: {nonce}\nTest-Size: {size}\n")
}

#[test]
fn the_header_of_a_small_answer_comes_whole() {
    let scene = Scene::ready();
    let kept = scene.daemon.client(SITE);
    for number in 0..TIMES {
        let nonce = number.to_string();
        let fresh = scene.daemon.client(SITE);
        for client in [&kept, &fresh] {
            let (code, body) = ask(client, &sized(&nonce, number));
            assert_eq!(code, "200");
            assert_same(&body, &payload(&nonce, number));
        }
    }
}

#[test]
fn the_header_of_an_answer_of_any_size_comes_whole() {
    let scene = Scene::ready();
    let client = scene.daemon.client(SITE);
    for &size in SIZES {
        let nonce = size.to_string();
        let (code, body) = ask(&client, &sized(&nonce, size));
        assert_eq!(code, "200");
        assert_same(&body, &payload(&nonce, size));
    }
}

/// The site may write as it likes.
#[test]
fn a_header_that_comes_in_pieces_is_passed_on_whole() {
    let scene = Scene::ready();
    let client = scene.daemon.client(SITE);
    for &size in SIZES {
        for pieces in [vec![1; 20], vec![15, 1, 1], vec![3, 12]] {
            scene.fake.next(Fault::Split(pieces));
            let (code, body) = ask(&client, &sized("pieces", size));
            assert_eq!(code, "200");
            assert_same(&body, &payload("pieces", size));
        }
    }
    scene.fake.await_happened("split", 3 * SIZES.len());
}

#[test]
fn the_header_of_an_error_comes_whole() {
    let scene = Scene::dead();
    let client = scene.daemon.client(SITE);
    for _ in 0..TIMES {
        let (code, body) = ask(&client, "GET hosts\n");
        assert_eq!(code, "502");
        assert!(body.starts_with(b"Site muc is not reachable: "));
    }
}

#[test]
fn many_queries_in_one_write_are_read_one_by_one() {
    let scene = Scene::ready();
    let client = scene.daemon.client(SITE);
    let nonces: Vec<_> = (0..TIMES).map(|number| number.to_string()).collect();
    let queries = nonces.iter().map(|nonce| kept_and_framed(sized(nonce, 50)));
    client.send(queries.collect::<Vec<_>>().concat());
    for nonce in &nonces {
        // Of the next answer not all may be there yet, but never a part of its header alone.
        assert_same(&response(&client).1, &payload(nonce, 50));
    }
}

#[test]
fn the_headers_of_icinga2_come_whole() {
    let icinga2 = icinga2();
    let queries: [&str; 3] = [
        "GET hosts\nColumns: name state\n",
        "GET nothing\n",
        "GET services\nColumns: description long_plugin_output\n",
    ];
    let direct = icinga2.direct(Transport::Unix);
    let wanted = queries.map(|query| direct.ask(query.as_bytes()));
    assert!(wanted[2].body.len() > 2_000_000, "{:?}", wanted[2]);

    let daemon = in_front_of(&icinga2);
    let client = daemon.client(SITE);
    for _ in 0..3 {
        for (query, wanted) in queries.iter().zip(&wanted) {
            let (code, body) = ask(&client, query);
            assert_eq!(code, wanted.code.to_string(), "{query}");
            assert_same(&body, &wanted.body);
        }
    }
}
