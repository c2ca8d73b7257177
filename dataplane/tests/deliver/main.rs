//! Deliveries over real sockets, to receivers that behave well and badly.

mod bad;
mod cluster;
mod guard;
mod pace;
#[allow(
    unreachable_pub,
    dead_code,
    reason = "shared with the tests of the programs"
)]
#[path = "../../../tests/support/receiver.rs"]
mod receiver;
mod replays;
mod rights;
mod steady;
mod world;
