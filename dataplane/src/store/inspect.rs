//! Looks into a data folder from outside: checks, lists and exports its
//! journals. Nothing is locked and nothing is changed, so it may be done while
//! the program runs; what is written meanwhile may then look like a torn tail.

mod memory;

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use serde::Serialize;

use super::disk::RealDisk;
use super::journal::{Opened, Reader, Segment};
use super::{folder, record, withdrawals};

pub use super::journal::Missing;
pub use super::withdrawals::Counted;

/// The journals of a data folder; not every folder has each.
const JOURNALS: [&str; 3] = [super::JOURNAL, super::HITS, withdrawals::FOLDER];
/// A check that found damage looks so often before it says so: what is written,
/// rewritten or removed meanwhile looks damaged, but not twice in the same way.
const LOOKS: usize = 3;

/// A data folder cannot be looked into.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// It is none, or nothing was ever kept in it.
    #[error("data folder {}: there is no journal in it", .0.display())]
    NoJournal(PathBuf),
    /// Its files cannot be read.
    #[error("data folder {}: {source}", .dir.display())]
    NotReadable {
        /// The folder.
        dir: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What was found cannot be written where it should go.
    #[error("cannot write what was found: {0}")]
    NotWritten(#[source] io::Error),
}

/// What a check of a journal found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its folder's name.
    pub journal: &'static str,
    /// Segment files.
    pub segments: usize,
    /// Segment files that could not be read at all.
    pub unreadable: usize,
    /// Events, or hits, that read well.
    pub events: u64,
    /// Message records that read well.
    pub messages: u64,
    /// Records of other kinds.
    pub others: u64,
    /// Records that are whole and yet cannot be read.
    pub undecodable: u64,
    /// Damaged stretches that were passed over.
    pub damaged: u64,
    /// Bytes behind the last records that were no record.
    pub torn_bytes: u64,
    /// Numbers of records that were there and are in no file any more: one in
    /// the middle is missing, empty, cut or unreadable.
    pub missing: Vec<Missing>,
    /// Of withdrawals: what their count says, which stands beside them.
    pub counted: Counted,
}

/// What is known of a segment file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SegmentInfo {
    /// The name of its journal's folder.
    pub journal: &'static str,
    /// The number in its name.
    pub number: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Whether it has its footer; all but the one that is written have, and
    /// those that the disk refused something of.
    pub sealed: bool,
    /// Events, or hits, in it.
    pub events: u64,
    /// Message records in it.
    pub messages: u64,
    /// Records of other kinds in it.
    pub others: u64,
    /// Number of its first record; 0 where it has none.
    pub first_seq: u64,
    /// Number of its last record; 0 where it has none.
    pub last_seq: u64,
    /// The earliest time of a record.
    pub first_time: Timestamp,
    /// The latest time of a record.
    pub last_time: Timestamp,
}

/// A line of a list or an export.
#[derive(Debug, Serialize)]
struct Line<'a, T> {
    seq: u64,
    #[serde(rename = "record")]
    kind: &'static str,
    #[serde(flatten)]
    content: &'a T,
}

/// Reads every record of a data folder and says what state each journal is in.
pub fn check(data_dir: &Path) -> Result<Vec<Check>, InspectError> {
    let journals = journals(data_dir)?;
    let checks = journals.into_iter().map(|(journal, dir)| {
        let mut check = look(journal, &dir)?;
        for _ in 1..LOOKS {
            if check.is_sound() {
                break;
            }
            check = look(journal, &dir)?;
        }
        Ok(check)
    });
    checks
        .collect::<io::Result<_>>()
        .map_err(|source| not_readable(data_dir, source))
}

fn look(journal: &'static str, dir: &Path) -> io::Result<Check> {
    if !dir.is_dir() {
        return lost_folder(journal, dir);
    }
    let counted = counted(journal, dir)?;
    let (reader, opened, damaged) = open(dir)?;
    let mut check = Check {
        journal,
        counted,
        segments: opened.segments,
        unreadable: opened.unreadable,
        torn_bytes: opened.torn_bytes,
        missing: opened.missing,
        ..Check::default()
    };
    reader.each_after(0, |head, payload| {
        let count = match head.kind {
            record::EVENT if record::decode_event(payload).is_ok() => &mut check.events,
            record::HIT if record::decode_hit(payload).is_ok() => &mut check.events,
            record::MESSAGE if record::decode_message(payload).is_ok() => &mut check.messages,
            record::SENT if record::decode_sent(payload).is_ok() => &mut check.messages,
            record::COUNTED if record::decode_counted(payload).is_ok() => &mut check.others,
            record::LAST if record::decode_last(payload).is_ok() => &mut check.others,
            record::EVENT | record::HIT | record::MESSAGE => &mut check.undecodable,
            record::SENT | record::COUNTED | record::LAST => &mut check.undecodable,
            _ => &mut check.others,
        };
        *count += 1;
        ControlFlow::Continue(())
    })?;
    check.damaged = damaged.get();
    Ok(check)
}

/// Withdrawals of which only the count is left.
fn lost_folder(journal: &'static str, dir: &Path) -> io::Result<Check> {
    Ok(Check {
        journal,
        counted: counted(journal, dir)?,
        ..Check::default()
    })
}

/// What the count of withdrawals says, where it is these that are looked at.
fn counted(journal: &'static str, dir: &Path) -> io::Result<Counted> {
    let Some(data_dir) = dir.parent().filter(|_| journal == withdrawals::FOLDER) else {
        return Ok(Counted::default());
    };
    let key = folder::peek_key(data_dir).ok().flatten();
    withdrawals::look(data_dir, key, |up_to| {
        let mut records = 0;
        if dir.is_dir() {
            open(dir)?.0.each_after(0, |head, _| {
                let counts = head.kind == record::WITHDRAWAL && head.seq <= up_to;
                records += u64::from(counts);
                ControlFlow::Continue(())
            })?;
        }
        Ok(records)
    })
}

