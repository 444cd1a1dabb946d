//! Asks as fast as the answers come, checks each of them, and says how long
//! they took.

use crate::Failure;
use crate::line::{self, Progress};
use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Events, Interest, Poll, Token};
use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// One read; more comes with the next one.
const READ: usize = 64 * 1024;

/// No answer at all for so long: the measurement is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is to be asked.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Clients at a time.
    pub clients: usize,
    /// Queries of each connection, after which a new one is made.
    pub per_connection: u64,
    /// Length of an answer.
    pub bytes: usize,
    /// Queries in all; 0 for as many as there is time for.
    pub count: u64,
    /// For so long at most.
    pub seconds: f64,
}

/// What came of it. Times in microseconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outcome {
    /// Answers, all of them right.
    pub queries: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Half of all answers came within this time.
    pub half: f64,
    /// Of a hundred, all but one.
    pub most: f64,
    /// Answers of the client that got fewest.
    pub fewest: u64,
    /// Answers of the client that got most.
    pub luckiest: u64,
}

impl Outcome {
    /// As the process of its own prints it.
    fn line(&self) -> String {
        format!(
            "{} {} {} {} {} {}",
            self.queries, self.seconds, self.half, self.most, self.fewest, self.luckiest
        )
    }

    /// Understands what the process of its own has printed.
    pub fn parse(line: &str) -> Option<Outcome> {
        let fields: Vec<f64> = line
            .split(' ')
            .filter_map(|f| f.trim().parse().ok())
            .collect();
        let &[queries, seconds, half, most, fewest, luckiest] = fields.as_slice() else {
            return None;
        };
        Some(Outcome {
            queries: queries as u64,
            seconds,
            half,
            most,
            fewest: fewest as u64,
            luckiest: luckiest as u64,
        })
    }

    /// Queries a second.
    pub fn rate(&self) -> f64 {
        self.queries as f64 / self.seconds
    }
}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn open(poll: &Poll, target: &str, token: Token) -> io::Result<Socket> {
        let mut socket = match target.parse() {
            Ok(address) => Socket::Tcp(TcpStream::connect(address)?),
            Err(_) => Socket::Unix(UnixStream::connect(target)?),
        };
        let source: &mut dyn Source = match &mut socket {
            Socket::Tcp(socket) => socket,
            Socket::Unix(socket) => socket,
        };
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(source, token, both)?;
        Ok(socket)
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.read(into),
            Socket::Unix(socket) => socket.read(into),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.write(bytes),
            Socket::Unix(socket) => socket.write(bytes),
        }
    }
}

struct Client {
    socket: Socket,
    /// Queries that this connection has asked.
    asked: u64,
    /// Answers that this client has got, over all its connections.
    answered: u64,
    number: u64,
    request: String,
    /// How much of the request is written.
    sent: usize,
    input: Vec<u8>,
    /// When it began to ask.
    since: Instant,
}

/// `CLIENTS QUERIES_PER_CONNECTION BYTES COUNT SECONDS TARGET...`, prints the outcome.
pub fn run(words: &[&str]) -> Result<(), Failure> {
    let [clients, per_connection, bytes, count, seconds, targets @ ..] = words else {
        return Err("load: too few arguments".into());
    };
    let plan = Plan {
        clients: clients.parse()?,
        per_connection: per_connection.parse()?,
        bytes: bytes.parse()?,
        count: count.parse()?,
        seconds: seconds.parse()?,
    };
    println!("{}", ask(&plan, targets)?.line());
    Ok(())
}

