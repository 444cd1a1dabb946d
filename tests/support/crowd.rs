//! Very many sites in one thread, for tests of hundreds. They answer rightly and can be away and
//! come back, all at once, and they note when who connected. They know nothing of the daemon.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use socket2::{Domain, Socket, Type};

/// What every one of them says of itself.
const IDENTITY: &[u8] = b"1700000000;Fake 1.0;1.5.0 (fake)\n";

const BACKLOG: i32 = 256;

/// Where the numbers of channels begin; below are those of listeners.
const FIRST_CHANNEL: usize = 1_000_000;

const WAKE: Token = Token(usize::MAX);

/// What a site of the crowd has seen.
#[derive(Clone, Debug, Default)]
pub struct Visits {
    /// When each channel was accepted.
    pub accepted: Vec<Instant>,
    /// How often one was accepted while another had not got its first answer yet.
    pub overlaps: usize,
    /// Channels that are open and have got an answer.
    pub proved: usize,
    /// Channels that are open and have got none.
    pub unproved: usize,
}

impl Visits {
    /// The most channels that were accepted within any time as long as `span`.
    pub fn most_within(&self, span: Duration) -> usize {
        let all = &self.accepted;
        let from = |first: usize| {
            let end = all[first] + span;
            all[first..].iter().take_while(|at| **at < end).count()
        };
        (0..all.len()).map(from).max().unwrap_or(0)
    }
}

#[derive(Clone, Copy, Debug)]
enum Order {
    Listen,
    CloseAll,
    Stop,
}

#[derive(Debug, Default)]
struct State {
    orders: Vec<Order>,
    visits: Vec<Visits>,
}

/// The crowd. Dropping it ends all of its sites.
#[derive(Debug)]
pub struct Crowd {
    addresses: Vec<SocketAddr>,
    state: Arc<Mutex<State>>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Crowd {
    /// So many sites on `127.0.0.1`; all of them refuse.
    pub fn refusing(count: usize) -> Crowd {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let bound = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket.bind(&any.into()).unwrap();
            socket
        };
        let sockets: Vec<Socket> = (0..count).map(|_| bound()).collect();
        let address = |socket: &Socket| socket.local_addr().unwrap().as_socket().unwrap();
        let addresses = sockets.iter().map(address).collect();
        let state = State {
            visits: vec![Visits::default(); count],
            ..State::default()
        };
        let state = Arc::new(Mutex::new(state));
        let poll = Poll::new().unwrap();
        let waker = Waker::new(poll.registry(), WAKE).unwrap();
        let inside = Inside {
            poll,
            sockets,
            listeners: Vec::new(),
            channels: BTreeMap::new(),
            next: FIRST_CHANNEL,
            state: Arc::clone(&state),
        };
        let thread = Some(std::thread::spawn(move || inside.run()));
        Crowd {
            addresses,
            state,
            waker,
            thread,
        }
    }

    /// Where each of them is found.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// All of them accept from now on.
    pub fn listen(&self) {
        self.order(Order::Listen);
    }

    /// All channels of all sites are closed; those that come later are accepted.
    pub fn close_all(&self) {
        self.order(Order::CloseAll);
    }

    fn order(&self, order: Order) {
        self.state.lock().unwrap().orders.push(order);
        self.waker.wake().unwrap();
    }

    /// What each of them has seen so far.
    pub fn visits(&self) -> Vec<Visits> {
        self.state.lock().unwrap().visits.clone()
    }

    /// How many channels of all sites are open and have got an answer.
    pub fn proved(&self) -> usize {
        let state = self.state.lock().unwrap();
        state.visits.iter().map(|visits| visits.proved).sum()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.order(Order::Stop);
        if let Some(thread) = self.thread.take() {
            let outcome = thread.join();
            if !std::thread::panicking() {
                outcome.unwrap();
            }
        }
    }
}

/// A channel that was accepted.
#[derive(Debug)]
struct Channel {
    site: usize,
    stream: TcpStream,
    /// What has been read of the request.
    request: Vec<u8>,
    proved: bool,
}

