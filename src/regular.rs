//! Files that somebody else names or writes: read only if they are regular ones,
//! and only up to a size. A pipe would be waited for, a device need not end.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The bytes of a regular file, or of what a link leads to, of at most `most`
/// bytes. The error is for a person, behind the path.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let mut text = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut text)?;
    if text.len() as u64 > most {
        return Err(io::Error::other(format!("larger than {most} bytes")));
    }
    Ok(text)
}

/// Looked at when it is open: before, it could still become another one.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // Without the flag a pipe opens when somebody writes into it.
    options.read(true).custom_flags(libc::O_NONBLOCK);
    // A socket cannot even be opened.
    let refused = |error: io::Error| match error.raw_os_error() {
        Some(libc::ENXIO) => not_regular(),
        _ => error,
    };
    let file = options.open(path).map_err(refused)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(not_regular()),
    }
}

fn not_regular() -> io::Error {
    io::Error::other("not a regular file")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    #[test]
    fn a_regular_file_is_read_also_over_a_link_and_up_to_its_bound() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("file"), dir.path().join("link"));
        std::fs::write(&path, "text").unwrap();
        symlink(&path, &link).unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"text");
        assert_eq!(read(&link, 4).unwrap(), b"text");
        let error = read(&path, 3).unwrap_err();
        assert_eq!(error.to_string(), "larger than 3 bytes");
        let error = read(&dir.path().join("none"), 3).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn pipes_devices_sockets_and_folders_are_neither_read_nor_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let (pipe, socket) = (dir.path().join("pipe"), dir.path().join("socket"));
        let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        let _listener = UnixListener::bind(&socket).unwrap();
        for path in [&pipe, &socket, Path::new("/dev/zero"), dir.path()] {
            let error = read(path, 1 << 20).unwrap_err();
            assert_eq!(error.to_string(), "not a regular file", "{path:?}");
        }
    }
}
