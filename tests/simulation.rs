//! Drives the pool's policy with a virtual clock through random events, beside
//! a plain model of what must be true, and checks both after each step.
//!
//! A failing run prints its seed. `LIVEPROXYD_SEED=n cargo test --test
//! simulation` replays one seed with every step printed, and
//! `LIVEPROXYD_SEEDS=n` widens the walk.
#![allow(clippy::unwrap_used)]

use liveproxyd::config::{Heartbeat, HeartbeatTimeout};
use liveproxyd::ids::QueryId;
use liveproxyd::pool::{
    Action, CONNECT_TIMEOUT, ChannelNo, Input, Loss, Refusal, Settings, Site, State,
};
use liveproxyd::proto::request::Kind;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Walks of a normal test run, and steps of each.
const SEEDS: u64 = 400;
const STEPS: usize = 2_000;

/// splitmix64: every seed gives a good walk, also 0, 1, 2.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// What the event loop would know of a channel.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Channel {
    Opening,
    Beating { proved: bool },
    Idle,
    Serving(QueryId),
}

/// What is owed to a query that has arrived and not been answered.
#[derive(Debug, Clone, Copy)]
struct Owed {
    kind: Kind,
    arrived: Instant,
    /// When it first got a channel.
    assigned: Option<Instant>,
    assignments: u32,
}

struct World {
    random: Random,
    now: Instant,
    start: Instant,
    settings: Settings,
    site: Site,
    channels: BTreeMap<u8, Channel>,
    owed: BTreeMap<QueryId, Owed>,
    /// First-time waiters in order of arrival.
    line: Vec<QueryId>,
    next_query: u64,
    last_open: Option<Instant>,
    loud: bool,
    /// How often something interesting was reached, so that the walk cannot be idle unnoticed.
    seen: BTreeMap<&'static str, u64>,
}

impl World {
    fn new(seed: u64, loud: bool) -> World {
        let mut random = Random(seed);
        let start = Instant::now();
        let timeout = if random.chance(50) {
            HeartbeatTimeout::Percent(50)
        } else {
            HeartbeatTimeout::Fixed(Duration::from_millis(100 + random.below(5000)))
        };
        let most = if random.chance(80) { 6 } else { 50 };
        let settings = Settings {
            channels: 1 + random.below(most) as u8,
            channel_timeout: Duration::from_millis(100 + random.below(9_000)),
            heartbeat: Heartbeat {
                interval: Duration::from_millis(1_000 + random.below(300_000)),
                timeout,
            },
            query_timeout: Duration::from_millis(100 + random.below(120_000)),
            connect_retry: Duration::from_millis(100 + random.below(10_000)),
        };
        World {
            site: Site::new(settings.clone(), start, seed),
            random,
            now: start,
            start,
            settings,
            channels: BTreeMap::new(),
            owed: BTreeMap::new(),
            line: Vec::new(),
            next_query: 0,
            last_open: None,
            loud,
            seen: BTreeMap::new(),
        }
    }

