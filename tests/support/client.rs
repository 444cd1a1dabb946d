//! A client as the tests need it: it sends exactly the given bytes and checks strictly what comes
//! back. It knows the form of a response, never its meaning.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::patience::stretched;
use super::stream::{Glance, Stream, timed_out};
use super::tls::TlsStream;

/// How long a client waits for the next byte, or for room for one. Longer than every time-out the tests configure, so
/// that only a response that never comes ends it.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// Bytes of a fixed16 header.
const HEADER: usize = 16;

/// A connection to a site's socket, or to the fake site itself.
#[derive(Debug)]
pub struct Client {
    stream: Stream,
}

/// A whole response with its fixed16 header.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// The 16 bytes as they came.
    pub header: [u8; HEADER],
    /// The status code in them.
    pub code: u16,
    /// Exactly as many bytes as the header announced.
    pub body: Vec<u8>,
}

impl Response {
    /// The body for messages and for looking up words in it.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Asserts a successful response with exactly this body.
    #[track_caller]
    pub fn expect(&self, body: impl AsRef<[u8]>) {
        assert_eq!(self.code, 200, "{self:?}");
        assert_same(&self.body, body.as_ref());
    }

    /// Asserts an error of this code whose text contains `words`.
    #[track_caller]
    pub fn expect_error(&self, code: u16, words: &str) {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.text().contains(words), "no {words:?} in {self:?}");
        assert!(self.body.ends_with(b"\n"), "no end of line: {self:?}");
    }
}

impl std::fmt::Debug for Response {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Response {} of {} bytes", self.code, self.body.len())?;
        write!(out, ": {}", excerpt(&self.body))
    }
}

/// Asserts that two byte strings are the same, and says in short where they differ: a plain
/// comparison would print megabytes.
#[track_caller]
pub fn assert_same(found: &[u8], wanted: &[u8]) {
    if found == wanted {
        return;
    }
    let at = found
        .iter()
        .zip(wanted)
        .position(|(one, other)| one != other)
        .unwrap_or(found.len().min(wanted.len()));
    panic!(
        "differs at byte {at}: found {} bytes, there {}; wanted {} bytes, there {}",
        found.len(),
        excerpt(&found[at..]),
        wanted.len(),
        excerpt(&wanted[at..]),
    );
}

/// The first bytes in a form that can be read in a message.
fn excerpt(bytes: &[u8]) -> String {
    /// Enough for every text the proxy writes itself.
    const SHOWN: usize = 300;
    let shown = &bytes[..bytes.len().min(SHOWN)];
    let more = if shown.len() < bytes.len() { "..." } else { "" };
    format!("\"{}\"{more}", shown.escape_ascii())
}

/// The lines of a query with what makes the response framed and keeps the connection.
pub fn kept_and_framed(lines: impl AsRef<[u8]>) -> Vec<u8> {
    let mut request = lines.as_ref().to_vec();
    if !request.ends_with(b"\n") {
        request.push(b'\n');
    }
    request.extend_from_slice(b"KeepAlive: on\nResponseHeader: fixed16\n\n");
    request
}

impl Client {
    fn over(stream: Stream) -> Client {
        stream.set_read_timeout(Some(stretched(READ_TIMEOUT)));
        stream.set_write_timeout(Some(stretched(READ_TIMEOUT)));
        Client { stream }
    }

    /// Connects to a UNIX socket.
    #[track_caller]
    pub fn connect(path: impl AsRef<Path>) -> Client {
        let path = path.as_ref();
        match UnixStream::connect(path) {
            Ok(stream) => Client::over(Stream::Unix(stream)),
            Err(error) => panic!("connect to {}: {error}", path.display()),
        }
    }

    /// Connects to a TCP port.
    #[track_caller]
    pub fn connect_tcp(address: SocketAddr) -> Client {
        match TcpStream::connect(address) {
            Ok(stream) => {
                stream.set_nodelay(true).unwrap();
                Client::over(Stream::Tcp(stream))
            }
            Err(error) => panic!("connect to {address}: {error}"),
        }
    }

