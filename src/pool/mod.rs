//! The policy: which query gets which channel, when a site counts as dead,
//! when to try again. Events and the time go in, orders come out; no sockets,
//! no clock, no log, no randomness in here, so that a simulation can drive it
//! through years in a second.

mod channel;
mod health;
mod queue;
mod refusal;
mod site;

pub use refusal::Refusal;
pub use site::{CONNECT_TIMEOUT, Settings, Site, Vitals};

use crate::ids::QueryId;
use crate::proto::request::Kind;
use std::fmt;
use std::time::{Duration, Instant};

/// A channel's number within its site, from 0; used again when it was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChannelNo(pub u8);

impl ChannelNo {
    /// The number as an index.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A complete request wants a channel.
    Arrived(QueryId, Kind),
    /// A request of a site that has moved to another address, where it has
    /// waited for a channel since then.
    Moved(QueryId, Kind, Instant),
    /// A query that has not got a channel no longer wants one.
    Withdrawn(QueryId),
    /// The channel is established; nothing is proved by that.
    Connected(ChannelNo),
    /// The channel has answered a heartbeat, and this is what runs there.
    Beaten(ChannelNo, Core),
    /// The channel's query has its whole response and the channel is in step.
    Answered(ChannelNo),
    /// Nobody wants the response to the channel's query any more.
    Abandoned(ChannelNo),
    /// The channel is closed already.
    Lost {
        /// Which one.
        channel: ChannelNo,
        /// Why.
        loss: Loss,
        /// What its query has not got.
        owed: Owed,
    },
    /// The time that [`Site::deadline`] named has come.
    Due,
    /// The settings have changed.
    Configured(Settings),
    /// All channels are to be opened anew.
    Renewed,
    /// No more channels than these are to be kept for now.
    Limited(Option<usize>),
    /// Until then another daemon has channels to the site too. That the site
    /// ends a new one may only mean that it takes no more.
    Shared(Instant),
    /// The site is to go: what is under way is finished, nothing else is kept
    /// open. Wait queries are refused with this, if there is anything.
    Retired(Option<Refusal>),
}

/// What a query has not got when its channel is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owed {
    /// Nothing that could still be given: its response has come or been begun,
    /// or nobody wants it.
    Nothing,
    /// Everything, and it may be sent again.
    All,
    /// It is a command that was written, and nobody knows whether it was executed.
    Unknown,
}

/// What runs at a site, as far as it must be treated differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Core {
    /// Icinga 2, whose checks suffer from connections that are kept.
    Icinga2,
    /// Naemon, Nagios, Checkmk's cores, and whatever is not known.
    Other,
}

impl Core {
    /// Recognises the core by what it answers to a heartbeat: Icinga 2 gives
    /// its program version as `r2.13.6-1-icinga2`.
    pub fn of_heartbeat(body: &[u8]) -> Core {
        match body
            .windows(7)
            .any(|part| part.eq_ignore_ascii_case(b"icinga2"))
        {
            true => Core::Icinga2,
            false => Core::Other,
        }
    }
}

/// What a query is about, as far as the policy goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Errand {
    /// It reads.
    Get,
    /// It waits at the site for something to happen, up to a limit if it has one.
    Wait(Option<Duration>),
    /// It would have waited, and is content with how things are.
    Glance,
    /// It changes something.
    Command,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Begin to connect; [`Input::Connected`] or [`Input::Lost`] is to follow.
    Open(ChannelNo),
    /// Send a heartbeat on the channel.
    Beat(ChannelNo),
    /// Send the query on the channel.
    Assign {
        /// Which query.
        query: QueryId,
        /// On which channel.
        channel: ChannelNo,
        /// The end of the query's life, delivery included.
        deadline: Instant,
        /// A time limit for waiting that is to stand in it.
        wait: Option<Duration>,
    },
    /// The command cannot be delivered at present. It stays in the queue, unless
    /// its client waits for it: then it is to be withdrawn and the client told.
    Hold(QueryId, Refusal),
    /// Answer the query with an error. It is forgotten here.
    Refuse(QueryId, Refusal),
    /// Close the channel; it is forgotten here.
    Close(ChannelNo, Loss),
    /// So many channels are kept for a while, the site does not answer on more. Only for the log.
    Limit(usize),
    /// This is what runs at the site. Only for the log.
    Recognise(Core),
    /// The site's state has changed.
    Tell(Change),
}

