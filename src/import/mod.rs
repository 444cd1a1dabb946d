//! From the connections of a GUI (`multisite.d/sites.mk`) to the proxy's own file, for installations whose GUI does
//! not write one. Text in, text out; only [`command`] touches the disk.
//!
//! ```text
//!   sites.mk ──► gui      what the GUI knows of each site, with places for messages
//!                  │
//!   liveproxy.mk ──┴──► plan     which sites go through the proxy, which do not and why
//!     existing            ├──► text      the new liveproxy.mk
//!                         └──► report    what to change in the GUI
//! ```

mod command;
mod existing;
mod gui;
mod plan;
mod python;
mod report;
mod text;

pub use command::run;
pub use existing::{Author, Existing};
pub use plan::{Left, Origin, Plan, Proxied, Reason, plan};
pub use report::report;
pub use text::file_text;

use crate::config::{Surroundings, without_dots};
use std::path::{Path, PathBuf};

/// What importing has to know of the places.
#[derive(Debug, Clone)]
pub struct Here {
    /// As for the daemon that will read the file.
    pub surroundings: Surroundings,
    /// Further names of the folder of the sockets: a GUI may call it by another path than the daemon.
    pub other_socket_dirs: Vec<PathBuf>,
}

impl Here {
    /// What stands behind the folder of our sockets in this path, if it leads there: the name of a site.
    fn own_socket(&self, path: &Path) -> Option<String> {
        let path = without_dots(path);
        let mut dirs = self
            .other_socket_dirs
            .iter()
            .chain([&self.surroundings.socket_dir]);
        let rest = dirs.find_map(|dir| path.strip_prefix(without_dots(dir)).ok())?;
        Some(rest.to_string_lossy().into_owned())
    }
}

#[cfg(test)]
mod tests;
