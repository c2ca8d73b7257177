//! What a real API server makes of our manifests: definitions, rights, the
//! optional policy. And that what starts it leaves nothing behind.

mod definitions;
mod harness;
mod policy;
mod programs;
mod reached;
mod replica;
mod rights;
