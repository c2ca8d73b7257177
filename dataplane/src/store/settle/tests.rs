//! Settling on a simulated disk, by question.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use mailtrail_core::event::{Event, Unsettled};
use prometheus_client::metrics::counter::Counter;
use uuid::Uuid;

use super::clock::Clock;
use super::judging::Judging;
use super::settler::{Parts, Settler};
use super::{SettleMetrics, Shared, oldest_ms, resume};
use crate::store::fixtures::hit;
use crate::store::journal::{Hub, Journal, JournalMetrics, Limits, Missing};
use crate::store::modes::Modes;
use crate::store::record;
use crate::store::simulated::SimulatedDisk;

mod damage;
mod faults;
mod judged;
mod private;
mod restart;
mod time;

/// Small, so that a short run goes through several segments.
const SMALL: Limits = Limits {
    segment_bytes: 2048,
    total_bytes: u64::MAX,
    fill_bytes: 1024,
};
const SETTLE: Duration = Duration::from_secs(10);
/// The first moment of every test's wall clock.
const BEGIN_MS: u64 = 1_790_000_000_000;

/// A clock that tests turn; clones are the same one.
#[derive(Clone, Default)]
struct TestClock {
    wall_ms: Arc<AtomicU64>,
    steady_ms: Arc<AtomicU64>,
}

impl TestClock {
    fn pass(&self, time: Duration) {
        let ms = time.as_millis() as u64;
        self.wall_ms.fetch_add(ms, Ordering::SeqCst);
        self.steady_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn wall_ms(&self) -> u64 {
        self.wall_ms.load(Ordering::SeqCst)
    }

    fn steady_ms(&self) -> u64 {
        self.steady_ms.load(Ordering::SeqCst)
    }
}

/// The two journals and the settling between them, step by step.
struct Bench {
    hits: Arc<Journal>,
    hub: Arc<Hub>,
    journal: Arc<Journal>,
    settler: Settler,
    shared: Arc<Shared>,
    clock: TestClock,
    metrics: SettleMetrics,
    /// What was missing of both when they were opened.
    missing: Vec<Missing>,
}

impl Bench {
    fn open(disk: &SimulatedDisk) -> std::io::Result<Self> {
        Self::on(disk, disk)
    }

    /// Each journal on a disk of its own.
    fn on(hits: &SimulatedDisk, journal: &SimulatedDisk) -> std::io::Result<Self> {
        let clock = TestClock::default();
        clock.wall_ms.store(BEGIN_MS, Ordering::SeqCst);
        Self::at(hits, journal, clock)
    }

    fn at(
        hits: &SimulatedDisk,
        journal: &SimulatedDisk,
        clock: TestClock,
    ) -> std::io::Result<Self> {
        Self::judged(hits, journal, clock, None)
    }

    fn judged(
        hits: &SimulatedDisk,
        journal: &SimulatedDisk,
        clock: TestClock,
        judging: Option<Judging>,
    ) -> std::io::Result<Self> {
        Self::under(hits, journal, clock, (judging, Modes::default()))
    }

    fn under(
        hits: &SimulatedDisk,
        journal: &SimulatedDisk,
        clock: TestClock,
        (judging, modes): (Option<Judging>, Modes),
    ) -> std::io::Result<Self> {
        let mut missing = Vec::new();
        let mut open = |disk: &SimulatedDisk, dir: &str| {
            let metrics = JournalMetrics::new(Counter::default());
            let disk = Arc::new(disk.clone());
            let (journal, opened) = Journal::open(disk, Path::new(dir), SMALL, metrics)?;
            missing.extend(opened.missing);
            std::io::Result::Ok(Arc::new(journal))
        };
        let journal = open(journal, "/journal")?;
        let hits = open(hits, "/hits")?;
        let resumed = resume(&journal.reader(), oldest_ms(&hits.reader()));
        hits.skip_to(resumed.highest());
        let shared = Arc::new(Shared::new(resumed));
        let metrics = SettleMetrics::default();
        let parts = Parts {
            hits: Arc::clone(&hits),
            journal: Arc::clone(&journal),
            settle: SETTLE,
            modes,
            withdrawals: None,
            judging,
            clock: Box::new(clock.clone()),
            metrics: metrics.clone(),
        };
        Ok(Self {
            hub: hits.hub(),
            hits,
            journal,
            settler: Settler::new(parts, Arc::clone(&shared)),
            shared,
            clock,
            metrics,
            missing,
        })
    }

