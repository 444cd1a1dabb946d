//! Whose certificate is trusted, and what becomes of those whose is not.

use std::time::Duration;

use crate::pair::{BRISK, rewritten};
use crate::support::certificates::{Authority, Identity, usual};
use crate::support::{Daemon, FakeSite, Spec, eventually, site};

const UNKNOWN: &str = "unable to get local issuer certificate";
const QUERY: &str = "GET hosts";

fn daemon(fake: &FakeSite) -> Daemon {
    Daemon::start(&site("muc", fake, BRISK))
}

#[track_caller]
fn expect_served(daemon: &Daemon) {
    let mut answer = None;
    eventually("the site is served", || {
        let response = daemon.client("muc").ask(QUERY);
        let served = response.code == 200;
        answer = Some(response);
        served
    });
    answer.unwrap().expect(rewritten(QUERY, ""));
}

#[track_caller]
fn expect_untrusted(daemon: &Daemon, why: &str) {
    let answer = daemon.client("muc").ask(QUERY);
    let text = format!("Site muc: certificate not trusted: {why}\n");
    assert_eq!((answer.code, answer.text()), (495, text));
}

#[test]
fn a_chain_is_trusted_whatever_the_name_in_the_certificate_in_both_versions() {
    let (authority, identity) = usual();
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let fake = FakeSite::start_tls(identity.server_with(&[version]), &authority.pem);
        expect_served(&daemon(&fake));
    }
}

#[test]
fn a_certificate_of_an_unknown_authority_is_refused_with_495_and_the_file_is_told() {
    let stranger = Authority::new("stranger");
    let fake = FakeSite::start_tls(stranger.issue("site").server(), &usual().0.pem);
    let daemon = daemon(&fake);
    let line = daemon.wait_log("site muc: dead");
    let file = fake.ca_file();
    assert!(line.contains(UNKNOWN), "{line}");
    assert!(line.contains(file.to_str().unwrap()), "{line}");
    expect_untrusted(&daemon, UNKNOWN);

    let client = daemon.client("muc");
    client.send("GET hosts\n\n");
    let text = format!("495: Site muc: certificate not trusted: {UNKNOWN}\n");
    assert_eq!(String::from_utf8_lossy(&client.read_to_end()), text);
    assert_eq!(fake.heartbeats(), 0, "nothing is said to a stranger");
}

#[test]
fn an_expired_certificate_is_refused() {
    let (authority, _) = usual();
    let expired = authority.issue_expired("site");
    let fake = FakeSite::start_tls(expired.server(), &authority.pem);
    expect_untrusted(&daemon(&fake), "certificate has expired");
}

#[test]
fn a_self_signed_certificate_is_trusted_if_it_stands_in_the_file_itself() {
    let own = Identity::self_signed("site", 2020..2090);
    let among = [&usual().0.pem, own.pem.as_str()].concat();
    expect_served(&daemon(&FakeSite::start_tls(own.server(), &among)));

    let other = Identity::self_signed("site", 2020..2090);
    let fake = FakeSite::start_tls(own.server(), &other.pem);
    let why = "self-signed certificate, or one of an authority, that is not trusted itself";
    expect_untrusted(&daemon(&fake), why);
}

#[test]
fn a_self_signed_certificate_in_the_file_is_not_trusted_beyond_its_time() {
    for (years, why) in [
        (2010..2020, "certificate has expired"),
        (2080..2090, "certificate is not yet valid"),
    ] {
        let own = Identity::self_signed("site", years);
        let fake = FakeSite::start_tls(own.server(), &own.pem);
        expect_untrusted(&daemon(&fake), why);
    }
}

#[test]
fn without_verification_every_certificate_will_do() {
    let expired = Authority::new("stranger").issue_expired("site");
    let fake = FakeSite::start_tls(expired.server(), "");
    let spec = Spec::encrypted(fake.tcp(), "'verify': False");
    expect_served(&Daemon::start(&site("muc", spec, BRISK)));
}

