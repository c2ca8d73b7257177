//! The promises that need a running program or the whole tree: a file per promise.

mod config_dir;
mod crash;
mod full_disk;
mod journal;
mod load;
mod pages;
mod power_cut;
mod privacy;
mod restored;
mod running;
mod sinks;
mod snippets;
mod tidy;
mod tracked_mail;
mod webhooks;
mod withdrawals;
