//! The one place where memory for responses and requests is granted. A number
//! with a limit: what is taken must be given back, and nothing else is known.

/// How much may be held, how much is.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    taken: usize,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Budget { limit, taken: 0 }
    }

    /// Takes `bytes` if they fit.
    pub fn take(&mut self, bytes: usize) -> bool {
        let fits = bytes <= self.limit.saturating_sub(self.taken);
        if fits {
            self.taken += bytes;
        }
        fits
    }

    /// Gives `bytes` back.
    pub fn give_back(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.taken, "gave back what was not taken");
        self.taken = self.taken.saturating_sub(bytes);
    }

    /// Replaces a share of `before` bytes by one of `after`; `false`, and
    /// nothing changes, if that does not fit.
    pub fn resize(&mut self, before: usize, after: usize) -> bool {
        if after > before {
            return self.take(after - before);
        }
        self.give_back(before - after);
        true
    }

    /// The limit, in bytes.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes held now.
    pub fn taken(&self) -> usize {
        self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_grants_up_to_its_limit_and_takes_back() {
        let mut budget = Budget::new(10);
        assert!(budget.take(6));
        assert!(!budget.take(5));
        assert!(budget.resize(6, 10));
        assert!(!budget.resize(10, 11));
        assert!(budget.resize(10, 2));
        assert_eq!(budget.taken(), 2);
        assert!(!budget.take(usize::MAX));
        budget.give_back(2);
        assert!(budget.take(10));
    }
}
