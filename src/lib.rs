//! A proxy for Livestatus, the line protocol in which monitoring cores are
//! asked for their state. For each site there is one UNIX socket, and behind
//! it a pool of channels that stay connected. One process, one thread, one
//! event loop.
//!
//! # The way of a query
//!
//! ```text
//!                 lines, rewritten            first come, first served
//!          bytes ┌────────────────┐  request ┌───────────────────────┐  Assign
//! client ───────►│ client         ├─────────►│ pool::Site            ├──────────┐
//!                │ proto::request │          │ queue, channel states,│          ▼
//!                └────────────────┘          │ heartbeats, retries   │   ┌────────────────┐ bytes
//!                                            └──────▲─────────┬──────┘   │ channel        ├──────► site
//!                         Answered, Beaten, Lost ...│         │          │ proto::response│◄──────
//!                                                   └─────────│──────────┤                │
//!                ┌────────────────┐                           │ Refuse   └───────┬────────┘
//! client ◄───────┤ query          │◄──────────────────────────┘                  │
//!          bytes │ its response   │◄─────────────────────────────────────────────┘
//!                └────────────────┘  held whole; passed on while it comes if large and fast
//! ```
//!
//! The query is the thing with a life: received, waiting, sent, answered. Its
//! response belongs to it and not to a connection, so a slow client keeps no
//! channel and a lost channel cuts no client.
//!
//! # Who may know whom
//!
//! ```text
//! main ─► cli, life ─► startup ─► config  Python syntax in, checked settings out; pure but for config::files
//!             │
//!             ▼
//!         reactor ─► client, channel ─► query ─► response ─► proto, memory
//!             │           └─► stream ◄─► tls     the only sockets beside listen
//!             ├─► pool ─► config, proto         policy; told what happened, says what to do; pure
//!             ├─► listen, resolve
//!             ├─► report ─► console, state_file  how everything is, for those who ask; pure
//!             └─► slots, timers
//! ```
//!
//! `liveproxyctl` is a program of its own: [`ctl`] asks the daemon over its
//! control socket and shares with it only names and places.
//!
//! [`proto`] and [`pool`] are pure: no sockets, no clock, no log. That is what
//! the simulation in `tests/simulation` lives on, and `tests/layering.rs`
//! keeps it so.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod cli;
pub mod config;
pub mod import;
pub mod life;
pub mod places;
pub mod predecessor;
pub mod replace;
pub mod startup;
pub mod successor;

pub mod reactor;

pub mod channel;
pub mod client;
pub mod query;
pub mod response;

pub mod pool;
pub mod proto;

pub mod listen;
pub mod resolve;
pub mod stream;
pub mod tls;

pub mod console;
pub mod counters;
pub mod report;
pub mod state_file;

pub mod fnv;
pub mod ids;
pub mod memory;
pub mod slots;
pub mod timers;

pub mod logging;
pub mod process;
pub mod regular;
pub mod supervisor;
pub mod sys;

pub mod ctl;
pub mod demo;
