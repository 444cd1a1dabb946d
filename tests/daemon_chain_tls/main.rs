//! What holds for one daemon holds for two in a row, of which the one in front reaches the other
//! on a TCP port over TLS: the same tests as in `daemon`. The support sees to that, by the name of this binary.

// A failed unwrap is the message a test needs.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

#[path = "../daemon/answers.rs"]
mod answers;
#[path = "../daemon/command_failures.rs"]
mod command_failures;
#[path = "../daemon/commands.rs"]
mod commands;
// Not everything in it is needed here.
#[allow(dead_code)]
#[path = "../daemon/pair.rs"]
mod pair;
#[path = "../daemon/query.rs"]
mod query;
