//! How often a site that is away is called.

use std::time::Duration;

use liveproxyd::pool::{Refusal, Settings, State};

use crate::driven::settings;
use crate::scene::{Door, Scene};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// `connect_retry` as it is by default.
const RETRY: Duration = Duration::from_secs(4);

/// A site that refuses from the beginning.
fn away(seed: u64) -> Scene {
    let mut scene = Scene::new(settings(), seed);
    scene.door = Door::Refuses;
    scene.close_all();
    scene
}

/// The pauses between the attempts that began after `since`.
fn pauses(scene: &Scene, since: Duration) -> Vec<Duration> {
    let opens: Vec<_> = scene.opens.iter().filter(|at| **at >= since).collect();
    opens.windows(2).map(|pair| *pair[1] - *pair[0]).collect()
}

#[test]
fn pauses_grow_to_a_minute_with_jitter() {
    let mut scene = away(1);
    scene.pass(60 * MINUTE);
    let pauses = pauses(&scene, Duration::ZERO);
    assert!(pauses.iter().all(|pause| *pause <= MINUTE + SECOND));
    assert!(pauses[1] >= RETRY, "{pauses:?}");
    let late = &pauses[12..];
    assert!(late.len() > 40, "it was given up: {pauses:?}");
    // A fifth less at most, and not always the same.
    assert!(
        late.iter().all(|pause| *pause >= MINUTE * 4 / 5),
        "{late:?}"
    );
    let (least, most) = (late.iter().min().unwrap(), late.iter().max().unwrap());
    assert!(*most - *least > 5 * SECOND, "{late:?}");
    assert_eq!(scene.times(State::Dead), 1, "told once");
}

#[test]
fn sites_that_went_together_are_not_called_together() {
    let attempts = |seed| {
        let mut scene = away(seed);
        scene.pass(10 * MINUTE);
        *scene.opens.last().unwrap()
    };
    let mut last: Vec<Duration> = (1..=600).map(attempts).collect();
    last.sort_unstable();
    let most = (0..last.len())
        .map(|first| {
            let end = last[first] + SECOND;
            last[first..].iter().take_while(|at| **at < end).count()
        })
        .max();
    assert!(most.unwrap() < 60, "{most:?} of 600 within one second");
}

#[test]
fn one_attempt_at_a_time_while_connects_hang() {
    let mut scene = Scene::new(settings(), 1);
    scene.door = Door::Ignores;
    scene.close_all();
    for _ in 0..1_000 {
        scene.ask();
        // The scene itself fails where two attempts are under way.
        scene.pass(SECOND / 3);
    }
    let pauses = pauses(&scene, SECOND);
    assert!(pauses.len() > 20, "{pauses:?}");
    // Each takes its ten seconds.
    assert!(
        pauses.iter().all(|pause| *pause >= 10 * SECOND),
        "{pauses:?}"
    );
}

#[test]
fn a_minute_in_good_health_ends_what_was_before() {
    for (well, forgiven) in [(50, false), (70, true)] {
        let mut scene = away(1);
        scene.pass(20 * MINUTE);
        scene.door = Door::Accepts;
        scene.pass_until(2 * MINUTE, |scene| scene.site.state() == State::Ready);
        scene.pass(well * SECOND);
        scene.door = Door::Refuses;
        scene.close_all();
        assert_ne!(scene.site.state(), State::Starting);
        let gone = scene.time();
        scene.pass(10 * MINUTE);
        let pauses = pauses(&scene, gone);
        if forgiven {
            assert!(pauses[0] <= RETRY + SECOND, "{well} s: {pauses:?}");
            assert!(pauses[1] <= RETRY * 2, "{well} s: {pauses:?}");
        } else {
            // The first attempt comes soon: it was well.
            assert!(pauses[0] <= RETRY + SECOND, "{well} s: {pauses:?}");
            assert!(pauses[1] >= MINUTE / 2, "{well} s: {pauses:?}");
        }
    }
}

