//! How the fake site reads requests: as naemon does, with what naemon leaves over for the next one.
//! It knows lines and the blank line, and nothing of answers.

use std::io::{self, Read};
use std::time::Duration;

/// Who asks for this table is answered before the request is read to its end.
pub const HASTY: &str = "hasty";

/// Lines of a request with their ends, as received.
type Lines = Vec<Vec<u8>>;

/// The reading side of one channel.
#[derive(Debug, Default)]
pub struct Reader {
    /// Bytes received and not yet cut into lines.
    bytes: Vec<u8>,
    /// Lines of the request being read; after a COMMAND those that it left over.
    lines: Lines,
}

/// What a look at the channel's input gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A request that asks for an answer.
    Get(Request),
    /// A line `COMMAND ...`, without its end.
    Command(String),
    /// The first line of a `GET` of the table [`HASTY`]; nothing behind it is read yet.
    Hasty,
    /// A request of a verb that does not exist. Lines left over by an earlier request end so.
    Unknown(Vec<u8>),
    /// End of file inside a request, or a blank line without a request.
    Broken,
    /// End of file between two requests.
    End,
}

/// A complete `GET`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// All of its bytes, with the blank line if it ended with one.
    pub bytes: Vec<u8>,
    lines: Vec<String>,
}

impl Request {
    fn new(lines: &Lines, blank: &[u8]) -> Request {
        let mut bytes = lines.concat();
        bytes.extend_from_slice(blank);
        let text = |line: &Vec<u8>| String::from_utf8_lossy(line).trim_end().to_owned();
        Request {
            bytes,
            lines: lines.iter().map(text).collect(),
        }
    }

    /// The table asked for.
    pub fn table(&self) -> &str {
        let first = self.lines.first().map_or("", String::as_str);
        first.strip_prefix("GET ").unwrap_or("").trim()
    }

    /// The value of a header line; of several the last one counts.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.lines.iter().skip(1).filter_map(|line| {
            let (found, value) = line.split_once(':')?;
            (found == name).then_some(value.trim())
        });
        values.next_back()
    }

    /// Whether it asks to wait for something to happen.
    pub fn waits(&self) -> bool {
        let header = self.header("WaitTrigger").or(self.header("WaitCondition"));
        header.is_some()
    }

    /// How long it wants to wait at most; nothing for one that would wait for ever.
    pub fn wait_limit(&self) -> Option<Duration> {
        let millis = self.header("WaitTimeout")?.parse().ok()?;
        (millis > 0).then(|| Duration::from_millis(millis))
    }

    /// Whether the response starts with the 16 bytes.
    pub fn framed(&self) -> bool {
        self.header("ResponseHeader") == Some("fixed16")
    }

    /// Whether the channel stays open after the response.
    pub fn kept(&self) -> bool {
        self.header("KeepAlive") == Some("on")
    }

    /// The columns of a question about the site itself, such as a heartbeat asks; nothing for
    /// every other query.
    pub fn heartbeat_columns(&self) -> Option<Vec<&str>> {
        if self.table() != "status" {
            return None;
        }
        let columns: Vec<_> = self.header("Columns")?.split_whitespace().collect();
        let known = ["program_start", "program_version", "livestatus_version"];
        let only_known = columns.iter().all(|column| known.contains(column));
        (only_known && columns.contains(&"program_start")).then_some(columns)
    }
}

impl Reader {
    /// Waits for the next request and calls `begun` when its first byte is there.
    pub fn next(&mut self, mut input: impl Read, begun: impl Fn()) -> io::Result<Incoming> {
        loop {
            if !self.bytes.is_empty() || !self.lines.is_empty() {
                begun();
            }
            if let Some(incoming) = self.cut() {
                return Ok(incoming);
            }
            let mut chunk = [0; 65_536];
            let count = input.read(&mut chunk)?;
            if count == 0 {
                return Ok(self.cut_at_end());
            }
            self.bytes.extend_from_slice(&chunk[..count]);
        }
    }

    /// Takes lines from the bytes up to the blank one; nothing when that is not there yet.
    fn cut(&mut self) -> Option<Incoming> {
        while let Some(end) = self.bytes.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.bytes.drain(..=end).collect();
            if line == b"\n" {
                return Some(self.finish(&line));
            }
            // A line of blanks only, which `\r\n` is too, neither ends a request nor belongs to it.
            if !line.trim_ascii().is_empty() {
                let is_first = self.lines.is_empty();
                self.lines.push(line);
                if is_first && self.asks_for_haste() {
                    self.lines.clear();
                    return Some(Incoming::Hasty);
                }
            }
        }
        None
    }

    fn asks_for_haste(&self) -> bool {
        let first = self.lines.first().map(|line| line.trim_ascii());
        first.and_then(|line| line.strip_prefix(b"GET ")) == Some(HASTY.as_bytes())
    }

    fn cut_at_end(&mut self) -> Incoming {
        if !self.bytes.is_empty() {
            return Incoming::Broken;
        }
        if self.lines.is_empty() {
            return Incoming::End;
        }
        self.finish(b"")
    }

    fn finish(&mut self, blank: &[u8]) -> Incoming {
        let Some(first) = self.lines.first() else {
            return Incoming::Broken;
        };
        if first.starts_with(b"COMMAND ") {
            // The other lines stay and become the first ones of the next request, as with naemon.
            let line = self.lines.remove(0);
            return Incoming::Command(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        let is_get = first.starts_with(b"GET ");
        let request = Request::new(&self.lines, blank);
        self.lines.clear();
        if is_get {
            Incoming::Get(request)
        } else {
            Incoming::Unknown(request.bytes)
        }
    }
}
