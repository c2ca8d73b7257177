//! The public listener over real sockets: the cases of TRACKING.md, section 6,
//! its limits, and how it ends.

mod cases;
mod client;
mod drain;
mod http2;
mod limits;
mod proxied;
mod verdicts;
mod world;
