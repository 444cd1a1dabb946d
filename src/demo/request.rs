//! Bytes of a client into requests: where a line ends, where a request ends, and how long and how large both may be.
//! Must not know what the lines mean.

use std::io::{BufRead, BufReader, ErrorKind};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Longest line without its line feed: naemon's limit, and far above what a GUI writes.
const MAX_LINE: usize = 64 * 1024;

/// Largest request, all lines together. The largest that GUIs are known to send are some hundred kilobytes of filters.
const MAX_REQUEST: usize = 1024 * 1024;

/// Longest silence before the first full line of a request: the idle time-out of naemon and Checkmk.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// Time from the first full line of a request to its end: the same limit as in naemon and Checkmk.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// naemon's words for a request that came too slowly or ended inside a line, for every case but an orderly close.
const INCOMPLETE: &str = "Client connection terminated while request still incomplete\n";

/// What a client did next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// A complete request of at least one line. Lines have no trailing whitespace and none is empty; bytes that are not UTF-8 are
    /// replaced, so that a filter in another encoding matches nothing instead of failing.
    Request(Vec<String>),
    /// A request that cannot be completed. The text goes out without a frame, as real cores send it, before the close.
    Broken(&'static str),
    /// Nothing more comes and nothing is owed.
    Ended,
}

/// Reads one client's requests in order.
#[derive(Debug)]
pub(super) struct Requests<'a> {
    reader: BufReader<&'a TcpStream>,
}

/// Why there is no further line.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    EndOfFile,
    InsideLine,
    Late,
    TooLong,
    Lost,
}

impl<'a> Requests<'a> {
    pub(super) fn new(stream: &'a TcpStream) -> Requests<'a> {
        Requests {
            reader: BufReader::new(stream),
        }
    }

    /// Waits for the next complete request: up to an empty line, or to the end of file at the start of a line.
    pub(super) fn next(&mut self) -> Incoming {
        let mut lines = Vec::new();
        let mut size = 0;
        let mut deadline = Instant::now() + IDLE_TIMEOUT;
        loop {
            let raw = match self.line(deadline) {
                Ok(raw) => raw,
                Err(stop) => return ended_by(stop, lines),
            };
            size += raw.len() + 1;
            if size > MAX_REQUEST {
                return Incoming::Broken("Client request too large\n");
            }
            let text = String::from_utf8_lossy(&raw);
            let line = text.trim_end();
            if !line.is_empty() {
                if lines.is_empty() {
                    deadline = Instant::now() + REQUEST_TIMEOUT;
                }
                lines.push(line.to_owned());
            } else if raw.is_empty() || raw == b"\r" {
                return if lines.is_empty() {
                    Incoming::Ended
                } else {
                    Incoming::Request(lines)
                };
            }
            // Any other line of whitespace is no end of a request in naemon and Checkmk, and is dropped.
        }
    }

    fn line(&mut self, deadline: Instant) -> Result<Vec<u8>, Stop> {
        let mut line = Vec::new();
        loop {
            if self.reader.buffer().is_empty() {
                self.limit_wait(deadline)?;
            }
            let bytes = match self.reader.fill_buf() {
                Ok([]) if line.is_empty() => return Err(Stop::EndOfFile),
                Ok([]) => return Err(Stop::InsideLine),
                Ok(bytes) => bytes,
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                        continue;
                    }
                    _ => return Err(Stop::Lost),
                },
            };
            let part = bytes
                .split(|&byte| byte == b'\n')
                .next()
                .unwrap_or_default();
            let full = part.len() < bytes.len();
            line.extend_from_slice(part);
            let used = part.len() + usize::from(full);
            self.reader.consume(used);
            if line.len() > MAX_LINE {
                return Err(Stop::TooLong);
            }
            if full {
                return Ok(line);
            }
        }
    }

    /// Lets the next read wait no longer than to the deadline. A limit on each read alone would let a client drip for ever.
    fn limit_wait(&self, deadline: Instant) -> Result<(), Stop> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Stop::Late);
        }
        let limited = self.reader.get_ref().set_read_timeout(Some(left));
        limited.map_err(|_| Stop::Lost)
    }
}

fn ended_by(stop: Stop, lines: Vec<String>) -> Incoming {
    match stop {
        Stop::EndOfFile if !lines.is_empty() => Incoming::Request(lines),
        Stop::EndOfFile | Stop::Lost => Incoming::Ended,
        Stop::InsideLine | Stop::Late => Incoming::Broken(INCOMPLETE),
        Stop::TooLong => Incoming::Broken("Client request line too long\n"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Write;
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn a_line_that_does_not_end_is_given_up_at_its_deadline() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let mut requests = Requests::new(&stream);
        client.write_all(b"GET hosts\nColumns:").unwrap();
        let soon = || Instant::now() + Duration::from_millis(100);
        assert_eq!(requests.line(soon()), Ok(b"GET hosts".to_vec()));
        assert_eq!(requests.line(soon()), Err(Stop::Late));
    }

    #[test]
    fn only_a_request_that_ends_between_lines_is_one() {
        let lines = || vec!["GET hosts".to_owned()];
        assert_eq!(
            ended_by(Stop::EndOfFile, lines()),
            Incoming::Request(lines())
        );
        assert_eq!(ended_by(Stop::EndOfFile, Vec::new()), Incoming::Ended);
        assert_eq!(
            ended_by(Stop::InsideLine, lines()),
            Incoming::Broken(INCOMPLETE)
        );
        assert_eq!(ended_by(Stop::Late, lines()), Incoming::Broken(INCOMPLETE));
        assert_eq!(ended_by(Stop::Lost, lines()), Incoming::Ended);
    }
}
