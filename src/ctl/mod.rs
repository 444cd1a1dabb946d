//! `liveproxyctl`: asks a daemon that runs how it is, and gives it orders, over
//! its control socket. Must not know how the daemon works inside: what it shows
//! comes out of tables, like for any other Livestatus client.

mod ask;
mod check;
mod commands;
mod connect;
mod events;
mod limits;
mod local;
mod metrics;
mod options;
mod orders;
mod query;
mod show;
mod table;
mod top;
mod words;

use commands::Act;
use connect::Door;
use options::Command;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, ErrorKind, IsTerminal, Write};
use table::{Paint, Sheet};

/// Why a command did not do what it was to do.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Failure {
    /// The command line is wrong.
    Usage(String),
    /// No daemon runs.
    Away(String),
    /// This user may not ask it.
    Denied(String),
    /// It runs but says nothing.
    Silent(String),
    /// Anything else, its own refusals included.
    Failed(String),
}

impl Failure {
    /// The exit code, as the help and doc/liveproxyctl.md say.
    fn code(&self) -> u8 {
        match self {
            Failure::Failed(_) | Failure::Denied(_) | Failure::Silent(_) => 1,
            Failure::Usage(_) => 2,
            Failure::Away(_) => 3,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(text) => write!(f, "{text} (try --help)"),
            Failure::Away(text)
            | Failure::Denied(text)
            | Failure::Silent(text)
            | Failure::Failed(text) => f.write_str(text),
        }
    }
}

/// Does what the arguments, without the program's name, ask for; gives the exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let result = match options::parse(arguments) {
        Ok(Command::Print(text)) => print(&text).map(|()| 0),
        Ok(Command::Do(arguments, act)) => Door::find(&arguments).and_then(|door| done(&door, act)),
        // A core takes 2 for CRITICAL.
        Err(wrong) if wrong.command == Some("check") => check::misused(&wrong.into()),
        Err(wrong) => Err(wrong.into()),
    };
    result.unwrap_or_else(|failure| {
        eprintln!("liveproxyctl: {failure}");
        failure.code()
    })
}

fn done(door: &Door, act: Act) -> Result<u8, Failure> {
    let sheet = Sheet::of_output();
    match act {
        Act::Status { json } => print(&show::status(door, sheet, json)?)?,
        Act::Sites { names, json } => print(&show::sites(door, sheet, &names, json)?)?,
        Act::Channels { site, json } => print(&show::channels(door, sheet, &site, json)?)?,
        Act::Clients { site, json } => print(&show::clients(door, sheet, &site, json)?)?,
        Act::Events {
            count,
            follow,
            json,
        } => events::events(door, sheet.paint, count, follow, json)?,
        Act::Query {
            site,
            lines,
            format,
        } => query::query(door, &site, &lines, format)?,
        Act::Disable { site, reason } => print(&orders::disable(door, &site, &reason)?)?,
        Act::Enable { site } => print(&orders::enable(door, &site)?)?,
        Act::Reconnect { site } => print(&orders::reconnect(door, &site)?)?,
        Act::Reload => print(&orders::reload(door)?)?,
        Act::Restart => print(&orders::restart(door)?)?,
        Act::Shutdown => print(&orders::shutdown(door)?)?,
        Act::Top { interval } => top::run(door, interval)?,
        Act::Metrics { file } => metrics::metrics(door, file.as_deref())?,
        Act::Check { limits, local } => return check::check(door, &limits, local.as_deref()),
    }
    Ok(0)
}

/// Writes to standard output. Whoever has read enough of it, like `head`, ends
/// the command, which is no failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    match output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
    {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Failure::Failed(format!(
            "cannot write: {}",
            crate::sys::words(&error)
        ))),
        Ok(()) => Ok(()),
    }
}

impl Sheet {
    /// What standard output can take: colours only on a terminal whose user has not objected.
    fn of_output() -> Sheet {
        let output = io::stdout();
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let is_plain = !output.is_terminal()
            || variable("NO_COLOR").is_some()
            || variable("TERM").is_none_or(|kind| kind == "dumb");
        Sheet {
            paint: if is_plain { Paint::No } else { Paint::Yes },
            width: crate::sys::terminal_size(&output).map(|(columns, _)| columns),
        }
    }
}
