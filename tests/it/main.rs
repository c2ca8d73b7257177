//! The promises that need a running program or the whole tree: a file per promise.

mod config_dir;
mod crash;
mod full_disk;
mod journal;
mod load;
mod power_cut;
mod privacy;
mod running;
mod sinks;
mod tidy;
mod tracked_mail;
mod webhooks;
mod withdrawals;
