//! A site whose channels are brought up by hand, step by step.

use std::time::{Duration, Instant};

use liveproxyd::config::{Heartbeat, HeartbeatTimeout};
use liveproxyd::pool::{Action, ChannelNo, Core, Input, Loss, Owed, Settings, Site};

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
