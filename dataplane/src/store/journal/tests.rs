//! The journal on a simulated disk, by question.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;

use super::{Hub, Journal, JournalMetrics, Limits, NotKept, Opened, Reader};
use crate::store::record;
use crate::store::simulated::SimulatedDisk;

mod acks;
mod damage;
mod faults;
mod limits;
mod missing;
mod restart;
mod rewrite;

const DIR: &str = "/journal";

/// Small, so that a short run goes through several segments.
const SMALL: Limits = Limits {
    segment_bytes: 2048,
    total_bytes: u64::MAX,
    fill_bytes: 1024,
};

/// An open journal with what tests ask of it.
struct Bench {
    journal: Journal,
    hub: Arc<Hub>,
    metrics: JournalMetrics,
    opened: Opened,
}

impl Bench {
    fn open(disk: &SimulatedDisk, limits: Limits) -> std::io::Result<Self> {
        let metrics = JournalMetrics::new(Counter::default());
        let (journal, opened) = Journal::open(
            Arc::new(disk.clone()),
            Path::new(DIR),
            limits,
            metrics.clone(),
        )?;
        assert!(opened.missing.is_empty() || disk.lies(), "{opened:?}");
        Ok(Self {
            hub: journal.hub(),
            journal,
            metrics,
            opened,
        })
    }

    fn append(&self, n: u32) -> super::Pending {
        self.append_through(&self.hub, n)
    }

    fn append_through(&self, hub: &Arc<Hub>, n: u32) -> super::Pending {
        self.journal
            .append(hub, record::HIT, u64::from(n), &payload(n))
    }

    /// Appends these, all before the first is awaited; gives which are kept.
    fn keep(&self, numbers: impl IntoIterator<Item = u32>) -> Vec<u32> {
        let pending: Vec<_> = numbers.into_iter().map(|n| (n, self.append(n))).collect();
        pending
            .into_iter()
            .filter_map(|(n, pending)| pending.wait().is_ok().then_some(n))
            .collect()
    }

    fn read(&self) -> Vec<u32> {
        read(&self.journal.reader())
    }
}

/// What record number `n` says: no two are the same, and lengths differ.
fn payload(n: u32) -> Vec<u8> {
    format!("record {n} {}", "x".repeat(n as usize * 7 % 50)).into_bytes()
}

/// The numbers of all records, in order; each must say what it said, and its
/// sequence number must rise.
fn read(reader: &Reader) -> Vec<u32> {
    let (mut found, mut last) = (Vec::new(), 0);
    reader
        .each_after(0, |head, bytes| {
            let n = u32::try_from(head.time_ms).expect("small");
            assert_eq!(bytes, payload(n), "record {n} was changed");
            assert!(head.seq > last, "{} after {last}", head.seq);
            last = head.seq;
            found.push(n);
            ControlFlow::Continue(())
        })
        .expect("reads");
    found
}

fn segment_path(number: u64) -> PathBuf {
    Path::new(DIR).join(super::segment::file_name(number))
}

/// Checks that every one of `kept` was found, once, and nothing but `sent`.
fn assert_kept(found: &[u32], kept: &[u32], sent: u32, context: &str) {
    let mut counts = BTreeMap::new();
    for n in found {
        *counts.entry(*n).or_insert(0) += 1;
        assert!(*n < sent, "{context}: {n} was never sent");
    }
    assert!(
        counts.values().all(|count| *count == 1),
        "{context}: a record twice: {found:?}"
    );
    let missing: Vec<_> = kept.iter().filter(|n| !counts.contains_key(n)).collect();
    assert!(
        missing.is_empty(),
        "{context}: acknowledged and lost: {missing:?}"
    );
}
