//! Orders to the daemon, as `COMMAND` lines in the form of Nagios:
//! `COMMAND [1795198323] DISABLE_SITE;muc;planned work`.

use super::column::clean;
use super::shown;
use crate::config::is_site_name;
use std::fmt;

/// Something that the daemon is told to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Close a site's channels and answer its queries with the reason.
    DisableSite {
        /// The site.
        site: String,
        /// Why, in words for the person who is shown it. May be empty.
        reason: String,
    },
    /// Serve a disabled site again.
    EnableSite(String),
    /// Open a site's channels anew.
    ReconnectSite(String),
    /// Read the configuration again.
    Reload,
    /// Hand over to a new process.
    Restart,
    /// Finish what is under way and end.
    Shutdown,
    /// Write the state file now.
    WriteState,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Order::DisableSite { site, reason } => write!(f, "disable site {site}: {reason}"),
            Order::EnableSite(site) => write!(f, "enable site {site}"),
            Order::ReconnectSite(site) => write!(f, "reconnect site {site}"),
            Order::Reload => f.write_str("reload"),
            Order::Restart => f.write_str("restart"),
            Order::Shutdown => f.write_str("shut down"),
            Order::WriteState => f.write_str("write the state file"),
        }
    }
}

/// An order's form and meaning.
#[derive(Debug, Clone, Copy)]
pub struct DeclaredOrder {
    /// Its name.
    pub name: &'static str,
    /// What stands behind the name, as in `;SITE`.
    pub arguments: &'static str,
    /// What it does, as a sentence.
    pub meaning: &'static str,
}

/// All orders.
pub const ORDERS: [DeclaredOrder; 7] = [
    DeclaredOrder {
        name: "DISABLE_SITE",
        arguments: ";SITE;REASON",
        meaning: "Closes the site's channels and answers its queries with the reason, until it is enabled again. The reason may be left out. It holds over a reload, not over a restart.",
    },
    DeclaredOrder {
        name: "ENABLE_SITE",
        arguments: ";SITE",
        meaning: "Serves a disabled site again.",
    },
    DeclaredOrder {
        name: "RECONNECT_SITE",
        arguments: ";SITE",
        meaning: "Opens the site's channels anew.",
    },
    DeclaredOrder {
        name: "RELOAD",
        arguments: "",
        meaning: "Reads the configuration again.",
    },
    DeclaredOrder {
        name: "RESTART",
        arguments: "",
        meaning: "Hands over to a new process; no query is lost. Refused in the foreground where no service manager would look after the new one.",
    },
    DeclaredOrder {
        name: "SHUTDOWN",
        arguments: "",
        meaning: "Finishes what is under way and ends the daemon.",
    },
    DeclaredOrder {
        name: "WRITE_STATE",
        arguments: "",
        meaning: "Writes the state file now.",
    },
];

/// Longest reason, in characters: it is shown in one line of a GUI.
const MAX_REASON: usize = 500;

/// Reads the first line of `line` as an order. The time in front may be
/// missing, for it means nothing here. An error is a sentence for who wrote it.
pub fn order(line: &[u8]) -> Result<Order, String> {
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let Some(command) = line.strip_prefix("COMMAND ") else {
        return Err("A command begins with COMMAND and a blank.".into());
    };
    let command = without_time(command.trim())?;
    let (name, arguments) = match command.split_once(';') {
        Some((name, arguments)) => (name.trim(), arguments.trim()),
        None => (command, ""),
    };
    match name {
        "DISABLE_SITE" => {
            let (site, reason) = arguments.split_once(';').unwrap_or((arguments, ""));
            let reason = clean(reason.trim()).chars().take(MAX_REASON).collect();
            let site = site_name(name, site)?;
            Ok(Order::DisableSite { site, reason })
        }
        "ENABLE_SITE" => Ok(Order::EnableSite(site_name(name, arguments)?)),
        "RECONNECT_SITE" => Ok(Order::ReconnectSite(site_name(name, arguments)?)),
        "RELOAD" => bare(name, arguments, Order::Reload),
        "RESTART" => bare(name, arguments, Order::Restart),
        "SHUTDOWN" => bare(name, arguments, Order::Shutdown),
        "WRITE_STATE" => bare(name, arguments, Order::WriteState),
        "" => Err("The command has no name.".into()),
        other => Err(format!("Unknown command '{}'.", shown(other))),
    }
}

fn without_time(command: &str) -> Result<&str, String> {
    let Some(rest) = command.strip_prefix('[') else {
        return Ok(command);
    };
    match rest.split_once(']') {
        Some((time, command)) if time.trim().parse::<u64>().is_ok() => Ok(command.trim_start()),
        _ => Err("The time in square brackets is not a number of seconds.".into()),
    }
}

