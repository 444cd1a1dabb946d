//! Ports over TLS: what is shown there, what becomes of those who do not get through the handshake,
//! and that they harm nobody.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::pair::{BRISK, expect_answers, rewritten};
use crate::support::certificates::{Authority, Identity, usual};
use crate::support::chain::{free_port, pem_of};
use crate::support::client::kept_and_framed;
use crate::support::daemon::{Builder, Origin};
use crate::support::site::payload;
use crate::support::{Client, Daemon, FakeSite, eventually, site};

/// A daemon whose site `muc` is offered over TLS.
struct Offered {
    daemon: Daemon,
    fake: FakeSite,
    port: u16,
}

impl Offered {
    /// Certificate and key stand where OMD has them.
    fn start(pem: &str) -> Offered {
        Offered::with(|builder| {
            let name = pem_of(builder.root());
            builder.file(&name, pem)
        })
    }

    fn with(prepare: impl FnOnce(Builder) -> Builder) -> Offered {
        let (fake, port) = (FakeSite::start(), free_port());
        let tcp = format!("{BRISK}'tcp': {{'port': {port}, 'tls': True}}");
        let builder = Daemon::builder().config(&site("muc", &fake, &tcp));
        let daemon = prepare(builder).start();
        Offered { daemon, fake, port }
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    #[track_caller]
    fn client(&self) -> Client {
        Client::connect_tls(self.address()).unwrap()
    }

    fn raw(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        let patience = Some(Duration::from_secs(30));
        stream.set_read_timeout(patience).unwrap();
        stream
    }

    /// Replaces the file with certificate and key.
    fn write(&self, pem: &str) {
        let root = self.daemon.root();
        let name = root.file_name().unwrap().to_str().unwrap();
        let file = root.join(format!("etc/ssl/sites/{name}.pem"));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, pem).unwrap();
    }

    #[track_caller]
    fn expect_socket_works(&self) {
        expect_answers(&self.daemon.client("muc"));
    }

    fn told(&self, words: &str) -> usize {
        let lines = self.daemon.log();
        lines.iter().filter(|line| line.contains(words)).count()
    }
}

#[test]
fn a_port_over_tls_answers_as_the_socket_does() {
    let offered = Offered::start(&usual().1.both_pem());
    let kept = offered.client();
    assert_eq!(kept.certificate(), usual().1.der());
    for size in [0, 1, 16_384, 3_000_001] {
        let lines = format!("GET hosts\nTest-Nonce: n\nTest-Size: {size}");
        kept.ask(lines).expect(payload("n", size));
    }
    kept.expect_open();
    let many: String = (0..40_000)
        .map(|n| format!("Filter: name = h{n}\n"))
        .collect();
    kept.ask(format!("GET hosts\n{many}"))
        .expect(rewritten("GET hosts", &many));
    let bare = offered.client();
    bare.send("GET hosts\nTest-Nonce: n\nTest-Size: 3000000\n\n");
    assert_eq!(bare.read_to_end(), payload("n", 3_000_000));
    let shell = offered.client();
    shell.send("GET hosts\n");
    shell.half_close();
    assert_eq!(shell.read_to_end(), rewritten("GET hosts", ""));
    let two = offered.client();
    two.send([kept_and_framed("GET a"), kept_and_framed("GET b")].concat());
    two.read_response().expect(rewritten("GET a", ""));
    two.read_response().expect(rewritten("GET b", ""));
}

#[test]
fn a_client_that_reads_slowly_over_tls_gets_all_of_a_large_answer() {
    let offered = Offered::start(&usual().1.both_pem());
    let slow = offered.client();
    let size = 8_000_000;
    slow.send(format!("GET hosts\nTest-Nonce: n\nTest-Size: {size}\n\n"));
    // Until the daemon has done what it can, the sockets between them are full.
    eventually("the site has said it all", || {
        !offered.fake.requests().is_empty()
    });
    offered.expect_socket_works();
    assert_eq!(slow.read_to_end(), payload("n", size));
}

#[test]
fn without_a_certificate_the_socket_works_and_the_port_does_as_soon_as_there_is_one() {
    let offered = Offered::with(|builder| builder);
    let warnings = offered.daemon.lines_of(Origin::Stderr);
    let words = "'tcp' with 'tls' of site 'muc': cannot read ";
    let warning = warnings.iter().find(|line| line.contains(words));
    let warning = warning.unwrap_or_else(|| panic!("no warning in {warnings:?}"));
    assert!(
        warning.contains("No such file or directory; whoever connects"),
        "{warning}"
    );
    offered.expect_socket_works();
    assert!(Client::connect_tls(offered.address()).is_err());
    offered
        .daemon
        .wait_log("no TLS handshake with 127.0.0.1: cannot read ");
    offered.write(&usual().1.both_pem());
    eventually("the port works", || {
        Client::connect_tls(offered.address()).is_ok()
    });
    expect_answers(&offered.client());
}

