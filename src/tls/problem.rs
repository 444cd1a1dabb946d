//! Why a TLS connection is not made, in words for a person. The words for
//! certificates are those of OpenSSL, which people look up.

use crate::sys;
use std::fmt;
use std::io;

/// Why a TLS connection was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The site's certificate is not to be trusted, or nobody's is.
    Untrusted(String),
    /// The site answers with something that is not TLS; its beginning.
    NotTls(String),
    /// The site closed the connection instead of answering.
    Ended,
    /// The two found no way to go on, or what came was damaged.
    Failed(String),
}

impl Problem {
    /// What an attempt to connect has failed with, if it was TLS.
    pub fn of(error: &io::Error) -> Option<&Problem> {
        error.get_ref()?.downcast_ref()
    }
}

/// Why a client did not get through its handshake, for the log.
pub fn words_of_client(error: &io::Error) -> String {
    match Problem::of(error) {
        Some(Problem::NotTls(bytes)) => format!("it says \"{bytes}\", which is not TLS"),
        Some(Problem::Ended) => "it closed the connection".into(),
        Some(Problem::Failed(why) | Problem::Untrusted(why)) => why.clone(),
        None => sys::words(error),
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Untrusted(why) => write!(f, "certificate not trusted: {why}"),
            Problem::NotTls(bytes) => write!(f, "not TLS: \"{bytes}\""),
            Problem::Ended => f.write_str("closed by the site during the TLS handshake"),
            Problem::Failed(why) => write!(f, "TLS: {why}"),
        }
    }
}

impl std::error::Error for Problem {}

impl From<Problem> for io::Error {
    fn from(problem: Problem) -> io::Error {
        io::Error::other(problem)
    }
}

/// Whether this is how a TLS server begins to tell that it was not greeted
/// in TLS: a record of the kind "alert", version 3.
pub fn is_alert(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x15, 0x03])
}

/// Whether a TLS record can begin with this byte: change of cipher, alert,
/// handshake, data.
#[cfg(feature = "tls")]
pub(super) fn may_begin_record(byte: u8) -> bool {
    (0x14..=0x17).contains(&byte)
}

#[cfg(feature = "tls")]
impl From<rustls::Error> for Problem {
    fn from(error: rustls::Error) -> Problem {
        use rustls::Error as E;
        use rustls::PeerIncompatible as P;
        match error {
            E::InvalidCertificate(error) => Problem::Untrusted(words(&error)),
            E::NoCertificatesPresented => Problem::Untrusted("the site shows none".into()),
            E::AlertReceived(alert) => Problem::Failed(words_of_alert(alert)),
            E::PeerIncompatible(
                P::ServerDoesNotSupportTls12Or13 | P::ServerTlsVersionIsDisabledByOurConfig,
            ) => Problem::Failed(TOO_OLD.into()),
            // Whoever knows TLS 1.2 says how it signs.
            E::PeerIncompatible(
                P::Tls12NotOffered
                | P::Tls12NotOfferedOrEnabled
                | P::SignatureAlgorithmsExtensionRequired,
            ) => Problem::Failed("it offers no version of TLS from 1.2 on".into()),
            E::PeerIncompatible(why) => Problem::Failed(format!(
                "the other side's ways of encrypting and ours do not meet ({why:?})"
            )),
            other => Problem::Failed(other.to_string()),
        }
    }
}

#[cfg(feature = "tls")]
const TOO_OLD: &str = "the site offers no version of TLS from 1.2 on";

#[cfg(feature = "tls")]
fn words(error: &rustls::CertificateError) -> String {
    use rustls::CertificateError as C;
    match error {
        C::UnknownIssuer => "unable to get local issuer certificate".into(),
        C::Expired | C::ExpiredContext { .. } => "certificate has expired".into(),
        C::NotValidYet | C::NotValidYetContext { .. } => "certificate is not yet valid".into(),
        C::BadSignature => "certificate signature failure".into(),
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => {
            "unsuitable certificate purpose (not for servers)".into()
        }
        C::BadEncoding => "the certificate cannot be read (X.509 version 3 is needed)".into(),
        C::UnsupportedSignatureAlgorithmContext { .. }
        | C::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "signed in a way that is not taken: RSA from 2048 bits on or ECDSA, with SHA-256 or \
             better, is needed"
                .into()
        }
        other => {
            let text = format!("{other:?}");
            // webpki's own errors have no public type.
            let reasons = [
                (
                    "CaUsedAsEndEntity",
                    "self-signed certificate, or one of an authority, that is not trusted itself",
                ),
                (
                    "UnsupportedCertVersion",
                    "the certificate is not of X.509 version 3",
                ),
            ];
            let known = reasons.iter().find(|(name, _)| text.contains(name));
            known.map_or(text.clone(), |(_, words)| (*words).into())
        }
    }
}

#[cfg(feature = "tls")]
fn words_of_alert(alert: rustls::AlertDescription) -> String {
    use rustls::AlertDescription as A;
    match alert {
        A::ProtocolVersion => TOO_OLD.into(),
        A::HandshakeFailure | A::InsufficientSecurity => {
            "the site accepts none of our ways of encrypting".into()
        }
        A::CertificateRequired => "the site wants a certificate from us, and we have none".into(),
        other => format!("the other side refuses with alert {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_survives_the_way_through_an_error_of_the_system() {
        let error = io::Error::from(Problem::Untrusted("certificate has expired".into()));
        assert_eq!(
            error.to_string(),
            "certificate not trusted: certificate has expired"
        );
        assert_eq!(
            Problem::of(&error),
            Some(&Problem::Untrusted("certificate has expired".into()))
        );
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(Problem::of(&refused), None);
    }

    #[test]
    fn an_alert_is_told_from_a_response_and_from_text() {
        assert!(is_alert(&[0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x46]));
        assert!(!is_alert(b"200           5\n"));
        assert!(!is_alert(&[0x15]));
        assert!(!is_alert(b""));
    }
}
