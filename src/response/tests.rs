//! What a response promises its client, its channel and the memory.

use super::*;
use crate::memory::{Share, SharedBudget};

/// Memory that one site may use up to `limit`.
struct Memory {
    budget: SharedBudget,
    share: Share,
}

impl Memory {
    fn new(limit: usize) -> Self {
        Memory {
            budget: SharedBudget::new(2 * limit),
            share: Share::default(),
        }
    }

    fn account(&mut self) -> Account<'_> {
        Account {
            budget: &mut self.budget,
            share: &mut self.share,
        }
    }

    fn taken(&self) -> usize {
        self.share.held()
    }
}

/// A client that takes up to `most` bytes at a time.
fn taking<'a>(seen: &'a mut Vec<u8>, most: usize) -> impl FnMut(&[u8]) -> io::Result<usize> + 'a {
    move |bytes| {
        let taken = bytes.len().min(most);
        seen.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }
}

#[test]
fn a_small_response_is_not_begun_before_it_is_complete() {
    let (mut seen, mut budget) = (Vec::new(), Memory::new(1000));
    let mut response = Response::new(6, Instant::now());
    assert!(response.reserve(&mut budget.account(), Instant::now()));
    response.push_header(b"he");
    response
        .push(b"ad", taking(&mut seen, 99), Instant::now())
        .unwrap();
    assert!(!response.has_begun && !response.is_complete());
    response
        .push(b"xy", taking(&mut seen, 4), Instant::now())
        .unwrap();
    assert!(response.is_complete() && !response.is_delivered());
    response
        .flush(taking(&mut seen, 99), Instant::now())
        .unwrap();
    assert!(response.is_delivered());
    assert_eq!(seen, b"headxy");
    assert_eq!(response.reserved, 6);
}

#[test]
fn what_is_held_in_any_case_is_read_to_its_place() {
    let (mut seen, mut budget) = (Vec::new(), Memory::new(1000));
    let now = Instant::now();
    let mut response = Response::new(10, now);
    let read = |bytes: &mut Vec<u8>, most: usize| {
        assert!(bytes.capacity() - bytes.len() >= most);
        bytes.extend_from_slice(b"cde");
        Some("three")
    };
    assert_eq!(response.read_in_place(4, read), None, "there is no memory");
    response.reserve(&mut budget.account(), now);
    response.push(b"ab", taking(&mut seen, 99), now).unwrap();
    assert_eq!(response.read_in_place(4, read), Some("three"));
    response.push(b"fghij", taking(&mut seen, 99), now).unwrap();
    assert!(response.is_delivered());
    assert_eq!(seen, b"abcdefghij");
    assert_eq!(response.read_in_place(4, read), None, "it may be passed on");
}

#[test]
fn a_window_is_never_filled_in_place() {
    let mut budget = Memory::new(100 * WINDOW);
    let now = Instant::now();
    let mut response = Response::new(LARGE, now);
    response.reserve(&mut budget.account(), now);
    let read = |_: &mut Vec<u8>, most| Some(most);
    assert_eq!(response.read_in_place(WINDOW, read), None);
    assert_eq!(response.read_in_place(WINDOW - 1, read), Some(WINDOW - 1));
}

#[test]
fn a_response_without_memory_waits_for_it() {
    let mut budget = Memory::new(100);
    assert!(budget.account().take(60));
    let now = Instant::now();
    let mut response = Response::new(50, now);
    assert!(!response.reserve(&mut budget.account(), now));
    assert_eq!(response.room(), 0);
    budget.account().give_back(60);
    assert!(response.reserve(&mut budget.account(), now));
    assert!(response.room() >= 50);
    assert_eq!(budget.taken(), 50);
}

/// Pushes a window's worth that took so many milliseconds to come, then looks what was granted.
fn after_one_window(length: u64, limit: usize, millis: u64) -> (Response, Memory, Vec<u8>) {
    let (mut seen, mut budget) = (Vec::new(), Memory::new(limit));
    let began = Instant::now();
    let mut response = Response::new(length, began);
    assert!(response.reserve(&mut budget.account(), began));
    assert_eq!(response.room(), WINDOW);
    response
        .push(&vec![b'x'; WINDOW], taking(&mut seen, 0), began)
        .unwrap();
    assert_eq!(response.room(), 0);
    response.reserve(&mut budget.account(), began + Duration::from_millis(millis));
    response
        .flush(taking(&mut seen, usize::MAX), Instant::now())
        .unwrap();
    (response, budget, seen)
}

const LARGE: u64 = 20 * WINDOW as u64;

