//! What the demonstration sites pretend to monitor: hosts and services, worked out from their names, and the commands they obey.
//! Must not know how a query is written or answered, nor which columns show all this.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// An invented site.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) name: &'static str,
    /// When the site was started, in seconds since the epoch.
    pub(super) started: i64,
    pub(super) hosts: Vec<Host>,
}

#[derive(Debug)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) role: &'static Role,
    pub(super) address: String,
    pub(super) down: bool,
    pub(super) acknowledged: AtomicBool,
    pub(super) seed: u64,
    /// Name of the site's gateway; none for the gateway itself.
    pub(super) parent: Option<String>,
    pub(super) services: Vec<Service>,
}

#[derive(Debug)]
pub(super) struct Service {
    pub(super) check: &'static Check,
    /// 0 is OK, 1 WARN, 2 CRIT.
    pub(super) state: i64,
    pub(super) output: String,
    pub(super) perf_data: String,
    pub(super) seed: u64,
}

/// What a host is for, and with that what is checked on it.
#[derive(Debug)]
pub(super) struct Role {
    pub(super) name: &'static str,
    pub(super) alias: &'static str,
    pub(super) group: &'static str,
    pub(super) checks: &'static [&'static Check],
}

/// A check that measures one number; its state follows from the number.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) description: &'static str,
    pub(super) measures: &'static str,
    pub(super) unit: &'static str,
    pub(super) warn: u64,
    pub(super) crit: u64,
}

const PING: Check = check("PING", "round trip", " ms", 100, 500);
const UPTIME: Check = check("Uptime", "running for", " days", 300, 600);
const UPLINK: Check = check("Interface 1", "in use", " %", 80, 95);
const DOWNLINK: Check = check("Interface 2", "in use", " %", 80, 95);
const LOAD: Check = check("CPU load", "15 minute average", "", 5, 10);
const MEMORY: Check = check("Memory", "used", " %", 85, 95);
const ROOT: Check = check("Filesystem /", "used", " %", 80, 90);
const DRIVE_C: Check = check("Filesystem C:\\", "used", " %", 80, 90);
const HTTP: Check = check("HTTP", "answered in", " ms", 500, 2000);
const POSTGRES: Check = check("PostgreSQL \"main\"", "connections", "", 80, 100);
const MAIL: Check = check("Mail queue", "waiting", " messages", 50, 200);
const HEAT: Check = check("Temperature", "inlet", " °C", 35, 45);
const BACKUP: Check = check("Backup", "age", " hours", 26, 50);
const TONER: Check = check("Toner", "used", " %", 85, 95);

const NETWORK: &[&Check] = &[&PING, &UPTIME, &UPLINK, &DOWNLINK];
const WEB: &[&Check] = &[&PING, &LOAD, &MEMORY, &ROOT, &HTTP];
const DATABASE: &[&Check] = &[&PING, &LOAD, &MEMORY, &ROOT, &POSTGRES];
const MAIL_HOST: &[&Check] = &[&PING, &LOAD, &MEMORY, &ROOT, &MAIL];
const STORAGE: &[&Check] = &[&PING, &ROOT, &HEAT, &BACKUP];
const WINDOWS: &[&Check] = &[&PING, &LOAD, &MEMORY, &DRIVE_C];
const PRINTER: &[&Check] = &[&PING, &TONER];

/// The first is the gateway, the parent of all others. Some aliases have quotes or umlauts, for readers to stumble over.
static BERLIN: [Role; 12] = [
    role("gw", "Gateway \"Mitte\"", "network", NETWORK),
    role("fw", "Firewall", "network", NETWORK),
    role("sw1", "Switch, Erdgeschoß", "network", NETWORK),
    role("sw2", "Switch, Büro", "network", NETWORK),
    role("web1", "Web shop", "linux", WEB),
    role("web2", "Web shop, standby", "linux", WEB),
    role("db1", "Database", "linux", DATABASE),
    role("db2", "Database, copy", "linux", DATABASE),
    role("mail", "Mail", "linux", MAIL_HOST),
    role("nas", "Archive", "storage", STORAGE),
    role("erp", "Accounting", "windows", WINDOWS),
    role("print", "Printer, Büro", "printers", PRINTER),
];

static LISBON: [Role; 12] = [
    role("gw", "Gateway \"Baixa\"", "network", NETWORK),
    role("sw1", "Switch, receção", "network", NETWORK),
    role("sw2", "Switch, armazém", "network", NETWORK),
    role("web1", "Booking", "linux", WEB),
    role("web2", "Booking, standby", "linux", WEB),
    role("web3", "Maps", "linux", WEB),
    role("db1", "Database", "linux", DATABASE),
    role("mail", "Mail", "linux", MAIL_HOST),
    role("nas1", "Pictures", "storage", STORAGE),
    role("nas2", "Pictures, copy", "storage", STORAGE),
    role("till1", "Till, left", "windows", WINDOWS),
    role("till2", "Till, right", "windows", WINDOWS),
];

