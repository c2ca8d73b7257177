//! The events that the answers of one thread wait for.
//!
//! Two things are done once for many of them. The store is told to write when
//! every request that was at hand has had its turn: a task that is woken by
//! the first event runs after all that were woken before it. And one timer
//! sees to all times, instead of one for each event.

use std::cell::Cell;
use std::pin::pin;
use std::time::Instant;

use tokio::sync::Notify;

use crate::store::Store;

/// One thread's waits.
#[derive(Default)]
pub(super) struct Waits {
    begun: Notify,
    /// Whether `begun` was told and not heard yet.
    told: Cell<bool>,
}

impl Waits {
    /// An event was handed in.
    pub(super) fn begin(&self) {
        if !self.told.replace(true) {
            self.begun.notify_one();
        }
    }

    /// Sees to all waits, for ever.
    pub(super) async fn watch(&self, store: &Store) {
        let mut alarm = pin!(tokio::time::sleep_until(tokio::time::Instant::now()));
        let mut set = false;
        loop {
            tokio::select! {
                biased;
                () = self.begun.notified() => {
                    self.told.set(false);
                    store.ring();
                }
                () = &mut alarm, if set => set = false,
            }
            if !set && let Some(until) = store.wake_overdue(Instant::now()) {
                alarm.as_mut().reset(until.into());
                set = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::metrics::Metrics;
    use crate::serve::EVENT_WAIT;
    use crate::store::fixtures::hit;
    use crate::store::journal::Limits;
    use crate::store::simulated::SimulatedDisk;
    use crate::store::{NotKept, Settings};

    /// What three events waited for at once are answered, with the times it took.
    fn waited_for(
        store: &Store,
        longest: Duration,
    ) -> Vec<(Option<Result<(), NotKept>>, Duration)> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        let waits = Waits::default();
        let one = async || {
            let begin = Instant::now();
            let mut pending = store.append_hit(&hit("shop/links", "m-1"));
            waits.begin();
            let kept = poll_fn(|cx| pending.poll_until(cx, begin + longest)).await;
            (kept, begin.elapsed())
        };
        runtime.block_on(async {
            tokio::select! {
                () = waits.watch(store) => unreachable!("it never ends"),
                (a, b, c) = async { tokio::join!(one(), one(), one()) } => vec![a, b, c],
            }
        })
    }

    fn store_on(disk: &SimulatedDisk, folder: &tempfile::TempDir) -> Store {
        let settings = Settings::at(folder.path());
        let disk = Arc::new(disk.clone());
        Store::open_on(disk, settings, Limits::default(), &Metrics::new())
            .expect("opens")
            .local_with_bell()
    }

    #[test]
    fn case_84_a_store_that_hangs_is_waited_for_no_longer_than_stated() {
        let (disk, folder) = (SimulatedDisk::new(1), tempfile::tempdir().expect("dir"));
        let store = store_on(&disk, &folder);
        let hung = disk.hang();
        for _ in 0..3 {
            for (kept, waited) in waited_for(&store, EVENT_WAIT) {
                assert_eq!(kept, None);
                assert!(waited >= EVENT_WAIT, "{waited:?}");
                assert!(waited < 10 * EVENT_WAIT, "{waited:?}");
            }
        }
        drop(hung);
    }

    #[test]
    fn case_84_what_the_store_says_is_not_waited_for_longer() {
        let (disk, folder) = (SimulatedDisk::new(1), tempfile::tempdir().expect("dir"));
        let store = store_on(&disk, &folder);
        let longest = Duration::from_secs(3600);
        for (kept, _) in waited_for(&store, longest) {
            assert_eq!(kept, Some(Ok(())));
        }
        drop(store.close());
        for (kept, _) in waited_for(&store, longest) {
            assert_eq!(kept, Some(Err(NotKept)));
        }
    }
}
