//! What a link, a token, a policy, an event and a config are: pure types and
//! functions that both programs share.
//!
//! Nothing here reads a clock, an environment, a file or a socket, and nothing
//! draws random numbers: time and randomness are arguments.

pub mod ack;
pub mod character_reference;
pub mod config;
pub mod event;
pub mod id;
pub mod keyring;
pub mod link;
pub mod message;
mod percent;
pub mod policy;
pub mod proof;
pub mod sink;
pub mod target;
pub mod token;
