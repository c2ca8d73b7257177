//! From a hit on the disk to a settled event: without loss, without twice, in
//! order, whatever ends the process or the machine.
//!
//! # Two journals
//!
//! Both have the format of [`super::journal`].
//!
//! - `hits/` holds what was answered for until it is settled: a spool.
//! - `journal/` holds settled events, message records, and marks. An event
//!   there is whole and final, with verdict, rules and `first`, so nothing
//!   ever changes under a reader's cursor.
//!
//! # Flow
//!
//! A thread follows `hits/` and remembers of each hit what a verdict may need
//! to know of its neighbours. Once a hit's settling time is over it is read
//! again ([`Settler`]), judged, and appended to `journal/` in a batch with
//! others that are due. When the batch is on the disk its hits are settled.
//! The next batch begins with a mark that says so: all hits up to this number
//! are in the journal. Segments of `hits/` that are settled are removed.
//!
//! # Once, and none left out
//!
//! A mark is written only when what it speaks of is on the disk. So after a
//! crash ([`resume`]) a hit is settled already when its number is not above
//! that of the last mark, or when its event stands behind that mark: events
//! are told by their id. What is counted and told of nobody has none: its
//! record is written when all events of its batch are on the disk, and says of
//! its domain and hour up to which number hits are settled. A batch of which only some events reached the disk is
//! completed by the others. Where damage took the last marks, an earlier one
//! says less, and more events stand behind it: the answer is the same. Hits
//! never get a number again that a mark has named ([`Journal::skip_to`]), even
//! where `hits/` was lost.
//!
//! # Guarantees
//!
//! - A hit that was acknowledged becomes an event in `journal/` exactly once;
//!   none where its recipient withdrew, or was erased, before it settled.
//! - Events stand in the order of their hits, but for those that complete a
//!   batch after a crash.
//! - A hit settles no later than the settling time after it was followed,
//!   whatever the wall clock does: it is asked once for a hit's age, and the
//!   time that is left is measured by a clock that only goes forward.
//! - Where `journal/` takes nothing, settling waits and tries the same batch
//!   again; hits go on being accepted as long as `hits/` takes them.
//! - A stop leaves what is not due in `hits/`; the next start goes on there.
//!
//! # Caveats
//!
//! What damage takes of `hits/` before it is settled is lost, said and
//! counted. Where, at one start, the system could not sync what the process
//! before had written to `journal/` and not acknowledged, and the power goes
//! later, events of that last batch may be lost.

mod clock;
mod counting;
mod firsts;
mod judging;
mod metrics;
mod resume;
mod sent;
mod settler;
mod spool;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use mailtrail_core::event::{Event, Unsettled};
use mailtrail_core::id::Realm;

use super::journal::{FrameHead, Journal, Reader};
use super::record;
use settler::Settler;
pub(crate) use spool::Place;

pub use metrics::SettleMetrics;

pub(super) use clock::RealClock;
pub(super) use judging::Judging;
pub(super) use resume::{Resumed, forget_settled, resume};
pub(super) use settler::Parts;

/// How often the thread looks for hits that are new or due.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The same where hits settle at once, which is for tests.
const LOOK_EVERY_AT_ONCE: Duration = Duration::from_millis(2);
/// First wait after the disk refused something.
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// Longest wait between attempts.
const RETRY_MAX: Duration = Duration::from_secs(2);
/// Most hits that one question for unsettled events looks at: a tenth of a
/// second's reading.
const PROVISIONAL_MAX_HITS: usize = 100_000;

/// The settling of a store; ends when dropped.
pub(super) struct Settle {
    shared: Arc<Shared>,
    hits: Arc<Journal>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the thread tells others.
struct Shared {
    /// What earlier runs have settled.
    resumed: Resumed,
    /// All hits up to this number are settled.
    up_to: AtomicU64,
    /// Where the next one is.
    next: Mutex<Place>,
    closing: AtomicBool,
}

impl Settle {
    /// Starts to settle.
    pub(super) fn start(parts: Parts, resumed: Resumed) -> io::Result<Self> {
        let shared = Arc::new(Shared::new(resumed));
        let every = match parts.settle {
            Duration::ZERO => LOOK_EVERY_AT_ONCE,
            _ => LOOK_EVERY,
        };
        let hits = Arc::clone(&parts.hits);
        let settler = Settler::new(parts, Arc::clone(&shared));
        let thread = std::thread::Builder::new()
            .name("settle".into())
            .spawn(move || run(settler, every))?;
        Ok(Self {
            shared,
            hits,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Whether every hit that was appended is settled, or could not be kept.
    pub(super) fn is_done(&self) -> bool {
        if !self.hits.is_idle() {
            return false;
        }
        let reader = self.hits.reader();
        let last = reader.parts().next_back().map(|part| part.last_seq());
        last.is_none_or(|last| last <= self.shared.up_to())
    }

    /// The events of a domain that are not settled yet and are wanted, oldest
    /// first, with their provisional verdict; among the first hits that wait.
    pub(super) fn provisional(
        &self,
        domain: &Realm,
        limit: usize,
        is_wanted: impl Fn(&Unsettled) -> bool,
    ) -> io::Result<Vec<Event>> {
        let mut place = self.shared.next();
        let (mut found, mut seen) = (Vec::new(), 0);
        place.each(&self.hits.reader(), |head, payload| {
            if found.len() >= limit || seen >= PROVISIONAL_MAX_HITS {
                return std::ops::ControlFlow::Break(());
            }
            seen += 1;
            let asked = head.kind == record::HIT
                && record::peek_hit(payload).is_ok_and(|hit| {
                    hit.domain == domain.as_str() && !self.shared.is_settled(head, &hit)
                });
            if asked
                && let Ok(hit) = record::decode_hit(payload)
                && is_wanted(&hit)
            {
                found.push(hit.event);
            }
            std::ops::ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    /// Settles nothing more from this call on.
    pub(super) fn close(&self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.as_ref() {
            thread.thread().unpark();
        }
    }
}

impl Drop for Settle {
    fn drop(&mut self) {
        self.close();
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            // What it could not do, the next start does.
            let _ = thread.join();
        }
    }
}

fn run(mut settler: Settler, every: Duration) {
    let mut retry = RETRY_FIRST;
    while !settler.is_closing() {
        let pause = match settler.look() {
            Ok(()) => {
                retry = RETRY_FIRST;
                every
            }
            Err(error) => {
                if retry == RETRY_FIRST {
                    tracing::warn!(%error, "settling waits until the disk goes on");
                }
                let pause = retry;
                retry = (retry * 2).min(RETRY_MAX);
                pause
            }
        };
        std::thread::park_timeout(pause);
    }
}

impl Shared {
    fn new(resumed: Resumed) -> Self {
        Self {
            up_to: AtomicU64::new(resumed.up_to),
            resumed,
            next: Mutex::default(),
            closing: AtomicBool::new(false),
        }
    }

    /// Whether an earlier run has settled a hit.
    fn is_settled(&self, head: FrameHead, hit: &record::HitKey<'_>) -> bool {
        self.resumed.is_settled(head, hit)
    }

    fn up_to(&self) -> u64 {
        self.up_to.load(Ordering::SeqCst)
    }

    fn next(&self) -> Place {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn move_to(&self, place: Place) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = place;
        self.up_to.fetch_max(place.seq, Ordering::SeqCst);
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }
}

/// The earliest time of a hit that is in the spool.
pub(super) fn oldest_ms(hits: &Reader) -> Option<u64> {
    hits.parts().map(|part| part.segment.summary.first_ms).min()
}
