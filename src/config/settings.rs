//! The table of a site's settings: name, type and range. Reading them and showing them for `--check-config` both
//! come from here. Knows no address and no other site.

use super::checks::{self, Finding, LEAST_TIME};
use super::types::{Heartbeat, HeartbeatTimeout, Network, SiteConfig, TcpPort};
use super::unknown::{UnknownKey, note_unknown};
use super::value::{Node, Value};
use std::time::Duration;

/// Most channels to one site. Checkmk's own form allows no more, and its core serves 20 connections by default.
const MOST_CHANNELS: usize = 50;

/// Most clients of one site; far beyond what the descriptors of one process allow.
const MOST_CLIENTS: usize = 1_000_000;

/// Shortest pause between heartbeats; Checkmk's own form allows no less.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);

/// Largest percentage of a heartbeat's time-out: ten times the typical time on top of it.
const MOST_PERCENT: u32 = 1000;

/// Most entries of `only_from`; each is compared with every new client.
const MOST_NETWORKS: usize = 1000;

/// One setting, as it may stand in a site or in `liveproxyd_default_connection_params`.
pub(crate) struct Setting {
    /// The key.
    pub(crate) name: &'static str,
    /// A key that older files have in its place.
    pub(crate) old_name: Option<&'static str>,
    /// Type and range, and the field it is kept in.
    pub(super) kind: Kind,
}

/// What a setting takes, and the field of a site it is kept in.
pub(super) enum Kind {
    /// A whole number from `least` to `most`.
    Whole {
        /// Smallest value.
        least: usize,
        /// Largest value.
        most: usize,
        /// The field.
        field: fn(&mut SiteConfig) -> &mut usize,
    },
    /// A time in seconds from 0.1 to a day.
    Seconds(fn(&mut SiteConfig) -> &mut Duration),
    /// `True` or `False`.
    Truth(fn(&mut SiteConfig) -> &mut bool),
    /// `(interval, timeout)`.
    Heartbeat(fn(&mut SiteConfig) -> &mut Heartbeat),
    /// `{'port': ..., 'only_from': [...], 'tls': ..., 'commands': ...}` or `None`.
    Tcp(fn(&mut SiteConfig) -> &mut Option<TcpPort>),
}

/// All settings of a site besides its address.
pub(crate) const SETTINGS: [Setting; 8] = [
    Setting {
        name: "channels",
        old_name: None,
        kind: Kind::Whole {
            least: 1,
            most: MOST_CHANNELS,
            field: |site| &mut site.channels,
        },
    },
    Setting {
        name: "channel_timeout",
        // Check_MK 1.2.3 wrote `timeout`.
        old_name: Some("timeout"),
        kind: Kind::Seconds(|site| &mut site.channel_timeout),
    },
    Setting {
        name: "heartbeat",
        old_name: None,
        kind: Kind::Heartbeat(|site| &mut site.heartbeat),
    },
    Setting {
        name: "query_timeout",
        old_name: None,
        kind: Kind::Seconds(|site| &mut site.query_timeout),
    },
    Setting {
        name: "connect_retry",
        old_name: None,
        kind: Kind::Seconds(|site| &mut site.connect_retry),
    },
    Setting {
        name: "cache",
        old_name: None,
        kind: Kind::Truth(|site| &mut site.cache),
    },
    Setting {
        name: "tcp",
        old_name: None,
        kind: Kind::Tcp(|site| &mut site.tcp),
    },
    Setting {
        name: "max_clients",
        old_name: None,
        kind: Kind::Whole {
            least: 1,
            most: MOST_CLIENTS,
            field: |site| &mut site.max_clients,
        },
    },
];

impl Kind {
    /// Checks a value and keeps it; a bad one changes nothing.
    pub(super) fn read(
        &self,
        node: &Node,
        site: &mut SiteConfig,
        unknown: &mut Vec<UnknownKey>,
    ) -> Result<(), Finding> {
        match self {
            Kind::Whole { least, most, field } => {
                *field(site) = checks::whole(node, *least, *most)?;
            }
            Kind::Seconds(field) => *field(site) = checks::seconds(node, LEAST_TIME)?,
            Kind::Truth(field) => *field(site) = checks::truth(node)?,
            Kind::Heartbeat(field) => *field(site) = heartbeat(node)?,
            Kind::Tcp(field) => *field(site) = tcp_port(node, unknown)?,
        }
        Ok(())
    }

