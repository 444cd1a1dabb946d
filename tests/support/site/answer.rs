//! The right answer to every request, computed from the request alone, so that a test can check
//! every byte and sees a mix-up of two answers at once.

use std::io::{self, Read};

use super::request::Request;

/// What the site says of itself in a heartbeat.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Seconds since 1970.
    pub program_start: u64,
    /// Name and version of the core.
    pub program_version: String,
    /// Version of the Livestatus module.
    pub livestatus_version: String,
}

impl Default for Identity {
    fn default() -> Identity {
        Identity {
            program_start: 1_700_000_000,
            program_version: "Fake 1.0".to_owned(),
            livestatus_version: "1.5.0 (fake)".to_owned(),
        }
    }
}

/// The same bytes one after another and without end, for bodies too large to be kept.
pub fn noise(nonce: &str) -> impl Read {
    Noise::seeded(nonce)
}

/// The body that a request with the lines `Test-Size: size` and `Test-Nonce: nonce` gets. All byte
/// values occur in it.
pub fn payload(nonce: &str, size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    Noise::seeded(nonce)
        .take(size as u64)
        .read_to_end(&mut bytes)
        .unwrap();
    bytes
}

/// An endless stream of bytes that depends on its seed only.
#[derive(Debug)]
pub struct Noise {
    state: u64,
    /// The last step, for reads that end inside of one.
    step: [u8; 8],
    /// How many bytes of it have been given out.
    used: usize,
}

impl Noise {
    fn seeded(nonce: &str) -> Noise {
        // FNV-1a; the lowest bit is set because the generator stands still at zero.
        let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let state = nonce.bytes().fold(0xcbf2_9ce4_8422_2325, fold) | 1;
        let step = [0; 8];
        let used = step.len();
        Noise { state, step, used }
    }

    /// The next eight bytes, by xorshift.
    fn next_step(&mut self) -> [u8; 8] {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let scattered = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d);
        scattered.to_le_bytes()
    }

    /// Gives out what is left of the last step, as far as it is wanted.
    fn use_up(&mut self, buffer: &mut [u8]) -> usize {
        let count = buffer.len().min(self.step.len() - self.used);
        buffer[..count].copy_from_slice(&self.step[self.used..self.used + count]);
        self.used += count;
        count
    }
}

impl Read for Noise {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let begun = self.use_up(buffer);
        let mut whole = buffer[begun..].chunks_exact_mut(8);
        for piece in &mut whole {
            piece.copy_from_slice(&self.next_step());
        }
        let last = whole.into_remainder();
        if !last.is_empty() {
            self.step = self.next_step();
            self.used = 0;
            self.use_up(last);
        }
        Ok(buffer.len())
    }
}

/// The body of an answer.
#[derive(Debug)]
pub enum Body {
    /// Bytes held in memory.
    Bytes(Vec<u8>),
    /// That many bytes of noise, made while they are written, so that huge answers cost nothing.
    Noise {
        /// Seed of the noise.
        nonce: String,
        /// Number of bytes.
        size: u64,
    },
}

impl Body {
    fn size(&self) -> u64 {
        match self {
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::Noise { size, .. } => *size,
        }
    }
}

/// An answer as the request asks for it.
#[derive(Debug)]
pub struct Answer {
    /// Three digits.
    pub code: u16,
    /// Whether the 16 bytes come first.
    pub framed: bool,
    /// What follows them.
    pub body: Body,
}

impl Answer {
    /// The right answer to a request.
    pub fn to(request: &Request, identity: &Identity) -> Answer {
        let framed = request.framed();
        if let Some(value) = request.header("Cache") {
            // Every core refuses this line: it is meant for a proxy, which takes it out.
            let text = format!("Undefined request header 'Cache: {value}'\n");
            let body = Body::Bytes(text.into_bytes());
            let code = 400;
            return Answer { code, framed, body };
        }
        let number = |name| request.header(name).and_then(|value| value.parse().ok());
        let code = number("Test-Status").unwrap_or(200) as u16;
        let body = match (request.heartbeat_columns(), number("Test-Size")) {
            (Some(columns), _) => Body::Bytes(heartbeat(request, &columns, identity)),
            (None, Some(size)) => Body::Noise {
                nonce: request.header("Test-Nonce").unwrap_or("").to_owned(),
                size,
            },
            (None, None) => Body::Bytes(request.bytes.clone()),
        };
        Answer { code, framed, body }
    }

    /// The 16 bytes, with a length that may differ from the truth; nothing when they are not
    /// wanted.
    pub fn header(&self, length_error: i64) -> Vec<u8> {
        if !self.framed {
            return Vec::new();
        }
        let length = self.body.size().saturating_add_signed(length_error);
        format!("{:03} {length:11}\n", self.code).into_bytes()
    }

    /// Number of bytes after the header.
    pub fn body_size(&self) -> u64 {
        self.body.size()
    }

    /// The bytes after the header.
    pub fn into_body(self) -> Box<dyn Read> {
        match self.body {
            Body::Bytes(bytes) => Box::new(io::Cursor::new(bytes)),
            Body::Noise { nonce, size } => Box::new(Noise::seeded(&nonce).take(size)),
        }
    }
}

/// One row about the site itself, in the format asked for.
fn heartbeat(request: &Request, columns: &[&str], identity: &Identity) -> Vec<u8> {
    let json = request.header("OutputFormat") == Some("json");
    let text = |value: &str| match json {
        true => format!("\"{value}\""),
        false => value.to_owned(),
    };
    let cell = |column: &&str| match *column {
        "program_start" => identity.program_start.to_string(),
        "program_version" => text(&identity.program_version),
        _ => text(&identity.livestatus_version),
    };
    let cells: Vec<_> = columns.iter().map(cell).collect();
    let no_rows = request.header("Limit") == Some("0");
    let row = match (json, no_rows) {
        (true, true) => "[]\n".to_owned(),
        (true, false) => format!("[[{}]]\n", cells.join(",")),
        (false, true) => String::new(),
        (false, false) => format!("{}\n", cells.join(";")),
    };
    row.into_bytes()
}
