//! The fake site's listener, which can be closed, opened again at the same address, and stuffed
//! so that nothing is accepted any more. It hands streams over and knows nothing of requests.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};
use tempfile::TempDir;

use crate::support::stream::Stream;

/// Room for every burst of connects of the tests.
const BACKLOG: i32 = 256;

/// How long a connect to a full backlog may stay unanswered before the backlog counts as full.
const FULL_AFTER: Duration = Duration::from_millis(100);

/// More connects than a backlog of zero takes.
const STUFFING: usize = 8;

/// An address that stays ours whether something listens on it or not.
#[derive(Debug)]
pub enum Address {
    /// A TCP port of loopback.
    Tcp {
        /// Where the site is found.
        address: SocketAddr,
        /// Bound and never listening: it keeps the port while the site refuses.
        holder: Socket,
    },
    /// A UNIX socket.
    Unix {
        /// Where the site is found.
        path: PathBuf,
        /// Removes the folder made for it in the end.
        folder: Option<TempDir>,
    },
}

impl Address {
    /// A free port on `127.0.0.1`.
    pub fn v4() -> Address {
        Address::tcp(Ipv4Addr::LOCALHOST.into())
    }

    /// A free port on `::1`.
    pub fn v6() -> Address {
        Address::tcp(Ipv6Addr::LOCALHOST.into())
    }

    /// A free port on any address of this machine.
    pub fn on(address: IpAddr) -> Address {
        Address::tcp(address)
    }

    /// A UNIX socket in a folder of its own.
    pub fn unix() -> Address {
        let folder = tempfile::Builder::new().prefix("lpsite").tempdir().unwrap();
        let path = folder.path().join("live");
        let folder = Some(folder);
        Address::Unix { path, folder }
    }

    /// A UNIX socket at a given path.
    pub fn unix_at(path: &Path) -> Address {
        let path = path.to_owned();
        Address::Unix { path, folder: None }
    }

    fn tcp(address: IpAddr) -> Address {
        let holder = bound(SocketAddr::from((address, 0)));
        let address = holder.local_addr().unwrap().as_socket().unwrap();
        Address::Tcp { address, holder }
    }

    fn listen(&self) -> Listener {
        match self {
            Address::Tcp { address, .. } => Listener::Tcp(listening(*address, BACKLOG)),
            Address::Unix { path, .. } => Listener::Unix(listening_unix(path)),
        }
    }
}

/// A TCP socket bound to an address. Several of these may share a port as long as only one listens.
fn bound(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket
}

fn listening(address: SocketAddr, backlog: i32) -> TcpListener {
    let socket = bound(address);
    socket.listen(backlog).unwrap();
    socket.into()
}

fn listening_unix(path: &Path) -> UnixListener {
    // What an earlier listener left; at the first time there is nothing.
    let _ = std::fs::remove_file(path);
    UnixListener::bind(path).unwrap()
}

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    fn accept(&self) -> io::Result<Stream> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            Listener::Unix(listener) => Ok(Stream::Unix(listener.accept()?.0)),
        }
    }

    /// Wakes the thread that accepts, by an error.
    fn shutdown(&self) {
        let socket = match self {
            Listener::Tcp(listener) => SockRef::from(listener),
            Listener::Unix(listener) => SockRef::from(listener),
        };
        socket.shutdown(Shutdown::Both).unwrap();
    }
}

/// What happens to a connect now.
#[derive(Debug)]
enum Mode {
    /// It is refused.
    Closed,
    /// It is accepted by this thread.
    Open(Arc<Listener>, JoinHandle<()>),
    /// It is neither accepted nor refused: the listener's backlog is full.
    Stuffed(TcpListener, Vec<Socket>),
}

/// The listener in its present mode.
#[derive(Debug)]
pub struct Door {
    address: Address,
    mode: Mode,
}

impl Door {
    /// A door that refuses.
    pub fn closed(address: Address) -> Door {
        let mode = Mode::Closed;
        Door { address, mode }
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Accepts from now on and hands every stream to `receive`.
    pub fn open(&mut self, receive: impl Fn(Stream) + Send + 'static) {
        self.close();
        let listener = Arc::new(self.address.listen());
        let accepting = Arc::clone(&listener);
        let thread = std::thread::spawn(move || {
            while let Ok(stream) = accepting.accept() {
                receive(stream);
            }
        });
        self.mode = Mode::Open(listener, thread);
    }

    /// Refuses from now on.
    pub fn close(&mut self) {
        match std::mem::replace(&mut self.mode, Mode::Closed) {
            Mode::Closed => {}
            Mode::Open(listener, thread) => {
                listener.shutdown();
                thread.join().unwrap();
            }
            // A program that is just being started has a copy of it for a moment, and the port
            // could not be had again as long as that listens.
            Mode::Stuffed(listener, _) => {
                SockRef::from(&listener).shutdown(Shutdown::Both).unwrap()
            }
        }
    }

    /// Neither accepts nor refuses from now on. Only TCP knows this state: a connect to a UNIX
    /// socket with a full backlog fails at once.
    pub fn stuff(&mut self) {
        self.close();
        let Address::Tcp { address, .. } = self.address else {
            panic!("only a TCP listener can leave a connect unanswered");
        };
        let listener = listening(address, 0);
        let mut stuffing = Vec::new();
        for _ in 0..STUFFING {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
            if socket.connect_timeout(&address.into(), FULL_AFTER).is_err() {
                self.mode = Mode::Stuffed(listener, stuffing);
                return;
            }
            stuffing.push(socket);
        }
        panic!("the backlog takes {STUFFING} connects and is not full");
    }

    /// How many connects to a stuffed door are under way and unanswered now.
    pub fn unanswered(&self) -> usize {
        let Address::Tcp { address, .. } = self.address else {
            return 0;
        };
        let table = match address {
            SocketAddr::V4(_) => "/proc/net/tcp",
            SocketAddr::V6(_) => "/proc/net/tcp6",
        };
        /// The kernel's number for a connect that has sent its SYN and has no answer.
        const SYN_SENT: &str = "02";
        let port = format!(":{:04X}", address.port());
        let lines = std::fs::read_to_string(table).unwrap();
        let is_ours = |line: &&str| {
            let mut words = line.split_whitespace().skip(2);
            let remote = words.next().is_some_and(|remote| remote.ends_with(&port));
            remote && words.next() == Some(SYN_SENT)
        };
        lines.lines().filter(is_ours).count()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.close();
    }
}