/// Asks the targets in turn, a client each; a target is an address or a path.
fn ask(plan: &Plan, targets: &[&str]) -> Result<Outcome, Failure> {
    let mut poll = Poll::new()?;
    let mut scratch = vec![0; READ];
    let begin = Instant::now();
    let end = begin + Duration::from_secs_f64(plan.seconds);
    let mut tally = Tally::default();
    let mut clients = Vec::new();
    for index in 0..plan.clients {
        let target = targets[index % targets.len()];
        let mut client = Client::new(&poll, target, Token(index))?;
        client.ask(tally.next(), plan)?;
        clients.push(Some(client));
    }
    let mut events = Events::with_capacity(1024);
    let mut left = clients.len();
    while left > 0 {
        match poll.poll(&mut events, Some(PATIENCE)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        if events.is_empty() {
            return Err("load: no answer for a minute".into());
        }
        for event in events.iter() {
            let index = event.token().0;
            let Some(client) = clients[index].as_mut() else {
                continue;
            };
            client.send()?;
            if !client.read(plan, &mut scratch)? {
                continue;
            }
            tally.times.push(client.since.elapsed().as_nanos() as u64);
            client.answered += 1;
            if (plan.count > 0 && tally.begun >= plan.count) || Instant::now() >= end {
                tally.of_clients.push(client.answered);
                clients[index] = None;
                left -= 1;
                continue;
            }
            client.since = Instant::now();
            if client.asked >= plan.per_connection {
                // The time to connect is a part of the next query's.
                let target = targets[index % targets.len()];
                client.connect(&poll, target, Token(index))?;
            }
            client.ask(tally.next(), plan)?;
        }
    }
    Ok(tally.outcome(begin.elapsed()))
}

/// What is counted over all clients.
#[derive(Default)]
struct Tally {
    /// Queries that were begun.
    begun: u64,
    /// How long each answer took, in nanoseconds.
    times: Vec<u64>,
    /// Answers of each client.
    of_clients: Vec<u64>,
}

impl Tally {
    /// The number of the next query.
    fn next(&mut self) -> u64 {
        self.begun += 1;
        self.begun
    }

    fn outcome(mut self, took: Duration) -> Outcome {
        self.times.sort_unstable();
        let within = |part: f64| {
            let index = (self.times.len() as f64 * part) as usize;
            let nanos = self.times.get(index).copied().unwrap_or_default();
            nanos as f64 / 1000.0
        };
        Outcome {
            queries: self.times.len() as u64,
            seconds: took.as_secs_f64(),
            half: within(0.5),
            most: within(0.99),
            fewest: self.of_clients.iter().copied().min().unwrap_or_default(),
            luckiest: self.of_clients.iter().copied().max().unwrap_or_default(),
        }
    }
}

impl Client {
    fn new(poll: &Poll, target: &str, token: Token) -> io::Result<Client> {
        let since = Instant::now();
        Ok(Client {
            socket: Socket::open(poll, target, token)?,
            asked: 0,
            answered: 0,
            number: 0,
            request: String::new(),
            sent: 0,
            input: Vec::new(),
            since,
        })
    }

    fn connect(&mut self, poll: &Poll, target: &str, token: Token) -> io::Result<()> {
        self.asked = 0;
        self.socket = Socket::open(poll, target, token)?;
        Ok(())
    }

    fn ask(&mut self, number: u64, plan: &Plan) -> io::Result<()> {
        self.asked += 1;
        self.number = number;
        self.request = line::query(number, plan.bytes, plan.per_connection > 1);
        self.sent = 0;
        self.input.clear();
        self.send()
    }

    /// Writes what is left of the request, as far as the system takes it.
    fn send(&mut self) -> io::Result<()> {
        while self.sent < self.request.len() {
            match self.socket.write(&self.request.as_bytes()[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if is_for_later(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what is there; `true` once the answer is complete.
    fn read(&mut self, plan: &Plan, scratch: &mut [u8]) -> Result<bool, Failure> {
        loop {
            let count = match self.socket.read(scratch) {
                Ok(0) => return Err(format!("load: cut after {} bytes", self.input.len()).into()),
                Ok(count) => count,
                Err(error) if is_for_later(&error) => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            self.input.extend_from_slice(&scratch[..count]);
            match line::check(self.number, plan.bytes, &self.input) {
                Progress::More => {}
                Progress::Complete => return Ok(true),
                Progress::Wrong => {
                    let start = &self.input[..self.input.len().min(200)];
                    return Err(format!("load: {}", String::from_utf8_lossy(start)).into());
                }
            }
        }
    }
}

/// Nothing to read, no room to write, or the connection is still being made.
fn is_for_later(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::NotConnected
    )
}
