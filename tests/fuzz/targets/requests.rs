//! Framing and rewriting of requests, beside a second opinion: a slow reading of the same bytes,
//! all of them at hand and line after line, made from the protocol's description alone.

use std::time::Duration;

use liveproxyd::proto::request::{Fault, Framer, HEARTBEAT, Kind, MAX_LINE, Request, Step, Style};

use super::cut;

pub const WORDS: &[&str] = &[
    "GET hosts\n",
    "GET ",
    "COMMAND ",
    "COMMAND [1] A;h\n",
    "KeepAlive: on\n",
    "KeepAlive:",
    "KeepAlive\n",
    "ResponseHeader: fixed16\n",
    "ResponseHeader:",
    "Cache: reload\n",
    "Cache",
    "WaitTrigger: all\n",
    "WaitCondition: state = 0\n",
    "WaitTimeout: 2000\n",
    "WaitTimeout:",
    "\n\n",
    "\r\n",
    "\r\n\r\n",
    " \n",
    "\t\n",
    "\x0b\n",
    "\x0c",
    "\0",
    "Columns: name state\n",
    "                                                                ",
    "LOGROTATE\n",
];

/// The largest requests allowed. The smallest is less than can be configured, and makes a short
/// input too large.
const LIMITS: [usize; 4] = [64, 200, 1024, 16 << 20];

/// Headers that a proxy adds to a request, and how much that is.
const OURS: &[u8] = b"ResponseHeader: fixed16\nKeepAlive: on\n";

/// The first byte chooses the limit, the second one the pieces, the third whether the client then
/// closes its side; all others are what it sends.
pub fn run(input: &[u8]) {
    let [limit, pieces, ends, sent @ ..] = input else {
        return;
    };
    let limit = LIMITS[usize::from(*limit) % LIMITS.len()];
    let ends = ends % 2 == 1;
    let found = read(sent, *pieces, limit, ends);
    let wanted = Reference::new(sent, ends).read();
    compare(&found, &wanted, limit);
    for step in &found {
        if let Step::Complete(request) = step {
            counts_as_one(request);
        }
    }
}

/// What the framer makes of it, up to where the connection would be closed.
fn read(sent: &[u8], pieces: u8, limit: usize, ends: bool) -> Vec<Step> {
    let mut framer = Framer::default();
    let mut steps = Vec::new();
    for mut piece in cut(sent, pieces) {
        loop {
            let step = framer.feed(&mut piece, limit);
            assert!(
                framer.held() <= limit.max(OURS.len()) + MAX_LINE,
                "too much is held"
            );
            match step {
                Step::More => break,
                Step::Complete(_) => steps.push(step),
                Step::End | Step::Faulty(..) => {
                    steps.push(step);
                    return steps;
                }
            }
        }
        assert!(piece.is_empty(), "not all was taken in");
    }
    if !ends {
        return steps;
    }
    loop {
        steps.push(framer.end());
        if !matches!(steps.last(), Some(Step::Complete(_))) {
            return steps;
        }
    }
}

/// What must come out.
#[derive(Debug)]
enum Wanted {
    /// A query: its lines as they are to be sent, without the empty one.
    Query {
        lines: Vec<u8>,
        kind: Kind,
        style: Style,
        /// The most that was held for it, white space at the end of a line included.
        held: usize,
    },
    Command(Vec<u8>),
    Goodbye,
    Fault(Fault),
}

fn compare(found: &[Step], wanted: &[Wanted], limit: usize) {
    let mut wanted = wanted.iter();
    for step in found {
        let Some(want) = wanted.next() else {
            panic!("nothing more was asked, but: {step:?}");
        };
        match (step, want) {
            (
                Step::Complete(request),
                Wanted::Query {
                    lines, kind, style, ..
                },
            ) => {
                let bytes = [lines.as_slice(), b"\n"].concat();
                assert_eq!(
                    request.bytes.escape_ascii().to_string(),
                    bytes.escape_ascii().to_string()
                );
                assert_eq!((request.kind, request.style), (*kind, *style));
                assert!(lines.len() <= limit, "too large, but taken");
            }
            (Step::Faulty(Fault::TooLarge(_), told), Wanted::Query { held, style, .. }) => {
                // Whether white space at the end of a line counts depends on how it came.
                assert!(*held > limit, "refused, but not too large");
                assert!(told.fixed16 || !style.fixed16, "told in the wrong way");
                return;
            }
            (Step::Complete(request), Wanted::Command(line)) => {
                let bytes = [line.as_slice(), b"\n\n", HEARTBEAT].concat();
                assert_eq!((&request.bytes, request.kind), (&bytes, Kind::Command));
                assert!(line.len() <= limit, "too large, but taken");
            }
            (Step::Faulty(Fault::TooLarge(_), _), Wanted::Command(line)) => {
                assert!(line.len() > limit, "refused, but not too large");
                return;
            }
            (Step::Faulty(fault, _), Wanted::Fault(want)) => assert_eq!(fault, want),
            (Step::End, Wanted::Goodbye) => {}
            (step, want) => panic!("{step:?} instead of {want:?}"),
        }
    }
    if let Some(want) = wanted.next() {
        panic!("never came: {want:?}");
    }
}

