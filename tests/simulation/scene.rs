//! The policy with a modelled site behind it, in virtual time: an hour takes milliseconds. The model
//! does what a site may do, slow, silent or away, and keeps account; what ought to be is for the tests.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use liveproxyd::ids::QueryId;
use liveproxyd::pool::{
    Action, ChannelNo, Core, Input, Loss, Owed, Refusal, Settings, Site, State,
};
use liveproxyd::proto::request::Kind;

/// What the model takes for a connect, a heartbeat or a query, unless told otherwise.
const ROUND_TRIP: Duration = Duration::from_millis(10);

/// More happenings than any scene has: it does not come to rest.
const MOST_HAPPENINGS: usize = 2_000_000;

/// How the site treats those who connect.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Door {
    Accepts,
    /// So many; further ones are refused.
    AcceptsOnly(usize),
    Refuses,
    /// Neither accepts nor refuses: the connect hangs.
    Ignores,
}

/// Something that is still to come from the site.
#[derive(Clone, Copy, Debug)]
enum Coming {
    Connected,
    Refused,
    Beaten,
    Answered(QueryId),
}

/// A channel as the model sees it: what it is numbered, and which one of that number.
type Link = (u8, u64);

/// The policy, the model of a site, and what has happened between them.
pub struct Scene {
    pub site: Site,
    pub now: Instant,
    start: Instant,
    pub door: Door,
    /// How long a connect takes from now on.
    pub connect: Duration,
    /// How long a heartbeat takes from now on.
    pub heartbeat: Duration,
    /// How long a query takes from now on.
    pub query: Duration,
    /// Whether the site closes a channel as soon as it has answered a query on it.
    pub hangs_up: bool,
    /// Channels from which nothing comes any more, though nobody closes them.
    filtered: BTreeSet<Link>,
    /// The channels that are open or being opened, and what each is at.
    links: BTreeMap<u8, (u64, Option<QueryId>)>,
    proved: BTreeSet<u8>,
    next_link: u64,
    next_query: u64,
    /// In the order of time, and of coming where the time is the same.
    coming: BTreeMap<(Instant, u64), (Link, Coming)>,
    next_coming: u64,
    /// When each attempt to connect began, from the start of the scene.
    pub opens: Vec<Duration>,
    /// Attempts that were outside of the configured channels.
    pub probes: usize,
    /// When each heartbeat was sent, and on which channel.
    pub beats: Vec<(Duration, u8)>,
    /// Every channel that the policy has closed, with its reason.
    pub closes: Vec<(Duration, Loss)>,
    /// Every state that the site has come to.
    pub states: Vec<(Duration, State)>,
    pub answered: Vec<(Duration, QueryId)>,
    pub refused: Vec<(Duration, QueryId, Refusal)>,
    probe: u8,
}

impl Scene {
    /// A site that accepts, and answers each heartbeat and query in 10 ms.
    pub fn new(settings: Settings, seed: u64) -> Scene {
        let now = Instant::now();
        let mut scene = Scene {
            probe: settings.channels,
            site: Site::new(settings, now, seed),
            now,
            start: now,
            door: Door::Accepts,
            connect: ROUND_TRIP,
            heartbeat: ROUND_TRIP,
            query: ROUND_TRIP,
            hangs_up: false,
            filtered: BTreeSet::new(),
            links: BTreeMap::new(),
            proved: BTreeSet::new(),
            next_link: 0,
            next_query: 0,
            coming: BTreeMap::new(),
            next_coming: 0,
            opens: Vec::new(),
            probes: 0,
            beats: Vec::new(),
            closes: Vec::new(),
            states: Vec::new(),
            answered: Vec::new(),
            refused: Vec::new(),
        };
        scene.tell(Input::Due);
        scene
    }

    /// The time since the start.
    pub fn time(&self) -> Duration {
        self.now - self.start
    }

    /// A query arrives.
    pub fn ask(&mut self) -> QueryId {
        let query = QueryId::unpack(self.next_query);
        self.next_query += 1;
        self.tell(Input::Arrived(query, Kind::Get));
        query
    }

    /// Nothing comes on these channels any more, neither to the site nor from it.
    pub fn filter(&mut self, channels: impl IntoIterator<Item = u8>) {
        for channel in channels {
            let (link, _) = self.links[&channel];
            self.filtered.insert((channel, link));
        }
    }

    /// Nothing comes any more on any channel that is open now.
    pub fn filter_all(&mut self) {
        let open: Vec<u8> = self.links.keys().copied().collect();
        self.filter(open);
    }

