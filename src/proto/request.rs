//! Reads a client's bytes line by line into requests, and rewrites each one
//! for the channel while it is read. Must not know where the bytes come from
//! or where the request goes.
//!
//! The servers disagree on where a request ends: Icinga 2 ends it at any line
//! of white space, Naemon and Checkmk only at an empty one. A proxy that
//! forwards such a line lets one request count as two, and every later answer
//! on that channel goes to the wrong client. So lines are read here, and no
//! line without content is ever forwarded.

use super::response::shown;
use memchr::memchr;
use std::time::Duration;

/// Longest line of a request. Naemon refuses above 64 KiB, Checkmk and Icinga 2
/// take more; above this nothing sensible is meant.
pub const MAX_LINE: usize = 1024 * 1024;

/// Our headers, on lines 2 and 3: Naemon stops reading a request at its first
/// unknown header and Icinga 2 at its first bad filter, and what stands behind
/// that is not seen. Further down they would leave an error unframed.
const OUR_HEADERS: &[u8] = b"ResponseHeader: fixed16\nKeepAlive: on\n";

/// What is asked of a site to see that it lives. Every core knows the columns;
/// an unknown one would make the site look dead.
pub const HEARTBEAT: &[u8] = b"GET status\nResponseHeader: fixed16\nKeepAlive: on\n\
    Columns: program_start program_version livestatus_version\n\n";

/// The header with the limit for waiting, in milliseconds.
const WAIT_TIMEOUT: &str = "WaitTimeout:";

/// Room for a typical request, so that it is built in one allocation.
const TYPICAL_REQUEST: usize = 512;

/// How the client wants its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// `ResponseHeader: fixed16`: the body is preceded by 16 bytes of status and length.
    pub fixed16: bool,
    /// `KeepAlive: on`: the connection stays open for the next request.
    pub keep_alive: bool,
}

/// What kind of request it is; the kinds differ in what may be done with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Reads; may be sent a second time when a channel is lost.
    Get,
    /// Reads, but only when something has happened or, if it says so, this time
    /// is over. May be sent a second time.
    Wait(Option<Duration>),
    /// Changes something, has no response, outlives its client and is never sent twice.
    Command,
}

/// A complete request as it goes to the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What is written to the channel; it always brings exactly one framed
    /// response (behind a command stands a heartbeat query as its barrier).
    pub bytes: Vec<u8>,
    /// What may be done with it.
    pub kind: Kind,
    /// How the client wants the response.
    pub style: Style,
}

impl Request {
    /// Its first line, fit for a log or a table.
    pub fn first_line(&self) -> String {
        let mut lines = self.bytes.split(|byte| *byte == b'\n');
        shown(lines.next().unwrap_or_default())
    }

    /// Replaces the client's limit for waiting: of several, the last counts.
    pub fn limit_wait(&mut self, limit: Duration) {
        // The empty line gives way to ours.
        self.bytes.pop();
        let line = format!("{WAIT_TIMEOUT} {}\n\n", limit.as_millis());
        self.bytes.extend_from_slice(line.as_bytes());
    }
}

/// Why a request is not one. The text is for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Larger than the limit handed to [`Framer::feed`], in bytes.
    TooLarge(usize),
    /// One line is longer than [`MAX_LINE`].
    LineTooLong,
    /// The input ended inside a line; such a line is never executed.
    CutShort,
    /// The first line is neither `GET table` nor `COMMAND ...`.
    UnknownVerb,
    /// A line has a zero byte in it. Naemon ends the request there, without an
    /// error, and takes what follows for the beginning of the next one.
    ZeroByte,
}

impl Fault {
    /// The status code for the client.
    pub fn code(self) -> u16 {
        match self {
            Fault::TooLarge(_) => 413,
            Fault::LineTooLong | Fault::CutShort | Fault::UnknownVerb | Fault::ZeroByte => 400,
        }
    }

    /// One sentence for the person who sent it.
    pub fn text(self) -> String {
        match self {
            Fault::TooLarge(limit) => format!("Request is larger than {limit} bytes"),
            Fault::LineTooLong => format!("A line of the request is longer than {MAX_LINE} bytes"),
            Fault::CutShort => "Client connection terminated while request still incomplete".into(),
            Fault::UnknownVerb => "Invalid request method".into(),
            Fault::ZeroByte => "Request has a zero byte in it".into(),
        }
    }
}

/// What came of a piece of input.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// All input is taken in; the request, if one has begun, needs more.
    More,
    /// A request is complete. Input behind it has not been looked at.
    Complete(Request),
    /// The client has said goodbye: an empty line, or the end, with nothing pending.
    End,
    /// Not a request; nothing behind it can be understood. `style` as far as it was seen.
    Faulty(Fault, Style),
}

