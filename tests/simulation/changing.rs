//! A site is configured anew, shared with another daemon, or goes.

use std::time::Duration;

use liveproxyd::config::{Address, Heartbeat, SiteConfig};
use liveproxyd::ids::QueryId;
use liveproxyd::pool::{ChannelNo, Input, Loss, Owed, Refusal, Settings, State};
use liveproxyd::proto::request::Kind;

use crate::driven::{Driven, assigned, beats, closed, opened, refused, settings};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

fn with_channels(channels: u8) -> Settings {
    Settings {
        channels,
        ..settings()
    }
}

/// Each channel that is opened connects and answers.
fn let_come(driven: &mut Driven, time: Duration) -> usize {
    let end = driven.now + time;
    let mut come = 0;
    while driven.now < end {
        let actions = driven.run(10 * MS);
        for channel in beats(&actions) {
            driven.beaten(channel);
        }
        if let Some(channel) = opened(&actions) {
            driven.prove(channel);
            come += 1;
        }
    }
    come
}

fn gone() -> Refusal {
    Refusal::Ended("it was taken out")
}

#[test]
fn more_channels_are_opened_as_soon_as_they_are_configured() {
    let mut driven = Driven::up(2);
    driven.pass(SECOND);
    let actions = driven.tell(Input::Configured(with_channels(4)));
    assert_eq!(opened(&actions), Some(2));
    driven.prove(2);
    assert_eq!(let_come(&mut driven, SECOND), 1);
    assert_eq!(driven.site.open_channels(), 4);
    for query in 0..4 {
        assert_eq!(assigned(&driven.ask(query, Kind::Get)).len(), 1);
    }
}

#[test]
fn channels_that_are_too_many_are_closed_when_they_are_free() {
    let mut driven = Driven::up(4);
    driven.ask(1, Kind::Get);
    driven.ask(2, Kind::Get);
    let actions = driven.tell(Input::Configured(with_channels(1)));
    assert_eq!(closed(&actions).len(), 2);
    assert_eq!(driven.site.open_channels(), 2, "two are at work");
    assert_eq!(closed(&driven.answered(3)), [(3, Loss::NotNeeded)]);
    assert_eq!(closed(&driven.answered(2)), [], "one is kept");
    assert_eq!(opened(&driven.run(SECOND)), None);
}

/// The number of the connection beside the channels is that of an ordinary one then.
#[test]
fn with_more_channels_a_connection_that_was_made_beside_them_is_given_up() {
    let mut driven = Driven::up(1);
    driven.ask(1, Kind::Get);
    let probe = driven.await_open();
    assert_eq!(probe, 1);
    let actions = driven.tell(Input::Configured(with_channels(3)));
    assert!(closed(&actions).contains(&(1, Loss::NotNeeded)));
    assert_eq!(driven.await_open(), 1);
    driven.prove(1);
    assert_eq!(driven.site.open_channels(), 2);
}

/// Two attempts were made in the same moment.
#[test]
fn a_probe_that_a_reload_makes_due_keeps_its_distance_from_the_attempt_before_it() {
    let mut driven = Driven::up(1);
    driven.ask(1, Kind::Get);
    driven.pass(4 * SECOND);
    let actions = driven.tell(Input::Configured(with_channels(2)));
    assert_eq!(opened(&actions), Some(1));
    // The channel is not needed any more, comes to nothing, and the other one has been silent
    // for too long by now.
    let impatient = Settings {
        heartbeat: Heartbeat {
            interval: SECOND,
            ..settings().heartbeat
        },
        ..with_channels(1)
    };
    driven.tell(Input::Configured(impatient));
    let actions = driven.lost(1, Loss::NoRoom, Owed::Nothing);
    assert_eq!(opened(&actions), None);
    assert_eq!(opened(&driven.run(10 * MS)), None);
    // Beside the two that could have been.
    assert_eq!(opened(&driven.run(10 * MS)), Some(2));
}

#[test]
fn a_shorter_pause_and_a_shorter_interval_count_at_once() {
    let quick = Settings {
        connect_retry: SECOND,
        heartbeat: Heartbeat {
            interval: SECOND,
            ..settings().heartbeat
        },
        ..settings()
    };
    let mut driven = Driven::up(2);
    driven.pass(SECOND);
    driven.tell(Input::Configured(quick.clone()));
    assert_eq!(beats(&driven.run(SECOND - 10 * MS)), [0; 0]);
    assert_eq!(beats(&driven.run(10 * MS)).len(), 1);

    let mut driven = Driven::new(2);
    let channel = driven.await_open();
    let refused = Loss::NotConnected("Connection refused".into());
    driven.lost(channel, refused, Owed::Nothing);
    driven.pass(SECOND);
    driven.tell(Input::Configured(quick));
    assert_eq!(opened(&driven.run(SECOND - 10 * MS)), None);
    assert!(opened(&driven.run(10 * MS)).is_some());
}

