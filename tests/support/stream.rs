//! A TCP or a UNIX connection as one type, so that clients and the fake site are written once.

use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use socket2::SockRef;

use super::tls::{Input, TlsStream};

/// A connected stream of either kind. Reading and writing need only a shared reference.
#[derive(Debug)]
pub enum Stream {
    /// Over IPv4 or IPv6.
    Tcp(TcpStream),
    /// Over a UNIX socket.
    Unix(UnixStream),
    /// Over TLS.
    Tls(Box<TlsStream>),
}

/// What a look at a stream found, without taking anything from it.
#[derive(Debug, PartialEq, Eq)]
pub enum Glance {
    /// Open, and nothing to read within the read time-out.
    Silent,
    /// At least one byte can be read.
    Bytes,
    /// The other side has closed or reset it.
    Ended,
}

impl Stream {
    fn socket(&self) -> SockRef<'_> {
        match self {
            Stream::Tcp(stream) => SockRef::from(stream),
            Stream::Unix(stream) => SockRef::from(stream),
            Stream::Tls(stream) => SockRef::from(&stream.socket),
        }
    }

    /// Shuts down one or both directions; a stream that is gone already is no error.
    pub fn shutdown(&self, how: Shutdown) {
        if let Stream::Tls(stream) = self
            && how != Shutdown::Read
        {
            stream.announce_end();
        }
        // The other side may have been faster, and then there is nothing left to shut down.
        let _ = self.socket().shutdown(how);
    }

    /// Limits every following read; `None` waits for ever.
    pub fn set_read_timeout(&self, limit: Option<Duration>) {
        self.socket().set_read_timeout(limit).unwrap();
    }

    /// Limits every following write; `None` waits for ever.
    pub fn set_write_timeout(&self, limit: Option<Duration>) {
        self.socket().set_write_timeout(limit).unwrap();
    }

    /// Makes the coming close of a TCP stream a reset. A UNIX stream knows no reset: it is just closed.
    pub fn reset_on_close(&self) {
        if let Stream::Tcp(_) | Stream::Tls(_) = self {
            self.socket().set_linger(Some(Duration::ZERO)).unwrap();
        }
    }

    /// Looks whether something can be read, for at most `patience`; changes the read time-out.
    pub fn glance(&self, patience: Duration) -> Glance {
        self.set_read_timeout(Some(patience));
        if let Stream::Tls(stream) = self {
            return glance_through(stream);
        }
        let mut byte = [MaybeUninit::uninit(); 1];
        match self.socket().peek(&mut byte) {
            Ok(0) => Glance::Ended,
            Ok(_) => Glance::Bytes,
            Err(error) if timed_out(&error) => Glance::Silent,
            Err(_) => Glance::Ended,
        }
    }
}

/// What comes may be of TLS itself, so it has to be taken in to tell.
fn glance_through(stream: &TlsStream) -> Glance {
    loop {
        match stream.input() {
            Input::Bytes => return Glance::Bytes,
            Input::End => return Glance::Ended,
            Input::Nothing => {}
        }
        match stream.take_in() {
            Ok(true) => {}
            Err(error) if timed_out(&error) => return Glance::Silent,
            Ok(false) | Err(_) => return Glance::Ended,
        }
    }
}

/// Whether a read ended because of its time-out, not because of the other side.
pub fn timed_out(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

impl Read for &Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match self {
                Stream::Tcp(stream) => (&mut &*stream).read(buffer),
                Stream::Unix(stream) => (&mut &*stream).read(buffer),
                Stream::Tls(stream) => stream.read(buffer),
            };
            match read {
                // With a time-out set, a stop and go of the machine interrupts it.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

impl Write for &Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&mut &*stream).write(bytes),
            Stream::Unix(stream) => (&mut &*stream).write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
