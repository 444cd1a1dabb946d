//! Everybody whom the loop looks after, and by which number the kernel knows them.

use crate::ids::{ChannelId, ClientId, SiteId};
use crate::slots::Id;
use mio::Token;

/// A signal has come.
pub(super) const SIGNALS: Token = Token(usize::MAX);
/// A name was looked up.
pub(super) const NAMES: Token = Token(usize::MAX - 1);

/// Somebody who has a socket, or a deadline, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    /// A site's policy, which has a deadline.
    Site(SiteId),
    /// A site's listening socket.
    Listener(SiteId),
    Client(ClientId),
    Channel(ChannelId),
    /// A TCP port on which a site is offered.
    Port(u16),
}

impl Who {
    /// The name under which events for it come.
    pub(super) fn token(self) -> Token {
        let (kind, id) = match self {
            Who::Site(id) => (0, id.pack()),
            Who::Listener(id) => (1, id.pack()),
            Who::Client(id) => (2, id.pack()),
            Who::Channel(id) => (3, id.pack()),
            Who::Port(number) => (4, u64::from(number)),
        };
        Token((kind << Id::<()>::PACKED_BITS | id) as usize)
    }

    /// Whom an event is for; none for signals and names.
    pub(super) fn of(token: Token) -> Option<Who> {
        let bits = token.0 as u64;
        let id = bits & ((1 << Id::<()>::PACKED_BITS) - 1);
        match bits >> Id::<()>::PACKED_BITS {
            0 => Some(Who::Site(Id::unpack(id))),
            1 => Some(Who::Listener(Id::unpack(id))),
            2 => Some(Who::Client(Id::unpack(id))),
            3 => Some(Who::Channel(Id::unpack(id))),
            4 => u16::try_from(id).ok().map(Who::Port),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;
    use crate::ids::OfClient;
    use crate::slots::Slots;

    #[test]
    fn a_token_names_who_it_was_made_for() {
        let mut slots: Slots<OfClient, Client> = Slots::default();
        let id = Id::unpack(u64::from(u32::MAX) << 24 | 77);
        assert!(slots.get_mut(id).is_none());
        for who in [
            Who::Client(id),
            Who::Site(Id::unpack(id.pack())),
            Who::Channel(Id::unpack(5)),
            Who::Port(6560),
        ] {
            assert_eq!(Who::of(who.token()), Some(who));
        }
        assert_eq!(Who::of(SIGNALS), None);
        assert_eq!(Who::of(NAMES), None);
    }
}
