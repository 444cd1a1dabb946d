//! What the tables say of sites, channels and clients is what is so.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::pair::{BRISK, Pair};
use crate::support::client::kept_and_framed;
use crate::support::site::Identity;
use crate::support::{Client, Daemon, FakeSite, Fault, Place, eventually, site};

/// Changes of state that are remembered.
const MOST_EVENTS: usize = 1_000;

fn now() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs_f64()
}

#[test]
fn channels_at_work_and_queries_that_wait_are_counted_while_it_is_so() {
    let pair = Pair::start("'channels': 2, 'channel_timeout': 60.0");
    pair.site.await_ready(2);
    let console = pair.daemon.console();
    console.await_number("muc", "channels_open", 2.0);
    assert_eq!(console.number("muc", "channels_busy"), 0.0);
    assert_eq!(console.number("muc", "channels_configured"), 2.0);
    assert_eq!(console.number("muc", "clients"), 0.0);
    let holders = [pair.holder(), pair.holder()];
    pair.site.await_stalled(2);
    assert_eq!(console.number("muc", "channels_busy"), 2.0);
    assert_eq!(console.number("muc", "waiting"), 0.0);
    assert_eq!(console.number("muc", "oldest_wait"), 0.0);
    let waiting: Vec<Client> = (0..3).map(|_| pair.holder()).collect();
    console.await_number("muc", "waiting", 3.0);
    assert_eq!(console.number("muc", "clients"), 5.0);
    let first = console.number("muc", "oldest_wait");
    eventually("the first one waits longer and longer", || {
        console.number("muc", "oldest_wait") > first
    });
    // The same as seen from the channels and from the clients.
    let query = "GET channels\nColumns: site state request\nFilter: state = busy";
    let busy = json!(["muc", "busy", "GET hosts"]);
    assert_eq!(json!(console.rows(query)), json!([busy, busy]));
    let count = |state: &str| {
        let query = format!("GET clients\nStats: state = {state}\nFilter: site = muc");
        console.value(&query).as_u64().unwrap()
    };
    assert_eq!(count("wait_for_response"), 2);
    assert_eq!(count("wait_for_channel"), 3);
    let pid = console.rows(
        "GET clients\nColumns: pid uid request\nFilter: site = muc\nFilter: state = wait_for_channel",
    );
    let uid = std::fs::metadata(pair.daemon.root()).unwrap();
    let uid = std::os::unix::fs::MetadataExt::uid(&uid);
    assert_eq!(json!(pid[0]), json!([std::process::id(), uid, "GET hosts"]));
    // Each channel names the client that it works for, and that one the channel.
    for row in console.rows("GET channels\nColumns: number client") {
        let query = format!("GET clients\nColumns: channel\nFilter: number = {}", row[1]);
        assert_eq!(console.value(&query), row[0]);
    }
    // The asker itself is a client, of the control socket.
    eventually("one asker is left, who has asked once", || {
        let own = console.rows("GET clients\nColumns: requests\nFilter: site = ");
        json!(own) == json!([[1]])
    });
    // First come, first served: two at a time, as there are channels.
    for served in [&holders[..], &waiting[..2], &waiting[2..]] {
        pair.site.await_stalled(served.len());
        pair.site.release();
        for client in served {
            assert_eq!(client.read_response().code, 200);
        }
    }
    console.await_number("muc", "channels_busy", 0.0);
    assert_eq!(console.number("muc", "waiting"), 0.0);
    assert_eq!(console.number("muc", "waiting_time_count"), 5.0);
    // Two found a channel at once, the others had to wait for all that was looked at above.
    assert!(console.number("muc", "waiting_time_sum") >= 3.0 * first);
}

#[test]
fn a_client_that_does_not_take_its_response_is_seen() {
    const SIZE: usize = 4 << 20;
    let pair = Pair::start("'channels': 1");
    pair.site.await_ready(1);
    let console = pair.daemon.console();
    let slow = pair.client();
    slow.send(kept_and_framed(format!(
        "GET hosts\nTest-Size: {SIZE}\nTest-Nonce: a"
    )));
    console.await_number("muc", "slow_readers", 1.0);
    assert_eq!(console.number("muc", "channels_busy"), 0.0);
    let held = console.number("muc", "memory");
    assert!(held > 2e6 && held <= (SIZE as f64) * 1.1, "{held}");
    let state = "GET clients\nColumns: state\nFilter: site = muc";
    assert_eq!(console.value(state), "response");
    assert_eq!(slow.read_response().body.len(), SIZE);
    console.await_number("muc", "slow_readers", 0.0);
    console.await_number("muc", "memory", 0.0);
    assert_eq!(console.value(state), "idle");
}