/// Every server must take it for one request: the cores disagree on where one ends.
fn counts_as_one(request: &Request) {
    let expected = match request.kind {
        Kind::Command => 2,
        Kind::Get | Kind::Wait(_) => 1,
    };
    let lines: Vec<&[u8]> = request.bytes.split(|byte| *byte == b'\n').collect();
    let (last, lines) = lines.split_last().unwrap();
    assert!(last.is_empty(), "it does not end with a line");
    let naemon = lines.iter().filter(|line| line.is_empty()).count();
    let is_blank = |line: &&&[u8]| line.iter().all(|byte| b" \t\r\x0b\x0c".contains(byte));
    let icinga = lines.iter().filter(is_blank).count();
    assert_eq!((naemon, icinga), (expected, expected));
    assert!(!request.bytes.contains(&0), "Naemon ends a line there");
}

/// Reads as a person would with the whole text before them.
struct Reference<'a> {
    /// Lines with their line ends taken off.
    lines: Vec<&'a [u8]>,
    /// What stands behind the last line end.
    rest: &'a [u8],
    ends: bool,
}

impl<'a> Reference<'a> {
    fn new(sent: &'a [u8], ends: bool) -> Reference<'a> {
        let mut lines: Vec<&[u8]> = sent.split(|byte| *byte == b'\n').collect();
        let rest = lines.pop().unwrap_or_default();
        Reference { lines, rest, ends }
    }

    fn read(self) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        let mut query: Option<Vec<&[u8]>> = None;
        let mut behind_command = false;
        for raw in &self.lines {
            if raw.len() > MAX_LINE {
                wanted.push(Wanted::Fault(Fault::LineTooLong));
                return wanted;
            }
            if raw.contains(&0) {
                wanted.push(Wanted::Fault(Fault::ZeroByte));
                return wanted;
            }
            let line = stripped(raw);
            let ends_request = raw.is_empty() || *raw == b"\r";
            if let Some(lines) = &mut query {
                lines.push(raw);
                if !ends_request {
                    continue;
                }
                wanted.push(rewritten(lines));
                query = None;
            } else if line.is_empty() && !ends_request {
                continue;
            } else if ends_request {
                if !behind_command {
                    wanted.push(Wanted::Goodbye);
                    return wanted;
                }
                behind_command = false;
            } else if line.starts_with(b"COMMAND ") {
                wanted.push(Wanted::Command(line.to_vec()));
                behind_command = true;
            } else if line.starts_with(b"GET ") && !stripped(&line[4..]).is_empty() {
                query = Some(vec![raw]);
                behind_command = false;
            } else if !behind_command {
                wanted.push(Wanted::Fault(Fault::UnknownVerb));
                return wanted;
            }
        }
        if self.rest.len() > MAX_LINE {
            wanted.push(Wanted::Fault(Fault::LineTooLong));
            return wanted;
        }
        if !self.ends {
            return wanted;
        }
        if !self.rest.is_empty() {
            wanted.push(Wanted::Fault(Fault::CutShort));
            return wanted;
        }
        if let Some(lines) = &query {
            wanted.push(rewritten(lines));
        }
        wanted.push(Wanted::Goodbye);
        wanted
    }
}

fn stripped(line: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| b" \t\r\x0b\x0c".contains(byte);
    let end = line.iter().rposition(|byte| !is_space(byte));
    &line[..end.map_or(0, |end| end + 1)]
}

/// All values of a header, in order; one without its colon has the value "".
fn values<'a>(lines: &[&'a [u8]], name: &str) -> Vec<&'a [u8]> {
    let value = |line: &&'a [u8]| {
        let rest = line.strip_prefix(name.as_bytes())?;
        let rest = match rest {
            [] => rest,
            [b':', value @ ..] => value,
            _ => return None,
        };
        let start = rest
            .iter()
            .position(|byte| !b" \t\r\x0b\x0c".contains(byte));
        Some(&rest[start.unwrap_or(rest.len())..])
    };
    lines.iter().filter_map(value).collect()
}

/// A query of these lines, the first of which is `GET table`.
fn rewritten(raw_lines: &[&[u8]]) -> Wanted {
    let lines: Vec<&[u8]> = raw_lines.iter().map(|line| stripped(line)).collect();
    let headers = &lines[1..];
    let last = |name| values(headers, name).last().copied();
    let style = Style {
        fixed16: last("ResponseHeader") == Some(b"fixed16"),
        keep_alive: last("KeepAlive") == Some(b"on"),
    };
    let waits =
        !values(headers, "WaitTrigger").is_empty() || !values(headers, "WaitCondition").is_empty();
    let limit = last("WaitTimeout").and_then(|value| {
        let text = std::str::from_utf8(value).ok()?;
        let millis: u64 = text.parse().ok()?;
        (millis > 0).then(|| Duration::from_millis(millis))
    });
    let mut out = [lines[0], b"\n", OURS].concat();
    let mut held = raw_lines[0].len().max(out.len());
    for (line, raw) in headers.iter().zip(&raw_lines[1..]) {
        held = held.max(out.len() + raw.len());
        let is_ours = ["ResponseHeader", "KeepAlive", "Cache"]
            .iter()
            .any(|name| !values(&[*line], name).is_empty());
        if !is_ours && !line.is_empty() {
            out.extend_from_slice(line);
            out.push(b'\n');
            held = held.max(out.len());
        }
    }
    Wanted::Query {
        lines: out,
        kind: match waits {
            true => Kind::Wait(limit),
            false => Kind::Get,
        },
        style,
        held,
    }
}
