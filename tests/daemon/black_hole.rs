//! Lines that lose every packet without a word, and a site that is stopped in the middle of
//! whatever it did. Both look the same to a client: nothing comes.

use std::time::{Duration, Instant};

use crate::pair::{BRISK, Pair, QUERY, expect_held};
use crate::story::{Story, expect_refused_at_once, expect_unreachable, mark_ready, run_query};
use crate::support::client::kept_and_framed;
use crate::support::{BlackHole, Client, Daemon, FakeSite, eventually, site};

/// A heartbeat every second with half a second to answer it; otherwise patient.
const ALERT: &str =
    "'heartbeat': (1, 0.5), 'channels': 3, 'channel_timeout': 600, 'query_timeout': 600";

/// What the first missed heartbeat is told as.
const MISSED: &str = "heartbeat unanswered for 0.5 s";

/// What a connect that nobody answers is told as.
const UNANSWERED: &str = "no answer within 10 s";

/// Longer than the system itself takes to give a silent connection up, and a connect after it.
const LONG: Duration = Duration::from_secs(60);

/// What a test does where there can be no networks of its own.
const INSTEAD: &str = "left out, a stopped process has to do";

/// A daemon and a site with a line between them that can be cut.
struct Line {
    pair: Pair,
    hole: BlackHole,
}

impl Line {
    /// Nothing where the machine does not allow it.
    fn with(keys: &str) -> Option<Line> {
        let hole = BlackHole::or_say(INSTEAD)?;
        let fake = hole
            .far
            .inside(|| FakeSite::start_on(BlackHole::FAR.into()));
        let daemon = Daemon::builder()
            .config(&site("muc", &fake, &format!("{BRISK}{keys}")))
            .wrapped(hole.near.wrapper())
            .start();
        let pair = Pair { daemon, site: fake };
        Some(Line { pair, hole })
    }

    /// Lets packets through again and asserts that the site comes back, told once.
    fn mend(&self, mark: usize, cause: &str, since: Instant) {
        let story = Story::since(&self.pair.daemon, mark);
        let dead = format!("dead: {cause}");
        story.await_state(&dead, "ready");
        assert_eq!(story.states(), [dead.as_str()]);
        let away = since.elapsed();
        self.hole.pass();
        self.pair.await_answers();
        let told = story.await_state("ready", "dead");
        assert!(told + 0.1 >= away.as_secs_f64(), "{told}, {away:?}");
        self.pair.expect_unharmed();
        assert_eq!(story.states(), [dead.as_str(), "ready"]);
    }
}

#[test]
fn a_lost_line_is_noticed_by_the_first_heartbeat() {
    let Some(line) = Line::with(ALERT) else {
        return;
    };
    let pair = &line.pair;
    pair.site.await_ready(3);
    let running = run_query(pair);
    let mark = mark_ready(&pair.daemon);
    line.hole.swallow();
    let cut = Instant::now();
    expect_unreachable(&running.read_response(), MISSED);
    // The system itself needs twenty seconds to see that something is wrong, and a connect ten.
    assert!(
        cut.elapsed() < Duration::from_secs(9),
        "{:?}",
        cut.elapsed()
    );
    let story = Story::since(&pair.daemon, mark);
    story.await_state(&format!("dead: {MISSED}"), "ready");
    let death = Instant::now();
    assert_eq!(story.losses(MISSED), 1, "one heartbeat is enough");
    expect_refused_at_once(&running, &pair.client(), MISSED);
    eventually("a connect has failed", || story.losses(UNANSWERED) >= 1);
    expect_refused_at_once(&running, &pair.client(), UNANSWERED);
    assert_eq!(story.remarks().len(), 1, "{:?}", story.remarks());
    line.mend(mark, MISSED, death);
}

#[test]
fn a_line_lost_under_busy_channels_is_noticed_by_the_probe() {
    let Some(line) = Line::with(ALERT) else {
        return;
    };
    let pair = &line.pair;
    pair.site.await_ready(3);
    let running = [run_query(pair), run_query(pair), run_query(pair)];
    let waiting = pair.client();
    waiting.send(kept_and_framed(QUERY));
    let mark = mark_ready(&pair.daemon);
    line.hole.swallow();
    for client in running.iter().chain([&waiting]) {
        client.set_read_timeout(LONG);
        expect_unreachable(&client.read_response(), UNANSWERED);
        client.expect_open();
    }
    let death = Instant::now();
    let story = Story::since(&pair.daemon, mark);
    story.await_state(&format!("dead: {UNANSWERED}"), "ready");
    expect_refused_at_once(&waiting, &pair.client(), UNANSWERED);
    assert_eq!(story.remarks(), [""; 0]);
    line.mend(mark, UNANSWERED, death);
}

