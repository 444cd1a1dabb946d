//! The 16 bytes in front of a response: reading a site's, writing our own.

use memchr::memchr;

/// Length of the header of `ResponseHeader: fixed16`.
pub const HEADER_LEN: usize = 16;

/// Status of an answer that the proxy gives for a site that is not reachable,
/// busy or too slow. The clients survive few other numbers: Thruk's Perl
/// module dies on one it does not know and repeats the query on 500, Checkmk's
/// GUI takes 404 for "no rows".
pub const BAD_GATEWAY: u16 = 502;

/// Status of an answer to what is not a request, or not one that the site understands.
pub const BAD_REQUEST: u16 = 400;

/// Status of an answer that the proxy gives for a site whose certificate is
/// not trusted. Checkmk's GUI tells its users to look at the certificates then.
pub const UNTRUSTED: u16 = 495;

/// So much of what was not a response is shown to a person.
const SHOWN: usize = 200;

/// The beginning of what was not a response, on one line for a person.
pub fn shown(bytes: &[u8]) -> String {
    let start = bytes.get(..SHOWN).unwrap_or(bytes);
    let text = String::from_utf8_lossy(start);
    let text = text.trim_end();
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// A header, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Three digits; 200 is success.
    pub status: u16,
    /// Bytes of the body that follows.
    pub length: u64,
}

impl Header {
    /// Reads three digits, a blank, and a number of up to 11 digits flush
    /// right in 11 bytes; `None` for anything else. The last byte is not looked
    /// at: Icinga 2 puts the first of the query's `Separators` there.
    pub fn parse(bytes: &[u8; HEADER_LEN]) -> Option<Header> {
        let (status, rest) = bytes.split_first_chunk::<3>()?;
        let (blank, rest) = rest.split_first()?;
        let (length, _) = rest.split_first_chunk::<11>()?;
        if *blank != b' ' {
            return None;
        }
        let start = length.iter().position(|byte| *byte != b' ')?;
        Some(Header {
            status: u16::try_from(number(status)?).ok()?,
            length: number(length.get(start..)?)?,
        })
    }

    /// Whether a server that answered with this status is certain to have read
    /// the whole request. After a 400 Naemon keeps the rest of it and takes it
    /// for the beginning of the next one.
    pub fn leaves_channel_in_step(self) -> bool {
        matches!(self.status, 200 | 404 | 413)
    }
}

/// Why what a site sent is not a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    /// It does not begin with a header.
    NotAHeader,
    /// It goes on behind its end.
    Surplus,
}

/// What a piece of input holds of a response.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The header, if this piece completed it.
    pub began: Option<Header>,
    /// Bytes of the body.
    pub body: &'a [u8],
    /// Whether the response is complete.
    pub done: bool,
}

/// Finds where one response ends: 16 bytes, then as many as they announce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    head: [u8; HEADER_LEN],
    have: usize,
    /// The header, and how much of the body is still to come.
    body: Option<(Header, u64)>,
}

impl Default for Frame {
    fn default() -> Self {
        Frame {
            head: [0; HEADER_LEN],
            have: 0,
            body: None,
        }
    }
}

impl Frame {
    /// Takes in the next bytes from the site.
    pub fn take<'a>(&mut self, bytes: &'a [u8]) -> Result<Piece<'a>, Defect> {
        let (mut began, mut rest) = (None, bytes);
        if self.body.is_none() {
            let wanted = bytes.len().min(HEADER_LEN - self.have);
            let (head, behind) = bytes.split_at(wanted);
            for (place, byte) in self.head.iter_mut().skip(self.have).zip(head) {
                *place = *byte;
            }
            self.have += wanted;
            rest = behind;
            if self.have == HEADER_LEN {
                let header = Header::parse(&self.head).ok_or(Defect::NotAHeader)?;
                began = Some(header);
                self.body = Some((header, header.length));
            }
        }
        let Some((_, left)) = &mut self.body else {
            // Icinga 2 may answer unframed, with less than a header, and keep
            // the connection: it would be waited for until the time is over.
            if !self.may_be_header() {
                return Err(Defect::NotAHeader);
            }
            return Ok(Piece {
                began,
                body: rest,
                done: false,
            });
        };
        *left = left.checked_sub(rest.len() as u64).ok_or(Defect::Surplus)?;
        Ok(Piece {
            began,
            body: rest,
            done: *left == 0,
        })
    }

    /// So many bytes of the body have come and went past; as many at most as
    /// are still to come.
    pub fn skip(&mut self, count: usize) {
        if let Some((_, left)) = &mut self.body {
            *left = left.saturating_sub(count as u64);
        }
    }

    /// The header's bytes, as far as they have come.
    pub fn head(&self) -> &[u8] {
        self.head.get(..self.have).unwrap_or_default()
    }

    /// Whether what has come could be the beginning of a header.
    pub fn may_be_header(&self) -> bool {
        let fits = |(place, byte): (usize, &u8)| match place {
            0..=2 => byte.is_ascii_digit(),
            3 => *byte == b' ',
            4..=14 => byte.is_ascii_digit() || *byte == b' ',
            _ => true,
        };
        self.head().iter().enumerate().all(fits)
    }

    /// The header, once it has come.
    pub fn header(&self) -> Option<Header> {
        self.body.map(|(header, _)| header)
    }

    /// How much of the body is still to come; nothing before the header is there.
    pub fn left(&self) -> Option<u64> {
        self.body.map(|(_, left)| left)
    }
}