#[test]
fn queries_for_a_site_that_is_away_start_one_attempt_each_connect_retry() {
    let mut scene = away(1);
    scene.pass(20 * MINUTE);
    let begin = scene.time();
    let mut asked = 0;
    while scene.time() < begin + 10 * MINUTE {
        for _ in 0..20 {
            scene.ask();
            asked += 1;
            assert_eq!(scene.refused.len(), asked, "refused at once");
        }
        scene.pass(SECOND / 10);
    }
    let unreachable = |refusal: &Refusal| matches!(refusal, Refusal::Unreachable { .. });
    assert!(
        scene
            .refused
            .iter()
            .all(|(_, _, refusal)| unreachable(refusal))
    );
    let pauses = pauses(&scene, begin);
    assert!(pauses.iter().all(|pause| *pause >= RETRY), "{pauses:?}");
    assert!(
        pauses.iter().all(|pause| *pause < RETRY + SECOND),
        "{pauses:?}"
    );
}

#[test]
fn the_query_that_starts_an_attempt_is_refused_and_the_next_one_served() {
    let mut scene = away(1);
    scene.pass(20 * MINUTE);
    scene.door = Door::Accepts;
    // So that no attempt of its own accord is near.
    let last = *scene.opens.last().unwrap();
    scene.pass(last + RETRY * 2 - scene.time().min(last + RETRY * 2));
    if scene.site.state() != State::Dead {
        panic!("it came back by itself");
    }
    let opens = scene.opens.len();
    let first = scene.ask();
    assert_eq!(
        scene.refused.last().map(|(_, query, _)| *query),
        Some(first)
    );
    let Some((_, _, Refusal::Unreachable { next: None, .. })) = scene.refused.last() else {
        panic!("an attempt is under way: {:?}", scene.refused.last());
    };
    assert_eq!(scene.opens.len(), opens + 1);
    scene.pass(SECOND);
    let second = scene.ask();
    scene.pass(SECOND);
    assert_eq!(scene.answered.last().map(|(_, query)| *query), Some(second));
}

/// A core that is started twice in a row has been away once, however many channels it had by then.
#[test]
fn many_new_channels_that_are_lost_together_are_one_failure() {
    let settings = Settings {
        channels: 50,
        ..settings()
    };
    let mut scene = Scene::new(settings, 1);
    scene.pass_until(MINUTE, |scene| scene.site.open_channels() == 30);
    scene.close_all();
    assert_eq!(scene.site.state(), State::Dead);
    let gone = scene.time();
    scene.pass_until(MINUTE, |scene| scene.site.state() == State::Ready);
    let away = scene.time() - gone;
    // A channel that is as new as those were is watched for a second before it counts.
    assert!(away <= RETRY + SECOND * 2, "{away:?}");
}

/// xinetd shuts a port for everybody after more than 100 connects in a second. Channels that have
/// served are replaced at once, so that it is their pace that matters.
#[test]
fn a_site_that_hangs_up_after_each_answer_is_not_called_in_a_burst() {
    let settings = Settings {
        channels: 10,
        ..settings()
    };
    let mut scene = Scene::new(settings, 1);
    scene.connect = Duration::from_micros(200);
    scene.heartbeat = Duration::from_micros(200);
    scene.query = Duration::from_micros(200);
    scene.hangs_up = true;
    for _ in 0..2_000 {
        scene.ask();
        scene.pass(Duration::from_millis(5));
    }
    assert!(scene.opens.len() > 300, "{}", scene.opens.len());
    let from = |first: usize| {
        let end = scene.opens[first] + SECOND;
        let rest = &scene.opens[first..];
        rest.iter().take_while(|at| **at < end).count()
    };
    let most = (0..scene.opens.len()).map(from).max();
    assert!(most <= Some(100), "{most:?} connects in a second");
}
