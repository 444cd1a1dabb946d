//! What is counted for each site. One table says what there is, by which name
//! and in which words; state file, control socket, metrics and documentation
//! are made from it. Counting is an addition and nothing else.

use crate::pool::Refusal;
use std::time::Duration;

/// A counter's name and meaning.
#[derive(Debug, Clone, Copy)]
pub struct Declared {
    /// Which one.
    pub counter: Counter,
    /// Its name, a column of the table `sites`.
    pub name: &'static str,
    /// What it counts, as a sentence.
    pub meaning: &'static str,
}

macro_rules! declare {
    ($($counter:ident $name:ident $meaning:literal)*) => {
        /// Something that is counted for each site, from the daemon's start on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Counter {
            $(#[doc = $meaning] $counter,)*
        }

        /// All counters, in the order in which they are shown.
        pub const COUNTERS: [Declared; COUNT] = [
            $(Declared {
                counter: Counter::$counter,
                name: stringify!($name),
                meaning: $meaning,
            },)*
        ];

        /// How many counters there are.
        const COUNT: usize = [$(Counter::$counter),*].len();
    };
}

declare! {
    Clients clients_accepted "Clients that have connected."
    ClientsRefused clients_refused "Clients that were sent away because there were too many."
    ClientsForbidden clients_forbidden "Connections to the site's port from addresses that are not in only_from."
    ClientsNotSecured clients_not_secured "Connections to the site's port whose TLS handshake has failed."
    Queries queries "Queries and commands that have arrived."
    Answered queries_answered "Queries whose response was received completely."
    RefusedUnreachable queries_refused_unreachable "Queries refused because the site was not reachable."
    RefusedBusy queries_refused_busy "Queries refused because no channel got free in time."
    RefusedTimeout queries_refused_timeout "Queries refused because their response was not there in time."
    RefusedOther queries_refused_other "Queries refused for any other reason, such as a response that cannot be used."
    Retried queries_retried "Queries sent once more because their channel was lost."
    Cut queries_cut "Responses that were lost when a part had been passed on."
    Abandoned queries_abandoned "Queries whose client went away before their response was complete."
    CommandsDelivered commands_delivered "Commands that the site has read."
    CommandsRefused commands_refused "Commands that the site has refused."
    CommandsNotDelivered commands_not_delivered "Commands that were given up before they were sent."
    CommandsUnknown commands_unknown "Commands that were sent and of which nobody knows whether they were read."
    BytesIn bytes_in "Bytes received from the site."
    BytesOut bytes_out "Bytes sent to the site."
    Connects connects "Attempts to open a channel."
    ConnectsFailed connects_failed "Attempts to open a channel that have failed."
    ChannelsLost channels_lost "Channels that ended although they were wanted."
    Heartbeats heartbeats "Heartbeats that were answered."
    HeartbeatsMissed heartbeats_missed "Heartbeats that were not answered in time."
    Deaths deaths "Times that the site was declared dead."
}

/// The counters of one site.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters([u64; COUNT]);

impl Counters {
    /// One more.
    pub fn add(&mut self, counter: Counter) {
        self.add_many(counter, 1);
    }

    /// So many more.
    pub fn add_many(&mut self, counter: Counter, count: u64) {
        if let Some(value) = self.0.get_mut(counter as usize) {
            *value = value.wrapping_add(count);
        }
    }

    /// The value.
    pub fn get(&self, counter: Counter) -> u64 {
        self.0.get(counter as usize).copied().unwrap_or_default()
    }

    /// Takes over another one's values, for a site that has moved.
    pub fn merge(&mut self, other: &Counters) {
        for (value, more) in self.0.iter_mut().zip(other.0) {
            *value = value.wrapping_add(more);
        }
    }
}

impl Counter {
    /// Under what a refused query counts.
    pub fn of_refusal(refusal: &Refusal) -> Counter {
        match refusal {
            Refusal::Unreachable { .. } => Counter::RefusedUnreachable,
            Refusal::Busy { .. } | Refusal::NoChannel { .. } | Refusal::Mute { .. } => {
                Counter::RefusedBusy
            }
            Refusal::TimedOut { .. } => Counter::RefusedTimeout,
            _ => Counter::RefusedOther,
        }
    }
}

/// Upper limits of the classes of times, in milliseconds; the last class has none.
pub const CLASSES: [u64; 14] = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 60_000,
];

const NANOS_PER_MILLI: u64 = 1_000_000;

/// How many times were how long.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    classes: [u64; CLASSES.len() + 1],
    /// Of all times together.
    sum: Duration,
}

impl Histogram {
    /// One more.
    pub fn add(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let class = CLASSES.partition_point(|limit| limit * NANOS_PER_MILLI < nanos);
        if let Some(count) = self.classes.get_mut(class) {
            *count += 1;
        }
        self.sum = self.sum.saturating_add(time);
    }

    /// How many times there are.
    pub fn count(&self) -> u64 {
        self.classes.iter().sum()
    }

    /// All times together.
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// For each class, how many times are no longer than its limit.
    pub fn cumulated(&self) -> impl Iterator<Item = (Duration, u64)> {
        let mut sum = 0;
        CLASSES.iter().zip(self.classes).map(move |(limit, count)| {
            sum += count;
            (Duration::from_millis(*limit), sum)
        })
    }

