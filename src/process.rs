//! The process: its number in a locked file, and its way into the background
//! without leaving whoever started it in the dark.

use crate::sys;
use daemonize::{Daemonize, Outcome};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Attempts to lock the file, should others come and go meanwhile.
const MOST_CLAIMS: usize = 100;

/// Attempts before a lock counts as that of a daemon, and the pauses between them.
const SHORT_TRIES: u32 = 5;
const SHORT_PAUSE: Duration = Duration::from_millis(10);

/// Rights that are taken from every file the daemon makes.
const UMASK: u32 = 0o027;

/// Rights on the pid file.
const MODE: u32 = 0o600;

/// The locked file with our number. The lock says whether a daemon runs; the
/// number in the file is only for those who want to send a signal.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    file: File,
}

/// What came of an attempt to take the pid file.
#[derive(Debug)]
pub enum Claim {
    /// No other daemon runs.
    Ours(PidFile),
    /// This process, if it has written its number, holds it.
    Held(Option<i32>),
}

impl PidFile {
    /// Locks the file and writes our number. The error is one line for a person.
    pub fn take(path: &Path) -> Result<PidFile, String> {
        match PidFile::claim(path)? {
            Claim::Ours(file) => Ok(file),
            Claim::Held(None) => Err("liveproxyd is running already".into()),
            Claim::Held(Some(pid)) => Err(format!("liveproxyd is running already, process {pid}")),
        }
    }

    /// Locks the file and writes our number, unless another daemon holds it.
    /// The error is one line for a person.
    pub fn claim(path: &Path) -> Result<Claim, String> {
        let told = |what: &str, error: &std::io::Error| {
            format!("cannot {what} {}: {}", path.display(), sys::words(error))
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| told("make the folder of", &error))?;
        }
        let mut tries = 0;
        for _ in 0..MOST_CLAIMS {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                // A link could lead to any file of ours, and what is written here replaces it.
                .custom_flags(libc::O_NOFOLLOW)
                // Whoever can read it can lock it, and nobody could start a daemon any more.
                .mode(MODE)
                .open(path)
                .map_err(|error| told("open", &error))?;
            match file.try_lock() {
                Ok(()) => {}
                // Scripts that ask whether a daemon runs hold the lock for a moment.
                Err(TryLockError::WouldBlock) if tries < SHORT_TRIES => {
                    tries += 1;
                    std::thread::sleep(SHORT_PAUSE);
                    continue;
                }
                Err(TryLockError::WouldBlock) => {
                    let mut pid = String::new();
                    let _ = file.read_to_string(&mut pid);
                    return Ok(Claim::Held(pid.trim().parse().ok()));
                }
                Err(TryLockError::Error(error)) => return Err(told("lock", &error)),
            }
            let claimed = PidFile {
                path: path.to_path_buf(),
                file,
            };
            // The one before us may have removed it between open and lock.
            if !claimed.is_in_place() {
                continue;
            }
            let mut file = &claimed.file;
            file.set_len(0)
                .and_then(|()| writeln!(file, "{}", std::process::id()))
                .map_err(|error| told("write", &error))?;
            return Ok(Claim::Ours(claimed));
        }
        Err(format!("{} is removed again and again", path.display()))
    }

    /// Puts it in the place of another one, whose daemon keeps its lock.
    pub fn move_to(&mut self, path: &Path) -> Result<(), String> {
        fs::rename(&self.path, path).map_err(|error| {
            format!("cannot replace {}: {}", path.display(), sys::words(&error))
        })?;
        self.path = path.to_path_buf();
        Ok(())
    }

    /// Whether it is still the one that others find.
    pub fn is_in_place(&self) -> bool {
        let same = |a: fs::Metadata, b: fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
        match (self.file.metadata(), fs::metadata(&self.path)) {
            (Ok(ours), Ok(there)) => same(ours, there),
            _ => false,
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if self.is_in_place() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Says something on standard error. Nobody has to be there to hear it.
pub fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Tells the process that started us how the start went.
#[derive(Debug)]
pub struct Report(Option<File>);

impl Report {
    /// Nobody waits for it: errors go to standard error.
    pub fn to_terminal() -> Report {
        Report(None)
    }

    /// Everything is ready. Whoever started us returns now.
    pub fn ready(self) {
        if let Some(mut pipe) = self.0 {
            // If nobody reads it, nobody waits.
            let _ = pipe.write_all(b"\0");
        }
    }

    /// The start has failed: says so and ends the process.
    pub fn fail(&self, text: &str) -> ! {
        match &self.0 {
            Some(pipe) => {
                let mut pipe = pipe;
                let _ = pipe.write_all(text.as_bytes());
            }
            None => complain(&format!("liveproxyd: {text}")),
        }
        std::process::exit(1);
    }
}

/// Goes into the background. Returns only there; the process that was started
/// waits for the [`Report`] and ends with it. To be called before anything is
/// opened that a fork would share: poll, signals, threads.
pub fn daemonize() -> Result<Report, String> {
    let (mut read, write) = sys::pipe().map_err(|error| sys::words(&error))?;
    let daemonize = Daemonize::new().working_directory("/").umask(UMASK);
    match daemonize.execute() {
        Outcome::Parent(Err(error)) => Err(format!("cannot go into the background: {error}")),
        Outcome::Parent(Ok(_)) => {
            drop(write);
            let mut text = String::new();
            // Ends when the daemon has reported or died.
            let _ = read.read_to_string(&mut text);
            match text.as_str() {
                "\0" => std::process::exit(0),
                "" => Err("the daemon died while it started; its log may say why".into()),
                text => Err(text.to_string()),
            }
        }
        Outcome::Child(Err(error)) => {
            Report(Some(write)).fail(&format!("cannot go into the background: {error}"))
        }
        Outcome::Child(Ok(_)) => Ok(Report(Some(write))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_is_refused_with_the_number_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/liveproxyd.pid");
        let first = PidFile::take(&path).unwrap();
        let pid = std::process::id().to_string();
        assert_eq!(fs::read_to_string(&path).unwrap().trim(), pid);
        let error = PidFile::take(&path).unwrap_err();
        assert!(error.ends_with(&format!("process {pid}")), "{error}");
        drop(first);
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_or_empty_file_is_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("liveproxyd.pid");
        for stale in ["", "99999999\n", "garbage that is longer than a number\n"] {
            fs::write(&path, stale).unwrap();
            let file = PidFile::take(&path).unwrap();
            let pid = format!("{}\n", std::process::id());
            assert_eq!(fs::read_to_string(&path).unwrap(), pid);
            drop(file);
        }
    }
}
