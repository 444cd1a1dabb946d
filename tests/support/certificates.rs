//! Certificates made for a test: an authority, and what it signs.

use std::sync::{Arc, OnceLock};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// Signs certificates.
pub struct Authority {
    /// Its own certificate, as it stands in a file of trusted certificates.
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key, as a site has them.
#[derive(Debug)]
pub struct Identity {
    /// The certificate.
    pub pem: String,
    /// Its key.
    pub key_pem: String,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

fn named(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters
}

impl Authority {
    /// A new one.
    pub fn new(name: &str) -> Authority {
        let mut parameters = named(name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = parameters.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(parameters, key);
        Authority { pem, issuer }
    }

    /// A certificate for a site, with the site's name in it and no host's.
    pub fn issue(&self, name: &str) -> Identity {
        self.sign(named(name))
    }

    /// One whose time is over.
    pub fn issue_expired(&self, name: &str) -> Identity {
        let mut parameters = named(name);
        parameters.not_before = date_time_ymd(2019, 1, 1);
        parameters.not_after = date_time_ymd(2020, 1, 1);
        self.sign(parameters)
    }

    fn sign(&self, parameters: CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        Identity::new(certificate, &key)
    }
}

impl Identity {
    /// One that signs itself, as `openssl req -x509` makes it: an authority of its own.
    pub fn self_signed(name: &str, years: std::ops::Range<i32>) -> Identity {
        let mut parameters = named(name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.not_before = date_time_ymd(years.start, 1, 1);
        parameters.not_after = date_time_ymd(years.end, 1, 1);
        let key = KeyPair::generate().unwrap();
        Identity::new(parameters.self_signed(&key).unwrap(), &key)
    }

    fn new(certificate: rcgen::Certificate, key: &KeyPair) -> Identity {
        Identity {
            pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            chain: vec![certificate.der().clone()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        }
    }

    /// The certificate, DER.
    pub fn der(&self) -> Vec<u8> {
        self.chain[0].to_vec()
    }

    /// Certificate and key in one file.
    pub fn both_pem(&self) -> String {
        [self.pem.as_str(), &self.key_pem].concat()
    }

    /// A server that shows this certificate, with all versions of TLS.
    pub fn server(&self) -> Arc<ServerConfig> {
        self.server_with(rustls::ALL_VERSIONS)
    }

    /// A server that shows this certificate, with some versions of TLS only.
    pub fn server_with(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Arc<ServerConfig> {
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .unwrap();
        Arc::new(config)
    }
}

/// What every site of a test binary shows that is about something else, and who signed it.
pub fn usual() -> &'static (Authority, Identity) {
    static USUAL: OnceLock<(Authority, Identity)> = OnceLock::new();
    USUAL.get_or_init(|| {
        let authority = Authority::new("authority of the tests");
        let identity = authority.issue("site");
        (authority, identity)
    })
}