    /// Appends these, all before the first is awaited; gives which are kept.
    fn keep(&self, numbers: impl IntoIterator<Item = u32>) -> Vec<u32> {
        let append = |n| {
            let hit = numbered(n, self.clock.wall_ms());
            let time_ms = hit.event.time.as_millisecond() as u64;
            let payload = record::encode_hit(&hit);
            (
                n,
                self.hits.append(&self.hub, record::HIT, time_ms, &payload),
            )
        };
        let pending: Vec<_> = numbers.into_iter().map(append).collect();
        let kept = pending.into_iter().filter_map(|(n, pending)| {
            let kept = pending.wait().is_ok();
            kept.then_some(n)
        });
        kept.collect()
    }

    /// Looks, and waits until what that wrote to the spool is on the disk.
    fn look(&mut self) {
        self.settler.look().expect("looks");
        while !self.hits.is_idle() {
            std::thread::yield_now();
        }
    }

    /// Lets the settling time go by and looks until all is settled.
    fn settle_all(&mut self) {
        self.clock.pass(SETTLE);
        for _ in 0..100 {
            // What the disk refuses is tried again.
            let _ = self.settler.look();
            self.clock.pass(SETTLE);
            let last = self.hits.reader().parts().next_back().map(|p| p.last_seq());
            if last.is_none_or(|last| last <= self.shared.up_to()) {
                return;
            }
        }
        panic!("not settled after 100 looks");
    }

    fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        let read = self.journal.reader().each_after(0, |head, payload| {
            if head.kind == record::EVENT {
                events.push(record::decode_event(payload).expect("an event"));
            }
            ControlFlow::Continue(())
        });
        read.expect("reads");
        events
    }

    /// The numbers of the hits that are in the spool, in order.
    fn waiting(&self) -> Vec<u32> {
        let mut numbers = Vec::new();
        let read = self.hits.reader().each_after(0, |head, payload| {
            if head.kind == record::HIT {
                let hit = record::decode_hit(payload).expect("a hit");
                numbers.push(hit.event.id.as_u128() as u32);
            }
            ControlFlow::Continue(())
        });
        read.expect("reads");
        numbers
    }

    /// The numbers of the settled events, in order.
    fn settled(&self) -> Vec<u32> {
        let events = self.events();
        events.iter().map(|e| e.id.as_u128() as u32).collect()
    }
}

/// A hit that is known again by its number.
fn numbered(n: u32, time_ms: u64) -> Unsettled {
    let mut hit = hit("shop/links", &format!("m-{}", n % 7));
    hit.event.id = Uuid::from_u128(u128::from(n));
    hit.event.time = Timestamp::from_millisecond(time_ms as i64).expect("a time");
    hit.event.client.user_agent = Some("x".repeat(n as usize * 7 % 50));
    hit
}

/// Hits one by one and many at once, with looks in between; gives which were
/// acknowledged.
fn run(bench: &mut Bench, from: u32) -> Vec<u32> {
    let mut kept = Vec::new();
    for n in from..from + 12 {
        kept.extend(bench.keep([n]));
        bench.clock.pass(SETTLE / 3);
        if n % 3 == 0 {
            let _ = bench.settler.look();
        }
    }
    kept.extend(bench.keep(from + 12..from + 30));
    let _ = bench.settler.look();
    bench.clock.pass(SETTLE);
    let _ = bench.settler.look();
    kept.extend(bench.keep(from + 30..from + 40));
    kept
}

/// Checks that each of `kept` was settled, once, and nothing but what was sent.
fn assert_settled(found: &[u32], kept: &[u32], sent: u32, context: &str) {
    let mut counts = BTreeMap::new();
    for n in found {
        *counts.entry(*n).or_insert(0) += 1;
        assert!(*n < sent, "{context}: {n} was never sent");
    }
    let twice: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "{context}: twice: {twice:?}");
    let missing: Vec<_> = kept.iter().filter(|n| !counts.contains_key(n)).collect();
    assert!(
        missing.is_empty(),
        "{context}: acknowledged and lost: {missing:?}"
    );
}
