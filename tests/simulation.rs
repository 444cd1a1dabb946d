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
    Action, CONNECT_TIMEOUT, ChannelNo, Core, Input, Loss, Owed, Refusal, Settings, Site, State,
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
    Beating {
        proved: bool,
    },
    /// It has answered, and the site is not taken to be back for that.
    Watched,
    Idle,
    Serving(QueryId),
}

/// What is owed to a query that has arrived and not been answered.
#[derive(Debug, Clone, Copy)]
struct Debt {
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
    core: Core,
    site: Site,
    channels: BTreeMap<u8, Channel>,
    owed: BTreeMap<QueryId, Debt>,
    /// First-time waiters in order of arrival.
    line: Vec<QueryId>,
    next_query: u64,
    last_open: Option<Instant>,
    /// The number of the probe: as many channels as there have ever been to be.
    probe: u8,
    /// The least that queries have ever been configured to wait.
    least_patience: Duration,
    most: Option<usize>,
    retired: bool,
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
            adapts: random.chance(50),
        };
        let core = match random.chance(30) {
            true => Core::Icinga2,
            false => Core::Other,
        };
        World {
            site: Site::new(settings.clone(), start, seed),
            random,
            now: start,
            start,
            core,
            channels: BTreeMap::new(),
            owed: BTreeMap::new(),
            line: Vec::new(),
            next_query: 0,
            last_open: None,
            probe: settings.channels,
            least_patience: settings.channel_timeout,
            most: None,
            retired: false,
            settings,
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
        if let Input::Beaten(channel, _) = input
            && self.site.state() == State::Dead
        {
            self.channels.insert(channel.0, Channel::Watched);
            self.note("watched");
        }
        self.site.check();
        self.compare(&input);
    }

    /// Does what the event loop would do, and checks that the order makes sense.
    fn carry_out(&mut self, action: &Action) {
        match action {
            Action::Open(no) => {
                assert!(no.0 <= self.probe, "too many channels");
                let in_use = self.channels.len();
                let most = usize::from(self.settings.channels) + 1;
                let is_probe = no.0 == self.probe;
                assert!(is_probe || in_use < most, "more channels than configured");
                assert!(!self.retired || !self.owed.is_empty(), "opened for nobody");
                let serving = |no: u8| matches!(self.channels.get(&no), Some(Channel::Serving(_)));
                if no.0 == self.probe {
                    assert!(
                        (0..self.settings.channels).all(serving),
                        "probed beside a channel that could tell"
                    );
                    self.note("probe");
                }
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
                    Channel::Opening | Channel::Watched => false,
                    Channel::Idle => {
                        let is_wanted = !self.owed.is_empty();
                        assert!(!self.on_demand() || is_wanted, "Icinga 2 is kept busy");
                        true
                    }
                    other => panic!("heartbeat on {other:?}"),
                };
                self.channels.insert(no.0, Channel::Beating { proved });
            }
            Action::Assign {
                query,
                channel,
                deadline,
                wait,
            } => self.assigned(*query, *channel, *deadline, *wait),
            Action::Hold(query, _) => {
                let kind = self.owed[query].kind;
                assert_eq!(kind, Kind::Command, "only commands are held");
                self.note("held");
            }
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
            Action::Limit(channels) => {
                assert!(*channels >= 1);
                self.note("limit");
            }
            Action::Recognise(core) => assert_eq!(*core, self.core),
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

    /// Whether channels are opened only for queries.
    fn on_demand(&self) -> bool {
        self.settings.adapts && self.core == Core::Icinga2
    }

    /// Who has waited longest, of the commands or of the others.
    fn first_of(&self, commands: bool) -> Option<QueryId> {
        let is_one = |query: &&QueryId| (self.owed[query].kind == Kind::Command) == commands;
        self.line.iter().find(is_one).copied()
    }

    fn assigned(
        &mut self,
        query: QueryId,
        channel: ChannelNo,
        deadline: Instant,
        wait: Option<Duration>,
    ) {
        // Where channels are opened on demand, the query is what proves one.
        let before = self.channels.insert(channel.0, Channel::Serving(query));
        let connected = self.on_demand() && before == Some(Channel::Opening);
        assert!(
            before == Some(Channel::Idle) || connected,
            "not a free channel: {before:?}"
        );
        let debt = self
            .owed
            .get_mut(&query)
            .expect("assigned a query that is not owed");
        debt.assignments += 1;
        let life = deadline - *debt.assigned.get_or_insert(self.now);
        let usual = self.settings.query_timeout;
        if debt.kind == Kind::Command {
            debt.assigned = Some(self.now);
        }
        let debt = *debt;
        match debt.kind {
            Kind::Command => {
                assert_eq!(deadline, self.now + usual);
                assert_eq!(
                    self.first_of(true),
                    Some(query),
                    "not first come, first served"
                );
                self.line.retain(|waiting| *waiting != query);
            }
            Kind::Get if debt.assignments == 1 => {
                assert_eq!(life, usual);
                assert_eq!(
                    self.first_of(false),
                    Some(query),
                    "not first come, first served"
                );
                self.line.retain(|waiting| *waiting != query);
            }
            Kind::Wait(asked) if debt.assignments == 1 => {
                let glance = wait == Some(Duration::from_millis(1));
                let lives = match wait.or(asked) {
                    Some(limit) => limit + usual,
                    None => Duration::from_secs(600),
                };
                // To Icinga 2 it is a query like any other, once it is known to be there.
                let as_any_other = life == usual && (glance || self.on_demand());
                assert!(as_any_other || life == lives, "{life:?} for {asked:?}");
                let waited = self.now - debt.arrived;
                assert!(!glance || waited >= self.least_patience, "cut too early");
                self.note(if glance { "glance" } else { "wait" });
            }
            Kind::Get | Kind::Wait(_) => {
                assert_eq!(debt.assignments, 2, "sent three times");
                self.note("retried");
            }
        }
    }

    fn refused(&mut self, query: QueryId, refusal: &Refusal) {
        let owed = self.owed.remove(&query).expect("refused what is not owed");
        self.line.retain(|waiting| *waiting != query);
        match refusal {
            Refusal::Busy { waited, .. } | Refusal::NoChannel { waited } => {
                assert_eq!(*waited, self.now - owed.arrived);
                let patience = match owed.kind {
                    Kind::Command => self.settings.channel_timeout.max(Duration::from_secs(30)),
                    Kind::Get | Kind::Wait(_) => self.settings.channel_timeout,
                };
                assert!(*waited >= patience, "refused too early");
                self.note("refused after waiting");
            }
            Refusal::TimedOut { limit } => {
                assert!(
                    self.now >= owed.assigned.unwrap() + *limit,
                    "timed out too early"
                );
                self.note("timed out");
            }
            Refusal::Mute { .. } => {
                assert_ne!(owed.kind, Kind::Command);
                self.note("mute");
            }
            Refusal::LostTwice => {
                assert_eq!(owed.assignments, 2);
                self.note("lost twice");
            }
            Refusal::Unreachable { .. } => self.note("refused: unreachable"),
            Refusal::MayHaveBeenDelivered(_) => {
                assert_eq!(owed.kind, Kind::Command);
                self.note("unknown");
            }
            Refusal::Ended(_) => {
                assert!(matches!(owed.kind, Kind::Wait(_)) && self.retired);
                self.note("a wait ended");
            }
            Refusal::NotLivestatus(_) | Refusal::Unusable(_) => {}
        }
    }

    /// What must be true between any two events.
    fn compare(&self, input: &Input) {
        let is_open = |channel: &&Channel| {
            !matches!(
                channel,
                Channel::Opening | Channel::Watched | Channel::Beating { proved: false }
            )
        };
        let open = self.channels.values().filter(is_open).count();
        assert_eq!(self.site.open_channels(), open);
        if self.on_demand() {
            assert!(self.channels.len() <= 2, "too many channels to Icinga 2");
        }
        let serving = |query: &&QueryId| {
            let busy = Channel::Serving(**query);
            !self.channels.values().any(|channel| *channel == busy)
        };
        assert_eq!(
            self.site.waiting(),
            self.owed.keys().filter(serving).count()
        );
        if self.site.is_done() {
            assert!(self.retired && self.channels.is_empty() && self.owed.is_empty());
            return;
        }
        let deadline = self.site.deadline().expect("it would sleep for ever");
        if *input == Input::Due {
            assert!(deadline > self.now, "the loop would spin");
        }
        if self.site.state() == State::Dead {
            let coming = !self.channels.is_empty();
            let next = self.site.deadline().expect("a dead site is tried again");
            let limit = Duration::from_secs(60).max(self.settings.connect_retry);
            assert!(coming || next <= self.now + limit, "given up");
        }
    }

    /// The administrator changes the configuration, or another daemon wants room.
    fn change(&mut self) {
        if self.random.chance(30) {
            let most = self
                .random
                .chance(50)
                .then(|| 1 + self.random.below(6) as usize);
            self.most = most;
            self.note("limited");
            return self.hand_in(Input::Limited(most));
        }
        let other = World::new(self.random.below(u64::MAX), false).settings;
        self.settings = Settings {
            adapts: self.settings.adapts,
            ..other
        };
        self.least_patience = self.least_patience.min(self.settings.channel_timeout);
        if self.settings.channels > self.probe {
            let was = self.probe;
            self.probe = self.settings.channels;
            self.note("more places");
            if self.channels.contains_key(&was) {
                self.note("probe given up");
            }
        }
        self.hand_in(Input::Configured(self.settings.clone()));
    }

    fn step(&mut self) {
        if self.random.below(200) == 0 {
            return self.change();
        }
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
        let kind = match self.random.below(10) {
            0 => Kind::Command,
            1 => Kind::Wait(Some(Duration::from_millis(1 + self.random.below(20_000)))),
            2 if self.random.chance(20) => Kind::Wait(None),
            _ => Kind::Get,
        };
        self.owed.insert(
            query,
            Debt {
                kind,
                arrived: self.now,
                assigned: None,
                assignments: 0,
            },
        );
        if !matches!(kind, Kind::Wait(_)) {
            self.line.push(query);
        }
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
            Channel::Opening => {
                // No connection is made in no time.
                self.now += Duration::from_millis(1);
                self.hand_in(Input::Connected(channel));
            }
            Channel::Beating { .. } => {
                self.channels.insert(no, Channel::Idle);
                self.hand_in(Input::Beaten(channel, self.core));
            }
            Channel::Idle | Channel::Watched => {}
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
        let mut owed = Owed::Nothing;
        if let Channel::Serving(query) = state {
            let is_command = self.owed[&query].kind == Kind::Command;
            owed = match self.random.below(10) {
                0..=2 => Owed::Nothing,
                3..=5 if is_command => Owed::Unknown,
                _ => Owed::All,
            };
            match owed {
                Owed::Nothing => drop(self.owed.remove(&query)),
                Owed::All if is_command => {
                    // It was not written, and takes up its place again.
                    let place = self.line.partition_point(|other| *other < query);
                    self.line.insert(place, query);
                    self.note("put back");
                }
                Owed::All | Owed::Unknown => {}
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
        self.most = None;
        self.hand_in(Input::Limited(None));
        let end = self.now + Duration::from_secs(3_600);
        let mut rounds = 0;
        while self.now < end && !self.is_whole() {
            rounds += 1;
            assert!(rounds < 100_000, "it does not come to rest");
            let busy = self
                .channels
                .iter()
                .find(|(_, state)| !matches!(state, Channel::Idle | Channel::Watched));
            if let Some((no, state)) = busy.map(|(no, state)| (*no, *state)) {
                self.now += Duration::from_millis(1);
                self.progress(no, state);
            } else if let Some(deadline) = self.site.deadline() {
                self.now = self.now.max(deadline);
                self.hand_in(Input::Due);
            }
        }
        assert!(self.is_whole(), "not all channels came back");
    }

    /// The site goes: what is owed is answered or refused, and nothing is left.
    fn retire(&mut self) {
        self.retired = true;
        let refusal = Refusal::Ended("for the test");
        self.hand_in(Input::Retired(Some(refusal)));
        let mut rounds = 0;
        while !self.site.is_done() {
            rounds += 1;
            assert!(rounds < 100_000, "it does not come to an end");
            match self.some_channel() {
                Some((no, state)) if self.random.chance(10) => self.lose(no, state),
                Some((no, state)) if state != Channel::Idle => self.progress(no, state),
                _ => self.let_time_pass(),
            }
        }
        assert!(self.owed.is_empty() && self.channels.is_empty());
    }

    fn is_whole(&self) -> bool {
        let kept = match self.on_demand() {
            true => 0,
            false => usize::from(self.settings.channels),
        };
        self.owed.is_empty()
            && self.site.state() == State::Ready
            && self.channels.len() == kept
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
    for _ in 0..STEPS / 10 {
        world.step();
    }
    world.retire();
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
        "wait",
        "glance",
        "held",
        "put back",
        "unknown",
        "probe",
        "mute",
        "limit",
        "limited",
        "more places",
        "a wait ended",
        "watched",
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
        adapts: true,
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

/// A site whose channels are brought up by hand.
struct Driven {
    site: Site,
    now: Instant,
}

impl Driven {
    fn new(channels: u8) -> Driven {
        let now = Instant::now();
        let settings = Settings {
            channels,
            ..settings()
        };
        Driven {
            site: Site::new(settings, now, 1),
            now,
        }
    }

    fn tell(&mut self, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        self.site.handle(input, self.now, &mut actions);
        self.site.check();
        actions
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// Lets the time come that the site waits for.
    fn due(&mut self) -> Vec<Action> {
        self.now = self.now.max(self.site.deadline().unwrap());
        self.tell(Input::Due)
    }

    /// Answers a heartbeat on the channel.
    fn beaten(&mut self, channel: u8) -> Vec<Action> {
        self.site.heard(self.now);
        self.tell(Input::Beaten(ChannelNo(channel), Core::Other))
    }

    /// Lets a channel that is being opened connect and answer.
    fn prove(&mut self, channel: u8) {
        let beat = Action::Beat(ChannelNo(channel));
        let actions = self.tell(Input::Connected(ChannelNo(channel)));
        assert!(actions.contains(&beat), "{actions:?}");
        self.beaten(channel);
    }

    fn lost(&mut self, channel: u8, loss: Loss, owed: Owed) -> Vec<Action> {
        self.tell(Input::Lost {
            channel: ChannelNo(channel),
            loss,
            owed,
        })
    }

    /// Goes on until the site opens a channel, and gives its number.
    fn await_open(&mut self) -> u8 {
        for _ in 0..100 {
            if let Some(channel) = opened(&self.due()) {
                return channel;
            }
        }
        panic!("no channel is opened");
    }
}

fn opened(actions: &[Action]) -> Option<u8> {
    actions.iter().find_map(|action| match action {
        Action::Open(channel) => Some(channel.0),
        _ => None,
    })
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

    while !driven
        .due()
        .iter()
        .any(|action| matches!(action, Action::Beat(_)))
    {}
    driven.due();
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

/// Threads that are used up today may be free tomorrow.
#[test]
fn a_site_that_lacked_threads_is_tried_again_after_ten_minutes() {
    let mut driven = Driven::new(5);
    for _ in 0..4 {
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
    assert_eq!(driven.site.open_channels(), 2);
    let tried_again = loop {
        let actions = driven.due();
        answer_others(&mut driven, &actions);
        if opened(&actions).is_some() {
            break driven.now;
        }
        assert_eq!(driven.site.state(), State::Ready);
    };
    assert_eq!(tried_again - limited, Duration::from_secs(600));
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