/// What reading one segment file gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SegmentRead {
    /// The numbers of the records that hold, in their order.
    pub numbers: Vec<u64>,
    /// Whether something was passed over: damaged, torn, or the whole file.
    pub skipped: bool,
}

/// Reads bytes as a segment file is read when a folder is opened, and every
/// record that holds.
pub fn read_segment(bytes: &[u8]) -> io::Result<SegmentRead> {
    let file = memory::OneFile {
        name: "0000000001.journal".to_owned(),
        bytes: bytes.into(),
    };
    let damaged = Counter::default();
    let (reader, opened) = Reader::open(Arc::new(file), Path::new(""), damaged.clone())?;
    let mut read = SegmentRead::default();
    reader.each_after(0, |head, payload| {
        read.numbers.push(head.seq);
        // Whatever it says is read without a panic; a checksum is no proof.
        let _ = match head.kind {
            record::EVENT => record::decode_event(payload).is_ok(),
            record::HIT => record::decode_hit(payload).is_ok(),
            record::MESSAGE => record::decode_message(payload).is_ok(),
            record::SENT => record::decode_sent(payload).is_ok(),
            record::COUNTED => record::decode_counted(payload).is_ok(),
            record::LAST => record::decode_last(payload).is_ok(),
            _ => true,
        };
        ControlFlow::Continue(())
    })?;
    read.skipped = opened.unreadable > 0 || opened.torn_bytes > 0 || damaged.get() > 0;
    Ok(read)
}

/// Lists the segment files of a data folder, oldest first.
pub fn segments(data_dir: &Path) -> Result<Vec<SegmentInfo>, InspectError> {
    let mut infos = Vec::new();
    for (journal, dir) in journals(data_dir)? {
        let (reader, ..) = open(&dir).map_err(|source| not_readable(data_dir, source))?;
        let of = |segment| SegmentInfo::of(journal, segment);
        infos.extend(reader.segments().iter().map(of));
    }
    Ok(infos)
}

/// Writes every event and message record as a line of JSON, oldest first.
/// What cannot be read is left out; [`check`] counts it.
pub fn export(data_dir: &Path, to: &mut dyn Write) -> Result<(), InspectError> {
    journals(data_dir)?;
    let dir = data_dir.join(super::JOURNAL);
    let mut written = Ok(());
    let read = open(&dir).and_then(|(reader, ..)| {
        reader.each_after(0, |head, payload| {
            written = export_one(head.seq, head.kind, payload, to);
            match written {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        })
    });
    read.map_err(|source| not_readable(data_dir, source))?;
    written.map_err(InspectError::NotWritten)
}

fn export_one(seq: u64, kind: u16, payload: &[u8], to: &mut dyn Write) -> io::Result<()> {
    match kind {
        record::EVENT => match record::decode_event(payload) {
            Ok(event) => line(seq, "event", &event, to),
            Err(_) => Ok(()),
        },
        record::MESSAGE => match record::decode_message(payload) {
            Ok(message) => line(seq, "message", &message, to),
            Err(_) => Ok(()),
        },
        _ => Ok(()),
    }
}

fn line<T: Serialize>(
    seq: u64,
    kind: &'static str,
    content: &T,
    to: &mut dyn Write,
) -> io::Result<()> {
    serde_json::to_writer(&mut *to, &Line { seq, kind, content })?;
    to.write_all(b"\n")
}

// === What is found ===

impl Check {
    /// Whether all that was kept can be read. Torn bytes are no damage: they
    /// were being written when the program ended, or are at this moment.
    pub fn is_sound(&self) -> bool {
        self.unreadable == 0
            && self.undecodable == 0
            && self.damaged == 0
            && self.missing.is_empty()
            && matches!(self.counted, Counted::Never | Counted::All)
    }
}

impl SegmentInfo {
    fn of(journal: &'static str, segment: &Segment) -> Self {
        let summary = segment.summary;
        let time = |ms| {
            let ms = i64::try_from(ms).unwrap_or(i64::MAX);
            // Only a damaged frame has a time that is none.
            Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
        };
        Self {
            journal,
            number: segment.number,
            bytes: segment.file_bytes,
            sealed: segment.sealed,
            events: summary.events,
            messages: summary.messages,
            others: summary.others,
            first_seq: summary.first_seq,
            last_seq: summary.last_seq,
            first_time: time(summary.first_ms),
            last_time: time(summary.last_ms),
        }
    }
}

// === Opening ===

/// The journals that are there, each with its folder; one at least.
fn journals(data_dir: &Path) -> Result<Vec<(&'static str, PathBuf)>, InspectError> {
    let all = JOURNALS.map(|journal| (journal, data_dir.join(journal)));
    let counted = data_dir.join(withdrawals::COUNT).exists();
    let is_there = |(journal, dir): &(&str, PathBuf)| {
        dir.is_dir() || (counted && *journal == withdrawals::FOLDER)
    };
    let found: Vec<_> = all.into_iter().filter(is_there).collect();
    match found.first() {
        Some((super::JOURNAL, _)) => Ok(found),
        _ => Err(InspectError::NoJournal(data_dir.to_owned())),
    }
}

fn open(dir: &Path) -> io::Result<(Reader, Opened, Counter)> {
    let damaged = Counter::default();
    let (reader, opened) = Reader::open(Arc::new(RealDisk), dir, damaged.clone())?;
    Ok((reader, opened, damaged))
}

fn not_readable(data_dir: &Path, source: io::Error) -> InspectError {
    InspectError::NotReadable {
        dir: data_dir.to_owned(),
        source,
    }
}