#[test]
fn who_waits_goes_by_the_new_limit() {
    let mut driven = Driven::up(1);
    driven.ask(1, Kind::Get);
    driven.ask(2, Kind::Get);
    driven.pass(SECOND);
    let patience = Settings {
        channels: 1,
        channel_timeout: 2 * SECOND,
        ..settings()
    };
    driven.tell(Input::Configured(patience));
    assert_eq!(refused(&driven.run(SECOND - 10 * MS)), []);
    let waited = 2 * SECOND;
    let channels = 1;
    assert_eq!(
        refused(&driven.run(10 * MS)),
        [(2, Refusal::Busy { channels, waited })]
    );
}

/// It may be a quarrel of long ago.
#[test]
fn another_number_of_channels_is_tried_whole_even_where_fewer_were_answered_on() {
    let mut driven = Driven::up(4);
    let limit = |driven: &mut Driven| {
        let actions = driven.tell(Input::Configured(with_channels(5)));
        let silent = opened(&actions).unwrap_or_else(|| driven.await_open());
        driven.tell(Input::Connected(ChannelNo(silent)));
        for _ in 0..1200 {
            let actions = driven.run(10 * MS);
            for channel in beats(&actions) {
                driven.beaten(channel);
            }
        }
        driven.site.vitals().limit
    };
    assert_eq!(limit(&mut driven), Some(2));
    driven.tell(Input::Configured(with_channels(5)));
    assert_eq!(driven.site.vitals().limit, Some(2), "nothing has changed");
    let actions = driven.tell(Input::Configured(with_channels(6)));
    assert_eq!(driven.site.vitals().limit, None);
    driven.prove(opened(&actions).unwrap());
    let_come(&mut driven, SECOND);
    assert_eq!(driven.site.open_channels(), 6);
}

#[test]
fn renewed_channels_are_closed_when_they_are_free_and_opened_anew() {
    let mut driven = Driven::up(3);
    driven.ask(1, Kind::Get);
    let actions = driven.tell(Input::Renewed);
    let free: Vec<u8> = closed(&actions)
        .iter()
        .map(|(channel, _)| *channel)
        .collect();
    assert_eq!(free, [0, 1]);
    assert_eq!(driven.site.idle_channels(), 0);
    assert_eq!(opened(&actions), None, "the site has to notice it first");
    assert_eq!(opened(&driven.run(100 * MS - 10 * MS)), None);
    assert_eq!(opened(&driven.run(10 * MS)), Some(0));
    driven.prove(0);
    assert_eq!(driven.site.state(), State::Ready);
    let actions = driven.answered(2);
    assert!(closed(&actions).contains(&(2, Loss::NotNeeded)));
    let_come(&mut driven, SECOND);
    assert_eq!(driven.site.open_channels(), 3);
    assert_eq!(closed(&driven.run(SECOND)), [], "each of them once");
}

#[test]
fn a_site_all_of_whose_channels_are_renewed_starts_anew() {
    let mut driven = Driven::up(2);
    driven.tell(Input::Renewed);
    assert_eq!(driven.site.state(), State::Starting);
    let_come(&mut driven, SECOND);
    assert_eq!(driven.site.state(), State::Ready);
}

#[test]
fn renewing_ends_the_pause_of_a_site_that_is_away() {
    let mut driven = Driven::new(1);
    for _ in 0..9 {
        let channel = driven.await_open();
        let refused = Loss::NotConnected("Connection refused".into());
        driven.lost(channel, refused, Owed::Nothing);
    }
    assert_eq!(opened(&driven.run(20 * SECOND)), None, "the pause is long");
    driven.tell(Input::Renewed);
    let channel = opened(&driven.run(100 * MS)).unwrap();
    let refused = Loss::NotConnected("Connection refused".into());
    driven.lost(channel, refused, Owed::Nothing);
    let pause = settings().connect_retry;
    assert_eq!(opened(&driven.run(pause - 10 * MS)), None);
    assert!(opened(&driven.run(10 * MS)).is_some(), "and begins anew");
}

