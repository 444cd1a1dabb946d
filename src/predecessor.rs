//! The daemon that ran before this one, and how its place is taken without a
//! moment in which nobody serves.

use crate::places::Places;
use crate::process::{Claim, PidFile};
use crate::reactor::{Call, MAKE_ROOM, Reactor};
use crate::sys;
use signal_hook::consts::SIGTERM;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// So long a daemon that takes over may take to reach the sites before it goes
/// on without those that do not answer.
const LONGEST_PROOF: Duration = Duration::from_secs(5);

/// So long a site that ends each channel at once may only be waiting for the
/// room that the other daemon makes.
const ROOM_IS_MADE: Duration = Duration::from_secs(1);

/// So long the channels of a daemon that was replaced may be in use: as long as
/// it may take to stop.
pub const OTHER_STOPS: Duration = Duration::from_secs(10);

/// The daemon that ran before this one.
#[derive(Debug, Clone, Copy)]
pub struct Predecessor(i32);

/// Makes sure that no other daemon runs, or that it is the one to take over from.
pub fn claim(places: &Places, takeover: bool) -> Result<(PidFile, Option<Predecessor>), String> {
    if !takeover {
        return Ok((PidFile::take(&places.pid_file)?, None));
    }
    // First of all: from here on nobody else can take over, so that the daemon
    // that is found to run is the one to take over from.
    let next = PidFile::take(&next_to(&places.pid_file))
        .map_err(|text| format!("another daemon is about to take over: {text}"))?;
    match PidFile::claim(&places.pid_file)? {
        Claim::Ours(file) => Ok((file, None)),
        Claim::Held(None) => Err("the daemon that runs has not written its number yet".into()),
        Claim::Held(Some(pid)) => Ok((next, Some(Predecessor(pid)))),
    }
}

/// Serves in the place of the other one, which is told to finish if it runs.
pub fn follow(other: Option<Predecessor>, reactor: &mut Reactor) {
    reactor.share_sites(OTHER_STOPS);
    reactor.keep_all_channels();
    // From here on it does not matter what becomes of it.
    if let Some(Err(text)) = other.map(|other| other.tell(SIGTERM)) {
        log::warn!("{text}");
    }
}

/// The pid file of a daemon that does not serve yet; its lock keeps a third one out.
fn next_to(pid_file: &Path) -> PathBuf {
    let mut name = OsString::from(pid_file);
    name.push(".next");
    name.into()
}

impl Predecessor {
    /// Its process.
    pub fn pid(self) -> i32 {
        self.0
    }

    /// Reaches the sites while it still serves them.
    pub fn prove(self, reactor: &mut Reactor) -> Result<(), String> {
        log::info!("taking over from process {}", self.0);
        // Sites that take few connections have room for both only so.
        self.tell(MAKE_ROOM)?;
        reactor.keep_to_one_channel();
        reactor.share_sites(ROOM_IS_MADE);
        let until = Instant::now() + LONGEST_PROOF;
        while Instant::now() < until && !reactor.is_settled() {
            let soon = Instant::now() + Duration::from_millis(10);
            if reactor.run(Some(soon.min(until)))? == Call::Stop {
                return Err("told to stop before it could take over".into());
            }
        }
        Ok(())
    }

    /// Looks once more whether it runs. If it was stopped in the meantime, nobody
    /// is to serve, this daemon neither; none, if it has died.
    pub fn still_there(self, pid_file: &Path) -> Result<Option<Predecessor>, String> {
        // One that is stopped takes its file away, one that dies leaves it behind.
        let stopped = || format!("process {} was stopped before it was followed", self.0);
        let text = fs::read_to_string(pid_file).map_err(|_| stopped())?;
        if text.trim() != self.0.to_string() {
            return Err(stopped());
        }
        match File::open(pid_file).map(|file| file.try_lock_shared()) {
            Ok(Ok(())) => Ok(None),
            Ok(Err(_)) => Ok(Some(self)),
            Err(_) => Err(stopped()),
        }
    }

    fn tell(self, signal: i32) -> Result<(), String> {
        let told = |error| format!("cannot signal process {}: {}", self.0, sys::words(&error));
        sys::signal(self.0, signal).map_err(told)
    }
}