#[test]
fn times_of_responses_are_those_that_the_site_took() {
    const LATE: Duration = Duration::from_millis(300);
    let pair = Pair::start("'channels': 1");
    let console = pair.daemon.console();
    pair.site.await_ready(1);
    pair.site.always(Fault::Late(LATE));
    for _ in 0..3 {
        assert_eq!(pair.ask("GET hosts").code, 200);
    }
    assert_eq!(console.number("muc", "response_time_count"), 3.0);
    assert!(console.number("muc", "response_time_sum") >= 0.9);
    // The class from 200 to 500 ms, or a slower one on a machine that is slow.
    assert!(console.number("muc", "response_time_p50") > 0.2);
    let buckets = console.of_site("muc", "response_time_buckets");
    let classes = console.value("GET status\nColumns: time_classes");
    let at = classes.as_array().unwrap().iter();
    let at = at.clone().position(|class| *class == json!(200)).unwrap();
    assert_eq!(buckets[at], json!(0), "{buckets}");
    let queries = console.value("GET channels\nColumns: queries");
    assert_eq!(queries, json!(3));
}

#[test]
fn what_the_site_says_of_itself_and_when_it_was_proved_is_shown() {
    let before = now();
    let pair = Pair::start("'channels': 1, 'heartbeat': (1, 60.0)");
    let console = pair.daemon.console();
    console.await_state("muc", "ready");
    assert_eq!(console.text("muc", "program_version"), "Fake 1.0");
    assert_eq!(console.text("muc", "livestatus_version"), "1.5.0 (fake)");
    assert_eq!(console.number("muc", "program_start"), 1_700_000_000.0);
    assert_eq!(console.number("muc", "heartbeat_timeout"), 60.0);
    for column in ["since", "last_reset"] {
        let at = console.number("muc", column);
        assert!(at >= before.floor() - 1.0 && at <= now() + 1.0, "{column}");
    }
    for column in ["last_failed_connect", "last_death"] {
        assert_eq!(console.number("muc", column), 0.0, "{column}");
    }
    pair.site.identify(Identity {
        program_start: 1_700_000_777,
        ..Identity::default()
    });
    console.await_number("muc", "program_start", 1_700_000_777.0);
    // One that is not answered is out, for longer and longer.
    let heartbeats = console.number("muc", "heartbeats");
    assert!(heartbeats >= 2.0);
    pair.site.all_heartbeats(Fault::Stall(Place::BeforeHeader));
    eventually("a heartbeat has been out for a while", || {
        console.number("muc", "heartbeat_out") > 0.2
    });
    let state = console.value("GET channels\nColumns: state");
    assert_eq!(state, "heartbeat");
    pair.site.behave();
    pair.site.release();
    eventually("none is out", || {
        console.number("muc", "heartbeat_out") == -1.0
    });
    assert!(console.number("muc", "heartbeat_last") >= 0.2);
    let next = console.number("muc", "next_heartbeat");
    assert!(next <= 1.0, "{next}");
}

#[test]
fn a_death_its_cause_and_what_failed_last_are_shown_and_remembered() {
    let mut pair = Pair::start("'channels': 1");
    let console = pair.daemon.console();
    console.await_state("muc", "ready");
    // A channel that ends before it has served anybody is a failed attempt, and so the cause.
    assert_eq!(pair.ask("GET hosts").code, 200);
    pair.site.refuse();
    pair.site.close_all();
    console.await_state("muc", "dead");
    assert_eq!(console.text("muc", "reason"), "Connection refused");
    assert_eq!(
        console.text("muc", "last_failed_error"),
        "Connection refused"
    );
    let died = console.number("muc", "last_death");
    assert!(died > now() - 60.0 && died <= now());
    assert!(console.number("muc", "last_failed_connect") >= died);
    assert_eq!(console.number("muc", "deaths"), 1.0);
    assert_eq!(console.number("muc", "channels_lost"), 1.0);
    assert!(console.number("muc", "connects_failed") >= 1.0);
    pair.site.listen();
    console.await_state("muc", "ready");
    assert_eq!(console.text("muc", "reason"), "");
    assert!(console.number("muc", "last_reset") >= died);
    let events = console.rows("GET events\nColumns: number from to cause");
    let wanted = json!([
        [1, "starting", "ready", ""],
        [2, "ready", "dead", "Connection refused"],
        [3, "dead", "ready", ""],
    ]);
    assert_eq!(json!(events), wanted);
    // What a state has lasted is the time between the two changes.
    let moments = console.rows("GET events\nColumns: time lasted");
    let at = |row: usize, column: usize| moments[row][column].as_f64().unwrap();
    let between = at(2, 0) - at(1, 0);
    assert!((at(2, 1) - between).abs() <= 1.1, "{moments:?}");
}