    /// The effective value in Python's syntax.
    pub(super) fn show(&self, site: &SiteConfig) -> String {
        let mut site = site.clone();
        match self {
            Kind::Whole { field, .. } => field(&mut site).to_string(),
            Kind::Seconds(field) => shown_seconds(*field(&mut site)),
            Kind::Truth(field) => shown_truth(*field(&mut site)).to_string(),
            Kind::Heartbeat(field) => shown_heartbeat(field(&mut site)),
            Kind::Tcp(field) => match field(&mut site) {
                None => "None".to_string(),
                Some(port) => shown_tcp_port(port),
            },
        }
    }
}

const HEARTBEAT_FORMS: &str = "(interval, seconds), (interval, '50%') or the interval alone";

fn heartbeat(node: &Node) -> Result<Heartbeat, Finding> {
    let pair = match &node.value {
        // Check_MK 1.2.3 wrote the interval alone.
        Value::Int(_) | Value::Float(_) => {
            return Ok(Heartbeat {
                interval: checks::seconds(node, LEAST_INTERVAL)?,
                timeout: HeartbeatTimeout::default(),
            });
        }
        Value::Tuple(items) | Value::List(items) => items.as_slice(),
        _ => return Err(Finding::expected(node, HEARTBEAT_FORMS)),
    };
    let [interval, timeout] = pair else {
        return Err(Finding::expected(node, HEARTBEAT_FORMS));
    };
    Ok(Heartbeat {
        interval: checks::seconds(interval, LEAST_INTERVAL)?,
        timeout: heartbeat_timeout(timeout)?,
    })
}

fn heartbeat_timeout(node: &Node) -> Result<HeartbeatTimeout, Finding> {
    let Value::Text(text) = &node.value else {
        return match checks::seconds(node, LEAST_TIME) {
            Ok(time) => Ok(HeartbeatTimeout::Fixed(time)),
            Err(_) => {
                let seconds = checks::seconds_words(LEAST_TIME);
                let wanted = format!("{seconds}, or a percentage such as '50%'");
                Err(Finding::expected(node, &wanted))
            }
        };
    };
    text.strip_suffix('%')
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .filter(|percent| (1..=MOST_PERCENT).contains(percent))
        .map(HeartbeatTimeout::Percent)
        .ok_or_else(|| {
            let wanted = format!("a percentage from '1%' to '{MOST_PERCENT}%', or seconds");
            Finding::expected(node, &wanted)
        })
}

const TCP_FORM: &str =
    "{'port': 6560, 'only_from': ['10.1.0.0/16'], 'tls': True, 'commands': True} or None";

fn tcp_port(node: &Node, unknown: &mut Vec<UnknownKey>) -> Result<Option<TcpPort>, Finding> {
    if matches!(node.value, Value::None) {
        return Ok(None);
    }
    let dict = checks::dict(node, TCP_FORM)?;
    note_unknown(
        dict,
        &["port", "only_from", "tls", "commands"],
        "'tcp'",
        unknown,
    );
    let port = dict
        .get("port")
        .ok_or_else(|| Finding::new(node, format!("'port' is missing; expected {TCP_FORM}")))?;
    let tls = dict.get("tls").map(checks::truth).transpose()?;
    let commands = dict.get("commands").map(checks::truth).transpose()?;
    Ok(Some(TcpPort {
        port: checks::port(port)?,
        only_from: dict.get("only_from").map(networks).transpose()?,
        tls: tls.unwrap_or(false),
        commands: commands.unwrap_or(true),
    }))
}

