//! A site that runs Icinga 2 is asked through as few channels as will do: each one that stays open
//! takes away a thread that runs checks.

use std::time::Duration;

use liveproxyd::pool::{Action, ChannelNo, Core, Input, Loss, Owed, Refusal, State};
use liveproxyd::pool::{Settings, Site};
use liveproxyd::proto::request::Kind;

use crate::driven::{Driven, assigned, beats, closed, opened, refused, settings};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// One that has just shown what it is, and has no channel.
fn known() -> Driven {
    known_with(Settings {
        channels: 10,
        ..settings()
    })
}

fn known_with(settings: Settings) -> Driven {
    let mut driven = Driven::new(settings.channels);
    driven.site = Site::new(settings, driven.now, 1);
    let channel = driven.await_open();
    driven.tell(Input::Connected(ChannelNo(channel)));
    let actions = answers(&mut driven, channel);
    assert!(actions.contains(&Action::Recognise(Core::Icinga2)));
    driven
}

/// It answers a heartbeat.
fn answers(driven: &mut Driven, channel: u8) -> Vec<Action> {
    driven.site.heard(driven.now);
    driven.tell(Input::Beaten(ChannelNo(channel), Core::Icinga2))
}

fn connected(driven: &mut Driven, channel: u8) -> Vec<Action> {
    driven.tell(Input::Connected(ChannelNo(channel)))
}

/// Opens a channel to it for query 1, which is sent on it.
fn at_work(mut driven: Driven) -> (Driven, u8) {
    driven.pass(SECOND);
    let channel = opened(&driven.ask(1, Kind::Get)).unwrap();
    connected(&mut driven, channel);
    (driven, channel)
}

#[test]
fn once_it_is_known_the_channel_that_nobody_needs_is_closed() {
    let mut driven = Driven::new(10);
    let channel = driven.await_open();
    connected(&mut driven, channel);
    let actions = answers(&mut driven, channel);
    assert_eq!(closed(&actions), [(channel, Loss::NotNeeded)]);
    assert_eq!(driven.site.state(), State::Ready);
    assert_eq!(driven.site.open_channels(), 0);
    assert_eq!(opened(&actions), None);
}

#[test]
fn who_asks_for_channels_gets_them() {
    let kept = Settings {
        adapts: false,
        ..settings()
    };
    let mut driven = known_with(kept);
    assert_eq!(driven.site.open_channels(), 1);
    let second = driven.await_open();
    connected(&mut driven, second);
    answers(&mut driven, second);
    driven.run(30 * MS);
    assert_eq!(driven.site.open_channels(), 2);
}

#[test]
fn a_query_opens_a_channel_and_is_the_first_to_be_sent_on_it() {
    let mut driven = known();
    driven.pass(SECOND);
    let channel = opened(&driven.ask(1, Kind::Get)).unwrap();
    let actions = connected(&mut driven, channel);
    assert_eq!(beats(&actions), [0; 0]);
    assert_eq!(assigned(&actions), [(1, channel)]);
}

#[test]
fn a_channel_is_closed_five_seconds_after_its_last_query() {
    let (mut driven, channel) = at_work(known());
    driven.pass(SECOND);
    driven.answered(channel);
    driven.pass(4 * SECOND);
    assert_eq!(assigned(&driven.ask(2, Kind::Get)), [(2, channel)]);
    driven.answered(channel);
    let actions = driven.run(5 * SECOND - 10 * MS);
    assert_eq!((closed(&actions).len(), beats(&actions).len()), (0, 0));
    assert_eq!(driven.site.deadline(), Some(driven.now + 10 * MS));
    let actions = driven.run(10 * MS);
    assert_eq!(closed(&actions), [(channel, Loss::NotNeeded)]);
}

/// With one processor there are two threads, and two channels in steady use stop all checks.
#[test]
fn a_second_channel_is_opened_for_one_who_has_waited_half_of_its_time() {
    let (mut driven, _) = at_work(known());
    let actions = driven.ask(2, Kind::Get);
    assert_eq!(opened(&actions), None);
    driven.pass(SECOND);
    driven.ask(3, Kind::Get);
    let half = settings().channel_timeout / 2;
    let actions = driven.run(half - SECOND - 10 * MS);
    assert_eq!(opened(&actions), None);
    let actions = driven.run(10 * MS);
    let second = opened(&actions).unwrap();
    let actions = connected(&mut driven, second);
    assert_eq!(assigned(&actions), [(2, second)]);
    driven.ask(4, Kind::Get);
    let actions = driven.run(2 * SECOND);
    assert_eq!(opened(&actions), None, "there is never a third one");
    // Query 3 gets the first one that is free; then nobody waits but 4.
    assert_eq!(assigned(&driven.answered(second)), [(3, second)]);
    assert_eq!(assigned(&driven.answered(second)), [(4, second)]);
    let actions = driven.answered(second);
    assert_eq!(closed(&actions), [(second, Loss::NotNeeded)]);
}

#[test]
fn where_one_channel_is_configured_there_is_never_a_second() {
    let (mut driven, _) = at_work(known_with(Settings {
        channels: 1,
        ..settings()
    }));
    driven.ask(2, Kind::Get);
    let actions = driven.run(4 * SECOND);
    assert_eq!(opened(&actions), None);
}

