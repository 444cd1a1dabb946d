//! A site whose channels are brought up by hand, step by step.

use std::time::{Duration, Instant};

use liveproxyd::config::{Heartbeat, HeartbeatTimeout};
use liveproxyd::ids::QueryId;
use liveproxyd::pool::{Action, ChannelNo, Core, Input, Loss, Owed, Refusal, Settings, Site};
use liveproxyd::proto::request::Kind;

/// The defaults of the configuration, but for two channels instead of ten.
pub fn settings() -> Settings {
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

/// A site whose channels are brought up by hand.
pub struct Driven {
    pub site: Site,
    pub now: Instant,
}

impl Driven {
    pub fn new(channels: u8) -> Driven {
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

    /// One whose channels are all proved.
    pub fn up(channels: u8) -> Driven {
        let mut driven = Driven::new(channels);
        for _ in 0..channels {
            let channel = driven.await_open();
            driven.prove(channel);
        }
        driven
    }

    /// A query or command of this number arrives.
    pub fn ask(&mut self, query: u64, kind: Kind) -> Vec<Action> {
        self.tell(Input::Arrived(QueryId::unpack(query), kind))
    }

    /// The channel's query has its response.
    pub fn answered(&mut self, channel: u8) -> Vec<Action> {
        self.site.heard(self.now);
        self.tell(Input::Answered(ChannelNo(channel)))
    }

    /// Lets time pass and the site look after what is due, every 10 ms.
    pub fn run(&mut self, time: Duration) -> Vec<Action> {
        let end = self.now + time;
        let mut actions = Vec::new();
        while self.now < end {
            self.pass(Duration::from_millis(10));
            actions.extend(self.tell(Input::Due));
        }
        actions
    }

    pub fn tell(&mut self, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        self.site.handle(input, self.now, &mut actions);
        self.site.check();
        actions
    }

    pub fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// Lets the time come that the site waits for.
    pub fn due(&mut self) -> Vec<Action> {
        self.now = self.now.max(self.site.deadline().unwrap());
        self.tell(Input::Due)
    }

    /// Answers a heartbeat on the channel.
    pub fn beaten(&mut self, channel: u8) -> Vec<Action> {
        self.site.heard(self.now);
        self.tell(Input::Beaten(ChannelNo(channel), Core::Other))
    }

    /// Lets a channel that is being opened connect and answer.
    pub fn prove(&mut self, channel: u8) {
        let beat = Action::Beat(ChannelNo(channel));
        let actions = self.tell(Input::Connected(ChannelNo(channel)));
        assert!(actions.contains(&beat), "{actions:?}");
        self.beaten(channel);
    }

    pub fn lost(&mut self, channel: u8, loss: Loss, owed: Owed) -> Vec<Action> {
        self.tell(Input::Lost {
            channel: ChannelNo(channel),
            loss,
            owed,
        })
    }

    /// Goes on until the site opens a channel, and gives its number.
    pub fn await_open(&mut self) -> u8 {
        for _ in 0..100 {
            if let Some(channel) = opened(&self.due()) {
                return channel;
            }
        }
        panic!("no channel is opened");
    }
}

pub fn opened(actions: &[Action]) -> Option<u8> {
    actions.iter().find_map(|action| match action {
        Action::Open(channel) => Some(channel.0),
        _ => None,
    })
}

/// Which query was given to which channel.
pub fn assigned(actions: &[Action]) -> Vec<(u64, u8)> {
    let given = actions.iter().filter_map(|action| match action {
        Action::Assign { query, channel, .. } => Some((query.pack(), channel.0)),
        _ => None,
    });
    given.collect()
}

/// Who was refused, and why.
pub fn refused(actions: &[Action]) -> Vec<(u64, Refusal)> {
    let told = actions.iter().filter_map(|action| match action {
        Action::Refuse(query, refusal) => Some((query.pack(), refusal.clone())),
        _ => None,
    });
    told.collect()
}

/// On which channels a heartbeat goes out.
pub fn beats(actions: &[Action]) -> Vec<u8> {
    let sent = actions.iter().filter_map(|action| match action {
        Action::Beat(channel) => Some(channel.0),
        _ => None,
    });
    sent.collect()
}

/// Which channels are closed, and why.
pub fn closed(actions: &[Action]) -> Vec<(u8, Loss)> {
    let ended = actions.iter().filter_map(|action| match action {
        Action::Close(channel, loss) => Some((channel.0, loss.clone())),
        _ => None,
    });
    ended.collect()
}