#[test]
fn the_usual_file_is_that_of_the_omd_site_or_the_one_of_the_command_line() {
    let (authority, identity) = usual();
    let fake = FakeSite::start_tls(identity.server(), "");
    let config = site("muc", Spec::encrypted(fake.tcp(), "'verify': True"), BRISK);
    let usual_place = "var/ssl/ca-certificates.crt";
    let builder = Daemon::builder().config(&config);
    expect_served(&builder.file(usual_place, &authority.pem).start());

    let builder = Daemon::builder()
        .config(&config)
        .file("own.crt", &authority.pem);
    let own = builder.root().file("own.crt");
    let option = format!("--ca-file={}", own.display());
    expect_served(&builder.arg(&option).start());
}

#[test]
fn a_file_that_is_missing_at_the_start_is_used_when_it_is_there() {
    let (authority, identity) = usual();
    let fake = FakeSite::start_tls(identity.server(), &authority.pem);
    let file = fake.ca_file();
    std::fs::remove_file(&file).unwrap();
    let daemon = daemon(&fake);
    let why = format!("cannot read {}: No such file or directory", file.display());
    expect_untrusted(&daemon, &why);
    std::fs::write(&file, &authority.pem).unwrap();
    expect_served(&daemon);
}

#[test]
fn new_content_of_the_file_is_used_for_new_channels_and_old_ones_stay() {
    let (authority, identity) = usual();
    let fake = FakeSite::start_tls(identity.server(), &authority.pem);
    let daemon = Daemon::start(&site("muc", &fake, &format!("{BRISK}'channels': 2")));
    fake.await_ready(2);

    // Trusts somebody else from now on.
    std::fs::write(fake.ca_file(), Authority::new("stranger").pem).unwrap();
    expect_served(&daemon);
    assert_eq!(fake.accepted(), 2, "the channels stay");
    // The file is not looked at again at once, so it may take several channels.
    eventually("the site is not trusted any more", || {
        fake.close_all();
        daemon.client("muc").ask(QUERY).code == 495
    });
    std::fs::write(fake.ca_file(), &authority.pem).unwrap();
    expect_served(&daemon);
}

#[test]
fn a_broken_file_changes_nothing_and_is_told_once() {
    let (authority, identity) = usual();
    let fake = FakeSite::start_tls(identity.server(), &authority.pem);
    let daemon = daemon(&fake);
    expect_served(&daemon);
    let broken = [
        (
            "nothing of use\n".to_string(),
            "there is no certificate in it",
        ),
        (authority.pem.replace("\nM", "\n*"), "it is damaged"),
    ];
    for (content, why) in broken {
        std::fs::write(fake.ca_file(), content).unwrap();
        eventually("it is told", || {
            fake.close_idle();
            daemon.log().iter().any(|line| line.contains(why))
        });
        expect_served(&daemon);
        // Long enough for the file to be looked at once more.
        let mark = std::time::Instant::now();
        eventually("the file had to be looked at again", || {
            fake.close_idle();
            mark.elapsed() > Duration::from_millis(2500)
        });
        expect_served(&daemon);
        let told = daemon.log();
        let told = told.iter().filter(|line| line.contains(why)).count();
        assert_eq!(told, 1, "{why}");
    }
    let dead = daemon
        .log()
        .iter()
        .any(|line| line.contains("site muc: dead: certificate"));
    assert!(!dead);
}

#[test]
fn what_is_no_file_of_certificates_is_told_and_keeps_nobody_waiting() {
    let (authority, identity) = usual();
    let well = FakeSite::start();
    let fake = FakeSite::start_tls(identity.server(), &authority.pem);
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    // A pipe into which nobody writes, and a file without an end.
    for path in [pipe.to_str().unwrap(), "/dev/zero"] {
        let spec = Spec::encrypted(fake.tcp(), &format!("'ca_file_path': '{path}'"));
        let config = site("ber", &well, BRISK) + &site("muc", spec, BRISK);
        let daemon = Daemon::start(&config);
        expect_untrusted(&daemon, &format!("cannot read {path}: not a regular file"));
        let other = daemon.client("ber").ask(QUERY);
        other.expect(rewritten(QUERY, ""));
    }
    // One that is put in the place of a good file changes nothing.
    let file = fake.ca_file();
    let daemon = daemon(&fake);
    expect_served(&daemon);
    std::fs::rename(&pipe, &file).unwrap();
    eventually("it is looked at", || {
        fake.close_all();
        let log = daemon.log();
        log.iter().any(|line| line.contains("not a regular file"))
    });
    expect_served(&daemon);
}
