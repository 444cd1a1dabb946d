//! Why a query is not answered by its site, in words for a person.

use super::Loss;
use crate::proto::response::{BAD_GATEWAY, UNTRUSTED};
use std::time::Duration;

/// Why a query is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The site is dead.
    Unreachable {
        /// What its death was noticed by.
        cause: Loss,
        /// How long it has been dead.
        lasted: Duration,
        /// When the next attempt begins; `None` while one is under way.
        next: Option<Duration>,
    },
    /// There was no channel in time, and it is not known yet whether there can be one.
    NoChannel {
        /// How long the client waited.
        waited: Duration,
    },
    /// No channel became free in time.
    Busy {
        /// How many channels are open.
        channels: usize,
        /// How long the client waited.
        waited: Duration,
    },
    /// All channels are at work, nothing comes on any of them, and a further
    /// connection gets no answer either.
    Mute {
        /// For how long.
        lasted: Duration,
    },
    /// The response was not there in time.
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// The site closed the connection on this query, and on a fresh one again.
    LostTwice,
    /// The site answered with something that is not Livestatus, twice.
    NotLivestatus(String),
    /// What the site sent cannot be passed on and the query may not be repeated.
    Unusable(Loss),
    /// The site is disabled, for this reason if one was given.
    Disabled(String),
    /// The site is no longer served; the sentence says why.
    Ended(&'static str),
    /// A command was written, and the channel ended before its barrier was answered.
    MayHaveBeenDelivered(Loss),
}

impl Refusal {
    /// The query's channel was lost and it may not be sent once more.
    pub(super) fn lost(loss: &Loss) -> Refusal {
        match loss {
            Loss::NotAHeader(bytes) => Refusal::NotLivestatus(bytes.clone()),
            Loss::Closed | Loss::Broken(_) => Refusal::LostTwice,
            loss => Refusal::Unusable(loss.clone()),
        }
    }

    /// The status of the answer.
    pub fn status(&self) -> u16 {
        match self {
            Refusal::Unreachable {
                cause: Loss::Untrusted(_),
                ..
            } => UNTRUSTED,
            _ => BAD_GATEWAY,
        }
    }

    /// The sentence that the client is shown.
    pub fn text(&self, site: &str) -> String {
        match self {
            // Waiting does not help here, so nothing is said of the next attempt.
            Refusal::Unreachable {
                cause: cause @ Loss::Untrusted(_),
                ..
            } => format!("Site {site}: {cause}"),
            Refusal::Unreachable {
                cause,
                lasted,
                next,
            } => {
                let next = match next {
                    Some(time) => format!("next attempt in {} s", rounded_up(*time)),
                    None => "next attempt under way".into(),
                };
                let lasted = lasted.as_secs();
                format!("Site {site} is not reachable: {cause} (for {lasted} s, {next})")
            }
            Refusal::NoChannel { waited } => format!(
                "Site {site} is not reachable: no channel is open yet (waited {:.1} s)",
                waited.as_secs_f64()
            ),
            Refusal::Busy { channels, waited } => format!(
                "All {channels} channels busy, timeout waiting for free channel. (site {site}, waited {:.1} s)",
                waited.as_secs_f64()
            ),
            Refusal::Mute { lasted } => {
                let lasted = lasted.as_secs();
                format!("Site {site} does not answer a heartbeat (for {lasted} s)")
            }
            Refusal::TimedOut { limit } => {
                format!("Site {site} did not answer within {} s", seconds(*limit))
            }
            Refusal::LostTwice => {
                format!("Site {site} closed the connection twice on this query")
            }
            Refusal::NotLivestatus(bytes) => {
                format!("Site {site} answered something that is not Livestatus: \"{bytes}\"")
            }
            Refusal::Unusable(loss) => format!("Site {site}: response not usable: {loss}"),
            Refusal::Disabled(reason) if reason.is_empty() => format!("Site {site} is disabled"),
            Refusal::Disabled(reason) => format!("Site {site} is disabled: {reason}"),
            Refusal::Ended(why) => format!("Site {site} is no longer served: {why}"),
            Refusal::MayHaveBeenDelivered(loss) => {
                format!("Site {site}: channel lost before the command was confirmed: {loss}")
            }
        }
    }
}