/// What the last complete line left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between requests.
    Start,
    /// Inside the headers of a `GET`.
    Headers,
    /// Behind the line of a command: up to an empty line, further commands are
    /// requests of their own, a `GET` begins one, all else is dropped. Naemon
    /// would keep such lines for the next request on the channel.
    AfterCommand,
}

/// Collects one client's requests.
#[derive(Debug)]
pub struct Framer {
    state: State,
    /// The rewritten request so far.
    request: Vec<u8>,
    style: Style,
    /// How the client wanted the response to its last query. Most write the
    /// header that says so last, and a fault comes before it.
    usual: Style,
    /// The limit that the request has outgrown. It is read to its end, to
    /// learn how its client wants to be told.
    outgrown: Option<usize>,
    /// Whether a header asks to wait, and for how long at most.
    waits: bool,
    wait_timeout: Option<Duration>,
    /// The line whose end has not come yet.
    line: Vec<u8>,
}

impl Default for Framer {
    fn default() -> Self {
        Framer {
            state: State::Start,
            request: Vec::new(),
            style: Style::default(),
            usual: Style::default(),
            outgrown: None,
            waits: false,
            wait_timeout: None,
            line: Vec::new(),
        }
    }
}

impl Framer {
    /// Takes in `input` up to the end of one request and moves it past what
    /// was taken. `limit` bounds a request, in bytes.
    pub fn feed(&mut self, input: &mut &[u8], limit: usize) -> Step {
        while let Some(end) = memchr(b'\n', input) {
            let (head, rest) = (&input[..end], &input[end + 1..]);
            *input = rest;
            let step = if self.line.is_empty() {
                self.take_line(head, limit)
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(head);
                let step = self.take_line(&line, limit);
                line.clear();
                // Kept for the next partial line: a client that dribbles costs no allocation a line.
                self.line = line;
                step
            };
            if step != Step::More {
                self.shrink_line();
                return step;
            }
        }
        let tail = std::mem::take(input);
        if self.line.len() + tail.len() > MAX_LINE {
            return self.faulty(Fault::LineTooLong);
        }
        if self.request.len() + self.line.len() + tail.len() > limit {
            self.outgrow(limit);
        }
        self.line.extend_from_slice(tail);
        Step::More
    }

    /// The client will send no more: what is complete up to a line's end counts.
    pub fn end(&mut self) -> Step {
        if !self.line.is_empty() {
            self.line.clear();
            return self.faulty(Fault::CutShort);
        }
        self.shrink_line();
        match self.state {
            State::Headers => self.complete(),
            State::Start | State::AfterCommand => Step::End,
        }
    }

    /// Whether a request has begun that is not complete.
    pub fn is_pending(&self) -> bool {
        self.state == State::Headers || !self.line.is_empty()
    }

    /// How its client wants the response, as far as the request has come.
    pub fn style(&self) -> Style {
        match self.style.fixed16 {
            true => self.style,
            false => self.usual,
        }
    }

    fn faulty(&self, fault: Fault) -> Step {
        Step::Faulty(fault, self.style())
    }

    fn outgrow(&mut self, limit: usize) {
        self.outgrown = Some(limit);
        self.request = Vec::new();
    }

    /// Bytes held for the request that is being read.
    pub fn held(&self) -> usize {
        self.request.len() + self.line.len()
    }

    /// Gives back what an idle client does not need.
    pub fn shrink(&mut self) {
        if self.line.is_empty() {
            self.line = Vec::new();
        }
    }

    fn take_line(&mut self, raw: &[u8], limit: usize) -> Step {
        if raw.len() > MAX_LINE {
            return self.faulty(Fault::LineTooLong);
        }
        if memchr(0, raw).is_some() {
            return self.faulty(Fault::ZeroByte);
        }
        let line = trim_end(raw);
        if line.is_empty() {
            return match raw {
                b"" | b"\r" => self.empty_line(),
                // Only Icinga 2 would end the request here.
                _ => Step::More,
            };
        }
        match self.state {
            State::Start | State::AfterCommand if is_command(line) => {
                self.state = State::AfterCommand;
                if line.len() > limit {
                    return self.faulty(Fault::TooLarge(limit));
                }
                Step::Complete(command(line))
            }
            State::Start | State::AfterCommand if is_get(line) => {
                self.state = State::Headers;
                self.style = Style::default();
                // A long line of white space in front is not a part of it.
                self.outgrown = None;
                self.request.reserve(TYPICAL_REQUEST);
                self.push_line(line, limit, OUR_HEADERS)
            }
            State::Start => self.faulty(Fault::UnknownVerb),
            State::AfterCommand => Step::More,
            State::Headers => {
                if let Some(value) = header(line, b"ResponseHeader:") {
                    self.style.fixed16 = value == b"fixed16";
                } else if let Some(value) = header(line, b"KeepAlive:") {
                    self.style.keep_alive = value == b"on";
                } else if header(line, b"Cache:").is_none() {
                    self.note_waiting(line);
                    return self.push_line(line, limit, b"");
                }
                Step::More
            }
        }
    }

