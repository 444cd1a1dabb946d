//! The daemon as a child process: started on a root of its own, watched through its log, its
//! sockets and `/proc`, and always ended by its process id.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::chain::{self, CHAINED};
use super::client::Client;
use super::console::Console;
use super::patience::{awaited, eventually};
use super::root::Root;

/// Where the tests put the configuration.
const CONFIGURATION: &str = "etc/check_mk/liveproxyd.mk";

/// The words of the line that a daemon logs once all of its sockets accept.
const SERVING: &str = " is serving ";

/// How many of the last log lines a failed test prints: more hide the cause instead of showing it.
const LINES_SHOWN: usize = 400;

/// A running daemon in the foreground. Dropping it kills the process; in a failing test its log is
/// printed first.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    lines: Lines,
    root: Root,
    /// The one that it asks, in a chain.
    behind: Option<Box<Daemon>>,
}

/// What a start of the daemon is made of.
#[derive(Debug)]
pub struct Builder {
    root: Root,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    needs_root: bool,
    wrapper: Vec<String>,
}

/// The outcome of a run that ended by itself.
#[derive(Debug)]
pub struct Run {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
    /// The root it ran on.
    pub root: Root,
}

impl Run {
    /// The exit code; a run that was ended by a signal fails the test.
    #[track_caller]
    pub fn code(&self) -> i32 {
        self.status
            .code()
            .unwrap_or_else(|| panic!("ended by a signal: {self:?}"))
    }
}

impl Builder {
    /// Writes the main configuration file.
    pub fn config(self, text: &str) -> Builder {
        self.file(CONFIGURATION, text)
    }

    /// Writes any file below the root.
    pub fn file(self, name: &str, text: &str) -> Builder {
        self.root.write(name, text);
        self
    }

    /// Adds an argument of the command line.
    pub fn arg(mut self, argument: &str) -> Builder {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Sets a variable of the environment.
    pub fn env(mut self, name: &str, value: &str) -> Builder {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Leaves `--root` out, for calls that need no place.
    pub fn without_root(mut self) -> Builder {
        self.needs_root = false;
        self
    }

    /// Lets a shell run these commands first, such as `ulimit -n 40`, and then become the daemon.
    pub fn under(self, prelude: &str) -> Builder {
        let script = format!("{prelude}; exec \"$0\" \"$@\"");
        self.wrapped(["sh", "-c", &script].map(str::to_owned))
    }

    /// Puts these words before its name: a program that becomes the one named behind it, such as
    /// `nice`. Several calls stand in their order.
    pub fn wrapped(mut self, words: impl IntoIterator<Item = String>) -> Builder {
        self.wrapper.extend(words);
        self
    }

    /// The root that it will run on.
    pub fn root(&self) -> &Root {
        &self.root
    }

    fn command(&self) -> Command {
        let program = env!("CARGO_BIN_EXE_liveproxyd");
        let mut command = match self.wrapper.split_first() {
            None => Command::new(program),
            Some((first, others)) => {
                let mut command = Command::new(first);
                command.args(others).arg(program);
                command
            }
        };
        if self.needs_root {
            command.arg("--root").arg(self.root.path());
        }
        command.args(&self.arguments);
        // Whatever site of OMD the tests are run from must not leak in.
        command.env_remove("OMD_ROOT").env_remove("OMD_SITE");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts it in the foreground with a debug log, and returns when it serves.
    #[track_caller]
    pub fn start(self) -> Daemon {
        let mut daemon = self.arg("-g").arg("-d").launch();
        daemon.await_serving();
        match CHAINED {
            true => daemon.behind_another(),
            false => daemon,
        }
    }

    /// Starts it with exactly the given arguments and waits for nothing.
    #[track_caller]
    pub fn launch(self) -> Daemon {
        if CHAINED {
            self.root
                .write(&chain::pem_of(&self.root), &chain::usual_pem());
        }
        self.launch_into(Lines::default())
    }

    fn launch_into(self, lines: Lines) -> Daemon {
        let mut child = self.command().spawn().unwrap();
        lines.follow(Origin::Stdout, child.stdout.take().unwrap());
        lines.follow(Origin::Stderr, child.stderr.take().unwrap());
        let root = self.root;
        Daemon {
            child,
            lines,
            root,
            behind: None,
        }
    }

    /// Runs it with exactly the given arguments until it ends by itself, and all processes that
    /// hold its output have let go of it.
    #[track_caller]
    pub fn run(self) -> Run {
        let mut child = self.command().spawn().unwrap();
        let stdout = collect(child.stdout.take().unwrap());
        let stderr = collect(child.stderr.take().unwrap());
        let mut guard = KillOnDrop(child);
        let status = awaited("the command ends", || guard.0.try_wait().unwrap());
        eventually("nobody holds the command's output open", || {
            stdout.is_finished() && stderr.is_finished()
        });
        Run {
            status,
            stdout: stdout.join().unwrap(),
            stderr: stderr.join().unwrap(),
            root: self.root,
        }
    }
}

struct KillOnDrop(Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        end(&mut self.0);
    }
}

/// Kills a child that may have ended already, and takes its status from the system.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn collect(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

impl Daemon {
    /// Starts a daemon with this configuration and returns when it serves.
    #[track_caller]
    pub fn start(sites: &str) -> Daemon {
        Daemon::builder().config(sites).start()
    }

    /// A start with more than a configuration.
    pub fn builder() -> Builder {
        Builder {
            root: Root::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
            needs_root: true,
            wrapper: Vec::new(),
        }
    }

    /// A daemon in front of this one; they write one log.
    #[track_caller]
    fn behind_another(self) -> Daemon {
        let config = std::fs::read_to_string(self.root.file(CONFIGURATION)).unwrap_or_default();
        let front = Daemon::builder().arg("-g").arg("-d");
        let config = chain::in_front(&config, front.root());
        let mark = self.log_mark();
        let mut front = front.config(&config).launch_into(self.lines.clone());
        awaited("the daemon in front serves", || {
            if let Some(status) = front.child.try_wait().unwrap() {
                panic!("the daemon in front ended at its start, {status}");
            }
            front.lines.find(mark, SERVING)
        });
        front.behind = Some(Box::new(self));
        front
    }

    /// Waits until it says that its sockets accept; fails when it ends instead.
    #[track_caller]
    pub fn await_serving(&mut self) {
        awaited("the daemon serves", || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the daemon ended at its start, {status}");
            }
            self.lines.find(0, SERVING)
        });
    }

