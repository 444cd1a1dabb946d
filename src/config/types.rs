//! The configuration as the rest of the daemon uses it: checked values, all defaults filled in.
//! Knows nothing of files or of Python.

use super::problem::Problem;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

/// Everything that was configured. Two of these are compared at a reload.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Sites that can run, in the order of the dictionary `sites`.
    pub sites: Vec<SiteConfig>,
    /// Sites with an error, in the same order; each gets a socket that answers with it.
    pub refused: Vec<RefusedSite>,
    /// Bounds for the whole daemon.
    pub limits: Limits,
    /// What is written to the log.
    pub log_level: LogLevel,
    /// What was ignored: unknown variables and keys, keys that stand twice.
    pub warnings: Vec<Problem>,
    /// Every error, those of the refused sites included.
    pub errors: Vec<Problem>,
}

/// A site that is written correctly but asks for something impossible.
#[derive(Debug, Clone, PartialEq)]
pub struct RefusedSite {
    /// Its name; always one that can be the name of a socket.
    pub name: String,
    /// The first of its errors.
    pub problem: Problem,
}

/// One site, every setting with its effective value.
#[derive(Debug, Clone, PartialEq)]
pub struct SiteConfig {
    /// Its name, which is the name of its socket too: letters, digits, `-` and `_`.
    pub name: String,
    /// Where it is reached.
    pub address: Address,
    /// Connections kept open to it.
    pub channels: usize,
    /// Whether the site itself sets `channels`. That switches off every adaptation of the number to what the
    /// site can serve.
    pub channels_from_site: bool,
    /// How long a client waits for a free channel.
    pub channel_timeout: Duration,
    /// How often the site is asked for a sign of life, and how long the answer may take.
    pub heartbeat: Heartbeat,
    /// The whole life of a query once it has a channel.
    pub query_timeout: Duration,
    /// The pause after a failed connect or heartbeat.
    pub connect_retry: Duration,
    /// Whether queries marked `Cache: reload` are answered from memory.
    pub cache: bool,
    /// A TCP port on which the site is offered too.
    pub tcp: Option<TcpPort>,
    /// Clients of this site at a time.
    pub max_clients: usize,
}

impl SiteConfig {
    /// A site with the built-in defaults.
    pub fn new(name: impl Into<String>, address: Address) -> SiteConfig {
        SiteConfig {
            name: name.into(),
            address,
            channels: 10,
            channels_from_site: false,
            channel_timeout: Duration::from_secs(5),
            heartbeat: Heartbeat {
                interval: Duration::from_secs(3),
                timeout: HeartbeatTimeout::default(),
            },
            query_timeout: Duration::from_secs(120),
            connect_retry: Duration::from_secs(4),
            cache: true,
            tcp: None,
            max_clients: 1000,
        }
    }
}

/// The setting `heartbeat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// Pause between two heartbeats.
    pub interval: Duration,
    /// When an answer is missed.
    pub timeout: HeartbeatTimeout,
}

/// How long the answer to a heartbeat may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeartbeatTimeout {
    /// That many per cent over the time which heartbeats of this site typically take.
    Percent(u32),
    /// A fixed time.
    Fixed(Duration),
}

impl Default for HeartbeatTimeout {
    /// Half as long again as usual; also what a heartbeat written as a bare number of seconds means.
    fn default() -> HeartbeatTimeout {
        HeartbeatTimeout::Percent(50)
    }
}

