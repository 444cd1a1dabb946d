//! A site that is slow is not ill, and one channel that has gone silent is not the site.

use std::time::Duration;

use liveproxyd::config::HeartbeatTimeout;
use liveproxyd::pool::{Loss, Settings, State};

use crate::driven::settings;
use crate::random::Random;
use crate::scene::{Door, Scene};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// What the documents say of a fast site: heartbeats every 3 s, each with 2 s.
const INTERVAL: Duration = Duration::from_secs(3);
const LEAST_TIMEOUT: Duration = Duration::from_secs(2);

fn ten() -> Settings {
    Settings {
        channels: 10,
        ..settings()
    }
}

/// Ten channels, all proved.
fn whole_site() -> Scene {
    let mut scene = Scene::new(ten(), 1);
    scene.pass_until(MINUTE, |scene| scene.site.open_channels() == 10);
    scene
}

#[track_caller]
fn expect_never_ill(scene: &Scene) {
    let states: Vec<State> = scene.states.iter().map(|(_, state)| *state).collect();
    assert_eq!(states, [State::Ready], "{:?}", scene.closes);
    assert_eq!(scene.closes, [], "no channel was lost");
}

#[test]
fn a_site_that_was_always_slow_stays_ready() {
    for millis in [1_500, 2_500, 4_500, 9_000] {
        let mut scene = Scene::new(ten(), 1);
        scene.heartbeat = Duration::from_millis(millis);
        scene.pass(HOUR);
        expect_never_ill(&scene);
        assert_eq!(scene.site.open_channels(), 10, "{millis} ms");
        assert!(scene.beats.len() > 1_000, "{}", scene.beats.len());
    }
}

#[test]
fn a_site_that_gets_slower_by_and_by_stays_ready() {
    let mut scene = whole_site();
    let (first, last) = (scene.heartbeat, 8 * SECOND);
    while scene.heartbeat < last {
        scene.heartbeat = scene.heartbeat * 102 / 100;
        scene.pass(INTERVAL);
    }
    scene.pass(HOUR);
    assert!(scene.heartbeat >= first * 800);
    expect_never_ill(&scene);
}

#[test]
fn a_site_whose_answers_take_now_longer_now_shorter_stays_ready() {
    let mut scene = whole_site();
    let mut random = Random::new(1);
    for _ in 0..5_000 {
        scene.heartbeat = Duration::from_millis(1 + random.below(1_990));
        scene.pass(SECOND);
    }
    expect_never_ill(&scene);
}

/// From one heartbeat to the next it takes a hundred times as long: that may look like a death, but
/// only once, for a new channel has time enough to show what is typical now.
#[test]
fn a_site_that_gets_slow_all_at_once_does_not_flap() {
    let mut scene = whole_site();
    scene.pass(HOUR);
    scene.heartbeat = 6 * SECOND;
    scene.pass(HOUR);
    assert!(scene.times(State::Dead) <= 1, "{:?}", scene.states);
    assert_eq!(scene.site.state(), State::Ready);
    assert_eq!(scene.site.open_channels(), 10);
}

#[test]
fn patience_with_a_site_goes_back_when_it_gets_fast_again() {
    let mut scene = Scene::new(ten(), 1);
    scene.heartbeat = 8 * SECOND;
    scene.pass(HOUR);
    scene.heartbeat = Duration::from_millis(10);
    // Twenty heartbeats, and those that are still under way.
    scene.pass(INTERVAL * 25);
    expect_never_ill(&scene);
    scene.filter_all();
    scene.door = Door::Ignores;
    let silent = scene.time();
    scene.pass_until(MINUTE, |scene| scene.times(State::Dead) == 1);
    let noticed = scene.time() - silent;
    assert!(noticed <= INTERVAL + LEAST_TIMEOUT, "{noticed:?}");
}

#[test]
fn a_time_out_in_seconds_does_not_follow_the_site() {
    let mut fixed = ten();
    fixed.heartbeat.timeout = HeartbeatTimeout::Fixed(SECOND);
    let mut scene = Scene::new(fixed, 1);
    scene.heartbeat = Duration::from_millis(990);
    scene.pass(HOUR);
    expect_never_ill(&scene);
    scene.heartbeat = Duration::from_millis(1_010);
    scene.pass(MINUTE);
    let missed = |(_, loss): &(Duration, Loss)| *loss == Loss::Missed(SECOND);
    assert!(scene.closes.iter().any(missed), "{:?}", scene.closes);
}

