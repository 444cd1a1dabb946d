//! When to wake up. One deadline for each owner, kept by the owner; here is
//! only a heap of reminders. A reminder that comes too early is asked for
//! again, so a deadline may move later at no cost and is never cancelled.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// The earliest reminder that stands in the heap for one owner.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Armed(Option<Instant>);

/// Reminders for owners named by an `O`.
pub struct Timers<O> {
    heap: BinaryHeap<Reverse<(Instant, O)>>,
}

impl<O: Ord + Copy> Default for Timers<O> {
    fn default() -> Self {
        Timers {
            heap: BinaryHeap::new(),
        }
    }
}

impl<O: Ord + Copy> Timers<O> {
    /// Makes sure that `owner` is reminded no later than `deadline`.
    pub fn arm(&mut self, owner: O, armed: &mut Armed, deadline: Option<Instant>) {
        let Some(deadline) = deadline else { return };
        if armed.0.is_some_and(|at| at <= deadline) {
            return;
        }
        armed.0 = Some(deadline);
        self.heap.push(Reverse((deadline, owner)));
    }

    /// When the next reminder is due.
    pub fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// The next owner whose reminder is due, with the time it was for. The
    /// owner hands that time to [`fired`] and arms again.
    pub fn pop(&mut self, now: Instant) -> Option<(Instant, O)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(reminder)| reminder)
    }
}

/// Notes that the reminder for `at` has come. `false` for one that an earlier
/// reminder had replaced: there is nothing to do then.
pub fn fired(armed: &mut Armed, at: Instant) -> bool {
    if armed.0 != Some(at) {
        return false;
    }
    armed.0 = None;
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_deadline_that_moves_later_costs_no_second_reminder() {
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        let (mut timers, mut armed) = (Timers::default(), Armed::default());
        for seconds in [5, 6, 7] {
            timers.arm('a', &mut armed, Some(later(seconds)));
        }
        assert_eq!(timers.heap.len(), 1);
        timers.arm('a', &mut armed, Some(later(3)));
        assert_eq!(timers.next(), Some(later(3)));
        assert_eq!(timers.pop(later(2)), None);
        assert_eq!(timers.heap.len(), 2);
        let (at, owner) = timers.pop(later(4)).unwrap();
        assert_eq!(owner, 'a');
        assert!(fired(&mut armed, at));
        let (at, _) = timers.pop(later(9)).unwrap();
        assert!(!fired(&mut armed, at), "the replaced reminder is stale");
        timers.arm('a', &mut armed, None);
        assert!(timers.heap.is_empty());
        timers.arm('a', &mut armed, Some(later(9)));
        assert!(timers.pop(later(9)).is_some(), "due in that very moment");
    }
}
