//! The one place where memory for responses and requests is granted. A number
//! with a limit: what is taken must be given back, and nothing else is known.

use std::time::{Duration, Instant};

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
        let fits = bytes <= self.left();
        if fits {
            self.taken += bytes;
        }
        fits
    }

    /// How many bytes may still be taken.
    pub fn left(&self) -> usize {
        self.limit.saturating_sub(self.taken)
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

    /// Bytes held now.
    pub fn taken(&self) -> usize {
        self.taken
    }
}

/// Sites have this part of a shared budget for themselves, divided among all of them.
const OWN_PART: usize = 8;

/// But each at least this much, so that what comes in one read can always be paid for.
const OWN_AT_LEAST: usize = 64 * 1024;

/// And none more than this: it is a window, through which a response of any length can be passed on.
const OWN_AT_MOST: usize = 1024 * 1024;

/// A budget that sites share. Each has a part of its own, which nobody else
/// can take. Of the rest, it may hold half of what the others have left: so
/// however many sites are held up by clients that take nothing, and however
/// much these hold, there is something for the next one.
#[derive(Debug)]
pub struct SharedBudget {
    limit: usize,
    /// Bytes held now by all sites.
    taken: usize,
    /// What each site has for itself.
    own: usize,
    /// What is for all of them, and what they hold of it.
    common: Budget,
}

impl SharedBudget {
    /// A budget of `limit` bytes; see [`SharedBudget::divide`].
    pub fn new(limit: usize) -> Self {
        SharedBudget {
            limit,
            taken: 0,
            own: 0,
            common: Budget::new(limit),
        }
    }

    /// Sets another limit, which counts from the next division on.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// The limit, in bytes.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Divides it anew: these are the shares of all sites that there are.
    pub fn divide<'a>(&mut self, shares: impl Iterator<Item = &'a Share> + Clone) {
        let sites = shares.clone().count().max(1);
        self.own = (self.limit / OWN_PART / sites).clamp(OWN_AT_LEAST, OWN_AT_MOST);
        self.common = Budget {
            limit: self.limit.saturating_sub(self.own * sites),
            taken: shares.map(|share| self.beyond_own(share.held)).sum(),
        };
    }

    /// Bytes held now.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// How much of `held` bytes is not the site's own part.
    fn beyond_own(&self, held: usize) -> usize {
        held.saturating_sub(self.own)
    }
}

/// What one site holds of a shared budget.
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

/// A shared budget as one site may use it.
#[derive(Debug)]
pub struct Account<'a> {
    /// The budget of all sites.
    pub budget: &'a mut SharedBudget,
    /// The site's share of it.
    pub share: &'a mut Share,
}

impl Account<'_> {
    /// Takes `bytes` if they fit. If they are no more than [`Account::most`]
    /// and do not fit, it is only because the site itself holds the memory.
    pub fn take(&mut self, bytes: usize) -> bool {
        let Some(held) = self.share.held.checked_add(bytes) else {
            return false;
        };
        let before = self.budget.beyond_own(self.share.held);
        let after = self.budget.beyond_own(held);
        let fits = held <= self.most() && self.budget.common.resize(before, after);
        if fits {
            self.share.held = held;
            self.budget.taken += bytes;
        }
        fits
    }

    /// Gives `bytes` back.
    pub fn give_back(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.share.held, "gave back what was not taken");
        let held = self.share.held.saturating_sub(bytes);
        let beyond = self.budget.beyond_own(self.share.held) - self.budget.beyond_own(held);
        self.budget.common.give_back(beyond);
        self.budget.taken = self.budget.taken.saturating_sub(bytes);
        self.share.held = held;
    }

    /// Replaces `before` bytes by `after`; `false`, and nothing changes, if that does not fit.
    pub fn resize(&mut self, before: usize, after: usize) -> bool {
        if after > before {
            return self.take(after - before);
        }
        self.give_back(before - after);
        true
    }

    /// The most that the site may hold at present, which is also the most that
    /// one response may take.
    pub fn most(&self) -> usize {
        let budget = &self.budget;
        let of_others = budget
            .common
            .taken
            .saturating_sub(budget.beyond_own(self.share.held));
        let left = budget.common.limit.saturating_sub(of_others);
        (budget.own + left / 2)
            .min(budget.limit / 2)
            .max(budget.own)
    }
}

