//! Configuration text in the shape that today's GUI writes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::chain;
use super::site::FakeSite;

/// The value of a site's key `socket`, as Python text.
#[derive(Clone, Debug)]
pub struct Spec(String);

impl Spec {
    /// Any text, for the old forms and for wrong ones.
    pub fn text(text: impl Into<String>) -> Spec {
        Spec(text.into())
    }

    /// A TCP address by name.
    pub fn named(host: &str, port: u16) -> Spec {
        Spec(format!(
            "('tcp', {{'address': ('{host}', {port}), 'tls': ('plain_text', {{}})}})"
        ))
    }

    /// A TCP address with TLS; `parameters` are those of 'encrypted'.
    pub fn encrypted(address: SocketAddr, parameters: &str) -> Spec {
        let kind = if address.is_ipv6() { "tcp6" } else { "tcp" };
        let (ip, port) = (address.ip().to_string(), address.port());
        Spec::over_tls(kind, &ip, port, parameters)
    }

    /// The same by name.
    pub fn named_encrypted(host: &str, port: u16, parameters: &str) -> Spec {
        Spec::over_tls("tcp", host, port, parameters)
    }

    fn over_tls(kind: &str, host: &str, port: u16, parameters: &str) -> Spec {
        Spec(format!(
            "('{kind}', {{'address': ('{host}', {port}), 'tls': ('encrypted', {{{parameters}}})}})"
        ))
    }
}

impl From<SocketAddr> for Spec {
    fn from(address: SocketAddr) -> Spec {
        let kind = if address.is_ipv6() { "tcp6" } else { "tcp" };
        Spec(format!(
            "('{kind}', {{'address': ('{}', {}), 'tls': ('plain_text', {{}})}})",
            address.ip(),
            address.port()
        ))
    }
}

impl From<&Path> for Spec {
    fn from(path: &Path) -> Spec {
        Spec(format!("('unix', {{'path': '{}'}})", path.display()))
    }
}

impl From<&PathBuf> for Spec {
    fn from(path: &PathBuf) -> Spec {
        Spec::from(path.as_path())
    }
}

impl From<&FakeSite> for Spec {
    fn from(site: &FakeSite) -> Spec {
        site.spec()
    }
}

/// The text of one site; `keys` are further keys such as `'channels': 3, 'heartbeat': (1, 0.5)`.
/// Several of these texts one after another make a configuration of several sites.
pub fn site(name: &str, spec: impl Into<Spec>, keys: &str) -> String {
    if !chain::CHAINED {
        return site_as(name, spec, keys);
    }
    let (key, line) = chain::offered(name);
    site_as(name, spec, &format!("{key}{keys}")) + &line
}

/// The same, for a daemon that nobody stands in front of.
pub fn site_as(name: &str, spec: impl Into<Spec>, keys: &str) -> String {
    let Spec(spec) = spec.into();
    format!(
        "sites = locals().setdefault('sites', {{}})\n\
         sites.update({{'{name}': {{'socket': {spec}, {keys}}}}})\n"
    )
}
