//! The one thread that writes the index: makes the runs that are missing and
//! goes on with that of the segment that is written.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::base::Base;
use super::run::{Builder, Run};
use super::{KeyHasher, Shared};
use crate::store::journal::{FRAMES_START, Part, Reader, Segment};

/// How often the index looks for what is new: well within the second that it
/// may be behind.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Wait after the disk refused something: making a run reads a whole segment.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// Longest wait before an index that failed is opened again.
const REOPEN_MAX: Duration = Duration::from_mins(30);
/// Room that must be there before the database writes, in bytes: for a run of a
/// segment and what sled writes beside it.
const ROOM_BYTES: u64 = 8 * 1024 * 1024;
/// Progress is told for each so many segments.
const PROGRESS_SEGMENTS: usize = 16;

/// The run of the segment that is written.
pub(super) struct Tail {
    number: u64,
    salt: u32,
    /// Up to where it was read.
    pub(super) end: u64,
    pub(super) builder: Builder,
}

// === The thread ===

impl Shared {
    pub(super) fn run(&self, dir: &Path, reader: &dyn Fn() -> Option<Reader>) {
        let (mut opened_at, mut wait) = (Instant::now(), RETRY_AFTER);
        self.open(dir);
        self.opened.store(true, Ordering::SeqCst);
        while !self.closing.load(Ordering::SeqCst) {
            let is_none = self.base().is_none();
            if is_none && opened_at.elapsed() >= wait && has_room(dir).is_ok() {
                // Each time that fails may leak a handle, so ever more seldom.
                (opened_at, wait) = (Instant::now(), (wait * 2).min(REOPEN_MAX));
                self.open(dir);
            }
            let Some(reader) = reader() else { break };
            let pause = match self.follow(dir, &reader) {
                Ok(()) => LOOK_EVERY,
                Err(error) => {
                    tracing::warn!(%error, "index: behind, reading goes on without it");
                    RETRY_AFTER
                }
            };
            drop(reader);
            std::thread::park_timeout(pause);
        }
        // Closing it flushes, which on a full disk would wait for ever; what was
        // written is flushed already.
        if has_room(dir).is_err()
            && let Some(base) = self.base().as_ref()
        {
            base.give_up();
        }
        self.forget();
    }

    /// Opens the index, where there is room for it; one that cannot be used is
    /// set aside first.
    fn open(&self, dir: &Path) {
        let opened = has_room(dir).and_then(|()| {
            Base::open(dir).or_else(|error| {
                tracing::warn!(%error, "index: set aside, to be made anew");
                set_aside(dir)?;
                Base::open(dir)
            })
        });
        match opened {
            Ok(base) => *self.base() = Some(base),
            Err(error) => {
                tracing::error!(%error, "index: none, reading takes longer; it is tried again");
            }
        }
    }

    /// Writes a run, if there is room; a database that fails at it is let go.
    fn put(&self, dir: &Path, segment: &Segment, run: &Run) -> io::Result<()> {
        has_room(dir)?;
        let put = self.lend().ask(|base| base.put(segment, run)).transpose();
        if put.is_err() {
            self.forget();
        }
        put.map(|_| ())
    }

    /// Makes the runs that are missing, and goes on with the tail's.
    fn follow(&self, dir: &Path, reader: &Reader) -> io::Result<()> {
        let mut parts: Vec<_> = reader.parts().collect();
        let Some(last) = parts.pop() else {
            return Ok(());
        };
        let numbers: Vec<_> = reader.parts().map(|part| part.segment.number).collect();
        self.lend().ask(|base| base.retain(&numbers));
        let known = |part: &Part<'_>| self.lend().ask(|base| base.knows(part.segment));
        parts.retain(|part| known(part) == Some(false));
        let missing = parts.len();
        for (n, part) in parts.into_iter().enumerate() {
            if self.closing.load(Ordering::SeqCst) {
                return Ok(());
            }
            if missing > PROGRESS_SEGMENTS && n % PROGRESS_SEGMENTS == 0 {
                tracing::info!(done = n, of = missing, "index: being made");
            }
            let run = self.run_of(part)?;
            self.put(dir, part.segment, &run)?;
        }
        self.follow_tail(last)?;
        self.sift(reader);
        Ok(())
    }

    /// Makes the sieves that are missing, newest first: reading goes on without.
    fn sift(&self, reader: &Reader) {
        for part in reader.parts().rev() {
            let sifted = self.lend().ask(|base| base.sift(part.segment));
            if sifted != Some(true) || self.closing.load(Ordering::SeqCst) {
                break;
            }
        }
    }

    /// The run of a segment: from memory where it was just written.
    fn run_of(&self, part: Part<'_>) -> io::Result<Run> {
        let mut tail = self.tail();
        let taken = tail.take_if(|tail| tail.is_of(part.segment));
        drop(tail);
        let mut tail = taken.unwrap_or_else(|| Tail::new(part.segment));
        tail.read(part, &self.hasher)?;
        Ok(tail.builder.finish())
    }

    fn follow_tail(&self, part: Part<'_>) -> io::Result<()> {
        if self.lend().ask(|base| base.knows(part.segment)) == Some(true) {
            return Ok(());
        }
        let from = self.with_tail(part.segment, |tail| tail.end);
        let end = part.segment.summary.end;
        if from >= end {
            return Ok(());
        }
        // Held for one record at a time: who looks meanwhile finds what was read.
        let _ = part.each_from(&*part.file()?, from, |at, head, payload| {
            self.with_tail(part.segment, |tail| {
                tail.builder.take(at, head.kind, payload, &self.hasher);
                tail.end = at + head.frame_bytes() as u64;
            });
            ControlFlow::Continue(())
        })?;
        self.with_tail(part.segment, |tail| tail.end = end);
        Ok(())
    }

    /// The tail of this segment; begun where it is another's.
    fn with_tail<T>(&self, segment: &Segment, each: impl FnOnce(&mut Tail) -> T) -> T {
        let mut tail = self.tail();
        tail.take_if(|tail| !tail.is_of(segment));
        each(tail.get_or_insert_with(|| Tail::new(segment)))
    }
}

impl Tail {
    fn new(segment: &Segment) -> Self {
        Self {
            number: segment.number,
            salt: segment.summary.salt,
            end: FRAMES_START,
            builder: Builder::default(),
        }
    }

    pub(super) fn is_of(&self, segment: &Segment) -> bool {
        (self.number, self.salt) == (segment.number, segment.summary.salt)
    }

    /// Reads what it has not read yet.
    fn read(&mut self, part: Part<'_>, hasher: &KeyHasher) -> io::Result<()> {
        let file = part.file()?;
        let from = self.end;
        // Reading never stops early, so the flow says nothing.
        let _ = part.each_from(&*file, from, |at, head, payload| {
            self.builder.take(at, head.kind, payload, hasher);
            ControlFlow::Continue(())
        })?;
        self.end = part.segment.summary.end;
        Ok(())
    }
}

/// Whether the disk has room for what is written at once.
fn has_room(dir: &Path) -> io::Result<()> {
    let disk = rustix::fs::statvfs(dir.parent().unwrap_or(dir))?;
    match disk.f_bavail.saturating_mul(disk.f_frsize) {
        ..ROOM_BYTES => Err(io::ErrorKind::StorageFull.into()),
        _ => Ok(()),
    }
}

fn set_aside(dir: &Path) -> io::Result<()> {
    let aside = PathBuf::from(format!("{}.aside", dir.display()));
    match std::fs::remove_dir_all(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    match std::fs::rename(dir, aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