    /// The site ends all of its channels, in the order of their numbers.
    pub fn close_all(&mut self) {
        let open: Vec<u8> = self.links.keys().copied().collect();
        for channel in open {
            self.lose(channel, Loss::Closed);
        }
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..MOST_HAPPENINGS {
            let due = self.site.deadline().filter(|due| *due <= end);
            let next = self.coming.first_key_value().map(|(key, _)| *key);
            match (next.filter(|(at, _)| *at <= end), due) {
                (Some(key), due) if due.is_none_or(|due| key.0 <= due) => {
                    self.now = self.now.max(key.0);
                    let (link, coming) = self.coming.remove(&key).unwrap();
                    self.arrives(link, coming);
                }
                (_, Some(due)) => {
                    self.now = self.now.max(due);
                    self.tell(Input::Due);
                }
                (_, None) => {
                    self.now = end;
                    return;
                }
            }
        }
        panic!("it does not come to rest");
    }

    /// Lets time pass until something holds; fails if it does not within `limit`.
    #[track_caller]
    pub fn pass_until(&mut self, limit: Duration, holds: impl Fn(&Scene) -> bool) {
        let end = self.now + limit;
        while !holds(self) {
            assert!(self.now < end, "not within {limit:?}: {:?}", self.states);
            self.pass(ROUND_TRIP);
        }
    }

    /// How many times the site has come to this state.
    pub fn times(&self, state: State) -> usize {
        self.states.iter().filter(|(_, is)| *is == state).count()
    }

    fn arrives(&mut self, (channel, link): Link, coming: Coming) {
        if self.links.get(&channel).map(|(link, _)| *link) != Some(link) {
            return;
        }
        let no = ChannelNo(channel);
        match coming {
            Coming::Refused => {
                self.lose(channel, Loss::NotConnected("Connection refused".into()));
            }
            Coming::Connected => self.tell(Input::Connected(no)),
            Coming::Beaten => {
                self.proved.insert(channel);
                self.site.heard(self.now);
                self.tell(Input::Beaten(no, Core::Other));
            }
            Coming::Answered(query) => {
                self.links.insert(channel, (link, None));
                self.answered.push((self.time(), query));
                self.site.heard(self.now);
                self.tell(Input::Answered(no));
                if self.hangs_up {
                    self.lose(channel, Loss::Closed);
                }
            }
        }
    }

    fn lose(&mut self, channel: u8, loss: Loss) {
        let Some((_, query)) = self.links.remove(&channel) else {
            return;
        };
        self.proved.remove(&channel);
        let owed = match query {
            Some(_) => Owed::All,
            None => Owed::Nothing,
        };
        let channel = ChannelNo(channel);
        self.tell(Input::Lost {
            channel,
            loss,
            owed,
        });
    }

    fn tell(&mut self, input: Input) {
        let mut actions = Vec::new();
        self.site.handle(input, self.now, &mut actions);
        self.site.check();
        for action in actions {
            self.carry_out(action);
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Open(ChannelNo(no)) => self.open(no),
            Action::Beat(ChannelNo(no)) => {
                self.beats.push((self.time(), no));
                self.will_come(no, self.heartbeat, Coming::Beaten);
            }
            Action::Assign { query, channel, .. } => {
                let (link, _) = self.links[&channel.0];
                self.links.insert(channel.0, (link, Some(query)));
                self.will_come(channel.0, self.query, Coming::Answered(query));
            }
            Action::Refuse(query, refusal) => self.refused.push((self.time(), query, refusal)),
            Action::Close(ChannelNo(no), loss) => {
                self.links.remove(&no);
                self.proved.remove(&no);
                self.closes.push((self.time(), loss));
            }
            Action::Tell(change) => self.states.push((self.time(), change.to)),
            Action::Hold(..) | Action::Limit(_) | Action::Recognise(_) => {}
        }
    }

    fn open(&mut self, no: u8) {
        let unproved = self.links.keys().find(|no| !self.proved.contains(no));
        assert_eq!(unproved, None, "two attempts at once");
        self.opens.push(self.time());
        self.probes += usize::from(no == self.probe);
        self.links.insert(no, (self.next_link, None));
        self.next_link += 1;
        match self.door {
            Door::Accepts => self.will_come(no, self.connect, Coming::Connected),
            Door::AcceptsOnly(most) if self.links.len() <= most => {
                self.will_come(no, self.connect, Coming::Connected);
            }
            Door::Refuses | Door::AcceptsOnly(_) => {
                self.will_come(no, self.connect, Coming::Refused)
            }
            Door::Ignores => {}
        }
    }

    fn will_come(&mut self, channel: u8, after: Duration, coming: Coming) {
        let (link, _) = self.links[&channel];
        if self.filtered.contains(&(channel, link)) {
            return;
        }
        let key = (self.now + after, self.next_coming);
        self.next_coming += 1;
        self.coming.insert(key, ((channel, link), coming));
    }
}
