//! The two invented sites, their hosts and services, and the tables that show
//! them. Must not know how a table is asked for.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::fnv::fnv1a;

use Value::{Number, Text};

/// Seconds between two checks of a host or service.
const CHECK_INTERVAL: i64 = 60;

/// What is checked, what its number means, the unit of that number, and from
/// where on it is WARN and CRIT.
#[derive(Debug)]
struct Check(&'static str, &'static str, &'static str, i64, i64);

const PING: Check = Check("PING", "round trip", " ms", 20, 100);
const PORT_1: Check = Check("Interface 1", "in use", " %", 80, 95);
const PORT_2: Check = Check("Interface 2", "in use", " %", 80, 95);
const LOAD: Check = Check("CPU load", "15 minute average", "", 5, 10);
const MEMORY: Check = Check("Memory", "used", " %", 85, 95);
const DISK: Check = Check("Filesystem /", "used", " %", 80, 90);
const HTTP: Check = Check("HTTP", "answered in", " ms", 500, 2000);
const POSTGRES: Check = Check("PostgreSQL \"main\"", "connections", "", 80, 100);
const BACKUP: Check = Check("Backup", "age", " hours", 26, 50);

/// The last part of a host's name, its alias, and what is checked on it.
type Plan = (&'static str, &'static str, &'static [Check]);

const NETWORK: &[Check] = &[PING, PORT_1, PORT_2];
const WEB: &[Check] = &[PING, LOAD, MEMORY, DISK, HTTP];
const DATABASE: &[Check] = &[PING, LOAD, MEMORY, DISK, POSTGRES];
const SERVER: &[Check] = &[PING, LOAD, MEMORY, DISK, BACKUP];

/// One alias has an umlaut and one check a quotation mark, so that a reader of
/// the output sees how both are escaped.
const BERLIN: [Plan; 10] = [
    ("gw", "Gateway", NETWORK),
    ("fw", "Firewall", NETWORK),
    ("sw1", "Switch, ground floor", NETWORK),
    ("sw2", "Switch, Büro", NETWORK),
    ("web1", "Web shop", WEB),
    ("web2", "Web shop, standby", WEB),
    ("db1", "Database", DATABASE),
    ("db2", "Database, copy", DATABASE),
    ("mail", "Mail", SERVER),
    ("erp", "Accounting", SERVER),
];

const LISBON: [Plan; 10] = [
    ("gw", "Gateway", NETWORK),
    ("sw1", "Switch, reception", NETWORK),
    ("web1", "Booking", WEB),
    ("web2", "Booking, standby", WEB),
    ("web3", "Maps", WEB),
    ("db1", "Database", DATABASE),
    ("mail", "Mail", SERVER),
    ("nas1", "Pictures", SERVER),
    ("nas2", "Pictures, copy", SERVER),
    ("till", "Till", SERVER),
];

/// The value of one column in one row.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Number(i64),
    Text(String),
}

/// The columns of one row by name; all rows of a table have the same.
pub(super) type Row = Vec<(&'static str, Value)>;

/// An invented site. All of it follows from names, but for the clock.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) name: &'static str,
    /// When it was started, in seconds since the epoch.
    started: i64,
    hosts: Vec<Row>,
    services: Vec<Row>,
}

impl Site {
    /// In 192.0.2.0/24, a network set apart for documentation.
    pub(super) fn berlin() -> Site {
        Site::invent("berlin", "192.0.2", "web2", &BERLIN)
    }

    /// In 198.51.100.0/24, another such network.
    pub(super) fn lisbon() -> Site {
        Site::invent("lisbon", "198.51.100", "nas2", &LISBON)
    }

    /// The host `down` does not answer; what else is wrong is left to [`outcome`].
    fn invent(name: &'static str, network: &str, down: &str, plans: &[Plan]) -> Site {
        let mut site = Site {
            name,
            started: now(),
            hosts: Vec::new(),
            services: Vec::new(),
        };
        for (number, &(part, alias, checks)) in (1..).zip(plans) {
            let (host, address) = (format!("{name}-{part}"), format!("{network}.{number}"));
            let (state, output) = match part == down {
                true => (1, format!("DOWN - {address} does not answer")),
                false => (0, format!("UP - {address} answers")),
            };
            site.services.extend(checks.iter().map(|check| {
                let (service_state, service_output) = outcome(&host, state, check);
                vec![
                    ("host_name", Text(host.clone())),
                    ("host_address", Text(address.clone())),
                    ("host_state", Number(state)),
                    ("description", Text(check.0.to_owned())),
                    ("state", Number(service_state)),
                    ("plugin_output", Text(service_output)),
                ]
            }));
            site.hosts.push(vec![
                ("name", Text(host)),
                ("alias", Text(alias.to_owned())),
                ("address", Text(address)),
                ("state", Number(state)),
                ("plugin_output", Text(output)),
                ("num_services", Number(checks.len() as i64)),
            ]);
        }
        site
    }

    /// The rows of a table at a moment in seconds since the epoch, at least one;
    /// `None` when there is no such table.
    pub(super) fn table(&self, name: &str, now: i64) -> Option<Vec<Row>> {
        match name {
            "status" => Some(vec![self.status_row()]),
            "hosts" => Some(checked(&self.hosts, now)),
            "services" => Some(checked(&self.services, now)),
            _ => None,
        }
    }

    fn status_row(&self) -> Row {
        let version = concat!("liveproxyd-demo-", env!("CARGO_PKG_VERSION"));
        vec![
            ("program_version", Text(version.to_owned())),
            ("livestatus_version", Text(version.to_owned())),
            ("program_start", Number(self.started)),
            ("core_pid", Number(std::process::id().into())),
            ("interval_length", Number(CHECK_INTERVAL)),
            ("num_hosts", Number(self.hosts.len() as i64)),
            ("num_services", Number(self.services.len() as i64)),
            ("execute_host_checks", Number(1)),
            ("execute_service_checks", Number(1)),
            ("enable_notifications", Number(0)),
        ]
    }
}

/// Adds what hosts and services have in common. Their checks are spread over
/// the interval, in steps of seven seconds because that does not divide it.
fn checked(rows: &[Row], now: i64) -> Vec<Row> {
    let rows = (0..).zip(rows).map(|(place, row)| {
        let age = (now + 7 * place).rem_euclid(CHECK_INTERVAL);
        let common = [
            ("last_check", Number(now - age)),
            ("has_been_checked", Number(1)),
            ("acknowledged", Number(0)),
            ("scheduled_downtime_depth", Number(0)),
        ];
        row.iter().cloned().chain(common).collect()
    });
    rows.collect()
}

/// State and plugin output of a check, drawn by the name of its host. When the
/// host is down, the ping is lost and the rest is as it was, as in real cores.
fn outcome(host: &str, host_state: i64, check: &Check) -> (i64, String) {
    let &Check(description, meaning, unit, warn, crit) = check;
    if host_state != 0 && description == PING.0 {
        return (2, "CRIT - all packets lost".to_owned());
    }
    let drawn = draw(&format!("{host};{description}"));
    let (state, word, least, below) = match drawn % 14 {
        0 => (2, "CRIT", crit, crit + crit / 20 + 1),
        1 | 2 => (1, "WARN", warn, crit),
        _ => (0, "OK", warn / 3, warn),
    };
    let measured = least + drawn / 14 % (below - least);
    let output = format!("{word} - {meaning} {measured}{unit} (warn/crit at {warn}/{crit})");
    (state, output)
}

/// A number of 32 bits that follows from a name, on every machine and in every
/// release: the upper half of FNV-1a, the better mixed one.
fn draw(name: &str) -> i64 {
    (fnv1a(name.as_bytes()) >> 32).cast_signed()
}

/// Seconds since the epoch; 0 with a clock before it.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |age| age.as_secs().cast_signed())
}
