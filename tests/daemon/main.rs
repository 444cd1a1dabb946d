//! The daemon between real sockets: clients on one side, a scripted fake site on the other.

// A failed unwrap is the message a test needs.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod background;
mod black_hole;
mod command_failures;
mod command_proofs;
mod commands;
mod control;
mod control_counters;
mod control_memory;
mod control_values;
mod fairness;
mod fake_site;
mod health;
mod killed;
mod life;
mod log;
mod loop_health;
mod many_sites;
mod memory;
mod misuse;
mod neighbours;
mod on_demand;
mod orders;
mod pair;
mod pool;
mod port;
mod port_chain;
mod port_takeover;
mod port_tls;
mod query;
mod reconnect;
mod regressions;
mod reload;
mod reload_moves;
mod restart;
mod sick;
mod sick_silent;
mod slow_clients;
mod slow_sites;
mod state_file;
mod stop;
mod story;
mod supervisor;
mod takeover;
mod tls;
mod tls_trust;
mod vanishing;
mod waits;
