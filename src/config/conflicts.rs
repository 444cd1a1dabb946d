//! What is wrong with a site only because of what else is configured: an address that leads back to this daemon,
//! a port that another site has already. Knows no file; positions are the caller's business.

use super::types::{Address, SiteConfig};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::path::{Component, Path, PathBuf};

/// Which setting of a site a conflict is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Culprit {
    Socket,
    Tcp,
}

/// For each site, what it collides with.
pub(super) fn conflicts(sites: &[SiteConfig], socket_dir: &Path) -> Vec<Option<(Culprit, String)>> {
    let socket_dir = without_dots(socket_dir);
    let own_ports: HashSet<u16> = sites.iter().filter_map(tcp_port).collect();
    let mut owners: HashMap<u16, &str> = HashMap::new();
    let conflict = |site: &'_ SiteConfig, owner: Option<&str>| match owner {
        Some(owner) => Some((
            Culprit::Tcp,
            format!("site '{owner}' has this port already; expected a port of its own"),
        )),
        None => {
            own_address(&site.address, &socket_dir, &own_ports).map(|text| (Culprit::Socket, text))
        }
    };
    let mut found = Vec::with_capacity(sites.len());
    for site in sites {
        let owner = tcp_port(site).and_then(|port| owners.get(&port).copied());
        if let (Some(port), None) = (tcp_port(site), owner) {
            owners.insert(port, &site.name);
        }
        found.push(conflict(site, owner));
    }
    found
}

fn tcp_port(site: &SiteConfig) -> Option<u16> {
    site.tcp.as_ref().map(|tcp| tcp.port)
}

/// Says why an address leads back to this daemon, if it does: a query would go round in circles.
fn own_address(address: &Address, socket_dir: &Path, own_ports: &HashSet<u16>) -> Option<String> {
    match address {
        Address::Unix(path) if without_dots(path).starts_with(socket_dir) => Some(format!(
            "{} is one of this daemon's own sockets; expected the address of the site itself",
            path.display()
        )),
        Address::Tcp { host, port, .. } if own_ports.contains(port) && is_this_machine(host) => {
            Some(format!(
                "{host} port {port} is one of this daemon's own ports; \
                 expected the address of the site itself"
            ))
        }
        _ => None,
    }
}

fn is_this_machine(host: &str) -> bool {
    let address = host.split('%').next().unwrap_or(host);
    if let Ok(address) = address.parse::<IpAddr>() {
        let address = address.to_canonical();
        return address.is_loopback() || address.is_unspecified();
    }
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    matches!(
        name.as_str(),
        "localhost" | "ip6-localhost" | "ip6-loopback"
    ) || name.starts_with("localhost.")
        || name.ends_with(".localhost")
}

/// The path without `.` and `..`, by its letters alone.
pub fn without_dots(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::types::{Family, TcpPort};

    const DIR: &str = "/omd/sites/x/tmp/run/liveproxy";

    fn unix(name: &str, path: &str) -> SiteConfig {
        SiteConfig::new(name, Address::Unix(path.into()))
    }

    fn tcp(name: &str, host: &str, port: u16) -> SiteConfig {
        let host = host.to_string();
        let family = Family::Any;
        SiteConfig::new(
            name,
            Address::Tcp {
                host,
                port,
                family,
                tls: None,
            },
        )
    }

    fn offering(mut site: SiteConfig, port: u16) -> SiteConfig {
        site.tcp = Some(TcpPort {
            port,
            only_from: None,
            tls: false,
            commands: true,
        });
        site
    }

    fn culprits(sites: &[SiteConfig]) -> Vec<Option<Culprit>> {
        let all = conflicts(sites, Path::new(DIR));
        all.into_iter().map(|c| c.map(|c| c.0)).collect()
    }

    #[test]
    fn own_sockets_are_refused_however_they_are_written() {
        for (path, is_own) in [
            ("/omd/sites/x/tmp/run/liveproxy/muc", true),
            ("/omd/sites/x/tmp/run/liveproxy/other", true),
            ("/omd/sites/x/tmp/run//./liveproxy/muc", true),
            ("/omd/sites/x/var/../tmp/run/liveproxy/muc", true),
            ("/../omd/sites/x/tmp/run/liveproxy/muc", true),
            ("/omd/sites/x/tmp/run/live", false),
            ("/omd/sites/x/tmp/run/liveproxyd/muc", false),
            ("/omd/sites/y/tmp/run/liveproxy/muc", false),
        ] {
            let expected = is_own.then_some(Culprit::Socket);
            assert_eq!(culprits(&[unix("muc", path)]), [expected], "{path}");
        }
    }

    #[test]
    fn own_ports_are_refused_on_this_machine_only() {
        for (host, is_own) in [
            ("127.0.0.1", true),
            ("127.8.8.8", true),
            ("0.0.0.0", true),
            ("::1", true),
            ("::", true),
            ("::ffff:127.0.0.1", true),
            ("localhost", true),
            ("LocalHost.", true),
            ("localhost.localdomain", true),
            ("a.localhost", true),
            ("10.1.1.2", false),
            ("localhosts", false),
            ("muc", false),
        ] {
            let sites = [
                tcp("a", host, 6560),
                offering(tcp("b", "10.1.1.9", 6557), 6560),
            ];
            let expected = is_own.then_some(Culprit::Socket);
            assert_eq!(culprits(&sites), [expected, None], "{host}");
        }
        let other_port = [
            tcp("a", "::1", 6561),
            offering(tcp("b", "10.1.1.9", 1), 6560),
        ];
        assert_eq!(culprits(&other_port), [None, None]);
    }

    #[test]
    fn the_second_site_on_a_port_is_refused() {
        let site = |name| offering(tcp(name, "10.1.1.2", 6557), 6560);
        let sites = [
            site("a"),
            site("b"),
            offering(tcp("c", "10.1.1.2", 6557), 6561),
            site("d"),
        ];
        let tcp = Some(Culprit::Tcp);
        assert_eq!(culprits(&sites), [None, tcp, None, tcp]);
        let text = conflicts(&sites, Path::new(DIR))[3].clone().unwrap().1;
        assert!(text.contains("site 'a' has this port"), "{text}");
    }
}
