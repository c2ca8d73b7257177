//! The Kubernetes client: the only room that knows one.
//!
//! What stands in its place without a cluster: a folder of shards
//! ([`crate::config::shards::FolderWatcher`]), a file of bearer tokens
//! ([`crate::api::auth::TokensFile`]).

pub mod callers;
mod client;
mod shards;

pub use callers::Callers;
pub use client::ClientError;
pub use shards::follow;
