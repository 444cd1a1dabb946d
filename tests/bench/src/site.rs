//! A site that answers as fast as it can, or after a given time: it must cost
//! less than what is measured. Listens on as many ports as wanted.

use crate::Failure;
use crate::line;
use mio::event::Source;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use rustls::{ServerConfig, ServerConnection};
use slab::Slab;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One read; more comes with the next one.
const READ: usize = 64 * 1024;

/// Tokens below this are connections.
const LISTENERS: usize = 1 << 32;

struct Connection {
    socket: TcpStream,
    tls: Option<Box<ServerConnection>>,
    input: Vec<u8>,
    output: Vec<u8>,
    written: usize,
    watches_writing: bool,
    is_proved: bool,
}

/// Serves until it is killed: `PORT PORTS MILLISECONDS [tls]`.
pub fn run(words: &[&str]) -> Result<(), Failure> {
    let (numbers, tls) = match words {
        [numbers @ .., "tls"] => (numbers, Some(secured()?)),
        numbers => (numbers, None),
    };
    let &[port, ports, delay] = numbers else {
        return Err("site: PORT PORTS MILLISECONDS [tls]".into());
    };
    let (port, ports): (u16, u16) = (port.parse()?, ports.parse()?);
    let delay = Duration::from_millis(delay.parse()?);
    let mut site = Site {
        poll: Poll::new()?,
        connections: Slab::new(),
        late: VecDeque::new(),
        delay,
        tls,
        proved: 0,
        scratch: vec![0; READ],
    };
    let mut listeners = Vec::new();
    // The one behind them is for the census, and never has TLS.
    for number in port..=port + ports {
        let mut listener = TcpListener::bind(([127, 0, 0, 1], number).into())?;
        let token = Token(LISTENERS + listeners.len());
        let registry = site.poll.registry();
        registry.register(&mut listener, token, Interest::READABLE)?;
        listeners.push(listener);
    }
    println!("listening");
    let mut events = Events::with_capacity(1024);
    loop {
        let now = Instant::now();
        let first = site.late.front();
        // Rounded up: the kernel counts in milliseconds.
        let until = |(at, ..): &(Instant, usize, line::Asked)| {
            at.saturating_duration_since(now) + Duration::from_micros(999)
        };
        match site.poll.poll(&mut events, first.map(until)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in events.iter() {
            match event.token().0.checked_sub(LISTENERS) {
                Some(index) => site.accept(&listeners[index], index == usize::from(ports))?,
                None => site.attend(event.token().0),
            }
        }
        site.answer_late();
    }
}

/// A certificate of its own for a server; whoever asks is not to verify it.
fn secured() -> Result<Arc<ServerConfig>, Failure> {
    let signed = rcgen::generate_simple_self_signed(vec!["bench".into()])?;
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key.into())?;
    Ok(Arc::new(config))
}

struct Site {
    poll: Poll,
    connections: Slab<Connection>,
    /// Answers that have to wait; all as long, so the first is due first.
    late: VecDeque<(Instant, usize, line::Asked)>,
    delay: Duration,
    tls: Option<Arc<ServerConfig>>,
    /// Connections that have answered a heartbeat.
    proved: usize,
    scratch: Vec<u8>,
}

impl Site {
    fn accept(&mut self, listener: &TcpListener, plain: bool) -> Result<(), Failure> {
        loop {
            let mut socket = match listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            socket.set_nodelay(true)?;
            let entry = self.connections.vacant_entry();
            let token = Token(entry.key());
            let registry = self.poll.registry();
            registry.register(&mut socket, token, Interest::READABLE)?;
            let tls = self.tls.clone().filter(|_| !plain);
            let tls = tls.map(ServerConnection::new).transpose()?;
            entry.insert(Connection {
                socket,
                tls: tls.map(Box::new),
                input: Vec::new(),
                output: Vec::new(),
                written: 0,
                watches_writing: false,
                is_proved: false,
            });
        }
    }

    /// Reads, answers and writes; whoever is gone is dropped.
    fn attend(&mut self, id: usize) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let open = connection.read(&mut self.scratch).unwrap_or(false);
        while open && let Some(asked) = connection.next() {
            if asked == line::Asked::Alive && !connection.is_proved {
                connection.is_proved = true;
                self.proved += 1;
            }
            // A heartbeat is answered at once: the delay stands for the work of a query.
            match asked {
                line::Asked::Body { .. } if !self.delay.is_zero() => {
                    let due = Instant::now() + self.delay;
                    self.late.push_back((due, id, asked));
                }
                _ => line::answer(asked, self.proved, &mut connection.output),
            }
        }
        let wrote = connection.write(self.poll.registry(), Token(id));
        if !open || wrote.is_err() {
            let mut gone = self.connections.remove(id);
            self.proved -= usize::from(gone.is_proved);
            // It is closed next, which is as good.
            let _ = self.poll.registry().deregister(&mut gone.socket);
            self.late.retain(|(_, of, _)| *of != id);
        }
    }

    fn answer_late(&mut self) {
        let now = Instant::now();
        while let Some((due, id, asked)) = self.late.front().copied()
            && due <= now
        {
            self.late.pop_front();
            if let Some(connection) = self.connections.get_mut(id) {
                line::answer(asked, self.proved, &mut connection.output);
                // Should it fail, the event that says so is on its way.
                let _ = connection.write(self.poll.registry(), Token(id));
            }
        }
    }
}

impl Connection {
    /// Reads what is there; `false` at the end.
    fn read(&mut self, scratch: &mut [u8]) -> io::Result<bool> {
        loop {
            let Some(tls) = &mut self.tls else {
                match self.socket.read(scratch) {
                    Ok(0) => return Ok(false),
                    Ok(count) => {
                        self.input.extend_from_slice(&scratch[..count]);
                        if count < scratch.len() {
                            return Ok(true);
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                    Err(error) => return Err(error),
                }
                continue;
            };
            match tls.read_tls(&mut self.socket) {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
            tls.process_new_packets().map_err(io::Error::other)?;
            match tls.reader().read_to_end(&mut self.input) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => drop(other?),
            }
        }
    }

    /// The next complete request.
    fn next(&mut self) -> Option<line::Asked> {
        let end = self.input.windows(2).position(|pair| pair == b"\n\n")?;
        let request = std::str::from_utf8(&self.input[..end]).ok();
        let asked = request.and_then(line::understand);
        self.input.drain(..end + 2);
        asked
    }

    /// Writes what the system takes, and asks for an event where that is not all.
    fn write(&mut self, registry: &mio::Registry, token: Token) -> io::Result<()> {
        let left = match &mut self.tls {
            None => loop {
                if self.written == self.output.len() {
                    self.output.clear();
                    self.written = 0;
                    break false;
                }
                match self.socket.write(&self.output[self.written..]) {
                    Ok(count) => self.written += count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break true,
                    Err(error) => return Err(error),
                }
            },
            Some(tls) => {
                tls.set_buffer_limit(None);
                tls.writer().write_all(&self.output)?;
                self.output.clear();
                loop {
                    if !tls.wants_write() {
                        break false;
                    }
                    match tls.write_tls(&mut self.socket) {
                        Ok(_) => {}
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break true,
                        Err(error) => return Err(error),
                    }
                }
            }
        };
        if left && !self.watches_writing {
            self.watches_writing = true;
            let both = Interest::READABLE | Interest::WRITABLE;
            self.socket.reregister(registry, token, both)?;
        }
        Ok(())
    }
}
