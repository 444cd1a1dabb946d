//! One TLS session: between the bytes of a socket, which is lent for each
//! call, and those of Livestatus.

use super::problem::{Problem, may_begin_record};
use crate::proto::response::shown;
use crate::stream::{Arrival, Line};
use rustls::client::ClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::ServerConnection;
use rustls::{ClientConfig, Connection, ServerConfig};
use std::cell::RefCell;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

/// Read from a socket at one time; rustls itself would ask for 4 KiB.
const WIRE: usize = 64 * 1024;

/// Encrypted at one time, and no more than this waits for the socket: the
/// most that a record holds.
const RECORD: usize = 16 * 1024;

/// Reads in a row that may bring nothing of use. Each but the last fills all of
/// the area, so this is a megabyte; a site that sends more than that is at mischief.
const USELESS_READS: usize = 16;

/// The area that all sessions of a loop read encrypted bytes into.
#[derive(Clone)]
pub struct Wire(Rc<RefCell<Box<[u8]>>>);

impl Default for Wire {
    fn default() -> Self {
        Wire(Rc::new(RefCell::new(vec![0; WIRE].into_boxed_slice())))
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

/// A session.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
    wire: Wire,
    /// Encrypted bytes that were read and for which there was no room yet.
    left: Vec<u8>,
    /// What is to be told once all that came before it is read.
    failure: Option<io::Error>,
    /// Bytes came, so that the site is known to answer.
    answered: bool,
    /// Nothing more can be had without the socket.
    drained: bool,
}

impl Session {
    /// The side that connects. The address stands where a name would, which is
    /// neither sent nor checked.
    pub(super) fn client(
        config: Arc<ClientConfig>,
        address: IpAddr,
        wire: Wire,
    ) -> Result<Session, String> {
        let name = ServerName::IpAddress(address.into());
        let connection = ClientConnection::new(config, name).map_err(|error| error.to_string())?;
        Ok(Session::new(Connection::Client(connection), wire))
    }

    /// The side that is connected to.
    pub(super) fn server(config: Arc<ServerConfig>, wire: Wire) -> Result<Session, String> {
        let connection = ServerConnection::new(config).map_err(|error| error.to_string())?;
        Ok(Session::new(Connection::Server(connection), wire))
    }

    fn new(connection: Connection, wire: Wire) -> Session {
        Session {
            connection,
            wire,
            left: Vec::new(),
            failure: None,
            answered: false,
            drained: true,
        }
    }

    /// Goes on with the handshake; `true` once it is done. The error is a
    /// [`Problem`] or one of the system's.
    pub fn shake_hands(&mut self, line: &mut Line<'_>) -> io::Result<bool> {
        for _ in 0..USELESS_READS {
            self.flush(line)?;
            if !self.connection.is_handshaking() {
                self.drained = false;
                return Ok(self.is_flushed());
            }
            let wire = Rc::clone(&self.wire.0);
            let mut wire = wire.borrow_mut();
            match line.read(&mut wire)? {
                Arrival::Nothing => return Ok(false),
                Arrival::End => return Err(Problem::Ended.into()),
                Arrival::Bytes(count) => {
                    let fresh = wire.get(..count).unwrap_or_default();
                    let is_tls = fresh.first().copied().is_some_and(may_begin_record);
                    if !std::mem::replace(&mut self.answered, true) && !is_tls {
                        return Err(Problem::NotTls(shown(fresh)).into());
                    }
                    self.shake_with(fresh, line)?;
                }
            }
        }
        Err(flood())
    }

    /// Takes in a piece of the handshake, and keeps what is of no use before its end.
    fn shake_with(&mut self, mut fresh: &[u8], line: &mut Line<'_>) -> io::Result<()> {
        while !fresh.is_empty() && self.connection.is_handshaking() {
            self.decrypt(&mut fresh, line)?;
        }
        self.left.extend_from_slice(fresh);
        Ok(())
    }

