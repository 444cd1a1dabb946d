//! TLS for channels and for the ports of sites: who is trusted, what is shown,
//! the handshake, and what goes wrong with it. Nothing in here touches a socket; [`crate::stream`] lends its own.
//!
//! Without the cargo feature `tls` there is a stand-in that can make no session.

#[cfg(not(feature = "tls"))]
mod absent;
#[cfg(feature = "tls")]
mod ca_file;
#[cfg(feature = "tls")]
mod identity;
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
pub use absent::{Identity, Session, Trust};
#[cfg(feature = "tls")]
pub use identity::Identity;
pub use problem::{Problem, is_alert, words_of_client};
#[cfg(feature = "tls")]
pub use session::Session;
#[cfg(feature = "tls")]
pub use trust::Trust;

/// Where the certificate stands that the daemon shows on its ports, PEM. Both
/// may be the same file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityFiles {
    /// The certificate, and behind it those that lead to its authority.
    pub certificate: std::path::PathBuf,
    /// Its key, without a password.
    pub key: std::path::PathBuf,
}

/// The cryptography. Which one it is stands here and nowhere else.
#[cfg(feature = "tls")]
fn cryptography() -> std::sync::Arc<rustls::crypto::CryptoProvider> {
    std::sync::Arc::new(rustls::crypto::ring::default_provider())
}

/// Whether this build can connect with TLS.
pub const IS_BUILT_IN: bool = cfg!(feature = "tls");
