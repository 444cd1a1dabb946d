//! TLS as sites have it: stunnel4 in front of icinga2's UNIX socket, with
//! certificates made for the test. And openssl's own server, for what a program
//! that is not ours says when something does not fit.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::icinga2_site::{Transport, channels, icinga2, read_response, whole};
use crate::support::certificates::{Authority, Identity};
use crate::support::client::kept_and_framed;
use crate::support::{Daemon, Spec, eventually, site};

/// The port is free when it is chosen, but somebody else may be faster.
const START_ATTEMPTS: usize = 3;

/// A server of TLS, ended by its process id.
struct Server {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts what `command` makes for a port and a folder with `site.pem`
    /// (certificate and key) and `ca.crt` in it.
    fn start(
        identity: &Identity,
        trusted: &str,
        command: impl Fn(u16, &Path) -> Command,
    ) -> Server {
        for _ in 0..START_ATTEMPTS {
            let folder = tempfile::Builder::new().prefix("lptls").tempdir().unwrap();
            let both = [identity.pem.as_str(), &identity.key_pem].concat();
            std::fs::write(folder.path().join("site.pem"), both).unwrap();
            std::fs::write(folder.path().join("ca.crt"), trusted).unwrap();
            let any = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let address = any.local_addr().unwrap();
            drop(any);
            let child = command(address.port(), folder.path())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let mut server = Server {
                child,
                address,
                folder,
            };
            let mut ended = false;
            eventually("the server listens", || {
                ended = server.child.try_wait().unwrap().is_some();
                ended || TcpStream::connect(address).is_ok()
            });
            if !ended {
                return server;
            }
        }
        panic!("the server ends at its start");
    }

    /// stunnel4 in front of a UNIX socket.
    fn stunnel(identity: &Identity, trusted: &str, behind: &Path) -> Server {
        Server::start(identity, trusted, |port, folder| {
            let config = format!(
                "foreground = yes\npid =\n[live]\naccept = 127.0.0.1:{port}\nconnect = {}\ncert = {}\n",
                behind.display(),
                folder.join("site.pem").display()
            );
            let file = folder.join("stunnel.conf");
            std::fs::write(&file, config).unwrap();
            let mut command = Command::new("stunnel4");
            command.arg(file);
            command
        })
    }

    /// openssl's own server, which speaks HTTP where it gets so far.
    fn openssl(identity: &Identity, trusted: &str, options: &[&str]) -> Server {
        Server::start(identity, trusted, |port, folder| {
            let mut command = Command::new("openssl");
            command
                .current_dir(folder)
                .args(["s_server", "-quiet", "-www", "-cert", "site.pem", "-key"])
                .args(["site.pem", "-accept", &format!("127.0.0.1:{port}")])
                .args(options);
            command
        })
    }

    fn spec(&self) -> Spec {
        let file = self.folder.path().join("ca.crt");
        let parameters = format!("'ca_file_path': '{}'", file.display());
        Spec::encrypted(self.address, &parameters)
    }
}

fn daemon(spec: Spec, keys: &str) -> Daemon {
    let keys = format!("'channel_timeout': 15.0, 'connect_retry': 0.1, {keys}");
    Daemon::start(&site("muc", spec, &keys))
}

#[track_caller]
fn expect_refusal(spec: Spec, code: u16, words: &str) {
    let answer = daemon(spec, "").client("muc").ask("GET hosts");
    answer.expect_error(code, words);
}

const QUERIES: [&str; 3] = [
    "GET hosts\nColumns: name state\n",
    "GET services\nColumns: description host_name plugin_output\nOutputFormat: json\n",
    "GET nonsense\n",
];

