//! The way to the daemon: where its sockets are, and what it means when nobody
//! is there. Must not know what is asked.

use super::Failure;
use crate::cli::Arguments;
use crate::places::Places;
use crate::sys;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the daemon may say nothing. It answers within milliseconds; one
/// that stands still is to be noticed before a monitoring plugin is killed.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// Where a daemon is asked.
#[derive(Debug, Clone)]
pub struct Door {
    /// Its control socket.
    pub control_socket: PathBuf,
    socket_dir: PathBuf,
    /// Whether somebody said which daemon is meant.
    is_chosen: bool,
}

impl Door {
    /// By the same rules as the daemon itself.
    pub fn find(arguments: &Arguments) -> Result<Door, Failure> {
        let places = Places::find(arguments).map_err(Failure::Usage)?;
        let usual = Places::find(&Arguments::default()).map_err(Failure::Usage)?;
        Ok(Door {
            is_chosen: places.control_socket != usual.control_socket
                || std::env::var_os("OMD_ROOT").is_some(),
            control_socket: places.control_socket,
            socket_dir: places.socket_dir,
        })
    }

    /// A connection to the daemon itself.
    pub fn connect(&self) -> Result<UnixStream, Failure> {
        let path = &self.control_socket;
        let stream = UnixStream::connect(path).map_err(|error| self.told(path, &error))?;
        limit(&stream, PATIENCE)?;
        Ok(stream)
    }

    /// A connection to a site, through the daemon.
    pub fn connect_site(&self, site: &str, patience: Duration) -> Result<UnixStream, Failure> {
        let path = self.socket_dir.join(site);
        let stream = UnixStream::connect(&path).map_err(|error| {
            // A daemon that runs has a socket for each of its sites; only its own says whether it does.
            if error.kind() == ErrorKind::NotFound {
                return match self.connect() {
                    Err(failure @ Failure::Away(_)) => failure,
                    _ => Failure::Failed(self.unknown_site(site)),
                };
            }
            self.told(&path, &error)
        })?;
        limit(&stream, patience)?;
        Ok(stream)
    }

    fn unknown_site(&self, site: &str) -> String {
        let mut names: Vec<String> = fs::read_dir(&self.socket_dir)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            // Names of sites have no dots; pid file, control socket and names for a moment do.
            .filter(|name| !name.contains('.'))
            .collect();
        names.sort_unstable();
        unknown_site(site, &names)
    }

    fn told(&self, path: &Path, error: &io::Error) -> Failure {
        let shown = path.display();
        match error.kind() {
            ErrorKind::NotFound => {
                let hint = match self.is_chosen {
                    true => "",
                    false => "; inside an OMD site, be its user or say --root",
                };
                Failure::Away(format!(
                    "liveproxyd does not run: there is no {shown}{hint}"
                ))
            }
            ErrorKind::ConnectionRefused => Failure::Away(format!(
                "liveproxyd does not run: {shown} is left over, nobody listens on it"
            )),
            ErrorKind::PermissionDenied => Failure::Denied(format!(
                "liveproxyd may not be asked by this user: {shown}: Permission denied \
                 (be the daemon's user, one of the socket's group, or root)"
            )),
            _ => Failure::Failed(format!("cannot connect to {shown}: {}", sys::words(error))),
        }
    }
}

/// What is said about a site that is not there, with some that are.
pub fn unknown_site(site: &str, names: &[String]) -> String {
    /// As many as a line can take.
    const SHOWN: usize = 8;
    let more = if names.len() > SHOWN { ", ..." } else { "" };
    let shown = &names[..names.len().min(SHOWN)];
    match shown {
        [] => format!("There is no site '{site}', nor any other"),
        _ => format!("There is no site '{site}', but {}{more}", shown.join(", ")),
    }
}

fn limit(stream: &UnixStream, patience: Duration) -> Result<(), Failure> {
    stream
        .set_read_timeout(Some(patience))
        .and_then(|()| stream.set_write_timeout(Some(patience)))
        .map_err(|error| Failure::Failed(sys::words(&error)))
}

/// A read or write that failed on a connection that was there.
pub fn broken(error: &io::Error, patience: Duration) -> Failure {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Failure::Silent(format!(
            "liveproxyd runs but did not answer within {} s",
            patience.as_secs()
        )),
        _ => Failure::Failed(format!(
            "liveproxyd closed the connection: {}",
            sys::words(error)
        )),
    }
}