const fn check(
    description: &'static str,
    measures: &'static str,
    unit: &'static str,
    warn: u64,
    crit: u64,
) -> Check {
    Check {
        description,
        measures,
        unit,
        warn,
        crit,
    }
}

const fn role(
    name: &'static str,
    alias: &'static str,
    group: &'static str,
    checks: &'static [&'static Check],
) -> Role {
    Role {
        name,
        alias,
        group,
        checks,
    }
}

/// Seconds since the epoch; 0 with a clock before it.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |age| age.as_secs().cast_signed())
}

/// The site in 192.0.2.0/24, a network set apart for documentation.
pub(super) fn berlin() -> Site {
    Site::invent("berlin", "192.0.2", &BERLIN)
}

/// The site in 198.51.100.0/24, a network set apart for documentation.
pub(super) fn lisbon() -> Site {
    Site::invent("lisbon", "198.51.100", &LISBON)
}

impl Site {
    fn invent(name: &'static str, network: &str, roles: &'static [Role]) -> Site {
        let gateway = roles.first().map(|role| format!("{name}-{}", role.name));
        // Never the gateway: behind it the whole site would be unreachable.
        let down = 1 + seed(name) % (roles.len() as u64 - 1);
        let hosts = (0u64..).zip(roles).map(|(at, role)| {
            let parent = gateway.clone().filter(|_| at > 0);
            let address = format!("{network}.{}", at + 1);
            Host::invent(name, role, address, parent, at == down)
        });
        Site {
            name,
            started: now(),
            hosts: hosts.collect(),
        }
    }

    /// Carries out an external command, `[time] NAME;arguments`. `ACKNOWLEDGE_HOST_PROBLEM;HOST;...` sets the host's `acknowledged`,
    /// whatever its state; any other command and any other host is passed over in silence, as Checkmk's cores do.
    pub(super) fn command(&self, text: &str) {
        let (_, command) = text.split_once("] ").unwrap_or_default();
        let mut parts = command.split(';');
        if parts.next() != Some("ACKNOWLEDGE_HOST_PROBLEM") {
            return;
        }
        let named = parts.next().unwrap_or_default();
        if let Some(host) = self.hosts.iter().find(|host| host.name == named) {
            host.acknowledged.store(true, Ordering::SeqCst);
        }
    }
}

impl Host {
    fn invent(
        site: &str,
        role: &'static Role,
        address: String,
        parent: Option<String>,
        down: bool,
    ) -> Host {
        let name = format!("{site}-{}", role.name);
        let services = role.checks.iter().map(|check| {
            let lost = down && check.description == PING.description;
            Service::invent(&name, check, lost)
        });
        Host {
            services: services.collect(),
            seed: seed(&name),
            name,
            role,
            address,
            down,
            acknowledged: AtomicBool::new(false),
            parent,
        }
    }

    /// What its check said last.
    pub(super) fn output(&self) -> String {
        if self.down {
            format!("DOWN - {} does not answer", self.address)
        } else {
            format!("UP - {} answers", self.address)
        }
    }
}

impl Service {
    /// `lost` is the ping of a host that is down.
    fn invent(host: &str, check: &'static Check, lost: bool) -> Service {
        let seed = seed(&format!("{host};{}", check.description));
        if lost {
            return Service {
                check,
                state: 2,
                output: "CRIT - all packets lost".to_owned(),
                perf_data: String::new(),
                seed,
            };
        }
        let Check {
            measures,
            unit,
            warn,
            crit,
            ..
        } = check;
        // Of the higher bits: the lower ones choose the moment of the check.
        let draw = seed >> 32;
        let (state, word, from, below) = match draw % 12 {
            0 => (2, "CRIT", *crit, crit + crit / 20 + 1),
            1 | 2 => (1, "WARN", *warn, *crit),
            _ => (0, "OK", warn / 4, *warn),
        };
        let measured = from + draw % (below - from);
        Service {
            check,
            state,
            output: format!("{word} - {measures} {measured}{unit} (warn/crit at {warn}/{crit})"),
            perf_data: format!("value={measured};{warn};{crit}"),
            seed,
        }
    }
}

/// A number that depends on a name alone, the same on every machine and in every release (FNV-1a, 64 bits).
fn seed(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
