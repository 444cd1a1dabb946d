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
                self.shrink_line();
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
        self.shrink_line();
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
mod tests {
    use super::*;

    const LIMIT: usize = 1 << 20;

    /// Feeds `input` in pieces of `piece` bytes, then ends it if `end`.
    fn run(input: &[u8], piece: usize, end: bool) -> Vec<Step> {
        let mut framer = Framer::default();
        let mut steps = Vec::new();
        for mut chunk in input.chunks(piece) {
            loop {
                match framer.feed(&mut chunk, LIMIT) {
                    Step::More => break,
                    step => steps.push(step),
                }
            }
        }
        if end {
            steps.push(framer.end());
        }
        steps
    }

    fn get(bytes: &str, fixed16: bool, keep_alive: bool) -> Step {
        Step::Complete(Request {
            bytes: bytes.as_bytes().to_vec(),
            kind: Kind::Get,
            style: Style {
                fixed16,
                keep_alive,
            },
        })
    }

    #[test]
    fn our_headers_stand_on_lines_two_and_three_and_the_clients_are_gone() {
        let input = b"GET hosts\nColumns: name state\nFilter: name = wh1\nLocaltime: 1795198323\n\
            OutputFormat: json\nKeepAlive: on\nResponseHeader: fixed16\nCache: reload\n\n";
        let want = "GET hosts\nResponseHeader: fixed16\nKeepAlive: on\nColumns: name state\n\
            Filter: name = wh1\nLocaltime: 1795198323\nOutputFormat: json\n\n";
        for piece in 1..=input.len() {
            assert_eq!(run(input, piece, false), [get(want, true, true)], "{piece}");
        }
    }

    #[test]
    fn a_line_of_white_space_is_dropped_and_does_not_end_the_request() {
        for blank in [" ", "\t", "\x0b", "\x0c", " \r", "\r\r"] {
            let input = format!("GET hosts\n{blank}\nLimit: 1\n\n");
            let want = "GET hosts\nResponseHeader: fixed16\nKeepAlive: on\nLimit: 1\n\n";
            assert_eq!(
                run(input.as_bytes(), 1000, false),
                [get(want, false, false)],
                "{blank:?}"
            );
        }
    }

    #[test]
    fn carriage_returns_are_stripped_and_an_empty_line_may_have_one() {
        let want = "GET hosts\nResponseHeader: fixed16\nKeepAlive: on\nLimit: 1\n\n";
        assert_eq!(
            run(b"GET hosts\r\nLimit: 1\r\n\r\n", 1000, false),
            [get(want, false, false)]
        );
    }

    #[test]
    fn the_last_of_several_values_wins_and_an_unknown_one_is_off() {
        let input = b"GET hosts\nKeepAlive: on\nKeepAlive:off\nResponseHeader: off\nResponseHeader:fixed16\n\n\
            GET hosts\nKeepAlive: maybe\nResponseHeader: fixed17\n\n";
        let want = "GET hosts\nResponseHeader: fixed16\nKeepAlive: on\n\n";
        assert_eq!(
            run(input, 1000, false),
            [get(want, true, false), get(want, false, false)]
        );
    }

    #[test]
    fn names_of_headers_are_case_sensitive_and_bytes_pass_untouched() {
        let mut input = b"GET hosts\nkeepalive: on\n KeepAlive: on\nFilter: name = M".to_vec();
        input.extend_from_slice(b"\xfcnchen x\n\n");
        let mut want = b"GET hosts\nResponseHeader: fixed16\nKeepAlive: on\n".to_vec();
        want.extend_from_slice(&input[10..]);
        let Step::Complete(request) = run(&input, 1000, false).remove(0) else {
            panic!("not complete")
        };
        assert_eq!(request.bytes, want);
        assert_eq!(request.style, Style::default());
    }

    #[test]
    fn end_of_input_at_a_line_start_ends_the_request() {
        let want = "GET hosts\nResponseHeader: fixed16\nKeepAlive: on\n\n";
        assert_eq!(run(b"GET hosts\n", 3, true), [get(want, false, false)]);
    }