#[test]
fn a_large_fast_response_is_passed_on_through_its_window() {
    let (response, budget, seen) = after_one_window(LARGE, 100 * WINDOW, 0);
    assert_eq!(seen.len(), WINDOW);
    assert!(response.has_begun && !response.is_complete());
    assert_eq!((response.room(), budget.taken()), (WINDOW, WINDOW));
}

#[test]
fn a_response_is_passed_on_if_the_rest_is_expected_within_ten_seconds() {
    // 19 times what the first window took.
    for (millis, passed_on) in [(500, true), (526, true), (527, false), (600, false)] {
        let (response, ..) = after_one_window(LARGE, 100 * WINDOW, millis);
        assert_eq!(response.has_begun(), passed_on, "{millis} ms");
    }
}

#[test]
fn a_large_slow_response_is_held_whole() {
    let (response, budget, seen) = after_one_window(LARGE, 100 * WINDOW, 1000);
    assert!(seen.is_empty() && !response.has_begun);
    assert_eq!(
        (response.room(), budget.taken()),
        (usize::MAX, LARGE as usize)
    );
}

#[test]
fn a_slow_response_larger_than_half_of_all_memory_is_passed_on() {
    let (response, budget, seen) = after_one_window(LARGE, 15 * WINDOW, 1000);
    assert_eq!(seen.len(), WINDOW);
    assert_eq!((response.room(), budget.taken()), (WINDOW, WINDOW));
}

#[test]
fn a_slow_client_of_a_passed_on_response_stops_the_reading() {
    let (mut response, ..) = after_one_window(LARGE, 100 * WINDOW, 0);
    let mut seen = Vec::new();
    response
        .push(&vec![b'y'; WINDOW], taking(&mut seen, 10), Instant::now())
        .unwrap();
    assert_eq!(response.room(), 10);
    response
        .flush(taking(&mut seen, WINDOW / 2), Instant::now())
        .unwrap();
    assert_eq!(response.room(), 10 + WINDOW / 2);
}

/// One whose client has taken the first window of it and has another one before it.
fn behind(limit: usize, now: Instant) -> (Response, Memory) {
    let (mut response, budget, _) = after_one_window(LARGE, limit, 0);
    assert_eq!(response.is_slow_at(), None);
    let mut seen = Vec::new();
    response
        .push(&vec![b'y'; WINDOW], taking(&mut seen, 0), now)
        .unwrap();
    assert_eq!(response.room(), 0);
    (response, budget)
}

#[test]
fn what_a_stalled_client_has_not_taken_is_held_for_it() {
    let now = Instant::now();
    let (mut response, mut budget) = behind(100 * WINDOW, now);
    assert_eq!(response.is_slow_at(), Some(now + BEHIND));
    response.hold_the_rest(&mut budget.account(), now + BEHIND);
    assert_eq!(response.room(), usize::MAX);
    assert_eq!(budget.taken(), LARGE as usize - WINDOW);
    assert_eq!(response.is_slow_at(), None);
}

#[test]
fn a_client_that_takes_a_little_all_the_time_is_slow_too() {
    let now = Instant::now();
    let (mut response, mut budget) = behind(100 * WINDOW, now);
    let mut seen = Vec::new();
    for _ in 0..10 {
        response
            .flush(taking(&mut seen, 1000), now + BEHIND)
            .unwrap();
        let fresh = vec![b'z'; response.room()];
        response.push(&fresh, taking(&mut seen, 0), now).unwrap();
    }
    assert_eq!(response.is_slow_at(), Some(now + BEHIND));
    response.hold_the_rest(&mut budget.account(), now + BEHIND);
    assert_eq!(response.room(), usize::MAX);
}

#[test]
fn a_client_that_will_have_the_rest_within_three_seconds_keeps_its_channel() {
    // It has had one quarter of a window after the other, and 19 windows were to come.
    for (quarters, keeps) in [(14, false), (18, false), (19, true), (20, true)] {
        let now = Instant::now();
        let (mut response, mut budget) = behind(100 * WINDOW, now);
        let mut seen = Vec::new();
        for _ in 0..quarters {
            response.flush(taking(&mut seen, WINDOW / 4), now).unwrap();
            let fresh = vec![b'z'; response.room()];
            response.push(&fresh, taking(&mut seen, 0), now).unwrap();
        }
        response.hold_the_rest(&mut budget.account(), now + BEHIND);
        if !keeps {
            let rest = LARGE as usize - WINDOW - quarters * WINDOW / 4;
            assert_eq!(budget.taken(), rest, "{quarters}");
            continue;
        }
        assert_eq!(budget.taken(), WINDOW, "{quarters}");
        assert_eq!(response.is_slow_at(), Some(now + BEHIND + BEHIND));
        response.flush(taking(&mut seen, WINDOW), now).unwrap();
        assert_eq!(response.is_slow_at(), None);
    }
}

