//! Takes records away: rewrites segments that are no longer written without
//! them, or removes whole ones.
//!
//! # Flow
//!
//! [`Journal::closed`] ends the segment that is written and gives those that
//! are not any more. One is copied, but for what goes, to `<number>.rewrite`,
//! under a new salt, with the same `base` and the same numbers; that file is
//! synced and gets the segment's name. [`Closed::finish`] puts the names on the
//! disk: only then is it done.
//!
//! # Guarantees
//!
//! - At every moment a segment's name leads to the old file or to the new one,
//!   both whole. A draft that is left over is removed at the next opening, and
//!   before the next rewriting.
//! - Order and numbers stay. Where the last record goes, one of the kind
//!   [`record::GONE`] keeps its number from being given again.
//! - Who reads at that moment goes on in the old file, which is gone when
//!   nobody does.
//! - A segment that was removed is not made again.
//! - Damaged stretches and what is void are not carried over.
//!
//! # Caveats
//!
//! The disk's blocks of a file that is gone are not overwritten: that is the
//! file system's business, and encryption's below it.

use std::collections::HashSet;
use std::io;
use std::ops::{AddAssign, ControlFlow};
use std::path::{Path, PathBuf};

use super::frame::{self, FOOTER_BYTES, FRAMES_START, FrameHead, Header, Summary};
use super::read::{Part, Reader};
use super::scan::Item;
use super::{Journal, MutexGuard, PoisonError};
use crate::store::disk::{Disk, DiskFile};
use crate::store::record;

/// So much is copied at a time, in bytes, and what one record is longer.
const COPY_BYTES: usize = 256 * 1024;
/// So much of an unreadable file is searched at a time, in bytes.
const SEARCH_BYTES: usize = 256 * 1024;
/// What a file holds that holds nothing any more. One byte, because an empty
/// file would not say that something was there, with numbers that are given.
const NOTHING: &[u8] = &[0xff];

/// How many records were taken away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Removed {
    /// Events, or hits.
    pub(crate) events: u64,
    /// Message records.
    pub(crate) messages: u64,
    /// Records of other kinds.
    pub(crate) others: u64,
}

/// The segments that are no longer written; nobody else rewrites them as long
/// as this lives.
pub(crate) struct Closed<'a> {
    journal: &'a Journal,
    reader: Reader,
    _alone: MutexGuard<'a, ()>,
}

/// A segment on its way to the disk.
struct Draft {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    summary: Summary,
    frames: Vec<u8>,
}

// === Journal ===

impl Journal {
    /// Ends the segment that is written, and gives all that are not written
    /// any more: whatever was appended before stands there. Waits for the
    /// writer, and for others who rewrite.
    pub(crate) fn closed(&self) -> io::Result<Closed<'_>> {
        Closed::new(self, || {
            let up_to = self.shared.queue.seal();
            let mut reader = self.reader();
            // A segment that was begun later has a higher base.
            reader.retain(|segment| segment.summary.base <= up_to);
            reader
        })
    }

    /// Gives all segments but the last, which may be written.
    pub(crate) fn closed_but_last(&self) -> io::Result<Closed<'_>> {
        Closed::new(self, || {
            let mut reader = self.reader();
            let last = reader.segments().last().map_or(0, |segment| segment.number);
            reader.retain(|segment| segment.number < last);
            reader
        })
    }
}

/// Removes what an earlier process left over.
pub(super) fn remove_drafts(disk: &dyn Disk, dir: &Path) {
    let removed = drafts(disk, dir).and_then(|paths| {
        let mut paths = paths.iter();
        paths.try_for_each(|path| disk.remove(path))
    });
    if let Err(error) = removed {
        tracing::warn!(%error, "journal: a half-written segment could not be removed");
    }
}

