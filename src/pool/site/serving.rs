//! Which query gets which channel, and what becomes of one that loses it.

use super::Site;
use crate::pool::channel::{Channel, Serving};
use crate::pool::queue::{Retry, Waiting};
use crate::pool::{Action, ChannelNo, Errand, Loss, Owed, Refusal};
use std::time::{Duration, Instant};

/// A channel that has answered within this time is taken to be alive. On
/// another one a command could vanish without a trace: a write to a connection
/// that the site has just closed succeeds.
const FRESH: Duration = Duration::from_secs(1);

/// A wait query without a time limit lives no longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// Where there is only one channel, a wait query may hold it no longer than this.
const WAIT_ON_ONLY_CHANNEL: Duration = Duration::from_secs(5);

/// What is asked of a site for a client that no longer wants to wait: the
/// smallest limit that is not "for ever".
const GLANCE: Duration = Duration::from_millis(1);

impl Site {
    pub(super) fn lost_query(
        &mut self,
        serving: Serving,
        loss: &Loss,
        owed: Owed,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let Serving { query, errand, .. } = serving;
        let refusal = match (owed, errand) {
            (Owed::Nothing, _) => return,
            (Owed::Unknown, _) => Refusal::MayHaveBeenDelivered(loss.clone()),
            (Owed::All, Errand::Command) => {
                self.queue.put_back(Waiting {
                    query,
                    errand,
                    since: serving.since,
                    in_line_since: serving.since,
                    ticket: serving.ticket,
                });
                return;
            }
            (Owed::All, _) if loss.may_retry() && !serving.again => {
                // A wait that was interrupted ends with the present state: it
                // must not push in before the other waits, nor behind them.
                let errand = match errand {
                    Errand::Wait(_) => Errand::Glance,
                    errand => errand,
                };
                self.queue.push_retry(Retry {
                    query,
                    errand,
                    lost: now,
                    deadline: serving.deadline,
                    life: serving.life,
                    ticket: serving.ticket,
                });
                return;
            }
            (Owed::All, _) => Refusal::lost(loss),
        };
        out.push(Action::Refuse(query, refusal));
    }

    /// Nobody wants the response to the channel's query any more.
    pub(super) fn abandoned(&mut self, channel: ChannelNo) {
        if let Some(Channel::Serving(serving)) = self.channels.get_mut(channel.index()) {
            serving.wanted = false;
        }
    }

    /// When a channel whose query nobody wants any more is to be given up for
    /// those who wait. Not more often than channels are replaced: a flood of
    /// clients that leave must not become a flood of connects.
    pub(super) fn sacrifice_due(&self) -> Option<Instant> {
        let unwanted = |c: &Channel| matches!(c, Channel::Serving(s) if !s.wanted);
        let is_short = self.idle.is_empty() && self.queue.has_gets();
        let coming = self.channels.iter().any(Channel::is_coming);
        let is_due = is_short && !coming && self.channels.iter().any(unwanted);
        is_due.then_some(self.next_sacrifice)
    }

    pub(super) fn sacrifice_if_due(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.sacrifice_due().is_none_or(|due| now < due) {
            return;
        }
        let unwanted = |(index, channel): (usize, &Channel)| match channel {
            Channel::Serving(serving) if !serving.wanted => Some((serving.deadline, index)),
            _ => None,
        };
        let channels = self.channels.iter().enumerate();
        if let Some((_, index)) = channels.filter_map(unwanted).min() {
            self.next_sacrifice = now + self.settings.connect_retry;
            self.close(ChannelNo(index as u8), Loss::Abandoned, out);
        }
    }

    /// Free channels go to those who wait. The one used last is taken first:
    /// it is the surest to be alive, and the others show by idling that they are too many.
    pub(super) fn serve(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.serve_retries(now, out);
        while let Some(channel) = self.idle.last().copied()
            && let Some(waiting) = self.queue.pop(self.is_fresh(channel, now))
        {
            self.serve_first_time(waiting, now, out);
        }
        if self.queue.has_commands() {
            self.prove_one(now, out);
        }
        while !self.idle.is_empty()
            && self.may_wait()
            && let Some(waiting) = self.queue.pop_wait()
        {
            self.serve_first_time(waiting, now, out);
        }
    }

    pub(super) fn serve_retries(&mut self, now: Instant, out: &mut Vec<Action>) {
        while let Some(retry) = self.queue.first_retry()
            && let Some(channel) = self.idle.last().copied()
        {
            let answered = match self.channel(channel) {
                Channel::Idle { since } => since,
                _ => retry.lost,
            };
            if answered <= retry.lost {
                self.prove_one(now, out);
                return;
            }
            self.queue.pop_retry();
            self.assign(
                Serving {
                    query: retry.query,
                    errand: retry.errand,
                    deadline: retry.deadline,
                    life: retry.life,
                    since: retry.lost,
                    ticket: retry.ticket,
                    again: true,
                    wanted: true,
                },
                out,
            );
        }
    }

    pub(super) fn serve_first_time(
        &mut self,
        waiting: Waiting,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let life = self.life(waiting.errand);
        self.assign(
            Serving {
                query: waiting.query,
                errand: waiting.errand,
                deadline: now + life,
                life,
                since: waiting.since,
                ticket: waiting.ticket,
                again: false,
                wanted: true,
            },
            out,
        );
    }

    pub(super) fn assign(&mut self, serving: Serving, out: &mut Vec<Action>) {
        let Some(channel) = self.idle.pop() else {
            return;
        };
        if let Some(unused) = self.unused.get_mut(channel.index()) {
            *unused = None;
        }
        self.set(channel, Channel::Serving(serving));
        out.push(Action::Assign {
            query: serving.query,
            channel,
            deadline: serving.deadline,
            wait: self.wait_limit(serving.errand),
        });
    }

    /// How long a query may live once it has a channel.
    pub(super) fn life(&self, errand: Errand) -> Duration {
        match errand {
            Errand::Get | Errand::Glance | Errand::Command => self.settings.query_timeout,
            Errand::Wait(asked) => match self.wait_limit(errand).or(asked) {
                Some(limit) => limit.saturating_add(self.settings.query_timeout),
                None => LONGEST_WAIT,
            },
        }
    }

    /// The time limit for waiting that is sent instead of the client's own.
    pub(super) fn wait_limit(&self, errand: Errand) -> Option<Duration> {
        match errand {
            Errand::Get | Errand::Command => None,
            Errand::Glance => Some(GLANCE),
            Errand::Wait(asked) => {
                let is_long = asked.is_none_or(|asked| asked > WAIT_ON_ONLY_CHANNEL);
                (self.expected() <= 1 && is_long).then_some(WAIT_ON_ONLY_CHANNEL)
            }
        }
    }

    /// Whether one more wait query may have a channel: they get half of them.
    pub(super) fn may_wait(&self) -> bool {
        let share = (self.expected() / 2).max(1);
        self.channels.iter().filter(|c| c.is_waiting()).count() < share
    }

    /// Somebody waits for a channel that is certain to be alive: the next idle
    /// one has to show that it is, unless one is showing it already.
    pub(super) fn prove_one(&mut self, now: Instant, out: &mut Vec<Action>) {
        let is_beating = |c: &Channel| matches!(c, Channel::Beating { first: false, .. });
        if !self.channels.iter().any(is_beating)
            && let Some(channel) = self.idle.pop()
        {
            self.beat(channel, now, out);
        }
    }

    pub(super) fn is_fresh(&self, channel: ChannelNo, now: Instant) -> bool {
        matches!(self.channel(channel), Channel::Idle { since } if now < since + FRESH)
    }
}
