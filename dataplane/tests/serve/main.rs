//! The public listener over real sockets: the cases of TRACKING.md, section 6,
//! its limits, and how it ends.

mod cases;
mod certificates;
mod client;
mod drain;
mod http2;
mod limits;
mod proxied;
mod secure;
mod tls;
mod verdicts;
mod world;
