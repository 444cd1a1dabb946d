//! Random walks: `LIVEPROXYD_SEED=n cargo test --test simulation walk` replays one seed with every
//! step printed, and `LIVEPROXYD_SEEDS=n` widens the walk. A failing run prints its seed.
//! `LIVEPROXYD_WALK=file` prints the steps of an input that was found by fuzzing.

use std::collections::BTreeMap;

use liveproxyd::pool::Input;

use crate::world::World;

/// Walks of a normal test run, and steps of each.
const SEEDS: u64 = 400;
const STEPS: usize = 2_000;

/// Prints the seed if the walk panics.
struct OnPanic(u64);

impl Drop for OnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("replay with LIVEPROXYD_SEED={}", self.0);
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn walk(seed: u64, loud: bool) -> BTreeMap<&'static str, u64> {
    let on_panic = OnPanic(seed);
    let mut world = World::new(seed, loud);
    world.hand_in(Input::Due);
    for _ in 0..STEPS {
        world.step();
    }
    world.calm_down();
    for _ in 0..STEPS / 10 {
        world.step();
    }
    world.retire();
    std::mem::forget(on_panic);
    world.seen
}

/// As the fuzz target `pool` does it, with every step printed.
fn replay(bytes: &[u8]) {
    let mut world = World::given(bytes, true);
    world.hand_in(Input::Due);
    while !world.is_used_up() {
        world.step();
    }
    world.calm_down();
    world.retire();
}

/// A reload made the probe due in the moment in which a channel had been tried: two at once.
#[test]
fn a_reload_in_the_moment_of_an_attempt_makes_no_burst() {
    walk(63_878, false);
}

#[test]
fn the_pool_keeps_its_promises_through_random_events() {
    if let Some(path) = std::env::var_os("LIVEPROXYD_WALK") {
        return replay(&std::fs::read(path).unwrap());
    }
    if let Some(seed) = number("LIVEPROXYD_SEED") {
        println!("{:?}", walk(seed, true));
        return;
    }
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..number("LIVEPROXYD_SEEDS").unwrap_or(SEEDS) {
        for (what, times) in walk(seed, false) {
            *seen.entry(what).or_default() += times;
        }
    }
    for what in [
        "open",
        "ready",
        "busy",
        "dead",
        "answered",
        "retried",
        "lost twice",
        "timed out",
        "refused after waiting",
        "refused: unreachable",
        "wait",
        "glance",
        "held",
        "put back",
        "unknown",
        "probe",
        "mute",
        "limit",
        "limited",
        "more places",
        "a wait ended",
        "abandoned",
        "renewed",
        "watched",
    ] {
        assert!(
            seen.get(what).is_some_and(|times| *times > 30),
            "{what}: {seen:?}"
        );
    }
}