    /// The time that this part of all does not exceed, estimated within its
    /// class; zero if there are none. `part` is between 0 and 1.
    pub fn quantile(&self, part: f64) -> Duration {
        // Never nothing: so a class without times is not the one.
        let wanted = (self.count() as f64 * part).max(f64::MIN_POSITIVE);
        let (mut below, mut lower) = (0_u64, 0_u64);
        for (limit, count) in CLASSES.iter().zip(self.classes) {
            if (below + count) as f64 >= wanted {
                let within = (wanted - below as f64) / count as f64;
                let millis = lower as f64 + within * (limit - lower) as f64;
                return Duration::from_secs_f64(millis / 1000.0);
            }
            below += count;
            lower = *limit;
        }
        match self.count() {
            0 => Duration::ZERO,
            // Beyond the last class nothing is known but that.
            _ => Duration::from_millis(lower),
        }
    }

    /// Takes over another one's values, for a site that has moved.
    pub fn merge(&mut self, other: &Histogram) {
        for (count, more) in self.classes.iter_mut().zip(other.classes) {
            *count += more;
        }
        self.sum = self.sum.saturating_add(other.sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Loss;

    #[test]
    fn the_table_stands_in_the_order_of_the_counters_and_names_each_once() {
        for (index, declared) in COUNTERS.iter().enumerate() {
            assert_eq!(declared.counter as usize, index, "{}", declared.name);
            assert!(declared.meaning.ends_with('.'));
        }
        let mut names: Vec<&str> = COUNTERS.iter().map(|declared| declared.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), COUNT);
    }

    #[test]
    fn a_quantile_lies_in_the_class_of_its_times() {
        let mut times = Histogram::default();
        assert_eq!(times.quantile(0.5), Duration::ZERO);
        for _ in 0..90 {
            times.add(Duration::from_micros(1_500));
        }
        for _ in 0..10 {
            times.add(Duration::from_millis(150));
        }
        let half = times.quantile(0.5);
        assert!(half > Duration::from_millis(1) && half < Duration::from_millis(2));
        let most = times.quantile(0.99);
        assert!(most > Duration::from_millis(100) && most <= Duration::from_millis(200));
        times.add(Duration::from_secs(100));
        assert_eq!(times.quantile(1.0), Duration::from_secs(60));
        assert_eq!(times.count(), 101);
        assert_eq!(
            times.cumulated().last(),
            Some((Duration::from_secs(60), 100))
        );
    }

    #[test]
    fn within_its_class_a_quantile_grows_evenly() {
        let mut times = Histogram::default();
        for _ in 0..4 {
            times.add(Duration::from_millis(150));
        }
        for (part, millis) in [(0.25, 125), (0.5, 150), (1.0, 200)] {
            assert_eq!(times.quantile(part), Duration::from_millis(millis));
        }
        assert!(
            times.quantile(0.0) >= Duration::from_millis(100),
            "no time was shorter"
        );
    }

    #[test]
    fn a_time_that_is_just_the_limit_of_a_class_belongs_to_it() {
        for limit in CLASSES {
            let mut times = Histogram::default();
            times.add(Duration::from_millis(limit));
            let first = times.cumulated().find(|(_, count)| *count == 1);
            assert_eq!(first, Some((Duration::from_millis(limit), 1)));
        }
    }

    #[test]
    fn the_times_of_a_site_that_has_moved_are_added_to_those_of_the_new_one() {
        let of = |times: &[u64]| {
            let mut histogram = Histogram::default();
            for millis in times {
                histogram.add(Duration::from_millis(*millis));
            }
            histogram
        };
        let mut one = of(&[3]);
        one.merge(&of(&[3, 70_000]));
        assert_eq!(one, of(&[3, 3, 70_000]));
        assert_eq!(one.sum(), Duration::from_millis(70_006));
    }

    #[test]
    fn a_refused_query_counts_under_what_an_administrator_would_look_for() {
        let (lasted, waited) = (Duration::from_secs(1), Duration::from_secs(5));
        let limit = Duration::from_secs(120);
        for (refusal, counter) in [
            (
                Refusal::Unreachable {
                    cause: Loss::NoAnswer,
                    lasted,
                    next: None,
                },
                Counter::RefusedUnreachable,
            ),
            (
                Refusal::Busy {
                    channels: 3,
                    waited,
                },
                Counter::RefusedBusy,
            ),
            (Refusal::NoChannel { waited }, Counter::RefusedBusy),
            (Refusal::Mute { lasted }, Counter::RefusedBusy),
            (Refusal::TimedOut { limit }, Counter::RefusedTimeout),
            (Refusal::LostTwice, Counter::RefusedOther),
            (Refusal::Unusable(Loss::Surplus), Counter::RefusedOther),
            (Refusal::Disabled(String::new()), Counter::RefusedOther),
        ] {
            assert_eq!(Counter::of_refusal(&refusal), counter, "{refusal:?}");
        }
    }

    #[test]
    fn counters_count() {
        let (mut one, mut other) = (Counters::default(), Counters::default());
        one.add(Counter::Queries);
        other.add_many(Counter::BytesIn, 7);
        one.merge(&other);
        assert_eq!(one.get(Counter::Queries), 1);
        assert_eq!(one.get(Counter::BytesIn), 7);
        assert_eq!(one.get(Counter::BytesOut), 0);
    }
}
