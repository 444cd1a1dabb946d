//! Names for what lives in the event loop. Each kind has ids of its own, so
//! that one cannot be taken for the other, and whoever keeps an id need not
//! know what it names.

use crate::slots::Id;

/// The kind of a [`SiteId`].
pub enum OfSite {}
/// The kind of a [`ClientId`].
pub enum OfClient {}
/// The kind of a [`ChannelId`].
pub enum OfChannel {}
/// The kind of a [`QueryId`].
pub enum OfQuery {}

/// Names a site.
pub type SiteId = Id<OfSite>;
/// Names a client.
pub type ClientId = Id<OfClient>;
/// Names a channel; its number within the site is another thing.
pub type ChannelId = Id<OfChannel>;
/// Names a query.
pub type QueryId = Id<OfQuery>;