/// Where a site is reached.
#[derive(Debug, Clone, PartialEq)]
pub enum Address {
    /// Over TCP.
    Tcp {
        /// A name or an address, IPv6 without brackets.
        host: String,
        /// The port, never 0.
        port: u16,
        /// Which kinds of address are tried when the host is a name.
        family: Family,
        /// Encryption, if there is any.
        tls: Option<Tls>,
    },
    /// Over a UNIX socket of this machine, an absolute path.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    /// `tcp:10.1.1.2:6557`, `tcp:[::1]:6557 (tls)`, `unix:/path`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Tcp {
                host,
                port,
                family,
                tls,
            } => {
                match (host.contains(':'), family) {
                    (true, _) => write!(f, "tcp:[{host}]:{port}")?,
                    (false, Family::Any) => write!(f, "tcp:{host}:{port}")?,
                    (false, Family::V6) => write!(f, "tcp6:{host}:{port}")?,
                }
                match tls {
                    None => Ok(()),
                    Some(Tls { verify: true, .. }) => f.write_str(" (tls)"),
                    Some(Tls { verify: false, .. }) => f.write_str(" (tls, not verified)"),
                }
            }
        }
    }
}

/// Which addresses of a host name are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// All of them.
    Any,
    /// IPv6 only, which Checkmk writes as `'tcp6'`.
    V6,
}

/// Encryption of the channels to a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Whether the certificate must be signed by one of the trusted ones.
    pub verify: bool,
    /// A file of trusted certificates in place of the usual one, an absolute path.
    pub ca_file: Option<PathBuf>,
}

/// The setting `tcp`: the site offered to further viewers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpPort {
    /// The port to listen on, never 0.
    pub port: u16,
    /// Who may connect. `None` is everyone, an empty list nobody.
    pub only_from: Option<Vec<Network>>,
    /// Whether viewers must use TLS.
    pub tls: bool,
    /// Whether commands are passed on; otherwise the port is for reading only.
    pub commands: bool,
}

/// An address or a network of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// The first address of the network.
    pub address: IpAddr,
    /// How many leading bits count; 0 is everyone, 32 or 128 a single address.
    pub prefix: u8,
}

impl Network {
    /// Whether an address belongs to the network. With the prefix 0, every address of either kind does: xinetd,
    /// whose notation Checkmk took over, understands `0.0.0.0` as everyone. IPv4 addresses that an IPv6 socket
    /// reports as `::ffff:a.b.c.d` count as what they are.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            _ if self.prefix == 0 => true,
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.leading_zeros() >= u32::from(self.prefix)
            }
            _ => false,
        }
    }

    /// Reads `10.1.1.2`, `10.1.0.0/16`, `fd00::/8`. Bits behind the prefix are cleared. `0.0.0.0` and `::` alone
    /// mean everyone.
    pub fn parse(text: &str) -> Option<Network> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None if address.is_unspecified() => 0,
            None => longest,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits
                .parse()
                .ok()
                .filter(|&prefix: &u8| prefix <= longest)?,
            Some(_) => return None,
        };
        let cleared = u32::from(longest - prefix);
        let address = match address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(cleared).unwrap_or(0);
                IpAddr::from((v4.to_bits() & mask).to_be_bytes())
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(cleared).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
            }
        };
        Some(Network { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let longest = if self.address.is_ipv4() { 32 } else { 128 };
        match self.prefix == longest {
            true => write!(f, "{}", self.address),
            false => write!(f, "{}/{}", self.address, self.prefix),
        }
    }
}

/// Bounds for the whole daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Clients of all sites at a time.
    pub max_clients_total: usize,
    /// The limit of open files, where that lets fewer clients in than were configured.
    pub open_files: Option<usize>,
    /// Longest request, in bytes.
    pub max_query: usize,
    /// Bytes for all requests that are being read.
    pub request_buffer: usize,
    /// Bytes for all responses that are held.
    pub response_buffer: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_clients_total: 20_000,
            open_files: None,
            max_query: 16 << 20,
            request_buffer: 64 << 20,
            response_buffer: 128 << 20,
        }
    }
}

/// What is written to the log; the numbers of Python's logging stand for these in Checkmk's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum LogLevel {
    /// 10
    Debug,
    /// 15
    Verbose,
    /// 20
    #[default]
    Info,
    /// 30
    Warning,
    /// 40
    Error,
    /// 50
    Critical,
}

impl LogLevel {
    /// All levels, the most talkative first.
    pub const ALL: [LogLevel; 6] = [
        LogLevel::Debug,
        LogLevel::Verbose,
        LogLevel::Info,
        LogLevel::Warning,
        LogLevel::Error,
        LogLevel::Critical,
    ];