/// Why a channel ended or could not be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loss {
    /// The site's name was not found; the resolver's words.
    NotFound(String),
    /// The connection was not made; the system's words.
    NotConnected(String),
    /// The site's certificate is not trusted; why.
    Untrusted(String),
    /// The site answered the TLS handshake with something else; its beginning.
    NotTls(String),
    /// The site closed the connection during the TLS handshake.
    HandshakeCut,
    /// The site accepted the connection and did not answer the TLS handshake.
    HandshakeUnanswered,
    /// The two sides found no way of encrypting, or what came was damaged; why.
    HandshakeFailed(String),
    /// The site was asked without TLS and answered with a TLS alert.
    SpeaksTls,
    /// No connection, or no answer to its first heartbeat, within [`CONNECT_TIMEOUT`].
    NoAnswer,
    /// The site closed it.
    Closed,
    /// The site closed it without a word on the first heartbeat. That is what a
    /// server made with OpenSSL does if it expects TLS and reads `GET `.
    ClosedUnheard,
    /// It broke; the system's words.
    Broken(String),
    /// The site sent something while nothing was asked.
    Spoke,
    /// What the site sent does not begin with a response header; its beginning.
    NotAHeader(String),
    /// The site sent more than its response.
    Surplus,
    /// After a response with this status the site may take part of the request for the next one.
    OutOfStep(u16),
    /// A heartbeat was not answered within this time.
    Missed(Duration),
    /// A heartbeat was answered with this status instead of 200.
    Unwell(u16, String),
    /// A query was not answered within this time.
    TimedOut(Duration),
    /// The client has gone and too much of the response is still to come.
    Abandoned,
    /// Nobody needs it at present, and keeping it would hurt the site.
    NotNeeded,
    /// All channels of a dead site are closed.
    SiteDead,
    /// The daemon has no place left for it.
    NoRoom,
}

impl Loss {
    /// Whether the site ended the channel, and not we.
    fn is_sites_doing(&self) -> bool {
        match self {
            Loss::Closed | Loss::Broken(_) | Loss::NotAHeader(_) | Loss::Spoke => true,
            Loss::ClosedUnheard => true,
            Loss::NotFound(_) | Loss::NotConnected(_) | Loss::NoAnswer => true,
            Loss::Untrusted(_) | Loss::NotTls(_) | Loss::HandshakeCut => true,
            Loss::HandshakeUnanswered | Loss::HandshakeFailed(_) | Loss::SpeaksTls => true,
            Loss::Surplus | Loss::OutOfStep(_) | Loss::Missed(_) | Loss::Unwell(..) => false,
            Loss::TimedOut(_) | Loss::Abandoned | Loss::NotNeeded => false,
            Loss::SiteDead | Loss::NoRoom => false,
        }
    }

    /// Whether a query that was lost with the channel may be sent again: only
    /// if the site hung up on it, never after a time-out, when the site may
    /// still be at work on it.
    fn may_retry(&self) -> bool {
        matches!(
            self,
            Loss::Closed | Loss::Broken(_) | Loss::NotAHeader(_) | Loss::Spoke
        )
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Loss::NotFound(why) | Loss::NotConnected(why) | Loss::Broken(why) => f.write_str(why),
            Loss::Untrusted(why) => write!(f, "certificate not trusted: {why}"),
            Loss::NotTls(bytes) => write!(
                f,
                "it answers a TLS handshake with \"{bytes}\"; if it speaks Livestatus there \
                 without TLS, 'tls' must be ('plain_text', {{}})"
            ),
            Loss::HandshakeCut => f.write_str(
                "it closes the connection during the TLS handshake; does it speak TLS on this port?",
            ),
            Loss::HandshakeUnanswered => f.write_str(
                "it accepts connections and does not answer a TLS handshake; does it speak TLS on \
                 this port?",
            ),
            Loss::HandshakeFailed(why) => write!(f, "TLS: {why}"),
            Loss::SpeaksTls => f.write_str(
                "it speaks TLS on this port: 'tls' must be ('encrypted', {'verify': True})",
            ),
            Loss::NoAnswer => write!(f, "no answer within {} s", CONNECT_TIMEOUT.as_secs()),
            Loss::Closed => f.write_str("closed by the site"),
            Loss::ClosedUnheard => f.write_str(
                "closed by the site without an answer; if it expects TLS on this port, 'tls' must \
                 be ('encrypted', {'verify': True})",
            ),
            Loss::Spoke => f.write_str("the site sent bytes that nobody had asked for"),
            Loss::NotAHeader(bytes) => write!(f, "not a Livestatus response: \"{bytes}\""),
            Loss::Surplus => f.write_str("the site sent more than it had announced"),
            Loss::OutOfStep(status) => write!(f, "not certain to be in step after status {status}"),
            Loss::Missed(time) => {
                write!(f, "heartbeat unanswered for {:.1} s", time.as_secs_f64())
            }
            Loss::Unwell(status, words) => {
                write!(f, "heartbeat answered with status {status}")?;
                match words.as_str() {
                    "" => Ok(()),
                    words => write!(f, ": {words}"),
                }
            }
            Loss::TimedOut(time) => write!(f, "no response within {:.1} s", time.as_secs_f64()),
            Loss::Abandoned => f.write_str("its client has gone, most of the response was to come"),
            Loss::NotNeeded => f.write_str("not needed at present"),
            Loss::SiteDead => f.write_str("the site is dead"),
            Loss::NoRoom => f.write_str("the proxy has no place left for it"),
        }
    }
}

