//! A limit on lines of the log, for what may happen very often: a core that
//! restarts loses all its channels at once, and whoever may connect to a port
//! can fail there as often as he likes.

use std::fmt;
use std::time::{Duration, Instant};

/// So long after a line there is no other one like it.
const PAUSE: Duration = Duration::from_secs(60);

/// The limit on lines of one kind.
#[derive(Debug, Default)]
pub(super) struct LogLimit {
    told: Option<Instant>,
    untold: u32,
}

impl LogLimit {
    /// It has happened once more. If it is time for a line, what that has to end with.
    pub(super) fn count(&mut self, now: Instant) -> Option<Untold> {
        if self.told.is_some_and(|told| now < told + PAUSE) {
            self.untold = self.untold.saturating_add(1);
            return None;
        }
        self.told = Some(now);
        Some(Untold(std::mem::take(&mut self.untold)))
    }
}

/// How often it has happened without a line of its own. Displayed, it is the
/// end of the next line, and nothing where there is nothing to add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Untold(u32);

impl fmt::Display for Untold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(f, "; {count} more since the last line like this"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_often_is_told_once_a_minute_with_how_often_it_was() {
        let start = Instant::now();
        let mut limit = LogLimit::default();
        let mut told_after = |seconds| {
            let untold = limit.count(start + Duration::from_secs(seconds))?;
            Some(untold.to_string())
        };
        assert_eq!(told_after(0).as_deref(), Some(""));
        assert_eq!((told_after(1), told_after(59)), (None, None));
        let more = "; 2 more since the last line like this";
        assert_eq!(told_after(60).as_deref(), Some(more));
        assert_eq!(told_after(119), None);
        let more = "; 1 more since the last line like this";
        assert_eq!(told_after(200).as_deref(), Some(more));
        assert_eq!(told_after(300).as_deref(), Some(""));
    }
}
