//! Numbers that look random and are the same for the same seed, or that a fuzzer has thought up.

use std::collections::VecDeque;

/// splitmix64: every seed gives a good walk, also 0, 1, 2.
pub struct Random {
    state: u64,
    /// Taken first.
    given: VecDeque<u8>,
}

impl Random {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Random {
        Random {
            state: seed,
            given: VecDeque::new(),
        }
    }

    /// The numbers that these bytes make, and behind them those of a seed.
    pub fn given(bytes: &[u8]) -> Random {
        Random {
            state: bytes.len() as u64,
            given: bytes.iter().copied().collect(),
        }
    }

    /// Whether there are no given bytes left.
    pub fn is_used_up(&self) -> bool {
        self.given.is_empty()
    }

    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// At least 0, less than `limit`. Of given bytes no more are taken than `limit` has, so that
    /// each decides something.
    pub fn below(&mut self, limit: u64) -> u64 {
        if self.given.is_empty() {
            return self.next() % limit;
        }
        let mut number: u64 = 0;
        let mut room = limit - 1;
        loop {
            number = number << 8 | u64::from(self.given.pop_front().unwrap_or(0));
            room >>= 8;
            if room == 0 {
                return number % limit;
            }
        }
    }

    /// True in so many of a hundred cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}
