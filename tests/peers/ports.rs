//! A site's TCP port as a program that is not ours finds it: openssl's client.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use crate::support::certificates::usual;
use crate::support::chain::{free_port, pem_of};
use crate::support::{Daemon, FakeSite, site};

/// A daemon whose site `muc` is offered over TLS on a port.
fn offered(fake: &FakeSite) -> (Daemon, u16) {
    let port = free_port();
    let tcp = format!("'tcp': {{'port': {port}, 'tls': True}}");
    let builder = Daemon::builder().config(&site("muc", fake, &tcp));
    let name = pem_of(builder.root());
    let builder = builder.file(&name, &usual().1.both_pem());
    let builder = builder.file("ca.crt", &usual().0.pem);
    (builder.start(), port)
}

/// Ended by its process id, however the test ends.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// openssl's client, which checks the chain, with these options.
fn s_client(daemon: &Daemon, port: u16, options: &[&str]) -> Program {
    let ca = daemon.root().join("ca.crt");
    let child = Command::new("openssl")
        .args(["s_client", "-quiet", "-verify_return_error", "-CAfile"])
        .arg(ca)
        .args(["-connect", &format!("127.0.0.1:{port}")])
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Program(child)
}

#[test]
fn openssl_s_client_is_answered_in_both_versions() {
    let fake = FakeSite::start();
    let (daemon, port) = offered(&fake);
    for version in ["-tls1_3", "-tls1_2"] {
        let mut client = s_client(&daemon, port, &[version]);
        // Its input stays open: the answer ends by the daemon's announced end.
        let mut input = client.0.stdin.take().unwrap();
        input
            .write_all(b"GET hosts\nTest-Nonce: n\nTest-Size: 100000\n\n")
            .unwrap();
        let mut answer = Vec::new();
        let mut output = client.0.stdout.take().unwrap();
        output.read_to_end(&mut answer).unwrap();
        assert_eq!(
            answer,
            crate::support::site::payload("n", 100_000),
            "{version}"
        );
        drop(input);
    }
}

#[test]
fn openssl_s_client_with_an_old_version_is_turned_away_and_told_of() {
    let fake = FakeSite::start();
    let (daemon, port) = offered(&fake);
    let mut client = s_client(&daemon, port, &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]);
    let mut answer = Vec::new();
    client
        .0
        .stdout
        .take()
        .unwrap()
        .read_to_end(&mut answer)
        .unwrap();
    assert_eq!(answer, b"");
    let line = daemon.wait_log("no TLS handshake with 127.0.0.1: ");
    assert!(
        line.contains("offers no version of TLS from 1.2 on"),
        "{line}"
    );
    assert_eq!(fake.requests().len(), 0);
}
