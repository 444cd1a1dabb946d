//! What the daemon shows to those who connect to a port over TLS: a certificate
//! and its key, read anew when their files have changed.

use super::IdentityFiles;
use super::ca_file::{self, Stamp};
use super::session::{Session, Wire};
use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The files are looked at no more often than this.
const LOOK_PAUSE: Duration = Duration::from_secs(2);

/// By what the two files are known to be those that were read; the error is
/// why they could not be.
type Stamps = Result<[Stamp; 2], String>;

/// Makes the sessions of clients.
#[derive(Debug)]
pub struct Identity {
    files: IdentityFiles,
    looked: Option<Instant>,
    stamps: Stamps,
    /// What was made of them last.
    made: Result<Arc<ServerConfig>, String>,
    wire: Wire,
}

impl Identity {
    /// What stands in these files, which are not looked at yet.
    pub fn new(files: IdentityFiles) -> Identity {
        Identity {
            files,
            looked: None,
            stamps: Err(String::new()),
            made: Err(String::new()),
            wire: Wire::default(),
        }
    }

    /// The server's side of a session. The error, for a person: there is
    /// nothing to show.
    pub fn session(&mut self, now: Instant) -> Result<Session, String> {
        if self.looked.is_none_or(|looked| now >= looked + LOOK_PAUSE) {
            self.looked = Some(now);
            self.look();
        }
        Session::server(self.made.clone()?, self.wire.clone())
    }

    /// Reads the files if they are others than before. What cannot be used
    /// changes nothing where there was something good, and is told once: a
    /// certificate may be half-way replaced.
    fn look(&mut self) {
        let stamps = self.files.stamps();
        if stamps == self.stamps {
            return;
        }
        // Taken before reading: what is written meanwhile is another stamp.
        self.stamps = stamps.clone();
        match (stamps.and_then(|_| read(&self.files)), &self.made) {
            (Ok(made), _) => {
                let path = self.files.certificate.display();
                log::info!("the certificate for TLS ports was read from {path}");
                self.made = Ok(made);
            }
            (Err(why), Ok(_)) => {
                log::warn!("{why}; TLS ports go on with the certificate that they have");
            }
            (Err(why), Err(_)) => self.made = Err(why),
        }
    }
}

impl IdentityFiles {
    /// Whether there is something to show. The error is for a person.
    pub fn check(&self) -> Result<(), String> {
        read(self).map(|_| ())
    }

    fn stamps(&self) -> Stamps {
        Ok([
            ca_file::stamp(&self.certificate)?,
            ca_file::stamp(&self.key)?,
        ])
    }
}

fn read(files: &IdentityFiles) -> Result<Arc<ServerConfig>, String> {
    let cannot =
        |path: &std::path::Path, why: &str| format!("cannot use {}: {why}", path.display());
    let text = ca_file::contents(&files.certificate)?;
    let chain = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| cannot(&files.certificate, &format!("it is damaged: {error}")))?;
    if chain.is_empty() {
        return Err(cannot(&files.certificate, "there is no certificate in it"));
    }
    let text = ca_file::contents(&files.key)?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        let why = match error {
            pem::Error::NoItemsFound => {
                "there is no key in it (one with a password is none)".into()
            }
            other => format!("it is damaged: {other}"),
        };
        cannot(&files.key, &why)
    })?;
    let config = ServerConfig::builder_with_provider(super::cryptography())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| cannot(&files.certificate, &words(&error)))?;
    Ok(Arc::new(config))
}

fn words(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => "the key is that of another certificate".into(),
        other => other.to_string(),
    }
}