#[test]
fn while_there_is_no_channel_one_connection_every_thirty_seconds_shows_that_it_lives() {
    let mut driven = known();
    for _ in 0..3 {
        let actions = driven.run(30 * SECOND - 10 * MS);
        assert_eq!(opened(&actions), None);
        let actions = driven.run(10 * MS);
        let channel = opened(&actions).unwrap();
        let actions = connected(&mut driven, channel);
        assert_eq!(beats(&actions), [channel]);
        let actions = answers(&mut driven, channel);
        assert_eq!(closed(&actions), [(channel, Loss::NotNeeded)]);
        assert_eq!(driven.site.state(), State::Ready);
    }
}

#[test]
fn it_is_dead_when_that_connection_is_not_made() {
    let mut driven = known();
    let channel = driven.await_open();
    let refused = Loss::NotConnected("Connection refused".into());
    driven.lost(channel, refused, Owed::Nothing);
    assert_eq!(driven.site.state(), State::Dead);
}

/// It may be another core by now, or one that hangs up on everybody.
#[test]
fn after_the_site_has_ended_a_channel_the_next_one_has_to_answer_first() {
    for (loss, has_to) in [
        (Loss::Closed, true),
        (Loss::ClosedUnheard, true),
        (Loss::Spoke, true),
        (Loss::Broken("Connection reset by peer".into()), true),
        (Loss::NotAHeader("x".into()), true),
        (Loss::OutOfStep(400), false),
        (Loss::Surplus, false),
        (Loss::Abandoned, false),
    ] {
        let (mut driven, channel) = at_work(known());
        driven.pass(2 * SECOND);
        driven.lost(channel, loss.clone(), Owed::Nothing);
        driven.pass(SECOND);
        let channel = opened(&driven.ask(2, Kind::Get)).unwrap();
        let actions = connected(&mut driven, channel);
        assert_eq!(beats(&actions).len(), usize::from(has_to), "{loss:?}");
        if has_to {
            let actions = answers(&mut driven, channel);
            assert_eq!(assigned(&actions), [(2, channel)]);
        }
    }
}

/// A barrier behind it would not tell whether the channel was there before it was written.
#[test]
fn a_command_goes_out_only_when_the_channel_has_answered() {
    let mut driven = known();
    driven.pass(SECOND);
    let channel = opened(&driven.ask(1, Kind::Command)).unwrap();
    let actions = connected(&mut driven, channel);
    assert_eq!(
        (assigned(&actions), beats(&actions)),
        (vec![], vec![channel])
    );
    let actions = answers(&mut driven, channel);
    assert_eq!(assigned(&actions), [(1, channel)]);
}

/// It does not know waiting and answers at once.
#[test]
fn wait_queries_are_queries_like_any_other() {
    let mut driven = known();
    driven.pass(SECOND);
    let channel = opened(&driven.ask(1, Kind::Wait(None))).unwrap();
    driven.ask(2, Kind::Wait(Some(60 * SECOND)));
    let actions = connected(&mut driven, channel);
    assert_eq!(assigned(&actions), [(1, channel)]);
    let actions = driven.answered(channel);
    assert_eq!(assigned(&actions), [(2, channel)]);
    let limit = |action: &Action| matches!(action, Action::Assign { wait: None, .. });
    assert!(actions.iter().any(limit));
}

#[test]
fn wait_queries_that_came_before_it_was_known_are_served_like_others_too() {
    let mut driven = Driven::new(10);
    let channel = driven.await_open();
    driven.ask(1, Kind::Wait(Some(60 * SECOND)));
    connected(&mut driven, channel);
    let actions = answers(&mut driven, channel);
    let end = driven.now + settings().query_timeout;
    let as_query = |action: &Action| matches!(action, Action::Assign { deadline, wait: None, .. } if *deadline == end);
    assert!(actions.iter().any(as_query), "{actions:?}");
}

/// A pool that has no channel because nobody needs one is not busy.
#[test]
fn one_who_gets_no_channel_is_told_so_and_the_site_stays_ready() {
    let (mut driven, _) = at_work(known());
    driven.ask(2, Kind::Get);
    let actions = driven.run(settings().channel_timeout);
    let told = refused(&actions);
    assert_eq!(told.len(), 1);
    assert!(matches!(told[0], (2, Refusal::Busy { .. })), "{told:?}");
    assert_eq!(driven.site.state(), State::Ready);
}

/// Nothing says that it hangs: its queries run in its own threads.
#[test]
fn nobody_else_is_asked_for_an_opinion_and_no_probe_is_made() {
    let (mut driven, _) = at_work(known());
    let actions = driven.run(60 * SECOND);
    assert_eq!((opened(&actions), beats(&actions).len()), (None, 0));
}

#[test]
fn when_it_is_to_go_no_connection_is_made_any_more_only_to_see_whether_it_lives() {
    let mut driven = known();
    driven.tell(Input::Retired(None));
    assert_eq!(opened(&driven.run(60 * SECOND)), None);
    assert!(driven.site.is_done());
}
