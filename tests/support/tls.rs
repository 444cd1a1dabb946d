//! TLS as the fake site needs it, and a client of a port: one thread reads, another may write or
//! end the connection meanwhile.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, Connection, DigitallySignedStruct, Error, ServerConfig,
    ServerConnection, SignatureScheme,
};

/// At most this much is encrypted at one time.
const RECORD: usize = 16_384;

/// A TCP stream with TLS over it. Dropping it cuts the connection without a word.
#[derive(Debug)]
pub struct TlsStream {
    /// The stream below.
    pub socket: TcpStream,
    session: Mutex<Connection>,
}

/// What is there to be read.
pub enum Input {
    /// Bytes.
    Bytes,
    /// Nothing that was decrypted.
    Nothing,
    /// The announced end.
    End,
}

impl TlsStream {
    /// The handshake is done along with the first reads.
    pub fn new(socket: TcpStream, config: &Arc<ServerConfig>) -> TlsStream {
        let session = ServerConnection::new(Arc::clone(config)).unwrap();
        let session = Mutex::new(Connection::Server(session));
        TlsStream { socket, session }
    }

    /// A client that trusts everybody; the handshake is done when this returns.
    pub fn connect(socket: TcpStream) -> io::Result<TlsStream> {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody))
            .with_no_client_auth();
        let name = ServerName::try_from("site").unwrap();
        let mut session = ClientConnection::new(Arc::new(config), name).unwrap();
        while session.is_handshaking() {
            session.complete_io(&mut &socket)?;
        }
        let session = Mutex::new(Connection::Client(session));
        Ok(TlsStream { socket, session })
    }

    /// The first certificate that the other side has shown.
    pub fn certificate(&self) -> CertificateDer<'static> {
        let session = self.session.lock().unwrap();
        let shown = session.peer_certificates().unwrap();
        shown[0].clone().into_owned()
    }

    /// Waits for bytes from the socket, as long as its read time-out says, and takes them in.
    /// False at its end.
    pub fn take_in(&self) -> io::Result<bool> {
        // Nobody holds the lock while waiting.
        if self.socket.peek(&mut [0; 1])? == 0 {
            return Ok(false);
        }
        let mut session = self.session.lock().unwrap();
        session.read_tls(&mut &self.socket)?;
        let outcome = session.process_new_packets();
        while session.wants_write() {
            session.write_tls(&mut &self.socket)?;
        }
        outcome.map_err(io::Error::other)?;
        Ok(true)
    }

    /// What can be read without the socket.
    pub fn input(&self) -> Input {
        match self.session.lock().unwrap().process_new_packets() {
            Ok(state) if state.plaintext_bytes_to_read() > 0 => Input::Bytes,
            Ok(state) if !state.peer_has_closed() => Input::Nothing,
            _ => Input::End,
        }
    }

    /// Reads, and waits for bytes as long as the socket's read time-out says.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.lock().unwrap().reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                outcome => return outcome,
            }
            if !self.take_in()? {
                return Ok(0);
            }
        }
    }

    /// Writes all of a piece of at most one record.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let piece = &bytes[..bytes.len().min(RECORD)];
        let mut session = self.session.lock().unwrap();
        session.writer().write_all(piece)?;
        while session.wants_write() {
            session.write_tls(&mut &self.socket)?;
        }
        Ok(piece.len())
    }

    /// Announces the end, unless somebody is writing: then the connection is cut.
    pub fn announce_end(&self) {
        if let Ok(mut session) = self.session.try_lock() {
            session.send_close_notify();
            // The other side may be gone.
            let _ = session.write_tls(&mut &self.socket);
        }
    }
}

/// Trusts everybody: what was shown is compared afterwards.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = ring::default_provider();
        provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
