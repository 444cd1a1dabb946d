//! Livestatus on the wire, as pure functions of bytes: what a client sends
//! ([`request`]) and what a site answers ([`response`]). Knows no sockets, no
//! clock and no log.

pub mod request;
pub mod response;