    #[test]
    fn end_of_input_inside_a_line_executes_nothing() {
        let style = Style {
            fixed16: true,
            keep_alive: false,
        };
        assert_eq!(
            run(b"GET hosts\nResponseHeader: fixed16\nLim", 50, true),
            [Step::Faulty(Fault::CutShort, style)]
        );
        assert_eq!(
            run(b"COMMAND [1] X;h", 50, true),
            [Step::Faulty(Fault::CutShort, Style::default())]
        );
    }

    #[test]
    fn nothing_pending_and_an_empty_line_or_the_end_is_goodbye() {
        for empty in ["\n", "\r\n"] {
            assert_eq!(run(empty.as_bytes(), 9, false), [Step::End]);
        }
        assert_eq!(run(b"", 9, true), [Step::End]);
        assert_eq!(run(b"COMMAND [1] X\n\n\n", 99, false).len(), 2);
    }

    #[test]
    fn commands_are_requests_of_their_own_and_what_follows_them_is_dropped() {
        let input = b"COMMAND [1] A;h\nKeepAlive: on\nCOMMAND [2] B;h\nGET hosts\nLimit: 1\n\n";
        for piece in 1..=input.len() {
            let steps = run(input, piece, false);
            let kinds: Vec<(Kind, &[u8])> = steps
                .iter()
                .map(|step| match step {
                    Step::Complete(request) => (request.kind, request.bytes.as_slice()),
                    other => panic!("{other:?}"),
                })
                .collect();
            let a = [b"COMMAND [1] A;h\n\n", HEARTBEAT].concat();
            let b = [b"COMMAND [2] B;h\n\n", HEARTBEAT].concat();
            let get: &[u8] = b"GET hosts\nResponseHeader: fixed16\nKeepAlive: on\nLimit: 1\n\n";
            assert_eq!(
                kinds,
                [
                    (Kind::Command, a.as_slice()),
                    (Kind::Command, b.as_slice()),
                    (Kind::Get, get)
                ]
            );
        }
    }

