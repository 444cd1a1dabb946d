//! Orders over the control socket: what they do, to whom, and what is said of them.

use serde_json::json;

use crate::pair::{BRISK, Pair, expect_held, rewritten};
use crate::support::client::kept_and_framed;
use crate::support::site::Identity;
use crate::support::{Client, Daemon, FakeSite, eventually, site};

#[test]
fn a_disabled_site_finishes_what_runs_and_tells_the_others_why() {
    let pair = Pair::start("'channels': 1, 'channel_timeout': 60.0");
    pair.site.await_ready(1);
    let console = pair.daemon.console();
    let running = pair.holder();
    pair.site.await_stalled(1);
    let waiting = [pair.client(), pair.client()];
    waiting[0].send(kept_and_framed("GET hosts"));
    waiting[1].send(kept_and_framed(
        "GET hosts\nWaitTrigger: all\nWaitTimeout: 9000",
    ));
    let commander = pair.client();
    commander.send("COMMAND [1] WORK;now\n\n");
    commander.half_close();
    console.await_number("muc", "waiting", 3.0);
    console.order("DISABLE_SITE;muc;planned work; until noon");
    // The site is silent all the while, so these are told by the order alone.
    let told = "Site muc is disabled: planned work; until noon";
    for client in &waiting {
        client.read_response().expect_error(502, told);
        client.ask("GET hosts").expect_error(502, told);
    }
    let text = String::from_utf8(commander.read_to_end()).unwrap();
    assert_eq!(text, format!("502: {told}\n"));
    assert_eq!(console.text("muc", "state"), "disabled");
    assert_eq!(console.text("muc", "reason"), "planned work; until noon");
    assert_eq!(console.number("muc", "waiting"), 0.0);
    assert_eq!(console.number("muc", "commands_not_delivered"), 1.0);
    pair.daemon
        .wait_log("command was not delivered: Site muc is disabled");
    running.expect_open();
    pair.site.release();
    expect_held(&running);
    pair.site.await_open(0);
    // A command is not taken either.
    let late = pair.client();
    late.send("COMMAND [1] LATE\n\n");
    late.half_close();
    assert_eq!(late.read_to_end(), format!("502: {told}\n").as_bytes());
    assert_eq!(console.number("muc", "commands_not_delivered"), 2.0);
    assert_eq!(pair.site.commands(), Vec::<String>::new());
    assert_eq!(pair.site.accepted(), 1);
}

#[test]
fn a_query_that_loses_its_channel_after_the_order_is_told_at_once() {
    let pair = Pair::start("'channels': 1, 'query_timeout': 600.0");
    pair.site.await_ready(1);
    let running = pair.holder();
    pair.site.await_stalled(1);
    pair.daemon.console().order("DISABLE_SITE;muc;gone");
    pair.site.close_all();
    running.read_response().expect_error(502, "disabled: gone");
    assert_eq!(pair.daemon.console().text("muc", "state"), "disabled");
}

#[test]
fn an_enabled_site_serves_again_and_its_events_are_a_chain() {
    let pair = Pair::start("'channels': 2");
    pair.site.await_ready(2);
    let console = pair.daemon.console();
    console.await_state("muc", "ready");
    console.order("DISABLE_SITE;muc;one reason");
    pair.site.await_open(0);
    let since = console.number("muc", "since");
    console.order("DISABLE_SITE;muc;a better one");
    pair.ask("GET hosts").expect_error(502, "a better one");
    assert_eq!(console.number("muc", "since"), since);
    let refused = console.try_order("RECONNECT_SITE;muc");
    assert_eq!(refused, "400: Site 'muc' is disabled\n");
    console.order("ENABLE_SITE;muc");
    pair.ask("GET hosts").expect(rewritten("GET hosts", ""));
    pair.site.await_ready(2);
    console.await_state("muc", "ready");
    assert_eq!(console.text("muc", "reason"), "");
    let wanted = json!([
        ["starting", "ready", ""],
        ["ready", "disabled", "one reason"],
        ["disabled", "starting", ""],
        ["starting", "ready", ""],
    ]);
    let events = console.rows("GET events\nColumns: from to cause");
    assert_eq!(json!(events), wanted);
    let again = console.try_order("ENABLE_SITE;muc");
    assert_eq!(again, "400: Site 'muc' is not disabled\n");
}