#[test]
fn a_query_that_is_lost_on_its_way_is_noticed_by_the_system() {
    // So patient that neither a heartbeat nor the probe comes first.
    let keys = "'heartbeat': (600, 600), 'channels': 1, 'query_timeout': 600";
    let Some(line) = Line::with(keys) else {
        return;
    };
    let pair = &line.pair;
    pair.site.await_ready(1);
    let mark = mark_ready(&pair.daemon);
    line.hole.swallow();
    let client = pair.client();
    client.set_read_timeout(LONG);
    let response = client.ask(QUERY);
    expect_unreachable(&response, UNANSWERED);
    let death = Instant::now();
    let story = Story::since(&pair.daemon, mark);
    assert_eq!(story.losses("Connection timed out"), 1);
    let remarks = story.remarks();
    assert_eq!(remarks.len(), 1, "{remarks:?}");
    assert!(remarks[0].contains(" lost: Connection timed out (age "));
    line.mend(mark, UNANSWERED, death);
}

/// A daemon in front of a daemon in front of a site: the middle one can be stopped as a core can.
struct Chain {
    outer: Daemon,
    middle: Pair,
}

impl Chain {
    fn with(channels: usize) -> Chain {
        let middle = Pair::start("'channels': 6, 'query_timeout': 600, 'heartbeat': (600, 600)");
        middle.site.await_ready(6);
        let keys = format!(
            "{BRISK}'heartbeat': (1, 0.5), 'channels': {channels}, 'channel_timeout': 600, \
             'query_timeout': 600"
        );
        let socket = middle.daemon.socket("muc");
        let outer = Daemon::start(&site("muc", &socket, &keys));
        let chain = Chain { outer, middle };
        let on_each: Vec<_> = (0..channels).map(|_| chain.run_query()).collect();
        chain.middle.site.release();
        for client in on_each {
            assert_eq!(client.read_response().code, 200);
        }
        chain
    }

    /// A query that the site holds back until it is released.
    fn run_query(&self) -> Client {
        let held = self.middle.site.stalled();
        let client = self.outer.client("muc");
        client.send(kept_and_framed("GET hosts\nTest-Hold: on"));
        self.middle.site.await_stalled(held + 1);
        client
    }
}

#[test]
fn a_process_that_is_stopped_is_dead_until_it_goes_on() {
    println!("with a stopped process");
    let chain = Chain::with(3);
    let running = chain.run_query();
    let mark = mark_ready(&chain.outer);
    chain.middle.daemon.signal("STOP");
    expect_unreachable(&running.read_response(), MISSED);
    let death = Instant::now();
    let story = Story::since(&chain.outer, mark);
    story.await_state(&format!("dead: {MISSED}"), "ready");
    expect_refused_at_once(&running, &chain.outer.client("muc"), MISSED);
    // Its system still accepts.
    eventually("an attempt has failed", || story.losses(UNANSWERED) >= 1);
    let away = death.elapsed();
    chain.middle.daemon.signal("CONT");
    eventually("it answers again", || running.ask(QUERY).code == 200);
    let told = story.await_state("ready", "dead");
    assert!(told + 0.1 >= away.as_secs_f64(), "{told}, {away:?}");
    assert_eq!(story.states(), [format!("dead: {MISSED}"), "ready".into()]);
}

#[test]
fn a_process_that_is_stopped_under_busy_channels_keeps_its_queries() {
    println!("with a stopped process");
    let chain = Chain::with(2);
    let running = [chain.run_query(), chain.run_query()];
    let mark = mark_ready(&chain.outer);
    chain.middle.daemon.signal("STOP");
    let client = chain.outer.client("muc");
    let told = "Site muc does not answer a heartbeat (for ";
    client.ask(QUERY).expect_error(502, told);
    client.ask(QUERY).expect_error(502, told);
    let story = Story::since(&chain.outer, mark);
    let busy = format!("busy: {MISSED}");
    story.await_state(&busy, "ready");
    chain.middle.daemon.signal("CONT");
    chain.middle.site.release();
    for client in &running {
        expect_held(client);
    }
    story.await_state("ready", "busy");
    assert_eq!(story.states(), [busy.as_str(), "ready"]);
}
