//! The monitoring plugin.

use crate::fake::{Fake, Run, command};
use crate::support::Root;
use crate::tables::{four_sites, site, status, with};
use serde_json::json;

/// Exit code and output; nothing may stand on standard error, where no core looks.
#[track_caller]
fn check(fake: &Fake, arguments: &[&str]) -> (i32, String) {
    let all: Vec<&str> = [&["check"], arguments].concat();
    let run = fake.run(&all);
    assert_eq!(run.err, "", "{run:?}");
    (run.code, run.out)
}

#[test]
fn all_is_well() {
    let fake = Fake::start(vec![site("ber"), site("muc")]);
    let wanted = "LIVEPROXY OK - 2 sites, 20 channels open|sites=2;;;0 dead=0;0;1;0;2 waiting=0;;;0 \
                  busy=0%;;;0;100 clients=0;;;0 queries=0c;;;0 response_memory=1572864B;;;0;134217728\n";
    assert_eq!(check(&fake, &[]), (0, wanted.into()));
}

#[test]
fn sick_sites_have_a_line_each() {
    let fake = Fake::start(four_sites());
    let wanted = "\
LIVEPROXY WARNING - 1 of 4 sites not reachable (ber); 1 busy, refusing clients (par); 1 disabled (ham)|\
sites=4;;;0 dead=1;0;2;0;4 waiting=35;;;0 busy=100%;;;0;100 clients=46;;;0 queries=12750c;;;0 \
response_memory=1572864B;;;0;134217728
ber: dead for 1 min 23 s: Connection refused
par: busy for 3 s: All 5 channels busy; answers on no more than 5 channels
ham: disabled for 5 min: planned work
";
    assert_eq!(check(&fake, &[]), (1, wanted.into()));
}

#[test]
fn given_limits_decide() {
    let fake = Fake::start(four_sites());
    for (arguments, code, words) in [
        (
            &["-c", "dead=0"][..],
            2,
            "CRITICAL - 1 of 4 sites not reachable (ber)",
        ),
        (&["-c", "dead=25%"], 1, "dead=1;;1;0;4"),
        (&["-c", "dead=24%"], 2, "dead=1;;0.96;0;4"),
        (
            &["-w", "waiting=10", "-c", "waiting=30"],
            2,
            "CRITICAL - 35 queries waiting for a channel; ",
        ),
        (
            &["-w", "waiting=10", "-c", "waiting=50"],
            1,
            "waiting=35;10;50;0",
        ),
        (
            &["-w", "busy=80", "-c", "busy=90%"],
            2,
            "up to 100 % of a site's channels at work",
        ),
    ] {
        let (found, out) = check(&fake, arguments);
        assert!(
            found == code && out.contains(words),
            "{arguments:?}: {found} {out}"
        );
    }
    // 2 would be CRITICAL.
    for (arguments, words) in [
        (&["-w", "speed=1"][..], "'speed=1' is no limit like"),
        (&["--speed"], "UNKNOWN - check: "),
    ] {
        let (code, out) = check(&fake, arguments);
        assert!(code == 3 && out.contains(words), "{code} {out}");
    }
}

#[test]
fn half_of_the_sites_dead_is_critical() {
    let dead = |name| with(site(name), [("state", json!("dead"))]);
    let fake = Fake::start(vec![dead("ber"), site("muc")]);
    assert_eq!(check(&fake, &[]).0, 1);
    let fake = Fake::start(vec![dead("ber"), dead("ham"), site("muc")]);
    assert_eq!(check(&fake, &[]).0, 2);
    // A site that cannot be used counts like one that does not answer.
    let refused = with(site("xxx"), [("state", json!("refused"))]);
    let fake = Fake::start(vec![refused]);
    assert_eq!(check(&fake, &[]).0, 2);
}

