//! Hands the policies what has happened and carries out what they order.

use super::Reactor;
use crate::channel::Purpose;
use crate::counters::Counter;
use crate::ids::{QueryId, SiteId};
use crate::pool::{self, Action, Change, ChannelNo, Core, Input, Refusal, State};
use crate::proto::request::{HEARTBEAT, Kind};
use crate::proto::response::shown;
use crate::query::Stage;
use std::time::{Duration, Instant};

impl Reactor {
    /// Tells the policies all news and does what they say, until nothing is
    /// left to tell. An order that fails is news again, so this never recurses.
    pub(super) fn run_policy(&mut self) {
        while let Some(news) = self.news.pop_front() {
            let Some(entry) = self.sites.get_mut(news.site) else {
                continue;
            };
            if let (Some(lost), Input::Lost { channel, .. }) = (news.lost, &news.input) {
                let place = entry.channels.get_mut(channel.index());
                match place {
                    Some(place) if *place == Some(lost) => *place = None,
                    // The policy has closed it in the meantime.
                    _ => continue,
                }
            }
            let Some(policy) = entry.policy() else {
                continue;
            };
            let mut actions = std::mem::take(&mut self.actions);
            policy.handle(news.input, self.now, &mut actions);
            for action in actions.drain(..) {
                self.carry_out(news.site, action);
            }
            self.actions = actions;
            self.refuse_if_disabled(news.site);
            self.arm_site(news.site);
        }
    }

    /// Keeps no more than one channel to each site for now.
    pub fn keep_to_one_channel(&mut self) {
        self.limit_channels(|_| Some(1));
    }

    /// Gives up half of all idle channels, for the daemon that is to take over.
    /// Where none is idle, the next that gets free, if it is not the only one.
    pub fn make_room(&mut self) {
        self.limit_channels(|policy| {
            let given_up = (policy.idle_channels() / 2).max(1);
            Some(policy.open_channels().saturating_sub(given_up).max(1))
        });
    }

    /// Another daemon has channels to the same sites, for so long.
    pub fn share_sites(&mut self, time: Duration) {
        let until = self.now + time;
        let sites: Vec<SiteId> = self.policies().map(|(id, _)| id).collect();
        for id in sites {
            self.tell(id, Input::Shared(until));
        }
        self.run_policy();
    }

    /// Keeps as many channels as are configured.
    pub fn keep_all_channels(&mut self) {
        self.limit_channels(|_| None);
    }

    fn limit_channels(&mut self, most: impl Fn(&pool::Site) -> Option<usize>) {
        let limits: Vec<(SiteId, Option<usize>)> = self
            .sites
            .iter_mut()
            // What is disabled has none in any case.
            .filter(|(_, entry)| entry.disabled.is_none())
            .filter_map(|(id, entry)| Some((id, most(entry.policy()?))))
            .collect();
        for (id, most) in limits {
            self.tell(id, Input::Limited(most));
        }
        self.run_policy();
    }

    fn carry_out(&mut self, site: SiteId, action: Action) {
        match action {
            Action::Open(no) => self.open_channel(site, no),
            Action::Beat(no) => self.beat(site, no),
            Action::Assign {
                query,
                channel,
                deadline,
                wait,
            } => self.assign(site, query, channel, deadline, wait),
            Action::Hold(query, refusal) => self.hold_command(site, query, &refusal),
            Action::Refuse(query, refusal) => self.refuse(site, query, &refusal),
            Action::Close(no, loss) => {
                let entry = self.sites.get_mut(site);
                let place = entry.and_then(|entry| entry.channels.get_mut(no.index()));
                if let Some(id) = place.and_then(Option::take) {
                    self.close_channel(id, &loss);
                }
            }
            Action::Limit(channels) => log::warn!(
                "site {}: it accepts more channels than it answers on; it gets {channels} for now",
                self.site_name(site)
            ),
            Action::Recognise(core) => self.log_core(site, core),
            Action::Tell(change) => self.log_change(site, &change),
        }
    }

    fn beat(&mut self, site: SiteId, no: ChannelNo) {
        let Some(id) = self.sites.get(site).and_then(|entry| entry.channel(no)) else {
            return self.never_there(site, no);
        };
        if let Some(channel) = self.channels.get_mut(id)
            && let Err(error) = channel.begin(
                Purpose::Heartbeat,
                HEARTBEAT,
                self.poll.registry(),
                self.now,
            )
        {
            self.channel_broke(id, &error);
        }
    }

