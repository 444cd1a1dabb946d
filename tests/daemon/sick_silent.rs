//! Sites that accept connections and are sick all the same: silent, slow, short of threads, or
//! talking nonsense.

use std::time::{Duration, Instant};

use crate::pair::{Pair, QUERY, expect_held, right_answer};
use crate::story::{
    Story, expect_refused_at_once, expect_unreachable, let_pass, mark_ready, queue_query, run_query,
};
use crate::support::client::kept_and_framed;
use crate::support::{Client, FakeSite, Fault, Place, eventually};

/// A heartbeat every second with half a second to answer it; otherwise patient.
const ALERT: &str = "'heartbeat': (1, 0.5), 'channel_timeout': 600, ";

/// A site that is well, with these keys beside those of [`ALERT`].
#[track_caller]
fn patient(channels: usize, keys: &str) -> Pair {
    let pair = Pair::start(&format!("{ALERT}'channels': {channels}, {keys}"));
    pair.site.await_ready(channels);
    pair
}

/// Cures a site that is dead, and asserts that the log tells both changes, once, and the time.
#[track_caller]
fn recover(pair: &Pair, mark: usize, cause: &str, since: Instant) {
    let story = Story::since(&pair.daemon, mark);
    let dead = format!("dead: {cause}");
    story.await_state(&dead, "ready");
    assert_eq!(story.states(), [dead.as_str()]);
    let sick_for = since.elapsed();
    pair.site.behave();
    pair.site.release();
    pair.await_answers();
    let told = story.await_state("ready", "dead");
    assert!(told + 0.1 >= sick_for.as_secs_f64(), "{told}, {sick_for:?}");
    pair.expect_unharmed();
    assert_eq!(story.states(), [dead.as_str(), "ready"]);
}

#[test]
fn a_core_that_hangs_is_dead_with_its_first_missed_heartbeat() {
    let pair = patient(3, "'query_timeout': 600");
    let running = run_query(&pair);
    let mark = mark_ready(&pair.daemon);
    pair.site.all_heartbeats(Fault::Stall(Place::BeforeHeader));
    let cause = "heartbeat unanswered for 0.5 s";
    expect_unreachable(&running.read_response(), cause);
    let death = Instant::now();
    let story = Story::since(&pair.daemon, mark);
    story.await_state(&format!("dead: {cause}"), "ready");
    expect_refused_at_once(&running, &pair.client(), cause);
    assert_eq!(story.losses(cause), 1, "one heartbeat is enough");
    // It accepts, and answers nothing: that is what clients are told from the next attempt on.
    let cause_by_now = "no answer within 10 s";
    eventually("an attempt has failed", || story.losses(cause_by_now) >= 1);
    expect_refused_at_once(&running, &pair.client(), cause_by_now);
    let remarks = story.remarks();
    assert!(remarks.len() <= 1, "its first channel: {remarks:?}");
    recover(&pair, mark, cause, death);
}

#[test]
fn a_core_that_hangs_on_all_channels_is_busy_and_keeps_its_queries() {
    let pair = patient(2, "'query_timeout': 600");
    let running = [run_query(&pair), run_query(&pair)];
    let waiting = queue_query(&pair);
    let mark = mark_ready(&pair.daemon);
    pair.site.all_heartbeats(Fault::Stall(Place::BeforeHeader));
    let told = "Site muc does not answer a heartbeat (for ";
    waiting.read_response().expect_error(502, told);
    let begun = Instant::now();
    let story = Story::since(&pair.daemon, mark);
    let busy = "busy: heartbeat unanswered for 0.5 s";
    story.await_state(busy, "ready");
    eventually("further probes fail", || {
        waiting.ask(QUERY).expect_error(502, told);
        story.losses("heartbeat unanswered for 0.5 s") >= 4
    });
    assert_eq!(story.lines().len(), 1, "{:?}", story.lines());
    for client in &running {
        client.expect_open();
    }
    let sick_for = begun.elapsed();
    pair.site.behave();
    pair.site.release();
    for client in &running {
        expect_held(client);
    }
    waiting.ask(QUERY).expect(right_answer());
    let told = story.await_state("ready", "busy");
    assert!(told + 0.1 >= sick_for.as_secs_f64(), "{told}, {sick_for:?}");
    assert_eq!(story.states(), [busy, "ready"]);
}

