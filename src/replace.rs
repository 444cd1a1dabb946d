//! A file that is seen whole or not at all: written under another name beside
//! its place, and renamed.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Puts `text` in the place of what is at `path`. It may be gone if the machine
/// fails in the next moments.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    put(path, text, false)
}

/// The same, and once this has returned the text stays, whatever happens.
pub fn replace_for_good(path: &Path, text: &str) -> io::Result<()> {
    put(path, text, true)
}

/// A hidden name in the same folder, `.NAME.newPID`: without the ending of
/// `path`, so that nobody who reads all files of a kind reads this one, and left
/// out of OMD's backups, where it is that of the state file.
fn aside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
    let mut aside = OsString::from(".");
    aside.push(name);
    aside.push(format!(".new{}", std::process::id()));
    Ok(path.with_file_name(aside))
}

fn put(path: &Path, text: &str, for_good: bool) -> io::Result<()> {
    let aside = aside(path)?;
    // What an earlier process of the same number has left is in the way.
    let _ = fs::remove_file(&aside);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&aside)?;
    let written = (|| {
        if let Ok(old) = fs::metadata(path) {
            file.set_permissions(old.permissions())?;
        }
        file.write_all(text.as_bytes())?;
        if for_good {
            file.sync_all()?;
        }
        fs::rename(&aside, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&aside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_text_is_replaced_whole_with_its_permissions_and_nothing_is_left_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        replace(&path, "one\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        fs::write(aside(&path).unwrap(), "left by another").unwrap();
        replace_for_good(&path, "two\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_put_in_place_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        fs::create_dir(&path).unwrap();
        assert!(replace(&path, "text").is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
