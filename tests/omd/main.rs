//! What surrounds the daemon: OMD's hook and init script, the scripts that install them, the systemd unit, and the
//! import of a GUI's sites. The scripts run as the user of a made-up OMD site.

// A failed unwrap is the message a test needs.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod hook;
mod import;
mod init;
mod install;
mod site;
mod unit;