#[test]
fn a_site_without_threads_for_all_channels_gets_fewer() {
    let fake = FakeSite::start();
    fake.limit_threads(4);
    let pair = Pair::with(fake, "", &format!("{ALERT}'channels': 6"));
    pair.site.await_happened("no-thread", 1);
    let client = pair.client();
    let story = Story::whole(&pair.daemon);
    let remark = "it accepts more channels than it answers on; it gets 2 for now";
    eventually("that is noticed", || {
        client.ask(QUERY).expect(right_answer());
        story.remarks() == [remark]
    });
    pair.site.await_ready(2);
    let_pass(Duration::from_secs(2));
    assert_eq!(pair.site.accepted(), 5, "it is not tried again at once");
    pair.expect_unharmed();
    assert_eq!(story.states(), ["ready"]);
    assert_eq!(story.remarks(), [remark]);
}

#[test]
fn a_site_that_finishes_no_query_costs_each_its_time_and_is_not_dead() {
    let keys = "'heartbeat': (1, 0.5), 'channels': 2, 'channel_timeout': 0.5, 'query_timeout': 3";
    let pair = Pair::start(keys);
    pair.site.await_ready(2);
    let mark = mark_ready(&pair.daemon);
    let story = Story::since(&pair.daemon, mark);
    let busy = "busy: no channel gets free in time";
    for round in 1..=2 {
        pair.site.always(Fault::Stall(Place::InBody(10)));
        let heartbeats = pair.site.heartbeats();
        let ask = |stalled| {
            let client = pair.client();
            client.send(kept_and_framed(QUERY));
            pair.site.await_stalled(stalled);
            client
        };
        let running = [ask(1), ask(2)];
        let late = pair.client().ask(QUERY);
        late.expect_error(502, "All 2 channels busy, timeout waiting for free channel");
        for client in &running {
            let response = client.read_response();
            response.expect_error(502, "Site muc did not answer within 3 s");
            client.expect_open();
        }
        assert!(
            pair.site.heartbeats() > heartbeats,
            "the probe was answered"
        );
        pair.site.behave();
        pair.await_answers();
        pair.site.await_ready(2);
        eventually("the log tells both changes", || {
            story.states().len() >= 2 * round
        });
        assert_eq!(story.states(), [busy, "ready"].repeat(round));
    }
    let remarks = story.remarks();
    assert_eq!(remarks.len(), 1, "four were lost: {remarks:?}");
    assert!(remarks[0].contains(" lost: no response within 3.0 s (age "));
    assert_eq!(story.losses("no response within 3.0 s"), 4);
}

/// One byte a second, as over a line that is all but gone.
const DRIP: Fault = Fault::Drip(Duration::from_secs(1));

/// A site whose heartbeats drip is heard all the time and proves nothing.
#[track_caller]
fn expect_death_by_dripping(pair: &Pair, mark: usize) {
    let cause = "no answer within 10 s";
    let story = Story::since(&pair.daemon, mark);
    eventually("both channels are lost", || story.all_losses() >= 2);
    let waiting = queue_query(pair);
    expect_unreachable(&waiting.read_response(), cause);
    story.await_state(&format!("dead: {cause}"), "ready");
    let death = Instant::now();
    expect_refused_at_once(&waiting, &pair.client(), cause);
    assert!(pair.site.happened("drip") >= 3);
    let remarks = story.remarks();
    assert_eq!(remarks.len(), 1, "both channels were lost: {remarks:?}");
    // What drips now would drip on for a while.
    pair.site.close_all();
    recover(pair, mark, cause, death);
}

#[test]
fn a_site_whose_heartbeats_drip_is_dead_when_no_channel_is_left() {
    let pair = patient(2, "");
    let mark = mark_ready(&pair.daemon);
    pair.site.all_heartbeats(DRIP);
    expect_death_by_dripping(&pair, mark);
}

#[test]
fn a_query_that_drips_is_served_until_its_time_is_over() {
    let pair = patient(2, "'query_timeout': 3");
    let mark = mark_ready(&pair.daemon);
    pair.site.next(DRIP);
    let client = pair.client();
    let response = client.ask(QUERY);
    response.expect_error(502, "Site muc did not answer within 3 s");
    client.ask(QUERY).expect(right_answer());
    assert_eq!(pair.site.happened("drip"), 1);
    assert_eq!(Story::since(&pair.daemon, mark).states(), [""; 0]);
}