fn networks(node: &Node) -> Result<Vec<Network>, Finding> {
    let (Value::List(items) | Value::Tuple(items)) = &node.value else {
        let wanted = "a list of addresses and networks such as ['10.1.1.2', 'fd00::/8']";
        return Err(Finding::expected(node, wanted));
    };
    if items.len() > MOST_NETWORKS {
        let text = format!(
            "expected at most {MOST_NETWORKS} networks, found {}",
            items.len()
        );
        return Err(Finding::new(node, text));
    }
    let network = |item: &Node| match &item.value {
        Value::Text(text) => Network::parse(text),
        _ => None,
    };
    let wanted = "an address or network such as '10.1.1.2' or 'fd00::/8'";
    items
        .iter()
        .map(|item| network(item).ok_or_else(|| Finding::expected(item, wanted)))
        .collect()
}

fn shown_seconds(time: Duration) -> String {
    format!("{:?}", time.as_secs_f64())
}

pub(super) fn shown_truth(truth: bool) -> &'static str {
    if truth { "True" } else { "False" }
}

fn shown_heartbeat(heartbeat: &Heartbeat) -> String {
    let timeout = match heartbeat.timeout {
        HeartbeatTimeout::Percent(percent) => format!("'{percent}%'"),
        HeartbeatTimeout::Fixed(time) => shown_seconds(time),
    };
    let interval = heartbeat.interval;
    match interval.subsec_nanos() {
        0 => format!("({}, {timeout})", interval.as_secs()),
        _ => format!("({}, {timeout})", shown_seconds(interval)),
    }
}

