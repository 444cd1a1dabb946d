//! Who runs the daemon: reads the configuration again, lets one daemon follow another, stops and
//! starts.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::book::Book;
use crate::random::Random;
use crate::support::daemon::signal;
use crate::support::{Background, eventually};
use crate::town::{Town, USUAL_CHANNELS};

/// Longest pause between two acts, in milliseconds.
const PAUSE: u64 = 1_500;

/// Most channels of a site.
const MOST_CHANNELS: u64 = 5;

/// How a site stands in the configuration.
#[derive(Debug, Clone, Copy)]
struct Entry {
    place: usize,
    channels: usize,
    present: bool,
}

pub struct Steward {
    random: Random,
    town: Arc<Town>,
    background: Arc<Background>,
    book: Arc<Book>,
    entries: Vec<Entry>,
}

impl Steward {
    pub fn new(
        seed: u64,
        town: &Arc<Town>,
        background: &Arc<Background>,
        book: &Arc<Book>,
    ) -> Steward {
        let usual = Entry {
            place: 0,
            channels: USUAL_CHANNELS,
            present: true,
        };
        Steward {
            random: Random::new(seed ^ 0x57e4),
            entries: vec![usual; town.houses.len()],
            town: Arc::clone(town),
            background: Arc::clone(background),
            book: Arc::clone(book),
        }
    }

    /// One act after another; each kind comes in the first three.
    pub fn work(&mut self, stop: &AtomicBool) {
        let mut acts = 0;
        while !stop.load(Ordering::SeqCst) {
            let choice = match acts {
                0..=2 => acts * 4,
                _ => self.random.below(10),
            };
            match choice {
                0..=3 | 9 => self.reload(),
                4..=7 => self.take_over(),
                _ => self.restart(),
            }
            acts += 1;
            let pause = Duration::from_millis(self.random.below(PAUSE));
            std::thread::sleep(pause);
        }
    }

    /// Everything as it was in the beginning.
    pub fn settle(mut self) {
        for entry in &mut self.entries {
            *entry = Entry {
                place: 0,
                channels: USUAL_CHANNELS,
                present: true,
            };
        }
        self.configure();
        signal(self.background.expect_pid(), "HUP");
        self.await_sockets();
    }

    fn configure(&self) {
        let houses = self.town.houses.iter().zip(&self.entries);
        let text: String = houses
            .filter(|(_, entry)| entry.present)
            .map(|(house, entry)| house.config(entry.place, entry.channels))
            .collect();
        self.write(&text);
    }

    /// At one stroke, as GUIs do it: the daemon may read it at any moment, and half of a file may be
    /// a configuration without sites.
    fn write(&self, text: &str) {
        let root = self.background.root();
        root.write("etc/check_mk/new", text);
        let file = root.file("etc/check_mk/liveproxyd.mk");
        std::fs::rename(root.file("etc/check_mk/new"), file).unwrap();
    }

    fn reload(&mut self) {
        for _ in 0..=self.random.below(3) {
            let index = self.random.below(self.entries.len() as u64) as usize;
            let places = self.town.houses[index].places.len() as u64;
            let entry = &mut self.entries[index];
            match self.random.below(4) {
                0 => {
                    // Most of them are there most of the time.
                    entry.present = !entry.present || self.random.chance(30);
                    if !entry.present {
                        self.town.houses[index].may_be_missing();
                    }
                }
                1 => entry.channels = 1 + self.random.below(MOST_CHANNELS) as usize,
                _ => entry.place = self.random.below(places) as usize,
            }
        }
        if self.random.chance(10) {
            // The old one stays in use.
            self.write("sites = {'alfa': }\n");
            let pid = self.background.expect_pid();
            signal(pid, "HUP");
        }
        self.configure();
        let name = match self.random.chance(50) {
            true => "HUP",
            false => "USR1",
        };
        signal(self.background.expect_pid(), name);
        self.await_sockets();
        self.book.count("steward: reload");
    }

    fn take_over(&mut self) {
        let run = self.background.run(&["--takeover"]);
        assert_eq!(run.code(), 0, "{run:?}");
        self.book.count("steward: takeover");
    }

    fn restart(&mut self) {
        for house in &self.town.houses {
            house.may_be_missing();
        }
        let pid = self.background.expect_pid();
        signal(pid, "TERM");
        match self.random.chance(50) {
            true => self.background.await_gone(pid),
            // The next one may come while this one finishes.
            false => eventually("the pid file is gone", || self.background.pid().is_none()),
        }
        let run = self.background.run(&[]);
        assert_eq!(run.code(), 0, "{run:?}");
        self.await_sockets();
        self.book.count("steward: stop and start");
    }

    /// Waits until every socket that is configured is there and every other one is gone.
    fn await_sockets(&self) {
        for (house, entry) in self.town.houses.iter().zip(&self.entries) {
            let path = self.background.root().socket(house.name);
            let name = house.name;
            if entry.present {
                let connects = || UnixStream::connect(&path).is_ok();
                eventually(&format!("{name} can be connected to"), connects);
                house.is_there();
            } else {
                eventually(&format!("the socket of {name} goes"), || !path.exists());
            }
        }
    }
}