    fn empty_line(&mut self) -> Step {
        match self.state {
            State::Start => Step::End,
            State::AfterCommand => {
                self.state = State::Start;
                Step::More
            }
            State::Headers => self.complete(),
        }
    }

    fn push_line(&mut self, line: &[u8], limit: usize, behind: &[u8]) -> Step {
        if self.request.len() + line.len() + behind.len() + 1 > limit {
            self.outgrow(limit);
        }
        if self.outgrown.is_some() {
            return Step::More;
        }
        self.request.extend_from_slice(line);
        self.request.push(b'\n');
        self.request.extend_from_slice(behind);
        Step::More
    }

    /// What these headers say is passed on as it is, and kept in mind.
    fn note_waiting(&mut self, line: &[u8]) {
        let trigger = header(line, b"WaitTrigger:").or(header(line, b"WaitCondition:"));
        self.waits |= trigger.is_some();
        if let Some(value) = header(line, WAIT_TIMEOUT.as_bytes()) {
            let millis = std::str::from_utf8(value)
                .ok()
                .and_then(|text| text.parse().ok());
            // 0 is "for ever", and what is not a number is the site's to refuse.
            self.wait_timeout = millis
                .filter(|millis| *millis > 0)
                .map(Duration::from_millis);
        }
    }

    /// A long line must not be kept in memory while the client waits.
    fn shrink_line(&mut self) {
        if self.line.capacity() > TYPICAL_REQUEST {
            self.line = Vec::new();
        }
    }

    fn complete(&mut self) -> Step {
        self.state = State::Start;
        self.usual = self.style;
        if let Some(limit) = self.outgrown.take() {
            return self.faulty(Fault::TooLarge(limit));
        }
        self.request.push(b'\n');
        let timeout = self.wait_timeout.take();
        let kind = match std::mem::take(&mut self.waits) {
            true => Kind::Wait(timeout),
            false => Kind::Get,
        };
        Step::Complete(Request {
            bytes: std::mem::take(&mut self.request),
            kind,
            style: std::mem::take(&mut self.style),
        })
    }
}

/// The line alone, its empty line, and a barrier behind it: a command has no
/// response on the wire, so only the answer to the next query on the same
/// channel shows that it was consumed.
fn command(line: &[u8]) -> Request {
    let mut bytes = Vec::with_capacity(line.len() + 2 + HEARTBEAT.len());
    bytes.extend_from_slice(line);
    bytes.extend_from_slice(b"\n\n");
    bytes.extend_from_slice(HEARTBEAT);
    Request {
        bytes,
        kind: Kind::Command,
        style: Style {
            fixed16: false,
            keep_alive: true,
        },
    }
}

/// The white space that all servers strip from the end of a line.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | 0x0b | 0x0c)
}

fn trim_end(mut line: &[u8]) -> &[u8] {
    while let [head @ .., last] = line
        && is_space(*last)
    {
        line = head;
    }
    line
}

fn is_command(line: &[u8]) -> bool {
    line.starts_with(b"COMMAND ")
}

/// A `GET` without a table closes an Icinga 2 connection without a word.
fn is_get(line: &[u8]) -> bool {
    line.strip_prefix(b"GET ")
        .is_some_and(|table| table.iter().any(|byte| !is_space(*byte)))
}

/// The value of `line` if it is the header `name` (with its colon). Names are
/// case-sensitive on all servers, the blank behind the colon is optional. The
/// bare name without a colon is the header too, to Icinga 2, with a strange value.
#[inline]
fn header<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    // Most lines are none of the headers that matter here.
    if line.first() != name.first() {
        return None;
    }
    if name.strip_suffix(b":") == Some(line) {
        return Some(&[]);
    }
    let value = line.strip_prefix(name)?;
    let start = value
        .iter()
        .position(|byte| !is_space(*byte))
        .unwrap_or(value.len());
    value.get(start..)
}

#[cfg(test)]
mod tests;
