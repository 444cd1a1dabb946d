//! The tables and their columns, each declared once: what clients can ask for,
//! the table `columns` and `doc/control-socket.md` are made from this.

use super::column::{Column, counted, float, int, list, number, seconds, text, time};
use super::sites::sites;
use crate::counters::{CLASSES, COUNTERS, Counter};
use crate::report::{ChannelReport, ClientReport, Event, Report, SiteReport};

/// The names of the tables, with what a row of each is.
pub const TABLES: [(&str, &str); 6] = [
    ("status", "The daemon; one row."),
    ("sites", "Each site that is configured."),
    ("channels", "Each connection to a site."),
    ("clients", "Each client that is connected."),
    (
        "events",
        "Each change of a site's state, the last ones only.",
    ),
    ("columns", "Each column of all tables."),
];

/// What `program_version` says.
const PROGRAM_VERSION: &str = concat!("liveproxyd ", env!("CARGO_PKG_VERSION"));

/// The table `status`.
pub(super) fn status() -> Vec<Column<Report>> {
    let mut columns = vec![
        time(
            "program_start",
            "When the daemon was started.",
            |all: &Report| all.daemon.started,
        ),
        text(
            "program_version",
            "The name and version of the daemon.",
            |_| PROGRAM_VERSION,
        ),
        text(
            "livestatus_version",
            "The version of the daemon, where others have that of Livestatus.",
            |_| env!("CARGO_PKG_VERSION"),
        ),
        int("pid", "Its process.", |all| u64::from(all.daemon.pid)),
        time(
            "now",
            "When the values of this answer were gathered.",
            |all| all.now,
        ),
        time(
            "last_reload",
            "When the configuration in use was read.",
            |all| all.daemon.configured,
        ),
        text(
            "config_error",
            "What was wrong when the configuration was last read again; empty if nothing was.",
            |all| &all.daemon.config_error,
        ),
        time(
            "config_error_since",
            "When that was; 0 if nothing was wrong.",
            |all| all.daemon.config_error_since,
        ),
        int(
            "config_in_part",
            "1 if the daemon started with it all the same, without what is wrong; 0 otherwise.",
            |all| u64::from(all.daemon.config_in_part),
        ),
        text(
            "restart_error",
            "Why nothing came of the last order to restart; empty if that is not so, or not known yet.",
            |all| &all.daemon.restart_error,
        ),
        int(
            "request_memory",
            "Bytes of requests that are being read or wait.",
            |all| all.daemon.request_memory as u64,
        ),
        int(
            "response_memory",
            "Bytes of responses that are held.",
            |all| all.daemon.response_memory as u64,
        ),
        int(
            "response_memory_limit",
            "The most bytes of responses that may be held.",
            |all| all.daemon.response_memory_limit as u64,
        ),
        int(
            "answer_memory",
            "Bytes of answers on this socket that are not read yet, those of up to 64 KiB not counted.",
            |all| all.daemon.answer_memory as u64,
        ),
        int("sites", "Sites that are configured.", |all| {
            all.sites.len() as u64
        }),
        int(
            "sites_starting",
            "Sites of which nothing is known yet.",
            |all| in_state(all, "starting"),
        ),
        int("sites_ready", "Sites that answer.", |all| {
            in_state(all, "ready")
        }),
        int(
            "sites_busy",
            "Sites that are reached but refuse queries because no channel gets free.",
            |all| in_state(all, "busy"),
        ),
        int("sites_dead", "Sites that are not reached.", |all| {
            in_state(all, "dead")
        }),
        int(
            "sites_disabled",
            "Sites that were switched off by an order.",
            |all| in_state(all, "disabled"),
        ),
        int(
            "sites_refused",
            "Sites whose configuration is wrong.",
            |all| in_state(all, "refused"),
        ),
        int("channels", "Connections to sites.", |all| {
            all.channels.len() as u64
        }),
        int(
            "channels_busy",
            "Connections to sites that work for a client.",
            |all| all.sites.iter().map(|site| site.channels_busy as u64).sum(),
        ),
        int("clients", "Clients that are connected.", |all| {
            all.clients.len() as u64
        }),
        int("waiting", "Queries that wait for a channel.", |all| {
            all.sites.iter().map(|site| site.waiting as u64).sum()
        }),
        int(
            "slow_readers",
            "Clients that have not taken all of a response that is there.",
            |all| all.sites.iter().map(|site| site.slow_readers as u64).sum(),
        ),
        list(
            "time_classes",
            "The upper limits of the classes of response_time_buckets and waiting_time_buckets, in milliseconds.",
            |_| CLASSES.iter().map(|limit| *limit as i64).collect(),
        ),
    ];
    columns.extend(counters(|all: &Report, counter| {
        let of_site = |site: &SiteReport| site.counters.get(counter);
        all.sites.iter().map(of_site).fold(0, u64::wrapping_add)
    }));
    columns
}

fn in_state(all: &Report, state: &str) -> u64 {
    all.sites.iter().filter(|site| site.state == state).count() as u64
}

