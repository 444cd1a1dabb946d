//! What is remembered of the sites: what they say of themselves, what went wrong
//! with them last, and the changes of their states.

use super::Reactor;
use crate::counters::Counter;
use crate::ids::SiteId;
use crate::pool::{Change, Loss, State};
use crate::proto::response::shown;
use crate::report::Event;
use crate::sys;
use std::time::Instant;

/// So many changes of state are remembered.
const MOST_EVENTS: usize = 1000;

/// What is wrong with the configuration that was read last.
#[derive(Debug)]
pub(super) struct ConfigFault {
    pub(super) text: String,
    /// When it was read, in seconds since 1970.
    pub(super) since: f64,
    /// It is in use all the same, without what is wrong.
    pub(super) in_part: bool,
}

/// What a site says of itself in the answer to a heartbeat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Greeting {
    /// When the core was started, in seconds since 1970; 0 if it does not say.
    pub(super) program_start: u64,
    pub(super) program_version: String,
    pub(super) livestatus_version: String,
    /// As it came; empty if it is too long to be one.
    body: Vec<u8>,
}

/// A greeting is no longer than this.
const LONGEST_GREETING: usize = 1000;

/// Of a version, so much is remembered.
const LONGEST_VERSION: usize = 100;

impl Greeting {
    pub(super) fn of_heartbeat(body: &[u8]) -> Greeting {
        let text = shown(body);
        let mut fields = text.split(';');
        let mut next = || fields.next().unwrap_or_default().trim();
        let start = next();
        let version = |text: &str| text.chars().take(LONGEST_VERSION).collect();
        Greeting {
            // Some cores give it with a fraction.
            program_start: start
                .split('.')
                .next()
                .unwrap_or_default()
                .parse()
                .unwrap_or(0),
            program_version: version(next()),
            livestatus_version: version(next()),
            body: match body.len() {
                ..=LONGEST_GREETING => body.to_vec(),
                _ => Vec::new(),
            },
        }
    }

    /// The answer to the last heartbeat, if there is one.
    pub(super) fn body(&self) -> Option<&[u8]> {
        (!self.body.is_empty()).then_some(self.body.as_slice())
    }
}

/// What went wrong with a site, and when.
#[derive(Debug)]
pub(super) struct History {
    /// When its channels were last begun anew.
    pub(super) last_reset: Instant,
    /// And with what words it failed.
    pub(super) last_failed_connect: Option<(Instant, String)>,
    pub(super) last_death: Option<Instant>,
}

impl History {
    pub(super) fn new(now: Instant) -> History {
        History {
            last_reset: now,
            last_failed_connect: None,
            last_death: None,
        }
    }
}

impl Reactor {
    /// Notes how the configuration was taken in; an error is one line for a person.
    pub fn note_configured(&mut self, result: Result<(), String>) {
        let now = sys::since_epoch().as_secs_f64();
        self.config_fault = match result {
            Ok(()) => {
                self.configured = now;
                None
            }
            Err(text) => Some(ConfigFault {
                text,
                since: now,
                in_part: false,
            }),
        };
    }

    /// Notes that the daemon starts with a configuration of which something is wrong.
    pub fn note_configured_in_part(&mut self, problems: String) {
        self.note_configured(Ok(()));
        self.config_fault = Some(ConfigFault {
            text: problems,
            since: self.configured,
            in_part: true,
        });
    }

    /// Notes why nothing came of an order to restart, one line for a person.
    pub fn note_not_restarted(&mut self, why: String) {
        self.restart_error = Some(why);
    }

    /// Remembers a change of a site's state.
    pub(super) fn note_change(&mut self, site: SiteId, change: &Change) {
        let Some(entry) = self.sites.get_mut(site) else {
            return;
        };
        match change.to {
            State::Dead => {
                entry.counters.add(Counter::Deaths);
                entry.history.last_death = Some(self.now);
            }
            State::Ready if change.from == State::Dead => entry.history.last_reset = self.now,
            State::Ready | State::Busy | State::Starting => {}
        }
        if entry.disabled.is_some() {
            // It is shown as disabled, whatever becomes of its last channels.
            return;
        }
        let name = entry.name.clone();
        let cause = change.cause.as_ref().map(Loss::to_string);
        self.remember(Event {
            site: name,
            from: change.from.name(),
            to: change.to.name(),
            cause: cause.unwrap_or_default(),
            lasted: change.lasted,
            ..Event::default()
        });
    }

    /// Remembers an event, and forgets the oldest if there are too many.
    pub(super) fn remember(&mut self, event: Event) {
        self.events_so_far += 1;
        if self.events.len() == MOST_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(Event {
            number: self.events_so_far,
            time: sys::since_epoch().as_secs_f64(),
            ..event
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_is_read_from_the_answer_to_a_heartbeat_whatever_it_is() {
        let greeting = Greeting::of_heartbeat(b"1700000000;Check_MK 2.3.0p1;2.3.0p1\n");
        assert_eq!(greeting.program_start, 1_700_000_000);
        assert_eq!(greeting.program_version, "Check_MK 2.3.0p1");
        assert_eq!(greeting.livestatus_version, "2.3.0p1");
        assert_eq!(
            Greeting::of_heartbeat(b"1700000000.25;x").program_start,
            1_700_000_000
        );
        assert_eq!(Greeting::of_heartbeat(b"\xff;;;;").program_start, 0);
        assert_eq!(Greeting::of_heartbeat(&[b'x'; 1001]).body(), None);
        assert_eq!(Greeting::of_heartbeat(b""), Greeting::default());
    }
}
