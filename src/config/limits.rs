//! The variables that hold for the whole daemon: bounds of memory and clients, and the log level.
//! Knows no site.

use super::checks::{self, Finding};
use super::types::{Limits, LogLevel};
use super::unknown::{UnknownKey, note_unknown};
use super::value::{Node, Value};
use super::variables::Variables;

/// The variable that holds the log level, and its one key that means this daemon.
pub(super) const LOG_LEVELS: &str = "liveproxyd_log_levels";
const LOG_LEVEL_KEY: &str = "cmk.liveproxyd";

/// Largest size of a buffer, one tebibyte: more than any machine has, little enough for sums not to overflow.
const MOST_BYTES: usize = 1 << 40;

/// Smallest `max_query`: a page of a GUI asks with a few hundred bytes.
const LEAST_QUERY: usize = 1 << 10;

/// Smallest `response_buffer`: a few responses must fit that pass through a window of 1 MiB.
const LEAST_RESPONSES: usize = 4 << 20;

/// Largest `max_clients_total`; the kernel allows a process about a million descriptors.
const MOST_CLIENTS: usize = 1_000_000;

/// One variable that bounds the whole daemon.
pub(super) struct Limit {
    /// Its name.
    pub(super) name: &'static str,
    /// Smallest value.
    pub(super) least: usize,
    /// Largest value.
    pub(super) most: usize,
    /// Where it is kept.
    pub(super) field: fn(&mut Limits) -> &mut usize,
}

/// All of them; their defaults are those of [`Limits::default`].
pub(super) const LIMITS: [Limit; 4] = [
    Limit {
        name: "max_clients_total",
        least: 1,
        most: MOST_CLIENTS,
        field: |limits| &mut limits.max_clients_total,
    },
    Limit {
        name: "max_query",
        least: LEAST_QUERY,
        most: MOST_BYTES,
        field: |limits| &mut limits.max_query,
    },
    Limit {
        name: "request_buffer",
        least: LEAST_QUERY,
        most: MOST_BYTES,
        field: |limits| &mut limits.request_buffer,
    },
    Limit {
        name: "response_buffer",
        least: LEAST_RESPONSES,
        most: MOST_BYTES,
        field: |limits| &mut limits.response_buffer,
    },
];

/// The limits; a bad value leaves the default.
pub(super) fn limits(variables: &Variables, findings: &mut Vec<Finding>) -> Limits {
    let mut limits = Limits::default();
    for limit in &LIMITS {
        let Some(node) = variables.get(limit.name) else {
            continue;
        };
        match checks::whole(node, limit.least, limit.most) {
            Ok(number) => *(limit.field)(&mut limits) = number,
            Err(finding) => findings.push(Finding {
                text: format!("{}: {}", limit.name, finding.text),
                ..finding
            }),
        }
    }
    if limits.max_query > limits.request_buffer {
        let culprit = variables.get("max_query");
        if let Some(node) = culprit.or_else(|| variables.get("request_buffer")) {
            let text = format!(
                "request_buffer ({} bytes) cannot hold one request of max_query ({} bytes); \
                 raise request_buffer or lower max_query",
                limits.request_buffer, limits.max_query
            );
            findings.push(Finding::new(node, text));
        }
        let default = Limits::default();
        limits.max_query = default.max_query;
        limits.request_buffer = default.request_buffer;
    }
    limits
}

/// The log level; a bad value leaves the default.
pub(super) fn log_level(
    variables: &Variables,
    findings: &mut Vec<Finding>,
    unknown: &mut Vec<UnknownKey>,
) -> LogLevel {
    let Some(node) = variables.get(LOG_LEVELS) else {
        return LogLevel::default();
    };
    level_of(node, unknown).unwrap_or_else(|finding| {
        findings.push(Finding {
            text: format!("{LOG_LEVELS}: {}", finding.text),
            ..finding
        });
        LogLevel::default()
    })
}

