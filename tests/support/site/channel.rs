//! One accepted channel: reads requests, answers them, and carries out the fault that the ledger
//! has for them. One thread each; it ends with the connection.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::answer::Answer;
use super::fault::{Fault, Place};
use super::ledger::{Event, Ledger};
use super::request::{HASTY, Incoming, Reader, Request};
use crate::support::stream::{Glance, Stream};

/// Pause between two pieces of a split answer: enough for a reader that waits for them.
const SPLIT_PAUSE: Duration = Duration::from_millis(2);

/// Pause between two looks of a stalled channel at the other side and at the ledger.
const STALL_STEP: Duration = Duration::from_millis(5);

/// What an incomplete request is answered before the close, as naemon does.
const INCOMPLETE: &[u8] = b"Client connection terminated while request still incomplete\n";

/// A wait query waits for nothing longer than this, unless waits are held.
const SHORT_WAIT: Duration = Duration::from_millis(300);

/// Number of pieces in which a slow start is written: a pace, not a pause.
const SLOW_PIECES: u32 = 50;

/// Size of one write of a large answer.
const CHUNK: usize = 65_536;

/// A command with this name in it is refused, in naemon's unframed form.
const REFUSED_COMMAND: &str = "NO_SUCH_COMMAND";

/// What becomes of the channel after a request.
enum Then {
    Keep,
    Close,
}

/// The thread of one channel.
pub struct Channel {
    ledger: Ledger,
    stream: Arc<Stream>,
    number: usize,
}

impl Channel {
    /// Serves a stream in a thread of its own.
    pub fn serve(ledger: &Ledger, stream: Stream) {
        let stream = Arc::new(stream);
        let Some(number) = ledger.opened(&stream) else {
            return;
        };
        let ledger = ledger.clone();
        let channel = Channel {
            ledger,
            stream,
            number,
        };
        std::thread::spawn(move || channel.run());
    }

    fn run(self) {
        if self.await_thread().is_err() {
            return self.ledger.closed(self.number);
        }
        let mut reader = Reader::default();
        while let Ok(Then::Keep) = self.turn(&mut reader) {}
        self.ledger.closed(self.number);
    }

    /// Waits as long as all threads are at work for others.
    fn await_thread(&self) -> io::Result<()> {
        let has_none = || {
            let state = self.ledger.lock();
            !state.stopping && !state.has_thread(self.number)
        };
        if has_none() {
            self.ledger.count("no-thread");
        }
        while has_none() {
            self.stall(Some(Instant::now() + STALL_STEP))?;
        }
        Ok(())
    }

    /// One request and its answer.
    fn turn(&self, reader: &mut Reader) -> io::Result<Then> {
        self.ledger.set_idle(self.number, true);
        let begun = || self.ledger.set_idle(self.number, false);
        self.stream.set_read_timeout(None);
        match reader.next(&*self.stream, begun)? {
            Incoming::Get(request) => self.answer(&request),
            Incoming::Command(line) => self.obey(line),
            Incoming::Hasty => self.answer_early(),
            Incoming::Unknown(_) => {
                self.ledger.count("invalid-method");
                self.write(b"Invalid request method\n")?;
                Ok(Then::Close)
            }
            Incoming::Broken => {
                self.ledger.count("incomplete-request");
                self.write(INCOMPLETE)?;
                Ok(Then::Close)
            }
            Incoming::End => Ok(Then::Close),
        }
    }

    fn obey(&self, line: String) -> io::Result<Then> {
        let refused = line.contains(REFUSED_COMMAND);
        let fault = {
            let mut state = self.ledger.lock();
            state.commands.push(line);
            state.events.push(Event::Command(self.number));
            state.next_commands.pop_front().unwrap_or(Fault::Nothing)
        };
        match fault {
            Fault::Close(_) => {
                self.ledger.count("close-after-command");
                return Ok(Then::Close);
            }
            Fault::Reset(_) => {
                self.ledger.count("reset-after-command");
                self.stream.reset_on_close();
                return Ok(Then::Close);
            }
            Fault::Stall(_) => {
                self.ledger.count("stall-after-command");
                self.stall(None)?;
            }
            _ => {}
        }
        if refused {
            self.write(format!("400: Unknown command '{REFUSED_COMMAND}'\n").as_bytes())?;
        }
        Ok(Then::Keep)
    }

