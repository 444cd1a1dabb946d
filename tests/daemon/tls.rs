//! What goes wrong with TLS besides certificates: sites that speak something else, and ends that
//! come too early.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use crate::pair::{BRISK, Pair, rewritten};
use crate::support::certificates::usual;
use crate::support::site::payload;
use crate::support::{Daemon, FakeSite, Fault, Place, Spec, site};

/// Somebody who treats each connection in the same way once its first bytes are there.
fn peer(treat: impl Fn(&mut TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    // It ends with the test's process.
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            treat(&mut stream);
            open.push(stream);
        }
    });
    address
}

/// A daemon that expects TLS at the address.
fn expecting_tls(address: SocketAddr) -> Daemon {
    let spec = Spec::encrypted(address, "'verify': False");
    Daemon::start(&site("muc", spec, &format!("{BRISK}'channel_timeout': 20")))
}

#[track_caller]
fn expect_unreachable(daemon: &Daemon, why: &str) {
    let answer = daemon.client("muc").ask("GET hosts");
    answer.expect_error(502, &format!("Site muc is not reachable: {why}"));
}

#[test]
fn a_site_that_speaks_plain_text_where_tls_is_expected_is_told_as_such() {
    let address = peer(|stream| {
        let _ = stream.write_all(b"Invalid request method\n");
    });
    let daemon = expecting_tls(address);
    expect_unreachable(
        &daemon,
        "it answers a TLS handshake with \"Invalid request method\"; if it speaks Livestatus \
         there without TLS, 'tls' must be ('plain_text', {})",
    );
}

#[test]
fn a_site_that_waits_for_more_where_tls_is_expected_is_told_as_such() {
    let daemon = expecting_tls(peer(|_| {}));
    expect_unreachable(
        &daemon,
        "it accepts connections and does not answer a TLS handshake",
    );
}

#[test]
fn a_site_that_hangs_up_on_the_handshake_is_told_as_such() {
    let address = peer(|stream| stream.shutdown(std::net::Shutdown::Both).unwrap());
    expect_unreachable(
        &expecting_tls(address),
        "it closes the connection during the TLS handshake",
    );
}

#[test]
fn a_site_that_knows_only_old_versions_is_told_as_such() {
    let address = peer(|stream| {
        // A fatal alert: protocol_version.
        let _ = stream.write_all(&[0x15, 3, 1, 0, 2, 2, 70]);
    });
    expect_unreachable(
        &expecting_tls(address),
        "TLS: the site offers no version of TLS from 1.2 on",
    );
}

#[test]
fn a_damaged_handshake_is_an_end_of_that_channel_only() {
    for bytes in [
        &[0x16, 3, 3, 0, 4, 2, 0, 0, 0][..],
        &[0x16, 3, 3, 0xff, 0xff],
        &[0x17, 3, 3, 0, 1, 0],
    ] {
        let address = peer(move |stream| {
            let _ = stream.write_all(bytes);
        });
        expect_unreachable(&expecting_tls(address), "TLS: ");
    }
}

#[test]
fn a_site_that_speaks_tls_where_plain_text_is_expected_is_told_as_such() {
    let (authority, identity) = usual();
    let fake = FakeSite::start_tls(identity.server(), &authority.pem);
    let daemon = Daemon::start(&site("muc", Spec::from(fake.tcp()), BRISK));
    expect_unreachable(
        &daemon,
        "it speaks TLS on this port: 'tls' must be ('encrypted', {'verify': True})",
    );
}

/// A pair with TLS between the two.
fn pair(keys: &str) -> Pair {
    let (authority, identity) = usual();
    let fake = FakeSite::start_tls(identity.server(), &authority.pem);
    Pair::with(fake, "", keys)
}

#[test]
fn an_announced_end_inside_a_response_does_not_make_it_whole() {
    let pair = pair("");
    // The other channels stay: with all of them the site would be dead.
    pair.site.await_ready(10);
    pair.site.next(Fault::Stall(Place::InBody(9)));
    let client = pair.client();
    client.send(crate::support::client::kept_and_framed("GET hosts"));
    pair.site.await_stalled(1);
    assert!(pair.site.close_busy());
    client.read_response().expect(rewritten("GET hosts", ""));
    let asked = rewritten("GET hosts", "");
    let times = pair.site.requests().iter().filter(|r| **r == asked).count();
    assert_eq!(times, 2, "asked again");
}

#[test]
fn a_large_response_comes_whole_in_whatever_pieces() {
    let pair = pair("");
    let size = 3_000_001;
    let lines = format!("GET hosts\nTest-Nonce: n\nTest-Size: {size}");
    for fault in [
        Fault::Nothing,
        Fault::Split((1..200).map(|n| n * 37).collect()),
    ] {
        pair.site.next(fault);
        pair.ask(&lines).expect(payload("n", size));
    }
}

#[test]
fn a_request_of_many_records_reaches_the_site_whole() {
    let pair = pair("");
    let lines: String = (0..40_000)
        .map(|n| format!("Filter: name = host{n}\n"))
        .collect();
    pair.ask(format!("GET hosts\n{lines}"))
        .expect(rewritten("GET hosts", &lines));
}

/// Records that are no data and need no answer: the loop must not read them for ever.
#[test]
fn a_site_that_floods_the_handshake_keeps_nobody_else_waiting() {
    /// A change of cipher, which TLS 1.3 has nodes send for nothing.
    const USELESS: [u8; 6] = [0x14, 3, 3, 0, 1, 1];
    let flood = peer(|stream| {
        let bytes = USELESS.repeat(50_000);
        while stream.write_all(&bytes).is_ok() {}
    });
    let well = FakeSite::start();
    let sites = [
        site("flood", Spec::encrypted(flood, "'verify': False"), BRISK),
        site("muc", &well, BRISK),
    ];
    let daemon = Daemon::start(&sites.concat());
    let line = daemon.wait_log("site flood: dead: ");
    assert!(line.contains("TLS: "), "{line}");
    let client = daemon.client("muc");
    for _ in 0..20 {
        client.ask("GET hosts").expect(rewritten("GET hosts", ""));
    }
}
