//! Reads the list in the background, and finds out whether some of it is lost.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{OnceLock, Weak};
use std::time::Duration;

use super::count::{Count, CountError};
use super::{FOLDER, Hash, Inner, Known};
use crate::store::journal::Opened;
use crate::store::record;

/// Wait before a list that could not be read is read again.
const RELOAD_AFTER: Duration = Duration::from_secs(1);

/// What was found before the list is read.
pub(super) struct Found {
    pub(super) opened: Opened,
    pub(super) count: Result<Option<Count>, CountError>,
}

/// Records that are read, as far as they are.
#[derive(Default)]
struct Read {
    records: u64,
    up_to: u64,
    /// How many are of those that the count speaks of.
    counted: u64,
}

/// Reads the list until that succeeds or nobody wants it any more.
pub(super) fn load(withdrawals: &Weak<Inner>, known: &OnceLock<Known>, found: &Found) {
    while let Some(inner) = withdrawals.upgrade() {
        let read = inner.read(found);
        if let Ok(Some(_)) = read {
            inner.incomplete.set(1);
        }
        let path = inner.counting.file.path();
        // Before it is said that they are loaded: from then on the folder is in
        // use no longer than the store.
        drop(inner);
        match read {
            Ok(lost) => {
                found.tell(lost.as_ref(), &path);
                // It is set here only, once.
                let _ = known.set(match lost {
                    None => Known::Whole,
                    Some(_) => Known::Incomplete,
                });
                return;
            }
            Err(error) => {
                tracing::error!(%error, "withdrawals cannot be read; nothing is recorded until they are");
            }
        }
        std::thread::sleep(RELOAD_AFTER);
    }
}

impl Found {
    /// Says what state the list is in, and what to do where it is a bad one.
    fn tell(&self, lost: Option<&Read>, count: &Path) {
        let Self {
            opened,
            count: said,
        } = self;
        let count = count.display();
        match (lost, said) {
            (Some(read), Ok(said)) => tracing::error!(
                withdrawals = read.counted,
                counted = said.map_or(0, |said| said.records),
                damaged = opened.damaged,
                unreadable = opened.unreadable,
                "withdrawals are lost: nothing is recorded of readers who are named; \
                 restore the folder {FOLDER}/ from a backup, beside the files that are newer, \
                 or remove {count} to go on with what is left; then start again"
            ),
            (Some(_), Err(error)) => tracing::error!(
                %error,
                "{count} cannot be read, so nobody knows whether withdrawals are lost: \
                 nothing is recorded of readers who are named; restore it from a backup, \
                 with the file key if that is another's (without the right key nobody \
                 is known to have withdrawn), or, only if key is the right one, remove it to go \
                 on with the folder {FOLDER}/ as it is; then start again"
            ),
            (None, Ok(None)) if opened.damaged > 0 || opened.unreadable > 0 => tracing::error!(
                damaged = opened.damaged,
                unreadable = opened.unreadable,
                "withdrawals are damaged, and were never counted: whose are lost is recorded \
                 again; restore the folder {FOLDER}/ from a backup"
            ),
            (None, _) => super::super::opening::tell(FOLDER, opened),
        }
    }
}

impl Inner {
    /// Reads all that is on the disk, until there is no more; of what is there
    /// then, the count is kept. None where it has fewer than it should.
    fn read(&self, found: &Found) -> io::Result<Option<Read>> {
        let counted = match &found.count {
            Ok(count) => count.unwrap_or_default(),
            // As good as one that no folder can have.
            Err(_) => Count {
                records: u64::MAX,
                ..Count::default()
            },
        };
        let mut read = Read::default();
        loop {
            self.read_on(&mut read, counted.up_to)?;
            let mut counting = self.counting.lock();
            let reader = self.journal.reader();
            let last = reader.parts().next_back();
            if last.is_some_and(|part| part.last_seq() > read.up_to) {
                continue;
            }
            if read.counted < counted.records {
                return Ok(Some(read));
            }
            let count = Count {
                records: read.records,
                up_to: read.up_to,
                segment: last.map_or(0, |part| part.segment.number),
            };
            if count.records > 0 && count != counted {
                self.counting.write(count);
            }
            *counting = Some(count);
            return Ok(None);
        }
    }

    fn read_on(&self, read: &mut Read, counted_up_to: u64) -> io::Result<()> {
        let reader = self.journal.reader();
        let last = reader.parts().next_back().map_or(0, |part| part.last_seq());
        reader.each_after(read.up_to, |head, payload| {
            if head.kind == record::WITHDRAWAL
                && let Ok(hash) = Hash::try_from(payload)
            {
                read.records += 1;
                read.counted += u64::from(head.seq <= counted_up_to);
                // One that came meanwhile has a later number, and keeps it.
                self.list_mut().entry(hash).or_insert(Some(head.seq));
                self.any.store(true, Ordering::SeqCst);
            }
            ControlFlow::Continue(())
        })?;
        // What is damaged behind the last record is not waited for.
        read.up_to = last;
        Ok(())
    }
}
