//! What the integration tests stand on: the daemon as a child process, clients of it, and a
//! scripted fake site behind it. It knows the daemon from outside only, never its types.

// Every test binary compiles this module for itself and uses only a part of it.
#![allow(dead_code, unused_imports)]
#![allow(clippy::unwrap_used)]

pub mod background;
pub mod certificates;
pub mod chain;
pub mod client;
pub mod config;
pub mod console;
pub mod crowd;
pub mod daemon;
pub mod load;
pub mod namespace;
pub mod patience;
pub mod root;
pub mod site;
pub mod stream;
pub mod tls;

pub use background::Background;
pub use client::{Client, Response};
pub use config::{Spec, site};
pub use console::Console;
pub use crowd::Crowd;
pub use daemon::Daemon;
pub use load::Load;
pub use namespace::{BlackHole, Namespace};
pub use patience::{awaited, eventually, stretched};
pub use root::Root;
pub use site::{Event, FakeSite, Fault, Place};