#[test]
fn a_response_that_has_begun_goes_on_when_its_rest_is_held() {
    let now = Instant::now();
    let (mut response, mut budget) = behind(100 * WINDOW, now);
    response.hold_the_rest(&mut budget.account(), now + BEHIND);
    let mut seen = Vec::new();
    response.push(b"more", taking(&mut seen, 99), now).unwrap();
    assert_eq!(seen.len(), 99);
    response.flush(taking(&mut seen, 2 * WINDOW), now).unwrap();
    assert!(seen.ends_with(b"yymore"));
}

#[test]
fn without_memory_a_stalled_client_is_looked_at_again() {
    let now = Instant::now();
    let (mut response, mut budget) = behind(4 * WINDOW, now);
    response.hold_the_rest(&mut budget.account(), now + BEHIND);
    assert_eq!((response.room(), budget.taken()), (0, WINDOW));
    assert_eq!(response.is_slow_at(), Some(now + BEHIND + BEHIND));
}

#[test]
fn a_response_does_not_wait_for_memory_that_other_sites_hold() {
    let mut shares = [Share::default(), Share::default()];
    let mut budget = SharedBudget::new(16 * WINDOW);
    budget.divide(shares.iter());
    let [one, other] = &mut shares;
    let mut account = Account {
        budget: &mut budget,
        share: other,
    };
    assert!(account.take(8 * WINDOW));
    let mut account = Account {
        budget: &mut budget,
        share: one,
    };
    let length = 6 * WINDOW as u64;
    let now = Instant::now();
    let later = now + Duration::from_secs(60);
    let mut response = Response::new(length, now);
    assert!(response.reserve(&mut account, now));
    let fresh = vec![b'x'; response.room()];
    response.push(&fresh, |_| Ok(0), now).unwrap();
    assert!(response.reserve(&mut account, later));
    assert_eq!(response.grant, Grant::PassOn);
}

#[test]
fn a_small_response_without_a_header_is_not_begun_before_it_is_complete_either() {
    let (mut seen, mut budget, now) = (Vec::new(), Memory::new(1000), Instant::now());
    let mut response = Response::new(4, now);
    assert!(response.reserve(&mut budget.account(), now));
    response.push(b"bo", taking(&mut seen, 99), now).unwrap();
    assert!(!response.has_begun());
    response.push(b"dy", taking(&mut seen, 99), now).unwrap();
    assert!(response.has_begun() && response.is_delivered());
    assert_eq!(seen, b"body");
}

#[test]
fn a_client_that_could_take_nothing_has_seen_nothing() {
    let now = Instant::now();
    let (mut budget, mut response) = (Memory::new(1000), Response::new(4, now));
    assert!(response.reserve(&mut budget.account(), now));
    response.push(b"body", |_| Ok(0), now).unwrap();
    assert!(!response.has_begun(), "pushed to nobody");
    response.flush(|_| Ok(0), now).unwrap();
    assert!(!response.has_begun(), "flushed to nobody");
    response.flush(|_| Ok(1), now).unwrap();
    assert!(response.has_begun());
}

#[test]
fn an_answer_of_our_own_needs_no_memory_and_no_channel() {
    let (mut seen, now) = (Vec::new(), Instant::now());
    let mut response = Response::own(b"502: no\n".to_vec(), now);
    assert!(response.is_complete() && response.can_leave_channel());
    assert!(!response.is_short() && !response.is_delivered() && !response.has_begun());
    assert_eq!((response.reserved(), response.room()), (0, usize::MAX));
    response.flush(taking(&mut seen, 4), now).unwrap();
    assert!(response.has_begun() && !response.is_delivered());
    response.flush(taking(&mut seen, 99), now).unwrap();
    assert!(response.is_delivered());
    assert_eq!(seen, b"502: no\n");
}

#[test]
fn a_response_can_leave_its_channel_once_it_is_complete_and_paid_for() {
    let now = Instant::now();
    let mut budget = Memory::new(100);
    assert!(budget.account().take(100));
    let mut response = Response::new(4, now);
    response.push_header(b"he");
    assert!(!response.can_leave_channel(), "nothing is granted yet");
    response.push(b"ad", |_| Ok(0), now).unwrap();
    assert!(!response.can_leave_channel(), "it is not paid for");
    assert!(!response.reserve(&mut budget.account(), now));
    assert!(response.is_short());
    budget.account().give_back(100);
    assert!(response.reserve(&mut budget.account(), now));
    assert!(response.can_leave_channel() && !response.is_short());
    assert_eq!(response.reserved(), 4);

    let mut incomplete = Response::new(4, now);
    assert!(incomplete.reserve(&mut budget.account(), now));
    assert!(!incomplete.can_leave_channel(), "most is still to come");

    let mut taken_at_once = Response::new(4, now);
    taken_at_once.push(b"body", |_| Ok(4), now).unwrap();
    assert!(taken_at_once.can_leave_channel(), "nothing is left to pay");
}

