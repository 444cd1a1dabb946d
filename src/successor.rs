//! A new process in the place of this one: the same program and options, which
//! may have been replaced on the disk since, told to take over.

use std::env;
use std::ffi::OsString;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How often it is looked whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// So much of what it says when it fails is logged.
const LONGEST_WORDS: u64 = 4096;

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
        // The watchdog is to be fed by the new process, whose number it will be told.
        command.env_remove("WATCHDOG_PID");
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        if !foreground {
            command.stdout(Stdio::null()).stderr(Stdio::piped());
        }
        let child = command
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
        Ok(Successor {
            child,
            due: Instant::now() + LOOK_EVERY,
        })
    }
}

impl Successor {
    /// Whether it has ended: well, or with these words. `None` while it runs.
    pub fn ended(&mut self, now: Instant) -> Option<Result<(), String>> {
        self.due = now + LOOK_EVERY;
        let status = match self.child.try_wait() {
            Ok(None) => return None,
            Ok(Some(status)) => status,
            Err(error) => return Some(Err(error.to_string())),
        };
        if status.success() {
            return Some(Ok(()));
        }
        let mut words = String::new();
        if let Some(stderr) = self.child.stderr.take() {
            // It has ended, so this does too.
            let _ = stderr.take(LONGEST_WORDS).read_to_string(&mut words);
        }
        let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
        Some(Err(format!("{status}: {words}")))
    }
}
