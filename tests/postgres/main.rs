//! The data plane with a real PostgreSQL: a file per promise.

mod away;
mod cursors;
mod failing;
#[path = "../it/load.rs"]
mod load;
mod private;
mod restored;
mod retained;
mod rights;
mod same;
mod settled;
mod shipped;
mod sinks;
mod started;
mod turns;
mod world;
