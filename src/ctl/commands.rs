//! The commands: one table, from which the parser and the help texts come.

use super::limits::Limits;
use crate::config::is_site_name;
use getopts::{Matches, Options};
use std::path::PathBuf;
use std::time::Duration;

/// The commands, with what they need to know.
#[derive(Debug, PartialEq)]
pub enum Act {
    /// The daemon as a whole.
    Status { json: bool },
    /// All sites, or these.
    Sites { names: Vec<String>, json: bool },
    /// Channels of all sites, or of this one.
    Channels { site: Option<String>, json: bool },
    /// Clients of all sites, or of this one.
    Clients { site: Option<String>, json: bool },
    /// The last changes of state, and then those to come.
    Events {
        count: usize,
        follow: bool,
        json: bool,
    },
    /// A question to a site.
    Query {
        site: String,
        lines: Vec<String>,
        format: Option<String>,
    },
    /// Use a site no more.
    Disable { site: String, reason: String },
    /// Use it again.
    Enable { site: String },
    /// Begin its channels anew.
    Reconnect { site: String },
    /// Read the configuration again.
    Reload,
    /// Have a new process take over.
    Restart,
    /// End the daemon.
    Shutdown,
    /// Watch it.
    Top { interval: Duration },
    /// For Prometheus, to standard output or into this file.
    Metrics { file: Option<PathBuf> },
    /// For a monitoring core or Checkmk's agent.
    Check {
        limits: Limits,
        /// Lines for Checkmk, with this name for the services.
        local: Option<String>,
    },
}

/// How many events are shown unless somebody says otherwise: a screen.
const EVENTS: usize = 20;

/// Name of the services in a local check.
const SERVICE: &str = "Livestatus proxy";

/// Seconds between two looks of `top`.
const INTERVAL: f64 = 2.0;

/// The shortest and longest such time that make sense.
const INTERVALS: std::ops::RangeInclusive<f64> = 0.2..=3600.0;

/// A command's name and meaning, its options and how they are read.
pub struct Declared {
    /// Its name.
    pub name: &'static str,
    /// What stands behind it, in the form of a help text.
    pub arguments: &'static str,
    /// What it does, in a line.
    pub meaning: &'static str,
    /// What its help says besides.
    pub more: &'static str,
    /// Adds its own options.
    pub options: fn(&mut Options),
    /// Reads them. The error is one line for a person.
    pub read: fn(&Matches) -> Result<Act, String>,
}

fn no_options(_: &mut Options) {}

fn json_option(options: &mut Options) {
    options.optflag("j", "json", "an array of objects with all columns");
}

