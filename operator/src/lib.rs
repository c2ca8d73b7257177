//! The operator: turns TrackingDomains into what replicas of the data plane
//! serve, keeps who owns which host, and says in each status what became of it.
//!
//! [`run`] starts it. [`world`] is what is known of the cluster, [`queue`] says
//! whose turn it is, [`domain`] is one turn, in five steps. [`shards`] writes
//! what turns decide, [`replicas`] finds out who applies it, [`expose`] lets hosts
//! out of the cluster.

pub mod admin;
pub mod args;
pub mod condition;
pub mod domain;
pub mod error;
pub mod expose;
pub mod keyring;
pub mod lease;
pub mod metrics;
pub mod object;
pub mod passes;
pub mod policy;
pub mod queue;
pub mod replicas;
pub mod run;
pub mod shards;
pub mod sink;
mod status;
pub mod subject;
pub mod tell;
pub mod verify;
pub mod wait;
pub mod watch;
pub mod world;
