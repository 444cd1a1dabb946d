//! How patient to be with a site: how long a heartbeat may take, and how long
//! to pause after a failure.

use crate::config::HeartbeatTimeout;
use std::collections::VecDeque;
use std::time::Duration;

/// So many heartbeats make the typical time.
const REMEMBERED: usize = 20;

/// A percentage of a fast site's typical time is noise; this much any core may take.
const LEAST_TIMEOUT: Duration = Duration::from_secs(2);

/// The pause between attempts does not grow beyond this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What is known of a site's ways.
#[derive(Debug)]
pub(super) struct Health {
    /// The last heartbeats' times, oldest first.
    times: VecDeque<Duration>,
    /// Their median: it is asked for with every query, and changes only with a heartbeat.
    typical: Duration,
    /// Failures in a row.
    failures: u32,
    /// State of the jitter.
    random: u64,
}

impl Health {
    /// `seed` makes the jitter of two sites differ.
    pub fn new(seed: u64) -> Self {
        Health {
            times: VecDeque::with_capacity(REMEMBERED),
            typical: Duration::ZERO,
            failures: 0,
            random: seed | 1,
        }
    }

    /// A heartbeat took this long.
    pub fn observe(&mut self, time: Duration) {
        if self.times.len() == REMEMBERED {
            self.times.pop_front();
        }
        self.times.push_back(time);
        self.typical = self.median();
    }

    /// The site came to its end; when it comes back it may be another machine.
    pub fn forget(&mut self) {
        self.times.clear();
        self.typical = Duration::ZERO;
    }

    /// How long a heartbeat may take now.
    pub fn timeout(&self, rule: HeartbeatTimeout) -> Duration {
        match rule {
            HeartbeatTimeout::Fixed(time) => time,
            HeartbeatTimeout::Percent(more) => {
                let time = self.typical().saturating_mul(100_u32.saturating_add(more)) / 100;
                time.max(LEAST_TIMEOUT)
            }
        }
    }

    /// The last one, or nothing if nothing is known.
    pub fn last(&self) -> Duration {
        self.times.back().copied().unwrap_or_default()
    }

    /// The median, or nothing if nothing is known.
    pub fn typical(&self) -> Duration {
        self.typical
    }

    fn median(&self) -> Duration {
        let mut sorted: Vec<Duration> = self.times.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    /// The site has been well for a good while.
    pub fn recovered(&mut self) {
        self.failures = 0;
    }

    /// An attempt failed: how long to pause. The first pause is `base`, each
    /// further one half as long again; from the second on up to a fifth is
    /// taken off at random, so that sites that went together do not come back together.
    pub fn pause(&mut self, base: Duration) -> Duration {
        let mut pause = base;
        for _ in 0..self.failures {
            pause = (pause * 3 / 2).min(LONGEST_PAUSE.max(base));
        }
        if self.failures > 0 {
            pause -= pause / 1000 * (self.next_random() % 200) as u32;
        }
        // Beyond this the pause has long stopped growing, from any base.
        self.failures = (self.failures + 1).min(24);
        pause
    }

    /// xorshift64: good enough to spread attempts.
    fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_timeout_follows_the_median_but_never_below_two_seconds() {
        let mut health = Health::new(1);
        let half_more = HeartbeatTimeout::Percent(50);
        assert_eq!(health.timeout(half_more), 2000 * MS);
        for _ in 0..30 {
            health.observe(4000 * MS);
        }
        for _ in 0..9 {
            health.observe(MS);
        }
        assert_eq!(health.times.len(), REMEMBERED);
        assert_eq!(health.timeout(half_more), 6000 * MS);
        assert_eq!(health.timeout(HeartbeatTimeout::Fixed(MS)), MS);
    }

    #[test]
    fn a_site_that_was_away_is_not_judged_by_what_it_was_before() {
        let mut health = Health::new(1);
        for millis in [30, 10, 50, 20] {
            health.observe(millis * MS);
        }
        assert_eq!((health.typical(), health.last()), (30 * MS, 20 * MS));
        health.forget();
        assert_eq!(
            (health.typical(), health.last()),
            (Duration::ZERO, Duration::ZERO)
        );
        health.observe(7 * MS);
        assert_eq!((health.typical(), health.last()), (7 * MS, 7 * MS));
    }

    #[test]
    fn each_pause_is_half_as_long_again_less_up_to_a_fifth_at_random() {
        let base = Duration::from_secs(4);
        let mut shares = Vec::new();
        for seed in 1..=200 {
            let mut health = Health::new(seed);
            let mut full = base;
            for failures in 0..40 {
                let pause = health.pause(base);
                if failures == 0 {
                    assert_eq!(pause, base);
                } else {
                    assert!(
                        pause <= full && pause > full * 4 / 5,
                        "{pause:?} of {full:?}"
                    );
                    shares.push(pause.as_secs_f64() / full.as_secs_f64());
                }
                full = (full * 3 / 2).min(LONGEST_PAUSE);
            }
        }
        let below = |limit| shares.iter().filter(|share| **share < limit).count();
        // Spread over the whole fifth, and evenly.
        for (limit, part) in [(0.85, 0.25), (0.9, 0.5), (0.95, 0.75)] {
            let found = below(limit) as f64 / shares.len() as f64;
            assert!((found - part).abs() < 0.06, "{found} below {limit}");
        }
    }

    #[test]
    fn pauses_grow_to_a_minute_and_start_over_after_recovery() {
        let mut health = Health::new(7);
        let base = Duration::from_secs(4);
        assert_eq!(health.pause(base), base);
        let mut longest = base;
        for _ in 0..40 {
            let pause = health.pause(base);
            assert!(pause <= LONGEST_PAUSE);
            longest = longest.max(pause);
        }
        assert!(longest > LONGEST_PAUSE * 4 / 5);
        health.recovered();
        assert_eq!(health.pause(base), base);
        let long = Duration::from_secs(300);
        assert!(
            health.pause(long) > long * 3 / 4,
            "never far below its base"
        );
    }
}
