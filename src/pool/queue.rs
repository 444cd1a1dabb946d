//! Who waits for a channel, in which order, and for how long. Knows nothing of
//! the channels.

use super::Errand;
use crate::ids::QueryId;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A command may wait longer than a query: nobody sits before a page for it,
/// and it must not get lost in a short rush.
const COMMAND_PATIENCE: Duration = Duration::from_secs(30);

/// A query that waits for a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiting {
    pub query: QueryId,
    pub errand: Errand,
    /// When it arrived.
    pub since: Instant,
    /// When it came into its line, from where its patience counts: one that waited
    /// for something to happen joins the others later.
    pub in_line_since: Instant,
    /// Its place in the order of arrival.
    pub ticket: u64,
}

/// A query that lost its channel and waits for a fresh one: one that has
/// answered since. An idle one may be as dead as the lost one without our knowing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Retry {
    pub query: QueryId,
    pub errand: Errand,
    pub lost: Instant,
    pub deadline: Instant,
    /// Its whole life, of which the deadline is the end.
    pub life: Duration,
    pub ticket: u64,
}

/// All who wait for one site.
#[derive(Debug)]
pub(super) struct Queue {
    /// Served before the others: they came earlier.
    retries: VecDeque<Retry>,
    gets: VecDeque<Waiting>,
    commands: VecDeque<Waiting>,
    /// Wait queries stand in a line of their own, so that they never hold up others.
    waits: VecDeque<Waiting>,
    next_ticket: u64,
    patience: Duration,
}

impl Queue {
    /// `patience`: how long a query waits.
    pub fn new(patience: Duration) -> Self {
        Queue {
            retries: VecDeque::new(),
            gets: VecDeque::new(),
            commands: VecDeque::new(),
            waits: VecDeque::new(),
            next_ticket: 0,
            patience,
        }
    }

    fn patience_for(&self, errand: Errand) -> Duration {
        match errand {
            Errand::Command => self.patience.max(COMMAND_PATIENCE),
            Errand::Get | Errand::Glance | Errand::Wait(_) => self.patience,
        }
    }

    /// When its patience ends.
    fn end_of(&self, waiting: &Waiting) -> Instant {
        waiting.in_line_since + self.patience_for(waiting.errand)
    }

    /// Queries wait so long from now on, those that are here already included.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// The last in its line; it has waited since then.
    pub fn push(&mut self, query: QueryId, errand: Errand, since: Instant) {
        let waiting = Waiting {
            query,
            errand,
            since,
            in_line_since: since,
            ticket: self.next_ticket,
        };
        self.next_ticket += 1;
        match errand {
            Errand::Get | Errand::Glance => self.gets.push_back(waiting),
            Errand::Command => self.commands.push_back(waiting),
            Errand::Wait(_) => self.waits.push_back(waiting),
        }
    }

    /// A command whose channel was lost before it was written: it takes up its place again.
    pub fn put_back(&mut self, command: Waiting) {
        let place = self
            .commands
            .partition_point(|other| other.ticket < command.ticket);
        self.commands.insert(place, command);
    }

    /// Waits for a fresh channel.
    pub fn push_retry(&mut self, retry: Retry) {
        self.retries.push_back(retry);
    }

    /// Takes a query out.
    pub fn withdraw(&mut self, query: QueryId) {
        for line in [&mut self.gets, &mut self.commands, &mut self.waits] {
            line.retain(|waiting| waiting.query != query);
        }
        self.retries.retain(|retry| retry.query != query);
    }

    /// The next that lost its channel.
    pub fn first_retry(&self) -> Option<Retry> {
        self.retries.front().copied()
    }

    /// Takes the next that lost its channel out.
    pub fn pop_retry(&mut self) {
        self.retries.pop_front();
    }

    /// Takes out who came first of those who want a channel as soon as possible.
    /// Commands are left out where the channel is not `fresh` enough for them.
    pub fn pop(&mut self, fresh: bool) -> Option<Waiting> {
        match (self.gets.front(), self.commands.front()) {
            (Some(get), Some(command)) if fresh && command.ticket < get.ticket => {
                self.commands.pop_front()
            }
            (Some(_), _) => self.gets.pop_front(),
            (None, Some(_)) if fresh => self.commands.pop_front(),
            (None, _) => None,
        }
    }

    /// Takes the next wait query out.
    pub fn pop_wait(&mut self) -> Option<Waiting> {
        self.waits.pop_front()
    }

