//! The forms in which a site's address is written (`'socket'`), from those of Check_MK 1.2 to today's.
//! Checks each address for itself; whether it collides with another site is not known here.

use super::checks::{self, Finding};
use super::types::{Address, Family, Tls};
use super::unknown::{UnknownKey, note_unknown};
use super::value::{Node, Value};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

/// Longest path that a UNIX socket can have, in bytes: the kernel's field holds 108 with the final zero.
pub(super) const MAX_SOCKET_PATH: usize = 107;

/// Longest host name or address, in bytes. The name service takes no more than 253.
const MAX_HOST: usize = 253;

const FORMS: &str = "('tcp', {'address': (host, port)}), ('tcp6', {...}), ('unix', {'path': path}), \
                     ('local', None), (host, port), 'tcp:host:port', 'unix:/path' or '/path'";

/// Reads the value of the key `socket`. `local_core` is what `('local', None)` means.
pub(super) fn from_node(
    node: &Node,
    local_core: &Path,
    unknown: &mut Vec<UnknownKey>,
) -> Result<Address, Finding> {
    let pair = match &node.value {
        // Check_MK 1.5 wrote None for the core of the own OMD site.
        Value::None => return local(node, local_core),
        Value::Text(text) => return from_text(text).map_err(|text| Finding::new(node, text)),
        Value::Tuple(items) | Value::List(items) => items.as_slice(),
        _ => return Err(Finding::expected(node, FORMS)),
    };
    let [first, second] = pair else {
        return Err(Finding::expected(node, FORMS));
    };
    let Value::Text(kind) = &first.value else {
        return Err(Finding::expected(
            first,
            "a host name, 'tcp', 'tcp6', 'unix' or 'local'",
        ));
    };
    // A number behind it makes even 'tcp' a host name: the form of Check_MK up to 1.5.
    match (kind.as_str(), &second.value) {
        (_, Value::Int(_)) => tcp(first, second, Family::Any, None),
        ("local", Value::None) => local(node, local_core),
        ("local", _) => Err(Finding::expected(second, "None behind 'local'")),
        ("unix", _) => from_unix(second, unknown),
        ("tcp", _) => from_tcp(second, Family::Any, unknown),
        ("tcp6", _) => from_tcp(second, Family::V6, unknown),
        (_, Value::Dict(_) | Value::None) => {
            Err(Finding::expected(first, "'tcp', 'tcp6', 'unix' or 'local'"))
        }
        _ => Err(Finding::expected(
            second,
            "a port, a whole number from 1 to 65535",
        )),
    }
}

/// Reads an address written as text: `tcp:host:port`, `tcp:[IPv6]:port`, `unix:/path` or `/path`.
pub(super) fn from_text(text: &str) -> Result<Address, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return unix_path(path).map(Address::Unix);
    }
    if text.starts_with('/') {
        return unix_path(text).map(Address::Unix);
    }
    let Some(rest) = text.strip_prefix("tcp:") else {
        return Err(format!(
            "expected 'tcp:host:port', 'unix:/path' or '/path', found {}",
            super::value::quoted(text)
        ));
    };
    let (host, port) = rest
        .rsplit_once(':')
        .ok_or("expected 'tcp:host:port', the port is missing")?;
    if host.contains(':') && !host.starts_with('[') {
        return Err("an IPv6 address stands in brackets here: 'tcp:[::1]:6557'".to_string());
    }
    let port = Some(port)
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .filter(|&port: &u16| port != 0)
        .ok_or_else(|| {
            let found = super::value::quoted(port);
            format!("expected a port, a whole number from 1 to 65535, found {found}")
        })?;
    Ok(Address::Tcp {
        host: checked_host(host, Family::Any)?,
        port,
        family: Family::Any,
        tls: None,
    })
}

fn local(node: &Node, local_core: &Path) -> Result<Address, Finding> {
    match local_core.as_os_str().len() {
        0..=MAX_SOCKET_PATH => Ok(Address::Unix(local_core.to_path_buf())),
        length => {
            let text = format!("the core's own {}", too_long(length));
            Err(Finding::new(node, text))
        }
    }
}

fn too_long(length: usize) -> String {
    format!("UNIX socket has a path of {length} bytes; at most {MAX_SOCKET_PATH} are possible")
}