/// A firewall forgets a connection on which nothing was said for long: exactly where no query shows
/// that the site lives.
#[test]
fn a_channel_that_a_firewall_has_forgotten_costs_one_channel() {
    for forgotten in 0..10 {
        let mut scene = whole_site();
        scene.filter([forgotten]);
        scene.pass(10 * MINUTE);
        let states: Vec<State> = scene.states.iter().map(|(_, state)| *state).collect();
        assert_eq!(states, [State::Ready], "{:?}", scene.closes);
        let lost: Vec<&Loss> = scene.closes.iter().map(|(_, loss)| loss).collect();
        assert_eq!(lost, [&Loss::Missed(LEAST_TIMEOUT)]);
        assert_eq!(scene.site.open_channels(), 10, "it was not replaced");
        assert_eq!(scene.opens.len(), 11);

        let at = scene.closes[0].0;
        let meanwhile = |(time, channel): &&(Duration, u8)| {
            *time < at && *time > at - LEAST_TIMEOUT && *channel != forgotten
        };
        let asked = scene.beats.iter().filter(meanwhile).count();
        assert!((1..9).contains(&asked), "{asked} others were asked");
    }
}

#[test]
fn channels_that_are_forgotten_one_by_one_never_make_the_site_dead() {
    let mut scene = whole_site();
    let mut random = Random::new(7);
    for _ in 0..500 {
        scene.pass(Duration::from_millis(random.below(30_000)));
        if scene.site.open_channels() == 10 {
            scene.filter([random.below(10) as u8]);
        }
    }
    scene.pass(MINUTE);
    assert_eq!(scene.times(State::Dead), 0, "{:?}", scene.states);
    assert!(scene.closes.len() > 200, "{}", scene.closes.len());
    assert_eq!(scene.site.open_channels(), 10);
}

#[test]
fn one_channel_that_answers_keeps_the_site_alive() {
    for alive in 0..10 {
        let mut scene = whole_site();
        scene.filter((0..10).filter(|channel| *channel != alive));
        scene.pass(MINUTE);
        assert_eq!(scene.times(State::Dead), 0, "{alive}: {:?}", scene.closes);
        assert_eq!(scene.closes.len(), 9);
        assert_eq!(scene.site.open_channels(), 10);
    }
}

/// A firewall that starts anew has forgotten all connections, and nothing tells that from a death.
#[test]
fn a_site_all_of_whose_channels_were_forgotten_is_back_with_the_next_attempt() {
    let mut scene = whole_site();
    scene.filter_all();
    let forgotten = scene.time();
    scene.pass_until(MINUTE, |scene| scene.times(State::Dead) == 1);
    scene.pass_until(MINUTE, |scene| scene.site.state() == State::Ready);
    let away = scene.time() - forgotten;
    let retry = settings().connect_retry;
    assert!(
        away <= INTERVAL + LEAST_TIMEOUT + retry + SECOND,
        "{away:?}"
    );
    scene.pass(MINUTE);
    assert_eq!(scene.times(State::Dead), 1, "{:?}", scene.states);
    assert_eq!(scene.site.open_channels(), 10);
}

#[test]
fn a_site_that_is_silent_on_all_channels_is_dead() {
    for (door, heartbeat) in [
        (Door::Refuses, SECOND),
        (Door::Ignores, SECOND),
        // It is stopped: the system goes on accepting for it.
        (Door::Accepts, HOUR),
    ] {
        let mut scene = whole_site();
        scene.filter_all();
        scene.door = door;
        scene.heartbeat = heartbeat;
        scene.pass(INTERVAL + LEAST_TIMEOUT);
        assert_eq!(scene.site.state(), State::Dead, "{door:?}");
        scene.door = Door::Accepts;
        scene.heartbeat = SECOND;
        scene.pass(MINUTE);
        assert_eq!(scene.site.state(), State::Ready, "{door:?}");
        assert_eq!(scene.site.open_channels(), 10, "{door:?}");
    }
}

/// Each attempt at the channel that it does not take is a failure, and those must not add up with a
/// heartbeat that was lost on the way.
#[test]
fn a_forgotten_channel_costs_one_channel_where_the_site_takes_fewer_than_configured() {
    for after in 0..20 {
        let mut scene = Scene::new(ten(), 1);
        scene.door = Door::AcceptsOnly(5);
        scene.pass(MINUTE + SECOND / 2 * after);
        assert_eq!(scene.site.open_channels(), 5);
        scene.filter([2]);
        scene.pass(MINUTE);
        assert_eq!(scene.times(State::Dead), 0, "{after}: {:?}", scene.closes);
        assert_eq!(scene.closes.len(), 1);
    }
}