#[test]
fn a_site_stays_disabled_over_a_reload_and_a_move() {
    let pair = Pair::start("'channels': 1");
    pair.site.await_ready(1);
    let console = pair.daemon.console();
    console.order("DISABLE_SITE;muc;till tomorrow");
    pair.site.await_open(0);
    let next = FakeSite::start();
    for (fake, keys) in [
        (&pair.site, "'channels': 3"),
        (&next, "'channels': 3"),
        (&next, "'channels': 3, 'channel_timeout': 1.0"),
    ] {
        let mark = pair.daemon.log_mark();
        pair.daemon
            .configure(&site("muc", fake, &format!("{BRISK}{keys}")));
        console.order("RELOAD");
        pair.daemon.wait_log_after(mark, "configuration read again");
        assert_eq!(console.text("muc", "state"), "disabled");
        assert_eq!(console.text("muc", "reason"), "till tomorrow");
        pair.ask("GET hosts").expect_error(502, "till tomorrow");
    }
    assert_eq!((pair.site.accepted(), next.accepted()), (1, 0));
    console.order("ENABLE_SITE;muc");
    next.await_ready(3);
    pair.ask("GET hosts").expect(rewritten("GET hosts", ""));
    assert_eq!(pair.site.accepted(), 1);
}

#[test]
fn a_dead_site_and_one_that_runs_icinga_2_are_left_alone_while_disabled() {
    let icinga2 = FakeSite::start();
    icinga2.identify(Identity {
        program_start: 1_700_000_000,
        program_version: "v2.14.0".to_owned(),
        livestatus_version: "icinga2-livestatus".to_owned(),
    });
    let mut dead = FakeSite::start_refusing();
    let config = format!(
        "{}{}",
        site("ice", &icinga2, "'connect_retry': 0.1"),
        site("muc", &dead, BRISK)
    );
    let daemon = Daemon::start(&config);
    let console = daemon.console();
    console.await_state("muc", "dead");
    console.await_state("ice", "ready");
    for name in ["ice", "muc"] {
        console.order(&format!("DISABLE_SITE;{name};x"));
    }
    icinga2.await_open(0);
    let connects = |name: &str| console.number(name, "connects");
    let before = (connects("ice"), connects("muc"), icinga2.accepted());
    dead.listen();
    // Each query for a dead site would begin an attempt.
    for name in ["ice", "muc"] {
        daemon
            .client(name)
            .ask("GET hosts")
            .expect_error(502, "disabled");
    }
    let mark = daemon.log_mark();
    daemon.signal("HUP");
    daemon.wait_log_after(mark, "configuration read again");
    assert_eq!(
        (connects("ice"), connects("muc"), icinga2.accepted()),
        before
    );
    assert_eq!(dead.accepted(), 0);
    for name in ["ice", "muc"] {
        console.order(&format!("ENABLE_SITE;{name}"));
        console.await_state(name, "ready");
        assert_eq!(daemon.client(name).ask("GET hosts").code, 200);
    }
}

#[test]
fn reconnecting_replaces_idle_channels_at_once_and_busy_ones_when_they_are_done() {
    let pair = Pair::start("'channels': 3");
    pair.site.await_ready(3);
    let console = pair.daemon.console();
    let running = pair.holder();
    pair.site.await_stalled(1);
    let deaths = console.number("muc", "deaths");
    console.order("RECONNECT_SITE;muc");
    // Two new ones beside the one that is at work.
    eventually("two channels are replaced", || pair.site.accepted() == 5);
    pair.site.await_open(3);
    running.expect_open();
    for _ in 0..5 {
        pair.ask("GET hosts").expect(rewritten("GET hosts", ""));
    }
    pair.site.release();
    expect_held(&running);
    eventually("the third is replaced", || pair.site.accepted() == 6);
    pair.site.await_ready(3);
    assert_eq!(console.number("muc", "deaths"), deaths);
    // Lost are only those that ended although they were wanted.
    assert_eq!(console.number("muc", "channels_lost"), 0.0);
}

#[test]
fn reconnecting_again_and_again_loses_no_query() {
    const TIMES: usize = 10;
    let pair = Pair::start("'channels': 3, 'channel_timeout': 60.0");
    pair.site.await_ready(3);
    let console = pair.daemon.console();
    let socket = pair.daemon.socket("muc");
    let asked = std::thread::scope(|scope| {
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let asker = scope.spawn(move || {
            let client = Client::connect(socket);
            let mut asked = 0;
            // Until the other side of this is dropped.
            while ended.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                client.ask("GET hosts").expect(rewritten("GET hosts", ""));
                asked += 1;
            }
            asked
        });
        for _ in 0..TIMES {
            let (accepted, answered) = (
                pair.site.accepted(),
                console.number("muc", "queries_answered"),
            );
            console.order("RECONNECT_SITE;muc");
            eventually("there are other channels, and answers on them", || {
                pair.site.accepted() > accepted
                    && console.number("muc", "queries_answered") > answered + 3.0
            });
        }
        drop(end);
        asker.join().unwrap()
    });
    assert!(asked > 3 * TIMES);
    assert_eq!(console.number("muc", "queries_refused_other"), 0.0);
}

