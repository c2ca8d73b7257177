//! Reads a journal: opens its segments, and walks the records that count.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;

use super::frame::{FRAME_HEAD_BYTES, FRAMES_START, FrameHead};
use super::scan::Item;
use super::segment::{Segment, file_number};
use super::{Opened, SEQ_SKIP};
use crate::store::disk::Disk;

/// The segments of one moment.
pub(crate) struct Reader {
    disk: Arc<dyn Disk>,
    segments: Vec<Segment>,
    next_seq: u64,
    damaged: Counter,
}

impl Reader {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        segments: Vec<Segment>,
        next_seq: u64,
        damaged: Counter,
    ) -> Self {
        Self {
            disk,
            segments,
            next_seq,
            damaged,
        }
    }

    /// Opens a folder to read it as it is, and nothing else.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        damaged: Counter,
    ) -> io::Result<(Self, Opened)> {
        let (segments, opened) = open_segments(&*disk, dir, false)?;
        let reader = Self::new(disk, segments, opened.next_seq, damaged);
        Ok((reader, opened))
    }

    /// The oldest number that is still kept, or the next to be given when
    /// nothing is.
    pub(crate) fn first_seq(&self) -> u64 {
        let bases = self.segments.iter().map(|s| s.summary.base);
        bases.filter(|base| *base > 0).min().unwrap_or(1)
    }

    /// The number that no record had when this was made, nor any later one.
    pub(crate) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Gives every record behind a number, in order, until told to stop.
    pub(crate) fn each_after(
        &self,
        after: u64,
        mut each: impl FnMut(FrameHead, &[u8]) -> ControlFlow<()>,
    ) -> io::Result<()> {
        for (n, segment) in self.segments.iter().enumerate() {
            if segment.summary.last_seq <= after || segment.summary.records() == 0 {
                continue;
            }
            let void_from = self.void_from(n);
            let file = segment.file(&*self.disk)?;
            let mut scan = segment.scan(&*file, FRAMES_START);
            loop {
                match scan.next()? {
                    Item::Record { head, payload, .. } => {
                        if head.seq >= void_from {
                            break;
                        }
                        if head.seq > after && each(head, payload).is_break() {
                            return Ok(());
                        }
                    }
                    Item::Damaged { .. } => {
                        self.damaged.inc();
                    }
                    Item::End { torn, .. } => {
                        // A sealed segment ends with a frame.
                        self.damaged.inc_by(u64::from(torn > 0));
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// From where on the records of a segment are void, because a later one
    /// begins there.
    fn void_from(&self, n: usize) -> u64 {
        let later = self.segments[n + 1..].iter().map(|s| s.summary.base);
        later.filter(|base| *base > 0).min().unwrap_or(u64::MAX)
    }
}

/// Opens every segment of a folder, in order. With `repair`, what was written
/// last is put on the disk, cut behind its last record and sealed; a disk that
/// refuses this is still read.
pub(super) fn open_segments(
    disk: &dyn Disk,
    dir: &Path,
    repair: bool,
) -> io::Result<(Vec<Segment>, Opened)> {
    let mut names: Vec<_> = disk
        .list(dir)?
        .into_iter()
        .filter_map(|name| Some((file_number(&name)?, name)))
        .collect();
    names.sort();
    let mut opened = Opened::default();
    let mut segments = Vec::with_capacity(names.len());
    for (number, name) in names {
        let (segment, found) = match Segment::open(disk, &dir.join(&name), number) {
            Ok(open) => open,
            Err(error) => {
                tracing::error!(segment = number, %error, "journal: a segment cannot be read");
                opened.unreadable += 1;
                continue;
            }
        };
        opened.unreadable += usize::from(found.headless);
        opened.scanned += usize::from(found.scanned);
        opened.torn_bytes += found.torn_bytes;
        opened.damaged += segment.summary.damaged;
        opened.records += segment.summary.records();
        segments.push(segment);
    }
    opened.segments = segments.len();
    opened.next_seq = next_seq(&segments, &opened);
    if repair && let Some(last) = segments.last_mut() {
        seal_last(disk, last);
    }
    Ok((segments, opened))
}

/// Seals the segment that was written when the process ended.
fn seal_last(disk: &dyn Disk, last: &mut Segment) {
    if last.sealed || last.summary.records() == 0 {
        return;
    }
    let sealed = disk.open(&last.path).and_then(|file| last.seal(&*file));
    if let Err(error) = sealed {
        tracing::warn!(%error, "journal: the last segment could not be sealed");
    }
}

/// The first number that certainly was not given before.
fn next_seq(segments: &[Segment], opened: &Opened) -> u64 {
    let behind = |segment: &Segment| segment.summary.base.max(segment.summary.last_seq + 1);
    let next = segments.iter().map(behind).max().unwrap_or(1).max(1);
    if opened.unreadable > 0 {
        return next + SEQ_SKIP;
    }
    // A record takes more than its head.
    next + opened.torn_bytes / FRAME_HEAD_BYTES as u64
}
