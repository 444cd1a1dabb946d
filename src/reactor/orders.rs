//! The daemon's own socket: queries about everything, and orders. Its clients
//! are clients like any others; only who answers them differs.

use super::site::{Service, Wanted};
use super::{Call, News, Reactor};
use crate::client::{Failure, State};
use crate::console::{self, Order};
use crate::ids::{ClientId, SiteId};
use crate::listen::Listener;
use crate::pool::{Input, Refusal};
use crate::proto::request::{Kind, Request};
use crate::proto::response;
use crate::report::Event;
use crate::sys;
use std::time::Instant;

/// The user who may always give orders.
const ROOT: u32 = 0;

/// The code for one who may not give orders, or gave one that cannot be understood.
const FORBIDDEN: u16 = 403;
const NOT_UNDERSTOOD: u16 = 400;

/// Most bytes of all answers together that their clients have not read yet. One
/// takes no more than half of what the others have left: there is something
/// for the next one.
pub(super) const MOST_UNREAD: usize = 2 * console::MAX_ANSWER;

/// An answer no longer than this is always given, and not counted: it shows how
/// the daemon is, and those of all the clients that there may be are few MiB.
const SMALL_ANSWER: usize = 64 * 1024;

/// A site that is not to be used for now.
#[derive(Debug, Clone)]
pub(super) struct Disabled {
    /// Why, in the words of who disabled it.
    pub(super) reason: String,
    /// Since when.
    pub(super) since: Instant,
}

impl Disabled {
    pub(super) fn refusal(&self) -> Refusal {
        Refusal::Disabled(self.reason.clone())
    }
}

impl Reactor {
    /// Answers on the daemon's own socket, which `listener` is.
    pub fn add_console(&mut self, listener: Listener) {
        if let Some(id) = self.add_site(Wanted::Console, listener) {
            self.listen_at(id);
        }
    }

    /// Whoever orders a restart is told that there is none, and why.
    pub fn refuse_restarts(&mut self, why: &'static str) {
        self.no_restart = Some(why);
    }

    /// A request on the daemon's own socket.
    pub(super) fn ask_console(&mut self, id: ClientId, request: &Request) {
        if request.kind == Kind::Command {
            return self.take_order(id, &request.bytes);
        }
        let room = (self.answers.left() / 2).max(SMALL_ANSWER);
        let answer = console::answer(room, &request.bytes, &self.report(), &self.events);
        let (style, length) = (request.style, answer.body.len());
        let bytes = response::of_own_site(answer.code, answer.body, style.fixed16);
        // Without a header only the close tells where an error ends.
        let stays = style.keep_alive && (style.fixed16 || answer.code == 200);
        self.answer_bytes(id, stays, bytes);
        self.charge_answer(id, length);
    }

    /// The answer that the client has been given is held until it has read it.
    fn charge_answer(&mut self, id: ClientId, length: usize) {
        let Some(State::Asking(query)) = self.clients.get(id).map(|client| &client.state) else {
            return;
        };
        if length > SMALL_ANSWER
            && let Some(query) = self.queries.get_mut(*query)
            && self.answers.take(length)
        {
            query.unread = length;
        }
    }

