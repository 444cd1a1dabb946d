//! What follows from a channel that is lost, from one that takes too long, and
//! from a query that has waited too long; and the death of a site.

use super::{CONNECT_TIMEOUT, Condition, SHORT_LIFE, Site};
use crate::pool::channel::Channel;
use crate::pool::queue::Waiting;
use crate::pool::{Action, ChannelNo, Loss, Owed, Refusal, State};
use std::time::Instant;

impl Site {
    pub(super) fn lost(
        &mut self,
        channel: ChannelNo,
        loss: Loss,
        owed: Owed,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let was = self.channel(channel);
        if was == Channel::Closed {
            return;
        }
        self.set(channel, Channel::Closed);
        self.idle.retain(|idle| *idle != channel);
        if let Channel::Serving(serving) = was {
            self.lost_query(serving, &loss, owed, now, out);
        }
        if channel == self.probe() {
            return self.lost_probe(was, loss, now, out);
        }
        let by_site = loss.is_sites_doing();
        self.unsettled |= by_site;
        let proved = self.unused.get_mut(channel.index()).and_then(Option::take);
        // It answers one heartbeat and hangs up: opening the next at once, or
        // taking the site to be back each time, would go on like that for ever.
        let hung_up = matches!(was, Channel::Watched { .. })
            || proved.is_some_and(|proved| now < proved + SHORT_LIFE);
        if was.is_coming() || hung_up {
            self.attempt_failed(loss, now, out);
            self.fickle |= hung_up;
        } else if self.open_channels() == 0 && self.doubt.is_some() {
            if by_site && let Some(doubt) = self.doubt.take() {
                // The attempt to replace an earlier one has failed already, and now none is left.
                self.die(doubt, now, out);
            } else {
                // We closed the last one ourselves: whether there can be another one is to be seen.
                self.open_soon(now);
            }
        }
    }

    /// The connection beside the channels has ended without an answer.
    fn lost_probe(&mut self, was: Channel, loss: Loss, now: Instant, out: &mut Vec<Action>) {
        let is_refused = matches!(was, Channel::Opening { .. });
        if is_refused && loss != Loss::NoRoom {
            // Not even a further connection is possible.
            self.pause(now);
            self.die(loss, now, out);
        }
        // A site that accepts and hangs up takes as many as it has. Were it
        // dead, it would have hung up on those too.
    }

    pub(super) fn overdue(&mut self, channel: ChannelNo, now: Instant, out: &mut Vec<Action>) {
        let was = self.channel(channel);
        self.set(channel, Channel::Closed);
        match was {
            Channel::Closed | Channel::Idle { .. } => {}
            Channel::Watched { .. } => {
                self.fickle = false;
                self.prove_first(channel, now + CONNECT_TIMEOUT, now, out);
            }
            Channel::Beating { since, until, .. } if channel == self.probe() => {
                let loss = Loss::Missed(until.saturating_duration_since(since));
                out.push(Action::Close(channel, loss.clone()));
                // One that speaks on the others takes no more of them.
                if self.heard < since {
                    self.fall_mute(loss, now, out);
                }
            }
            Channel::Opening { until } if channel == self.probe() => {
                out.push(Action::Close(channel, Loss::NoAnswer));
                if self.heard + CONNECT_TIMEOUT < until {
                    self.pause(now);
                    self.die(Loss::NoAnswer, now, out);
                }
            }
            Channel::Beating {
                since, first: true, ..
            } if self.open_channels() > 0 => {
                out.push(Action::Close(channel, Loss::NoAnswer));
                if self.heard >= since {
                    self.limit_channels(now, out);
                } else if self.all_serve() {
                    self.pause(now);
                    self.fall_mute(Loss::NoAnswer, now, out);
                } else {
                    self.attempt_failed(Loss::NoAnswer, now, out);
                }
            }
            Channel::Opening { .. } | Channel::Beating { first: true, .. } => {
                out.push(Action::Close(channel, Loss::NoAnswer));
                self.attempt_failed(Loss::NoAnswer, now, out);
            }
            Channel::Beating { since, until, .. } => {
                let loss = Loss::Missed(until.saturating_duration_since(since));
                out.push(Action::Close(channel, loss.clone()));
                if self.heard < since {
                    self.pause(now);
                    self.die(loss, now, out);
                } else {
                    // Only this channel has come to its end. See at once about the next.
                    self.next_beat = now;
                }
            }
            Channel::Serving(serving) => {
                // The next one has to answer a heartbeat first.
                self.unsettled = true;
                let limit = serving.life;
                out.push(Action::Refuse(serving.query, Refusal::TimedOut { limit }));
                out.push(Action::Close(channel, Loss::TimedOut(limit)));
            }
        }
    }

    pub(super) fn out_of_patience(
        &mut self,
        waiting: Waiting,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let waited = now.saturating_duration_since(waiting.since);
        let refusal = match (&self.condition, self.open_channels()) {
            (Condition::Dead { .. }, _) => self.unreachable(now),
            (_, 0) => Refusal::NoChannel { waited },
            (_, channels) => Refusal::Busy { channels, waited },
        };
        out.push(Action::Refuse(waiting.query, refusal));
        if let Condition::Ready = self.condition
            && !self.opens_on_demand()
        {
            self.change(Condition::Busy, now, out);
        }
    }

    /// The site is dead: no channel of it is kept, and everyone who waits is
    /// told. Commands that were not written stay: they may outlast the trouble.
    pub(super) fn die(&mut self, cause: Loss, now: Instant, out: &mut Vec<Action>) {
        self.doubt = None;
        self.mute = None;
        self.cap = None;
        self.idle.clear();
        self.health.forget();
        let died = self.state() != State::Dead;
        if died {
            self.next_open = self.next_open.max(now + self.settings.connect_retry);
            self.change(Condition::Dead { cause }, now, out);
        } else {
            // Another attempt has failed, and the cause may be another one by now.
            self.condition = Condition::Dead { cause };
        }
        let before = self.channels.clone();
        self.channels.fill(Channel::Closed);
        let refusal = self.unreachable(now);
        for (index, was) in before.into_iter().enumerate() {
            let channel = ChannelNo(index as u8);
            if was == Channel::Closed {
                continue;
            }
            if let Channel::Serving(serving) = was {
                out.push(Action::Refuse(serving.query, refusal.clone()));
            }
            out.push(Action::Close(channel, Loss::SiteDead));
        }
        for query in self.queue.drain_queries() {
            out.push(Action::Refuse(query, refusal.clone()));
        }
        if died {
            for query in self.queue.commands() {
                out.push(Action::Hold(query, refusal.clone()));
            }
        }
    }

    pub(super) fn unreachable(&self, now: Instant) -> Refusal {
        let cause = match &self.condition {
            Condition::Dead { cause } => cause.clone(),
            Condition::Starting | Condition::Ready | Condition::Busy => Loss::NoAnswer,
        };
        let coming = self.channels.iter().any(Channel::is_coming);
        Refusal::Unreachable {
            cause,
            lasted: now.saturating_duration_since(self.since),
            next: (!coming).then(|| self.next_open.saturating_duration_since(now)),
        }
    }
}