#[test]
fn icinga2_behind_stunnel_responds_as_without() {
    let authority = Authority::new("authority");
    let identity = authority.issue("site");
    let icinga2 = icinga2();
    let tunnel = Server::stunnel(&identity, &authority.pem, &icinga2.file("live"));
    let daemon = daemon(tunnel.spec(), &format!("'channels': {}", channels()));
    let direct = icinga2.direct(Transport::Unix);
    let client = daemon.client("muc");
    for query in QUERIES {
        client.send(kept_and_framed(query));
        let found = whole(&read_response(&client));
        assert_eq!(found, whole(&direct.ask(query.as_bytes())), "{query}");
    }
    // All columns of all services: about 18 megabytes, in a thousand records.
    client.send(kept_and_framed("GET services\n"));
    let large = read_response(&client);
    assert_eq!(large.code, 200);
    assert!(large.body.len() > 10_000_000, "{}", large.body.len());
}

#[test]
fn a_command_goes_through_stunnel() {
    let own = Identity::self_signed("site", 2020..2090);
    let icinga2 = icinga2();
    let tunnel = Server::stunnel(&own, &own.pem, &icinga2.file("live"));
    let daemon = daemon(tunnel.spec(), "'channels': 1");
    let client = daemon.client("muc");
    let query = "GET hosts\nColumns: notifications_enabled\nFilter: name = host7\n";
    for (command, state) in [("DISABLE", "0\n"), ("ENABLE", "1\n")] {
        let line = format!("{command}_HOST_NOTIFICATIONS;host7");
        client.send(format!("{}\n\n", crate::icinga2_site::command(&line)));
        client.send(kept_and_framed(query));
        assert_eq!(read_response(&client).text(), state);
    }
}

#[test]
fn a_core_that_stunnel_does_not_find_is_told_from_a_bad_handshake() {
    let authority = Authority::new("authority");
    let nowhere = Path::new("/nonexistent/live");
    let tunnel = Server::stunnel(&authority.issue("site"), &authority.pem, nowhere);
    let answer = daemon(tunnel.spec(), "").client("muc").ask("GET hosts");
    answer.expect_error(502, "Site muc is not reachable: ");
    // It resets the connection. What matters is that nobody is sent to look at TLS.
    assert!(!answer.text().contains("TLS"), "{answer:?}");
}

#[test]
fn stunnel_and_openssl_asked_without_tls_hang_up_without_a_word() {
    let authority = Authority::new("authority");
    let identity = authority.issue("site");
    let words = "closed by the site without an answer; if it expects TLS on this port";
    let server = Server::openssl(&identity, "", &[]);
    expect_refusal(Spec::from(server.address), 502, words);
    let tunnel = Server::stunnel(&identity, "", Path::new("/nonexistent/live"));
    expect_refusal(Spec::from(tunnel.address), 502, words);
}

#[test]
fn certificates_are_judged_as_openssl_shows_them() {
    let authority = Authority::new("authority");
    let stranger = Authority::new("stranger");
    let unknown = "Site muc: certificate not trusted: unable to get local issuer certificate";
    for (identity, words) in [
        (stranger.issue("site"), unknown),
        (authority.issue_expired("site"), "certificate has expired"),
    ] {
        let server = Server::openssl(&identity, &authority.pem, &[]);
        expect_refusal(server.spec(), 495, words);
    }
}

#[test]
fn versions_and_wishes_that_do_not_fit_are_told() {
    let authority = Authority::new("authority");
    let identity = authority.issue("site");
    let old = ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"];
    let weak = ["-tls1_2", "-cipher", "AES128-SHA"];
    let wants = ["-Verify", "1", "-verify_return_error"];
    for (options, words) in [
        (
            &old[..],
            "TLS: the site offers no version of TLS from 1.2 on",
        ),
        (
            &weak[..],
            "TLS: the site accepts none of our ways of encrypting",
        ),
        (
            &wants[..],
            "TLS: the site wants a certificate from us, and we have none",
        ),
    ] {
        let server = Server::openssl(&identity, &authority.pem, options);
        expect_refusal(server.spec(), 502, words);
    }
}
