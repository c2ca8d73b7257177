//! One segment file: made, appended to, sealed, opened again.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::frame::{self, FOOTER_BYTES, FRAMES_START, FrameHead, Header, Summary};
use super::scan::{Item, Scan};
use crate::store::disk::{Disk, DiskFile};
use crate::store::record;

/// A segment that is read: what is in it, and where.
#[derive(Clone)]
pub(crate) struct Segment {
    /// Its file.
    pub(crate) path: Arc<Path>,
    /// Its place among the segments.
    pub(crate) number: u64,
    /// What is known of it; only what is on the disk counts.
    pub(crate) summary: Summary,
    /// Whether it has a footer.
    pub(crate) sealed: bool,
    /// Bytes of its file.
    pub(crate) file_bytes: u64,
    /// Its file, from when another may have its name, or none: who has this
    /// segment in hand goes on with what it was.
    held: Arc<OnceLock<Arc<dyn DiskFile>>>,
}

/// The segment that is written.
pub(super) struct Tail {
    pub(super) segment: Segment,
    file: Box<dyn DiskFile>,
    /// Up to where the file is written, zeros included.
    filled: u64,
    fill_bytes: u64,
    /// Whether it is known to have a name: not every file system says so.
    named: bool,
}

/// What opening a segment found beside records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Bytes behind the last record that were no record.
    pub(crate) torn_bytes: u64,
    /// Whether the file had to be read whole.
    pub(crate) scanned: bool,
    /// Whether something is in the file and cannot be told from chance.
    pub(crate) headless: bool,
}

/// The name of a segment's file.
pub(super) fn file_name(number: u64) -> String {
    format!("{number:010}.journal")
}

/// The number in a segment's file name; none when it is no such name.
pub(super) fn file_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".journal")?;
    (digits.len() == 10 && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| digits.parse().ok())
        .flatten()
}

impl Segment {
    /// Opens a file; reads its footer, or all of it where there is none.
    pub(crate) fn open(disk: &dyn Disk, path: &Path, number: u64) -> io::Result<(Self, Found)> {
        let file = disk.open(path)?;
        let file_bytes = file.len()?;
        let mut found = Found::default();
        let sealed = read_footer(&*file, file_bytes)?;
        let summary = match sealed {
            Some(summary) => summary,
            None => {
                found.scanned = true;
                scan_whole(&*file, file_bytes, &mut found)?
            }
        };
        let segment = Self {
            path: path.into(),
            number,
            summary,
            sealed: sealed.is_some(),
            file_bytes,
            held: Arc::default(),
        };
        Ok((segment, found))
    }

    /// Its file, for [`Segment::scan`].
    pub(crate) fn file(&self, disk: &dyn Disk) -> io::Result<Arc<dyn DiskFile>> {
        if let Some(held) = self.held.get() {
            return Ok(Arc::clone(held));
        }
        let opened = disk.open(&self.path);
        // It is held before its name is taken away: what was opened is this
        // segment unless it is held by now.
        match self.held.get() {
            Some(held) => Ok(Arc::clone(held)),
            None => opened.map(Arc::from),
        }
    }

    /// Keeps its file for those who read it, because its name goes.
    pub(super) fn hold(&self, disk: &dyn Disk) -> io::Result<()> {
        let file = self.file(disk)?;
        // Held already: that is the same file.
        let _ = self.held.set(file);
        Ok(())
    }

    /// Another segment in its place, of which nobody has anything in hand.
    pub(super) fn replaced(&self, summary: Summary) -> Self {
        Self {
            path: Arc::clone(&self.path),
            number: self.number,
            summary,
            sealed: true,
            file_bytes: summary.end + FOOTER_BYTES as u64,
            held: Arc::default(),
        }
    }

    /// Reads its records from a frame's place on.
    pub(crate) fn scan<'a>(&self, file: &'a dyn DiskFile, from: u64) -> Scan<'a> {
        Scan::new(file, self.summary.salt, from, self.summary.end)
    }

    /// Cuts what is behind the last record and writes the footer.
    pub(super) fn seal(&mut self, file: &dyn DiskFile) -> io::Result<()> {
        let end = self.summary.end;
        file.set_len(end)?;
        file.write_at(&self.summary.encode(), end)?;
        file.sync()?;
        self.sealed = true;
        self.file_bytes = end + FOOTER_BYTES as u64;
        Ok(())
    }
}

fn read_footer(file: &dyn DiskFile, file_bytes: u64) -> io::Result<Option<Summary>> {
    let Some(at) = file_bytes.checked_sub(FOOTER_BYTES as u64) else {
        return Ok(None);
    };
    let mut bytes = [0; FOOTER_BYTES];
    file.read_at(&mut bytes, at)?;
    Ok(Summary::decode(&bytes, file_bytes))
}

