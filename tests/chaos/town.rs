//! The sites: their names, where each may be found, and whether its socket may be missing just now.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::support::certificates;
use crate::support::{FakeSite, Spec, site};

/// Time-outs short enough for trouble to be over while the test runs. `channels` of a site's own
/// switch off that it gets fewer.
const KEYS: &str =
    "'heartbeat': (1, 1.0), 'connect_retry': 0.2, 'channel_timeout': 1.0, 'query_timeout': 6.0";

/// Channels of each site while nobody changes them.
pub const USUAL_CHANNELS: usize = 3;

/// A site by its name.
#[derive(Debug)]
pub struct House {
    /// Its name.
    pub name: &'static str,
    /// Where it may be found.
    pub places: Vec<Spec>,
    /// Odd while its socket may be missing.
    presence: AtomicU64,
}

/// All of them.
#[derive(Debug)]
pub struct Town {
    pub houses: Vec<House>,
}

/// The fake sites, in the order of houses and places.
pub type Fakes = Vec<Vec<FakeSite>>;

fn over_tls() -> FakeSite {
    let (authority, identity) = certificates::usual();
    FakeSite::start_tls(identity.server(), &authority.pem)
}

impl Town {
    pub fn found() -> (Town, Fakes) {
        let built: Vec<(&'static str, Vec<FakeSite>)> = vec![
            ("alfa", vec![FakeSite::start()]),
            ("bravo", vec![FakeSite::start(), FakeSite::start()]),
            ("charlie", vec![over_tls()]),
            ("delta", vec![over_tls(), FakeSite::start()]),
            ("echo", vec![FakeSite::start_unix()]),
            (
                "foxtrot",
                vec![FakeSite::start_v6(), FakeSite::start_unix()],
            ),
        ];
        let mut houses = Vec::new();
        let mut all = Vec::new();
        for (name, fakes) in built {
            houses.push(House {
                name,
                places: fakes.iter().map(FakeSite::spec).collect(),
                presence: AtomicU64::new(0),
            });
            all.push(fakes);
        }
        (Town { houses }, all)
    }

    /// Every site at its first place.
    pub fn usual_config(&self) -> String {
        let houses = self.houses.iter();
        houses
            .map(|house| house.config(0, USUAL_CHANNELS))
            .collect()
    }
}

impl House {
    /// Its part of the configuration.
    pub fn config(&self, place: usize, channels: usize) -> String {
        let keys = format!("{KEYS}, 'channels': {channels}");
        site(self.name, self.places[place].clone(), &keys)
    }

    /// From now on its socket may be missing.
    pub fn may_be_missing(&self) {
        if self.presence.load(Ordering::SeqCst).is_multiple_of(2) {
            self.presence.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// From now on its socket has to be there.
    pub fn is_there(&self) {
        if !self.presence.load(Ordering::SeqCst).is_multiple_of(2) {
            self.presence.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A mark for [`House::had_to_be_there`].
    pub fn presence(&self) -> u64 {
        self.presence.load(Ordering::SeqCst)
    }

    /// Whether the socket had to be there all the time since this mark.
    pub fn had_to_be_there(&self, mark: u64) -> bool {
        mark.is_multiple_of(2) && self.presence() == mark
    }
}