    /// Answers before the request is there, and reads nothing of it until released. What is read
    /// then is the rest of it.
    fn answer_early(&self) -> io::Result<Then> {
        self.ledger.lock().events.push(Event::Request(self.number));
        self.ledger.count("hasty-answer");
        let body = format!("{HASTY}\n");
        self.write(format!("200 {:11}\n{body}", body.len()).as_bytes())?;
        self.stall(None)?;
        Ok(Then::Keep)
    }

    fn answer(&self, request: &Request) -> io::Result<Then> {
        let heartbeat = request.heartbeat_columns().is_some();
        let (fault, identity) = {
            let mut state = self.ledger.lock();
            if heartbeat {
                state.heartbeats += 1;
                state.events.push(Event::Heartbeat(self.number));
            } else {
                state.requests.push(request.bytes.clone());
                state.events.push(Event::Request(self.number));
            }
            (state.take_fault(heartbeat), state.identity.clone())
        };
        self.wait_as_told(request)?;
        let answer = Answer::to(request, &identity);
        let then = match request.kept() && request.framed() {
            true => Then::Keep,
            false => Then::Close,
        };
        self.carry_out(&fault, answer, then)
    }

    /// The waits that a request itself asks for.
    fn wait_as_told(&self, request: &Request) -> io::Result<()> {
        if let Some(delay) = request.header("Test-Delay") {
            let delay = Duration::from_millis(delay.parse().unwrap());
            self.stall(Some(Instant::now() + delay))?;
        }
        if request.waits() {
            self.ledger.count("wait");
            let held = self.ledger.lock().holds_waits;
            match request.wait_limit() {
                Some(limit) if limit <= SHORT_WAIT || !held => {
                    self.stall(Some(Instant::now() + limit.min(SHORT_WAIT)))?;
                }
                None if !held => self.stall(Some(Instant::now() + SHORT_WAIT))?,
                _ => self.stall(None)?,
            }
        }
        if request.header("Test-Hold") == Some("on") {
            self.ledger.count("hold");
            self.stall(None)?;
        }
        Ok(())
    }

    fn carry_out(&self, fault: &Fault, answer: Answer, then: Then) -> io::Result<Then> {
        let mut output = Output::new(&self.stream, answer, fault);
        match fault {
            Fault::Nothing => output.rest()?,
            Fault::Stall(place) => {
                output.up_to(*place)?;
                self.ledger.count(fault.name());
                self.stall(None)?;
                output.rest()?;
            }
            Fault::Late(time) => {
                self.stall(Some(Instant::now() + *time))?;
                self.ledger.count(fault.name());
                output.rest()?;
            }
            Fault::Close(place) => {
                output.up_to(*place)?;
                self.ledger.count(fault.name());
                return Ok(Then::Close);
            }
            Fault::Reset(place) => {
                output.up_to(*place)?;
                self.ledger.count(fault.name());
                self.stream.reset_on_close();
                return Ok(Then::Close);
            }
            // From here on the fault is counted before the last byte is out: whoever has read the
            // whole answer must find it counted.
            Fault::Split(sizes) => {
                self.ledger.count(fault.name());
                for size in sizes {
                    output.write(*size as u64)?;
                    std::thread::sleep(SPLIT_PAUSE);
                }
                output.rest()?;
            }
            Fault::Drip(pause) => {
                self.ledger.count(fault.name());
                while output.left > 0 {
                    output.write(1)?;
                    std::thread::sleep(*pause);
                }
            }
            Fault::SlowStart(count, time) => {
                self.ledger.count(fault.name());
                for _ in 0..SLOW_PIECES {
                    output.write(*count as u64 / u64::from(SLOW_PIECES))?;
                    std::thread::sleep(*time / SLOW_PIECES);
                }
                output.rest()?;
            }
            Fault::Linger(time) => {
                output.rest()?;
                self.stall(Some(Instant::now() + *time))?;
                self.ledger.count(fault.name());
                return Ok(Then::Close);
            }
            Fault::WrongLength(_) | Fault::Header(_) | Fault::Extra(_) => {
                self.ledger.count(fault.name());
                output.rest()?;
            }
            Fault::Raw(text) => {
                self.ledger.count(fault.name());
                self.write(text)?;
                return Ok(Then::Close);
            }
        }
        Ok(then)
    }

