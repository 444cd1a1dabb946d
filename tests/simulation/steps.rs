//! Single steps of the policy that went wrong once, or that a reader would doubt.

use std::time::{Duration, Instant};

use liveproxyd::ids::QueryId;
use liveproxyd::pool::{Action, CONNECT_TIMEOUT, ChannelNo, Core, Input, Loss, Owed, Site, State};
use liveproxyd::proto::request::Kind;

use crate::driven::{Driven, opened, settings};

/// A channel that is accepted and never proved must not hold the site in `starting`.
#[test]
fn a_silent_site_is_dead_after_the_connect_timeout() {
    let start = Instant::now();
    let mut site = Site::new(settings(), start, 1);
    let mut actions = Vec::new();
    site.handle(Input::Due, start, &mut actions);
    assert_eq!(actions, [Action::Open(ChannelNo(0))]);
    site.handle(Input::Connected(ChannelNo(0)), start, &mut actions);
    site.handle(
        Input::Arrived(QueryId::unpack(1), Kind::Get),
        start,
        &mut actions,
    );
    actions.clear();
    let late = start + CONNECT_TIMEOUT;
    site.handle(Input::Due, late, &mut actions);
    assert_eq!(site.state(), State::Dead);
    assert!(actions.contains(&Action::Close(ChannelNo(0), Loss::NoAnswer)));
}

/// A dead site is tried again when somebody asks for it, but not at every query.
#[test]
fn a_query_for_a_dead_site_starts_an_attempt_at_most_every_connect_retry() {
    let mut now = Instant::now();
    let mut site = Site::new(settings(), now, 1);
    let refused = |channel| Input::Lost {
        channel: ChannelNo(channel),
        loss: Loss::NotConnected("Connection refused".into()),
        owed: Owed::Nothing,
    };
    let mut actions = Vec::new();
    site.handle(Input::Due, now, &mut actions);
    site.handle(refused(0), now, &mut actions);
    // Several failures on, the pause is longer than `connect_retry`.
    for _ in 0..6 {
        now = site.deadline().unwrap();
        site.handle(Input::Due, now, &mut actions);
        site.handle(refused(0), now, &mut actions);
    }
    let pause = site.deadline().unwrap() - now;
    assert!(pause > Duration::from_secs(12), "{pause:?}");
    for (wait, attempt) in [(3, false), (1, true), (0, false), (3, false), (1, true)] {
        now += Duration::from_secs(wait);
        actions.clear();
        site.handle(
            Input::Arrived(QueryId::unpack(1), Kind::Get),
            now,
            &mut actions,
        );
        let opened = actions.contains(&Action::Open(ChannelNo(0)));
        assert_eq!(opened, attempt, "{actions:?}");
        assert!(matches!(actions.last(), Some(Action::Refuse(..))));
        if opened {
            site.handle(refused(0), now, &mut actions);
        }
    }
}

/// What went wrong long ago must not make the next pause long.
#[test]
fn the_first_failure_after_good_health_pauses_for_connect_retry_at_most() {
    let mut driven = Driven::new(2);
    let start = driven.now;
    let mut pause = Duration::ZERO;
    while driven.now < start + Duration::from_secs(600) {
        let channel = driven.await_open();
        driven.lost(
            channel,
            Loss::NotConnected("Connection refused".into()),
            Owed::Nothing,
        );
        pause = driven.site.deadline().unwrap() - driven.now;
    }
    assert!(pause > Duration::from_secs(30), "{pause:?}");

    for _ in 0..2 {
        let channel = driven.await_open();
        driven.prove(channel);
    }
    assert_eq!(driven.site.state(), State::Ready);
    let well = driven.now;
    let mut beats = 0;
    while driven.now < well + Duration::from_secs(86_400) {
        for action in driven.due() {
            if let Action::Beat(channel) = action {
                beats += 1;
                driven.pass(Duration::from_millis(10));
                driven.beaten(channel.0);
            }
        }
    }
    assert!(beats > 20_000, "{beats}");
    assert_eq!(driven.site.state(), State::Ready);

    // One heartbeat is missed, and then the one that is to show whether the site is silent.
    for _ in 0..10 {
        if driven.site.state() == State::Ready {
            driven.due();
        }
    }
    assert_eq!(driven.site.state(), State::Dead, "it was silent");
    let pause = driven.site.deadline().unwrap() - driven.now;
    assert!(pause <= settings().connect_retry, "{pause:?}");
}

