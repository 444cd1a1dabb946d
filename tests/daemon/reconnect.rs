//! How a site that is away is called again, between real sockets. The pauses themselves are in the
//! simulation.

use std::time::Duration;

use crate::pair::{Pair, QUERY};
use crate::support::{FakeSite, awaited, eventually};

/// What a client is told, which has to be that the site is not reachable.
#[track_caller]
fn refusal(pair: &Pair) -> String {
    let response = pair.ask(QUERY);
    response.expect_error(502, "Site muc is not reachable: ");
    response.text()
}

/// After how many seconds the daemon means to try again, as it tells its clients; nothing while an
/// attempt is under way.
fn next_attempt(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once("next attempt in ")?;
    rest.split(' ').next()?.parse().ok()
}

/// A site that has refused so often that the daemon would leave it alone for longer than any wait
/// of these tests.
#[track_caller]
fn long_given_up() -> Pair {
    let pair = Pair::with(FakeSite::start_refusing(), "", "'channels': 2");
    awaited("the pause is long", || {
        // Each question starts an attempt as soon as it may, which fails.
        next_attempt(&refusal(&pair)).filter(|pause| *pause >= 40)
    });
    pair
}

#[test]
fn a_query_for_a_site_that_is_away_starts_the_next_attempt() {
    let mut pair = long_given_up();
    pair.site.listen();
    assert_eq!(pair.site.accepted(), 0);
    // The attempts before may be too fresh for another one.
    eventually("a question has started an attempt", || {
        pair.ask(QUERY);
        pair.site.accepted() > 0
    });
    pair.site.await_ready(2);
    pair.expect_unharmed();
}

#[test]
fn many_queries_for_a_site_that_is_away_start_one_attempt() {
    let mut pair = long_given_up();
    pair.site.never_accept();
    eventually("an attempt is under way", || {
        refusal(&pair).contains("next attempt under way")
    });
    eventually("the connect hangs", || pair.site.unanswered_connects() == 1);
    for _ in 0..100 {
        refusal(&pair);
        let attempts = pair.site.unanswered_connects();
        assert!(attempts <= 1, "{attempts} attempts at once");
    }
}

/// Otherwise a user would look for the fault at the wrong place.
#[test]
fn a_refusal_tells_why_for_how_long_and_when_the_next_attempt_is_made() {
    let pair = Pair::with(FakeSite::start_refusing(), "", "'connect_retry': 600");
    let text = awaited("it is refused", || Some(refusal(&pair)));
    let (before, after) = text.split_once(" (for ").unwrap();
    assert_eq!(before, "Site muc is not reachable: Connection refused");
    let pause = next_attempt(after).unwrap();
    assert!((1..=600).contains(&pause), "{text:?}");

    std::thread::sleep(Duration::from_millis(1_100));
    let text = refusal(&pair);
    let (_, lasted) = text.split_once(" (for ").unwrap();
    let lasted: u64 = lasted.split(' ').next().unwrap().parse().unwrap();
    assert!(lasted >= 1, "{text:?}");
    assert!(next_attempt(&text).unwrap() < pause, "{text:?}");
}
