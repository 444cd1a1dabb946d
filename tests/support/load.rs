//! Clients that ask without a pause while a test does something to the daemon, and count strictly
//! what they lose. A query is lost when a connect is refused, or when it was written and its whole
//! right answer does not come. Where a kept connection cannot be written to, nothing was asked and
//! nothing is lost: the client connects again, as real ones do. Over TCP a query can cross the end
//! of its kept connection; where that ends in order and before any byte of the answer, the client
//! asks again, once, as real ones do.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::patience::{eventually, stretched};
use super::site::payload;
use super::stream::Stream;

/// A query that takes longer is lost.
const PATIENCE: Duration = Duration::from_secs(20);

/// Small answers, for most queries.
const SMALL: usize = 300;

/// A large one, for every tenth query: more than a window, so that both ways of passing on occur.
const LARGE: usize = 1_200_000;

/// Every such query asks for a large answer.
const LARGE_EVERY: usize = 10;

/// How the failure of a connect begins.
const NOT_CONNECTED: &str = "connect: ";

/// Where a client connects.
#[derive(Clone, Debug)]
enum Target {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

impl Target {
    fn connect(&self) -> std::io::Result<Stream> {
        Ok(match self {
            Target::Unix(path) => Stream::Unix(UnixStream::connect(path)?),
            Target::Tcp(address) => Stream::Tcp(TcpStream::connect(address)?),
        })
    }
}

/// How a client connects.
#[derive(Clone, Copy, Debug)]
pub enum Manner {
    /// It keeps its connection as long as it can.
    Kept,
    /// It connects for each query.
    OneShot,
}

/// What the clients have seen so far.
#[derive(Debug, Default)]
struct Tally {
    answered: AtomicUsize,
    reconnected: AtomicUsize,
    crossed: AtomicUsize,
    longest_ms: AtomicUsize,
    may_be_refused: AtomicBool,
}

/// Clients at work. They stop at their first failure, which [`Load::end`] tells.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    tally: Arc<Tally>,
    threads: Vec<JoinHandle<Result<(), String>>>,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// Queries answered, each checked byte by byte.
    pub answered: usize,
    /// How often a kept connection had been closed between two queries.
    pub reconnected: usize,
    /// How often a query was asked again because it had crossed the end of its TCP connection.
    pub crossed: usize,
    /// The longest that a query took, its connect included.
    pub longest: Duration,
}

impl Load {
    /// Clients of these sockets, one of each manner at each.
    pub fn start(sockets: &[PathBuf]) -> Load {
        let mut load = Load {
            stop: Arc::default(),
            tally: Arc::default(),
            threads: Vec::new(),
        };
        for (number, socket) in sockets.iter().enumerate() {
            load.add(socket, Manner::Kept, number);
            load.add(socket, Manner::OneShot, number);
        }
        load
    }

    /// One more client; `number` tells its queries from others'.
    pub fn add(&mut self, socket: &Path, manner: Manner, number: usize) {
        self.begin(Target::Unix(socket.to_owned()), manner, number);
    }

    /// Two clients of a TCP port, one of each manner.
    pub fn add_tcp(&mut self, address: SocketAddr, number: usize) {
        for manner in [Manner::Kept, Manner::OneShot] {
            self.begin(Target::Tcp(address), manner, number);
        }
    }

    fn begin(&mut self, target: Target, manner: Manner, number: usize) {
        let asker = Asker {
            target,
            manner,
            stream: None,
            tally: Arc::clone(&self.tally),
        };
        let stop = Arc::clone(&self.stop);
        let thread = std::thread::spawn(move || asker.work(&stop, number));
        self.threads.push(thread);
    }

    /// A client that cannot connect has not failed any more, but ends. The daemon is to stop.
    pub fn may_be_refused(&self) {
        self.tally.may_be_refused.store(true, Ordering::SeqCst);
    }

    /// Queries answered so far.
    pub fn answered(&self) -> usize {
        self.tally.answered.load(Ordering::Relaxed)
    }

    /// Waits until so many more queries are answered, or a client has failed.
    #[track_caller]
    pub fn await_more(&self, count: usize) {
        let goal = self.answered() + count;
        eventually(&format!("{count} more queries are answered"), || {
            self.answered() >= goal || self.threads.iter().any(JoinHandle::is_finished)
        });
    }

