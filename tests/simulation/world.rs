//! A site in random circumstances, beside a plain model of what must be true of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use liveproxyd::config::{Heartbeat, HeartbeatTimeout};
use liveproxyd::ids::QueryId;
use liveproxyd::pool::{
    Action, ChannelNo, Core, Input, Loss, Owed, Refusal, Settings, Site, State,
};
use liveproxyd::proto::request::Kind;

use crate::random::Random;

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

pub struct World {
    random: Random,
    now: Instant,
    start: Instant,
    settings: Settings,
    core: Core,
    site: Site,
    channels: BTreeMap<u8, Channel>,
    owed: BTreeMap<QueryId, Debt>,
    /// Those on a channel whose clients have gone.
    abandoned: BTreeSet<QueryId>,
    /// First-time waiters in order of arrival.
    line: Vec<QueryId>,
    next_query: u64,
    last_open: Option<Instant>,
    /// The number of the probe: as many channels as there have ever been to be.
    probe: u8,
    /// The least that queries have ever been configured to wait.
    least_patience: Duration,
    most: Option<usize>,
    /// It is just being told of something by which it starts anew.
    anew: bool,
    retired: bool,
    loud: bool,
    /// How often something interesting was reached, so that the walk cannot be idle unnoticed.
    pub seen: BTreeMap<&'static str, u64>,
}

impl World {
    /// A site of which nothing is known, with settings of its own for each seed.
    pub fn new(seed: u64, loud: bool) -> World {
        World::of(Random::new(seed), seed, loud)
    }

    /// The same, in circumstances that somebody has thought up: every decision is made by these bytes.
    pub fn given(bytes: &[u8], loud: bool) -> World {
        World::of(Random::given(bytes), bytes.len() as u64, loud)
    }

    /// Whether the bytes of [`World::given`] have all been used.
    pub fn is_used_up(&self) -> bool {
        self.random.is_used_up()
    }

    fn of(mut random: Random, seed: u64, loud: bool) -> World {
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
            abandoned: BTreeSet::new(),
            line: Vec::new(),
            next_query: 0,
            last_open: None,
            probe: settings.channels,
            least_patience: settings.channel_timeout,
            most: None,
            anew: false,
            retired: false,
            settings,
            loud,
            seen: BTreeMap::new(),
        }
    }

    fn note(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// Tells the policy what has happened, does what it orders, and checks both.
    pub fn hand_in(&mut self, input: Input) {
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
            && matches!(self.site.state(), State::Dead | State::Starting)
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
                let serves = |channel: &Channel| matches!(channel, Channel::Serving(_));
                if no.0 == self.probe {
                    assert!(
                        !self.channels.is_empty() && self.channels.values().all(serves),
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
                    State::Starting => assert!(self.anew, "nothing starts twice"),
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
        if self.abandoned.remove(&query) {
            return;
        }
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
            Refusal::Disabled(_) => panic!("the policy does not know of that"),
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
            assert!(self.retired && self.channels.len() <= 1 && self.owed.is_empty());
            return;
        }
        // Where it may have no channel there may be nothing to do.
        let is_disabled = self.most == Some(0);
        let Some(deadline) = self.site.deadline() else {
            assert!(is_disabled, "it would sleep for ever");
            return;
        };
        if *input == Input::Due {
            assert!(deadline > self.now, "the loop would spin");
        }
        if self.site.state() == State::Dead && !is_disabled {
            let coming = !self.channels.is_empty();
            let next = deadline;
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
                .then(|| self.random.below(6) as usize);
            self.most = most;
            self.note("limited");
            return self.hand_in(Input::Limited(most));
        }
        if self.random.below(4) == 0 {
            let time = Duration::from_millis(self.random.below(10_000));
            self.note("shared");
            self.anew = true;
            self.hand_in(Input::Shared(self.now + time));
            self.anew = false;
            return;
        }
        if self.random.below(4) == 0 {
            self.note("renewed");
            self.anew = true;
            self.hand_in(Input::Renewed);
            self.anew = false;
            return;
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

    /// Something happens.
    pub fn step(&mut self) {
        if self.random.below(200) == 0 {
            return self.change();
        }
        let channel = self.some_channel();
        match self.random.below(100) {
            0..=34 => self.arrive(),
            35..=36 => {
                if let Some((no, Channel::Serving(query))) = channel {
                    self.abandon(no, query);
                }
            }
            37..=44 => self.withdraw(),
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

    /// The client of a query that is being served goes.
    fn abandon(&mut self, no: u8, query: QueryId) {
        let kind = self.owed.get(&query).map(|debt| debt.kind);
        if kind == Some(Kind::Get) {
            self.owed.remove(&query);
            self.abandoned.insert(query);
            self.note("abandoned");
            self.hand_in(Input::Abandoned(ChannelNo(no)));
        }
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
            let debt = self.owed.get(&query).map(|debt| debt.kind);
            let is_command = debt == Some(Kind::Command);
            owed = match self.random.below(10) {
                _ if debt.is_none() => Owed::Nothing,
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
    pub fn calm_down(&mut self) {
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
    pub fn retire(&mut self) {
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
        // One may be left for the last callers.
        assert!(self.owed.is_empty() && self.channels.len() <= 1);
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
