//! What befalls the sites: everything that the fake site can be told to do, at random.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::book::Book;
use crate::random::Random;
use crate::support::site::Identity;
use crate::support::{FakeSite, Fault, Place};
use crate::town::Fakes;
use crate::verdict::{BABBLE, MOST_LIED, RAW};

/// Longest pause between two disasters, in milliseconds.
const PAUSE: u64 = 120;

/// More channels or threads than anybody asks for.
const NO_LIMIT: usize = 10_000;

/// Lets disasters happen until told to stop, and then makes everything good.
pub fn befall(mut fakes: Fakes, seed: u64, stop: &AtomicBool, book: &Book) -> Fakes {
    let mut random = Random::new(seed ^ 0xd15a);
    while !stop.load(Ordering::SeqCst) {
        let house = random.below(fakes.len() as u64) as usize;
        let place = random.below(fakes[house].len() as u64) as usize;
        let name = happen(&mut random, &mut fakes[house][place]);
        book.count(name);
        std::thread::sleep(Duration::from_millis(random.below(PAUSE)));
    }
    fakes.iter_mut().flatten().for_each(heal);
    fakes
}

fn heal(fake: &mut FakeSite) {
    fake.behave();
    fake.accept_at_most(NO_LIMIT);
    fake.limit_threads(NO_LIMIT);
    fake.release();
    fake.listen();
}

fn happen(random: &mut Random, fake: &mut FakeSite) -> &'static str {
    match random.below(40) {
        0 => {
            fake.refuse();
            "site: refuses"
        }
        1 => {
            fake.hang_up_at_once();
            "site: hangs up at once"
        }
        2 => {
            fake.reset_at_once();
            "site: resets at once"
        }
        3 if fake.is_tcp() => {
            fake.never_accept();
            "site: never accepts"
        }
        4 => {
            // As a core does that is started again.
            fake.refuse();
            fake.close_all();
            fake.identify(Identity {
                program_start: 1_700_000_000 + random.below(1_000_000),
                ..Identity::default()
            });
            fake.listen();
            "site: restarts"
        }
        5 => {
            fake.reset_all();
            "site: resets all"
        }
        6 => {
            fake.close_idle();
            "site: closes an idle channel"
        }
        7 => {
            fake.speak_on_idle(RAW);
            "site: speaks on an idle channel"
        }
        8 => {
            fake.babble_on_idle(BABBLE);
            "site: babbles on an idle channel"
        }
        9 => {
            fake.limit_threads(random.below(3) as usize);
            "site: has few threads"
        }
        10 => {
            fake.accept_at_most(random.below(4) as usize);
            "site: accepts few channels"
        }
        11 => {
            fake.hold_waits(true);
            "site: holds waits"
        }
        12 => {
            fake.next_heartbeat(Fault::Stall(Place::BeforeHeader));
            "site: a heartbeat stalls"
        }
        13 => {
            fake.next_heartbeat(Fault::Late(Duration::from_millis(random.below(1500))));
            "site: a heartbeat is late"
        }
        14 | 15 => {
            fake.next_command(match random.below(3) {
                0 => Fault::Close(Place::AfterAnswer),
                1 => Fault::Reset(Place::AfterAnswer),
                _ => Fault::Stall(Place::AfterAnswer),
            });
            "site: loses a command"
        }
        16..=29 => {
            let fault = fault(random);
            let name = fault.name();
            fake.next(fault);
            name
        }
        30 => {
            fake.always(fault(random));
            "site: goes wrong all the time"
        }
        31 => {
            fake.release();
            "site: goes on"
        }
        _ => {
            heal(fake);
            "site: is well"
        }
    }
}

fn place(random: &mut Random) -> Place {
    match random.below(5) {
        0 => Place::BeforeHeader,
        1 => Place::InHeader(random.below(16) as usize),
        2 => Place::InBody(random.below(100) as usize),
        3 => Place::InBody(random.below(3_000_000) as usize),
        _ => Place::AfterAnswer,
    }
}

fn fault(random: &mut Random) -> Fault {
    match random.below(14) {
        0 | 1 => Fault::Stall(place(random)),
        2 => Fault::Late(Duration::from_millis(random.below(3_000))),
        3 | 4 => Fault::Close(place(random)),
        5 | 6 => Fault::Reset(place(random)),
        7 => Fault::Split((0..1 + random.below(5)).map(|n| n as usize * 7).collect()),
        8 => Fault::Drip(Duration::from_millis(1)),
        9 => Fault::SlowStart(1_000_000, Duration::from_millis(random.below(2_000))),
        10 => Fault::Linger(Duration::from_millis(random.below(50))),
        11 => Fault::WrongLength(1 + random.below(MOST_LIED as u64) as i64),
        12 => Fault::Header(*b"CHAOS-RAW-HEADER"),
        _ if random.chance(50) => Fault::Extra(RAW.to_vec()),
        _ => Fault::Raw(RAW.to_vec()),
    }
}