    /// Waits until released, until the given time, or until the other side is gone.
    fn stall(&self, until: Option<Instant>) -> io::Result<()> {
        let begun_under = {
            let mut state = self.ledger.lock();
            state.stalled += usize::from(until.is_none());
            state.releases
        };
        let outcome = loop {
            {
                let state = self.ledger.lock();
                let released = until.is_none() && state.releases > begun_under;
                if released || state.stopping {
                    break Ok(());
                }
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                break Ok(());
            }
            match self.stream.glance(STALL_STEP) {
                Glance::Silent => {}
                // Pipelined requests: they wait, but their presence would make this loop spin.
                Glance::Bytes => std::thread::sleep(STALL_STEP),
                Glance::Ended => break Err(io::ErrorKind::ConnectionAborted.into()),
            }
        };
        self.ledger.lock().stalled -= usize::from(until.is_none());
        outcome
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        (&*self.stream).write_all(bytes)
    }
}

/// An answer on its way out, with a count of what is left of it.
struct Output<'a> {
    stream: &'a Stream,
    bytes: Box<dyn Read>,
    left: u64,
    written: u64,
    header: u64,
}

impl<'a> Output<'a> {
    fn new(stream: &'a Stream, answer: Answer, fault: &Fault) -> Output<'a> {
        let header = match fault {
            Fault::WrongLength(error) => answer.header(*error),
            Fault::Header(garbage) => garbage.to_vec(),
            _ => answer.header(0),
        };
        let extra = match fault {
            Fault::Extra(bytes) => bytes.clone(),
            _ => Vec::new(),
        };
        let size = answer.body_size();
        let header_size = header.len() as u64;
        let left = header_size + size + extra.len() as u64;
        let body = answer.into_body();
        let bytes = io::Cursor::new(header)
            .chain(body)
            .chain(io::Cursor::new(extra));
        Output {
            stream,
            bytes: Box::new(bytes),
            left,
            written: 0,
            header: header_size,
        }
    }

    /// Writes up to a place of the answer.
    fn up_to(&mut self, place: Place) -> io::Result<()> {
        let goal = match place {
            Place::BeforeHeader => 0,
            Place::InHeader(count) => self.header.min(count as u64),
            Place::InBody(count) => self.header + count as u64,
            Place::AfterAnswer => self.written + self.left,
        };
        self.write(goal.saturating_sub(self.written))
    }

    /// Writes all that is left.
    fn rest(&mut self) -> io::Result<()> {
        self.write(self.left)
    }

    /// Writes that many bytes, or all that is left, in as few writes as possible.
    fn write(&mut self, count: u64) -> io::Result<()> {
        let mut wanted = count.min(self.left);
        let mut chunk = vec![0; CHUNK];
        while wanted > 0 {
            let size = wanted.min(CHUNK as u64) as usize;
            self.bytes.read_exact(&mut chunk[..size])?;
            let mut stream = self.stream;
            stream.write_all(&chunk[..size])?;
            self.written += size as u64;
            self.left -= size as u64;
            wanted -= size as u64;
        }
        Ok(())
    }
}
