//! Which query gets which channel, for how long, and what becomes of one that loses it.

use std::time::Duration;

use liveproxyd::pool::{Action, ChannelNo, Input, Loss, Owed, Refusal, State};
use liveproxyd::proto::request::Kind;

use crate::driven::{Driven, assigned, beats, closed, opened, refused, settings};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn wait_queries_get_half_of_the_channels_but_at_least_one() {
    for (channels, share) in [(1, 1), (2, 1), (3, 1), (4, 2), (10, 5)] {
        let mut driven = Driven::up(channels);
        let mut given = 0;
        for query in 0..10 {
            given += assigned(&driven.ask(query, Kind::Wait(Some(SECOND)))).len();
        }
        assert_eq!(given, share, "of {channels}");
        let others: usize = (10..20)
            .map(|query| assigned(&driven.ask(query, Kind::Get)).len())
            .sum();
        assert_eq!(others, usize::from(channels) - share);
    }
}

#[test]
fn the_next_wait_query_follows_when_one_is_answered() {
    let mut driven = Driven::up(4);
    for query in 0..3 {
        driven.ask(query, Kind::Wait(Some(SECOND)));
    }
    let actions = driven.answered(3);
    assert_eq!(assigned(&actions), [(2, 3)]);
}

/// The one used last is the surest to be alive.
#[test]
fn the_channel_used_last_is_taken_first() {
    let mut driven = Driven::up(3);
    for query in 0..3 {
        driven.ask(query, Kind::Get);
    }
    for channel in [1, 2, 0] {
        driven.pass(Duration::from_millis(1));
        driven.answered(channel);
    }
    for (query, channel) in [(3, 0), (4, 2), (5, 1)] {
        assert_eq!(assigned(&driven.ask(query, Kind::Get)), [(query, channel)]);
    }
}

#[test]
fn how_long_a_query_may_live_follows_from_what_it_waits_for() {
    let minutes = |minutes: u32| Some(60 * minutes * SECOND);
    // Where there is only one channel, a wait query may hold it for 5 s.
    for (channels, kind, life, wait) in [
        (4, Kind::Get, 120, None),
        (4, Kind::Command, 120, None),
        (4, Kind::Wait(minutes(5)), 420, None),
        (4, Kind::Wait(None), 600, None),
        (1, Kind::Get, 120, None),
        (1, Kind::Wait(minutes(5)), 125, Some(5 * SECOND)),
        (1, Kind::Wait(None), 125, Some(5 * SECOND)),
        (1, Kind::Wait(Some(5 * SECOND)), 125, None),
        (1, Kind::Wait(Some(SECOND)), 121, None),
    ] {
        let mut driven = Driven::up(channels);
        let end = driven.now + life * SECOND;
        let actions = driven.ask(1, kind);
        let is_so = |action: &Action| {
            matches!(action, Action::Assign { deadline, wait: limit, .. }
                if *deadline == end && *limit == wait)
        };
        assert!(
            actions.iter().any(is_so),
            "{channels} {kind:?}: {actions:?}"
        );
    }
}

#[test]
fn a_query_that_is_not_answered_in_its_life_is_told_and_its_channel_closed() {
    let mut driven = Driven::up(1);
    driven.ask(1, Kind::Get);
    let limit = settings().query_timeout;
    driven.pass(limit - Duration::from_millis(1));
    assert_eq!(refused(&driven.tell(Input::Due)), []);
    driven.pass(Duration::from_millis(1));
    let actions = driven.tell(Input::Due);
    assert_eq!(refused(&actions), [(1, Refusal::TimedOut { limit })]);
    assert!(closed(&actions).contains(&(0, Loss::TimedOut(limit))));
}

#[test]
fn a_wait_query_that_gets_no_channel_in_time_is_answered_with_the_present_state() {
    let mut driven = Driven::up(2);
    for query in 0..2 {
        driven.ask(query, Kind::Wait(Some(60 * SECOND)));
    }
    assert_eq!(driven.site.waiting(), 1);
    driven.pass(settings().channel_timeout);
    let actions = driven.tell(Input::Due);
    let glances = |action: &Action| {
        matches!(action, Action::Assign { query, wait, .. }
            if query.pack() == 1 && *wait == Some(Duration::from_millis(1)))
    };
    let free: Vec<u8> = beats(&actions);
    let actions = match free.first() {
        Some(channel) => driven.beaten(*channel),
        None => actions,
    };
    assert!(actions.iter().any(glances), "{actions:?}");
}