#[test]
fn where_a_site_may_hold_little_four_are_passed_on_at_a_time_though_not_in_crumbs() {
    for (most, window) in [
        (100 * WINDOW, WINDOW),
        (4 * WINDOW, WINDOW),
        (2 * WINDOW, WINDOW / 2),
        (WINDOW, WINDOW / 4),
        (LEAST_WINDOW * 2, LEAST_WINDOW),
        (LEAST_WINDOW / 2, LEAST_WINDOW / 2),
    ] {
        let (mut budget, now) = (Memory::new(most), Instant::now());
        let mut response = Response::new(LARGE, now);
        assert!(response.reserve(&mut budget.account(), now));
        assert_eq!(
            (response.reserved(), response.room()),
            (window, window),
            "{most}"
        );
    }
    assert_eq!(LEAST_WINDOW, 65_536, "one read");
}

#[test]
fn a_slow_response_that_just_fits_is_held_whole() {
    let (response, budget, seen) = after_one_window(LARGE, 20 * WINDOW, 1000);
    assert!(seen.is_empty());
    assert_eq!((response.room(), budget.taken()), (usize::MAX, 20 * WINDOW));
}

#[test]
fn only_a_response_that_waits_for_the_rest_of_its_memory_is_passed_on_instead() {
    let now = Instant::now();
    let mut budget = Memory::new(30 * WINDOW);
    let mut nothing = Response::new(LARGE, now);
    assert!(!nothing.pass_on_instead(), "it has no window");
    assert!(nothing.reserve(&mut budget.account(), now));
    assert!(!nothing.pass_on_instead(), "it does not wait");

    assert!(budget.account().take(15 * WINDOW));
    let mut short = nothing;
    let mut seen = Vec::new();
    short
        .push(&vec![b'x'; WINDOW], taking(&mut seen, 0), now)
        .unwrap();
    assert!(!short.reserve(&mut budget.account(), now + SOON));
    assert!(short.is_short() && short.room() == 0);
    assert!(short.pass_on_instead());
    assert!(!short.is_short());
    short.flush(taking(&mut seen, WINDOW), now).unwrap();
    assert_eq!((seen.len(), short.room()), (WINDOW, WINDOW));
}

#[test]
fn a_response_that_has_come_whole_is_not_looked_at_for_its_slow_client() {
    let now = Instant::now();
    let length = 3 * WINDOW as u64;
    let (mut response, ..) = after_one_window(length, 100 * WINDOW, 0);
    let mut seen = Vec::new();
    for _ in 0..2 {
        response
            .push(&vec![b'y'; WINDOW], taking(&mut seen, 0), now)
            .unwrap();
    }
    assert!(response.is_complete());
    assert_eq!(response.is_slow_at(), None);
}

#[test]
fn small_pieces_do_not_make_a_response_take_more_than_is_reserved() {
    for pieces in [vec![1; 5000], vec![3000, 1500, 500]] {
        let (mut budget, now) = (Memory::new(5000), Instant::now());
        let mut response = Response::new(5000, now);
        assert!(response.reserve(&mut budget.account(), now));
        for piece in pieces {
            response.push(&vec![b'x'; piece], |_| Ok(0), now).unwrap();
        }
        assert!(response.is_complete());
        assert_eq!(response.bytes.capacity(), 5000);
    }
}

#[test]
fn of_what_the_client_has_no_more_than_half_a_window_is_kept() {
    let now = Instant::now();
    let (mut response, ..) = after_one_window(LARGE, 100 * WINDOW, 0);
    let mut seen = Vec::new();
    // 20 times 5/8 of a window and more.
    for _ in 0..40 {
        if response.is_complete() {
            break;
        }
        let fresh = vec![b'y'; response.room()];
        // Never all of it: then the place would be empty and begin anew.
        response.push(&fresh, |_| Ok(0), now).unwrap();
        response
            .flush(taking(&mut seen, 5 * WINDOW / 8), now)
            .unwrap();
        assert!(response.bytes.len() <= WINDOW + WINDOW / 2);
    }
    assert!(response.is_complete() && seen.len() > 10 * WINDOW);
}
