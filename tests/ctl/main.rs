//! Tests of `liveproxyctl` against a scripted control socket, and against a daemon that runs.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod away;
mod checks;
mod fake;
mod metrics;
mod orders;
mod queries;
mod real;
mod shows;
mod tables;
mod top;