fn drafts(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<PathBuf>> {
    let names = disk.list(dir)?.into_iter();
    let drafts = names.filter(|name| name.ends_with(".rewrite"));
    Ok(drafts.map(|name| dir.join(name)).collect())
}

// === Closed ===

impl<'a> Closed<'a> {
    fn new(journal: &'a Journal, reader: impl FnOnce() -> Reader) -> io::Result<Self> {
        let alone = journal.rewriting.lock();
        let alone = alone.unwrap_or_else(PoisonError::into_inner);
        for path in drafts(&*journal.disk, &journal.dir)? {
            journal.disk.remove(&path)?;
        }
        Ok(Self {
            journal,
            reader: reader(),
            _alone: alone,
        })
    }

    /// The number of the newest segment, written or not.
    pub(crate) fn newest(&self) -> Option<u64> {
        let segments = self.journal.shared.segments();
        segments.last().map(|segment| segment.number)
    }

    /// The number of the newest segment, written or not, that holds records
    /// which are neither events nor message records.
    pub(crate) fn newest_with_others(&self) -> Option<u64> {
        let segments = self.journal.shared.segments();
        let with_others = segments.iter().filter(|s| s.summary.others > 0);
        with_others.map(|segment| segment.number).max()
    }

    /// The segments that are still there, oldest first, those without records
    /// too.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let segments = self.journal.shared.segments();
        let there: HashSet<_> = segments.iter().map(|segment| segment.number).collect();
        drop(segments);
        let all = self.reader.all_parts();
        all.filter(move |part| there.contains(&part.segment.number))
    }

    /// Whether there is such a record in a segment from a frame's place on, or
    /// a stretch that cannot be read and may have been one.
    pub(crate) fn any(
        &self,
        part: Part<'_>,
        from: u64,
        mut is: impl FnMut(FrameHead, &[u8]) -> bool,
    ) -> io::Result<bool> {
        let file = part.file()?;
        let mut scan = part.segment.scan(&*file, from);
        loop {
            match scan.next()? {
                Item::Record { head, payload, .. } if is(head, payload) => return Ok(true),
                Item::Record { .. } => {}
                Item::Damaged { .. } => return Ok(true),
                Item::End { torn, .. } => return Ok(torn > 0),
            }
        }
    }

    /// Gives every record of a segment.
    pub(crate) fn each(
        &self,
        part: Part<'_>,
        mut each: impl FnMut(FrameHead, &[u8]),
    ) -> io::Result<()> {
        let flow = part.each_from(&*part.file()?, FRAMES_START, |_, head, payload| {
            each(head, payload);
            ControlFlow::Continue(())
        });
        flow.map(drop)
    }

    /// Rewrites a segment with those records alone that are to be kept.
    pub(crate) fn rewrite(
        &self,
        part: Part<'_>,
        keep: impl FnMut(FrameHead, &[u8]) -> bool,
    ) -> io::Result<Removed> {
        let disk = &*self.journal.disk;
        let mut draft = Draft::create(disk, part)?;
        let written = copy(part, &mut draft, keep).and_then(|removed| {
            draft.seal()?;
            part.segment.hold(disk)?;
            disk.rename(&draft.path, &part.segment.path)?;
            Ok(removed)
        });
        match &written {
            Ok(_) => {
                let segment = part.segment.replaced(draft.summary);
                self.journal.shared.replace(segment);
            }
            // What cannot be removed goes before the next rewriting.
            Err(_) => _ = disk.remove(&draft.path),
        }
        written
    }

    /// Removes the oldest segment. Its name is off the disk when this returns,
    /// so that none is left behind a gap, where it would not be void any more.
    pub(crate) fn remove(&self, part: Part<'_>) -> io::Result<Removed> {
        let disk = &*self.journal.disk;
        let summary = part.segment.summary;
        part.segment.hold(disk)?;
        disk.remove(&part.segment.path)?;
        self.journal.shared.remove(part.segment.number);
        disk.sync_dir(&self.journal.dir)?;
        Ok(Removed {
            events: summary.events,
            messages: summary.messages,
            others: summary.others,
        })
    }

    /// Empties the files that cannot be read as segments and have these bytes
    /// in them.
    pub(crate) fn empty_unreadable(&self, bytes: &[u8]) -> io::Result<()> {
        let disk = &*self.journal.disk;
        for path in &self.journal.unreadable {
            if holds(&*disk.open(path)?, bytes)? {
                tracing::warn!(path = %path.display(), "journal: an unreadable segment is emptied");
                let draft = path.with_extension("rewrite");
                let file = disk.create(&draft)?;
                file.write_at(NOTHING, 0)?;
                file.sync()?;
                disk.rename(&draft, path)?;
            }
        }
        Ok(())
    }

    /// Puts the names on the disk, those of an earlier rewriting that failed
    /// here too.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.journal.disk.sync_dir(&self.journal.dir)
    }
}