fn from_unix(node: &Node, unknown: &mut Vec<UnknownKey>) -> Result<Address, Finding> {
    const WANTED: &str = "{'path': '/path/to/socket'}";
    let dict = checks::dict(node, WANTED)?;
    note_unknown(dict, &["path"], "'socket'", unknown);
    let path = dict
        .get("path")
        .ok_or_else(|| Finding::new(node, format!("'path' is missing; expected {WANTED}")))?;
    path_of(path).map(Address::Unix)
}

fn path_of(node: &Node) -> Result<PathBuf, Finding> {
    match &node.value {
        Value::Text(text) => unix_path(text).map_err(|text| Finding::new(node, text)),
        _ => Err(Finding::expected(node, "a path in quotes")),
    }
}

fn unix_path(text: &str) -> Result<PathBuf, String> {
    let path = absolute_path(text)?;
    match text.len() {
        0..=MAX_SOCKET_PATH => Ok(path),
        length => Err(format!("this {}", too_long(length))),
    }
}

fn absolute_path(text: &str) -> Result<PathBuf, String> {
    if !text.starts_with('/') {
        let found = super::value::quoted(text);
        return Err(format!(
            "expected a path that begins with '/', found {found}"
        ));
    }
    match text.contains('\0') {
        true => Err("a path cannot hold a zero byte".to_string()),
        false => Ok(PathBuf::from(text)),
    }
}

fn from_tcp(
    node: &Node,
    family: Family,
    unknown: &mut Vec<UnknownKey>,
) -> Result<Address, Finding> {
    const WANTED: &str = "{'address': (host, port), 'tls': ('plain_text', {})}";
    let dict = checks::dict(node, WANTED)?;
    note_unknown(dict, &["address", "tls"], "'socket'", unknown);
    let address = dict
        .get("address")
        .ok_or_else(|| Finding::new(node, format!("'address' is missing; expected {WANTED}")))?;
    let (Value::Tuple(pair) | Value::List(pair)) = &address.value else {
        return Err(Finding::expected(address, "(host, port)"));
    };
    let [host, port] = pair.as_slice() else {
        return Err(Finding::expected(address, "(host, port)"));
    };
    let tls = match dict.get("tls") {
        None => None,
        Some(node) => tls(node, unknown)?,
    };
    tcp(host, port, family, tls)
}

fn tcp(host: &Node, port: &Node, family: Family, tls: Option<Tls>) -> Result<Address, Finding> {
    let Value::Text(name) = &host.value else {
        return Err(Finding::expected(host, "a host name or address in quotes"));
    };
    Ok(Address::Tcp {
        host: checked_host(name, family).map_err(|text| Finding::new(host, text))?,
        port: checks::port(port)?,
        family,
        tls,
    })
}

/// A host without the brackets of an IPv6 address.
fn checked_host(text: &str, family: Family) -> Result<String, String> {
    let inner = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let host = inner.unwrap_or(text);
    if host.is_empty() {
        return Err("the host is empty".to_string());
    }
    if host.len() > MAX_HOST {
        return Err(format!("a host name has at most {MAX_HOST} bytes"));
    }
    if let Some(bad) = host.chars().find(|c| c.is_whitespace() || c.is_control()) {
        return Err(format!("{bad:?} cannot stand in a host name"));
    }
    if host.contains(':') || inner.is_some() {
        // What follows '%' names a network interface.
        let address = host.split('%').next().unwrap_or(host);
        if address.parse::<Ipv6Addr>().is_err() {
            let found = super::value::quoted(host);
            return Err(format!("{found} is not an IPv6 address"));
        }
    }
    if family == Family::V6 && host.parse::<Ipv4Addr>().is_ok() {
        return Err(format!(
            "'tcp6' cannot reach the IPv4 address {host}; write 'tcp'"
        ));
    }
    Ok(host.to_string())
}

fn tls(node: &Node, unknown: &mut Vec<UnknownKey>) -> Result<Option<Tls>, Finding> {
    const WANTED: &str = "('plain_text', {}) or ('encrypted', {'verify': True})";
    let (Value::Tuple(pair) | Value::List(pair)) = &node.value else {
        return Err(Finding::expected(node, WANTED));
    };
    let [kind, parameters] = pair.as_slice() else {
        return Err(Finding::expected(node, WANTED));
    };
    let is_encrypted = match &kind.value {
        Value::Text(kind) if kind == "plain_text" => false,
        Value::Text(kind) if kind == "encrypted" => true,
        _ => return Err(Finding::expected(kind, "'plain_text' or 'encrypted'")),
    };
    let parameters = checks::dict(parameters, "a dictionary")?;
    if !is_encrypted {
        note_unknown(parameters, &[], "'tls'", unknown);
        return Ok(None);
    }
    note_unknown(parameters, &["verify", "ca_file_path"], "'tls'", unknown);
    let verify = parameters.get("verify").map(checks::truth).transpose()?;
    let ca_file = match parameters.get("ca_file_path") {
        None => None,
        Some(node) => ca_file(node)?,
    };
    Ok(Some(Tls {
        verify: verify.unwrap_or(true),
        ca_file,
    }))
}