    fn assign(
        &mut self,
        site: SiteId,
        id: QueryId,
        no: ChannelNo,
        deadline: Instant,
        wait: Option<Duration>,
    ) {
        let Some(channel_id) = self.sites.get(site).and_then(|entry| entry.channel(no)) else {
            return self.never_there(site, no);
        };
        let Some(query) = self.queries.get_mut(id) else {
            return;
        };
        let is_first = query.sent.is_none();
        let waited = self.now.saturating_duration_since(query.arrived);
        query.sent = Some(self.now);
        query.stage = Stage::Sent {
            channel: channel_id,
            deadline,
            response: None,
        };
        if let Some(limit) = wait {
            query.request.limit_wait(limit);
        }
        if let Some(entry) = self.sites.get_mut(site) {
            match is_first {
                true => entry.waiting_times.add(waited),
                false => entry.counters.add(Counter::Retried),
            }
        }
        let purpose = match query.request.kind {
            Kind::Get | Kind::Wait(_) => Purpose::Query(id),
            Kind::Command => Purpose::Command(id),
        };
        if let Some(channel) = self.channels.get_mut(channel_id) {
            let request = &query.request.bytes;
            if let Err(error) = channel.begin(purpose, request, self.poll.registry(), self.now) {
                self.channel_broke(channel_id, &error);
            }
        }
    }

    pub(super) fn refuse(&mut self, site: SiteId, id: QueryId, refusal: &Refusal) {
        let Some(query) = self.queries.get(id) else {
            return;
        };
        if query.request.kind == Kind::Command {
            return self.refuse_command(site, id, refusal);
        }
        let text = refusal.text(self.site_name(site));
        log::trace!("refused: {text}");
        self.log_if_slow(id, &text);
        let counter = Counter::of_refusal(refusal);
        self.answer_own(id, counter, refusal.status(), &text);
    }

    /// Says how long a query took, if that is to be known.
    pub(super) fn log_if_slow(&self, id: QueryId, end: &str) {
        let (Some(limit), Some(query)) = (self.slow, self.queries.get(id)) else {
            return;
        };
        let took = self.now.saturating_duration_since(query.arrived);
        if took < limit {
            return;
        }
        let sent = query.sent.unwrap_or(self.now);
        log::info!(
            "site {}: slow query: {end} after {:.1} s, {:.1} s of it waiting: {}",
            self.site_name(query.site),
            took.as_secs_f64(),
            sent.saturating_duration_since(query.arrived).as_secs_f64(),
            shown(&query.request.bytes)
        );
    }

    fn log_core(&self, site: SiteId, core: Core) {
        let Some(entry) = self.sites.get(site) else {
            return;
        };
        match (core, entry.channels_by_hand()) {
            (Core::Other, _) | (Core::Icinga2, Some(0..=1)) => {}
            (Core::Icinga2, None) => log::info!(
                "site {}: runs Icinga 2: channels are opened only while there are queries",
                entry.name
            ),
            (Core::Icinga2, Some(channels)) => log::warn!(
                "site {}: runs Icinga 2, which stops its checks while as many connections are kept \
                 as it has threads (2 for each processor), and 'channels' asks for {channels}",
                entry.name
            ),
        }
    }

    fn log_change(&mut self, site: SiteId, change: &Change) {
        self.note_change(site, change);
        let name = self.site_name(site);
        let Change { from, to, .. } = change;
        let lasted = change.lasted.as_secs_f64();
        match (to, &change.cause) {
            (State::Dead, Some(cause)) => {
                let looked = self.looked_up_in(site, cause);
                log::warn!("site {name}: dead: {cause}{looked} (was {from} for {lasted:.1} s)");
            }
            (State::Busy, Some(cause)) => {
                log::warn!("site {name}: busy: {cause} (was {from} for {lasted:.1} s)");
            }
            (State::Busy, None) => {
                log::warn!(
                    "site {name}: busy: no channel gets free in time (was {from} for {lasted:.1} s)"
                );
            }
            _ => log::info!("site {name}: {to} (was {from} for {lasted:.1} s)"),
        }
    }
}
