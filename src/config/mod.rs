//! The configuration: Python-syntax files, read without ever executing them, into checked settings of every site.
//! Knows no socket, no clock and no log; errors and warnings are handed back as data.
//!
//! ```text
//!   files     which files, in which order (the only part that touches the disk)
//!     |         Source: path and bytes
//!   source    encoding and line ends        -> Text, in which places can be named
//!   lexer     with strings and numbers      -> tokens
//!   literal   values                        -> Node: value and place
//!   reader    statements                    -> Variables, one set for all files
//!     |         here everything is Python, and an error is a syntax error
//!   sites     with names, settings, address, limits, conflicts, unknown
//!     |         here everything is meaning; each site has its own errors
//!   Config    what the daemon runs with
//! ```
//!
//! A syntax error stops the reading, because what follows may mean anything. All other errors are collected: a bad
//! site does not keep the good ones from running.

pub mod files;

mod address;
mod checks;
mod conflicts;
mod lexer;
mod limits;
mod literal;
mod names;
mod numbers;
mod options;
mod problem;
mod reader;
mod settings;
mod show;
mod sites;
mod source;
mod strings;
mod text;
mod types;
mod unknown;
mod value;
mod variables;

pub use conflicts::without_dots;
pub use names::is_site_name;
pub use options::from_site_options;
pub(crate) use problem::INDENT;
pub use problem::Problem;
pub use reader::read_variables;
pub(crate) use settings::SETTINGS;
pub use show::show_config;
pub use source::Source;
pub use types::{
    Address, Config, Family, Heartbeat, HeartbeatTimeout, Limits, LogLevel, Network, RefusedSite,
    SiteConfig, Surroundings, TcpPort, Tls,
};
pub use value::{At, Dict, Entry, Node, Set, Value};
pub use variables::{Variable, Variables};

/// Reads files in their order into one set of variables and checks what they say. No file at all, or an empty one,
/// is a configuration without sites.
///
/// The error is the first syntax error. Everything else that is wrong stands in [`Config::errors`].
pub fn read(sources: &[Source], surroundings: &Surroundings) -> Result<Config, Problem> {
    let variables = read_variables(sources)?;
    Ok(sites::check(&variables, surroundings))
}

#[cfg(test)]
mod tests;