#[test]
fn what_cannot_be_shown_is_said_at_the_start() {
    let (authority, identity) = usual();
    let stranger = authority.issue("stranger");
    for (pem, why) in [
        (
            [identity.pem.as_str(), &stranger.key_pem].concat(),
            "the key is that of another certificate",
        ),
        (identity.pem.clone(), "there is no key in it"),
        (identity.key_pem.clone(), "there is no certificate in it"),
        (identity.both_pem().replace("\nM", "\n*"), "it is damaged"),
    ] {
        let offered = Offered::start(&pem);
        assert_eq!(
            offered.told(why),
            2,
            "{why}: on standard error and in the log"
        );
        offered.expect_socket_works();
        assert!(Client::connect_tls(offered.address()).is_err(), "{why}");
    }
}

#[test]
fn a_renewed_certificate_is_shown_to_new_clients_and_old_ones_stay() {
    let (old, new) = (usual().1.both_pem(), Authority::new("next").issue("site"));
    let offered = Offered::start(&old);
    let kept = offered.client();
    expect_answers(&kept);
    // Half-way replaced: nothing changes.
    offered.write(&new.pem);
    let words = "TLS ports go on with the certificate that they have";
    eventually("it is told", || {
        expect_answers(&offered.client());
        offered.told(words) > 0
    });
    assert_eq!(offered.client().certificate(), usual().1.der());
    offered.write(&new.both_pem());
    eventually("the new one is shown", || {
        offered.client().certificate() == new.der()
    });
    assert_eq!(offered.told(words), 1);
    expect_answers(&kept);
    expect_answers(&offered.client());
}

#[test]
fn certificate_and_key_may_stand_in_files_of_their_own() {
    let own = Identity::self_signed("own", 2020..2090);
    let offered = Offered::with(|builder| {
        let builder = builder
            .file("own.crt", &own.pem)
            .file("own.key", &own.key_pem);
        let file = |name| builder.root().file(name).display().to_string();
        let certificate = format!("--tls-certificate={}", file("own.crt"));
        let key = format!("--tls-key={}", file("own.key"));
        builder.arg(&certificate).arg(&key)
    });
    assert_eq!(offered.client().certificate(), own.der());
    expect_answers(&offered.client());
}

#[test]
fn those_who_speak_no_tls_are_closed_and_told_of_once_a_while() {
    let offered = Offered::start(&usual().1.both_pem());
    for _ in 0..10 {
        let mut plain = offered.raw();
        plain.write_all(b"GET hosts\n\n").unwrap();
        let mut bytes = Vec::new();
        // It may be a reset, for there may be bytes that nobody has read.
        let _ = plain.read_to_end(&mut bytes);
        assert_eq!(bytes, b"", "an answer in plain text");
    }
    let words = "no TLS handshake with 127.0.0.1: it says \"GET hosts\", which is not TLS";
    offered.daemon.wait_log(words);
    assert_eq!(offered.told("no TLS handshake with"), 1);
    assert_eq!(offered.fake.requests().len(), 0);
    expect_answers(&offered.client());
}

#[test]
fn a_handshake_that_is_not_done_in_time_is_given_up_and_holds_up_nobody() {
    let offered = Offered::start(&usual().1.both_pem());
    let begun = Instant::now();
    let mut silent = offered.raw();
    let mut halting = offered.raw();
    // The beginning of a record that never ends.
    halting.write_all(&[0x16, 3, 1, 2, 0, 1]).unwrap();
    for _ in 0..20 {
        expect_answers(&offered.client());
        offered.expect_socket_works();
    }
    for stream in [&mut silent, &mut halting] {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        assert_eq!(bytes, b"");
    }
    assert!(begun.elapsed() >= Duration::from_secs(10), "too early");
    offered
        .daemon
        .wait_log("no TLS handshake with 127.0.0.1: not done within 10 s");
}

#[test]
fn who_begins_handshakes_without_end_keeps_only_that_port_waiting() {
    let offered = Offered::start(&usual().1.both_pem());
    let kept = offered.client();
    expect_answers(&kept);
    let crowd: Vec<TcpStream> = (0..100).map(|_| offered.raw()).collect();
    offered
        .daemon
        .wait_log("no client can connect: as many handshakes as can be are under way");
    expect_answers(&kept);
    offered.expect_socket_works();
    drop(crowd);
    offered.daemon.wait_log("clients can connect again");
    expect_answers(&offered.client());
}

#[test]
fn a_port_that_is_full_again_and_again_is_told_of_once_a_while() {
    /// As many as may be under way at a port.
    const HANDSHAKES: usize = 64;
    let offered = Offered::start(&usual().1.both_pem());
    offered.fake.await_ready(10);
    let before = offered.daemon.descriptors();
    for _ in 0..5 {
        let crowd: Vec<TcpStream> = (0..80).map(|_| offered.raw()).collect();
        eventually("all of them are under way", || {
            offered.daemon.descriptors() >= before + HANDSHAKES
        });
        drop(crowd);
        // Lets nobody in before there is room again.
        expect_answers(&offered.client());
    }
    offered.daemon.wait_log("no client can connect");
    assert_eq!(offered.told("no client can connect"), 1);
    assert!(offered.told("clients can connect again") <= 1);
}
