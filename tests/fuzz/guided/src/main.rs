//! The same targets under libFuzzer, which finds its way by what of the code an input reaches.
//! Started by `tests/fuzz/run`; `LIVEPROXYD_FUZZ_TARGET` says which target.

#![no_main]
#![allow(clippy::unwrap_used)]

#[path = "../../../simulation/random.rs"]
mod random;
// libFuzzer finds the words of a target by itself.
#[allow(dead_code)]
#[path = "../../targets/mod.rs"]
mod targets;
#[path = "../../../simulation/world.rs"]
mod world;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use targets::{TARGETS, Target};

fn chosen() -> &'static Target {
    let name = std::env::var("LIVEPROXYD_FUZZ_TARGET").unwrap_or_default();
    let target = TARGETS.iter().find(|target| target.name == name);
    target.unwrap_or_else(|| panic!("there is no target {name:?}"))
}

fuzz_target!(|input: &[u8]| {
    static CHOSEN: OnceLock<&Target> = OnceLock::new();
    (CHOSEN.get_or_init(chosen).run)(input);
});
