//! A site's listening socket in the file system: put in place without a moment
//! in which there is none, and taken away only while it is still ours.

use crate::sys;
use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use socket2::{Domain, SockAddr, Socket, Type};
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

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
    /// Device and inode that were put at `path`.
    identity: (u64, u64),
}

impl Listener {
    /// Listens at `path`. A socket that is there already is replaced, unless
    /// something accepts on it: that belongs to another daemon.
    pub fn bind(path: &Path, access: Access) -> io::Result<Listener> {
        refuse_if_in_use(path)?;
        let temporary = temporary_path(path);
        remove_if_there(&temporary)?;
        let socket = UnixListener::bind(&temporary)?;
        let placed = place(&temporary, path, access);
        if placed.is_err() {
            // What is left of a failed start must not lie around.
            let _ = fs::remove_file(&temporary);
        }
        Ok(Listener {
            socket,
            path: path.to_path_buf(),
            identity: placed?,
        })
    }

    /// Asks for events.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }

    /// The next client, or nothing if there is none at present.
    pub fn accept(&self) -> io::Result<Option<UnixStream>> {
        loop {
            match self.socket.accept() {
                Ok((socket, _)) => return Ok(Some(socket)),
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
        if identity(&self.path).is_ok_and(|now| now == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The name under which the socket at `path` is made before it is put there.
fn temporary_path(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}", std::process::id()))
}

fn place(temporary: &Path, path: &Path, access: Access) -> io::Result<(u64, u64)> {
    chown(temporary, None, access.group)?;
    fs::set_permissions(temporary, fs::Permissions::from_mode(access.mode))?;
    fs::rename(temporary, path)?;
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

/// A socket on which somebody accepts belongs to another daemon, and what is
/// no socket is not ours to replace.
fn refuse_if_in_use(path: &Path) -> io::Result<()> {
    let in_use = |text: String| Err(io::Error::new(ErrorKind::AddrInUse, text));
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return in_use("there is a file that is no socket".into());
        }
        Ok(_) => {}
        Err(_) => return Ok(()),
    }
    // It must not wait for a daemon that accepts no more.
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Ok(()) => match sys::peer_pid(&socket) {
            Some(pid) => in_use(format!("process {pid} listens there already")),
            None => in_use("another process listens there already".into()),
        },
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            in_use("another process listens there already, and is stuck".into())
        }
        // A socket that nobody serves any more.
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCESS: Access = Access {
        mode: 0o660,
        group: None,
    };

    #[test]
    fn a_left_over_socket_is_replaced_and_ours_is_removed_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("muc");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let listener = Listener::bind(&path, ACCESS).unwrap();
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
        let error = Listener::bind(&path, ACCESS).unwrap_err().to_string();
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
        let error = Listener::bind(&path, ACCESS).unwrap_err().to_string();
        assert!(error.contains("stuck"), "{error}");

        let path = dir.path().join("file");
        fs::write(&path, "precious").unwrap();
        assert!(Listener::bind(&path, ACCESS).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn a_socket_that_another_put_in_our_place_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("muc");
        let listener = Listener::bind(&path, ACCESS).unwrap();
        fs::remove_file(&path).unwrap();
        let _other = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(listener);
        assert!(path.exists());
    }
}