#[test]
fn reconnecting_tries_a_dead_site_at_once() {
    let mut pair = Pair::with(FakeSite::start_refusing(), "", "'connect_retry': 600.0");
    let console = pair.daemon.console();
    console.await_state("muc", "dead");
    pair.site.listen();
    console.order("RECONNECT_SITE;muc");
    // On its own it would have been tried in ten minutes.
    console.await_state("muc", "ready");
}

#[test]
fn a_reload_is_good_or_its_error_is_to_be_seen() {
    let pair = Pair::start("'channels': 1");
    let console = pair.daemon.console();
    let error = || {
        let error = console.value("GET status\nColumns: config_error");
        error.as_str().unwrap().to_owned()
    };
    let time = |column: &str| {
        let time = console.value(&format!("GET status\nColumns: {column}"));
        time.as_f64().unwrap()
    };
    let loaded = time("last_reload");
    assert!(loaded > 0.0);
    assert_eq!((error().as_str(), time("config_error_since")), ("", 0.0));
    pair.daemon.configure("sites = (\n");
    console.order("RELOAD");
    eventually("the error is shown", || error().contains("liveproxyd.mk:"));
    assert!(time("config_error_since") >= loaded);
    assert_eq!(time("last_reload"), loaded);
    // The site is served as before.
    pair.ask("GET hosts").expect(rewritten("GET hosts", ""));
    let good = site("muc", &pair.site, &format!("{BRISK}'channels': 2"));
    pair.daemon.configure(&good);
    console.order("RELOAD");
    eventually("the error is gone", || error().is_empty());
    assert!(time("last_reload") >= loaded);
    console.await_number("muc", "channels_configured", 2.0);
}

#[test]
fn shut_down_by_order_it_finishes_what_it_was_asked() {
    let mut pair = Pair::start("'channels': 1");
    pair.site.await_ready(1);
    let console = pair.daemon.console();
    let running = pair.holder();
    pair.site.await_stalled(1);
    console.order("SHUTDOWN");
    eventually("the sockets are gone", || {
        !console.path().exists() && !pair.daemon.socket("muc").exists()
    });
    pair.site.release();
    expect_held(&running);
    assert_eq!(pair.daemon.await_end().code(), Some(0));
}

#[test]
fn every_order_is_logged_with_who_gave_it() {
    let pair = Pair::start("'channels': 1");
    let console = pair.daemon.console();
    let uid = std::fs::metadata(pair.daemon.root()).unwrap();
    let uid = std::os::unix::fs::MetadataExt::uid(&uid);
    for (order, words) in [
        ("DISABLE_SITE;muc;a reason", "disable site muc: a reason"),
        ("ENABLE_SITE;muc", "enable site muc"),
        ("RECONNECT_SITE;muc", "reconnect site muc"),
        ("RELOAD", "reload"),
        ("WRITE_STATE", "write the state file"),
        ("SHUTDOWN", "shut down"),
    ] {
        console.order(order);
        pair.daemon
            .wait_log(&format!("ordered by user {uid}: {words}"));
    }
}

#[test]
fn a_wrong_order_is_told_where_its_giver_listens() {
    let pair = Pair::start("'channels': 1");
    let console = pair.daemon.console();
    for (order, words) in [
        ("DISABLE_SITE;ber;x", "There is no site 'ber'"),
        ("ENABLE_SITE;../muc", "cannot be the name of a site"),
        ("RECONNECT_SITE", "needs the name of a site"),
        ("RELOAD;now", "takes nothing"),
        ("EXPLODE", "Unknown command 'EXPLODE'"),
    ] {
        let told = console.try_order(order);
        assert!(told.starts_with("400: ") && told.contains(words), "{told}");
        assert!(told.ends_with('\n'), "{told}");
        // In place of the next answer, for one that goes on; then it is forgotten.
        let client = console.client();
        client.send(format!("COMMAND [1] {order}\n\n"));
        client.ask("GET sites").expect_error(502, words);
        client.ask("GET sites\nColumns: name").expect("muc\n");
    }
    console.await_state("muc", "ready");
}

#[test]
fn an_order_may_come_together_with_questions() {
    let pair = Pair::start("'channels': 1");
    let client = pair.daemon.console().client();
    let ask = "GET sites\nColumns: state\nResponseHeader: fixed16\nKeepAlive: on\n\n";
    client.send(format!("COMMAND [1] DISABLE_SITE;muc;x\n\n{ask}"));
    client.read_response().expect("disabled\n");
    client.send(format!("COMMAND [1] ENABLE_SITE;muc\n\n{ask}"));
    assert_ne!(client.read_response().body, b"disabled\n");
}
