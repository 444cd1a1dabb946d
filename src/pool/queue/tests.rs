//! Who comes when, and who waits how long.

use super::*;
use crate::slots::Id;

const PATIENCE: Duration = Duration::from_secs(5);

/// A queue, and the moment in which it was made.
fn queue() -> (Queue, Instant) {
    (Queue::new(PATIENCE), Instant::now())
}

fn id(number: u64) -> QueryId {
    QueryId::unpack(number)
}

fn ids(numbers: &[u64]) -> Vec<QueryId> {
    numbers.iter().map(|number| id(*number)).collect()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// One of each line, in this order: wait query 1, command 2, query 3, all
/// since `now`; and query 4, which was lost then and lives until 9 s later.
fn one_of_each() -> (Queue, Instant) {
    let (mut queue, now) = queue();
    queue.push(id(1), Errand::Wait(None), now);
    queue.push(id(2), Errand::Command, now);
    queue.push(id(3), Errand::Get, now);
    queue.push_retry(retry(4, now, 9));
    (queue, now)
}

fn retry(query: u64, lost: Instant, lives: u64) -> Retry {
    Retry {
        query: id(query),
        errand: Errand::Get,
        lost,
        deadline: lost + seconds(lives),
        life: seconds(120),
        ticket: query,
    }
}

fn popped(waiting: Option<Waiting>) -> Option<QueryId> {
    waiting.map(|waiting| waiting.query)
}

#[test]
fn queries_and_commands_are_served_in_the_order_of_their_arrival() {
    let (mut queue, now) = queue();
    for (number, errand) in [
        (1, Errand::Command),
        (2, Errand::Get),
        (3, Errand::Wait(None)),
        (4, Errand::Glance),
        (5, Errand::Command),
    ] {
        queue.push(id(number), errand, now);
    }
    let served: Vec<_> = (0..5).map(|_| popped(queue.pop(true))).collect();
    assert_eq!(
        served,
        [Some(id(1)), Some(id(2)), Some(id(4)), Some(id(5)), None]
    );
    assert_eq!(popped(queue.pop_wait()), Some(id(3)));
    assert_eq!(queue.len(), 0);
}

#[test]
fn no_command_is_given_to_a_channel_that_is_not_fresh() {
    let (mut queue, _) = one_of_each();
    assert_eq!(popped(queue.pop(false)), Some(id(3)));
    assert_eq!(popped(queue.pop(false)), None);
    assert_eq!(popped(queue.pop(true)), Some(id(2)));
}

#[test]
fn a_command_that_was_not_written_takes_up_its_place_again() {
    let (mut queue, now) = queue();
    for number in 1..=3 {
        queue.push(id(number), Errand::Command, now);
    }
    let (first, second) = (queue.pop(true).unwrap(), queue.pop(true).unwrap());
    queue.put_back(second);
    queue.put_back(first);
    assert_eq!(queue.commands().collect::<Vec<_>>(), ids(&[1, 2, 3]));
    let (first, second) = (queue.pop(true).unwrap(), queue.pop(true).unwrap());
    queue.put_back(first);
    queue.put_back(second);
    assert_eq!(queue.commands().collect::<Vec<_>>(), ids(&[1, 2, 3]));
    assert!(queue.has_commands() && !queue.has_gets());
}

#[test]
fn who_waits_is_told_when_its_patience_ends_and_a_command_has_more() {
    let (mut queue, now) = queue();
    queue.push(id(1), Errand::Command, now);
    queue.push(id(2), Errand::Get, now + seconds(1));
    queue.push(id(3), Errand::Get, now + seconds(2));
    for (due, first) in [(6, 2), (7, 3), (30, 1)] {
        let due = now + seconds(due);
        assert_eq!(queue.deadline(), Some(due));
        let before = due - Duration::from_millis(1);
        assert_eq!(popped(queue.pop_impatient(before)), None);
        assert_eq!(popped(queue.pop_impatient(due)), Some(id(first)));
    }
    assert_eq!(queue.deadline(), None);
}

/// The next of the queue, and when its patience would have ended.
fn popped_with_end(queue: &mut Queue) -> (QueryId, Instant) {
    let end = queue.deadline().unwrap();
    (queue.pop(true).unwrap().query, end)
}

#[test]
fn a_new_limit_counts_for_those_who_wait_already() {
    for (patience, query, command) in [(2, 2, 30), (60, 60, 60)] {
        let (mut queue, now) = queue();
        queue.push(id(1), Errand::Get, now);
        queue.push(id(2), Errand::Command, now);
        queue.set_patience(seconds(patience));
        assert_eq!(popped_with_end(&mut queue), (id(1), now + seconds(query)));
        assert_eq!(popped_with_end(&mut queue), (id(2), now + seconds(command)));
        queue.push(id(3), Errand::Wait(None), now);
        queue.set_patience(seconds(7));
        assert_eq!(queue.deadline(), Some(now + seconds(7)));
    }
}

#[test]
fn a_wait_query_that_got_no_channel_joins_the_others_as_if_it_came_now() {
    let (mut queue, now) = queue();
    queue.push(id(1), Errand::Wait(None), now);
    queue.push(id(2), Errand::Get, now + seconds(3));
    let due = now + PATIENCE;
    assert_eq!(queue.deadline(), Some(due));
    assert_eq!(popped(queue.pop_impatient(due)), None);
    assert_eq!(popped(queue.pop_wait()), None);
    queue.push(id(3), Errand::Command, due);
    assert_eq!(popped(queue.pop(true)), Some(id(2)));
    let content = queue.pop(true).unwrap();
    assert_eq!((content.query, content.errand), (id(1), Errand::Glance));
    assert_eq!((content.since, content.in_line_since), (now, due));
    assert_eq!(popped(queue.pop(true)), Some(id(3)));
}

#[test]
fn where_the_site_knows_no_waiting_wait_queries_stand_where_they_came() {
    let (mut queue, now) = queue();
    for (number, errand) in [
        (1, Errand::Wait(None)),
        (2, Errand::Get),
        (3, Errand::Wait(Some(seconds(9)))),
        (4, Errand::Get),
    ] {
        queue.push(id(number), errand, now);
    }
    queue.end_waiting_line();
    for number in 1..=4 {
        let get = queue.pop(true).unwrap();
        assert_eq!((get.query, get.errand), (id(number), Errand::Get));
    }
}

#[test]
fn those_who_were_lost_wait_apart_until_their_own_time_is_over() {
    let (mut queue, now) = queue();
    queue.push_retry(retry(1, now, 9));
    queue.push_retry(retry(2, now, 4));
    queue.push_retry(retry(3, now, 4));
    let due = now + seconds(4);
    assert_eq!(queue.deadline(), Some(due));
    let mut late = || queue.pop_late_retry(due).map(|retry| retry.query);
    assert_eq!([late(), late(), late()], [Some(id(2)), Some(id(3)), None]);
    assert_eq!(queue.first_retry(), Some(retry(1, now, 9)));
    queue.pop_retry();
    assert_eq!(queue.first_retry(), None);
}

#[test]
fn who_is_withdrawn_is_in_no_line_any_more() {
    for number in 1..=4 {
        let (mut queue, _) = one_of_each();
        queue.withdraw(id(number));
        assert_eq!(queue.len(), 3);
        assert!(!queue.all().any(|query| query == id(number)));
    }
}

#[test]
fn all_lines_count_and_commands_can_be_left_out() {
    let (mut queue, now) = one_of_each();
    queue.push(id(5), Errand::Command, now);
    assert_eq!((queue.len(), queue.len_without_commands()), (5, 3));
    let mut all: Vec<_> = queue.all().collect();
    all.sort_unstable();
    assert_eq!(all, ids(&[1, 2, 3, 4, 5]));
    assert!(queue.has_gets() && queue.has_commands());
    let (empty, _) = self::queue();
    assert!(!empty.has_gets() && !empty.has_commands());
    assert_eq!((empty.oldest(), empty.len()), (None, 0));
}

#[test]
fn the_one_that_has_waited_longest_may_stand_in_any_line() {
    let (_, now) = queue();
    for errand in [Errand::Get, Errand::Command, Errand::Wait(None)] {
        let (mut queue, _) = queue();
        queue.push(id(1), errand, now);
        queue.push(id(2), Errand::Get, now + seconds(1));
        queue.push_retry(retry(3, now + seconds(1), 9));
        assert_eq!(queue.oldest(), Some(now), "{errand:?}");
    }
    let (mut queue, _) = queue();
    queue.push_retry(retry(1, now, 9));
    queue.push(id(2), Errand::Get, now + seconds(1));
    assert_eq!(queue.oldest(), Some(now));
}

#[test]
fn a_dead_sites_queries_leave_and_its_commands_stay() {
    let (mut queue, _) = one_of_each();
    assert_eq!(queue.drain_queries(), ids(&[4, 3, 1]));
    assert_eq!(queue.all().collect::<Vec<_>>(), ids(&[2]));
}

#[test]
fn who_moves_to_another_site_keeps_order_and_age() {
    let (mut queue, now) = one_of_each();
    let all = queue.take_all();
    assert_eq!(all, [(id(1), now), (id(2), now), (id(3), now)]);
    assert_eq!(queue.take_retries().collect::<Vec<_>>(), ids(&[4]));
    assert_eq!(queue.len(), 0);
    queue.push(id(5), Errand::Wait(None), now);
    queue.push(id(6), Errand::Get, now);
    assert_eq!(queue.take_waits().collect::<Vec<_>>(), ids(&[5]));
    assert_eq!(queue.len(), 1);
}

#[test]
fn a_command_that_came_before_a_wait_query_joined_the_others_goes_before_it() {
    let (mut queue, now) = queue();
    queue.push(id(1), Errand::Wait(None), now);
    queue.push(id(2), Errand::Command, now);
    assert_eq!(popped(queue.pop_impatient(now + PATIENCE)), None);
    assert_eq!(popped(queue.pop(true)), Some(id(2)));
    assert_eq!(popped(queue.pop(true)), Some(id(1)));
}

#[test]
fn a_wait_query_that_has_joined_the_others_moves_before_those_that_came_later() {
    let (mut queue, now) = queue();
    queue.push(id(9), Errand::Wait(None), now);
    let due = now + PATIENCE;
    assert_eq!(popped(queue.pop_impatient(due)), None);
    queue.push(id(3), Errand::Command, due);
    assert_eq!(queue.take_all(), [(id(9), now), (id(3), due)]);
}

#[test]
fn a_changed_patience_counts_from_when_a_wait_joined_the_others() {
    let second = Duration::from_secs(1);
    let (start, query) = (Instant::now(), Id::unpack(1));
    let mut queue = Queue::new(5 * second);
    queue.push(query, Errand::Wait(None), start);
    assert_eq!(queue.pop_impatient(start + 5 * second), None, "it joins");
    queue.set_patience(4 * second);
    assert_eq!(queue.pop_impatient(start + 8 * second), None);
    let refused = queue.pop_impatient(start + 9 * second).unwrap();
    assert_eq!((refused.query, refused.since), (query, start));
}