fn shown_tcp_port(tcp: &TcpPort) -> String {
    let mut out = format!("{{'port': {}", tcp.port);
    if let Some(networks) = &tcp.only_from {
        let networks: Vec<String> = networks.iter().map(|n| format!("'{n}'")).collect();
        out.push_str(&format!(", 'only_from': [{}]", networks.join(", ")));
    }
    let (tls, commands) = (shown_truth(tcp.tls), shown_truth(tcp.commands));
    out.push_str(&format!(", 'tls': {tls}, 'commands': {commands}}}"));
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::tests::rows_of_readme;
    use crate::config::{Address, Source, read_variables};

    fn read(name: &str, text: &str) -> Result<SiteConfig, String> {
        let source = Source::new("a.mk", format!("x = {text}"));
        let variables = read_variables(&[source]).unwrap();
        let setting = SETTINGS.iter().find(|s| s.name == name).unwrap();
        let mut site = SiteConfig::new("muc", Address::Unix("/s".into()));
        let mut unknown = Vec::new();
        let outcome = setting
            .kind
            .read(variables.get("x").unwrap(), &mut site, &mut unknown);
        match outcome {
            Ok(()) => Ok(site),
            Err(finding) => Err(variables.problem(finding.at, finding.text).to_string()),
        }
    }

    fn heartbeat_of(text: &str) -> Heartbeat {
        read("heartbeat", text).unwrap().heartbeat
    }

    #[test]
    fn the_readme_names_every_setting_with_its_default() {
        let new = SiteConfig::new("muc", Address::Unix("/s".into()));
        let defaults = SETTINGS.each_ref().map(|setting| {
            let default = setting.kind.show(&new);
            assert_eq!(read(setting.name, &default).unwrap(), new);
            (setting.name.to_string(), default)
        });
        let mut defaults = Vec::from(defaults);
        let mut told = rows_of_readme("key");
        defaults.sort_unstable();
        told.sort_unstable();
        assert_eq!(told, defaults);
    }

    #[test]
    fn what_is_shown_reads_back_to_the_same() {
        for (name, text) in [
            ("channels", "50"),
            ("channel_timeout", "0.123456789"),
            ("query_timeout", "86400"),
            ("heartbeat", "(1.5, 0.1)"),
            ("heartbeat", "(7, '1000%')"),
            ("cache", "False"),
            ("tcp", "{'port': 6560}"),
            (
                "tcp",
                "{'port': 1, 'only_from': [], 'tls': True, 'commands': False}",
            ),
            (
                "tcp",
                "{'port': 1, 'only_from': ['0.0.0.0', '::/0', '10.1.2.3/8']}",
            ),
        ] {
            let site = read(name, text).unwrap();
            let setting = SETTINGS.iter().find(|s| s.name == name).unwrap();
            assert_eq!(
                read(name, &setting.kind.show(&site)).unwrap(),
                site,
                "{text}"
            );
        }
    }

    #[test]
    fn forms_of_the_heartbeat() {
        let percent = HeartbeatTimeout::Percent(50);
        assert_eq!(heartbeat_of("10").timeout, percent);
        assert_eq!(heartbeat_of("10").interval, Duration::from_secs(10));
        assert_eq!(heartbeat_of("(3, '50%')").timeout, percent);
        assert_eq!(
            heartbeat_of("(5, 2.0)").timeout,
            HeartbeatTimeout::Fixed(Duration::from_secs(2))
        );
        assert_eq!(
            heartbeat_of("[1.5, 1]").interval,
            Duration::from_millis(1500)
        );
    }

    #[test]
    fn networks_are_as_many_as_each_client_can_be_compared_with() {
        let many = |count| format!("{{'port': 1, 'only_from': [{}]}}", "'::1', ".repeat(count));
        assert!(read("tcp", &many(MOST_NETWORKS)).is_ok());
        assert_eq!(
            read("tcp", &many(MOST_NETWORKS + 1)).unwrap_err(),
            "a.mk:1:30: expected at most 1000 networks, found 1001"
        );
    }

    #[test]
    fn bad_values_name_what_is_accepted_and_their_place() {
        for (name, text, column, part) in [
            ("channels", "0", 5, "from 1 to 50, found 0"),
            ("channels", "51", 5, "found 51"),
            ("channels", "True", 5, "found True"),
            ("channels", "5.0", 5, "found 5.0"),
            ("channel_timeout", "0.05", 5, "0.1 to 86400"),
            ("channel_timeout", "1e999", 5, "found inf"),
            ("channel_timeout", "'5'", 5, "found '5'"),
            ("query_timeout", "86401", 5, "found 86401"),
            ("connect_retry", "-1", 5, "found -1"),
            ("connect_retry", "False", 5, "found False"),
            ("cache", "1", 5, "True or False, found 1"),
            ("cache", "None", 5, "found None"),
            ("max_clients", "0", 5, "found 0"),
            ("heartbeat", "'5'", 5, "the interval alone, found '5'"),
            ("heartbeat", "(5,)", 5, "a tuple of 1"),
            ("heartbeat", "True", 5, "found True"),
            ("heartbeat", "0.9", 5, "from 1 to 86400"),
            ("heartbeat", "(0, 2.0)", 6, "from 1 to 86400"),
            ("heartbeat", "('5', 2.0)", 6, "found '5'"),
            ("heartbeat", "(5, 0.05)", 9, "a percentage such as '50%'"),
            ("heartbeat", "(5, True)", 9, "found True"),
            ("heartbeat", "(5, '0%')", 9, "'1%' to '1000%'"),
            ("heartbeat", "(5, '1001%')", 9, "'1%' to '1000%'"),
            ("heartbeat", "(5, '50')", 9, "'1%' to '1000%'"),
            ("heartbeat", "(5, '+5%')", 9, "'1%' to '1000%'"),
            ("heartbeat", "(5, '%')", 9, "'1%' to '1000%'"),
            ("tcp", "6560", 5, "{'port': 6560"),
            ("tcp", "{}", 5, "'port' is missing"),
            ("tcp", "{'port': 0}", 14, "1 to 65535"),
            ("tcp", "{'port': 65536}", 14, "1 to 65535"),
            ("tcp", "{'port': 1, 'tls': 1}", 24, "True or False"),
            ("tcp", "{'port': 1, 'commands': 0}", 29, "True or False"),
            ("tcp", "{'port': 1, 'only_from': '::'}", 30, "a list of"),
            (
                "tcp",
                "{'port': 1, 'only_from': ['muc']}",
                31,
                "found 'muc'",
            ),
            ("tcp", "{'port': 1, 'only_from': [5]}", 31, "found 5"),
        ] {
            let message = read(name, text).unwrap_err();
            let place = format!("a.mk:1:{column}: ");
            assert!(message.starts_with(&place), "{name} {text}: {message}");
            assert!(message.contains(part), "{name} {text}: {message}");
        }
    }
}