/// A time limit as an administrator would write it: `120`, `0.5`.
fn seconds(time: Duration) -> String {
    let text = format!("{:.1}", time.as_secs_f64());
    text.strip_suffix(".0").unwrap_or(&text).to_string()
}

/// Nobody is told to come back in 0 s while there is nothing to come back to.
fn rounded_up(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_tell_the_cases_apart() {
        let (ms, secs) = (Duration::from_millis, Duration::from_secs);
        let unreachable = |next| Refusal::Unreachable {
            cause: Loss::NotConnected("Connection refused".into()),
            lasted: ms(12_300),
            next,
        };
        for (refusal, want) in [
            (
                unreachable(Some(ms(2_100))),
                "Site muc is not reachable: Connection refused (for 12 s, next attempt in 3 s)",
            ),
            (
                unreachable(Some(secs(2))),
                "Site muc is not reachable: Connection refused (for 12 s, next attempt in 2 s)",
            ),
            (
                unreachable(Some(ms(0))),
                "Site muc is not reachable: Connection refused (for 12 s, next attempt in 0 s)",
            ),
            (
                unreachable(None),
                "Site muc is not reachable: Connection refused (for 12 s, next attempt under way)",
            ),
            (
                Refusal::NoChannel { waited: ms(5_004) },
                "Site muc is not reachable: no channel is open yet (waited 5.0 s)",
            ),
            (
                Refusal::Busy {
                    channels: 10,
                    waited: ms(5_004),
                },
                "All 10 channels busy, timeout waiting for free channel. (site muc, waited 5.0 s)",
            ),
            (
                Refusal::Mute { lasted: ms(7_900) },
                "Site muc does not answer a heartbeat (for 7 s)",
            ),
            (
                Refusal::TimedOut { limit: secs(120) },
                "Site muc did not answer within 120 s",
            ),
            (
                Refusal::TimedOut { limit: ms(500) },
                "Site muc did not answer within 0.5 s",
            ),
            (Refusal::Disabled(String::new()), "Site muc is disabled"),
            (
                Refusal::Disabled("works at the line".into()),
                "Site muc is disabled: works at the line",
            ),
            (
                Refusal::Ended("it was taken out of the configuration"),
                "Site muc is no longer served: it was taken out of the configuration",
            ),
            (
                Refusal::MayHaveBeenDelivered(Loss::Closed),
                "Site muc: channel lost before the command was confirmed: closed by the site",
            ),
        ] {
            assert_eq!(refusal.text("muc"), want);
            assert_eq!(refusal.status(), 502);
        }
        let untrusted = Refusal::Unreachable {
            cause: Loss::Untrusted("unable to get local issuer certificate".into()),
            lasted: secs(1),
            next: None,
        };
        assert_eq!(
            untrusted.text("muc"),
            "Site muc: certificate not trusted: unable to get local issuer certificate"
        );
        assert_eq!(untrusted.status(), 495);
    }

    #[test]
    fn what_a_lost_query_is_told_follows_from_how_it_was_lost() {
        for (loss, want) in [
            (
                Loss::Closed,
                "Site muc closed the connection twice on this query",
            ),
            (
                Loss::Broken("Connection reset by peer".into()),
                "Site muc closed the connection twice on this query",
            ),
            (
                Loss::NotAHeader("Invalid".into()),
                "Site muc answered something that is not Livestatus: \"Invalid\"",
            ),
            (
                Loss::Surplus,
                "Site muc: response not usable: the site sent more than it had announced",
            ),
        ] {
            assert_eq!(Refusal::lost(&loss).text("muc"), want);
        }
    }
}
