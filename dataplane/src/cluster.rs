//! The Kubernetes client: the only room that knows one.
//!
//! What stands behind the same traits without a cluster: a folder of shards
//! ([`crate::config::shards::FolderWatcher`]).

mod client;
mod shards;

pub use client::ClientError;
pub use shards::follow;