/// Another daemon's channels may be all that the site takes.
#[test]
fn while_it_is_shared_a_site_that_hangs_up_is_not_dead_and_tried_again_soon() {
    let broken = Loss::Broken("Connection reset by peer".into());
    for (loss, is_dead) in [
        (Loss::Closed, false),
        (Loss::ClosedUnheard, false),
        (broken, false),
        (Loss::NotConnected("Connection refused".into()), true),
    ] {
        let mut driven = Driven::new(2);
        let until = driven.now + 10 * SECOND;
        let channel = opened(&driven.tell(Input::Shared(until))).unwrap();
        driven.tell(Input::Connected(ChannelNo(channel)));
        driven.lost(channel, loss.clone(), Owed::Nothing);
        assert_eq!(driven.site.state() == State::Dead, is_dead, "{loss:?}");
        let again = opened(&driven.run(100 * MS));
        assert_eq!(again.is_some(), !is_dead);
        if let Some(channel) = again {
            driven.now = until;
            driven.tell(Input::Connected(ChannelNo(channel)));
            driven.lost(channel, loss, Owed::Nothing);
            assert_eq!(
                driven.site.state(),
                State::Dead,
                "it is not shared any more"
            );
        }
    }
}

#[test]
fn a_site_that_died_for_want_of_room_is_tried_again_when_it_is_known_to_be_shared() {
    for (loss, is_tried) in [(Loss::Closed, true), (Loss::NoAnswer, false)] {
        let mut driven = Driven::new(2);
        let channel = driven.await_open();
        driven.tell(Input::Connected(ChannelNo(channel)));
        driven.lost(channel, loss, Owed::Nothing);
        assert_eq!(driven.site.state(), State::Dead);
        let until = driven.now + 10 * SECOND;
        driven.tell(Input::Shared(until));
        let is_starting = driven.site.state() == State::Starting;
        assert_eq!(is_starting, is_tried);
        assert_eq!(opened(&driven.run(100 * MS)).is_some(), is_tried);
    }
}

#[test]
fn a_site_that_goes_finishes_what_it_was_asked() {
    let mut driven = Driven::up(2);
    assert!(!driven.site.is_done(), "nobody has told it to go");
    for query in 0..3 {
        driven.ask(query, Kind::Get);
    }
    driven.tell(Input::Retired(None));
    assert!(!driven.site.is_done());
    assert_eq!(assigned(&driven.answered(0)), [(2, 0)]);
    let actions = driven.answered(1);
    assert_eq!(closed(&actions), [(1, Loss::NotNeeded)]);
    assert!(!driven.site.is_done());
    let actions = driven.answered(0);
    assert_eq!(closed(&actions), [(0, Loss::NotNeeded)]);
    assert!(driven.site.is_done());
    assert_eq!(opened(&driven.run(60 * SECOND)), None);
}

#[test]
fn a_site_that_goes_while_somebody_waits_opens_a_channel_for_him() {
    let mut driven = Driven::up(1);
    driven.ask(1, Kind::Get);
    driven.ask(2, Kind::Get);
    driven.tell(Input::Retired(None));
    driven.lost(0, Loss::Spoke, Owed::Nothing);
    assert!(!driven.site.is_done(), "somebody waits");
    let channel = driven.await_open();
    driven.tell(Input::Connected(ChannelNo(channel)));
    assert_eq!(assigned(&driven.beaten(channel)), [(2, channel)]);
}

#[test]
fn a_daemon_that_stops_refuses_wait_queries_and_keeps_a_channel_for_its_last_callers() {
    let mut driven = Driven::up(4);
    driven.ask(1, Kind::Wait(None));
    driven.ask(2, Kind::Wait(None));
    driven.ask(3, Kind::Wait(None));
    driven.ask(4, Kind::Get);
    let actions = driven.tell(Input::Retired(Some(gone())));
    let mut told = refused(&actions);
    told.sort_unstable_by_key(|(query, _)| *query);
    assert_eq!(told, [(1, gone()), (2, gone()), (3, gone())]);
    assert_eq!(driven.site.open_channels(), 2, "one at work, one free");
    assert_eq!(driven.site.idle_channels(), 1);
    assert_eq!(refused(&driven.ask(5, Kind::Wait(None))), [(5, gone())]);
    assert_eq!(assigned(&driven.ask(6, Kind::Get)).len(), 1);
    assert!(!driven.site.is_done());
    driven.answered(0);
    driven.answered(1);
    assert_eq!(driven.site.idle_channels(), 1, "still");
    assert!(driven.site.is_done());
}

