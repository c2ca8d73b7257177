//! Reads a journal: opens its segments, and walks the records that count.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;

use super::frame::{FRAME_HEAD_BYTES, FRAMES_START, FrameHead};
use super::scan::Item;
use super::segment::{Segment, file_number};
use super::{Opened, SEQ_SKIP, missing};
use crate::store::disk::{Disk, DiskFile};

/// The segments of one moment.
#[derive(Clone)]
pub(crate) struct Reader {
    disk: Arc<dyn Disk>,
    segments: Vec<Segment>,
    /// From where on the records of each segment are void, because a later
    /// one begins there.
    void_from: Vec<u64>,
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
            void_from: void_from(&segments),
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
        let (segments, opened, _) = open_segments(&*disk, dir, false)?;
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

    /// All segments, oldest first.
    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Keeps these segments only; what is void stays so.
    pub(super) fn retain(&mut self, keep: impl Fn(&Segment) -> bool) {
        let mut kept = self
            .segments
            .iter()
            .map(&keep)
            .collect::<Vec<_>>()
            .into_iter();
        self.void_from.retain(|_| kept.next() == Some(true));
        self.segments.retain(keep);
    }

    /// The segments that hold anything, oldest first.
    pub(crate) fn parts(&self) -> impl DoubleEndedIterator<Item = Part<'_>> {
        self.all_parts()
            .filter(|part| part.segment.summary.records() > 0)
    }

    /// All segments, those without records too.
    pub(super) fn all_parts(&self) -> impl DoubleEndedIterator<Item = Part<'_>> {
        let all = self.segments.iter().zip(&self.void_from);
        all.map(|(segment, void_from)| Part {
            segment,
            reader: self,
            void_from: *void_from,
        })
    }

    /// Gives every record behind a number, in order, until told to stop.
    pub(crate) fn each_after(
        &self,
        after: u64,
        mut each: impl FnMut(FrameHead, &[u8]) -> ControlFlow<()>,
    ) -> io::Result<()> {
        for part in self.parts() {
            if part.segment.summary.last_seq > after {
                let file = part.file()?;
                let flow = part.each_from(&*file, FRAMES_START, |_, head, payload| {
                    if head.seq > after {
                        each(head, payload)
                    } else {
                        ControlFlow::Continue(())
                    }
                })?;
                if flow.is_break() {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// From where on the records of each segment are void.
pub(super) fn void_from(segments: &[Segment]) -> Vec<u64> {
    let mut void_from = vec![u64::MAX; segments.len()];
    for n in (1..segments.len()).rev() {
        // A base of 0 is that of a segment without a header.
        let base = Some(segments[n].summary.base).filter(|base| *base > 0);
        void_from[n - 1] = void_from[n].min(base.unwrap_or(u64::MAX));
    }
    void_from
}

// === Part ===

/// One segment as a reader sees it.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    /// The segment.
    pub(crate) segment: &'a Segment,
    reader: &'a Reader,
    void_from: u64,
}

impl Part<'_> {
    /// The segment's file, for the other functions.
    pub(crate) fn file(&self) -> io::Result<Arc<dyn DiskFile>> {
        self.segment.file(&*self.reader.disk)
    }

    /// The last number that counts.
    pub(crate) fn last_seq(&self) -> u64 {
        self.segment.summary.last_seq.min(self.void_from - 1)
    }

    /// Whether nothing in the file can be told from chance.
    pub(crate) fn is_headless(&self) -> bool {
        self.segment.summary.base == 0
    }

    /// Whether the file may hold bytes beside the records that count: such as
    /// are void, damaged, or were being written when the disk refused them.
    pub(crate) fn is_unclean(&self) -> bool {
        let summary = &self.segment.summary;
        !self.segment.sealed || summary.damaged > 0 || summary.last_seq >= self.void_from
    }

    /// Where the record behind this one is, when the one of this number is at
    /// this place.
    pub(crate) fn behind(&self, file: &dyn DiskFile, at: u64, seq: u64) -> io::Result<Option<u64>> {
        let mut scan = self.segment.scan(file, at);
        let frame = scan.frame(at)?;
        let head = frame.map(|(head, _)| head).filter(|head| head.seq == seq);
        Ok(head.map(|head| at + head.frame_bytes() as u64))
    }

    /// Gives every record from a frame's place on, and its place, until told
    /// to stop.
    pub(crate) fn each_from(
        &self,
        file: &dyn DiskFile,
        from: u64,
        mut each: impl FnMut(u64, FrameHead, &[u8]) -> ControlFlow<()>,
    ) -> io::Result<ControlFlow<()>> {
        let mut scan = self.segment.scan(file, from);
        loop {
            match scan.next()? {
                Item::Record { at, head, payload } => {
                    if head.seq >= self.void_from {
                        return Ok(ControlFlow::Continue(()));
                    }
                    if each(at, head, payload).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Item::Damaged { .. } => {
                    self.reader.damaged.inc();
                }
                Item::End { torn, .. } => {
                    // What counts of a segment ends with a frame.
                    self.reader.damaged.inc_by(u64::from(torn > 0));
                    return Ok(ControlFlow::Continue(()));
                }
            }
        }
    }

    /// Gives the records at these places, in this order, until told to stop.
    pub(crate) fn each_at(
        &self,
        file: &dyn DiskFile,
        places: impl IntoIterator<Item = u64>,
        mut each: impl FnMut(u64, FrameHead, &[u8]) -> ControlFlow<()>,
    ) -> io::Result<ControlFlow<()>> {
        let mut scan = self.segment.scan(file, FRAMES_START);
        for at in places {
            if let Some((head, payload)) = scan.frame(at)?
                && head.seq < self.void_from
                && each(at, head, payload).is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

// === Opening ===

/// Opens every segment of a folder, in order. With `repair`, what was written
/// last is put on the disk, cut behind its last record and sealed; a disk that
/// refuses this is still read. Gives the files too that cannot be read.
pub(super) fn open_segments(
    disk: &dyn Disk,
    dir: &Path,
    repair: bool,
) -> io::Result<(Vec<Segment>, Opened, Vec<PathBuf>)> {
    let mut names: Vec<_> = disk
        .list(dir)?
        .into_iter()
        .filter_map(|name| Some((file_number(&name)?, name)))
        .collect();
    names.sort();
    let mut opened = Opened::default();
    let mut segments = Vec::with_capacity(names.len());
    let mut unreadable = Vec::new();
    for (number, name) in names {
        let path = dir.join(&name);
        let (segment, found) = match Segment::open(disk, &path, number) {
            Ok(open) => open,
            Err(error) => {
                tracing::error!(segment = number, %error, "journal: a segment cannot be read");
                unreadable.push(path);
                continue;
            }
        };
        if found.headless {
            unreadable.push(path);
        }
        opened.scanned += usize::from(found.scanned);
        opened.torn_bytes += found.torn_bytes;
        opened.damaged += segment.summary.damaged;
        opened.records += segment.summary.records();
        segments.push(segment);
    }
    opened.segments = segments.len();
    opened.unreadable = unreadable.len();
    (opened.missing, opened.last_seq) = missing::look(&segments);
    opened.next_seq = next_seq(&segments, &opened);
    if repair && let Some(last) = segments.last_mut() {
        seal_last(disk, last);
    }
    Ok((segments, opened, unreadable))
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
