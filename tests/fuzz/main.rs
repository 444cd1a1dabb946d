//! Any bytes, to everything that reads bytes from outside, and any order of events to the policy.
//!
//! Each target is tried for a short time with its seeds and with what a simple driver makes of them;
//! `tests/fuzz/run` goes on for as long as wanted, and under libFuzzer finds its way by coverage.

#![allow(clippy::unwrap_used)]

mod driver;
mod mutation;
#[path = "../simulation/random.rs"]
mod random;
mod targets;
#[path = "../simulation/world.rs"]
mod world;

use driver::try_out;

#[test]
fn the_configuration_reads_back_as_it_is_shown() {
    try_out("config");
}

#[test]
fn requests_are_framed_and_rewritten_as_a_slow_reader_would() {
    try_out("requests");
}

#[test]
fn responses_are_framed_as_a_slow_reader_would() {
    try_out("responses");
}

#[test]
fn the_control_socket_answers_whatever_it_is_asked() {
    try_out("console");
}

#[test]
fn an_import_is_read_back_as_it_was_planned() {
    try_out("import");
}

#[test]
fn the_pool_keeps_its_promises_in_circumstances_that_are_thought_up() {
    try_out("pool");
}
