//! Domains and event sinks from ConfigShards: what the operator writes and every
//! replica serves, from the cluster or from a folder.
//!
//! # Promises
//!
//! - Each entry stands for itself: one that cannot be read or served is refused
//!   alone, the last good one of its domain stays in use, and that is told. It
//!   is tried again at every change, since a host may move from one domain to
//!   another over two shards.
//! - A shard that cannot be read keeps its last good state and holds up nobody.
//!   How many shards there are does not change in the life of an install: one
//!   that says otherwise is not taken.
//! - Only a newer state of a shard takes entries away: one that is deleted by
//!   hand is served until it is there again.
//! - Of one object (its UID), the later state is the one of the greater
//!   generation; another object of that name takes its place.
//! - What is served is kept on the disk, and served at the next start until
//!   something newer comes. Ready is who has all shards, from wherever.
//! - "Applied" is said of what requests are answered from, never before.
//!
//! [`document`], [`set`] and [`resolve`] are pure; [`follow`] drives them.

mod applied;
mod document;
mod folder;
mod follow;
mod kept;
mod metrics;
mod resolve;
mod set;
mod sinks;

pub use applied::{Applied, AppliedShard};
pub use document::{About, Document, DocumentError, Entry, SinkEntry, read};
pub use folder::FolderWatcher;
pub use follow::{Feed, Follower, Seen};
pub use kept::{Keeper, KeptShards};
pub use metrics::ShardMetrics;
pub use set::{Changed, Order, ServedShard, Shards};

#[cfg(test)]
mod tests;