    /// The site turned out not to know waiting: wait queries are queries like any other.
    pub fn end_waiting_line(&mut self) {
        while let Some(wait) = self.waits.pop_front() {
            let get = Waiting {
                errand: Errand::Get,
                ..wait
            };
            let place = self.gets.partition_point(|other| other.ticket < get.ticket);
            self.gets.insert(place, get);
        }
    }

    /// Takes out one whose patience has ended. A wait query is not refused
    /// then: it is content with the present state, and joins the others.
    pub fn pop_impatient(&mut self, now: Instant) -> Option<Waiting> {
        while let Some(wait) = self.waits.front().copied()
            && self.end_of(&wait) <= now
        {
            self.waits.pop_front();
            // As far as the other line is concerned, it has come now.
            let content = Waiting {
                errand: Errand::Glance,
                in_line_since: now,
                ticket: self.next_ticket,
                ..wait
            };
            self.next_ticket += 1;
            self.gets.push_back(content);
        }
        let is_over = |first: &Waiting| self.end_of(first) <= now;
        if self.gets.front().is_some_and(is_over) {
            return self.gets.pop_front();
        }
        if self.commands.front().is_some_and(is_over) {
            return self.commands.pop_front();
        }
        None
    }

    /// Takes out one that waits for a fresh channel and whose time is over.
    pub fn pop_late_retry(&mut self, now: Instant) -> Option<Retry> {
        let place = self
            .retries
            .iter()
            .position(|retry| retry.deadline <= now)?;
        self.retries.remove(place)
    }

    /// Empties all lines but that of the commands.
    pub fn drain_queries(&mut self) -> Vec<QueryId> {
        let retries = self.retries.drain(..).map(|retry| retry.query);
        let gets = self.gets.drain(..).map(|waiting| waiting.query);
        let waits = self.waits.drain(..).map(|waiting| waiting.query);
        retries.chain(gets).chain(waits).collect()
    }

    /// The commands that wait, in their order.
    pub fn commands(&self) -> impl Iterator<Item = QueryId> {
        self.commands.iter().map(|waiting| waiting.query)
    }

    /// When [`Queue::pop_impatient`] or [`Queue::pop_late_retry`] has something to give.
    pub fn deadline(&self) -> Option<Instant> {
        // Each line is in the order of arrival, and so of patience.
        let lines = [&self.gets, &self.commands, &self.waits];
        let waiting = lines.into_iter().filter_map(|line| line.front());
        let retries = self.retries.iter().map(|retry| retry.deadline);
        waiting.map(|first| self.end_of(first)).chain(retries).min()
    }

    /// Since when the one waits that has waited longest.
    pub fn oldest(&self) -> Option<Instant> {
        let lines = [&self.gets, &self.commands, &self.waits];
        let waiting = lines.into_iter().filter_map(|line| line.front());
        let retries = self.retries.front().map(|retry| retry.lost);
        waiting.map(|first| first.since).chain(retries).min()
    }

    /// Whether a query waits that any free channel could serve.
    pub fn has_gets(&self) -> bool {
        !self.gets.is_empty()
    }

    /// Whether a command waits.
    pub fn has_commands(&self) -> bool {
        !self.commands.is_empty()
    }

    /// Takes all out that have never been sent, in the order of arrival, with
    /// the time since when each waits.
    pub fn take_all(&mut self) -> Vec<(QueryId, Instant)> {
        let mut all = Vec::with_capacity(self.len());
        for line in [&mut self.gets, &mut self.commands, &mut self.waits] {
            all.extend(line.drain(..).map(|w| (w.ticket, w.query, w.since)));
        }
        all.sort_unstable();
        all.into_iter()
            .map(|(_, query, since)| (query, since))
            .collect()
    }

    /// Takes those out that wait to be sent once more.
    pub fn take_retries(&mut self) -> impl Iterator<Item = QueryId> {
        self.retries.drain(..).map(|retry| retry.query)
    }

    /// Takes all wait queries out.
    pub fn take_waits(&mut self) -> impl Iterator<Item = QueryId> {
        self.waits.drain(..).map(|waiting| waiting.query)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.retries.len() + self.gets.len() + self.commands.len() + self.waits.len()
    }

    /// How many wait, commands left out.
    pub fn len_without_commands(&self) -> usize {
        self.len() - self.commands.len()
    }

    /// All who wait.
    pub fn all(&self) -> impl Iterator<Item = QueryId> {
        let lines = [&self.gets, &self.commands, &self.waits];
        let waiting = lines.into_iter().flatten().map(|waiting| waiting.query);
        waiting.chain(self.retries.iter().map(|retry| retry.query))
    }
}

#[cfg(test)]
mod tests;
