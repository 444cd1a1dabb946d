//! The two demonstration sites behind `--demo`: small Livestatus responders on loopback with invented hosts.
//! Owns their listeners and threads. Knows nothing of the daemon, which meets them only as two addresses like any others.
//!
//! They speak a part of Livestatus: `GET` on `status`, `hosts` and `services` with `Columns`, `Filter`, `And`, `Or`, `Limit` and the headers of
//! form, and one command. `~` matches substrings, not regular expressions. What is missing (`Stats`, `Sort`, ...) is refused as a
//! misspelt header is, so that nobody takes half an answer for a whole one.

mod invent;
mod query;
mod render;
mod request;
mod select;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use invent::Site;
use request::{Incoming, Requests};

/// Clients a site serves at a time; the next one is closed at once. More than the 50 channels a site may be given, with room
/// for a person who asks beside them.
const MAX_CLIENTS: usize = 64;

/// Stack of a client's thread. Nothing here recurses and every buffer is on the heap, so an eighth of the usual 2 MiB is plenty.
const CLIENT_STACK: usize = 256 * 1024;

/// How long a client may leave its response unread before it is closed: the idle time of naemon, the longest a client that has
/// stopped altogether can hold its thread.
const WRITE_TIMEOUT: Duration = Duration::from_secs(300);

/// Pause after a failed accept. Without descriptors it fails at once and again, and would use up a processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Limit for the connection by which a site wakes its own listener to end it. On loopback it takes microseconds.
const WAKE_TIMEOUT: Duration = Duration::from_secs(1);

/// The running demonstration sites. When this is dropped they stop accepting and close their clients; the threads end by themselves.
#[derive(Debug)]
pub struct DemoSites {
    berlin: Running,
    lisbon: Running,
}

impl DemoSites {
    /// Binds both sites to free ports of 127.0.0.1 and starts answering.
    ///
    /// # Errors
    /// When a port cannot be bound or a thread cannot be started.
    pub fn start() -> io::Result<DemoSites> {
        Ok(DemoSites {
            berlin: Running::start(invent::berlin())?,
            lisbon: Running::start(invent::lisbon())?,
        })
    }

    /// Name and address of each site, `berlin` first.
    pub fn addresses(&self) -> [(&'static str, SocketAddr); 2] {
        [&self.berlin, &self.lisbon].map(|site| (site.shared.site.name, site.address))
    }
}

/// One site that answers.
#[derive(Debug)]
struct Running {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Running {
    fn start(site: Site) -> io::Result<Running> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            site,
            clients: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let acceptor = {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name(format!("demo-{}", shared.site.name))
                .spawn(move || accept(&listener, &shared))?
        };
        Ok(Running {
            address,
            shared,
            acceptor: Some(acceptor),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let woken = TcpStream::connect_timeout(&self.address, WAKE_TIMEOUT).is_ok();
        // A listener that could not be woken ends with its next client; joining it would wait for that.
        if let Some(acceptor) = self.acceptor.take().filter(|_| woken) {
            let _ = acceptor.join();
        }
        for stream in self.shared.clients().open.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// What the threads of one site share.
#[derive(Debug)]
struct Shared {
    site: Site,
    clients: Mutex<Clients>,
    stopped: AtomicBool,
}

#[derive(Debug, Default)]
struct Clients {
    open: HashMap<u64, Arc<TcpStream>>,
    accepted: u64,
}

impl Shared {
    fn clients(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client's place among the `MAX_CLIENTS`, given back when dropped.
struct Place {
    shared: Arc<Shared>,
    number: u64,
    stream: Arc<TcpStream>,
}

impl Place {
    /// `None` when the site is full or stopped.
    fn take(shared: &Arc<Shared>, stream: TcpStream) -> Option<Place> {
        let mut clients = shared.clients();
        // Read under the lock: a client is either refused here or found by the sweep that follows the stop.
        if shared.stopped.load(Ordering::SeqCst) || clients.open.len() >= MAX_CLIENTS {
            return None;
        }
        clients.accepted += 1;
        let number = clients.accepted;
        let stream = Arc::new(stream);
        clients.open.insert(number, Arc::clone(&stream));
        Some(Place {
            shared: Arc::clone(shared),
            number,
            stream,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.clients().open.remove(&self.number);
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while !shared.stopped.load(Ordering::SeqCst) {
        let Ok((stream, _)) = listener.accept() else {
            thread::sleep(ACCEPT_PAUSE);
            continue;
        };
        if let Some(place) = Place::take(shared, stream) {
            // A thread that cannot be started drops the place, which closes the client.
            let _ = thread::Builder::new()
                .name(format!("demo-{}-client", shared.site.name))
                .stack_size(CLIENT_STACK)
                .spawn(move || {
                    let _ = serve(&place.shared.site, &place.stream);
                });
        }
    }
}

/// Answers one client's requests in order until it or the site has had enough.
fn serve(site: &Site, mut stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    let mut requests = Requests::new(stream);
    loop {
        match requests.next() {
            Incoming::Request(lines) => {
                let response = query::respond(site, invent::now(), &lines);
                stream.write_all(&response.bytes)?;
                if !response.keep {
                    return Ok(());
                }
            }
            Incoming::Broken(text) => return stream.write_all(text.as_bytes()),
            Incoming::Ended => return Ok(()),
        }
    }
}