/// All commands, in the order of the help text.
pub const COMMANDS: &[Declared] = &[
    Declared {
        name: "status",
        arguments: "",
        meaning: "the daemon as a whole, and the sites that are not well",
        more: "",
        options: json_option,
        read: |matches| {
            none(matches)?;
            Ok(Act::Status {
                json: matches.opt_present("json"),
            })
        },
    },
    Declared {
        name: "sites",
        arguments: "[NAME...]",
        meaning: "all sites, or these, the worst first",
        more: "CHANNELS are those at work, those open, and those wanted. P90 is the time that nine of\n\
               ten responses did not exceed.",
        options: json_option,
        read: |matches| {
            Ok(Act::Sites {
                names: matches.free.clone(),
                json: matches.opt_present("json"),
            })
        },
    },
    Declared {
        name: "channels",
        arguments: "[SITE]",
        meaning: "the channels to all sites, or to this one",
        more: "",
        options: json_option,
        read: |matches| {
            Ok(Act::Channels {
                site: at_most_one(matches)?,
                json: matches.opt_present("json"),
            })
        },
    },
    Declared {
        name: "clients",
        arguments: "[SITE]",
        meaning: "who is connected, those that wait first",
        more: "",
        options: json_option,
        read: |matches| {
            Ok(Act::Clients {
                site: at_most_one(matches)?,
                json: matches.opt_present("json"),
            })
        },
    },
    Declared {
        name: "events",
        arguments: "",
        meaning: "the last changes of sites' states",
        more: "With --follow, --json prints one object a line.",
        options: |options| {
            json_option(options);
            options
                .optflag("f", "follow", "go on with those to come")
                .optopt("n", "number", "how many (default: 20)", "N");
        },
        read: |matches| {
            none(matches)?;
            Ok(Act::Events {
                count: number(matches, "number")?.unwrap_or(EVENTS),
                follow: matches.opt_present("follow"),
                json: matches.opt_present("json"),
            })
        },
    },
    Declared {
        name: "query",
        arguments: "SITE [LINE...]",
        meaning: "ask a site through the proxy",
        more: "Each argument is a line of the query, such as 'GET hosts' 'Columns: name state'.\n\
               Without any, the query is read from standard input. The response goes to standard\n\
               output; an error goes to standard error, and the exit code is 1.",
        options: |options| {
            options.optopt("f", "format", "csv, json or python", "FORMAT");
        },
        read: read_query,
    },
    Declared {
        name: "disable",
        arguments: "SITE REASON...",
        meaning: "use a site no more: close its channels, answer its clients with the reason",
        more: "",
        options: no_options,
        read: |matches| {
            let (site, reason) = matches.free.split_first().ok_or("which site?")?;
            let reason = reason.join(" ");
            if reason.trim().is_empty() {
                return Err("a reason is needed: it is shown to whoever asks the site".into());
            }
            if reason.chars().any(char::is_control) {
                return Err("the reason must be one line".into());
            }
            Ok(Act::Disable {
                site: site_name(site)?,
                reason,
            })
        },
    },
    Declared {
        name: "enable",
        arguments: "SITE",
        meaning: "use a disabled site again",
        more: "",
        options: no_options,
        read: |matches| {
            Ok(Act::Enable {
                site: one(matches)?,
            })
        },
    },
    Declared {
        name: "reconnect",
        arguments: "SITE",
        meaning: "close the channels of a site and open new ones, at once",
        more: "",
        options: no_options,
        read: |matches| {
            Ok(Act::Reconnect {
                site: one(matches)?,
            })
        },
    },
    Declared {
        name: "reload",
        arguments: "",
        meaning: "read the configuration again; unchanged sites notice nothing",
        more: "",
        options: no_options,
        read: |matches| none(matches).map(|()| Act::Reload),
    },
    Declared {
        name: "restart",
        arguments: "",
        meaning: "have a new process take over, without losing a query",
        more: "",
        options: no_options,
        read: |matches| none(matches).map(|()| Act::Restart),
    },
    Declared {
        name: "shutdown",
        arguments: "",
        meaning: "end the daemon when it has answered what it was asked",
        more: "",
        options: no_options,
        read: |matches| none(matches).map(|()| Act::Shutdown),
    },
    Declared {
        name: "top",
        arguments: "",
        meaning: "watch the sites, the worst first, with rates; q ends it",
        more: "",
        options: |options| {
            options.optopt("i", "interval", "between two looks (default: 2)", "SECONDS");
        },
        read: |matches| {
            none(matches)?;
            let seconds = number(matches, "interval")?.unwrap_or(INTERVAL);
            if !INTERVALS.contains(&seconds) {
                return Err(format!(
                    "--interval takes {} to {} seconds",
                    INTERVALS.start(),
                    INTERVALS.end()
                ));
            }
            Ok(Act::Top {
                interval: Duration::from_secs_f64(seconds),
            })
        },
    },
    Declared {
        name: "metrics",
        arguments: "",
        meaning: "everything that is counted, as text for Prometheus",
        more: "Without a daemon that runs it says liveproxyd_up 0 and ends with 3.",
        options: |options| {
            options.optopt(
                "o",
                "output",
                "write this file, aside first and then renamed",
                "FILE",
            );
        },
        read: |matches| {
            none(matches)?;
            Ok(Act::Metrics {
                file: matches.opt_str("output").map(PathBuf::from),
            })
        },
    },
    Declared {
        name: "check",
        arguments: "",
        meaning: "a plugin for Nagios, Naemon, Icinga and Checkmk",
        more: "WHAT is one of
  dead      sites that are not reachable, or, with %, their part of all sites
  waiting   queries that wait for a channel
  busy      channels at work, in percent of those open, of the site with the most
RANGE is one of the Monitoring Plugins: 10 alerts outside of 0 to 10, 5: below 5, ~:5 above 5,
@1:5 within 1 to 5. Both options may be repeated. Without any: -w dead=0 -c dead=50%.
Exit codes: 0 OK, 1 WARNING, 2 CRITICAL (also when no daemon runs), 3 UNKNOWN.
With --local they stand in the lines, and the exit code is 0.",
        options: |options| {
            options
                .optmulti("w", "warning", "warn outside of this range", "WHAT=RANGE")
                .optmulti("c", "critical", "alert outside of this range", "WHAT=RANGE")
                .optflag(
                    "l",
                    "local",
                    "lines for a local check of Checkmk, one for each site",
                )
                .optopt(
                    "",
                    "service",
                    "name of the services with --local (default: Livestatus proxy)",
                    "NAME",
                );
        },
        read: |matches| {
            none(matches)?;
            let (warning, critical) = (matches.opt_strs("warning"), matches.opt_strs("critical"));
            Ok(Act::Check {
                limits: Limits::read(&warning, &critical)?,
                local: local_service(matches)?,
            })
        },
    },
];

