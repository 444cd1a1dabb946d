//! Two daemons in a row: a client asks the one in front on its UNIX socket, that one asks the one
//! behind on a TCP port, and only that one knows the site. The test binaries `daemon_chain` and
//! `daemon_chain_tls` run tests of `daemon` in this arrangement.

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Mutex;

use socket2::{Domain, Socket, Type};

use super::certificates::usual;
use super::config::{Spec, site_as};
use super::root::Root;

/// Whether every daemon of this test binary stands behind another one.
pub const CHAINED: bool = matches!(
    env!("CARGO_CRATE_NAME").as_bytes(),
    b"daemon_chain" | b"daemon_chain_tls"
);

/// Whether the two speak TLS.
const OVER_TLS: bool = matches!(env!("CARGO_CRATE_NAME").as_bytes(), b"daemon_chain_tls");

/// How a line of the configuration begins that names a site and its port to the one in front.
const MARK: &str = "# offered: ";

/// Holds ports until the test binary ends.
static HOLDERS: Mutex<Vec<Socket>> = Mutex::new(Vec::new());

/// A port that nobody else in this network gets, and on which a daemon can listen.
pub fn free_port() -> u16 {
    let holder = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
    holder.set_only_v6(false).unwrap();
    // Several sockets may share a port as long as only one listens.
    holder.set_reuse_address(true).unwrap();
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    holder.bind(&any.into()).unwrap();
    let address = holder.local_addr().unwrap().as_socket().unwrap();
    HOLDERS.lock().unwrap().push(holder);
    address.port()
}

/// Where an OMD site keeps its certificate and key.
pub fn pem_of(root: &Root) -> String {
    let name = root.path().file_name().unwrap().to_str().unwrap();
    format!("etc/ssl/sites/{name}.pem")
}

/// The usual certificate with its key.
pub fn usual_pem() -> String {
    usual().1.both_pem()
}

/// A site of this name that is offered to a daemon in front: its further keys, and a line for
/// that one.
pub fn offered(name: &str) -> (String, String) {
    let port = free_port();
    let tls = if OVER_TLS { "True" } else { "False" };
    let key = format!("'tcp': {{'port': {port}, 'only_from': ['127.0.0.1'], 'tls': {tls}}}, ");
    (key, format!("{MARK}{name} {port}\n"))
}

/// The configuration of the one in front, from that of the one behind.
pub fn in_front(config: &str, front: &Root) -> String {
    let sites = config.lines().filter_map(|line| line.strip_prefix(MARK));
    let authority = "authority.crt";
    front.write(authority, &usual().0.pem);
    let spec = |port: u16| {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        match OVER_TLS {
            true => {
                let file = front.file(authority);
                Spec::encrypted(address, &format!("'ca_file_path': '{}'", file.display()))
            }
            false => Spec::from(address),
        }
    };
    let site = |line: &str| {
        let (name, port) = line.split_once(' ').unwrap();
        let keys = "'connect_retry': 0.1, 'channel_timeout': 30";
        site_as(name, spec(port.parse().unwrap()), keys)
    };
    // It must not let more through than the one behind takes.
    let limit = config.lines().filter(|line| line.starts_with("max_query"));
    let limits: String = limit.map(|line| format!("{line}\n")).collect();
    limits + &sites.map(site).collect::<String>()
}
