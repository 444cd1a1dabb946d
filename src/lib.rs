//! liveproxyd
#![cfg_attr(test, allow(clippy::unwrap_used))]
pub mod channel;
pub mod cli;
pub mod client;
pub mod config;
pub mod demo;
pub mod listen;
pub mod logging;
pub mod memory;
pub mod places;
pub mod pool;
pub mod process;
pub mod proto;
pub mod query;
pub mod reactor;
pub mod resolve;
pub mod slots;
pub mod startup;
pub mod stream;
pub mod sys;
pub mod timers;
