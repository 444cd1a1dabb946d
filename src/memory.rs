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

    /// Sets another limit. What is taken beyond it stays taken.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
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

/// No site may hold more than this part of a budget: clients of one site that
/// do not take their responses must leave memory to the others.
const PART_OF_SITE: usize = 2;

/// What one site holds of a budget.
#[derive(Debug, Default)]
pub struct Share {
    held: usize,
}

impl Share {
    /// Bytes held now.
    pub fn held(&self) -> usize {
        self.held
    }
}

/// A budget as one site may use it.
#[derive(Debug)]
pub struct Account<'a> {
    /// The budget of all sites.
    pub budget: &'a mut Budget,
    /// The site's share of it.
    pub share: &'a mut Share,
}

impl Account<'_> {
    /// Takes `bytes` if they fit.
    pub fn take(&mut self, bytes: usize) -> bool {
        let part = self.budget.limit / PART_OF_SITE;
        let fits = bytes <= part.saturating_sub(self.share.held) && self.budget.take(bytes);
        if fits {
            self.share.held += bytes;
        }
        fits
    }

    /// Gives `bytes` back.
    pub fn give_back(&mut self, bytes: usize) {
        self.budget.give_back(bytes);
        self.share.held = self.share.held.saturating_sub(bytes);
    }

    /// Replaces `before` bytes by `after`; `false`, and nothing changes, if that does not fit.
    pub fn resize(&mut self, before: usize, after: usize) -> bool {
        if after > before {
            return self.take(after - before);
        }
        self.give_back(before - after);
        true
    }

    /// The most that one response may take.
    pub fn most(&self) -> usize {
        self.budget.limit / PART_OF_SITE
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

    #[test]
    fn one_site_leaves_half_to_the_others() {
        let mut budget = Budget::new(100);
        let (mut one, mut other) = (Share::default(), Share::default());
        let mut account = Account {
            budget: &mut budget,
            share: &mut one,
        };
        assert!(account.take(50));
        assert!(!account.take(1));
        assert!(account.resize(50, 20));
        assert!(account.take(30));
        let mut account = Account {
            budget: &mut budget,
            share: &mut other,
        };
        assert!(account.take(50));
        account.give_back(50);
        assert_eq!((one.held(), other.held(), budget.taken()), (50, 0, 50));
    }
}