/// What the thread has for itself.
struct Inside {
    poll: Poll,
    /// Bound, and not listening yet: connects are refused.
    sockets: Vec<Socket>,
    listeners: Vec<TcpListener>,
    channels: BTreeMap<usize, Channel>,
    next: usize,
    state: Arc<Mutex<State>>,
}

impl Inside {
    fn run(mut self) {
        let mut events = Events::with_capacity(1_024);
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                outcome => outcome.unwrap(),
            }
            let tokens: Vec<usize> = events.iter().map(|event| event.token().0).collect();
            // Channels come before listeners: one that ended must be seen to have ended before the
            // next one is accepted.
            let is_channel = |token: &&usize| (FIRST_CHANNEL..WAKE.0).contains(*token);
            for token in tokens.iter().filter(is_channel) {
                self.attend(*token);
            }
            for token in tokens.iter().filter(|token| **token < FIRST_CHANNEL) {
                self.accept(*token);
            }
            let orders = std::mem::take(&mut self.state.lock().unwrap().orders);
            for order in orders {
                match order {
                    Order::Listen => self.listen(),
                    Order::CloseAll => {
                        let all: Vec<usize> = self.channels.keys().copied().collect();
                        all.into_iter().for_each(|token| self.close(token));
                    }
                    Order::Stop => return,
                }
            }
        }
    }

    fn listen(&mut self) {
        for socket in self.sockets.drain(..) {
            socket.listen(BACKLOG).unwrap();
            let mut listener = TcpListener::from_std(socket.into());
            let token = Token(self.listeners.len());
            let registry = self.poll.registry();
            registry
                .register(&mut listener, token, Interest::READABLE)
                .unwrap();
            self.listeners.push(listener);
        }
    }

    fn accept(&mut self, site: usize) {
        loop {
            let (mut stream, _) = match self.listeners[site].accept() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                accepted => accepted.unwrap(),
            };
            stream.set_nodelay(true).unwrap();
            let token = self.next;
            self.next += 1;
            let registry = self.poll.registry();
            registry
                .register(&mut stream, Token(token), Interest::READABLE)
                .unwrap();
            let channel = Channel {
                site,
                stream,
                request: Vec::new(),
                proved: false,
            };
            self.channels.insert(token, channel);
            let mut state = self.state.lock().unwrap();
            let visits = &mut state.visits[site];
            visits.accepted.push(Instant::now());
            visits.overlaps += usize::from(visits.unproved > 0);
            visits.unproved += 1;
        }
    }

    /// Reads all there is, and answers every request that is complete.
    fn attend(&mut self, token: usize) {
        let mut buffer = [0; 4_096];
        while let Some(channel) = self.channels.get_mut(&token) {
            let count = match channel.stream.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) | Ok(0) => return self.close(token),
                Ok(count) => count,
            };
            channel.request.extend_from_slice(&buffer[..count]);
            if !channel.request.ends_with(b"\n\n") {
                continue;
            }
            let request = std::mem::take(&mut channel.request);
            let body = match request.starts_with(b"GET status\n") {
                true => IDENTITY,
                false => &request,
            };
            let mut answer = format!("200 {:11}\n", body.len()).into_bytes();
            answer.extend_from_slice(body);
            let mut state = self.state.lock().unwrap();
            let visits = &mut state.visits[channel.site];
            if !std::mem::replace(&mut channel.proved, true) {
                visits.proved += 1;
                visits.unproved -= 1;
            }
            drop(state);
            // Short enough for any socket's buffer.
            if channel.stream.write_all(&answer).is_err() {
                return self.close(token);
            }
        }
    }

    fn close(&mut self, token: usize) {
        let Some(channel) = self.channels.remove(&token) else {
            return;
        };
        let mut state = self.state.lock().unwrap();
        let visits = &mut state.visits[channel.site];
        match channel.proved {
            true => visits.proved -= 1,
            false => visits.unproved -= 1,
        }
    }
}