/// A column for each counter.
pub(super) fn counters<R>(get: fn(&R, Counter) -> u64) -> impl Iterator<Item = Column<R>> {
    COUNTERS
        .iter()
        .map(move |declared| counted(declared.name, declared.meaning, get, declared.counter))
}

/// The table `channels`.
pub(super) fn channels() -> Vec<Column<ChannelReport>> {
    vec![
        text("site", "Its site.", |channel: &ChannelReport| &channel.site),
        int("number", "Its number at that site.", |channel| {
            channel.number as u64
        }),
        text(
            "state",
            "One of connecting, ready, busy, heartbeat.",
            |channel| channel.state,
        ),
        time("since", "Since when it is in that state.", |channel| {
            channel.since
        }),
        time("opened", "When it was begun.", |channel| channel.opened),
        number(
            "descriptor",
            "Its descriptor; -1 if it has none yet.",
            |channel| i64::from(channel.descriptor),
        ),
        text(
            "address",
            "The address it is connected to, if it has one.",
            |channel| &channel.address,
        ),
        int("queries", "Queries that were sent over it.", |channel| {
            channel.queries
        }),
        int(
            "client",
            "The number of the client that it works for; 0 if none.",
            |channel| channel.client,
        ),
        text(
            "request",
            "The first line of what it was asked, while it is busy.",
            |channel| &channel.request,
        ),
    ]
}

/// The table `clients`.
pub(super) fn clients() -> Vec<Column<ClientReport>> {
    vec![
        int(
            "number",
            "Its number, never given to another one.",
            |client: &ClientReport| client.number,
        ),
        text("site", "Its site; empty on the control socket.", |client| {
            &client.site
        }),
        text(
            "state",
            "One of handshake, idle, reading, wait_for_channel, wait_for_response, response, leaving.",
            |client| client.state,
        ),
        time("since", "Since when it is in that state.", |client| {
            client.since
        }),
        time("connected", "When it connected.", |client| client.connected),
        number("descriptor", "Its descriptor.", |client| {
            i64::from(client.descriptor)
        }),
        number("pid", "Its process; 0 if that is not known.", |client| {
            i64::from(client.pid)
        }),
        number(
            "uid",
            "The number of its user; -1 if that is not known.",
            |client| client.uid,
        ),
        number(
            "channel",
            "The number of the channel that works for it; -1 if none.",
            |client| client.channel,
        ),
        int("requests", "Requests it has made.", |client| {
            client.requests
        }),
        text(
            "request",
            "The first line of the request that it waits for.",
            |client| &client.request,
        ),
    ]
}

/// The table `events`.
pub(super) fn events() -> Vec<Column<Event>> {
    vec![
        int(
            "number",
            "Counts up from 1 since the daemon was started.",
            |event: &Event| event.number,
        ),
        time("time", "When it was.", |event| event.time),
        text("site", "The site.", |event| &event.site),
        text("from", "Its state before.", |event| event.from),
        text("to", "Its state from then on.", |event| event.to),
        text(
            "cause",
            "Why, where there is a reason to be given.",
            |event| &event.cause,
        ),
        float(
            "lasted",
            "How long the state before had lasted, in seconds.",
            |event| seconds(event.lasted),
        ),
    ]
}

/// A row of the table `columns`.
pub(super) struct Described {
    table: &'static str,
    name: &'static str,
    kind: &'static str,
    description: &'static str,
}

/// The table `columns`.
pub(super) fn columns() -> Vec<Column<Described>> {
    vec![
        text("table", "The table.", |row: &Described| row.table),
        text("name", "The name of the column.", |row| row.name),
        text(
            "type",
            "Its type: string, int, float, time or list.",
            |row| row.kind,
        ),
        text("description", "What it says.", |row| row.description),
    ]
}

/// The rows of the table `columns`, table by table.
pub(super) fn described() -> Vec<Described> {
    let mut rows = Vec::new();
    describe(&mut rows, "status", &status());
    describe(&mut rows, "sites", &sites());
    describe(&mut rows, "channels", &channels());
    describe(&mut rows, "clients", &clients());
    describe(&mut rows, "events", &events());
    describe(&mut rows, "columns", &columns());
    rows
}

fn describe<R>(rows: &mut Vec<Described>, table: &'static str, columns: &[Column<R>]) {
    rows.extend(columns.iter().map(|column| Described {
        table,
        name: column.name,
        kind: column.kind().name(),
        description: column.meaning,
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_column_has_a_name_of_its_own_in_its_table_and_a_sentence() {
        let rows = described();
        let mut names: Vec<(&str, &str)> = rows.iter().map(|row| (row.table, row.name)).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        for row in &rows {
            assert!(row.description.ends_with('.'), "{}.{}", row.table, row.name);
            let is_plain =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            assert!(row.name.bytes().all(is_plain), "{}", row.name);
        }
    }

    #[test]
    fn every_table_is_described() {
        let rows = described();
        for (table, meaning) in TABLES {
            assert!(rows.iter().any(|row| row.table == table), "{table}");
            assert!(meaning.ends_with('.'));
        }
    }
}