    /// Ends the clients; fails if any of them has lost a query.
    #[track_caller]
    pub fn end(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        let outcomes = self
            .threads
            .into_iter()
            .map(|thread| thread.join().unwrap());
        let failures: Vec<String> = outcomes.filter_map(Result::err).collect();
        let seen = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        let answered = seen(&self.tally.answered);
        assert!(
            failures.is_empty(),
            "after {answered} answers: {failures:#?}"
        );
        Outcome {
            answered,
            reconnected: seen(&self.tally.reconnected),
            crossed: seen(&self.tally.crossed),
            longest: Duration::from_millis(seen(&self.tally.longest_ms) as u64),
        }
    }
}

/// One client.
struct Asker {
    target: Target,
    manner: Manner,
    stream: Option<Stream>,
    tally: Arc<Tally>,
}

impl Asker {
    fn work(mut self, stop: &AtomicBool, number: usize) -> Result<(), String> {
        let sizes = [SMALL, LARGE];
        let nonce = format!("{:?}{number}", self.manner);
        let bodies = sizes.map(|size| payload(&nonce, size));
        let mut count = 0;
        while !stop.load(Ordering::Relaxed) {
            let body = &bodies[usize::from(count % LARGE_EVERY == LARGE_EVERY - 1)];
            let began = Instant::now();
            let who = format!("{:?} client of {:?}", self.manner, self.target);
            match self.ask(&nonce, body) {
                Err(error)
                    if error.starts_with(NOT_CONNECTED)
                        && self.tally.may_be_refused.load(Ordering::SeqCst) =>
                {
                    return Ok(());
                }
                other => other.map_err(|error| format!("{who}, query {count}: {error}"))?,
            }
            let took = began.elapsed().as_millis() as usize;
            self.tally.longest_ms.fetch_max(took, Ordering::Relaxed);
            self.tally.answered.fetch_add(1, Ordering::Relaxed);
            count += 1;
        }
        Ok(())
    }

    fn ask(&mut self, nonce: &str, body: &[u8]) -> Result<(), String> {
        let kept = match self.manner {
            Manner::Kept => "KeepAlive: on\n",
            Manner::OneShot => "",
        };
        let request = format!(
            "GET hosts\nTest-Nonce: {nonce}\nTest-Size: {}\nResponseHeader: fixed16\n{kept}\n",
            body.len()
        );
        let was_kept = self.stream.is_some() && matches!(self.target, Target::Tcp(_));
        let stream = self.write(request.as_bytes())?;
        let mut answer = vec![0; 16 + body.len()];
        let mut filled = 0;
        while filled < answer.len() {
            match (&stream).read(&mut answer[filled..]) {
                Ok(0) if filled == 0 && was_kept && self.stream.is_none() => {
                    self.tally.crossed.fetch_add(1, Ordering::Relaxed);
                    self.tally.reconnected.fetch_add(1, Ordering::Relaxed);
                    return self.ask(nonce, body);
                }
                Ok(0) => return Err(format!("the end after {filled} bytes of the answer")),
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("{error} after {filled} bytes of the answer")),
            }
            if filled >= 16 && !answer.starts_with(format!("200 {:11}\n", body.len()).as_bytes()) {
                let text = answer[..filled.min(300)].escape_ascii().to_string();
                return Err(format!("a wrong answer: {text}"));
            }
        }
        if answer[16..] != *body {
            return Err("the answer has wrong bytes".into());
        }
        match self.manner {
            Manner::Kept => self.stream = Some(stream),
            Manner::OneShot => match (&stream).read(&mut [0; 1]) {
                Ok(0) => {}
                other => return Err(format!("not the end behind the answer: {other:?}")),
            },
        }
        Ok(())
    }

    /// Writes a request, on the kept connection if there is one that can be written to.
    fn write(&mut self, request: &[u8]) -> Result<Stream, String> {
        if let Some(stream) = self.stream.take() {
            // So small a request is taken as a whole or not at all.
            match (&stream).write(request) {
                Ok(count) if count == request.len() => return Ok(stream),
                Ok(count) => return Err(format!("only {count} bytes of a request were taken")),
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                Err(error) => return Err(format!("write: {error}")),
            }
            self.tally.reconnected.fetch_add(1, Ordering::Relaxed);
        }
        let connected = self.target.connect();
        let stream = connected.map_err(|error| format!("{NOT_CONNECTED}{error}"))?;
        stream.set_read_timeout(Some(stretched(PATIENCE)));
        match (&stream).write(request) {
            Ok(count) if count == request.len() => Ok(stream),
            other => Err(format!(
                "a fresh connection does not take a request: {other:?}"
            )),
        }
    }
}