    /// The number that Python's logging and Checkmk's files use.
    pub fn number(self) -> i64 {
        match self {
            LogLevel::Debug => 10,
            LogLevel::Verbose => 15,
            LogLevel::Info => 20,
            LogLevel::Warning => 30,
            LogLevel::Error => 40,
            LogLevel::Critical => 50,
        }
    }

    /// The level of a number.
    pub fn from_number(number: i64) -> Option<LogLevel> {
        LogLevel::ALL
            .into_iter()
            .find(|level| level.number() == number)
    }
}

/// The places outside of the configuration that its check needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// The Livestatus socket of this OMD site's own core, which `('local', None)` means.
    pub local_core: PathBuf,
    /// The folder of the sites' sockets.
    pub socket_dir: PathBuf,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn tcp(host: &str, family: Family, tls: Option<Tls>) -> String {
        Address::Tcp {
            host: host.to_string(),
            port: 6557,
            family,
            tls,
        }
        .to_string()
    }

    fn network(text: &str) -> Network {
        Network::parse(text).unwrap()
    }

    fn contains(network_text: &str, address: &str) -> bool {
        network(network_text).contains(address.parse().unwrap())
    }

    #[test]
    fn addresses_print_as_on_the_command_line() {
        let tls = |verify| {
            Some(Tls {
                verify,
                ca_file: None,
            })
        };
        assert_eq!(tcp("10.1.1.2", Family::Any, None), "tcp:10.1.1.2:6557");
        assert_eq!(tcp("::1", Family::V6, None), "tcp:[::1]:6557");
        assert_eq!(tcp("muc", Family::V6, tls(true)), "tcp6:muc:6557 (tls)");
        assert_eq!(
            tcp("muc", Family::Any, tls(false)),
            "tcp:muc:6557 (tls, not verified)"
        );
        assert_eq!(
            Address::Unix("/run/live".into()).to_string(),
            "unix:/run/live"
        );
    }

    #[test]
    fn networks_contain_what_their_prefix_says() {
        assert!(contains("10.1.0.0/16", "10.1.255.3"));
        assert!(!contains("10.1.0.0/16", "10.2.0.0"));
        assert!(contains("10.1.2.3", "10.1.2.3"));
        assert!(contains("10.1.2.3", "::ffff:10.1.2.3"));
        assert!(!contains("10.1.2.3", "10.1.2.2"));
        assert!(contains("fd00::/8", "fdff::1"));
        assert!(!contains("fd00::/8", "fe00::1"));
        assert!(!contains("fd00::/8", "10.1.2.3"));
    }

    #[test]
    fn xinetd_words_for_everyone() {
        for everyone in ["0.0.0.0", "::", "::/0", "0.0.0.0/0"] {
            assert!(contains(everyone, "10.1.2.3"), "{everyone}");
            assert!(contains(everyone, "fd00::1"), "{everyone}");
        }
    }

    #[test]
    fn networks_print_as_they_are_read() {
        for text in ["10.1.2.3", "10.1.0.0/16", "fd00::/8", "::1", "0.0.0.0/0"] {
            assert_eq!(network(text).to_string(), text);
        }
        assert_eq!(network("10.1.2.3/8").to_string(), "10.0.0.0/8");
        assert_eq!(network("fd00::1/64").to_string(), "fd00::/64");
    }

    #[test]
    fn other_notations_of_networks_are_refused() {
        for text in [
            "",
            "muc",
            "10.1",
            "10.1.2.3/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/255.0.0.0",
            "10.0.0.0/8/8",
        ] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }

    #[test]
    fn log_levels_have_the_numbers_of_python() {
        for level in LogLevel::ALL {
            assert_eq!(LogLevel::from_number(level.number()), Some(level));
        }
        assert_eq!(LogLevel::from_number(25), None);
        assert!(LogLevel::Debug < LogLevel::Info);
    }
}