/// Longest of the short responses: to a heartbeat, and what follows a command.
const LONGEST_SHORT: usize = 64 * 1024;

/// A short response that has come whole.
#[derive(Debug, PartialEq, Eq)]
pub struct Short {
    /// What stood in front of the header: the lines `400: text` with which
    /// Naemon refuses a command.
    pub refusal: Vec<u8>,
    /// The header.
    pub header: Header,
    /// The body.
    pub body: Vec<u8>,
}

/// Collects a short response, which is wanted whole.
#[derive(Debug, Default)]
pub struct Collector {
    bytes: Vec<u8>,
}

impl Collector {
    /// Takes in the next bytes from the site. Lines of a refused command may
    /// stand in front of the header where a command was sent.
    pub fn take(&mut self, bytes: &[u8], behind_command: bool) -> Result<Option<Short>, Defect> {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() > LONGEST_SHORT {
            return Err(Defect::Surplus);
        }
        let mut rest = self.bytes.as_slice();
        while behind_command && is_refusal(rest) {
            match memchr(b'\n', rest) {
                Some(end) => rest = rest.get(end + 1..).unwrap_or_default(),
                None => return Ok(None),
            }
        }
        let mut frame = Frame::default();
        let piece = frame.take(rest)?;
        let (true, Some(header)) = (piece.done, frame.header()) else {
            return match frame.may_be_header() {
                true => Ok(None),
                false => Err(Defect::NotAHeader),
            };
        };
        let refusal = self.bytes.len() - rest.len();
        Ok(Some(Short {
            refusal: self.bytes.get(..refusal).unwrap_or_default().to_vec(),
            header,
            body: piece.body.to_vec(),
        }))
    }

    /// The lines with which a command was refused, as far as they are complete.
    pub fn refusal(&self) -> &[u8] {
        let mut rest = self.bytes.as_slice();
        while is_refusal(rest)
            && let Some(end) = memchr(b'\n', rest)
        {
            rest = rest.get(end + 1..).unwrap_or_default();
        }
        let length = self.bytes.len() - rest.len();
        self.bytes.get(..length).unwrap_or_default()
    }

    /// What has come so far.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Whether a line begins as Naemon's refusals do: three digits and a colon.
fn is_refusal(bytes: &[u8]) -> bool {
    matches!(bytes, [a, b, c, b':', ..] if [a, b, c].iter().all(|byte| byte.is_ascii_digit()))
}

fn number(digits: &[u8]) -> Option<u64> {
    let mut value = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + u64::from(digit - b'0');
    }
    Some(value)
}

/// A success with this body, framed.
pub fn framed(body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("200 {:>11}\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// An answer of our own: framed for a client that asked for it, and otherwise
/// `502: text`, the form in which the servers themselves write an error
/// outside of a response and in which Perl and LMD recognise one.
pub fn own(code: u16, text: &str, fixed16: bool) -> Vec<u8> {
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if fixed16 {
        format!("{code:03} {:>11}\n{text}\n", text.len() + 1).into_bytes()
    } else {
        format!("{code:03}: {text}\n").into_bytes()
    }
}

/// An answer of ours with a body of several lines: framed for a client that
/// asked for it; an error without a frame as in [`own`].
pub fn of_own_site(code: u16, body: Vec<u8>, fixed16: bool) -> Vec<u8> {
    if fixed16 {
        let mut bytes = format!("{code:03} {:>11}\n", body.len()).into_bytes();
        bytes.extend_from_slice(&body);
        bytes
    } else if code == 200 {
        body
    } else {
        own(code, String::from_utf8_lossy(&body).trim_end(), false)
    }
}

#[cfg(test)]
mod tests;
