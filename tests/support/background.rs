//! A daemon in the background: known by its root and its pid file only, as an init script knows it.

use std::path::{Path, PathBuf};

use super::client::Client;
use super::console::Console;
use super::daemon::{Builder, Daemon, Run, signal};
use super::patience::eventually;
use super::root::Root;

/// A root whose daemons run in the background. Dropping it kills those that are left.
#[derive(Debug)]
pub struct Background {
    root: Root,
}

impl Background {
    /// A root with this configuration, on which nothing runs yet.
    pub fn new(config: &str) -> Background {
        let root = Root::new();
        let background = Background { root };
        background.configure(config);
        background
    }

    /// The same, with a daemon that serves.
    #[track_caller]
    pub fn start(config: &str) -> Background {
        let background = Background::new(config);
        let run = background.run(&[]);
        assert_eq!(run.code(), 0, "{run:?}");
        background
    }

    /// Writes the configuration anew.
    pub fn configure(&self, config: &str) {
        self.root.write("etc/check_mk/liveproxyd.mk", config);
    }

    /// Runs the command on this root until it returns.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Run {
        let builder = arguments
            .iter()
            .fold(self.another(), |b, argument| b.arg(argument));
        builder.run()
    }

    /// One more daemon for this root, to be started in another way.
    pub fn another(&self) -> Builder {
        let root = self.root.path().display().to_string();
        Daemon::builder().without_root().arg("--root").arg(&root)
    }

    /// Has its daemon followed by another one. Returns the ids of the old one, which need not
    /// have ended, and of the new one.
    #[track_caller]
    pub fn take_over(&self) -> (u32, u32) {
        let old = self.expect_pid();
        let run = self.run(&["--takeover"]);
        assert_eq!(run.code(), 0, "{run:?}");
        let new = self.expect_pid();
        assert_ne!(old, new, "the pid file names the old process");
        (old, new)
    }

    /// One that is about to follow the daemon of this root, and gets no further as long as the
    /// site does not accept.
    #[track_caller]
    pub fn follower(&self) -> Daemon {
        let next = self.another().arg("-g").arg("--takeover").launch();
        next.wait_log("taking over");
        next
    }

    /// The root directory.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Where its pid file is.
    pub fn pid_file(&self) -> PathBuf {
        self.root.file("tmp/run/liveproxyd.pid")
    }

    /// The process named in the pid file, if it runs.
    pub fn pid(&self) -> Option<u32> {
        let text = std::fs::read_to_string(self.pid_file()).ok()?;
        let pid = text.trim().parse().ok()?;
        self.runs(pid).then_some(pid)
    }

    /// The process named in the pid file, which has to run.
    #[track_caller]
    pub fn expect_pid(&self) -> u32 {
        self.pid().expect("a pid file that names a process")
    }

    /// Whether this id is a living daemon of this root, and not another process that got it.
    pub fn runs(&self, pid: u32) -> bool {
        is_of_root(pid, self.root.path())
    }

    /// Waits until this process has ended.
    #[track_caller]
    pub fn await_gone(&self, pid: u32) {
        eventually(&format!("process {pid} ends"), || !self.runs(pid));
    }

    /// All daemons of this root.
    pub fn processes(&self) -> Vec<u32> {
        all_of_root(self.root.path())
    }

    /// Stops the daemon and waits until it has ended.
    #[track_caller]
    pub fn stop(&self) {
        let pid = self.expect_pid();
        signal(pid, "TERM");
        self.await_gone(pid);
    }

    /// The daemon's own socket.
    pub fn console(&self) -> Console {
        Console::of(self.root.path())
    }

    /// A new client of a site.
    #[track_caller]
    pub fn client(&self, site: &str) -> Client {
        Client::connect(self.root.socket(site))
    }

    /// The log so far.
    pub fn log(&self) -> String {
        let path = self.root.file("var/log/livepd.log");
        // Whoever reads a pipe that nobody writes to waits for ever.
        match path.is_file() {
            true => std::fs::read_to_string(path).unwrap_or_default(),
            false => String::new(),
        }
    }

    /// Waits until the log contains this.
    #[track_caller]
    pub fn await_log(&self, what: &str) {
        eventually(&format!("the log says {what:?}"), || {
            self.log().contains(what)
        });
    }

    /// What lies in the folder of the sockets.
    pub fn sockets(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.root.file("tmp/run/liveproxy")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }
}

/// Kills what daemons have started on a root, when it is dropped. To be made before the daemon, so
/// that it is dropped after it.
#[derive(Debug)]
pub struct Sweep(pub PathBuf);

impl Drop for Sweep {
    fn drop(&mut self) {
        for pid in all_of_root(&self.0) {
            signal(pid, "KILL");
        }
    }
}

fn all_of_root(root: &Path) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| is_of_root(*pid, root)).collect()
}

fn is_of_root(pid: u32, root: &Path) -> bool {
    // A process that has ended and was not waited for has no command line.
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let root = root.to_string_lossy().into_owned();
    String::from_utf8_lossy(&line).contains(&root)
}

impl Drop for Background {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "--- log of {} ---\n{}",
                self.root.path().display(),
                self.log()
            );
            eprintln!("--- end of the log ---");
        }
        for pid in self.processes() {
            signal(pid, "KILL");
        }
    }
}
