//! Tests with real peers of the proxy: monitoring cores that it asks, clients
//! that ask it, and programs that read the same configuration. They need Debian
//! packages, so plain `cargo test` leaves them out; `tests/run` installs what is
//! missing and runs `cargo test --test peers`.

#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod clients;
mod icinga2;
mod icinga2_checks;
mod icinga2_queries;
mod icinga2_site;
mod ports;
mod promtool;
mod python_config;
mod tls;