#[test]
fn a_query_is_sent_again_only_where_the_site_hung_up_on_it() {
    let words = || String::from("words");
    for (loss, again) in [
        (Loss::Closed, true),
        (Loss::Broken(words()), true),
        (Loss::NotAHeader(words()), true),
        (Loss::Spoke, true),
        (Loss::Surplus, false),
        (Loss::OutOfStep(500), false),
        (Loss::Abandoned, false),
        (Loss::TimedOut(SECOND), false),
    ] {
        let mut driven = Driven::up(2);
        let channel = assigned(&driven.ask(1, Kind::Get))[0].1;
        driven.pass(Duration::from_millis(10));
        let actions = driven.lost(channel, loss.clone(), Owed::All);
        assert_eq!(refused(&actions).is_empty(), again, "{loss:?}: {actions:?}");
        assert_eq!(
            beats(&actions).is_empty(),
            !again,
            "proved before it is used"
        );
        if !again {
            assert_eq!(refused(&actions), [(1, Refusal::Unusable(loss))]);
        }
    }
}

#[test]
fn a_query_is_sent_twice_at_most_and_lives_no_longer_for_it() {
    let mut driven = Driven::up(2);
    let end = driven.now + settings().query_timeout;
    let first = assigned(&driven.ask(1, Kind::Get))[0].1;
    driven.pass(SECOND);
    let actions = driven.lost(first, Loss::Closed, Owed::All);
    let other = beats(&actions)[0];
    driven.pass(Duration::from_millis(10));
    let actions = driven.beaten(other);
    let deadlines: Vec<_> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Assign { deadline, .. } => Some(*deadline),
            _ => None,
        })
        .collect();
    assert_eq!(deadlines, [end]);
    let actions = driven.lost(other, Loss::Closed, Owed::All);
    assert_eq!(refused(&actions), [(1, Refusal::LostTwice)]);
}

#[test]
fn a_query_that_waits_for_a_proved_channel_in_vain_is_told_at_the_end_of_its_life() {
    let mut driven = Driven::up(1);
    driven.ask(1, Kind::Get);
    driven.lost(0, Loss::Closed, Owed::All);
    let limit = settings().query_timeout;
    // The site accepts, and dies before it answers; what waits is told then.
    let actions = driven.run(limit);
    assert_eq!(refused(&actions).len(), 1, "{actions:?}");
}

#[test]
fn what_a_lost_query_was_owed_decides_what_it_is_told() {
    let lose = |kind, owed| {
        let mut driven = Driven::up(2);
        let channel = assigned(&driven.ask(1, kind))[0].1;
        let actions = driven.lost(channel, Loss::Surplus, owed);
        refused(&actions)
    };
    assert_eq!(lose(Kind::Get, Owed::Nothing), []);
    assert_eq!(
        lose(Kind::Get, Owed::All),
        [(1, Refusal::Unusable(Loss::Surplus))]
    );
    assert_eq!(
        lose(Kind::Command, Owed::Unknown),
        [(1, Refusal::MayHaveBeenDelivered(Loss::Surplus))]
    );
}

#[test]
fn a_command_that_was_not_written_goes_out_before_those_that_came_later() {
    let mut driven = Driven::up(1);
    driven.ask(1, Kind::Command);
    driven.ask(2, Kind::Get);
    driven.ask(3, Kind::Command);
    let actions = driven.lost(0, Loss::Closed, Owed::All);
    assert_eq!(refused(&actions), []);
    assert_eq!(driven.site.waiting(), 3);
    let next = opened(&actions).unwrap_or_else(|| driven.await_open());
    driven.tell(Input::Connected(ChannelNo(next)));
    for query in 1..=3 {
        let actions = match query {
            1 => driven.beaten(next),
            _ => driven.answered(next),
        };
        assert_eq!(assigned(&actions), [(query, next)]);
    }
}

/// A write to a connection that the site has just closed succeeds.
#[test]
fn a_command_goes_only_on_a_channel_that_has_answered_within_the_last_second() {
    for (idle, is_fresh) in [(999, true), (1000, false)] {
        let mut driven = Driven::up(2);
        driven.pass(Duration::from_millis(idle));
        let actions = driven.ask(1, Kind::Command);
        if is_fresh {
            assert_eq!(assigned(&actions).len(), 1);
            continue;
        }
        assert_eq!(assigned(&actions), []);
        let proved = beats(&actions);
        assert_eq!(proved.len(), 1, "one is enough");
        let actions = driven.ask(2, Kind::Command);
        assert_eq!(beats(&actions), [0; 0], "it is being proved already");
        let actions = driven.beaten(proved[0]);
        assert_eq!(assigned(&actions), [(1, proved[0])]);
    }
}