/// A channel that is being opened may stay silent for ten seconds.
#[test]
fn a_retry_is_proved_on_an_idle_channel_while_another_is_being_opened() {
    let mut driven = Driven::new(3);
    for _ in 0..2 {
        let channel = driven.await_open();
        driven.prove(channel);
    }
    let coming = driven.await_open();
    driven.tell(Input::Connected(ChannelNo(coming)));

    let query = QueryId::unpack(1);
    let assigned = |actions: &[Action]| {
        actions.iter().find_map(|action| match action {
            Action::Assign {
                query: id, channel, ..
            } if *id == query => Some(channel.0),
            _ => None,
        })
    };
    let actions = driven.tell(Input::Arrived(query, Kind::Get));
    let first = assigned(&actions).unwrap();
    driven.pass(Duration::from_millis(10));
    let actions = driven.lost(first, Loss::Closed, Owed::All);
    let proved = actions.iter().find_map(|action| match action {
        Action::Beat(channel) => Some(channel.0),
        _ => None,
    });
    let proved = proved.expect("nothing is proved");
    assert!(proved != first && proved != coming, "{actions:?}");
    driven.pass(Duration::from_millis(10));
    let actions = driven.beaten(proved);
    assert_eq!(assigned(&actions), Some(proved), "{actions:?}");
}

/// Otherwise a site that answers one heartbeat and hangs up would be called without end.
#[test]
fn a_new_channel_that_is_lost_at_once_counts_as_a_failed_attempt() {
    let mut driven = Driven::new(1);
    let mut last: Option<Instant> = None;
    for _ in 0..3 {
        let channel = driven.await_open();
        if let Some(last) = last {
            let pause = driven.now - last;
            let least = settings().connect_retry * 4 / 5;
            assert!(pause >= least, "called again after {pause:?}");
        }
        driven.prove(channel);
        // Believed once, it would be ready and dead in turns.
        let believed = match last {
            None => State::Ready,
            Some(_) => State::Dead,
        };
        assert_eq!(driven.site.state(), believed);
        driven.pass(Duration::from_millis(100));
        driven.lost(channel, Loss::Closed, Owed::Nothing);
        assert_eq!(driven.site.state(), State::Dead);
        last = Some(driven.now);
    }

    let channel = driven.await_open();
    driven.prove(channel);
    let answered = driven.now;
    let actions = driven.due();
    assert_eq!(actions, [Action::Beat(ChannelNo(channel))]);
    assert!(driven.now - answered >= Duration::from_secs(1));
    driven.beaten(channel);
    assert_eq!(driven.site.state(), State::Ready, "it has lasted");
}

/// One that has served somebody was a channel, however short it lived.
#[test]
fn a_new_channel_that_has_served_is_replaced_at_once() {
    let mut driven = Driven::new(1);
    let channel = driven.await_open();
    driven.prove(channel);
    driven.tell(Input::Arrived(QueryId::unpack(1), Kind::Get));
    driven.tell(Input::Answered(ChannelNo(channel)));
    driven.pass(Duration::from_millis(100));
    let actions = driven.lost(channel, Loss::Closed, Owed::Nothing);
    assert_eq!(driven.site.state(), State::Ready);
    assert_eq!(opened(&actions), Some(0), "{actions:?}");
}

/// With several channels the next one is new before the last one is lost.
#[test]
fn new_channels_that_are_lost_one_after_another_are_failed_attempts_too() {
    let mut driven = Driven::new(10);
    let start = driven.now;
    let life = Duration::from_millis(100);
    let mut alive: Vec<(u8, Instant)> = Vec::new();
    let mut opens = 0;
    driven.tell(Input::Due);
    opens += 1;
    driven.prove(0);
    alive.push((0, driven.now + life));
    while driven.now < start + Duration::from_secs(60) {
        let end = alive.first().map(|(_, end)| *end);
        let due = driven.site.deadline().unwrap();
        let actions = match end {
            Some(end) if end <= due => {
                driven.now = driven.now.max(end);
                let (channel, _) = alive.remove(0);
                driven.lost(channel, Loss::Closed, Owed::Nothing)
            }
            _ => driven.due(),
        };
        for action in &actions {
            match action {
                Action::Open(channel) => {
                    opens += 1;
                    driven.pass(Duration::from_millis(1));
                    driven.prove(channel.0);
                    alive.push((channel.0, driven.now + life));
                }
                Action::Beat(channel) => drop(driven.beaten(channel.0)),
                Action::Close(channel, _) => alive.retain(|(no, _)| *no != channel.0),
                _ => {}
            }
        }
    }
    assert!(opens < 40, "{opens} connects in a minute");
}

