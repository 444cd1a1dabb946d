//! What follows when the loop itself stood still: the process was stopped, its
//! machine paused or far too busy. Time has passed in which nobody was heard,
//! so nobody is judged by it before he had a chance to be. Must not know who
//! is judged.

use std::time::{Duration, Instant};

/// A loop that comes so much later than it meant to has stood still.
const NOTICED: Duration = Duration::from_secs(1);

/// So long after that no time-out is judged: what has come meanwhile is read
/// at once, and what was sent to a machine that was away is sent again.
const GRACE: Duration = Duration::from_secs(2);

/// So often in a row a grace begins anew: on a machine that is always late,
/// deadlines must still come.
const MOST_RENEWALS: u8 = 5;

/// Whether time-outs may be judged.
#[derive(Debug, Default)]
pub(super) struct Standstill {
    grace_ends: Option<Instant>,
    renewals: u8,
}

impl Standstill {
    /// The loop is at `now` and meant to be there `late` earlier. `true` if
    /// that counts as a standstill, and a grace begins.
    pub fn note(&mut self, late: Duration, now: Instant) -> bool {
        let begins = late >= NOTICED && self.renewals < MOST_RENEWALS;
        if begins {
            self.renewals += 1;
            self.grace_ends = Some(now + GRACE);
        }
        begins
    }

    /// Whether time-outs may be judged now.
    pub fn is_over(&mut self, now: Instant) -> bool {
        if self.grace_ends.is_some_and(|ends| now < ends) {
            return false;
        }
        *self = Standstill::default();
        true
    }

    /// When a deadline at `at` can be judged.
    pub fn put_off(&self, at: Instant) -> Instant {
        self.grace_ends.map_or(at, |ends| at.max(ends))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_wait_for_a_while_after_a_standstill_and_no_longer() {
        let start = Instant::now();
        let mut standstill = Standstill::default();
        assert!(!standstill.note(NOTICED / 2, start));
        assert!(standstill.is_over(start));
        assert_eq!(standstill.put_off(start), start);

        assert!(standstill.note(NOTICED, start));
        assert!(!standstill.is_over(start));
        assert_eq!(standstill.put_off(start), start + GRACE);
        let later = start + 3 * GRACE;
        assert_eq!(standstill.put_off(later), later);

        assert!(standstill.is_over(start + GRACE));
        assert_eq!(standstill.put_off(start), start);
    }

    #[test]
    fn a_machine_that_is_always_late_still_comes_to_its_deadlines() {
        let mut standstill = Standstill::default();
        let mut now = Instant::now();
        let mut judged = 0;
        for _ in 0..100 {
            now += NOTICED;
            standstill.note(NOTICED, now);
            judged += usize::from(standstill.is_over(now));
        }
        assert!((5..50).contains(&judged), "{judged}");
    }
}