#[test]
fn a_channel_at_work_for_nobody_is_given_up_once_somebody_waits_though_not_all_at_once() {
    let mut driven = Driven::up(3);
    for query in 0..3 {
        driven.ask(query, Kind::Get);
        driven.pass(Duration::from_millis(1));
    }
    // The last one has been on its channel for the shortest time.
    for channel in 0..3 {
        let actions = driven.tell(Input::Abandoned(ChannelNo(channel)));
        assert_eq!(closed(&actions), [], "nobody waits");
    }
    let given_up_at = driven.now;
    let first = driven.ask(3, Kind::Get);
    assert_eq!(closed(&first), [(2, Loss::Abandoned)], "the oldest query's");
    driven.ask(4, Kind::Get);
    let next = opened(&first).unwrap_or_else(|| driven.await_open());
    driven.prove(next);
    assert_eq!(driven.site.waiting(), 1);
    driven.now = given_up_at + settings().connect_retry - Duration::from_millis(1);
    let actions = driven.tell(Input::Due);
    assert!(
        !closed(&actions)
            .iter()
            .any(|(_, loss)| *loss == Loss::Abandoned)
    );
    driven.pass(Duration::from_millis(1));
    let actions = driven.tell(Input::Due);
    assert_eq!(closed(&actions), [(1, Loss::Abandoned)]);
}

#[test]
fn a_channel_whose_query_is_wanted_is_not_given_up() {
    let mut driven = Driven::up(1);
    driven.ask(1, Kind::Get);
    let actions = driven.ask(2, Kind::Get);
    assert_eq!(closed(&actions), []);
    let actions = driven.run(4 * SECOND);
    assert!(
        !closed(&actions)
            .iter()
            .any(|(_, loss)| *loss == Loss::Abandoned)
    );
}

#[test]
fn only_the_channel_that_works_for_nobody_is_given_up() {
    let mut driven = Driven::up(2);
    driven.ask(1, Kind::Get);
    driven.pass(SECOND);
    let unwanted = assigned(&driven.ask(2, Kind::Get))[0].1;
    driven.tell(Input::Abandoned(ChannelNo(unwanted)));
    let actions = driven.ask(3, Kind::Get);
    assert_eq!(closed(&actions), [(unwanted, Loss::Abandoned)]);
}

#[test]
fn a_wait_query_that_came_before_the_site_was_known_waits_apart_all_the_same() {
    let mut driven = Driven::new(2);
    driven.tell(Input::Due);
    for query in 0..3 {
        driven.ask(query, Kind::Wait(Some(SECOND)));
    }
    driven.tell(Input::Connected(ChannelNo(0)));
    assert_eq!(assigned(&driven.beaten(0)), [(0, 0)]);
    let second = driven.await_open();
    driven.tell(Input::Connected(ChannelNo(second)));
    assert_eq!(assigned(&driven.beaten(second)), [], "half of the channels");
}

/// Otherwise a query is told that the site is well, and the next one that it is dead.
#[test]
fn who_gets_no_channel_is_told_whether_there_is_any() {
    let waited = settings().channel_timeout;
    let mut driven = Driven::up(2);
    for query in 0..3 {
        driven.ask(query, Kind::Get);
    }
    driven.pass(waited);
    let channels = 2;
    assert_eq!(
        refused(&driven.tell(Input::Due)),
        [(2, Refusal::Busy { channels, waited })]
    );
    assert_eq!(driven.site.state(), State::Busy);
    driven.answered(0);
    assert_eq!(driven.site.state(), State::Ready, "one is free again");

    let mut driven = Driven::new(2);
    driven.tell(Input::Due);
    driven.ask(1, Kind::Get);
    driven.pass(waited);
    assert_eq!(
        refused(&driven.tell(Input::Due)),
        [(1, Refusal::NoChannel { waited })]
    );
    assert_eq!(driven.site.state(), State::Starting);
}

#[test]
fn who_withdraws_gets_no_channel() {
    let mut driven = Driven::up(1);
    for query in 1..=3 {
        driven.ask(query, Kind::Get);
    }
    driven.tell(Input::Withdrawn(liveproxyd::ids::QueryId::unpack(2)));
    assert_eq!(assigned(&driven.answered(0)), [(3, 0)]);
}