    #[test]
    fn a_query_that_waits_is_known_by_its_headers() {
        let ms = |millis| Some(Duration::from_millis(millis));
        for (headers, want) in [
            (
                "WaitTrigger: check\nWaitTimeout: 2000\n",
                Kind::Wait(ms(2000)),
            ),
            (
                "WaitTimeout:7\nWaitObject: h\nWaitCondition: state = 0\n",
                Kind::Wait(ms(7)),
            ),
            ("WaitTrigger: all\n", Kind::Wait(None)),
            (
                "WaitTrigger: all\nWaitTimeout: 5\nWaitTimeout: 0\n",
                Kind::Wait(None),
            ),
            ("WaitTrigger: all\nWaitTimeout: soon\n", Kind::Wait(None)),
            ("WaitTimeout: 2000\n", Kind::Get),
        ] {
            let input = format!("GET hosts\n{headers}\nGET hosts\n\n");
            let kinds: Vec<Kind> = run(input.as_bytes(), 1000, false)
                .iter()
                .map(|step| match step {
                    Step::Complete(request) => request.kind,
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(kinds, [want, Kind::Get], "{headers:?}");
        }
    }

    #[test]
    fn a_limit_for_waiting_stands_behind_the_clients_own() {
        let Step::Complete(mut request) = run(
            b"GET hosts\nWaitTrigger: all\nWaitTimeout: 9000\n\n",
            1000,
            false,
        )
        .remove(0) else {
            panic!("not complete")
        };
        request.limit_wait(Duration::from_millis(1));
        assert!(
            request
                .bytes
                .ends_with(b"WaitTimeout: 9000\nWaitTimeout: 1\n\n")
        );
    }

    #[test]
    fn a_command_needs_no_empty_line() {
        assert_eq!(run(b"COMMAND [1] A;h\n", 5, true).len(), 2);
    }

    #[test]
    fn other_verbs_are_refused_at_their_first_line() {
        for verb in ["LOGROTATE", "get hosts", "GET", "GET \t", "COMMAND", "x"] {
            let input = format!("{verb}\nKeepAlive: on\n");
            assert_eq!(
                run(input.as_bytes(), 1000, false)[0],
                Step::Faulty(Fault::UnknownVerb, Style::default()),
                "{verb}"
            );
        }
    }

    #[test]
    fn a_bare_name_of_our_headers_does_not_reach_the_site() {
        let input = b"GET hosts\nResponseHeader\nKeepAlive\nCache\nLimit: 1\n\n";
        let want = "GET hosts\nResponseHeader: fixed16\nKeepAlive: on\nLimit: 1\n\n";
        assert_eq!(run(input, 1000, false), [get(want, false, false)]);
    }

    #[test]
    fn a_zero_byte_cannot_smuggle_a_second_request() {
        for input in [
            &b"GET hosts\n\0\nCOMMAND [1] NOOP\n\n"[..],
            b"GET hosts\nFilter: name = a\0b\n\n",
            b"COMMAND [1] NO\0OP\n",
        ] {
            let steps = run(input, 1000, false);
            assert_eq!(steps[0], Step::Faulty(Fault::ZeroByte, Style::default()));
        }
    }

    /// Most clients write `ResponseHeader` last.
    #[test]
    fn a_request_that_is_too_large_is_read_to_its_end_to_learn_how_to_tell() {
        let long = [
            b"GET hosts\n".as_slice(),
            &b"Filter: name = x\n".repeat(400),
            b"ResponseHeader: fixed16\n\n",
        ]
        .concat();
        let style = Style {
            fixed16: true,
            keep_alive: false,
        };
        for piece in [1, 7, 10_000] {
            let mut framer = Framer::default();
            let mut seen = Vec::new();
            let mut most_held = 0;
            for mut chunk in long.chunks(piece) {
                seen.push(framer.feed(&mut chunk, 4000));
                most_held = most_held.max(framer.held());
            }
            let last = seen.pop().unwrap();
            assert_eq!(last, Step::Faulty(Fault::TooLarge(4000), style), "{piece}");
            assert!(seen.iter().all(|step| *step == Step::More));
            assert!(most_held <= 4000, "{most_held}");
        }
    }

    #[test]
    fn white_space_between_requests_makes_no_request_too_large() {
        let blanks = " ".repeat(300);
        for before in ["COMMAND [1] A;h", "GET hosts\n"] {
            let input = format!("{before}\n{blanks}\nGET hosts\n\n");
            for piece in [1, 7, 1000] {
                let mut framer = Framer::default();
                let mut steps = Vec::new();
                for mut chunk in input.as_bytes().chunks(piece) {
                    while !chunk.is_empty() {
                        steps.push(framer.feed(&mut chunk, 200));
                    }
                }
                steps.retain(|step| *step != Step::More);
                let complete = |step: &Step| matches!(step, Step::Complete(_));
                assert!(steps.len() == 2 && steps.iter().all(complete), "{steps:?}");
            }
        }
    }

    #[test]
    fn a_fault_is_told_in_the_style_of_the_last_request() {
        let mut framer = Framer::default();
        let mut first = &b"GET hosts\nResponseHeader: fixed16\nKeepAlive: on\n\n"[..];
        assert!(matches!(framer.feed(&mut first, LIMIT), Step::Complete(_)));
        let Step::Faulty(Fault::UnknownVerb, style) = framer.feed(&mut &b"X\n"[..], LIMIT) else {
            panic!("not refused")
        };
        assert!(style.fixed16);
    }

    #[test]
    fn a_line_is_bounded() {
        let line = vec![b'x'; MAX_LINE + 1];
        let mut framer = Framer::default();
        assert_eq!(
            framer.feed(&mut line.as_slice(), usize::MAX),
            Step::Faulty(Fault::LineTooLong, Style::default())
        );
    }

    #[test]
    fn what_is_held_is_counted_and_given_back() {
        let mut framer = Framer::default();
        framer.feed(&mut b"GET hosts\nLim".as_slice(), LIMIT);
        assert!(framer.is_pending());
        assert!(framer.held() >= 13);
        framer.feed(&mut b"it: 1\n\n".as_slice(), LIMIT);
        assert!(!framer.is_pending());
        assert_eq!(framer.held(), 0);
    }
}
