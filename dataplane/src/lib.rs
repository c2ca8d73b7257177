//! The data plane: requests become pixels, redirects, rewritten HTML and
//! stored events.
//!
//! ARCHITECTURE.md has the rooms and the three walks through them.

pub mod admin;
pub mod api;
pub mod args;
pub mod cluster;
pub mod config;
pub mod deliver;
pub mod hit;
pub mod judge;
pub mod keyring;
pub mod metrics;
pub mod postgres;
pub mod rewrite;
pub mod run;
pub mod serve;
pub mod store;
