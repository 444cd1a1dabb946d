//! A control socket that answers from given tables, and `liveproxyctl` run on it. Once a daemon is
//! to stand here, [`Fake::start`] is the place.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::Root;
use crate::tables::{Row, rendered, status};

/// What the fake knows, and what it was asked.
#[derive(Debug, Default)]
pub struct State {
    /// The tables.
    pub tables: HashMap<&'static str, Vec<Row>>,
    /// Answers of a status and a text of their own, in place of a table.
    pub errors: HashMap<&'static str, (u16, String)>,
    /// Queries that have come, as they came.
    pub asked: Vec<String>,
    /// Orders that have come, without their time.
    pub orders: Vec<String>,
    /// The listening socket is removed once this order has come.
    pub ends_on: Option<&'static str>,
    /// Accepts, and answers nothing.
    pub is_mute: bool,
}

/// What an order does; the text is the error that is told.
pub type Effect = fn(&str, &mut State) -> String;

/// The fake daemon. Its threads end with the test process.
pub struct Fake {
    /// Where it stands.
    pub root: Root,
    /// What it knows.
    pub state: Arc<Mutex<State>>,
}

/// What a run of `liveproxyctl` has left.
#[derive(Debug)]
pub struct Run {
    /// Its exit code.
    pub code: i32,
    /// What it wrote to standard output.
    pub out: String,
    /// What it wrote to standard error.
    pub err: String,
}

impl Run {
    /// Takes apart what a process has left.
    #[track_caller]
    pub fn of(output: Output) -> Run {
        Run {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Asserts success without a word on standard error, and gives the output.
    #[track_caller]
    pub fn well(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{self:?}");
        self.out
    }

    /// Asserts a failure that is told in one line with these words, and no output.
    #[track_caller]
    pub fn failed(self, code: i32, words: &str) {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{self:?}");
        assert!(self.err.contains(words), "no {words:?} in {self:?}");
        assert_eq!(self.err.matches('\n').count(), 1, "{self:?}");
    }
}

/// `liveproxyctl` on a root, in an environment without colours and other sites.
pub fn command(root: &Root, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_liveproxyctl"));
    command.args(arguments);
    command
        .env_clear()
        .env("TZ", "UTC")
        .env("OMD_ROOT", root.path());
    command.stdin(Stdio::null());
    command
}

impl Fake {
    /// With a daemon and these sites, and no effect of orders.
    pub fn start(sites: Vec<Row>) -> Fake {
        Fake::with_effect(sites, |_, _| String::new())
    }

    /// With something that orders do.
    pub fn with_effect(sites: Vec<Row>, effect: Effect) -> Fake {
        let root = Root::new();
        let path = root.file("tmp/run/liveproxyd.ctl");
        let listener = UnixListener::bind(&path).unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        {
            let mut state = state.lock().unwrap();
            state.tables.insert("status", vec![status()]);
            state.tables.insert("sites", sites);
        }
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                if shared.lock().unwrap().is_mute {
                    // Held open until the process ends.
                    std::mem::forget(client);
                    continue;
                }
                let is_over = serve(&client, &shared, effect);
                if is_over {
                    // Nobody may find the socket after this client has had its answer.
                    std::fs::remove_file(&path).unwrap();
                    return;
                }
            }
        });
        Fake { root, state }
    }

    /// Changes what it knows.
    pub fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    /// Runs `liveproxyctl` on it.
    pub fn run(&self, arguments: &[&str]) -> Run {
        Run::of(command(&self.root, arguments).output().unwrap())
    }

    /// The orders it has got.
    pub fn orders(&self) -> Vec<String> {
        self.state.lock().unwrap().orders.clone()
    }
}

/// Serves one request; true if this was the last one.
fn serve(client: &UnixStream, state: &Mutex<State>, effect: Effect) -> bool {
    let mut lines = Vec::new();
    for line in BufReader::new(client).lines() {
        match line {
            Ok(line) if !line.is_empty() => lines.push(line),
            _ => break,
        }
    }
    let mut state = state.lock().unwrap();
    let first = lines.first().cloned().unwrap_or_default();
    if let Some(order) = first.strip_prefix("COMMAND [") {
        let (time, order) = order.split_once("] ").unwrap();
        assert!(time.parse::<u64>().unwrap() > 1_700_000_000);
        state.orders.push(order.to_owned());
        let text = effect(order, &mut state);
        let is_over = state.ends_on.is_some_and(|last| last == order);
        let _ = (&mut &*client).write_all(text.as_bytes());
        return is_over;
    }
    state.asked.push(lines.join("\n"));
    assert!(
        lines.contains(&"ResponseHeader: fixed16".to_owned()),
        "{lines:?}"
    );
    assert!(
        lines.contains(&"OutputFormat: json".to_owned()),
        "{lines:?}"
    );
    assert!(lines.contains(&"ColumnHeaders: on".to_owned()), "{lines:?}");
    let name = first.strip_prefix("GET ").unwrap_or_default();
    let (code, body) = match (state.errors.get(name), state.tables.get(name)) {
        (Some((code, text)), _) => (*code, text.clone()),
        (None, Some(rows)) => (200, rendered(rows)),
        (None, None) => (404, format!("There is no table '{name}'.\n")),
    };
    let answer = format!("{code:03} {:11}\n{body}", body.len());
    let _ = (&mut &*client).write_all(answer.as_bytes());
    false
}