#[test]
fn a_site_that_drips_altogether_is_dead_when_no_channel_is_left() {
    let pair = patient(2, "'query_timeout': 3");
    let mark = mark_ready(&pair.daemon);
    pair.site.all_heartbeats(DRIP);
    pair.site.always(DRIP);
    let client = pair.client();
    let response = client.ask(QUERY);
    response.expect_error(502, "Site muc did not answer within 3 s");
    expect_death_by_dripping(&pair, mark);
}

#[test]
fn a_site_that_closes_after_each_answer_is_ready_and_told_of_once() {
    let pair = patient(3, "");
    let mark = mark_ready(&pair.daemon);
    pair.site.always(Fault::Close(Place::AfterAnswer));
    let client = pair.client();
    for _ in 0..50 {
        client.ask(QUERY).expect(right_answer());
    }
    pair.site.await_happened("close-after-answer", 50);
    let story = Story::since(&pair.daemon, mark);
    // A query that is sent at that moment may make it a reset.
    eventually("all losses are noticed", || story.all_losses() >= 50);
    assert_eq!(story.states(), [""; 0]);
    let remarks = story.remarks();
    assert_eq!(remarks.len(), 1, "{remarks:?}");
}

/// A site whose heartbeats go wrong like this is dead because of `cause`, and told of once.
#[track_caller]
fn expect_death_by_heartbeat(fault: &Fault, cause: &str) {
    let pair = patient(2, "");
    let mark = mark_ready(&pair.daemon);
    pair.site.all_heartbeats(fault.clone());
    let story = Story::since(&pair.daemon, mark);
    story.await_state(&format!("dead: {cause}"), "ready");
    let death = Instant::now();
    let client: Client = pair.client();
    expect_refused_at_once(&client, &pair.client(), cause);
    let failed = story.losses(cause);
    eventually("further attempts fail", || {
        story.losses(cause) >= failed + 4
    });
    expect_refused_at_once(&client, &pair.client(), cause);
    assert!(pair.site.happened(fault.name()) >= 5);
    let remarks = story.remarks();
    assert_eq!(remarks.len(), 1, "its channels: {remarks:?}");
    recover(&pair, mark, cause, death);
}

/// Several at a time: most of it is waiting.
fn expect_deaths_by_heartbeat(ways: &[(Fault, &str)]) {
    std::thread::scope(|scope| {
        for (fault, cause) in ways {
            scope.spawn(|| expect_death_by_heartbeat(fault, cause));
        }
    });
}

#[test]
fn a_site_that_answers_nonsense_to_heartbeats_is_dead() {
    let text = "No UNIX socket /omd/sites/muc/tmp/run/live existing";
    expect_deaths_by_heartbeat(&[
        (
            Fault::Raw(format!("{text}\n").into_bytes()),
            &format!("not a Livestatus response: \"{text}\""),
        ),
        (
            Fault::Header(*b"413          33\n"),
            "heartbeat answered with status 413",
        ),
    ]);
}

#[test]
fn a_site_that_hangs_up_on_heartbeats_is_dead() {
    let cause = "closed by the site";
    expect_deaths_by_heartbeat(&[
        (Fault::Close(Place::BeforeHeader), cause),
        (Fault::Close(Place::AfterAnswer), cause),
        (Fault::Linger(Duration::from_millis(50)), cause),
    ]);
}

#[test]
fn a_site_that_answers_nonsense_to_queries_is_ready_and_told_of_once() {
    let pair = patient(3, "");
    let mark = mark_ready(&pair.daemon);
    let client = pair.client();
    for round in 0..20 {
        // Two different texts: the same one twice is taken for the site's answer.
        for half in ["one", "another"] {
            let text = format!("nonsense {round} {half}\n");
            pair.site.next(Fault::Raw(text.into_bytes()));
        }
        let told = "Site muc answered something that is not Livestatus: \"nonsense";
        client.ask(QUERY).expect_error(502, told);
        client.ask(QUERY).expect(right_answer());
    }
    assert_eq!(pair.site.happened("raw-text"), 40);
    let story = Story::since(&pair.daemon, mark);
    assert_eq!(story.states(), [""; 0]);
    let remarks = story.remarks();
    assert_eq!(remarks.len(), 1, "{remarks:?}");
    let start = "lost: not a Livestatus response: \"nonsense 0 one\"";
    assert!(remarks[0].contains(start), "{remarks:?}");
}
