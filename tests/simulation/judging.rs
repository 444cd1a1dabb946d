//! What a lost channel, a failed attempt and a connection beside the channels say of the site.

use std::time::Duration;

use liveproxyd::pool::{Action, ChannelNo, Input, Loss, Owed, Refusal, State};
use liveproxyd::proto::request::Kind;

use crate::driven::{Driven, closed, opened, refused, settings};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

fn not_connected() -> Loss {
    Loss::NotConnected("Connection refused".into())
}

/// One with so many channels, of which so many are proved; the next one is being opened.
fn with_one_coming(channels: u8, proved: u8) -> (Driven, u8) {
    let mut driven = Driven::new(channels);
    for _ in 0..proved {
        let channel = driven.await_open();
        driven.prove(channel);
    }
    let coming = driven.await_open();
    (driven, coming)
}

/// All of whose channels are at work, and which is asked over one more.
fn with_probe(channels: u8) -> (Driven, u8) {
    let mut driven = Driven::up(channels);
    for query in 0..channels {
        driven.ask(query.into(), Kind::Get);
    }
    let probe = driven.await_open();
    assert_eq!(probe, channels);
    (driven, probe)
}

#[test]
fn a_channel_that_has_lasted_a_second_was_one() {
    for (lasted, failed) in [(999, true), (1000, false)] {
        let mut driven = Driven::up(1);
        driven.pass(lasted * MS);
        driven.lost(0, Loss::Closed, Owed::Nothing);
        assert_eq!(driven.site.state() == State::Dead, failed, "{lasted} ms");
    }
}

#[test]
fn after_a_failed_attempt_the_site_dies_with_its_last_channel_and_not_with_another() {
    let (mut driven, third) = with_one_coming(3, 2);
    driven.lost(third, not_connected(), Owed::Nothing);
    driven.pass(2 * SECOND);
    driven.lost(0, Loss::Closed, Owed::Nothing);
    assert_eq!(driven.site.state(), State::Ready, "one is left");
    driven.lost(1, Loss::Closed, Owed::Nothing);
    assert_eq!(driven.site.state(), State::Dead);
    let pause = settings().connect_retry;
    assert_eq!(opened(&driven.run(pause - 10 * MS)), None);
    assert!(opened(&driven.run(10 * MS)).is_some());
}

#[test]
fn a_connect_that_takes_too_long_is_no_death_while_others_are_alive() {
    let (mut driven, coming) = with_one_coming(2, 1);
    driven.site.heard(driven.now);
    driven.pass(10 * SECOND);
    let actions = driven.tell(Input::Due);
    assert!(closed(&actions).contains(&(coming, Loss::NoAnswer)));
    assert_eq!(driven.site.state(), State::Ready);
}

/// It is as good as a connection made to see whether the site lives.
#[test]
fn an_attempt_that_fails_while_all_others_are_at_work_and_silent_is_the_sites_death() {
    // The interval of 3 s, and the 2 s that a heartbeat may take.
    for (silent, at_work, loss, is_dead) in [
        (4999, 2, not_connected(), false),
        (5000, 2, not_connected(), true),
        (5000, 2, Loss::NoRoom, false),
        (5000, 1, not_connected(), false),
    ] {
        let (mut driven, coming) = with_one_coming(3, 2);
        for query in 0..at_work {
            driven.ask(query, Kind::Get);
        }
        driven.site.heard(driven.now);
        driven.pass(silent * MS);
        driven.lost(coming, loss.clone(), Owed::Nothing);
        let died = driven.site.state() == State::Dead;
        assert_eq!(died, is_dead, "{silent} ms, {at_work}, {loss:?}");
    }
}

#[test]
fn a_missing_channel_is_tried_again_rather_than_one_beside_the_others() {
    let (mut driven, coming) = with_one_coming(2, 1);
    driven.ask(1, Kind::Get);
    driven.site.heard(driven.now);
    driven.pass(4 * SECOND);
    driven.lost(coming, not_connected(), Owed::Nothing);
    let pause = settings().connect_retry;
    assert_eq!(opened(&driven.run(pause - 10 * MS)), None);
    assert_eq!(opened(&driven.run(10 * MS)), Some(coming));
}

#[test]
fn a_site_that_hangs_up_on_one_more_takes_as_many_as_it_has() {
    for loss in [Loss::Closed, Loss::NoRoom] {
        let (mut driven, probe) = with_probe(2);
        let begun = driven.now;
        driven.tell(Input::Connected(ChannelNo(probe)));
        driven.lost(probe, loss, Owed::Nothing);
        assert_eq!(driven.site.state(), State::Ready);
        driven.now = begun + settings().connect_retry - MS;
        assert_eq!(opened(&driven.tell(Input::Due)), None);
        driven.pass(MS);
        assert_eq!(opened(&driven.tell(Input::Due)), Some(probe));
    }
}

#[test]
fn a_connection_beside_the_channels_that_is_refused_is_the_sites_death_unless_we_lack_room() {
    for (loss, is_dead) in [(not_connected(), true), (Loss::NoRoom, false)] {
        let (mut driven, probe) = with_probe(2);
        driven.lost(probe, loss, Owed::Nothing);
        assert_eq!(driven.site.state() == State::Dead, is_dead);
    }
}

/// It was declared dead with its answers on their way, because its backlog was full.
#[test]
fn a_site_that_speaks_on_its_channels_lives_whatever_becomes_of_one_more() {
    for (is_connected, is_heard, state) in [
        (false, false, State::Dead),
        (false, true, State::Ready),
        (true, false, State::Busy),
        (true, true, State::Ready),
    ] {
        let (mut driven, probe) = with_probe(2);
        if is_connected {
            driven.tell(Input::Connected(ChannelNo(probe)));
        }
        driven.pass(MS);
        if is_heard {
            driven.site.heard(driven.now);
        }
        let actions = driven.due();
        assert!(closed(&actions).iter().any(|(no, _)| *no == probe));
        assert_eq!(driven.site.state(), state, "{is_connected} {is_heard}");
    }
}

#[test]
fn a_site_that_answers_nothing_at_all_refuses_new_queries_until_it_is_heard_again() {
    let (mut driven, probe) = with_probe(1);
    driven.tell(Input::Connected(ChannelNo(probe)));
    let actions = driven.due();
    assert_eq!(closed(&actions), [(probe, Loss::Missed(2 * SECOND))]);
    let cause = actions.iter().find_map(|action| match action {
        Action::Tell(change) => Some((change.to, change.cause.clone())),
        _ => None,
    });
    assert_eq!(cause, Some((State::Busy, Some(Loss::Missed(2 * SECOND)))));
    let lasted = Duration::ZERO;
    let told = refused(&driven.ask(7, Kind::Get));
    assert_eq!(told, [(7, Refusal::Mute { lasted })]);
    assert_eq!(refused(&driven.ask(8, Kind::Command)), [], "it may wait");
    let muted = driven.now;
    driven.now = muted + settings().connect_retry - MS;
    assert_eq!(opened(&driven.tell(Input::Due)), None);
    driven.pass(MS);
    assert_eq!(
        opened(&driven.tell(Input::Due)),
        Some(probe),
        "looked at again"
    );
    driven.site.heard(driven.now);
    assert_eq!(refused(&driven.ask(9, Kind::Get)), []);
    assert_eq!(driven.site.waiting(), 2);
}
