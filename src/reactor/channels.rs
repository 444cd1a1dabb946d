//! The channels' side of the loop: opening them, sending, taking in what the
//! sites answer.

use super::{News, Reactor};
use crate::channel::{Channel, Incoming, MOST_READS, Purpose, State};
use crate::client::Parting;
use crate::counters::Counter;
use crate::ids::{ChannelId, QueryId, SiteId};
use crate::pool::{ChannelNo, Input, Loss, Owed};
use crate::proto::response::BAD_REQUEST;
use crate::query::Stage;
use crate::stream::Arrival;
use crate::sys;
use std::io;

impl Reactor {
    /// Lets a channel get on as far as it can.
    pub(super) fn attend_channel(&mut self, id: ChannelId) {
        for _ in 0..MOST_READS {
            let Some(channel) = self.channels.get_mut(id) else {
                return;
            };
            let goes_on = match &mut channel.state {
                State::New => {
                    self.begin_channel(id);
                    false
                }
                State::LookingUp => false,
                State::Connecting(..) => self.establish(id),
                State::Idle(stream) => {
                    let loss = match stream.read(&mut self.scratch) {
                        Ok(Arrival::Nothing) => return,
                        Ok(Arrival::Bytes(_)) => Loss::Spoke,
                        Ok(Arrival::End) => Loss::Closed,
                        Err(error) => Loss::Broken(sys::words(&error)),
                    };
                    self.lose(id, loss);
                    false
                }
                State::Busy(..) => self.exchange(id),
            };
            self.run_policy();
            if !goes_on {
                return;
            }
        }
        self.channel_is_ready(id);
    }

    /// There is no such channel, although the policy counts on it.
    pub(super) fn never_there(&mut self, site: SiteId, no: ChannelNo) {
        self.tell(
            site,
            Input::Lost {
                channel: no,
                loss: Loss::NoRoom,
                owed: Owed::All,
            },
        );
    }

    /// A channel ended by itself: the policy is to hear of it.
    pub(super) fn lose(&mut self, id: ChannelId, loss: Loss) {
        let Some(channel) = self.drop_channel(id, &loss) else {
            return;
        };
        let owed = match channel.exchange() {
            None => Owed::Nothing,
            Some(exchange) => match exchange.purpose {
                Purpose::Heartbeat => Owed::Nothing,
                Purpose::Query(query) => self.lose_response(query, &loss),
                Purpose::Command(query) => {
                    let refusal = match &exchange.incoming {
                        Incoming::Short(collector) => collector.refusal(),
                        Incoming::Passing(_) => &[],
                    };
                    self.lose_command(query, exchange.sent > 0, refusal)
                }
            },
        };
        let (site, no) = (channel.site, channel.no);
        if let Some(stream) = channel.into_stream() {
            stream.close();
        }
        self.news.push_back(News {
            site,
            input: Input::Lost {
                channel: no,
                loss,
                owed,
            },
            lost: Some(id),
        });
    }

    /// The query's channel is gone before its response was complete. What it is still owed.
    fn lose_response(&mut self, id: QueryId, loss: &Loss) -> Owed {
        let Some(query) = self.queries.get_mut(id) else {
            return Owed::Nothing;
        };
        let Some(client) = query.client else {
            self.end_query(id);
            return Owed::Nothing;
        };
        if query.has_begun() {
            self.count_end(id, Counter::Cut);
            self.end_query(id);
            self.hang_up(client, Parting::CutShort);
            return Owed::Nothing;
        }
        if let Loss::NotAHeader(text) = loss {
            if query.strange_answer.as_ref() == Some(text) {
                // Twice the same is what the site has to say to this query.
                let text = text.strip_prefix("400: ").unwrap_or(text);
                self.answer_own(id, Counter::RefusedOther, BAD_REQUEST, text);
                return Owed::Nothing;
            }
            query.strange_answer = Some(text.clone());
        }
        let (site, reserved) = (query.site, query.reserved());
        query.stage = Stage::Waiting;
        self.release(site, reserved);
        Owed::All
    }

    /// Takes the channel away.
    fn drop_channel(&mut self, id: ChannelId, loss: &Loss) -> Option<Channel> {
        let channel = self.channels.remove(id)?;
        let age = self
            .now
            .saturating_duration_since(channel.opened)
            .as_secs_f64();
        let line = format_args!(
            "channel {}/{}: closed: {loss} (age {age:.1} s, {} queries)",
            self.site_name(channel.site),
            channel.no.0,
            channel.queries
        );
        log::debug!("{line}");
        self.log_loss(&channel, loss);
        self.count_loss(&channel, loss);
        self.count_sent(channel.site, channel.sent());
        if !channel.is_proved
            && let Some(entry) = self.sites.get_mut(channel.site)
        {
            // Another address of the name may lead to a core.
            entry.bad_address = channel.address;
        }
        Some(channel)
    }

    /// Says that a site loses channels, though not one line for each.
    fn log_loss(&mut self, channel: &Channel, loss: &Loss) {
        let is_event = match loss {
            // A query that costs its channel is no event of the site's, and the
            // death of a site is told as such.
            Loss::OutOfStep(_) | Loss::Abandoned | Loss::SiteDead | Loss::NotNeeded => false,
            _ => channel.is_proved,
        };
        let Some(entry) = self.sites.get_mut(channel.site) else {
            return;
        };
        if is_event {
            entry.counters.add(Counter::ChannelsLost);
        }
        if is_event && let Some(untold) = entry.losses.count(self.now) {
            log::info!(
                "site {}: channel {} lost: {loss} (age {:.1} s, {} queries){untold}",
                entry.name,
                channel.no.0,
                self.now
                    .saturating_duration_since(channel.opened)
                    .as_secs_f64(),
                channel.queries
            );
        }
    }

    /// The policy has done with the channel.
    pub(super) fn close_channel(&mut self, id: ChannelId, loss: &Loss) {
        let Some(channel) = self.drop_channel(id, loss) else {
            return;
        };
        let query = channel
            .exchange()
            .and_then(|exchange| exchange.purpose.query());
        if let Some(query) = query
            && let Some(query_left) = self.queries.get(query)
            && query_left.client.is_none()
        {
            // Its client has gone before; the policy does not know.
            self.end_query(query);
        }
        if let Some(stream) = channel.into_stream() {
            stream.close();
        }
    }

    /// Sending or receiving failed.
    pub(super) fn channel_broke(&mut self, id: ChannelId, error: &io::Error) {
        self.lose(id, Loss::Broken(sys::words(error)));
    }
}
