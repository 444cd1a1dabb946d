//! Whom the channels trust: one rustls configuration for each file of trusted
//! certificates, made anew when the file has changed.

use super::ca_file::{self, Certificates, Stamp};
use super::session::{Session, Wire};
use super::verify::Verifier;
use crate::config::Tls;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A file is looked at no more often than this: many channels open at once.
const LOOK_PAUSE: Duration = Duration::from_secs(2);

/// What is made of a file; the error is for a person.
type Made = Result<Arc<ClientConfig>, String>;

/// A file of trusted certificates.
#[derive(Debug)]
struct Watched {
    looked: Instant,
    /// What it was like when it was looked at last; the error is why it could not be.
    stamp: Result<Stamp, String>,
    certificates: Option<Arc<Certificates>>,
    made: Made,
}

/// Makes the sessions of channels.
#[derive(Debug)]
pub struct Trust {
    provider: Arc<CryptoProvider>,
    files: HashMap<PathBuf, Watched>,
    /// Where nothing is checked.
    unverified: Option<Made>,
    wire: Wire,
}

impl Default for Trust {
    fn default() -> Self {
        Trust {
            provider: super::cryptography(),
            files: HashMap::new(),
            unverified: None,
            wire: Wire::default(),
        }
    }
}

impl Trust {
    /// The client's side of a session with the site at `address`. The error,
    /// for a person: it is not known whom to trust.
    pub fn session(&mut self, tls: &Tls, address: IpAddr, now: Instant) -> Result<Session, String> {
        let config = match (tls.verify, &tls.ca_file) {
            (false, _) => {
                let provider = &self.provider;
                let made = self.unverified.get_or_insert_with(|| make(provider, None));
                made.clone()?
            }
            (true, Some(path)) => self.of_file(path, now)?,
            (true, None) => return Err("no file of trusted certificates is named".into()),
        };
        Session::client(config, address, self.wire.clone())
    }

    fn of_file(&mut self, path: &Path, now: Instant) -> Made {
        let watched = match self.files.get_mut(path) {
            Some(watched) if now < watched.looked + LOOK_PAUSE => return watched.made.clone(),
            Some(watched) => watched,
            None => {
                let watched = Watched {
                    looked: now,
                    stamp: Err(String::new()),
                    certificates: None,
                    made: Err(String::new()),
                };
                self.files.entry(path.into()).or_insert(watched)
            }
        };
        watched.look(path, &self.provider, now);
        watched.made.clone()
    }
}

impl Watched {
    /// Reads the file if it is another one than before. One that cannot be used
    /// changes nothing where there was a good one, and is told once.
    fn look(&mut self, path: &Path, provider: &Arc<CryptoProvider>, now: Instant) {
        self.looked = now;
        let stamp = ca_file::stamp(path);
        if stamp == self.stamp {
            return;
        }
        // Taken before reading: what is written meanwhile is another stamp.
        self.stamp = stamp.clone();
        let found = stamp.and_then(|_| ca_file::read(path));
        match (found, &self.certificates) {
            (Ok(found), Some(known)) if found == **known => {}
            (Ok(found), _) => {
                let found = Arc::new(found);
                let (count, path) = (found.len(), path.display());
                log::info!("trusted certificates: {count}, read from {path}");
                self.made = make(provider, Some(&found));
                self.certificates = Some(found);
            }
            (Err(why), Some(_)) => {
                log::warn!("{why}; the certificates that were in it before go on being trusted");
            }
            (Err(why), None) => {
                log::warn!("{why}; no certificate is trusted by it");
                self.made = Err(why);
            }
        }
    }
}

fn make(provider: &Arc<CryptoProvider>, trusted: Option<&Arc<Certificates>>) -> Made {
    let verifier = Verifier {
        trusted: trusted.cloned(),
        provider: Arc::clone(provider),
    };
    let mut config = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.enable_sni = false;
    // A resumed session would not have its certificate looked at again, and
    // channels are opened seldom.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}