fn level_of(node: &Node, unknown: &mut Vec<UnknownKey>) -> Result<LogLevel, Finding> {
    let dict = checks::dict(node, "a dictionary such as {'cmk.liveproxyd': 20}")?;
    note_unknown(dict, &[LOG_LEVEL_KEY], "'liveproxyd_log_levels'", unknown);
    let Some(level) = dict.get(LOG_LEVEL_KEY) else {
        return Ok(LogLevel::default());
    };
    let found = match level.value {
        Value::Int(number) => LogLevel::from_number(number),
        _ => None,
    };
    found.ok_or_else(|| {
        let wanted =
            "10 (debug), 15 (verbose), 20 (info), 30 (warning), 40 (error) or 50 (critical)";
        Finding::expected(level, wanted)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::tests::rows_of_readme;
    use crate::config::{Source, read_variables};

    fn read(text: &str) -> (Limits, LogLevel, Vec<String>) {
        let variables = read_variables(&[Source::new("g.mk", text)]).unwrap();
        let (mut findings, mut unknown) = (Vec::new(), Vec::new());
        let limits = limits(&variables, &mut findings);
        let level = log_level(&variables, &mut findings, &mut unknown);
        let message = |f: Finding| variables.problem(f.at, f.text).to_string();
        (limits, level, findings.into_iter().map(message).collect())
    }

    #[test]
    fn nothing_set_is_the_default() {
        let (limits, level, errors) = read("");
        assert_eq!((limits, level), (Limits::default(), LogLevel::Info));
        assert_eq!(errors, [""; 0]);
    }

    #[test]
    fn the_readme_names_every_limit_with_its_default() {
        let shown = |bytes: usize| match bytes {
            20_000 => "20,000".to_string(),
            bytes => format!("{} MiB", bytes >> 20),
        };
        let mut limits = Limits::default();
        let mut defaults: Vec<(String, String)> = LIMITS
            .iter()
            .map(|limit| (limit.name.to_string(), shown(*(limit.field)(&mut limits))))
            .collect();
        let level = format!("{{'{LOG_LEVEL_KEY}': {}}}", LogLevel::default().number());
        defaults.push((LOG_LEVELS.to_string(), level));
        assert_eq!(rows_of_readme("variable"), defaults);
    }

    #[test]
    fn each_variable_goes_to_its_own_field() {
        let text = "max_clients_total = 5\nmax_query = 100000\nrequest_buffer = 200000\n\
                    response_buffer = 5000000\nliveproxyd_log_levels = {'cmk.liveproxyd': 15}";
        let (limits, level, errors) = read(text);
        assert_eq!(errors, [""; 0]);
        assert_eq!(level, LogLevel::Verbose);
        assert_eq!(
            limits,
            Limits {
                max_clients_total: 5,
                open_files: None,
                max_query: 100_000,
                request_buffer: 200_000,
                response_buffer: 5_000_000
            }
        );
    }

    #[test]
    fn the_smallest_and_the_largest_values_are_taken() {
        for text in [
            "max_query = 1024",
            "max_query = 67108864",
            "max_query = 1024; request_buffer = 1024",
            "request_buffer = 1099511627776; max_query = 1099511627776",
            "response_buffer = 4194304",
            "max_clients_total = 1",
            "max_clients_total = 1000000",
        ] {
            assert_eq!(read(text).2, [""; 0], "{text}");
        }
    }

    #[test]
    fn bad_values_are_named_and_leave_the_default() {
        for (text, part) in [
            ("max_clients_total = 0", "max_clients_total: expected"),
            ("max_query = '16'", "g.mk:1:13: max_query: expected"),
            ("max_query = 1023", "from 1024"),
            ("request_buffer = True", "found True"),
            ("response_buffer = 1.0", "found 1.0"),
            ("response_buffer = 4194303", "from 4194304"),
            ("max_clients_total = 1000001", "to 1000000"),
            ("max_query = 104857600", "cannot hold one request"),
            (
                "request_buffer = 2000",
                "g.mk:1:18: request_buffer (2000 bytes)",
            ),
            (
                "liveproxyd_log_levels = 20",
                "1:25: liveproxyd_log_levels: expected a dictionary such as {'cmk.liveproxyd': 20}, found 20",
            ),
            ("liveproxyd_log_levels = {'cmk.liveproxyd': 25}", "found 25"),
            (
                "liveproxyd_log_levels = {'cmk.liveproxyd': True}",
                "found True",
            ),
        ] {
            let (limits, level, errors) = read(text);
            assert_eq!((limits, level), (Limits::default(), LogLevel::Info));
            assert_eq!(errors.len(), 1, "{text}: {errors:?}");
            assert!(errors[0].contains(part), "{text}: {errors:?}");
        }
    }
}