/// Copies what is to be kept; the last number stays taken.
fn copy(
    part: Part<'_>,
    draft: &mut Draft,
    mut keep: impl FnMut(FrameHead, &[u8]) -> bool,
) -> io::Result<Removed> {
    let mut removed = Removed::default();
    let mut last_seq = 0;
    let mut written = Ok(());
    // That it was stopped says no more than `written`.
    let _ = part.each_from(&*part.file()?, FRAMES_START, |_, head, payload| {
        if head.kind == record::GONE || keep(head, payload) {
            last_seq = head.seq;
            written = draft.push(head, payload);
        } else {
            removed.count(head.kind);
        }
        match written {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })?;
    written?;
    let (first, last) = (part.segment.summary.first_seq, part.last_seq());
    // Where all is void, the last number that counts is an earlier segment's.
    if first > 0 && last >= first && last > last_seq {
        draft.push_gone(part)?;
    }
    Ok(removed)
}

/// Whether these bytes are in a file.
fn holds(file: &dyn DiskFile, bytes: &[u8]) -> io::Result<bool> {
    let mut window = vec![0; SEARCH_BYTES + bytes.len()];
    let mut at = 0;
    loop {
        let read = file.read_at(&mut window, at)?;
        if memchr::memmem::find(&window[..read], bytes).is_some() {
            return Ok(true);
        }
        if read < window.len() {
            return Ok(false);
        }
        at += SEARCH_BYTES as u64;
    }
}

impl Removed {
    fn count(&mut self, kind: u16) {
        let count = match kind {
            record::EVENT | record::HIT => &mut self.events,
            record::MESSAGE | record::SENT => &mut self.messages,
            _ => &mut self.others,
        };
        *count += 1;
    }
}

impl AddAssign for Removed {
    fn add_assign(&mut self, other: Self) {
        self.events += other.events;
        self.messages += other.messages;
        self.others += other.others;
    }
}

// === Draft ===

impl Draft {
    fn create(disk: &dyn Disk, part: Part<'_>) -> io::Result<Self> {
        let header = Header {
            base: part.segment.summary.base,
            follows: part.segment.summary.follows,
            salt: uuid::Uuid::new_v4().as_u128() as u32,
        };
        let path = part.segment.path.with_extension("rewrite");
        let file = disk.create(&path)?;
        if let Err(error) = file.write_at(&header.encode(), 0) {
            let _ = disk.remove(&path);
            return Err(error);
        }
        Ok(Self {
            file,
            path,
            summary: Summary::empty(header),
            frames: Vec::new(),
        })
    }

    fn push(&mut self, head: FrameHead, payload: &[u8]) -> io::Result<()> {
        let FrameHead {
            crc: _,
            len: _,
            seq,
            time_ms,
            kind,
        } = head;
        frame::push_frame(&mut self.frames, seq, time_ms, kind, payload);
        if self.frames.len() < COPY_BYTES {
            return Ok(());
        }
        self.write()
    }

    /// Keeps the last number of a segment, whose record goes.
    fn push_gone(&mut self, part: Part<'_>) -> io::Result<()> {
        self.write()?;
        let time_ms = match self.summary.records() {
            0 => part.segment.summary.first_ms,
            _ => self.summary.last_ms,
        };
        frame::push_frame(
            &mut self.frames,
            part.last_seq(),
            time_ms,
            record::GONE,
            &[0],
        );
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        let summary = &mut self.summary;
        frame::stamp(&mut self.frames, summary.salt, |head, _| {
            summary.count(&head)
        });
        self.file.write_at(&self.frames, self.summary.end)?;
        self.summary.end += self.frames.len() as u64;
        self.frames.clear();
        Ok(())
    }

    /// Writes what is left, and the footer; syncs.
    fn seal(&mut self) -> io::Result<()> {
        self.write()?;
        let footer = self.summary.encode();
        debug_assert_eq!(footer.len(), FOOTER_BYTES);
        self.file.write_at(&footer, self.summary.end)?;
        self.file.sync()
    }
}
