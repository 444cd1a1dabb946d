//! A query that takes long is no illness, even if all channels are taken by such.

use std::time::Duration;

use liveproxyd::pool::{Refusal, Settings, State};

use crate::driven::settings;
use crate::scene::{Door, Scene};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Ten channels, all of them at a query that takes as long.
fn taken_for(time: Duration) -> Scene {
    let settings = Settings {
        channels: 10,
        ..settings()
    };
    let mut scene = Scene::new(settings, 1);
    scene.pass_until(MINUTE, |scene| scene.site.open_channels() == 10);
    scene.query = time;
    for _ in 0..10 {
        scene.ask();
    }
    assert_eq!(scene.site.waiting(), 0);
    scene
}

#[test]
fn ten_queries_of_a_minute_on_ten_channels_are_all_answered() {
    let mut scene = taken_for(MINUTE);
    scene.pass(MINUTE + SECOND);
    assert_eq!(scene.answered.len(), 10);
    assert_eq!(scene.refused, []);
    assert_eq!(scene.site.open_channels(), 10);
    // After 3 s and 2 s in silence, and after each answer to one.
    assert!((10..=12).contains(&scene.probes), "{}", scene.probes);
    assert_eq!(
        scene.closes.len(),
        scene.probes,
        "no other channel was closed"
    );
    let states: Vec<State> = scene.states.iter().map(|(_, state)| *state).collect();
    assert_eq!(states, [State::Ready]);
}

#[test]
fn one_query_after_another_of_a_minute_keeps_the_site_well_for_hours() {
    let mut scene = taken_for(MINUTE);
    for _ in 0..200 {
        scene.pass(MINUTE - SECOND);
        // They come in time to be served by the channels that are about to get free.
        for _ in 0..10 {
            scene.ask();
        }
        scene.pass(SECOND);
    }
    scene.pass(MINUTE);
    assert_eq!(scene.answered.len(), 2_010);
    assert_eq!(scene.times(State::Dead), 0);
    assert_eq!(scene.refused, []);
}

#[test]
fn those_who_wait_beside_long_queries_are_told_that_all_channels_are_busy() {
    let mut scene = taken_for(MINUTE);
    scene.pass(20 * SECOND);
    let asked = scene.time();
    let late = scene.ask();
    scene.pass(MINUTE);
    let refusal = Refusal::Busy {
        channels: 10,
        waited: 5 * SECOND,
    };
    assert_eq!(scene.refused, [(asked + 5 * SECOND, late, refusal)]);
    assert_eq!(scene.answered.len(), 10);
    let states: Vec<State> = scene.states.iter().map(|(_, state)| *state).collect();
    assert_eq!(states, [State::Ready, State::Busy, State::Ready]);
}

/// It accepts the probe and is silent on it: its threads are all at work.
#[test]
fn running_queries_go_on_while_even_the_probe_gets_no_answer() {
    let mut scene = taken_for(MINUTE);
    scene.heartbeat = 10 * MINUTE;
    scene.pass(20 * SECOND);
    assert_eq!(scene.site.state(), State::Busy);
    scene.ask();
    assert!(matches!(scene.refused[..], [(_, _, Refusal::Mute { .. })]));
    scene.pass_until(MINUTE, |scene| scene.answered.len() == 10);
    assert_eq!(scene.times(State::Dead), 0);
}

#[test]
fn running_queries_are_told_when_the_probe_is_refused() {
    let mut scene = taken_for(MINUTE);
    scene.door = Door::Refuses;
    scene.pass(20 * SECOND);
    assert_eq!(scene.site.state(), State::Dead);
    assert_eq!(scene.refused.len(), 10);
    assert_eq!(scene.answered, []);
}