#[test]
fn the_channel_that_is_kept_may_be_the_one_that_is_being_proved() {
    let mut driven = Driven::up(1);
    let actions = driven.run(3 * SECOND);
    assert_eq!(beats(&actions), [0]);
    let actions = driven.tell(Input::Retired(Some(gone())));
    assert_eq!(closed(&actions), []);
    driven.beaten(0);
    assert_eq!(driven.site.idle_channels(), 1);

    let mut driven = Driven::up(1);
    driven.run(3 * SECOND);
    let actions = driven.tell(Input::Retired(None));
    assert_eq!(closed(&actions), [(0, Loss::NotNeeded)]);
}

#[test]
fn who_waits_can_be_given_to_another_site_or_told_that_there_is_no_channel() {
    let waiting = || {
        let mut driven = Driven::up(1);
        for query in 1..=3 {
            driven.ask(query, Kind::Get);
        }
        // The first one waits to be sent again.
        driven.lost(0, Loss::Closed, Owed::All);
        driven
    };
    let ids = |numbers: &[u64]| -> Vec<QueryId> {
        numbers
            .iter()
            .map(|number| QueryId::unpack(*number))
            .collect()
    };
    let mut driven = waiting();
    let handed: Vec<QueryId> = driven
        .site
        .hand_over()
        .into_iter()
        .map(|(query, since)| {
            assert_eq!(since, driven.now);
            query
        })
        .collect();
    assert_eq!(handed, ids(&[2, 3]));
    assert_eq!(driven.site.waiting(), 1);

    let mut driven = waiting();
    assert_eq!(driven.site.give_all_up(), ids(&[1, 2, 3]));
    assert_eq!(driven.site.waiting(), 0);
}

#[test]
fn a_query_that_has_moved_has_waited_all_the_time() {
    let mut driven = Driven::up(1);
    driven.ask(1, Kind::Get);
    let since = driven.now - 3 * SECOND;
    driven.tell(Input::Moved(QueryId::unpack(2), Kind::Get, since));
    assert_eq!(driven.site.vitals().oldest, Some(since));
    assert_eq!(refused(&driven.run(2 * SECOND - 10 * MS)), []);
    assert_eq!(refused(&driven.run(10 * MS)).len(), 1);
}

/// The other daemon needs them more.
#[test]
fn a_limit_closes_free_channels_at_once_and_the_next_that_gets_free() {
    let mut driven = Driven::up(4);
    driven.ask(1, Kind::Get);
    driven.ask(2, Kind::Get);
    let actions = driven.tell(Input::Limited(Some(1)));
    assert_eq!(closed(&actions).len(), 2);
    driven.ask(3, Kind::Get);
    let actions = driven.answered(3);
    assert_eq!(assigned(&actions), [], "before those who wait here");
    assert_eq!(closed(&actions), [(3, Loss::NotNeeded)]);
    let actions = driven.answered(2);
    assert_eq!(assigned(&actions), [(3, 2)]);
    driven.answered(2);
    driven.tell(Input::Limited(None));
    let_come(&mut driven, SECOND);
    assert_eq!(driven.site.open_channels(), 4);
}

#[test]
fn a_configuration_that_changes_nothing_leaves_a_connection_beside_the_channels_alone() {
    let mut driven = Driven::up(1);
    driven.ask(1, Kind::Get);
    assert_eq!(driven.await_open(), 1);
    let actions = driven.tell(Input::Configured(with_channels(1)));
    assert_eq!(actions, []);
}

#[test]
fn renewing_says_nothing_new_of_a_site_that_is_away_or_has_a_channel_at_work() {
    let mut driven = Driven::new(2);
    let channel = driven.await_open();
    let refused = Loss::NotConnected("Connection refused".into());
    driven.lost(channel, refused, Owed::Nothing);
    driven.tell(Input::Renewed);
    assert_eq!(driven.site.state(), State::Dead);

    let mut driven = Driven::up(2);
    driven.ask(1, Kind::Get);
    driven.tell(Input::Renewed);
    assert_eq!(driven.site.state(), State::Ready);
}

/// That one counts on no adaptation of what it was given.
#[test]
fn a_number_of_channels_that_the_site_itself_sets_is_not_adapted() {
    let address = Address::Unix("/tmp/live".into());
    let mut config = SiteConfig::new("muc", address);
    assert!(Settings::from(&config).adapts);
    config.channels = 4;
    config.channels_from_site = true;
    let settings = Settings::from(&config);
    assert_eq!((settings.adapts, settings.channels), (false, 4));
}