/// Any other name cannot be a site's, and must not get into a log line.
fn site_name(order: &str, site: &str) -> Result<String, String> {
    let site = site.trim();
    if site.is_empty() {
        return Err(format!("{order} needs the name of a site: {order};SITE."));
    }
    match is_site_name(site) {
        true => Ok(site.to_string()),
        false => Err(format!("'{}' cannot be the name of a site.", shown(site))),
    }
}

fn bare(name: &str, arguments: &str, order: Order) -> Result<Order, String> {
    match arguments.is_empty() {
        true => Ok(order),
        false => Err(format!("{name} takes nothing behind its name.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_with_their_arguments() {
        let disable = |site: &str, reason: &str| Order::DisableSite {
            site: site.into(),
            reason: reason.into(),
        };
        for (line, want) in [
            (
                "COMMAND [1795198323] DISABLE_SITE;muc;planned work; till 12\n\nGET x\n\n",
                disable("muc", "planned work; till 12"),
            ),
            ("COMMAND [1] DISABLE_SITE;muc", disable("muc", "")),
            ("COMMAND DISABLE_SITE; muc ; a\tb ", disable("muc", "a b")),
            (
                "COMMAND [1] ENABLE_SITE;a-B_9",
                Order::EnableSite("a-B_9".into()),
            ),
            (
                "COMMAND [1]RECONNECT_SITE;x",
                Order::ReconnectSite("x".into()),
            ),
            ("COMMAND [1] RELOAD", Order::Reload),
            ("COMMAND RELOAD;\r\n", Order::Reload),
            ("COMMAND [ 1 ]  RESTART", Order::Restart),
            ("COMMAND [1] SHUTDOWN", Order::Shutdown),
            ("COMMAND [1] WRITE_STATE", Order::WriteState),
        ] {
            assert_eq!(order(line.as_bytes()), Ok(want), "{line}");
        }
    }

    #[test]
    fn what_is_no_order_is_told_in_a_sentence() {
        for (line, want) in [
            ("GET sites", "A command begins with COMMAND and a blank."),
            ("COMMAND ", "The command has no name."),
            ("COMMAND [1]", "The command has no name."),
            (
                "COMMAND [x] RELOAD",
                "The time in square brackets is not a number of seconds.",
            ),
            (
                "COMMAND [1 RELOAD",
                "The time in square brackets is not a number of seconds.",
            ),
            ("COMMAND [1] reload", "Unknown command 'reload'."),
            (
                "COMMAND [1] SHUTDOWN;now",
                "SHUTDOWN takes nothing behind its name.",
            ),
            (
                "COMMAND [1] ENABLE_SITE",
                "ENABLE_SITE needs the name of a site: ENABLE_SITE;SITE.",
            ),
            (
                "COMMAND [1] ENABLE_SITE;a;b",
                "'a;b' cannot be the name of a site.",
            ),
            (
                "COMMAND [1] DISABLE_SITE;../x;y",
                "'../x' cannot be the name of a site.",
            ),
            ("COMMAND [1] X\x1bY", "Unknown command 'X Y'."),
        ] {
            assert_eq!(order(line.as_bytes()), Err(want.into()), "{line}");
        }
    }

    #[test]
    fn every_declared_order_is_known() {
        for declared in ORDERS {
            let arguments = declared.arguments.replace("SITE", "muc");
            let line = format!("COMMAND [1] {}{arguments}", declared.name);
            assert!(order(line.as_bytes()).is_ok(), "{line}");
        }
    }

    #[test]
    fn an_order_is_logged_in_words_and_with_the_reason() {
        let words = |line: &str| order(line.as_bytes()).unwrap().to_string();
        for (line, want) in [
            (
                "COMMAND DISABLE_SITE;muc;planned work",
                "disable site muc: planned work",
            ),
            ("COMMAND ENABLE_SITE;muc", "enable site muc"),
            ("COMMAND RECONNECT_SITE;muc", "reconnect site muc"),
            ("COMMAND RELOAD", "reload"),
            ("COMMAND RESTART", "restart"),
            ("COMMAND SHUTDOWN", "shut down"),
            ("COMMAND WRITE_STATE", "write the state file"),
        ] {
            assert_eq!(words(line), want);
        }
    }

    #[test]
    fn a_reason_is_bounded() {
        let line = format!("COMMAND [1] DISABLE_SITE;muc;{}", "ü".repeat(5_000));
        let Ok(Order::DisableSite { reason, .. }) = order(line.as_bytes()) else {
            panic!("not read")
        };
        assert_eq!(reason.chars().count(), MAX_REASON);
    }
}
