//! A byte stream that never blocks, to a client or to a site. What it is made
//! of is known only here: the handshake of TLS is a part of
//! [`Stream::establish`], and nobody else reads from or writes to a socket.
//!
//! Events are edge-triggered: one is told once. What may be possible is noted
//! in the stream and taken back only when the system says that it is not.

use crate::sys::{self, Peer};
use crate::tls::Session;
use mio::event::{Event, Source};
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use socket2::{SockRef, TcpKeepalive};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A line that has gone without a packet is noticed after 30 + 3 x 5 s.
pub const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(30))
    .with_interval(Duration::from_secs(5))
    .with_retries(3);

/// Sent bytes that nobody acknowledges end the connection after this.
const USER_TIMEOUT: Duration = Duration::from_secs(20);

/// Where a channel leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An address, names having been looked up.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// What came of an attempt to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// So many bytes.
    Bytes(usize),
    /// Nothing at present.
    Nothing,
    /// The other side will send no more.
    End,
}

/// What a connection goes over.
#[derive(Debug)]
pub enum Socket {
    /// TCP, to a site or from one who came to a port.
    Tcp(TcpStream),
    /// A socket in the file system.
    Unix(UnixStream),
}

impl Socket {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Socket::Tcp(socket) => socket,
            Socket::Unix(socket) => socket,
        }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.read(into),
            Socket::Unix(socket) => socket.read(into),
        }
    }

    fn read_onto(&mut self, into: &mut Vec<u8>, most: usize) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => sys::read_onto(socket, into, most),
            Socket::Unix(socket) => sys::read_onto(socket, into, most),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.write(bytes),
            Socket::Unix(socket) => socket.write(bytes),
        }
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.write_vectored(pieces),
            Socket::Unix(socket) => socket.write_vectored(pieces),
        }
    }
}

/// The socket, lent for one call, with what is known of it.
#[derive(Debug)]
pub struct Line<'a> {
    socket: &'a mut Socket,
    can_read: &'a mut bool,
    can_write: &'a mut bool,
    end_announced: bool,
}