fn read_query(matches: &Matches) -> Result<Act, String> {
    let (site, lines) = matches.free.split_first().ok_or("which site?")?;
    let format = matches.opt_str("format");
    if let Some(format) = &format
        && !["csv", "json", "python"].contains(&format.as_str())
    {
        return Err(format!(
            "--format takes csv, json or python, not '{format}'"
        ));
    }
    Ok(Act::Query {
        site: site_name(site)?,
        lines: lines.to_vec(),
        format,
    })
}

/// The name of the services in a local check, if one is asked for.
fn local_service(matches: &Matches) -> Result<Option<String>, String> {
    let given = matches.opt_str("service");
    if !matches.opt_present("local") {
        return match given {
            None => Ok(None),
            Some(_) => Err("--service goes with --local".into()),
        };
    }
    let name = given.unwrap_or_else(|| SERVICE.into());
    match name.is_empty() || name.contains(['"', '\\']) || name.contains(char::is_control) {
        true => Err("--service takes a name without quotes and backslashes".into()),
        false => Ok(Some(name)),
    }
}

/// A name becomes the name of a socket, or a part of an order.
fn site_name(name: &str) -> Result<String, String> {
    match is_site_name(name) {
        true => Ok(name.to_owned()),
        false => Err(format!("'{name}' is not the name of a site")),
    }
}

fn none(matches: &Matches) -> Result<(), String> {
    match matches.free.first() {
        None => Ok(()),
        Some(free) => Err(format!("unexpected argument: '{free}'")),
    }
}

fn at_most_one(matches: &Matches) -> Result<Option<String>, String> {
    match matches.free.as_slice() {
        [] => Ok(None),
        [site] => site_name(site).map(Some),
        [_, free, ..] => Err(format!("unexpected argument: '{free}'")),
    }
}

fn one(matches: &Matches) -> Result<String, String> {
    at_most_one(matches)?.ok_or_else(|| "which site?".into())
}

fn number<T: std::str::FromStr>(matches: &Matches, name: &str) -> Result<Option<T>, String> {
    let wrong = |text: &String| format!("--{name} takes a number, not '{text}'");
    let read = |text: String| text.parse().map_err(|_| wrong(&text));
    matches.opt_str(name).map(read).transpose()
}