    /// Reads what is there, up to the length of `into`. An end that was not
    /// announced is an end like others: the length of a response shows whether
    /// it was cut.
    pub fn read(&mut self, into: &mut [u8], line: &mut Line<'_>) -> io::Result<Arrival> {
        self.drained = false;
        let mut filled = 0;
        for _ in 0..USELESS_READS {
            // Received a while ago, and there was no room.
            let mut left = std::mem::take(&mut self.left);
            let mut rest = left.as_slice();
            let end = self.decrypt_all(&mut rest, into, &mut filled, line);
            if !rest.is_empty() {
                left.drain(..left.len() - rest.len());
                self.left = left;
            }
            if filled > 0 {
                return Ok(Arrival::Bytes(filled));
            }
            if end {
                return Ok(Arrival::End);
            }
            if let Some(error) = self.failure.take() {
                return Err(error);
            }
            let wire = Rc::clone(&self.wire.0);
            let mut wire = wire.borrow_mut();
            match line.read(&mut wire)? {
                Arrival::Nothing => {
                    self.drained = true;
                    return Ok(Arrival::Nothing);
                }
                Arrival::End => return Ok(Arrival::End),
                Arrival::Bytes(count) => {
                    let mut rest = wire.get(..count).unwrap_or_default();
                    self.decrypt_all(&mut rest, into, &mut filled, line);
                    self.left.extend_from_slice(rest);
                    if filled > 0 {
                        return Ok(Arrival::Bytes(filled));
                    }
                }
            }
        }
        Err(flood())
    }

    /// Decrypts `rest` into what of `into` is not filled, as far as that has
    /// room. Returns whether the other side has announced its end.
    fn decrypt_all(
        &mut self,
        rest: &mut &[u8],
        into: &mut [u8],
        filled: &mut usize,
        line: &mut Line<'_>,
    ) -> bool {
        loop {
            let Some(room) = into.get_mut(*filled..).filter(|room| !room.is_empty()) else {
                return false;
            };
            match self.connection.reader().read(room) {
                Ok(0) => return true,
                Ok(count) => {
                    *filled += count;
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => self.failure = Some(error),
            }
            if rest.is_empty() || self.failure.is_some() {
                return false;
            }
            if let Err(error) = self.decrypt(rest, line) {
                self.failure = Some(error);
            }
        }
    }

    /// Hands rustls as much of `bytes` as it takes at one time, a few
    /// kilobytes, and answers what is to be answered.
    fn decrypt(&mut self, bytes: &mut &[u8], line: &mut Line<'_>) -> io::Result<()> {
        if self.connection.read_tls(bytes)? == 0 {
            // After the announced end: nothing that follows is of interest.
            *bytes = &[];
        }
        let outcome = self.connection.process_new_packets();
        // Also after an error: the other side is told of it.
        let flushed = self.flush(line);
        outcome.map_err(Problem::from)?;
        flushed
    }

    /// Takes as much of `bytes` as the socket takes, encrypted, and up to one
    /// record more. What the socket has not taken goes first the next time,
    /// with nothing new to write as well.
    pub fn write(&mut self, bytes: &[u8], line: &mut Line<'_>) -> io::Result<usize> {
        let mut taken = 0;
        self.flush(line)?;
        for record in bytes.chunks(RECORD) {
            if !self.is_flushed() {
                break;
            }
            taken += self.connection.writer().write(record)?;
            self.flush(line)?;
        }
        Ok(taken)
    }

    /// Gives the socket what is encrypted, as far as it takes it.
    fn flush(&mut self, line: &mut Line<'_>) -> io::Result<()> {
        while self.connection.wants_write() {
            match self.connection.write_tls(line) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Tells the other side that no more will come, as far as the socket takes
    /// that at once.
    pub fn end(&mut self, line: &mut Line<'_>) {
        if self.connection.is_handshaking() {
            return;
        }
        self.connection.send_close_notify();
        // It fails only if the other side is gone, and then it is not needed.
        let _ = self.flush(line);
    }

    /// Whether the socket has taken all that was written.
    pub fn is_flushed(&self) -> bool {
        !self.connection.wants_write()
    }

    /// Whether the handshake is still to be done.
    pub fn is_shaking_hands(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether something may be read without the socket having anything.
    pub fn has_more(&self) -> bool {
        !self.drained
    }
}

fn flood() -> io::Error {
    Problem::Failed("much comes that is not data".into()).into()
}