/// Otherwise one user's faulty query would be the death of a site that takes few connections.
#[test]
fn closing_the_only_channel_ourselves_does_not_make_the_site_dead() {
    let mut driven = Driven::new(2);
    let first = driven.await_open();
    driven.prove(first);
    let second = driven.await_open();
    let refused = Loss::NotConnected("Connection reset by peer".into());
    driven.lost(second, refused.clone(), Owed::Nothing);
    assert_eq!(
        driven.site.state(),
        State::Ready,
        "another channel is alive"
    );
    driven.tell(Input::Arrived(QueryId::unpack(1), Kind::Get));
    driven.lost(first, Loss::OutOfStep(400), Owed::Nothing);
    assert_eq!(driven.site.state(), State::Ready);
    let next = driven.await_open();
    driven.lost(next, refused, Owed::Nothing);
    assert_eq!(
        driven.site.state(),
        State::Dead,
        "there is none, and none can be had"
    );
}

/// Threads that are used up today may be free tomorrow.
#[test]
fn a_site_that_lacked_threads_is_tried_again_after_a_while() {
    // Where less than a third is left, others may only have been faster.
    limited_site_is_tried_again(5, 4, 600);
    limited_site_is_tried_again(6, 4, 600);
    limited_site_is_tried_again(10, 4, 60);
}

#[track_caller]
fn limited_site_is_tried_again(channels: u8, answered: u8, after: u64) {
    let mut driven = Driven::new(channels);
    for _ in 0..answered {
        let channel = driven.await_open();
        driven.prove(channel);
    }
    let silent = ChannelNo(driven.await_open());
    driven.tell(Input::Connected(silent));
    let answer_others = |driven: &mut Driven, actions: &[Action]| {
        for action in actions {
            if let Action::Beat(channel) = action {
                driven.beaten(channel.0);
            }
        }
    };
    let limited = loop {
        let actions = driven.due();
        answer_others(&mut driven, &actions);
        if actions.contains(&Action::Limit(2)) {
            break driven.now;
        }
        assert!(opened(&actions).is_none(), "{actions:?}");
    };
    assert_eq!(driven.site.open_channels(), usize::from(answered - 2));
    let tried_again = loop {
        let actions = driven.due();
        answer_others(&mut driven, &actions);
        if opened(&actions).is_some() {
            break driven.now;
        }
        assert_eq!(driven.site.state(), State::Ready);
    };
    assert_eq!(tried_again - limited, Duration::from_secs(after));
}

/// The first channel may be lost in the very moment in which the second one answers.
#[test]
fn a_new_channel_that_is_lost_leaves_the_verdict_to_the_one_on_its_way() {
    for answers in [true, false] {
        let mut driven = Driven::new(2);
        let first = driven.await_open();
        driven.prove(first);
        let second = driven.await_open();
        driven.tell(Input::Connected(ChannelNo(second)));
        driven.lost(first, Loss::Spoke, Owed::Nothing);
        assert_eq!(driven.site.state(), State::Ready);
        if answers {
            driven.beaten(second);
            assert_eq!(driven.site.state(), State::Ready);
        } else {
            driven.lost(second, Loss::Closed, Owed::Nothing);
            assert_eq!(driven.site.state(), State::Dead);
        }
    }
}

/// A site that is disabled gets no channel and no probe either, not even one that is opened only to
/// see whether Icinga 2 lives.
#[test]
fn a_site_without_any_channel_allowed_is_left_alone() {
    for core in [Core::Other, Core::Icinga2] {
        let mut driven = Driven::new(2);
        let first = driven.await_open();
        driven.tell(Input::Connected(ChannelNo(first)));
        driven.site.heard(driven.now);
        driven.tell(Input::Beaten(ChannelNo(first), core));
        driven.tell(Input::Limited(Some(0)));
        for _ in 0..60 {
            driven.pass(Duration::from_secs(5));
            let actions = driven.tell(Input::Due);
            assert_eq!(opened(&actions), None, "{core:?}: {actions:?}");
        }
        assert_eq!(driven.site.open_channels(), 0);
        driven.tell(Input::Limited(None));
        driven.tell(Input::Renewed);
        driven.await_open();
    }
}
