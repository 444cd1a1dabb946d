//! A query: the thing that has a life here. Clients and channels come and go;
//! the response belongs to the query, so a slow client does not hold the channel
//! and a lost channel does not cut the client.

use crate::ids::{ChannelId, ClientId, SiteId};
use crate::memory::Account;
use crate::proto::request::Request;
use crate::proto::response::{BAD_GATEWAY, HEADER_LEN, Piece, UNTRUSTED};
use crate::response::Response;
use std::io;
use std::time::Instant;

/// A request that was received and not yet answered to its end.
#[derive(Debug)]
pub struct Query {
    /// The site it is for.
    pub site: SiteId,
    /// Who wants the answer. A command outlives its client; of another query
    /// without one, the rest of the response is read and dropped.
    pub client: Option<ClientId>,
    /// What is sent, and how it is to be answered.
    pub request: Request,
    /// Its share of the memory for requests.
    pub charged: usize,
    /// Its answer's share of the memory for those of the control socket.
    pub unread: usize,
    /// When its request was complete.
    pub arrived: Instant,
    /// When it was first sent.
    pub sent: Option<Instant>,
    /// How far it has come.
    pub stage: Stage,
    /// What the site sent in place of a response.
    pub strange_answer: Option<String>,
    /// What has become of it was counted: each query counts once.
    pub is_counted: bool,
}

/// How far a query has come.
#[derive(Debug)]
pub enum Stage {
    /// It wants a channel.
    Waiting,
    /// It is a command for a dead site. It goes on waiting, but if its client
    /// waits for it, the client is told why it cannot be delivered.
    Held(String),
    /// It was given to a channel, and the response is on its way.
    Sent {
        /// Which channel.
        channel: ChannelId,
        /// The end of its life.
        deadline: Instant,
        /// The response, from its header on.
        response: Option<Response>,
    },
    /// The channel has nothing to do with it any more; the client has not got all.
    Answered {
        /// The end of its life.
        deadline: Instant,
        /// What the client has not got yet.
        response: Response,
    },
}

impl Query {
    /// The response, from its header on.
    pub fn response_mut(&mut self) -> Option<&mut Response> {
        match &mut self.stage {
            Stage::Waiting | Stage::Held(_) => None,
            Stage::Sent { response, .. } => response.as_mut(),
            Stage::Answered { response, .. } => Some(response),
        }
    }

    /// Takes in a piece of the response, which came in `fresh` and whose
    /// header is `head`, and gives the client what it may have. `false` if
    /// memory is needed to go on and there is none.
    pub fn take_in(
        &mut self,
        piece: &Piece<'_>,
        head: &[u8],
        fresh: &[u8],
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
        memory: &mut Account<'_>,
        now: Instant,
    ) -> io::Result<bool> {
        let fixed16 = self.request.style.fixed16;
        let Stage::Sent { response, .. } = &mut self.stage else {
            return Ok(true);
        };
        let mut bytes = piece.body;
        if let Some(header) = piece.began {
            // Another proxy's own answer. Without its header only this tells it
            // from data.
            let prefix = match header.status {
                BAD_GATEWAY | UNTRUSTED if !fixed16 => format!("{}: ", header.status),
                _ => String::new(),
            };
            let before = if fixed16 { HEADER_LEN } else { prefix.len() };
            let length = header.length + before as u64;
            let response = response.insert(Response::new(length, now));
            if !prefix.is_empty() {
                response.push_header(prefix.as_bytes());
            }
            if !piece.done {
                response.reserve(memory, now);
            }
            let came_at_once = fresh.len() == piece.body.len() + HEADER_LEN;
            match (fixed16, came_at_once) {
                (true, true) => bytes = fresh,
                (true, false) => response.push_header(head),
                (false, _) => {}
            }
        }
        let Some(response) = response else {
            return Ok(true);
        };
        response.push(bytes, &mut write, now)?;
        if response.is_delivered() {
            return Ok(true);
        }
        let granted = response.reserve(memory, now);
        response.flush(write, now)?;
        Ok(granted || response.is_delivered())
    }

    /// The client has gone: what is left of the response is for nobody.
    /// Returns the memory that is to be given back.
    pub fn abandon(&mut self) -> usize {
        let reserved = self.reserved();
        self.client = None;
        if let Stage::Sent { response, .. } = &mut self.stage {
            *response = None;
        }
        reserved
    }

    /// Whether the client has seen any of the response.
    pub fn has_begun(&self) -> bool {
        match &self.stage {
            Stage::Waiting | Stage::Held(_) => false,
            Stage::Sent { response, .. } => response.as_ref().is_some_and(Response::has_begun),
            Stage::Answered { response, .. } => response.has_begun(),
        }
    }

    /// Whether its channel has to wait before more of the response is read.
    pub fn is_held_back(&self) -> bool {
        match &self.stage {
            Stage::Sent {
                response: Some(response),
                ..
            } => response.room() == 0,
            Stage::Waiting | Stage::Held(_) | Stage::Sent { .. } | Stage::Answered { .. } => false,
        }
    }

    /// Memory of the budget that it holds, to be given back when it ends.
    pub fn reserved(&self) -> usize {
        match &self.stage {
            Stage::Waiting | Stage::Held(_) => 0,
            Stage::Sent { response, .. } => response.as_ref().map_or(0, Response::reserved),
            Stage::Answered { response, .. } => response.reserved(),
        }
    }
}