/// Reads a segment that has no footer.
fn scan_whole(file: &dyn DiskFile, file_bytes: u64, found: &mut Found) -> io::Result<Summary> {
    let mut head = [0; FRAMES_START as usize];
    let read = file.read_at(&mut head, 0)?;
    let Some(header) = Header::decode(&head[..read]) else {
        // Without its salt nothing in it can be told from chance. Zeros alone
        // are a file of which no more than the name came to the disk.
        let empty = Scan::new(file, 0, 0, file_bytes).is_zeros()?;
        found.headless = !empty;
        return Ok(Summary::empty(Header::default()));
    };
    let mut summary = Summary::empty(header);
    let mut scan = Scan::new(file, header.salt, FRAMES_START, file_bytes);
    loop {
        match scan.next()? {
            Item::Record { at, head, .. } => {
                summary.count(&head);
                summary.end = at + head.frame_bytes() as u64;
            }
            Item::Damaged { .. } => summary.damaged += 1,
            Item::End { torn, .. } => {
                found.torn_bytes = torn;
                return Ok(summary);
            }
        }
    }
}

// === Summary ===

impl Summary {
    /// Counts a record that follows those counted.
    pub(crate) fn count(&mut self, head: &FrameHead) {
        if self.records() == 0 {
            (self.first_seq, self.first_ms) = (head.seq, head.time_ms);
        }
        self.last_seq = head.seq;
        self.first_ms = self.first_ms.min(head.time_ms);
        self.last_ms = self.last_ms.max(head.time_ms);
        match head.kind {
            record::EVENT | record::HIT => self.events += 1,
            record::MESSAGE | record::SENT => self.messages += 1,
            // It stands for no record.
            record::GONE => {}
            _ => self.others += 1,
        }
    }
}

// === Tail ===

impl Tail {
    /// Makes a segment file. It, and its name, are on the disk when this
    /// returns, with room for `fill_bytes` of records: a full disk is
    /// noticed here.
    pub(super) fn create(
        disk: &dyn Disk,
        dir: &Path,
        number: u64,
        header: Header,
        fill_bytes: u64,
    ) -> io::Result<Self> {
        let path = dir.join(file_name(number));
        let file = disk.create(&path)?;
        let mut bytes = header.encode();
        bytes.resize(bytes.len() + fill_bytes as usize, 0);
        let filled = bytes.len() as u64;
        let written = file
            .write_at(&bytes, 0)
            .and_then(|()| file.sync())
            .and_then(|()| disk.sync_dir(dir));
        if let Err(error) = written {
            // What cannot be removed is an empty segment to the next opening.
            let _ = disk.remove(&path);
            return Err(error);
        }
        let named = file.is_named().unwrap_or(false);
        Ok(Self {
            segment: Segment {
                path: path.into(),
                number,
                summary: Summary::empty(header),
                sealed: false,
                file_bytes: filled,
                held: Arc::default(),
            },
            file,
            filled,
            fill_bytes,
            named,
        })
    }

    /// Writes and syncs frames; on an error nothing is known of them. A file
    /// that somebody has removed keeps nothing, whatever a sync says.
    pub(super) fn append(&mut self, frames: &mut [u8]) -> io::Result<()> {
        let mut summary = self.segment.summary;
        frame::stamp(frames, summary.salt, |head, _| summary.count(&head));
        let at = summary.end;
        summary.end += frames.len() as u64;
        self.file.write_at(frames, at)?;
        self.fill(summary.end)?;
        self.file.sync()?;
        if self.named && !self.file.is_named()? {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the segment's file was removed",
            ));
        }
        self.segment.summary = summary;
        Ok(())
    }

    /// Keeps the file filled ahead of the records.
    fn fill(&mut self, end: u64) -> io::Result<()> {
        if end <= self.filled {
            return Ok(());
        }
        let filled = end + self.fill_bytes;
        let zeros = vec![0; self.fill_bytes as usize];
        self.file.write_at(&zeros, end)?;
        self.filled = filled;
        self.segment.file_bytes = filled;
        Ok(())
    }

    /// Seals the segment and gives it.
    pub(super) fn seal(mut self) -> (Segment, io::Result<()>) {
        let sealed = self.segment.seal(&*self.file);
        (self.segment, sealed)
    }

    /// Gives the segment as far as it is on the disk; what is behind that is
    /// taken back as far as that goes: the disk has just refused something.
    /// Where its file was removed, who reads it goes on with what it held.
    pub(super) fn give_up(self) -> Segment {
        let _ = self.file.set_len(self.segment.summary.end);
        if self.named && !self.file.is_named().unwrap_or(true) {
            // Held already: that is the same file.
            let _ = self.segment.held.set(Arc::from(self.file));
        }
        self.segment
    }
}
