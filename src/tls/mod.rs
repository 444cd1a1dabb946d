//! TLS for channels: who is trusted, the handshake, and what goes wrong with
//! it. Nothing in here touches a socket; [`crate::stream`] lends its own.
//!
//! Without the cargo feature `tls` there is a stand-in that can make no session.

#[cfg(not(feature = "tls"))]
mod absent;
#[cfg(feature = "tls")]
mod ca_file;
mod problem;
#[cfg(feature = "tls")]
mod session;
#[cfg(feature = "tls")]
mod trust;
#[cfg(feature = "tls")]
mod validity;
#[cfg(feature = "tls")]
mod verify;

#[cfg(not(feature = "tls"))]
pub use absent::{Session, Trust};
pub use problem::{Problem, is_alert};
#[cfg(feature = "tls")]
pub use session::Session;
#[cfg(feature = "tls")]
pub use trust::Trust;

/// Whether this build can connect with TLS.
pub const IS_BUILT_IN: bool = cfg!(feature = "tls");
