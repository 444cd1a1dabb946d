//! A file of trusted certificates, read again when it has changed.

use crate::regular;
use crate::sys;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The certificates of a file.
#[derive(Debug)]
pub struct Certificates {
    /// In the file's order.
    all: Vec<CertificateDer<'static>>,
    /// Those that may sign others.
    pub anchors: RootCertStore,
}

impl Certificates {
    /// Whether this very certificate is among them.
    pub fn contain(&self, certificate: &CertificateDer<'_>) -> bool {
        self.all.iter().any(|trusted| trusted == certificate)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Reads certificates in PEM; what stands between them is ignored. The
    /// error is for a person.
    pub fn parse(text: &[u8]) -> Result<Certificates, String> {
        let all: Vec<_> = CertificateDer::pem_slice_iter(text)
            .collect::<Result<_, _>>()
            .map_err(|error| format!("it is damaged: {error}"))?;
        if all.is_empty() {
            return Err("there is no certificate in it".into());
        }
        let mut anchors = RootCertStore::empty();
        // What webpki cannot read is trusted as it is and signs nobody: one odd
        // certificate among many must not cost all others.
        anchors.add_parsable_certificates(all.iter().cloned());
        Ok(Certificates { all, anchors })
    }
}

impl PartialEq for Certificates {
    fn eq(&self, other: &Self) -> bool {
        self.all == other.all
    }
}

/// By what a file is known to be the one that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    place: (u64, u64),
    size: u64,
    /// Seconds and nanoseconds of the last change of its content and of its state.
    changed: [(i64, i64); 2],
}

impl From<&Metadata> for Stamp {
    fn from(data: &Metadata) -> Stamp {
        Stamp {
            place: (data.dev(), data.ino()),
            size: data.size(),
            changed: [
                (data.mtime(), data.mtime_nsec()),
                (data.ctime(), data.ctime_nsec()),
            ],
        }
    }
}

/// The file's stamp now. The error is for a person.
pub fn stamp(path: &Path) -> Result<Stamp, String> {
    match fs::metadata(path) {
        Ok(data) => Ok(Stamp::from(&data)),
        Err(error) => Err(unreadable(path, &error)),
    }
}

/// Reads the file. The error is for a person.
pub fn read(path: &Path) -> Result<Certificates, String> {
    let text = contents(path)?;
    Certificates::parse(&text).map_err(|why| format!("cannot use {}: {why}", path.display()))
}

/// The bytes of a file of certificates or keys. The error is for a person.
pub fn contents(path: &Path) -> Result<Vec<u8>, String> {
    /// The bundle of a distribution has a quarter of a megabyte.
    const LARGEST: u64 = 8 * 1024 * 1024;
    regular::read(path, LARGEST).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    format!("cannot read {}: {}", path.display(), sys::words(error))
}
