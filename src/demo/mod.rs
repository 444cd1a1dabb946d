//! The two demonstration sites behind `--demo`: small Livestatus responders on
//! loopback with invented hosts. Owns their listeners and threads; knows
//! nothing of the daemon, which meets them as two addresses like any others,
//! but for the command that starts both.
//!
//! They answer `GET` on the tables `status`, `hosts` and `services`, and accept
//! commands without obeying them. What they lack (`Stats`, `Sort`, ...) is
//! refused like a misspelt header, so that nobody takes half an answer for a
//! whole one.

mod command;
mod output;
mod query;
mod sites;

pub use command::run;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use sites::Site;

/// Clients of one site at a time; a further one is closed at once. Enough for
/// the 50 channels that a site may be given and a few people beside them.
const MAX_CLIENTS: usize = 64;

/// Largest request in bytes, and with it the longest line. Real cores take more
/// in all, but 64 KiB is where naemon ends a line, and names of a dozen hosts
/// fill no more. It also bounds a response, which grows with its columns.
const MAX_REQUEST: u64 = 64 * 1024;

/// Stack of a client's thread. Nothing here recurses and all buffers are on the
/// heap, so an eighth of the usual 2 MiB is plenty.
const CLIENT_STACK: usize = 256 * 1024;

/// Longest wait for a client that neither sends nor reads: the idle time of
/// naemon and Checkmk.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// Pause after a failed accept. Without descriptors it fails at once and again,
/// and would use up a processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// naemon's words for a request that ended inside a line or came too slowly.
const INCOMPLETE: &str = "Client connection terminated while request still incomplete\n";

/// The running demonstration sites. Dropping them ends the listeners; a client
/// that is still there gets no further response, and its thread ends when it
/// asks, leaves, or has been silent for too long.
#[derive(Debug)]
pub struct DemoSites([Responder; 2]);

impl DemoSites {
    /// Binds both sites to free ports of 127.0.0.1 and starts answering.
    ///
    /// # Errors
    /// When a port cannot be bound or a thread cannot be started.
    pub fn start() -> io::Result<DemoSites> {
        let berlin = Responder::start(Site::berlin())?;
        let lisbon = Responder::start(Site::lisbon())?;
        Ok(DemoSites([berlin, lisbon]))
    }

    /// Name and address of each site, `berlin` first.
    pub fn addresses(&self) -> [(&'static str, SocketAddr); 2] {
        let DemoSites(sites) = self;
        sites
            .each_ref()
            .map(|site| (site.shared.site.name, site.address))
    }
}

/// One site that answers.
#[derive(Debug)]
struct Responder {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What the threads of one site share.
#[derive(Debug)]
struct Shared {
    site: Site,
    stopped: AtomicBool,
}

impl Responder {
    fn start(site: Site) -> io::Result<Responder> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let stopped = AtomicBool::new(false);
        let shared = Arc::new(Shared { site, stopped });
        let acceptor = Arc::clone(&shared);
        thread::Builder::new()
            .name(format!("demo-{}", shared.site.name))
            .spawn(move || accept(&listener, &acceptor))?;
        Ok(Responder { address, shared })
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // The listener looks for the flag behind each accept.
        let _ = TcpStream::connect(self.address);
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    loop {
        let accepted = listener.accept();
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        // Every client's thread holds on to `shared`, as do its owner and this thread.
        let full = Arc::strong_count(shared) >= MAX_CLIENTS + 2;
        match accepted {
            Ok((stream, _)) if !full => start_client(stream, Arc::clone(shared)),
            Ok(_) => {}
            Err(_) => thread::sleep(ACCEPT_PAUSE),
        }
    }
}

/// A client whose thread cannot be started is closed.
fn start_client(stream: TcpStream, shared: Arc<Shared>) {
    let _ = thread::Builder::new()
        .name(format!("demo-{}-client", shared.site.name))
        .stack_size(CLIENT_STACK)
        .spawn(move || serve(&stream, &shared));
}

/// Answers a client's requests in order until it or the site has had enough.
fn serve(mut stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(IDLE_TIMEOUT))?;
    stream.set_write_timeout(Some(IDLE_TIMEOUT))?;
    let mut reader = BufReader::new(stream);
    loop {
        let request = match read_request(&mut reader) {
            Ok(request) => request,
            Err(text) => return stream.write_all(text.as_bytes()),
        };
        if request.is_empty() || shared.stopped.load(Ordering::SeqCst) {
            return Ok(());
        }
        let (response, keep) = query::respond(&shared.site, sites::now(), &request);
        stream.write_all(response.as_bytes())?;
        if !keep {
            return Ok(());
        }
    }
}

/// The lines of the next request, up to a blank line or to the end of file at
/// the start of a line; none when the client has nothing more to ask. Bytes
/// that are not UTF-8 are replaced and so match nothing.
///
/// # Errors
/// The last words to the client. They go out without a frame, as from naemon.
fn read_request(reader: &mut impl BufRead) -> Result<String, &'static str> {
    let mut reader = reader.by_ref().take(MAX_REQUEST);
    let mut request = String::new();
    loop {
        let mut line = Vec::new();
        let read = reader.read_until(b'\n', &mut line);
        read.map_err(|_| INCOMPLETE)?;
        if !line.ends_with(b"\n") {
            return match reader.limit() {
                0 => Err("Client request too large\n"),
                _ if line.is_empty() => Ok(request),
                _ => Err(INCOMPLETE),
            };
        }
        let line = String::from_utf8_lossy(&line);
        if line.trim_end().is_empty() {
            return Ok(request);
        }
        request.push_str(line.trim_end());
        request.push('\n');
    }
}

#[cfg(test)]
mod tests;