    fn take_order(&mut self, id: ClientId, line: &[u8]) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        client.rest(self.now);
        let uid = client.stream.peer().map(|peer| peer.uid);
        let result = match (uid, console::order(line)) {
            (Some(uid), Ok(order)) if uid == ROOT || uid == sys::own_uid() => {
                log::info!("ordered by user {uid}: {order}");
                self.obey(order).map_err(|text| (NOT_UNDERSTOOD, text))
            }
            (_, Ok(order)) => {
                let who = uid.map_or("somebody".into(), |uid| format!("user {uid}"));
                log::warn!("refused to {who}: {order}");
                let text = "Only the daemon's own user and root may give orders";
                Err((FORBIDDEN, text.into()))
            }
            (_, Err(text)) => Err((NOT_UNDERSTOOD, text)),
        };
        if let Err((code, text)) = result
            && let Some(client) = self.clients.get_mut(id)
        {
            let told = response::own(code, &text, false);
            client.add_failure(Failure::new(told, text));
        }
    }

    /// Does what it was ordered to. The error is a sentence for who ordered it.
    fn obey(&mut self, order: Order) -> Result<(), String> {
        match order {
            Order::DisableSite { site, reason } => {
                let id = self.site_to_order(&site)?;
                self.disable(id, reason);
            }
            Order::EnableSite(site) => {
                let id = self.site_to_order(&site)?;
                self.enable(id)?;
            }
            Order::ReconnectSite(site) => {
                let id = self.site_to_order(&site)?;
                if self.sites.get(id).is_some_and(|e| e.disabled.is_some()) {
                    return Err(format!("Site '{site}' is disabled"));
                }
                self.tell(id, Input::Renewed);
                if let Some(entry) = self.sites.get_mut(id) {
                    entry.history.last_reset = self.now;
                }
                self.run_policy();
            }
            Order::Reload => self.call(Call::Reload { terminal: false }),
            Order::Restart => match self.no_restart {
                Some(why) => return Err(why.into()),
                None => {
                    // Who gave the order waits for what becomes of this one.
                    self.restart_error = None;
                    self.call(Call::Restart);
                }
            },
            Order::Shutdown => self.call(Call::Stop),
            Order::WriteState => self.call(Call::WriteState),
        }
        Ok(())
    }

    fn site_to_order(&self, name: &str) -> Result<SiteId, String> {
        let served = self.sites.iter().find(|(_, entry)| {
            entry.name == name && entry.is_shown() && matches!(entry.service, Service::Pooled(_))
        });
        let (id, _) = served.ok_or_else(|| format!("There is no site '{name}'"))?;
        Ok(id)
    }

    /// The site gets no channels, and its queries are refused with the reason.
    /// What is under way is finished.
    fn disable(&mut self, id: SiteId, reason: String) {
        let now = self.now;
        let Some(entry) = self.sites.get_mut(id) else {
            return;
        };
        let (from, began) = (entry.state_name(), entry.state_since());
        // With another reason it is disabled as before.
        let since = entry.disabled.as_ref().map_or(now, |was| was.since);
        let was = entry.disabled.replace(Disabled { reason, since });
        self.refuse_if_disabled(id);
        self.tell(id, Input::Limited(Some(0)));
        self.run_policy();
        if was.is_none() {
            self.remember_order(id, from, "disabled", began);
        }
    }

    fn enable(&mut self, id: SiteId) -> Result<(), String> {
        let since = self.sites.get(id).and_then(|entry| entry.disabled.as_ref());
        let Some(since) = since.map(|disabled| disabled.since) else {
            return Err(format!("Site '{}' is not disabled", self.site_name(id)));
        };
        self.tell(id, Input::Limited(None));
        self.tell(id, Input::Renewed);
        self.run_policy();
        // Only now: what the policy has made of it is how it is from here on.
        if let Some(entry) = self.sites.get_mut(id) {
            entry.disabled = None;
            entry.history.last_reset = self.now;
            let to = entry.state_name();
            self.remember_order(id, "disabled", to, since);
        }
        Ok(())
    }

    /// Remembers what an order has made of a site, which was as it was since `began`.
    fn remember_order(&mut self, id: SiteId, from: &'static str, to: &'static str, began: Instant) {
        let Some(entry) = self.sites.get(id) else {
            return;
        };
        let reason = entry.disabled.as_ref().map(|now| now.reason.clone());
        self.remember(Event {
            site: entry.name.clone(),
            from,
            to,
            cause: reason.unwrap_or_default(),
            lasted: self.now.saturating_duration_since(began),
            ..Event::default()
        });
    }

    /// Nobody waits for a disabled site: neither those who came before, nor a
    /// query that has lost its channel since.
    pub(super) fn refuse_if_disabled(&mut self, id: SiteId) {
        let Some(entry) = self.sites.get_mut(id) else {
            return;
        };
        let Some(refusal) = entry.disabled.as_ref().map(Disabled::refusal) else {
            return;
        };
        let waiting = entry.policy().map(|policy| policy.give_all_up());
        for query in waiting.into_iter().flatten() {
            self.refuse(id, query, &refusal);
        }
    }

    /// A site that has moved stays disabled.
    pub(super) fn stay_disabled(&mut self, old: SiteId, new: SiteId) {
        let disabled = self.sites.get_mut(old).and_then(|e| e.disabled.take());
        if let (Some(disabled), Some(entry)) = (disabled, self.sites.get_mut(new)) {
            entry.disabled = Some(disabled);
            // Before anything else: as a new site it would open its first channel.
            self.news.push_front(News {
                site: new,
                input: Input::Limited(Some(0)),
                lost: None,
            });
        }
    }

    /// Asks something of the daemon as a whole.
    pub(super) fn call(&mut self, call: Call) {
        // Asked for twice is asked for once, but two signals to stop mean "now".
        if call == Call::Stop || !self.calls.contains(&call) {
            self.calls.push_back(call);
        }
    }
}
