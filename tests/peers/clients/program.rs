//! A program that drives one client library, step by step: each step is a line
//! on its input, and its outcome is a line on its output. So a test can change
//! the site between two steps of the same client.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::support::stretched;

/// How long a step may take before the test fails. The slowest client gives up
/// by itself after 60 s; none of the tests may come near to that.
const PATIENCE: Duration = Duration::from_secs(20);

/// A client library and what is peculiar to it.
pub struct Program {
    /// Its name in messages.
    pub name: &'static str,
    /// The interpreter of the script.
    pub interpreter: &'static str,
    /// The file beside this one.
    pub script: &'static str,
    /// The service of icinga2 whose problem it acknowledges, another one for each.
    pub service: &'static str,
    /// What stands before the socket on the command line; `{clients}` is the
    /// folder with the clients that are not packages of the system.
    pub arguments: &'static [&'static str],
    /// A site's answer with two hosts, as this client asks for it.
    pub answer: &'static str,
    /// What the client makes of it.
    pub rows: &'static str,
    /// What it learns of a command that failed.
    pub learns: Learns,
}

/// How a client learns that its command failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learns {
    /// It ends its side of the connection and reads until it has a line or the
    /// end, but for half a second at most.
    WaitsBriefly,
    /// The same, as long as it takes.
    Waits,
    /// It reads nothing and goes on with the next query on the same connection.
    WithNextQuery,
}

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The rows, as JSON.
    Rows(String),
    /// A command was sent and nothing bad was heard of it.
    Sent,
    /// What the client would show.
    Error(String),
}

impl Outcome {
    fn parsed(line: &str) -> Option<Outcome> {
        let (kind, text) = line.split_once('\t').unwrap_or((line, ""));
        match kind {
            "rows" => Some(Outcome::Rows(text.to_owned())),
            "error" => Some(Outcome::Error(text.to_owned())),
            "sent" => Some(Outcome::Sent),
            _ => None,
        }
    }

    /// The rows; anything else fails the test.
    #[track_caller]
    pub fn rows(self) -> String {
        match self {
            Outcome::Rows(rows) => rows,
            other => panic!("expected rows, there came {other:?}"),
        }
    }

    /// The same; an error without its text, which may name places in the memory.
    pub fn without_text(self) -> Outcome {
        match self {
            Outcome::Error(_) => Outcome::Error(String::new()),
            other => other,
        }
    }

    /// Asserts an error that shows `words`.
    #[track_caller]
    pub fn expect_error(&self, words: &str) {
        match self {
            Outcome::Error(text) if text.contains(words) => {}
            other => panic!("expected an error with {words:?}, there came {other:?}"),
        }
    }
}

/// A running program. Dropping it ends the process.
pub struct Running {
    name: &'static str,
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

/// The folder with the clients that are not packages of the system.
fn clients() -> PathBuf {
    // Cargo names a folder inside of its target folder; `tests/run` uses the one beside.
    let inside = Path::new(env!("CARGO_TARGET_TMPDIR"));
    inside.parent().unwrap().join("peers")
}

impl Program {
    /// Starts it on a socket of the proxy.
    #[track_caller]
    pub fn start(&'static self, socket: &Path) -> Running {
        self.started(socket, "proxy")
    }

    /// Starts it on the socket of icinga2 itself, where it may have to ask in a
    /// way that icinga2 understands.
    #[track_caller]
    pub fn start_at_site(&'static self, socket: &Path) -> Running {
        self.started(socket, "site")
    }

    #[track_caller]
    fn started(&'static self, socket: &Path, asked: &str) -> Running {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/clients");
        let folder = clients().display().to_string();
        let arguments = self.arguments.iter();
        let mut child = Command::new(self.interpreter)
            .arg(scripts.join(self.script))
            .args(arguments.map(|argument| argument.replace("{clients}", &folder)))
            .arg(socket)
            .env("ASKED", asked)
            .env("PYTHONPATH", clients().join("python"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                let interpreter = self.interpreter;
                panic!("{interpreter}: {error}; tests/run installs what these tests need")
            });
        let output = BufReader::new(child.stdout.take().unwrap());
        let input = child.stdin.take().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            // Ends with the process, or when nobody wants the lines any more.
            let mut lines = output.lines().map_while(Result::ok);
            let _ = lines.try_for_each(|line| sender.send(line));
        });
        Running {
            name: self.name,
            child,
            input,
            lines,
        }
    }
}

impl Running {
    /// Asks for a table, its columns, and the rows that a filter leaves; an
    /// empty filter leaves all.
    #[track_caller]
    pub fn query(&mut self, query: [&str; 3]) -> Outcome {
        self.step(&format!("query\t{}", query.join("\t")))
    }

    /// Acknowledges the problem of a service, given as `HOST;SERVICE`.
    #[track_caller]
    pub fn acknowledge(&mut self, service: &str) -> Outcome {
        self.step(&format!("acknowledge\t{service}"))
    }

    #[track_caller]
    fn step(&mut self, line: &str) -> Outcome {
        // A program that has ended is noticed by its missing line, with a better message.
        let _ = writeln!(self.input, "{line}");
        match self.lines.recv_timeout(stretched(PATIENCE)) {
            Ok(line) => match Outcome::parsed(&line) {
                Some(outcome) => outcome,
                None => panic!("{}: printed {line:?}", self.name),
            },
            Err(error) => panic!(
                "{}: no outcome of {line:?}: {error} ({:?}); tests/run installs what it needs",
                self.name,
                self.child.try_wait()
            ),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