#[test]
fn the_last_thousand_events_are_remembered() {
    let fake = FakeSite::start();
    let daemon = Daemon::start(&site("muc", &fake, BRISK));
    let console = daemon.console();
    console.await_state("muc", "ready");
    let orders = "COMMAND [1] DISABLE_SITE;muc;again\n\nCOMMAND [1] ENABLE_SITE;muc\n\n";
    let client = console.client();
    // Two events each, and some of the policy's.
    for _ in 0..6 {
        client.send(orders.repeat(100));
        client.ask("GET sites\nColumns: name").expect("muc\n");
    }
    console.await_state("muc", "ready");
    let numbers = console.rows("GET events\nColumns: number");
    assert_eq!(numbers.len(), MOST_EVENTS);
    let first = numbers[0][0].as_u64().unwrap();
    assert!(first > 200, "{first}");
    for (index, row) in numbers.iter().enumerate() {
        assert_eq!(row[0], json!(first + index as u64));
    }
    // Each begins where the one before it has ended.
    let events = console.rows("GET events\nColumns: from to");
    for pair in events.windows(2) {
        assert_eq!(pair[0][1], pair[1][0], "{pair:?}");
    }
}

#[test]
fn a_site_that_moves_keeps_what_was_counted_and_what_is_still_finished() {
    let pair = Pair::start("'channels': 2");
    let console = pair.daemon.console();
    pair.site.await_ready(2);
    for _ in 0..3 {
        assert_eq!(pair.ask("GET hosts").code, 200);
    }
    let held = pair.holder();
    pair.site.await_stalled(1);
    let next = FakeSite::start();
    let text = site("muc", &next, &format!("{BRISK}'channels': 2"));
    pair.daemon.configure(&text);
    console.order("RELOAD");
    next.await_ready(2);
    assert_eq!(console.number("muc", "queries"), 4.0);
    assert_eq!(console.number("muc", "queries_answered"), 3.0);
    let sites = console.rows("GET sites\nColumns: name address");
    assert_eq!(
        json!(sites),
        json!([["muc", format!("tcp:{}", next.tcp())]])
    );
    pair.site.release();
    assert_eq!(held.read_response().code, 200);
    console.await_number("muc", "queries_answered", 4.0);
    assert_eq!(console.number("muc", "response_time_count"), 4.0);
    assert_eq!(console.number("muc", "waiting_time_count"), 4.0);
}

#[test]
fn the_daemon_sums_up_its_sites() {
    let fake = FakeSite::start();
    let config = format!(
        "{}{}sites['wrong'] = {{'socket': 7}}\n",
        site("muc", &fake, BRISK),
        site(
            "ber",
            crate::support::Spec::text("'/nowhere/at/all'"),
            BRISK
        ),
    );
    let daemon = Daemon::start(&config);
    let console = daemon.console();
    console.await_state("muc", "ready");
    console.await_state("ber", "dead");
    fake.await_ready(10);
    let row = console.rows(
        "GET status\nColumns: pid sites sites_ready sites_dead sites_refused channels program_version",
    );
    let version = format!("liveproxyd {}", env!("CARGO_PKG_VERSION"));
    assert_eq!(json!(row), json!([[daemon.pid(), 3, 1, 1, 1, 10, version]]));
    assert!(console.text("wrong", "reason").contains("wrong"));
    assert_eq!(console.text("wrong", "state"), "refused");
    // The wrong site is an error of the configuration, which stands there.
    let error = console.value("GET status\nColumns: config_error");
    assert!(error.as_str().unwrap().contains("wrong"), "{error}");
    let in_part = || console.value("GET status\nColumns: config_in_part");
    assert_eq!(in_part(), 1);
    console.order("RELOAD");
    eventually("the reload has failed", || in_part() == 0);
}
