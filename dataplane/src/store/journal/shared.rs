//! What producers, readers and the writer of a journal share.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::frame::FrameHead;
use super::{JournalMetrics, OnKept, Segment, progress, queue};
use crate::store::record;

/// What producers, readers and the writer share.
pub(super) struct Shared {
    pub(super) queue: queue::Queue,
    pub(super) progress: Arc<progress::Progress>,
    pub(super) segments: RwLock<Vec<Segment>>,
    /// No segment file that is made has a number up to this one.
    pub(super) files_up_to: AtomicU64,
    pub(super) on_kept: OnceLock<OnKept>,
    pub(super) metrics: JournalMetrics,
}

impl Shared {
    pub(super) fn segments(&self) -> RwLockReadGuard<'_, Vec<Segment>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn segments_mut(&self) -> RwLockWriteGuard<'_, Vec<Segment>> {
        self.segments
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push_tail(&self, segment: &Segment) {
        self.segments_mut().push(segment.clone());
        self.measure();
    }

    /// Says what is on the disk of the segment that is, or was, written.
    pub(super) fn update_tail(&self, tail: &Segment) {
        let mut segments = self.segments_mut();
        let Some(known) = segments.iter_mut().rev().find(|s| s.number == tail.number) else {
            return;
        };
        let resized = known.file_bytes != tail.file_bytes;
        known.summary = tail.summary;
        known.sealed = tail.sealed;
        known.file_bytes = tail.file_bytes;
        drop(segments);
        if resized {
            self.measure();
        }
    }

    /// Another segment stands in the place of the one of its number.
    pub(super) fn replace(&self, segment: Segment) {
        let mut segments = self.segments_mut();
        if let Some(known) = segments.iter_mut().find(|s| s.number == segment.number) {
            *known = segment;
        }
        drop(segments);
        self.measure();
    }

    /// Bytes of all segments but this one.
    pub(super) fn bytes_without(&self, tail: Option<u64>) -> u64 {
        let segments = self.segments();
        let others = segments.iter().filter(|s| Some(s.number) != tail);
        others.map(|s| s.file_bytes).sum()
    }

    pub(super) fn remove(&self, number: u64) {
        self.segments_mut().retain(|s| s.number != number);
        self.measure();
    }

    pub(super) fn measure(&self) {
        let segments = self.segments();
        let bytes: u64 = segments.iter().map(|s| s.file_bytes).sum();
        self.metrics.segments.set(segments.len() as i64);
        self.metrics
            .bytes
            .set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Counts a batch as not kept, and tells who waits for it.
    pub(super) fn lose(&self, batch: &queue::Batch) {
        let mut at = 0;
        let mut first = None;
        while let Some(head) = batch.frames.get(at..).and_then(FrameHead::decode) {
            first.get_or_insert(head.seq);
            self.count_not_kept(head.kind);
            at += head.frame_bytes();
        }
        if let Some(first) = first {
            self.progress.lose(first..=batch.last_seq);
        }
    }

    pub(super) fn count_not_kept(&self, kind: u16) {
        match kind {
            record::HIT => self.metrics.events_not_kept.inc(),
            // Settling tries again until they are kept.
            record::EVENT | record::COUNTED | record::LAST | record::SETTLED => 0,
            _ => self.metrics.others_not_kept.inc(),
        };
    }
}
