//! When a delivery that failed is tried again. Pure; chance is an argument.

use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// Waits before the second and each later attempt, as Standard Webhooks
/// proposes them: ten attempts within 75 hours and 35 minutes at least.
pub(super) const WAITS: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * MINUTE),
    Duration::from_secs(30 * MINUTE),
    Duration::from_secs(2 * HOUR),
    Duration::from_secs(5 * HOUR),
    Duration::from_secs(10 * HOUR),
    Duration::from_secs(14 * HOUR),
    Duration::from_secs(20 * HOUR),
    Duration::from_secs(24 * HOUR),
];

/// Most that chance adds to a wait, as a part of it: who failed together comes
/// back one by one. It never takes away, so the table's sum is the least.
const JITTER_MAX: f64 = 0.1;

/// Longest that a receiver's `Retry-After` is honoured.
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_secs(HOUR);

/// How long to wait after so many attempts, none where they are over. `chance`
/// is from 0 to 1.
pub(super) fn wait(waits: &[Duration], attempts: u32, chance: f64) -> Option<Duration> {
    let at = usize::try_from(attempts).ok()?.checked_sub(1)?;
    let wait = waits.get(at)?;
    Some(wait.mul_f64(1.0 + JITTER_MAX * chance.clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_go_on_for_75_hours_at_least_and_end() {
        let hours = |chance| {
            let waits = (1..).map_while(|attempts| wait(&WAITS, attempts, chance));
            waits.sum::<Duration>().as_secs() / HOUR
        };
        assert_eq!((hours(0.0), hours(1.0)), (75, 83));
        assert_eq!(wait(&WAITS, 10, 0.0), None);
        assert_eq!(wait(&WAITS, 0, 0.0), None);
    }

    #[test]
    fn chance_adds_a_tenth_at_most_and_takes_nothing() {
        for attempts in 1..=9 {
            let least = WAITS[attempts as usize - 1];
            for chance in [-1.0, 0.0, 0.3, 1.0, 7.0, f64::INFINITY] {
                let wait = wait(&WAITS, attempts, chance).expect("another attempt");
                assert!(
                    wait >= least && wait <= least.mul_f64(1.101),
                    "{attempts} {chance}"
                );
            }
        }
    }

    #[test]
    fn waits_only_grow() {
        assert!(WAITS.is_sorted());
    }
}
