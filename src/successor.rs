//! A new process in the place of this one: the same program and options, which
//! may have been replaced on the disk since, told to take over.

use crate::config::INDENT;
use crate::sys;
use std::env;
use std::ffi::OsString;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How often it is looked whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// So much of what it says when it fails is logged.
const LONGEST_WORDS: usize = 4096;

/// So many pieces of it are taken in at one look: more than a pipe holds.
const MOST_PIECES: usize = 32;

/// How this process was started. To be noted before anything changes it.
#[derive(Debug, Clone)]
pub struct Origin {
    program: Option<PathBuf>,
    arguments: Vec<OsString>,
    folder: Option<PathBuf>,
}

/// A process that was started to take over.
#[derive(Debug)]
pub struct Successor {
    child: Child,
    /// What it has said so far, the beginning of it.
    words: Vec<u8>,
    /// When it is looked after next.
    pub due: Instant,
}

impl Origin {
    /// How this process was started.
    pub fn note() -> Origin {
        Origin {
            // The path, and not the file: a new version is to be found there.
            program: env::current_exe().ok(),
            arguments: env::args_os().skip(1).collect(),
            folder: env::current_dir().ok(),
        }
    }

    /// Starts the new process. In the foreground it stays what it is; in the
    /// background it ends as soon as its daemon serves. The error is one line.
    pub fn follow(&self, foreground: bool) -> Result<Successor, String> {
        let program = self.program.as_ref().ok_or("its own path is not known")?;
        let mut command = Command::new(program);
        command.args(&self.arguments).stdin(Stdio::null());
        let takeover = "--takeover";
        if !self.arguments.iter().any(|argument| argument == takeover) {
            command.arg(takeover);
        }
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        // It names the process that the watchdog listens to, and that is to be another one.
        command.env_remove("WATCHDOG_PID");
        if !foreground {
            command.stdout(Stdio::null()).stderr(Stdio::piped());
        }
        let child = command
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
        Ok(Successor {
            child,
            words: Vec::new(),
            due: Instant::now() + LOOK_EVERY,
        })
    }
}

impl Successor {
    /// Whether it has ended: well, or with these words. `None` while it runs.
    pub fn ended(&mut self, now: Instant) -> Option<Result<(), String>> {
        self.due = now + LOOK_EVERY;
        self.listen();
        let status = match self.child.try_wait() {
            Ok(None) => return None,
            Ok(Some(status)) => status,
            Err(error) => return Some(Err(error.to_string())),
        };
        if status.success() {
            return Some(Ok(()));
        }
        // What it has said at its very end.
        self.listen();
        let words = String::from_utf8_lossy(&self.words);
        // Lines of the configuration are for who starts it, not for the log.
        let lines = words.lines().filter(|line| !line.starts_with(INDENT));
        let words = lines.flat_map(str::split_whitespace).collect::<Vec<_>>();
        Some(Err(match words.is_empty() {
            // In the foreground it has spoken for itself.
            true => status.to_string(),
            false => format!("{status}: {}", words.join(" ")),
        }))
    }

    /// Takes in what it says. Nobody else empties the pipe, and a full one would
    /// stop it in the middle of a long list of warnings.
    fn listen(&mut self) {
        let Some(stderr) = &mut self.child.stderr else {
            return;
        };
        let mut piece = [0; 4096];
        for _ in 0..MOST_PIECES {
            if !sys::await_input(stderr, Duration::ZERO).unwrap_or(false) {
                return;
            }
            match stderr.read(&mut piece) {
                Ok(0) | Err(_) => return,
                Ok(count) => {
                    let room = LONGEST_WORDS.saturating_sub(self.words.len());
                    let fresh = piece.get(..count.min(room)).unwrap_or_default();
                    self.words.extend_from_slice(fresh);
                }
            }
        }
    }
}
