//! A site's listening socket in the file system: put in place without a moment
//! in which there is none, and taken away only while it is still ours. Its TCP
//! port, if it has one, stands in `port`.

mod port;

pub use port::PortListener;

use crate::{stream, sys};
use mio::net::UnixListener;
use mio::{Interest, Registry, Token};
use socket2::{Domain, SockAddr, Socket, Type};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// Who may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Permission bits of the socket.
    pub mode: u32,
    /// Group of the socket, if it is not to be the process's own.
    pub group: Option<u32>,
}

/// Where site sockets are put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sockets {
    /// Their folder.
    pub folder: PathBuf,
    /// Who may connect.
    pub access: Access,
    /// The process whose sockets may be replaced although it accepts on them:
    /// it is about to end in our favour.
    pub predecessor: Option<i32>,
}

impl Sockets {
    /// Listens for `site`, at a name that nobody knows yet. The error is one
    /// line for a person.
    pub fn prepare(&self, site: &str) -> Result<Listener, String> {
        self.prepare_at(&self.folder.join(site))
    }

    /// The same for a socket at any place.
    pub fn prepare_at(&self, path: &Path) -> Result<Listener, String> {
        Listener::prepare(path, self.access, self.predecessor).map_err(|error| {
            format!(
                "cannot listen on {}: {}",
                path.display(),
                sys::words(&error)
            )
        })
    }

    /// Takes a TCP port on which nobody is answered yet. The error is one line
    /// for a person.
    pub fn prepare_port(&self, port: u16) -> Result<PortListener, String> {
        PortListener::bind(port, self.predecessor.is_some())
            .map_err(|error| format!("cannot listen on port {port}: {}", sys::words(&error)))
    }

