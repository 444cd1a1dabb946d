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
    /// A query that has just arrived and wants a channel.
    pub fn new(site: SiteId, client: ClientId, request: Request, now: Instant) -> Query {
        Query {
            site,
            client: Some(client),
            charged: request.bytes.len(),
            request,
            unread: 0,
            arrived: now,
            sent: None,
            stage: Stage::Waiting,
            strange_answer: None,
            is_counted: false,
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Share, SharedBudget};
    use crate::proto::request::{Kind, Style};
    use crate::proto::response::Frame;
    use std::time::Duration;

    /// Memory for one site, a client that takes so many bytes at a time, and what it has got.
    struct World {
        budget: SharedBudget,
        share: Share,
        takes: usize,
        seen: Vec<u8>,
        now: Instant,
    }

    impl World {
        fn new(memory: usize) -> Self {
            World {
                budget: SharedBudget::new(2 * memory),
                share: Share::default(),
                takes: usize::MAX,
                seen: Vec::new(),
                now: Instant::now(),
            }
        }

        /// The response as far as it comes in these pieces; whether memory was there for each.
        fn take_in(&mut self, query: &mut Query, frame: &mut Frame, pieces: &[&[u8]]) -> Vec<bool> {
            let mut granted = Vec::new();
            for bytes in pieces {
                let piece = frame.take(bytes).unwrap();
                let (seen, takes) = (&mut self.seen, self.takes);
                let write = |bytes: &[u8]| {
                    let taken = bytes.len().min(takes);
                    seen.extend_from_slice(&bytes[..taken]);
                    Ok(taken)
                };
                let mut memory = Account {
                    budget: &mut self.budget,
                    share: &mut self.share,
                };
                let head = frame.head();
                granted.push(
                    query
                        .take_in(&piece, head, bytes, write, &mut memory, self.now)
                        .unwrap(),
                );
            }
            granted
        }
    }

    fn query(fixed16: bool, stage: Stage) -> Query {
        let request = Request {
            bytes: Vec::new(),
            kind: Kind::Get,
            style: Style {
                fixed16,
                keep_alive: true,
            },
        };
        let (site, client) = (SiteId::unpack(1), ClientId::unpack(2));
        Query {
            stage,
            ..Query::new(site, client, request, Instant::now())
        }
    }

    fn sent(response: Option<Response>) -> Stage {
        Stage::Sent {
            channel: ChannelId::unpack(3),
            deadline: Instant::now() + Duration::from_secs(60),
            response,
        }
    }

    fn answered(response: Response) -> Stage {
        Stage::Answered {
            deadline: Instant::now() + Duration::from_secs(60),
            response,
        }
    }

    /// Another proxy's refusals are marked where the client would take them for data.
    #[test]
    fn a_client_gets_the_response_as_it_asked_for_it_however_it_is_cut() {
        for (status, body, fixed16, want) in [
            (200, "body\n", true, "200           5\nbody\n"),
            (200, "body\n", false, "body\n"),
            (200, "b", true, "200           1\nb"),
            (404, "body\n", false, "body\n"),
            (502, "body\n", true, "502           5\nbody\n"),
            (502, "body\n", false, "502: body\n"),
            (495, "body\n", false, "495: body\n"),
        ] {
            let whole = format!("{status} {:>11}\n{body}", body.len());
            for cut in 1..whole.len() {
                let (one, two) = whole.as_bytes().split_at(cut);
                let (mut world, mut query) = (World::new(1000), query(fixed16, sent(None)));
                let granted = world.take_in(&mut query, &mut Frame::default(), &[one, two]);
                assert_eq!(granted, [true, true]);
                assert_eq!(world.seen, want.as_bytes(), "cut at {cut}");
                let response = query.response_mut().unwrap();
                assert!(response.is_delivered() && response.has_begun());
            }
            let (mut world, mut query) = (World::new(1000), query(fixed16, sent(None)));
            world.take_in(&mut query, &mut Frame::default(), &[whole.as_bytes()]);
            assert_eq!(world.seen, want.as_bytes(), "in one piece");
            assert_eq!(query.reserved(), 0, "nothing had to be held");
        }
    }

    #[test]
    fn what_has_no_memory_is_held_back_until_there_is_some() {
        let (mut world, mut query) = (World::new(100), query(false, sent(None)));
        world.share = Share::default();
        let mut account = Account {
            budget: &mut world.budget,
            share: &mut world.share,
        };
        assert!(account.take(100));
        let mut frame = Frame::default();
        assert_eq!(
            world.take_in(&mut query, &mut frame, &[b"200           4\nbo"]),
            [false]
        );
        assert!(query.is_held_back() && query.reserved() == 0);
        let mut account = Account {
            budget: &mut world.budget,
            share: &mut world.share,
        };
        account.give_back(100);
        let response = query.response_mut().unwrap();
        assert!(response.reserve(&mut account, world.now));
        assert!(!query.is_held_back());
        assert_eq!(query.reserved(), 4);
        assert!(!query.has_begun());
        world.takes = 1;
        assert_eq!(world.take_in(&mut query, &mut frame, &[b"dy"]), [true]);
        assert!(query.has_begun());
        assert_eq!(world.seen, b"bo"); // One byte for each of two writes.
    }

    #[test]
    fn a_client_that_takes_all_at_once_needs_no_memory() {
        let (mut world, mut query) = (World::new(100), query(true, sent(None)));
        let mut account = Account {
            budget: &mut world.budget,
            share: &mut world.share,
        };
        assert!(account.take(100));
        let whole: &[u8] = b"200           4\nbody";
        assert_eq!(
            world.take_in(&mut query, &mut Frame::default(), &[whole]),
            [true]
        );
        assert_eq!(world.seen, whole);
    }

    #[test]
    fn a_response_that_nobody_wants_any_more_is_dropped_and_its_memory_given_back() {
        let (mut world, mut query) = (World::new(100), query(false, sent(None)));
        let mut frame = Frame::default();
        world.take_in(&mut query, &mut frame, &[b"200           4\nbo"]);
        assert_eq!(query.reserved(), 4);
        assert_eq!(query.abandon(), 4);
        assert_eq!((query.client, query.reserved()), (None, 0));
        assert_eq!(world.take_in(&mut query, &mut frame, &[b"dy"]), [true]);
        assert!(world.seen.is_empty() && query.response_mut().is_none());
    }

    #[test]
    fn a_query_holds_and_has_begun_nothing_before_there_is_a_response() {
        for stage in [Stage::Waiting, Stage::Held("why".into()), sent(None)] {
            let mut query = query(false, stage);
            assert!(!query.has_begun() && !query.is_held_back());
            assert_eq!(query.reserved(), 0);
            assert!(query.response_mut().is_none());
        }
    }

    #[test]
    fn an_answered_query_has_a_response_and_holds_no_channel_back() {
        let mut query = query(
            false,
            answered(Response::own(b"502: no\n".to_vec(), Instant::now())),
        );
        assert!(!query.has_begun() && !query.is_held_back());
        let response = query.response_mut().unwrap();
        response
            .flush(|bytes| Ok(bytes.len()), Instant::now())
            .unwrap();
        assert!(query.has_begun());
        assert_eq!(query.reserved(), 0);
    }
}