/// How a site is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing has failed and nothing has been proved.
    Starting,
    /// At least one channel was proved.
    Ready,
    /// Ready, but no channel gets free in time and clients are being refused.
    Busy,
    /// Not reachable; queries are refused at once.
    Dead,
}

impl State {
    /// Its name, for people and for programs.
    pub fn name(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Ready => "ready",
            State::Busy => "busy",
            State::Dead => "dead",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A change of a site's state, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The state that ended.
    pub from: State,
    /// The state that begins.
    pub to: State,
    /// How long the old one lasted.
    pub lasted: Duration,
    /// Why, where a channel's end is the reason.
    pub cause: Option<Loss>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn icinga_2_is_known_by_its_version_however_that_is_written() {
        for (body, core) in [
            (&b"1795198323;r2.13.6-1-icinga2;2.13.6\n"[..], Core::Icinga2),
            (b"1795198323;R2.13.6-1-Icinga2;2.13.6\n", Core::Icinga2),
            (b"icinga2", Core::Icinga2),
            (b"1795198323;1.14.2-icinga;1.14\n", Core::Other),
            (b"1795198323;Check_MK 2.4.0;2.4.0\n", Core::Other),
            (b"", Core::Other),
        ] {
            assert_eq!(Core::of_heartbeat(body), core);
        }
    }

    #[test]
    fn every_loss_is_told_in_words_of_its_own() {
        let why = || String::from("why");
        let all = [
            (Loss::NotFound(why()), "why"),
            (Loss::NotConnected(why()), "why"),
            (Loss::Broken(why()), "why"),
            (Loss::Untrusted(why()), "certificate not trusted: why"),
            (
                Loss::NotTls("200".into()),
                "it answers a TLS handshake with \"200\"; if it speaks Livestatus there without \
                 TLS, 'tls' must be ('plain_text', {})",
            ),
            (
                Loss::HandshakeCut,
                "it closes the connection during the TLS handshake; does it speak TLS on this \
                 port?",
            ),
            (
                Loss::HandshakeUnanswered,
                "it accepts connections and does not answer a TLS handshake; does it speak TLS \
                 on this port?",
            ),
            (Loss::HandshakeFailed(why()), "TLS: why"),
            (
                Loss::SpeaksTls,
                "it speaks TLS on this port: 'tls' must be ('encrypted', {'verify': True})",
            ),
            (Loss::NoAnswer, "no answer within 10 s"),
            (Loss::Closed, "closed by the site"),
            (
                Loss::ClosedUnheard,
                "closed by the site without an answer; if it expects TLS on this port, 'tls' \
                 must be ('encrypted', {'verify': True})",
            ),
            (Loss::Spoke, "the site sent bytes that nobody had asked for"),
            (
                Loss::NotAHeader("SSH-2.0".into()),
                "not a Livestatus response: \"SSH-2.0\"",
            ),
            (Loss::Surplus, "the site sent more than it had announced"),
            (
                Loss::OutOfStep(400),
                "not certain to be in step after status 400",
            ),
            (
                Loss::Missed(Duration::from_millis(2_040)),
                "heartbeat unanswered for 2.0 s",
            ),
            (
                Loss::Unwell(500, String::new()),
                "heartbeat answered with status 500",
            ),
            (
                Loss::Unwell(500, why()),
                "heartbeat answered with status 500: why",
            ),
            (
                Loss::TimedOut(Duration::from_millis(500)),
                "no response within 0.5 s",
            ),
            (
                Loss::Abandoned,
                "its client has gone, most of the response was to come",
            ),
            (Loss::NotNeeded, "not needed at present"),
            (Loss::SiteDead, "the site is dead"),
            (Loss::NoRoom, "the proxy has no place left for it"),
        ];
        for (loss, text) in all {
            assert_eq!(loss.to_string(), text);
        }
    }

    /// State file, control socket and metrics are read by programs.
    #[test]
    fn the_names_of_the_states_are_those_that_programs_know() {
        for (state, name) in [
            (State::Starting, "starting"),
            (State::Ready, "ready"),
            (State::Busy, "busy"),
            (State::Dead, "dead"),
        ] {
            assert_eq!((state.name(), state.to_string().as_str()), (name, name));
        }
    }
}