impl Line<'_> {
    /// Reads what is there, up to the length of `into`.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<Arrival> {
        let most = into.len();
        self.read_by(most, |socket| socket.read(into))
    }

    fn read_by(
        &mut self,
        most: usize,
        mut read: impl FnMut(&mut Socket) -> io::Result<usize>,
    ) -> io::Result<Arrival> {
        while *self.can_read {
            match read(self.socket) {
                Ok(0) => return Ok(Arrival::End),
                Ok(count) => {
                    // Less than asked for: the socket is empty, and the system
                    // need not be asked to say so. Only an end that is known to
                    // stand behind the bytes would not be told again.
                    *self.can_read = count == most || self.end_announced;
                    return Ok(Arrival::Bytes(count));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => *self.can_read = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Arrival::Nothing)
    }

    /// Writes what the system takes.
    fn write_all_it_takes(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = 0;
        while *self.can_write
            && let Some(rest) = bytes.get(written..)
            && !rest.is_empty()
        {
            match self.socket.write(rest) {
                Ok(count) => {
                    written += count;
                    *self.can_write = count == rest.len();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => *self.can_write = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }
}

/// For rustls, whose records stand in several pieces.
impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        while *self.can_write {
            match self.socket.write_vectored(pieces) {
                Ok(count) => {
                    let offered: usize = pieces.iter().map(|piece| piece.len()).sum();
                    *self.can_write = count == offered;
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => *self.can_write = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Err(ErrorKind::WouldBlock.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A connection, made or being made.
#[derive(Debug)]
pub struct Stream {
    socket: Socket,
    /// TLS, if it is spoken over the socket.
    session: Option<Box<Session>>,
    /// The connection is known to be made.
    established: bool,
    can_read: bool,
    can_write: bool,
    /// The end has been announced: read until it is reached.
    end_announced: bool,
    hung_up: bool,
    /// Whether events for writing are asked for. They are not until a write
    /// has blocked: the reader of a UNIX socket causes one with each read.
    watches_writing: bool,
    is_registered: bool,
    token: Token,
}

impl Stream {
    fn new(socket: Socket, established: bool, token: Token) -> Self {
        Stream {
            socket,
            session: None,
            established,
            can_read: established,
            can_write: established,
            end_announced: false,
            hung_up: false,
            watches_writing: !established,
            is_registered: false,
            token,
        }
    }

    /// A connection that a client has made. Not registered yet, so that its
    /// first request can be read before.
    pub fn accepted(socket: Socket, token: Token) -> Self {
        Stream::new(socket, true, token)
    }

    /// Begins a connection to a site.
    pub fn connect(target: &Target, registry: &Registry, token: Token) -> io::Result<Self> {
        let mut stream = match target {
            Target::Tcp(address) => {
                let socket = TcpStream::connect(*address)?;
                let options = SockRef::from(&socket);
                options.set_tcp_nodelay(true)?;
                options.set_tcp_keepalive(&KEEPALIVE)?;
                options.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
                Stream::new(Socket::Tcp(socket), false, token)
            }
            // Made at once or not at all: a full backlog is an error here.
            Target::Unix(path) => Stream::new(Socket::Unix(connect_unix(path)?), true, token),
        };
        stream.register(registry)?;
        Ok(stream)
    }

    /// Asks for events.
    pub fn register(&mut self, registry: &Registry) -> io::Result<()> {
        let interest = self.interest();
        registry.register(self.socket.source(), self.token, interest)?;
        self.is_registered = true;
        Ok(())
    }

    fn interest(&self) -> Interest {
        match self.watches_writing {
            true => Interest::READABLE | Interest::WRITABLE,
            false => Interest::READABLE,
        }
    }

    /// Notes what an event says.
    pub fn mark(&mut self, event: &Event) {
        self.can_read |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.can_write |= event.is_writable();
        self.end_announced |= event.is_read_closed();
        self.hung_up |= event.is_write_closed();
    }

    /// Has TLS spoken over the connection from its first byte on; the handshake
    /// is a matter of [`Stream::establish`].
    pub fn secure(&mut self, session: Session) {
        self.session = Some(Box::new(session));
        // What a handshake has to say may not fit into the socket at once.
        self.watches_writing |= !self.is_registered;
    }

    /// Whether TLS is spoken over it.
    pub fn is_secured(&self) -> bool {
        self.session.is_some()
    }

    /// Goes on with making the connection, a TLS handshake included; `true` once it is made.
    pub fn establish(&mut self) -> io::Result<bool> {
        if !self.established && !self.is_connected()? {
            return Ok(false);
        }
        self.established = true;
        match self.parts() {
            (Some(session), mut line) => session.shake_hands(&mut line),
            (None, _) => Ok(true),
        }
    }

    fn is_connected(&self) -> io::Result<bool> {
        let Socket::Tcp(socket) = &self.socket else {
            return Ok(true);
        };
        // A refused connection is writable too: the error comes first.
        if let Some(error) = socket.take_error()? {
            return Err(error);
        }
        match socket.peer_addr() {
            // A port on this machine that nobody listens on can be handed out
            // to the very socket that connects to it.
            Ok(peer) if socket.local_addr().is_ok_and(|own| own == peer) => {
                Err(ErrorKind::ConnectionRefused.into())
            }
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Its session, if it has one, and the socket.
    fn parts(&mut self) -> (Option<&mut Session>, Line<'_>) {
        let line = Line {
            socket: &mut self.socket,
            can_read: &mut self.can_read,
            can_write: &mut self.can_write,
            end_announced: self.end_announced,
        };
        (self.session.as_deref_mut(), line)
    }

    /// Whether the system has taken all that was written.
    pub fn is_flushed(&self) -> bool {
        let session = self.session.as_ref();
        session.is_none_or(|session| session.is_flushed())
    }

    /// Whether it goes over TCP, where an end of our reading is not told to the
    /// other side, and bytes that nobody reads destroy what is still on its way there.
    pub fn is_remote(&self) -> bool {
        matches!(self.socket, Socket::Tcp(_))
    }

    /// Whether it goes over TCP as it is: the other side may have expected TLS.
    pub fn is_plain_tcp(&self) -> bool {
        matches!(self.socket, Socket::Tcp(_)) && self.session.is_none()
    }

    /// Whether the connection is made but for the handshake of TLS.
    pub fn is_shaking_hands(&self) -> bool {
        let session = self.session.as_ref();
        self.established && session.is_some_and(|session| session.is_shaking_hands())
    }

    /// Reads what is there, up to the length of `into`.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<Arrival> {
        match self.parts() {
            (Some(session), mut line) => session.read(into, &mut line),
            (None, mut line) => line.read(into),
        }
    }

    /// Reads what is there to the end of `into`, `most` bytes of it, where it can
    /// be had without a copy: not over TLS.
    pub fn read_onto(&mut self, into: &mut Vec<u8>, most: usize) -> Option<io::Result<Arrival>> {
        match self.parts() {
            (Some(_), _) => None,
            (None, mut line) => Some(line.read_by(most, |socket| socket.read_onto(into, most))),
        }
    }

    /// Writes what the system takes and returns how much that was. When it is
    /// less than all, an event will tell when to go on. Over TLS a record may be
    /// counted that the system has not taken: an event comes for that too, and
    /// any further call, with nothing to write as well, goes on with it.
    pub fn write(&mut self, bytes: &[u8], registry: &Registry) -> io::Result<usize> {
        let (written, all_out) = match self.parts() {
            (Some(session), mut line) => (session.write(bytes, &mut line)?, session.is_flushed()),
            (None, mut line) => (line.write_all_it_takes(bytes)?, true),
        };
        if (written < bytes.len() || !all_out) && !self.watches_writing {
            self.watches_writing = true;
            let interest = self.interest();
            if self.is_registered {
                registry.reregister(self.socket.source(), self.token, interest)?;
            }
        }
        Ok(written)
    }

    /// Acknowledges what has come at once. Icinga 2 writes a header and its
    /// body in two pieces and waits for the first to be acknowledged before it
    /// sends the second: 40 ms a query, if the system takes its time.
    pub fn hurry(&self) {
        if let Socket::Tcp(socket) = &self.socket {
            // Without it the answer comes too, only later.
            let _ = SockRef::from(socket).set_tcp_quickack(true);
        }
    }

    /// Its descriptor, for people.
    pub fn descriptor(&self) -> i32 {
        match &self.socket {
            Socket::Tcp(socket) => socket.as_raw_fd(),
            Socket::Unix(socket) => socket.as_raw_fd(),
        }
    }

    /// Process and user at the other end, where that is known.
    pub fn peer(&self) -> Option<Peer> {
        match &self.socket {
            Socket::Tcp(_) => None,
            Socket::Unix(socket) => sys::peer(socket),
        }
    }

    /// Whether there may be something to read.
    pub fn can_read(&self) -> bool {
        let session = self.session.as_ref();
        self.can_read || session.is_some_and(|session| session.has_more())
    }

    /// Whether the other side is known to write no more.
    pub fn is_half_closed(&self) -> bool {
        self.end_announced
    }

    /// Whether the other side reads no more, either: it is gone.
    pub fn hung_up(&self) -> bool {
        self.hung_up
    }

    /// Notes that writing or reading has failed: the other side is gone.
    pub fn note_gone(&mut self) {
        self.hung_up = true;
    }

    /// Ends the connection for the other side. What it has sent can still be read.
    pub fn hang_up(&mut self) {
        self.hung_up = true;
        // It fails only if the other side was faster.
        let _ = match &self.socket {
            Socket::Tcp(socket) => socket.shutdown(Shutdown::Both),
            Socket::Unix(socket) => socket.shutdown(Shutdown::Both),
        };
        self.can_read = true;
    }

    /// Tells the other side that no more will be read: its next write fails.
    /// What it has written before can still be read.
    pub fn shut_read(&mut self) {
        // It fails only if the other side is gone.
        let _ = match &self.socket {
            Socket::Tcp(socket) => socket.shutdown(Shutdown::Read),
            Socket::Unix(socket) => socket.shutdown(Shutdown::Read),
        };
        self.can_read = true;
        self.end_announced = true;
    }

    /// Tells the other side that no more will come.
    pub fn shut_write(&mut self) {
        if let (Some(session), mut line) = self.parts() {
            session.end(&mut line);
        }
        // It fails only if the other side is gone, and then it is not needed.
        let _ = match &self.socket {
            Socket::Tcp(socket) => socket.shutdown(Shutdown::Write),
            Socket::Unix(socket) => socket.shutdown(Shutdown::Write),
        };
    }

    /// Ends the connection. epoll forgets a socket when it is closed: that it
    /// has no second descriptor, in a child of ours say, saves telling it.
    pub fn close(mut self) {
        if let (Some(session), mut line) = self.parts() {
            session.end(&mut line);
        }
    }
}

/// Says what `WouldBlock` means here: no event will come for it.
fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(path).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => io::Error::other("its queue of connections is full"),
        _ => error,
    })
}
