//! One client after another, of every kind, by one thread.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::book::Book;
use crate::random::Random;
use crate::support::site::payload;
use crate::support::stretched;
use crate::town::{House, Town};
use crate::verdict::{MOST_LIED, Outcome, Query, shown};

/// No answer may take longer: a command waits 30 s at most, and a query behind it has its own time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Longest pause between two visits, in milliseconds.
const PAUSE: u64 = 30;

/// Bytes of a header.
const HEADER: usize = 16;

pub struct Visitor<'a> {
    pub random: Random,
    pub book: &'a Book,
    root: PathBuf,
    number: u64,
    visits: u64,
}

/// Visits sites until told to stop, or until something is wrong.
pub fn live(number: u64, seed: u64, root: &Path, town: &Town, book: &Book, stop: &AtomicBool) {
    let mut visitor = Visitor {
        random: Random::new(seed.wrapping_mul(31) + number),
        book,
        root: root.to_owned(),
        number,
        visits: 0,
    };
    while !stop.load(Ordering::SeqCst) {
        let which = visitor.random.below(town.houses.len() as u64) as usize;
        let house = &town.houses[which];
        if let Err(wrong) = visitor.visit(house) {
            let visit = visitor.visits;
            return book.fail(format!("visit {number}-{visit} to {}: {wrong}", house.name));
        }
        let pause = visitor.random.below(PAUSE);
        std::thread::sleep(Duration::from_millis(pause));
    }
}

/// How a query is asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manner {
    pub framed: bool,
    pub kept: bool,
    pub waits: bool,
    pub slow: bool,
}

impl Visitor<'_> {
    /// Words that occur in no other visit.
    pub fn name_visit(&mut self) -> String {
        self.visits += 1;
        format!("v{}-{}", self.number, self.visits)
    }

    /// A query of its own, with these headers, and its answer.
    pub fn query(&mut self, house: &House, manner: Manner, headers: &str, size: u64) -> Query {
        let visit = self.name_visit();
        let site = house.name;
        let mut lines = format!("Filter: site = {site}\nFilter: visit = {visit}\n{headers}");
        let mut code = 200;
        if self.random.chance(5) {
            code = [400, 404, 413, 452][self.random.below(4) as usize];
            lines += &format!("Test-Status: {code}\n");
        }
        if size > 0 {
            lines += &format!("Test-Size: {size}\nTest-Nonce: {visit}\n");
        }
        let mut request = format!("GET hosts\n{lines}");
        if self.random.chance(20) {
            request += "Cache: reload\n";
        }
        if manner.kept {
            request += "KeepAlive: on\n";
        }
        if manner.framed {
            request += "ResponseHeader: fixed16\n";
        }
        let sent = format!("GET hosts\nResponseHeader: fixed16\nKeepAlive: on\n{lines}\n");
        Query {
            site,
            request: request.into_bytes(),
            code,
            body: match size {
                0 => sent.into_bytes(),
                size => payload(&visit, size as usize),
            },
            waits: manner.waits,
            slow: manner.slow,
        }
    }

    /// A connection; nothing where the socket may be missing.
    pub fn connect(&self, house: &House) -> Result<Option<UnixStream>, String> {
        let path = self.root.join("tmp/run/liveproxy").join(house.name);
        let mark = house.presence();
        match UnixStream::connect(path) {
            Ok(stream) => {
                let limit = Some(stretched(PATIENCE));
                stream.set_read_timeout(limit).unwrap();
                stream.set_write_timeout(limit).unwrap();
                Ok(Some(stream))
            }
            Err(error) if house.had_to_be_there(mark) => Err(format!("connect: {error}")),
            Err(_) => {
                self.book.count("not there");
                Ok(None)
            }
        }
    }

    /// Whether all of it was taken. If it was not, nothing was asked.
    pub fn write(&self, mut stream: &UnixStream, bytes: &[u8]) -> bool {
        let taken = stream.write_all(bytes).is_ok();
        if !taken {
            self.book.count("let go before it asked");
        }
        taken
    }

    /// A connection on which this was asked; nothing where it could not be.
    pub fn send(&self, house: &House, bytes: &[u8]) -> Result<Option<UnixStream>, String> {
        let stream = self.connect(house)?;
        Ok(stream.filter(|stream| self.write(stream, bytes)))
    }

    pub fn note(&self, outcome: &Outcome) {
        self.book.count(match outcome {
            Outcome::Right => "right",
            Outcome::Refused => "refused",
            Outcome::CommandFailed { .. } => "refused for a command",
            Outcome::Cut => "cut",
        });
    }
}

/// Reads one framed answer; `pause` is made before each read.
pub fn read_framed(
    stream: &UnixStream,
    query: &Query,
    pause: impl Fn(),
) -> Result<Outcome, String> {
    let (header, _) = read_up_to(stream, HEADER, &pause)?;
    let text = String::from_utf8_lossy(&header).into_owned();
    let parts = text.split_at_checked(3).map(|(code, rest)| {
        let length = rest.strip_prefix(' ').map(str::trim);
        (code.parse::<u16>(), length.unwrap_or("").parse::<usize>())
    });
    let Some((Ok(code), Ok(length))) = parts else {
        return Err(format!("no answer but {}", shown(&header)));
    };
    if header.len() < HEADER {
        return Err(format!("half of a header: {text:?}"));
    }
    let (body, ended) = read_up_to(stream, length, &pause)?;
    let right = query.body.len();
    match ended {
        false => query.judge(code, &body),
        true if code == query.code && (right..=right + MOST_LIED).contains(&length) => {
            query.judge_cut(&body)
        }
        true => Err(format!("{text:?}, and then {}", shown(&body))),
    }
}

/// Reads everything up to the end.
pub fn read_bare(stream: &UnixStream) -> Result<Vec<u8>, String> {
    read_up_to(stream, usize::MAX, &|| {}).map(|(bytes, _)| bytes)
}

/// Reads so many bytes, or fewer if the end comes before; and whether it came.
fn read_up_to(
    mut stream: &UnixStream,
    wanted: usize,
    pause: &impl Fn(),
) -> Result<(Vec<u8>, bool), String> {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 65_536];
    while bytes.len() < wanted {
        pause();
        let room = chunk.len().min(wanted - bytes.len());
        match stream.read(&mut chunk[..room]) {
            Ok(0) => return Ok((bytes, true)),
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // It was closed before everything that we had sent was read.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok((bytes, true)),
            Err(error) => return Err(format!("{error} after {}", shown(&bytes))),
        }
    }
    Ok((bytes, false))
}
