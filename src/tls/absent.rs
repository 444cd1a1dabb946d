//! Stands in for TLS in a build without it: there are no sessions.

use super::IdentityFiles;
use crate::config::Tls;
use crate::stream::{Arrival, Line};
use std::io;
use std::net::IpAddr;
use std::time::Instant;

/// A session that cannot be.
#[derive(Debug)]
pub enum Session {}

impl Session {
    /// See the real one.
    pub fn shake_hands(&mut self, _: &mut Line<'_>) -> io::Result<bool> {
        match *self {}
    }

    /// See the real one.
    pub fn read(&mut self, _: &mut [u8], _: &mut Line<'_>) -> io::Result<Arrival> {
        match *self {}
    }

    /// See the real one.
    pub fn write(&mut self, _: &[u8], _: &mut Line<'_>) -> io::Result<usize> {
        match *self {}
    }

    /// See the real one.
    pub fn end(&mut self, _: &mut Line<'_>) {
        match *self {}
    }

    /// See the real one.
    pub fn is_flushed(&self) -> bool {
        match *self {}
    }

    /// See the real one.
    pub fn is_shaking_hands(&self) -> bool {
        match *self {}
    }

    /// See the real one.
    pub fn has_more(&self) -> bool {
        match *self {}
    }
}

/// Shows nothing.
#[derive(Debug)]
pub struct Identity {}

impl Identity {
    /// See the real one.
    pub fn new(_: IdentityFiles) -> Identity {
        Identity {}
    }

    /// Always the error. It is not met: such ports are refused at the start.
    pub fn session(&mut self, _: Instant) -> Result<Session, String> {
        Err("this build of the daemon has no TLS".into())
    }
}

impl IdentityFiles {
    /// Always the error.
    pub fn check(&self) -> Result<(), String> {
        Err("this build of the daemon has no TLS".into())
    }
}

/// Makes no session.
#[derive(Debug, Default)]
pub struct Trust {}

impl Trust {
    /// Always the error. It is not met: such sites are refused at the start.
    pub fn session(&mut self, _: &Tls, _: IpAddr, _: Instant) -> Result<Session, String> {
        Err("this build of the daemon cannot connect with TLS".into())
    }
}
