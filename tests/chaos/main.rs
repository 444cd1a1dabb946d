//! Everything at once: clients of every kind, sites in every trouble, a configuration that changes,
//! and daemons that follow one another. Each client checks that what it gets is the answer to what
//! it asked; in the end nothing may be lost, held or open that is not accounted for.
//!
//! `LIVEPROXYD_CHAOS_SECONDS` says for how long, `LIVEPROXYD_CHAOS_SEED` repeats the decisions of a
//! run; their order in time is the machine's.

#![allow(clippy::unwrap_used)]

mod book;
mod calm;
mod disasters;
// Fuzzing needs more of it.
#[allow(dead_code)]
#[path = "../simulation/random.rs"]
mod random;
mod steward;
#[path = "../support/mod.rs"]
mod support;
mod town;
mod verdict;
mod visitor;
mod visits;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime};

use book::Book;
use steward::Steward;
use support::Background;
use town::Town;

/// Long enough for a change of every kind, short enough for a normal test run.
const USUAL_SECONDS: u64 = 20;

/// Threads that visit the sites.
const VISITORS: u64 = 24;

/// Pause between two looks whether somebody has found something wrong.
const LOOK: Duration = Duration::from_millis(50);

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect(variable))
}

#[test]
fn whatever_happens_every_client_gets_its_own_answer_and_nothing_stays_behind() {
    let seconds = number("LIVEPROXYD_CHAOS_SECONDS").unwrap_or(USUAL_SECONDS);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seed = number("LIVEPROXYD_CHAOS_SEED").unwrap_or(now.unwrap().as_secs());
    println!("chaos for {seconds} s, repeat it with LIVEPROXYD_CHAOS_SEED={seed}");

    let (town, fakes) = Town::found();
    let town = Arc::new(town);
    let background = Arc::new(Background::start(&town.usual_config()));
    let before = calm::Vitals::of(&background, &town, &fakes);
    let stop = Arc::new(AtomicBool::new(false));
    let book = Arc::new(Book::default());

    let mut visitors = Vec::new();
    for visitor in 0..VISITORS {
        let (town, book, stop) = (Arc::clone(&town), Arc::clone(&book), Arc::clone(&stop));
        let root = background.root().path().to_owned();
        visitors.push(std::thread::spawn(move || {
            visitor::live(visitor, seed, &root, &town, &book, &stop);
        }));
    }
    let mut steward = Steward::new(seed, &town, &background, &book);
    let steward_stop = Arc::clone(&stop);
    let steward = std::thread::spawn(move || {
        steward.work(&steward_stop);
        steward
    });
    let (fate_stop, fate_book) = (Arc::clone(&stop), Arc::clone(&book));
    let fate = std::thread::spawn(move || disasters::befall(fakes, seed, &fate_stop, &fate_book));

    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end && !book.has_failures() {
        std::thread::sleep(LOOK);
    }
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    // The sites first, so that nobody waits for them in vain.
    let fakes = fate
        .join()
        .expect("the disasters ended in one of their own");
    let steward = steward.join().expect("the steward failed");
    steward.settle();
    for visitor in visitors {
        visitor.join().expect("a visitor failed");
    }
    println!("{}", book.summary());
    book.expect_no_failures(seed);
    calm::expect(&background, &town, &fakes, &before);
    book.expect_balance(&town, &fakes, &background.log());
    book.expect_variety();
}
