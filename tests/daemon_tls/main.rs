//! What holds between the daemon and a site holds over TLS too: the same tests as in `daemon`, with
//! every site on TCP reached over TLS. The support sees to that, by the name of this binary.

// A failed unwrap is the message a test needs.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

#[path = "../daemon/answers.rs"]
mod answers;
#[path = "../daemon/command_failures.rs"]
mod command_failures;
#[path = "../daemon/command_proofs.rs"]
mod command_proofs;
#[path = "../daemon/commands.rs"]
mod commands;
#[path = "../daemon/health.rs"]
mod health;
#[path = "../daemon/on_demand.rs"]
mod on_demand;
// Not everything in it is needed here.
#[allow(dead_code)]
#[path = "../daemon/pair.rs"]
mod pair;
#[path = "../daemon/pool.rs"]
mod pool;
#[path = "../daemon/query.rs"]
mod query;
#[path = "../daemon/waits.rs"]
mod waits;