    /// Its root directory.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Writes the configuration anew. It is not read by that.
    pub fn configure(&self, text: &str) {
        self.root.write(CONFIGURATION, text);
    }

    /// The socket of a site.
    pub fn socket(&self, site: &str) -> PathBuf {
        self.root.socket(site)
    }

    /// Its own socket.
    pub fn console(&self) -> Console {
        Console::of(self.root())
    }

    /// A new client of a site.
    #[track_caller]
    pub fn client(&self, site: &str) -> Client {
        Client::connect(self.socket(site))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All lines so far, standard output and standard error together.
    pub fn log(&self) -> Vec<String> {
        self.lines.all()
    }

    /// The lines so far of one of the two.
    pub fn lines_of(&self, origin: Origin) -> Vec<String> {
        self.lines.of(origin)
    }

    /// A mark for [`Daemon::wait_log_after`]: the number of lines so far.
    pub fn log_mark(&self) -> usize {
        self.lines.all().len()
    }

    /// Waits for a line that contains `what`, from the beginning of the log.
    #[track_caller]
    pub fn wait_log(&self, what: &str) -> String {
        self.wait_log_after(0, what)
    }

    /// Waits for a line that contains `what`, from a mark on.
    #[track_caller]
    pub fn wait_log_after(&self, mark: usize, what: &str) -> String {
        awaited(&format!("the log says {what:?}"), || {
            self.lines.find(mark, what)
        })
    }

    /// Sends a signal by name, such as `TERM`.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub fn await_end(&mut self) -> ExitStatus {
        awaited("the daemon ends", || self.child.try_wait().unwrap())
    }

    /// Ends it by `SIGTERM` and gives its exit status.
    #[track_caller]
    pub fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        self.await_end()
    }

    /// Number of its open file descriptors.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .unwrap()
            .count()
    }

    /// Its resident memory in KiB.
    pub fn resident_kb(&self) -> usize {
        self.status("VmRSS")
    }

    /// The most resident memory in KiB since its start, or since [`Daemon::forget_peak`].
    pub fn peak_kb(&self) -> usize {
        self.status("VmHWM")
    }

    /// Lets [`Daemon::peak_kb`] begin anew.
    pub fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.pid()), "5").unwrap();
    }

    /// How often it has gone to sleep by itself, which is how often it was woken up.
    pub fn sleeps(&self) -> usize {
        self.status("voluntary_ctxt_switches")
    }

    /// The processor time that it has used.
    pub fn processor_time(&self) -> Duration {
        /// Ticks of a second in the files of the kernel, on every architecture.
        const TICKS: u64 = 100;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        // The second field is a name and may hold blanks; behind it come the third and the others.
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let fields = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = fields.map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 1000 / TICKS)
    }

    /// A number of its `/proc/PID/status`.
    fn status(&self, name: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let mut lines = status.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = lines.find(|(field, _)| *field == name).unwrap();
        value.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let lines = self.lines.all();
            let shown = &lines[lines.len().saturating_sub(LINES_SHOWN)..];
            eprintln!("--- log of the daemon (pid {}) ---", self.pid());
            shown.iter().for_each(|line| eprintln!("{line}"));
            eprintln!("--- end of the log ---");
        }
        end(&mut self.child);
    }
}

/// Sends a signal to a process by its id.
#[track_caller]
pub fn signal(pid: u32, name: &str) {
    // The shell's own `kill` is there on every system, the program of that name is not.
    let status = Command::new("sh")
        .args(["-c", &format!("kill -{name} {pid}")])
        .status()
        .unwrap();
    assert!(status.success(), "kill -{name} {pid}: {status}");
}

/// Which of its two outputs the daemon wrote a line to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Lines of output, collected by threads while the daemon runs.
#[derive(Clone, Debug, Default)]
struct Lines(Arc<Mutex<Vec<(Origin, String)>>>);

impl Lines {
    fn follow(&self, origin: Origin, pipe: impl Read + Send + 'static) {
        let lines = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n') {
                let Ok(line) = line else { return };
                let text = String::from_utf8_lossy(&line).into_owned();
                lines.0.lock().unwrap().push((origin, text));
            }
        });
    }

    fn all(&self) -> Vec<String> {
        let lines = self.0.lock().unwrap();
        lines.iter().map(|(_, line)| line.clone()).collect()
    }

    fn of(&self, wanted: Origin) -> Vec<String> {
        let lines = self.0.lock().unwrap();
        let of_it = lines.iter().filter(|(origin, _)| *origin == wanted);
        of_it.map(|(_, line)| line.clone()).collect()
    }

    fn find(&self, mark: usize, what: &str) -> Option<String> {
        let lines = self.0.lock().unwrap();
        let mut texts = lines.iter().skip(mark).map(|(_, line)| line);
        texts.find(|line| line.contains(what)).cloned()
    }
}
