//! How long it is waited before something is tried again: twice as long each
//! time, within bounds, and not all at once. Pure but for the randomness.

use std::time::Duration;

use backon::ExponentialBuilder;
use kube::runtime::watcher::ExponentialBackoff;

/// First wait after a watch that broke off.
const WATCH_FIRST: Duration = Duration::from_millis(500);
/// Longest wait before it is tried again: what was changed meanwhile waits for
/// that, too.
const WATCH_LONGEST: Duration = Duration::from_secs(5);

/// How a watch that breaks off is waited for.
pub fn for_watch() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(WATCH_FIRST)
        .with_max_delay(WATCH_LONGEST)
        .with_jitter()
        .without_max_times()
        .into()
}

/// `first` at first, doubled by each repetition, `longest` at most.
pub fn doubled(first: Duration, longest: Duration, repetitions: u32) -> Duration {
    first.saturating_mul(1 << repetitions.min(16)).min(longest)
}

/// Half of it to all of it, so that what failed together is not tried together.
pub fn spread(wait: Duration) -> Duration {
    let mut random = [0; 2];
    // Without randomness the wait is whole, which is no fault.
    let part = match aws_lc_rs::rand::fill(&mut random) {
        Ok(()) => f64::from(u16::from_le_bytes(random)) / f64::from(u16::MAX),
        Err(_) => 1.0,
    };
    wait.mul_f64(0.5 + part / 2.0)
}