    fn note(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    fn hand_in(&mut self, input: Input) {
        let mut actions = Vec::new();
        self.site.handle(input.clone(), self.now, &mut actions);
        if self.loud {
            let at = self.now - self.start;
            println!("{at:?} {input:?} -> {actions:?}");
        }
        for action in &actions {
            self.carry_out(action);
        }
        self.site.check();
        self.compare(&input);
    }

    /// Does what the event loop would do, and checks that the order makes sense.
    fn carry_out(&mut self, action: &Action) {
        match action {
            Action::Open(no) => {
                assert!(no.0 < self.settings.channels, "too many channels");
                let before = self.channels.insert(no.0, Channel::Opening);
                assert_eq!(before, None, "opened over an open channel");
                if let Some(last) = self.last_open {
                    let pause = self.now - last;
                    assert!(pause >= Duration::from_millis(20), "a burst: {pause:?}");
                }
                self.last_open = Some(self.now);
                self.note("open");
            }
            Action::Beat(no) => {
                let proved = match self.channels[&no.0] {
                    Channel::Opening => false,
                    Channel::Idle => true,
                    other => panic!("heartbeat on {other:?}"),
                };
                self.channels.insert(no.0, Channel::Beating { proved });
            }
            Action::Assign {
                query,
                channel,
                deadline,
            } => self.assigned(*query, *channel, *deadline),
            Action::Refuse(query, refusal) => self.refused(*query, refusal),
            Action::Close(no, _) => {
                let was = self
                    .channels
                    .remove(&no.0)
                    .expect("closed a closed channel");
                if let Channel::Serving(query) = was {
                    assert!(!self.owed.contains_key(&query), "closed under a query");
                }
            }
            Action::Tell(change) => {
                assert_ne!(change.from, change.to, "told of no change");
                match change.to {
                    State::Starting => panic!("nothing starts twice"),
                    State::Ready => self.note("ready"),
                    State::Busy => self.note("busy"),
                    State::Dead => self.note("dead"),
                }
            }
        }
    }

    fn assigned(&mut self, query: QueryId, channel: ChannelNo, deadline: Instant) {
        assert_eq!(
            self.channels.insert(channel.0, Channel::Serving(query)),
            Some(Channel::Idle),
            "assigned to a channel that is not free"
        );
        let owed = self
            .owed
            .get_mut(&query)
            .expect("assigned a query that is not owed");
        owed.assignments += 1;
        let first = *owed.assigned.get_or_insert(self.now);
        assert_eq!(deadline, first + self.settings.query_timeout);
        if owed.assignments == 1 {
            assert_eq!(self.line.remove(0), query, "not first come, first served");
        } else {
            assert_eq!(owed.kind, Kind::Get, "a command was sent twice");
            assert_eq!(owed.assignments, 2, "sent three times");
            self.note("retried");
        }
    }

    fn refused(&mut self, query: QueryId, refusal: &Refusal) {
        let owed = self.owed.remove(&query).expect("refused what is not owed");
        self.line.retain(|waiting| *waiting != query);
        match refusal {
            Refusal::Busy { waited, .. } | Refusal::NoChannel { waited } => {
                assert_eq!(*waited, self.now - owed.arrived);
                assert!(
                    *waited >= self.settings.channel_timeout,
                    "refused too early"
                );
                self.note("refused after waiting");
            }
            Refusal::TimedOut { limit } => {
                assert!(
                    self.now >= owed.assigned.unwrap() + *limit,
                    "timed out too early"
                );
                self.note("timed out");
            }
            Refusal::LostTwice => {
                assert_eq!(owed.assignments, 2);
                self.note("lost twice");
            }
            Refusal::Unreachable { .. } => self.note("refused: unreachable"),
            Refusal::CommandUnknown(_) => assert_eq!(owed.kind, Kind::Command),
            Refusal::NotLivestatus(_) | Refusal::Unusable(_) => {}
        }
    }

    /// What must be true between any two events.
    fn compare(&self, input: &Input) {
        let proved = |channel: &&Channel| {
            !matches!(
                channel,
                Channel::Opening | Channel::Beating { proved: false }
            )
        };
        assert_eq!(
            self.site.open_channels(),
            self.channels.values().filter(proved).count()
        );
        let serving = |query: &&QueryId| {
            let busy = Channel::Serving(**query);
            !self.channels.values().any(|channel| *channel == busy)
        };
        assert_eq!(
            self.site.waiting(),
            self.owed.keys().filter(serving).count()
        );
        match self.site.deadline() {
            Some(deadline) if *input == Input::Due => {
                assert!(deadline > self.now, "the loop would spin");
            }
            Some(_) => {}
            None => {
                let all_idle = self.channels.len() == usize::from(self.settings.channels);
                assert!(all_idle && self.owed.is_empty(), "it would sleep for ever");
            }
        }
        if self.site.state() == State::Dead {
            let coming = !self.channels.is_empty();
            let next = self.site.deadline().expect("a dead site is tried again");
            let limit = Duration::from_secs(60).max(self.settings.connect_retry);
            assert!(coming || next <= self.now + limit, "given up");
        }
    }

    fn step(&mut self) {
        let channel = self.some_channel();
        match self.random.below(100) {
            0..=34 => self.arrive(),
            35..=44 => self.withdraw(),
            45..=81 => {
                if let Some((no, state)) = channel {
                    self.progress(no, state);
                }
            }
            82..=87 => {
                if let Some((no, state)) = channel {
                    self.lose(no, state);
                }
            }
            _ => self.let_time_pass(),
        }
    }

    fn some_channel(&mut self) -> Option<(u8, Channel)> {
        let count = self.channels.len() as u64;
        if count == 0 {
            return None;
        }
        let nth = self.random.below(count) as usize;
        self.channels
            .iter()
            .nth(nth)
            .map(|(no, state)| (*no, *state))
    }

    fn arrive(&mut self) {
        let query = QueryId::unpack(self.next_query);
        self.next_query += 1;
        let kind = if self.random.chance(10) {
            Kind::Command
        } else {
            Kind::Get
        };
        self.owed.insert(
            query,
            Owed {
                kind,
                arrived: self.now,
                assigned: None,
                assignments: 0,
            },
        );
        self.line.push(query);
        self.hand_in(Input::Arrived(query, kind));
    }

    fn withdraw(&mut self) {
        let serving = |query: &QueryId| {
            let busy = Channel::Serving(*query);
            self.channels.values().any(|channel| *channel == busy)
        };
        let Some(query) = self.owed.keys().find(|query| !serving(query)).copied() else {
            return;
        };
        self.owed.remove(&query);
        self.line.retain(|waiting| *waiting != query);
        self.hand_in(Input::Withdrawn(query));
    }

    fn progress(&mut self, no: u8, state: Channel) {
        let channel = ChannelNo(no);
        self.site.heard(self.now);
        match state {
            Channel::Opening => self.hand_in(Input::Connected(channel)),
            Channel::Beating { .. } => {
                self.channels.insert(no, Channel::Idle);
                self.hand_in(Input::Beaten(channel));
            }
            Channel::Idle => {}
            Channel::Serving(query) => {
                self.owed.remove(&query);
                self.channels.insert(no, Channel::Idle);
                self.note("answered");
                self.hand_in(Input::Answered(channel));
            }
        }
    }

    fn lose(&mut self, no: u8, state: Channel) {
        let loss = match self.random.below(5) {
            0 => Loss::Closed,
            1 => Loss::Broken("Connection reset by peer".into()),
            2 => Loss::NotAHeader("No UNIX socket".into()),
            3 => Loss::Surplus,
            _ => Loss::NotConnected("Connection refused".into()),
        };
        let mut owed = false;
        if let Channel::Serving(query) = state {
            owed = self.random.chance(70);
            if !owed {
                self.owed.remove(&query);
            }
        }
        self.channels.remove(&no);
        self.hand_in(Input::Lost {
            channel: ChannelNo(no),
            loss,
            owed,
        });
    }

    /// Sometimes to the very deadline, sometimes late, as a loaded machine does.
    fn let_time_pass(&mut self) {
        let Some(deadline) = self.site.deadline() else {
            self.now += Duration::from_millis(self.random.below(5_000));
            return;
        };
        if self.random.chance(30) {
            let short = Duration::from_millis(self.random.below(50));
            self.now = self.now.max(deadline.min(self.now + short));
            if self.now < deadline {
                return;
            }
        }
        self.now = self.now.max(deadline);
        if self.random.chance(10) {
            self.now += Duration::from_millis(self.random.below(20_000));
        }
        self.hand_in(Input::Due);
    }

    /// Everything goes well from now on: all that is owed is answered, and the pool fills.
    fn calm_down(&mut self) {
        let end = self.now + Duration::from_secs(3_600);
        let mut rounds = 0;
        while self.now < end && !self.is_whole() {
            rounds += 1;
            assert!(rounds < 100_000, "it does not come to rest");
            let busy = self
                .channels
                .iter()
                .find(|(_, state)| **state != Channel::Idle);
            if let Some((no, state)) = busy.map(|(no, state)| (*no, *state)) {
                self.now += Duration::from_millis(1);
                self.progress(no, state);
            } else if let Some(deadline) = self.site.deadline() {
                self.now = self.now.max(deadline);
                self.hand_in(Input::Due);
            }
        }
        assert!(self.is_whole(), "not all channels came back");
        assert_eq!(self.site.state(), State::Ready);
    }

    fn is_whole(&self) -> bool {
        self.owed.is_empty()
            && self.channels.len() == usize::from(self.settings.channels)
            && self.channels.values().all(|state| *state == Channel::Idle)
    }
}

/// Prints the seed if the walk panics.
struct OnPanic(u64);

impl Drop for OnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("replay with LIVEPROXYD_SEED={}", self.0);
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn walk(seed: u64, loud: bool) -> BTreeMap<&'static str, u64> {
    let on_panic = OnPanic(seed);
    let mut world = World::new(seed, loud);
    world.hand_in(Input::Due);
    for _ in 0..STEPS {
        world.step();
    }
    world.calm_down();
    std::mem::forget(on_panic);
    world.seen
}

#[test]
fn the_pool_keeps_its_promises_through_random_events() {
    if let Some(seed) = number("LIVEPROXYD_SEED") {
        println!("{:?}", walk(seed, true));
        return;
    }
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..number("LIVEPROXYD_SEEDS").unwrap_or(SEEDS) {
        for (what, times) in walk(seed, false) {
            *seen.entry(what).or_default() += times;
        }
    }
    for what in [
        "open",
        "ready",
        "busy",
        "dead",
        "answered",
        "retried",
        "lost twice",
        "timed out",
        "refused after waiting",
        "refused: unreachable",
    ] {
        assert!(
            seen.get(what).is_some_and(|times| *times > 30),
            "{what}: {seen:?}"
        );
    }
}

fn settings() -> Settings {
    Settings {
        channels: 2,
        channel_timeout: Duration::from_secs(5),
        heartbeat: Heartbeat {
            interval: Duration::from_secs(3),
            timeout: HeartbeatTimeout::Percent(50),
        },
        query_timeout: Duration::from_secs(120),
        connect_retry: Duration::from_secs(4),
    }
}

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
        owed: false,
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
