//! The tables `status`, `hosts` and `services`: which columns they have and where in the invented data each comes from.
//! Must not know how a query is written or answered.

use std::sync::atomic::Ordering;

use super::invent::{Host, Service, Site};
use super::select::{Column, Get, Table};

/// Seconds between two checks of a host or service, and the unit of `check_interval`, which counts such intervals.
const INTERVAL: i64 = 60;

/// The longest that a state is pretended to last, in seconds: three days.
const LONGEST_STATE: u64 = 3 * 86_400;

/// The latest moment up to `now` at which something with this seed was due for its check.
fn last_check(seed: u64, now: i64) -> i64 {
    let offset = (seed % INTERVAL.cast_unsigned()).cast_signed();
    now - (now - offset).rem_euclid(INTERVAL)
}

/// The only row of `status`.
#[derive(Debug)]
pub(super) struct StatusRow<'a> {
    site: &'a Site,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct HostRow<'a> {
    site: &'a Site,
    host: &'a Host,
    now: i64,
}

#[derive(Debug)]
pub(super) struct ServiceRow<'a> {
    host: HostRow<'a>,
    service: &'a Service,
}

impl HostRow<'_> {
    fn groups(&self) -> Vec<String> {
        vec![self.site.name.to_owned(), self.host.role.group.to_owned()]
    }

    fn state_since(&self, seed: u64) -> i64 {
        self.site.started - (seed % LONGEST_STATE).cast_signed()
    }

    fn services_in(&self, state: i64) -> i64 {
        let services = self.host.services.iter();
        services.filter(|service| service.state == state).count() as i64
    }

    fn acknowledged(&self) -> i64 {
        i64::from(self.host.acknowledged.load(Ordering::SeqCst))
    }
}

fn int<R>(name: &'static str, get: fn(&R) -> i64) -> Column<R> {
    let get = Get::Int(get);
    Column { name, get }
}

fn text<R>(name: &'static str, get: fn(&R) -> String) -> Column<R> {
    let get = Get::Text(get);
    Column { name, get }
}

fn list<R>(name: &'static str, get: fn(&R) -> Vec<String>) -> Column<R> {
    let get = Get::List(get);
    Column { name, get }
}

/// The table `status`, one row.
pub(super) fn status(site: &Site) -> Table<StatusRow<'_>> {
    let version = |_: &StatusRow| concat!("liveproxyd-demo-", env!("CARGO_PKG_VERSION")).to_owned();
    let columns: Vec<Column<StatusRow>> = vec![
        int("accept_passive_host_checks", |_| 1),
        int("accept_passive_service_checks", |_| 1),
        int("check_external_commands", |_| 1),
        int("core_pid", |_| std::process::id().into()),
        int("enable_event_handlers", |_| 0),
        int("enable_flap_detection", |_| 0),
        int("enable_notifications", |_| 1),
        int("execute_host_checks", |_| 1),
        int("execute_service_checks", |_| 1),
        int("interval_length", |_| INTERVAL),
        text("livestatus_version", version),
        int("max_long_output_size", |_| 0),
        int("num_hosts", |row| row.site.hosts.len() as i64),
        int("num_services", |row| {
            let services = row.site.hosts.iter().map(|host| host.services.len());
            services.sum::<usize>() as i64
        }),
        int("process_performance_data", |_| 1),
        int("program_start", |row| row.site.started),
        text("program_version", version),
    ];
    let rows = vec![StatusRow { site }];
    Table { columns, rows }
}

/// The table `hosts`.
pub(super) fn hosts(site: &Site, now: i64) -> Table<HostRow<'_>> {
    let columns: Vec<Column<HostRow>> = vec![
        int("acknowledged", HostRow::acknowledged),
        int("active_checks_enabled", |_| 1),
        text("address", |row| row.host.address.clone()),
        text("alias", |row| row.host.role.alias.to_owned()),
        int("check_interval", |_| 1),
        list("groups", HostRow::groups),
        int("has_been_checked", |_| 1),
        int("last_check", |row| last_check(row.host.seed, row.now)),
        int("last_state_change", |row| row.state_since(row.host.seed)),
        text("name", |row| row.host.name.clone()),
        int("next_check", |row| {
            last_check(row.host.seed, row.now) + INTERVAL
        }),
        // A tab between the two, the one control character that real notes have.
        text("notes", |row| {
            format!("rack {}\tunit {}", row.host.seed % 4, row.host.seed % 40)
        }),
        int("num_services", |row| row.host.services.len() as i64),
        int("num_services_crit", |row| row.services_in(2)),
        int("num_services_ok", |row| row.services_in(0)),
        int("num_services_unknown", |row| row.services_in(3)),
        int("num_services_warn", |row| row.services_in(1)),
        list("parents", |row| row.host.parent.iter().cloned().collect()),
        text("perf_data", |_| String::new()),
        text("plugin_output", |row| row.host.output()),
        int("scheduled_downtime_depth", |_| 0),
        list("services", |row| {
            let services = row.host.services.iter();
            services
                .map(|service| service.check.description.to_owned())
                .collect()
        }),
        int("state", |row| i64::from(row.host.down)),
        int("state_type", |_| 1),
        int("worst_service_state", |row| {
            let states = row.host.services.iter().map(|service| service.state);
            states.max().unwrap_or(0)
        }),
    ];
    let rows = site.hosts.iter().map(|host| HostRow { site, host, now });
    Table {
        columns,
        rows: rows.collect(),
    }
}

/// The table `services`.
pub(super) fn services(site: &Site, now: i64) -> Table<ServiceRow<'_>> {
    let columns: Vec<Column<ServiceRow>> = vec![
        int("acknowledged", |_| 0),
        int("active_checks_enabled", |_| 1),
        int("check_interval", |_| 1),
        text("description", |row| {
            row.service.check.description.to_owned()
        }),
        text("display_name", |row| {
            row.service.check.description.to_owned()
        }),
        list("groups", |_| Vec::new()),
        int("has_been_checked", |_| 1),
        int("host_acknowledged", |row| row.host.acknowledged()),
        text("host_address", |row| row.host.host.address.clone()),
        text("host_alias", |row| row.host.host.role.alias.to_owned()),
        list("host_groups", |row| row.host.groups()),
        text("host_name", |row| row.host.host.name.clone()),
        int("host_state", |row| i64::from(row.host.host.down)),
        int("last_check", |row| {
            last_check(row.service.seed, row.host.now)
        }),
        int("last_state_change", |row| {
            row.host.state_since(row.service.seed)
        }),
        int("next_check", |row| {
            last_check(row.service.seed, row.host.now) + INTERVAL
        }),
        text("perf_data", |row| row.service.perf_data.clone()),
        text("plugin_output", |row| row.service.output.clone()),
        int("scheduled_downtime_depth", |_| 0),
        int("state", |row| row.service.state),
        int("state_type", |_| 1),
    ];
    let hosts = site.hosts.iter().map(|host| HostRow { site, host, now });
    let rows = hosts.flat_map(|host| {
        let services = host.host.services.iter();
        services.map(move |service| ServiceRow { host, service })
    });
    Table {
        columns,
        rows: rows.collect(),
    }
}