    /// Removes the temporary sockets of daemons that were killed before they
    /// had put them in place.
    pub fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return;
        };
        let is_temporary = |path: &PathBuf| path.file_name().is_some_and(is_temporary);
        let paths = entries.flatten().map(|entry| entry.path());
        for path in paths.filter(is_temporary) {
            if matches!(look(&path), Ok(Found::Deserted)) {
                let _ = fs::remove_file(&path);
            }
        }
    }
}

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    /// Where it is to be found, or was.
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl Listener {
    /// Listens at a temporary name beside `path`. Fails if something accepts at
    /// `path` that is not the `predecessor`: that belongs to another daemon.
    pub fn prepare(path: &Path, access: Access, predecessor: Option<i32>) -> io::Result<Listener> {
        refuse_if_in_use(path, predecessor)?;
        let temporary = temporary_path(path);
        remove_if_there(&temporary)?;
        let socket = UnixListener::bind(&temporary)?;
        let identity = make_accessible(&temporary, access).inspect_err(|_| {
            // What is left of a failed start must not lie around.
            let _ = fs::remove_file(&temporary);
        })?;
        Ok(Listener {
            socket,
            path: path.to_path_buf(),
            identity,
        })
    }

    /// Puts the socket where clients look for it, in place of one that is there.
    pub fn put_in_place(&self) -> io::Result<()> {
        match self.is_in_place() {
            true => Ok(()),
            false => fs::rename(temporary_path(&self.path), &self.path),
        }
    }

    /// Where it is to be found.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether clients find this socket, and not none or another one.
    pub fn is_in_place(&self) -> bool {
        identity(&self.path).is_ok_and(|now| now == self.identity)
    }

    /// Nobody is to find it any more. Those who have found it can still be accepted.
    pub fn take_away(&self) {
        for path in [&self.path, &temporary_path(&self.path)] {
            if identity(path).is_ok_and(|now| now == self.identity) {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// Asks for events under another name than before.
    pub fn rename(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.reregister(&mut self.socket, token, Interest::READABLE)
    }

    /// Asks for events.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }

    /// The next client, or nothing if there is none at present.
    pub fn accept(&self) -> io::Result<Option<stream::Socket>> {
        loop {
            match self.socket.accept() {
                Ok((socket, _)) => return Ok(Some(stream::Socket::Unix(socket))),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.take_away();
    }
}

/// The name under which the socket at `path` is made before it is put there.
fn temporary_path(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}", std::process::id()))
}

fn make_accessible(path: &Path, access: Access) -> io::Result<(u64, u64)> {
    chown(path, None, access.group)?;
    fs::set_permissions(path, fs::Permissions::from_mode(access.mode))?;
    identity(path)
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether a name is one that [`temporary_path`] makes: `.SITE.PID`.
fn is_temporary(name: &OsStr) -> bool {
    let rest = name.to_str().and_then(|name| name.strip_prefix('.'));
    let parts = rest.and_then(|rest| rest.rsplit_once('.'));
    parts.is_some_and(|(site, pid)| {
        !site.is_empty() && !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// What there is at a path.
enum Found {
    Nothing,
    /// Something that is no socket.
    File,
    /// A socket that nobody serves any more.
    Deserted,
    /// A socket on which this process listens, if that can be told.
    Served(Option<i32>),
    /// A socket with more connections waiting than it takes.
    Full,
}

fn look(path: &Path) -> io::Result<Found> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => return Ok(Found::File),
        Ok(_) => {}
        Err(_) => return Ok(Found::Nothing),
    }
    // It must not wait for a daemon that accepts no more.
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    Ok(match socket.connect(&SockAddr::unix(path)?) {
        Ok(()) => Found::Served(sys::peer(&socket).map(|peer| peer.pid)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Found::Full,
        Err(_) => Found::Deserted,
    })
}

/// A socket on which somebody accepts belongs to another daemon, and what is
/// no socket is not ours to replace.
fn refuse_if_in_use(path: &Path, predecessor: Option<i32>) -> io::Result<()> {
    let in_use = |text: String| Err(io::Error::new(ErrorKind::AddrInUse, text));
    match look(path)? {
        Found::Nothing | Found::Deserted => Ok(()),
        Found::File => in_use("there is a file that is no socket".into()),
        Found::Served(pid) if pid.is_some() && pid == predecessor => Ok(()),
        Found::Served(Some(pid)) => in_use(format!("process {pid} listens there already")),
        Found::Served(None) => in_use("another process listens there already".into()),
        // Whose it is cannot be told. A predecessor has the places of all sites,
        // and one that is overrun, or hangs, is to be got rid of most of all.
        Found::Full if predecessor.is_some() => Ok(()),
        Found::Full => in_use("another process listens there already, and is stuck".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCESS: Access = Access {
        mode: 0o660,
        group: None,
    };

    fn bind(path: &Path) -> io::Result<Listener> {
        let listener = Listener::prepare(path, ACCESS, None)?;
        listener.put_in_place()?;
        Ok(listener)
    }

    #[test]
    fn a_socket_is_found_only_once_it_is_in_place_and_replaces_the_predecessor_s() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("muc");
        let old = bind(&path).unwrap();
        let us = Some(std::process::id() as i32);
        let new = Listener::prepare(&path, ACCESS, us).unwrap();
        assert!(old.is_in_place() && !new.is_in_place());
        new.put_in_place().unwrap();
        assert!(!old.is_in_place() && new.is_in_place());
        drop(old);
        assert!(new.is_in_place(), "the old one took the new one along");
        new.take_away();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_left_over_socket_is_replaced_and_ours_is_removed_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("muc");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let listener = bind(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        std::os::unix::net::UnixStream::connect(&path).unwrap();
        drop(listener);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_socket_in_use_is_left_alone_and_its_process_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("muc");
        let _other = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let error = bind(&path).unwrap_err().to_string();
        let pid = format!("process {} listens", std::process::id());
        assert!(error.contains(&pid), "{error}");
    }

    #[test]
    fn a_daemon_that_is_stuck_does_not_stop_the_start_and_a_file_is_not_destroyed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("muc");
        let stuck = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        stuck.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        stuck.listen(0).unwrap();
        let _waiting = std::os::unix::net::UnixStream::connect(&path).unwrap();
        let error = bind(&path).unwrap_err().to_string();
        assert!(error.contains("stuck"), "{error}");

        let path = dir.path().join("file");
        fs::write(&path, "precious").unwrap();
        assert!(bind(&path).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn a_socket_that_another_put_in_our_place_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("muc");
        let listener = bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let _other = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(listener);
        assert!(path.exists());
    }
}