fn ca_file(node: &Node) -> Result<Option<PathBuf>, Finding> {
    match &node.value {
        Value::None => Ok(None),
        Value::Text(text) => absolute_path(text)
            .map(Some)
            .map_err(|text| Finding::new(node, text)),
        _ => Err(Finding::expected(node, "a path in quotes")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::{Source, read_variables};

    fn read(text: &str) -> Result<Address, String> {
        let source = Source::new("a.mk", format!("x = {text}"));
        let variables = read_variables(&[source]).unwrap();
        let mut unknown = Vec::new();
        let found = from_node(
            variables.get("x").unwrap(),
            Path::new("/omd/live"),
            &mut unknown,
        );
        assert_eq!(unknown, [], "{text}");
        found.map_err(|finding| variables.problem(finding.at, finding.text).to_string())
    }

    fn shown(text: &str) -> String {
        read(text).unwrap().to_string()
    }

    #[test]
    fn todays_forms() {
        let tcp = |tls| format!("('tcp', {{'address': ('10.1.1.2', 6557){tls}}})");
        assert_eq!(shown(&tcp("")), "tcp:10.1.1.2:6557");
        assert_eq!(
            shown(&tcp(", 'tls': ('plain_text', {})")),
            "tcp:10.1.1.2:6557"
        );
        assert_eq!(
            shown(&tcp(", 'tls': ('encrypted', {'verify': True})")),
            "tcp:10.1.1.2:6557 (tls)"
        );
        assert_eq!(
            shown(&tcp(", 'tls': ('encrypted', {})")),
            "tcp:10.1.1.2:6557 (tls)"
        );
        assert_eq!(
            shown(&tcp(", 'tls': ('encrypted', {'verify': False})")),
            "tcp:10.1.1.2:6557 (tls, not verified)"
        );
        assert_eq!(
            shown("('tcp6', {'address': ('fe80::1%eth0', 1)})"),
            "tcp:[fe80::1%eth0]:1"
        );
        assert_eq!(shown("('unix', {'path': '/run/live'})"), "unix:/run/live");
        assert_eq!(shown("('local', None)"), "unix:/omd/live");
    }

    #[test]
    fn a_file_of_trusted_certificates() {
        let text = "('tcp', {'address': ('muc', 1), \
                    'tls': ('encrypted', {'verify': True, 'ca_file_path': '/ca.crt'})})";
        let Address::Tcp { tls, .. } = read(text).unwrap() else {
            panic!("not tcp");
        };
        assert_eq!(
            tls,
            Some(Tls {
                verify: true,
                ca_file: Some("/ca.crt".into())
            })
        );
    }

    #[test]
    fn without_a_file_of_certificates_those_of_the_system_are_trusted() {
        let text = "('tcp', {'address': ('muc', 1), \
                    'tls': ('encrypted', {'ca_file_path': None})})";
        let Address::Tcp { tls, .. } = read(text).unwrap() else {
            panic!("not tcp");
        };
        let ca_file = None;
        let verify = true;
        assert_eq!(tls, Some(Tls { verify, ca_file }));
    }

    #[test]
    fn a_path_that_is_too_long_for_a_socket_is_told_with_its_length() {
        let path = format!("/{}", "x".repeat(200));
        let message = read(&format!("('unix', {{'path': '{path}'}})")).unwrap_err();
        let want = format!("a path of 201 bytes; at most {MAX_SOCKET_PATH} are possible");
        assert!(message.contains(&want), "{message}");
    }

    #[test]
    fn old_forms() {
        assert_eq!(shown("('10.1.1.2', 6557)"), "tcp:10.1.1.2:6557");
        assert_eq!(shown("('tcp', 6557)"), "tcp:tcp:6557");
        assert_eq!(shown("('::1', 6557)"), "tcp:[::1]:6557");
        assert_eq!(
            shown("'tcp:muc.example.com:6557'"),
            "tcp:muc.example.com:6557"
        );
        assert_eq!(shown("'tcp:[::1]:6557'"), "tcp:[::1]:6557");
        assert_eq!(shown("'unix:/run/live'"), "unix:/run/live");
        assert_eq!(shown("'/run/live'"), "unix:/run/live");
        assert_eq!(shown("None"), "unix:/omd/live");
    }

    #[test]
    fn every_wrong_form_is_refused_where_it_is_wrong() {
        for (text, column, part) in [
            ("5", 5, "expected ('tcp'"),
            ("()", 5, "expected ('tcp'"),
            ("('muc',)", 5, "expected ('tcp'"),
            ("(1, 2)", 6, "a host name"),
            ("('muc', '6557')", 13, "a port"),
            ("('muc', True)", 13, "a port"),
            ("('muc', 0)", 13, "1 to 65535"),
            ("('muc', 65536)", 13, "1 to 65535"),
            ("('', 6557)", 6, "empty"),
            ("('a b', 6557)", 6, "' ' cannot stand"),
            ("('a\\0', 6557)", 6, "cannot stand"),
            ("('a:b', 6557)", 6, "not an IPv6 address"),
            ("('[muc]', 6557)", 6, "not an IPv6 address"),
            ("('local', 5.0)", 15, "None behind 'local'"),
            ("('proxy', {})", 6, "'tcp', 'tcp6', 'unix' or 'local'"),
            ("('unix', {})", 14, "'path' is missing"),
            ("('unix', '/run/live')", 14, "expected {'path'"),
            ("('unix', {'path': 'run/live'})", 23, "begins with '/'"),
            ("('unix', {'path': 5})", 23, "a path in quotes"),
            ("('unix', {'path': '/a\\0'})", 23, "zero byte"),
            ("('tcp', {})", 13, "'address' is missing"),
            ("('tcp', ('muc', 1))", 13, "expected {'address'"),
            ("('tcp', {'address': 'muc'})", 25, "(host, port)"),
            ("('tcp', {'address': ('muc', 1, 2)})", 25, "(host, port)"),
            ("('tcp', {'address': (5, 1)})", 26, "in quotes"),
            ("('tcp6', {'address': ('10.1.1.2', 1)})", 27, "write 'tcp'"),
            ("'muc'", 5, "expected 'tcp:host:port'"),
            ("'tcp:muc'", 5, "the port is missing"),
            ("'tcp:::1:6557'", 5, "in brackets"),
            ("'tcp:muc:+1'", 5, "1 to 65535"),
            ("'tcp:muc:0'", 5, "1 to 65535"),
            ("'tcp::6557'", 5, "empty"),
            ("'unix:live'", 5, "begins with '/'"),
        ] {
            let message = read(text).unwrap_err();
            let place = format!("a.mk:1:{column}: ");
            assert!(message.starts_with(&place), "{text}: {message}");
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn wrong_encryption_is_refused() {
        for (tls, part) in [
            ("True", "('plain_text', {})"),
            ("('tls', {})", "'plain_text' or 'encrypted'"),
            ("('encrypted',)", "('plain_text', {})"),
            ("('encrypted', None)", "a dictionary"),
            ("('encrypted', {'verify': 1})", "True or False, found 1"),
            (
                "('encrypted', {'ca_file_path': 'ca.crt'})",
                "begins with '/'",
            ),
            ("('encrypted', {'ca_file_path': 5})", "a path in quotes"),
        ] {
            let text = format!("('tcp', {{'address': ('muc', 1), 'tls': {tls}}})");
            let message = read(&text).unwrap_err();
            assert!(message.contains(part), "{tls}: {message}");
        }
    }

    #[test]
    fn a_core_in_a_folder_too_deep_is_refused() {
        let variables = read_variables(&[Source::new("a.mk", "x = None")]).unwrap();
        let node = variables.get("x").unwrap();
        let core = |length: usize| from_node(node, Path::new(&"c".repeat(length)), &mut Vec::new());
        assert!(core(MAX_SOCKET_PATH).is_ok());
        assert!(core(MAX_SOCKET_PATH + 1).is_err());
    }

    #[test]
    fn long_paths_and_hosts_are_refused() {
        let path = |length| format!("'/{}'", "a".repeat(length - 1));
        assert!(read(&path(MAX_SOCKET_PATH)).is_ok());
        assert!(read(&path(MAX_SOCKET_PATH + 1)).is_err());
        let host = |length| format!("('{}', 1)", "a".repeat(length));
        assert!(read(&host(MAX_HOST)).is_ok());
        assert!(read(&host(MAX_HOST + 1)).is_err());
    }
}