    /// Connects to a TCP port with TLS; nothing if there is no handshake.
    pub fn connect_tls(address: SocketAddr) -> io::Result<Client> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(stretched(READ_TIMEOUT)))?;
        let stream = TlsStream::connect(socket)?;
        Ok(Client::over(Stream::Tls(Box::new(stream))))
    }

    /// The certificate that was shown to it, DER.
    pub fn certificate(&self) -> Vec<u8> {
        match &self.stream {
            Stream::Tls(stream) => stream.certificate().to_vec(),
            other => panic!("no TLS: {other:?}"),
        }
    }

    /// Sends the bytes as they are.
    #[track_caller]
    pub fn send(&self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes)
            .unwrap_or_else(|error| panic!("send: {error}"));
    }

    /// Sends the bytes; an error when the other side has closed.
    pub fn try_send(&self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        (&self.stream).write_all(bytes.as_ref())
    }

    /// Sends the bytes in two writes, the second when the first has surely been read if the reader
    /// is not held up.
    #[track_caller]
    pub fn send_split(&self, bytes: impl AsRef<[u8]>, at: usize) {
        /// Long enough for a reader that has nothing else to do.
        const PAUSE: Duration = Duration::from_millis(3);
        let (first, second) = bytes.as_ref().split_at(at);
        self.send(first);
        std::thread::sleep(PAUSE);
        self.send(second);
    }

    /// Says that nothing more will be sent, and goes on reading.
    pub fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write);
    }

    /// Says that nothing more will be read, and leaves the connection open.
    pub fn stop_reading(&self) {
        self.stream.shutdown(Shutdown::Read);
    }

    /// Closes the connection so that unread bytes do not matter.
    pub fn close(self) {}

    /// Changes how long a read may take.
    pub fn set_read_timeout(&self, limit: Duration) {
        self.stream.set_read_timeout(Some(stretched(limit)));
    }

    /// One single read of at most `most` bytes.
    #[track_caller]
    pub fn read_once(&self, most: usize) -> Vec<u8> {
        let mut buffer = vec![0; most];
        match (&self.stream).read(&mut buffer) {
            Ok(count) => buffer.truncate(count),
            Err(error) => panic!("read: {error}"),
        }
        buffer
    }

    /// Reads exactly this many bytes.
    #[track_caller]
    pub fn read_exactly(&self, wanted: usize) -> Vec<u8> {
        let mut bytes = vec![0; wanted];
        let mut filled = 0;
        while filled < wanted {
            match (&self.stream).read(&mut bytes[filled..]) {
                Ok(0) => panic!(
                    "end after {filled} of {wanted} bytes: {}",
                    excerpt(&bytes[..filled])
                ),
                Ok(count) => filled += count,
                Err(error) => panic!(
                    "{error} after {filled} of {wanted} bytes: {}",
                    excerpt(&bytes[..filled])
                ),
            }
        }
        bytes
    }

    /// Reads one framed response and checks its 16 bytes strictly: three digits, a blank, the
    /// length right-aligned in eleven places, a line feed.
    #[track_caller]
    pub fn read_response(&self) -> Response {
        let bytes = self.read_exactly(HEADER);
        let header: [u8; HEADER] = bytes.as_slice().try_into().unwrap();
        let Some((code, length)) = split_header(&header) else {
            panic!("not a fixed16 header: {}", excerpt(&header));
        };
        let body = self.read_exactly(length);
        Response { header, code, body }
    }

    /// Reads until the other side closes. A reset is an end too: it comes when the other side
    /// closes without having read everything.
    #[track_caller]
    pub fn read_to_end(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match (&self.stream).read_to_end(&mut bytes) {
            Err(error) if timed_out(&error) => {
                panic!("no end after {} bytes: {}", bytes.len(), excerpt(&bytes))
            }
            _ => bytes,
        }
    }

    /// Asserts that the other side has not closed and has nothing to say.
    #[track_caller]
    pub fn expect_open(&self) {
        let found = self.stream.glance(Duration::from_millis(1));
        self.stream.set_read_timeout(Some(stretched(READ_TIMEOUT)));
        assert_eq!(found, Glance::Silent, "expected an open, silent connection");
    }

    /// Asserts that the other side keeps open and silent for this time.
    #[track_caller]
    pub fn expect_silence(&self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            assert_eq!(
                self.stream.glance(Duration::from_millis(10)),
                Glance::Silent,
                "expected silence"
            );
        }
        self.stream.set_read_timeout(Some(stretched(READ_TIMEOUT)));
    }

    /// Waits for the next byte or the end: true when the other side closed or reset without
    /// another byte.
    #[track_caller]
    pub fn at_end(&self) -> bool {
        let mut byte = [0; 1];
        match (&self.stream).read(&mut byte) {
            Ok(count) => count == 0,
            Err(error) if timed_out(&error) => panic!("neither a byte nor the end came"),
            Err(_) => true,
        }
    }

    /// Asks a query with `KeepAlive: on` and `ResponseHeader: fixed16` and reads the response.
    #[track_caller]
    pub fn ask(&self, lines: impl AsRef<[u8]>) -> Response {
        self.send(kept_and_framed(lines));
        self.read_response()
    }
}

/// Code and length of a header of the strict form, or nothing.
fn split_header(header: &[u8; HEADER]) -> Option<(u16, usize)> {
    let text = std::str::from_utf8(header).ok()?;
    let (code, rest) = text.split_at_checked(3)?;
    let length = rest.strip_prefix(' ')?.strip_suffix('\n')?;
    let digits = length.trim_start_matches(' ');
    let all_digits =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(code) || !all_digits(digits) {
        return None;
    }
    Some((code.parse().ok()?, digits.parse().ok()?))
}
