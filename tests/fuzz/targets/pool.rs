//! The pool's policy in circumstances made of bytes, beside the model of the simulation.

use liveproxyd::pool::Input;

use crate::world::World;

/// Every byte decides something: what happens next, to which channel, and how.
pub fn run(input: &[u8]) {
    let mut world = World::given(input, false);
    world.hand_in(Input::Due);
    while !world.is_used_up() {
        world.step();
    }
    world.calm_down();
    world.retire();
}
