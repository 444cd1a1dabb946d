//! What can go wrong with an answer, as data. Carrying it out is the channel's business.

use std::time::Duration;

/// Where in an answer something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before its first byte.
    BeforeHeader,
    /// After that many bytes of the header, less than 16.
    InHeader(usize),
    /// After the header and that many bytes of the body; 0 is just behind the header.
    InBody(usize),
    /// After its last byte.
    AfterAnswer,
}

/// One disaster. Without one a request is answered rightly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No fault: keeps a place in a list of faults for a request that is answered rightly.
    Nothing,
    /// Silence from there on, until released or the channel is closed; then the rest follows.
    Stall(Place),
    /// Silence for this time, then the right answer.
    Late(Duration),
    /// The answer ends there by an orderly close.
    Close(Place),
    /// The answer ends there by a reset (over UNIX sockets by a close: they know no reset).
    Reset(Place),
    /// The answer is written in pieces of these sizes, and the rest in one.
    Split(Vec<usize>),
    /// The answer is written byte by byte with this pause between.
    Drip(Duration),
    /// The first so many bytes are spread evenly over this time, the rest follows at once.
    SlowStart(usize, Duration),
    /// The right answer, and an orderly close this much later.
    Linger(Duration),
    /// The header announces that many bytes more than follow, or fewer. The channel stays open.
    WrongLength(i64),
    /// These 16 bytes take the place of the header; the body follows, the channel stays open.
    Header([u8; 16]),
    /// The right answer with these bytes behind it, in the same write.
    Extra(Vec<u8>),
    /// This text instead of header and body, and the close.
    Raw(Vec<u8>),
}

impl Fault {
    /// The name under which the site counts that it happened.
    pub fn name(&self) -> &'static str {
        match self {
            Fault::Nothing => "nothing",
            Fault::Stall(Place::BeforeHeader) => "stall-before-header",
            Fault::Stall(Place::InHeader(_)) => "stall-in-header",
            Fault::Stall(Place::InBody(_)) => "stall-in-body",
            Fault::Stall(Place::AfterAnswer) => "stall-after-answer",
            Fault::Late(_) => "late",
            Fault::Close(Place::BeforeHeader) => "close-before-header",
            Fault::Close(Place::InHeader(_)) => "close-in-header",
            Fault::Close(Place::InBody(_)) => "close-in-body",
            Fault::Close(Place::AfterAnswer) => "close-after-answer",
            Fault::Reset(Place::BeforeHeader) => "reset-before-header",
            Fault::Reset(Place::InHeader(_)) => "reset-in-header",
            Fault::Reset(Place::InBody(_)) => "reset-in-body",
            Fault::Reset(Place::AfterAnswer) => "reset-after-answer",
            Fault::Split(_) => "split",
            Fault::Drip(_) => "drip",
            Fault::SlowStart(..) => "slow-start",
            Fault::Linger(_) => "linger",
            Fault::WrongLength(_) => "wrong-length",
            Fault::Header(_) => "garbage-header",
            Fault::Extra(_) => "extra-bytes",
            Fault::Raw(_) => "raw-text",
        }
    }
}