#[test]
fn a_wrong_configuration_is_a_warning_and_no_text_breaks_the_performance_data() {
    let fake = Fake::start(vec![with(site("muc"), [("reason", json!("a|b=1\nc"))])]);
    fake.change(|state| {
        let row = with(
            status(),
            [("config_error", json!("x.mk:1:1: '|' is no value"))],
        );
        state.tables.insert("status", vec![row]);
    });
    let (code, out) = check(&fake, &["-w", "busy=0:100", "-w", "waiting=~:-1"]);
    assert_eq!(code, 1);
    assert!(
        out.starts_with("LIVEPROXY WARNING - the configuration is wrong; "),
        "{out}"
    );
    assert!(
        out.contains("\nconfiguration: x.mk:1:1: '/' is no value\n"),
        "{out}"
    );
    assert!(out.contains("\nmuc: ready for 5 min: a/b=1 c\n"), "{out}");
    assert_eq!(out.matches('|').count(), 1, "{out}");
}

#[test]
fn a_daemon_that_does_not_run_or_answer_is_critical() {
    let root = Root::new();
    let run = Run::of(command(&root, &["check"]).output().unwrap());
    assert_eq!((run.code, run.err.as_str()), (2, ""));
    let words = "LIVEPROXY CRITICAL - liveproxyd does not run: there is no ";
    assert!(run.out.starts_with(words), "{run:?}");
    let fake = Fake::start(four_sites());
    fake.change(|state| state.is_mute = true);
    let (code, out) = check(&fake, &[]);
    assert_eq!(code, 2);
    assert!(out.contains("runs but did not answer"), "{out}");
}

#[test]
fn a_daemon_that_cannot_be_understood_is_unknown() {
    let fake = Fake::start(four_sites());
    fake.change(|state| {
        state.tables.remove("sites");
    });
    let (code, out) = check(&fake, &[]);
    assert_eq!(code, 3);
    assert!(
        out.starts_with("LIVEPROXY UNKNOWN - liveproxyd refused the question"),
        "{out}"
    );
}

#[test]
fn a_local_check_has_a_line_for_the_daemon_and_one_for_each_site() {
    let fake = Fake::start(four_sites());
    let wanted = r#"1 "Livestatus proxy" sites=4|dead=1;0;2;0;4|waiting=35;;;0|response_memory=1572864;;;0;134217728 liveproxyd 0.1.0, 4 sites; 1 not reachable
2 "Livestatus proxy ber" channels=0;;;0;10|channels_busy=0;;;0;10|busy=0;;;0;100|waiting=0;;;0|clients=0;;;0|response_time=0.000;;;0 dead for 1 min 23 s: Connection refused
0 "Livestatus proxy ham" channels=0;;;0;10|channels_busy=0;;;0;10|busy=0;;;0;100|waiting=0;;;0|clients=0;;;0|response_time=0.000;;;0 disabled for 5 min: planned work, 0 of 0 channels at work
0 "Livestatus proxy muc" channels=10;;;0;10|channels_busy=4;;;0;10|busy=40;;;0;100|waiting=0;;;0|clients=6;;;0|response_time=0.042;;;0 ready for 5 min, 4 of 10 channels at work
1 "Livestatus proxy par" channels=5;;;0;10|channels_busy=5;;;0;10|busy=100;;;0;100|waiting=35;;;0|clients=40;;;0|response_time=0.000;;;0 busy for 3 s: All 5 channels busy; answers on no more than 5 channels, 5 of 5 channels at work
"#;
    assert_eq!(check(&fake, &["--local"]), (0, wanted.into()));
}

#[test]
fn limits_hold_for_each_site_in_a_local_check() {
    let fake = Fake::start(four_sites());
    let limits = [
        "--local",
        "-w",
        "busy=30",
        "-c",
        "waiting=30",
        "--service",
        "Proxy x",
    ];
    let (_, out) = check(&fake, &limits);
    assert!(out.contains("\n2 \"Proxy x ber\" "), "{out}");
    let levels: Vec<&str> = out.lines().map(|line| &line[..1]).collect();
    assert_eq!(levels, ["0", "2", "0", "1", "2"], "{out}");
    assert!(out.contains("|busy=40;30;;0;100|waiting=0;;30;0|"), "{out}");
}

#[test]
fn a_local_check_without_a_daemon_is_one_critical_line() {
    let root = Root::new();
    let run = Run::of(command(&root, &["check", "--local"]).output().unwrap());
    let out = run.well();
    assert!(
        out.starts_with("2 \"Livestatus proxy\" - liveproxyd does not run: "),
        "{out}"
    );
    assert_eq!(out.lines().count(), 1);
}