/// Notices when much less memory is held than before: what was freed is then
/// given back to the system, which the allocator does not do by itself.
#[derive(Debug, Default)]
pub struct Tide {
    highest: usize,
    /// When it ebbed last.
    ebbed: Option<Instant>,
}

/// Less than this is kept: it will be needed again soon.
const WORTH_GIVING_BACK: usize = 4 * 1024 * 1024;

/// No more often than this: it takes the allocator a while, and memory that is
/// needed again costs a page fault for each page.
const EBB_PAUSE: Duration = Duration::from_secs(1);

impl Tide {
    /// So much is held now; `true` if it is time to give memory back.
    pub fn has_ebbed(&mut self, held: usize, now: Instant) -> bool {
        self.highest = self.highest.max(held);
        let rests = self.ebbed.is_some_and(|at| now < at + EBB_PAUSE);
        if rests || self.highest - held < WORTH_GIVING_BACK {
            return false;
        }
        self.highest = held;
        self.ebbed = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_grants_up_to_its_limit_and_takes_back() {
        let mut budget = Budget::new(10);
        assert!(budget.take(6));
        assert_eq!(budget.left(), 4);
        assert!(!budget.take(5));
        assert!(budget.resize(6, 10));
        assert!(!budget.resize(10, 11));
        assert!(budget.resize(10, 2));
        assert_eq!(budget.taken(), 2);
        assert!(!budget.take(usize::MAX));
        budget.give_back(2);
        assert!(budget.take(10));
    }

    const MIB: usize = 1024 * 1024;

    /// The account of one of several sites.
    fn of<'a>(budget: &'a mut SharedBudget, shares: &'a mut [Share], site: usize) -> Account<'a> {
        let share = &mut shares[site];
        Account { budget, share }
    }

    fn shared(limit: usize, sites: usize) -> (SharedBudget, Vec<Share>) {
        let shares: Vec<Share> = (0..sites).map(|_| Share::default()).collect();
        let mut budget = SharedBudget::new(limit);
        budget.divide(shares.iter());
        (budget, shares)
    }

    #[test]
    fn a_lower_limit_takes_nothing_away_and_grants_nothing_more() {
        let mut budget = Budget::new(10);
        assert!(budget.take(6));
        budget.set_limit(5);
        assert_eq!(budget.taken(), 6);
        assert!(!budget.take(1));
        assert!(budget.resize(6, 6));
        budget.set_limit(7);
        assert!(budget.take(1) && !budget.take(1));
    }

    #[test]
    fn a_sites_own_part_follows_the_buffer_and_the_number_of_sites() {
        for (limit, sites, own) in [
            (128 * MIB, 1, MIB),
            (128 * MIB, 16, MIB),
            (128 * MIB, 64, MIB / 4),
            (128 * MIB, 100, 128 * MIB / 800),
            (128 * MIB, 600, 64 * 1024),
            (4 * MIB, 2, MIB / 4),
        ] {
            let (budget, _) = shared(limit, sites);
            assert_eq!(budget.own, own, "{limit} for {sites}");
        }
    }

    #[test]
    fn another_limit_of_the_shared_budget_counts_when_it_is_divided_anew() {
        let (mut budget, mut shares) = shared(128 * MIB, 1);
        budget.set_limit(16 * MIB);
        assert_eq!(budget.limit(), 16 * MIB);
        budget.divide(shares.iter());
        let mut only = of(&mut budget, &mut shares, 0);
        assert_eq!(only.most(), 8 * MIB, "half of it, also without others");
        assert!(only.take(5 * MIB) && only.take(MIB));
        assert_eq!(budget.taken(), 6 * MIB);
    }

    #[test]
    fn who_holds_more_than_the_most_of_today_may_keep_it() {
        let (mut budget, mut shares) = shared(128 * MIB, 1);
        assert!(of(&mut budget, &mut shares, 0).take(64 * MIB));
        budget.set_limit(16 * MIB);
        budget.divide(shares.iter());
        let mut only = of(&mut budget, &mut shares, 0);
        assert!(!only.resize(64 * MIB, 64 * MIB + 1));
        assert!(only.resize(64 * MIB, 64 * MIB));
        assert!(only.resize(64 * MIB, 63 * MIB));
    }

    #[test]
    fn one_site_leaves_half_to_the_others() {
        let (mut budget, mut shares) = shared(128 * MIB, 2);
        let mut one = of(&mut budget, &mut shares, 0);
        assert!(one.take(64 * MIB) && !one.take(1));
        assert!(one.resize(50 * MIB, 20 * MIB));
        assert!(one.take(30 * MIB) && !one.take(1));
        one.give_back(64 * MIB);
        assert_eq!((budget.taken(), shares[0].held()), (0, 0));
    }

    #[test]
    fn however_many_sites_take_all_they_can_there_is_something_for_the_next() {
        for (limit, sites) in [(4 * MIB, 3), (128 * MIB, 20), (128 * MIB, 600)] {
            let (mut budget, mut shares) = shared(limit, sites);
            let mut before = usize::MAX;
            for site in 0..sites {
                let most = of(&mut budget, &mut shares, site).most();
                assert!(
                    (OWN_AT_LEAST..=before).contains(&most),
                    "site {site}: {most}"
                );
                assert!(of(&mut budget, &mut shares, site).take(most));
                before = most;
            }
            let held: usize = shares.iter().map(Share::held).sum();
            assert!(held <= limit.max(sites * OWN_AT_LEAST), "{held} of {limit}");
            for site in 0..sites {
                let held = shares[site].held();
                of(&mut budget, &mut shares, site).give_back(held);
            }
            assert_eq!((budget.taken(), budget.common.taken()), (0, 0));
        }
    }

    #[test]
    fn what_sites_hold_counts_when_their_number_changes() {
        let (mut budget, mut shares) = shared(16 * MIB, 1);
        assert!(of(&mut budget, &mut shares, 0).take(8 * MIB));
        shares.extend((0..31).map(|_| Share::default()));
        budget.divide(shares.iter());
        assert_eq!(budget.own, OWN_AT_LEAST);
        assert!(!of(&mut budget, &mut shares, 0).take(1));
        assert!(of(&mut budget, &mut shares, 1).take(2 * MIB));
        of(&mut budget, &mut shares, 0).give_back(8 * MIB);
        of(&mut budget, &mut shares, 1).give_back(2 * MIB);
        assert_eq!((budget.taken(), budget.common.taken()), (0, 0));
    }

    #[test]
    fn memory_is_given_back_after_a_peak_and_not_all_the_time() {
        let start = Instant::now();
        let mut tide = Tide::default();
        assert!(!tide.has_ebbed(9 * MIB, start));
        assert!(!tide.has_ebbed(6 * MIB, start));
        assert!(tide.has_ebbed(0, start));
        assert!(!tide.has_ebbed(0, start));
        assert!(!tide.has_ebbed(9 * MIB, start));
        assert!(!tide.has_ebbed(0, start), "again so soon");
        assert!(tide.has_ebbed(0, start + EBB_PAUSE));
        assert!(!tide.has_ebbed(0, start + 2 * EBB_PAUSE));
        let later = start + 3 * EBB_PAUSE;
        assert!(!tide.has_ebbed(WORTH_GIVING_BACK, later));
        assert!(!tide.has_ebbed(1, later), "too little");
        assert!(tide.has_ebbed(0, later), "just enough");
    }
}
