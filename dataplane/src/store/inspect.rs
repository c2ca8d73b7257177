//! Looks into a data folder from outside: checks, lists and exports its
//! journal. Nothing is locked and nothing is changed, so it may be done while
//! the program runs; what is written meanwhile may then look like a torn tail.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use serde::Serialize;

use super::disk::RealDisk;
use super::journal::{Opened, Reader, Segment};
use super::record;

/// What a check of a data folder found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Segment files.
    pub segments: usize,
    /// Segment files that could not be read at all.
    pub unreadable: usize,
    /// Events that read well.
    pub events: u64,
    /// Message records that read well.
    pub messages: u64,
    /// Records of kinds that this version does not know.
    pub others: u64,
    /// Records that are whole and yet cannot be read.
    pub undecodable: u64,
    /// Damaged stretches that were passed over.
    pub damaged: u64,
    /// Bytes behind the last records that were no record.
    pub torn_bytes: u64,
}

/// What is known of a segment file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SegmentInfo {
    /// The number in its name.
    pub number: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Whether it has its footer; all but the one that is written have, and
    /// those that the disk refused something of.
    pub sealed: bool,
    /// Events in it.
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

/// Reads every record of a data folder and says what state it is in.
pub fn check(data_dir: &Path) -> io::Result<Check> {
    let (reader, opened, damaged) = open(data_dir)?;
    let mut check = Check {
        segments: opened.segments,
        unreadable: opened.unreadable,
        torn_bytes: opened.torn_bytes,
        ..Check::default()
    };
    reader.each_after(0, |head, payload| {
        let count = match head.kind {
            record::EVENT if record::decode_event(payload).is_ok() => &mut check.events,
            record::MESSAGE if record::decode_message(payload).is_ok() => &mut check.messages,
            record::EVENT | record::MESSAGE => &mut check.undecodable,
            _ => &mut check.others,
        };
        *count += 1;
        ControlFlow::Continue(())
    })?;
    check.damaged = damaged.get();
    Ok(check)
}

/// Lists the segment files of a data folder, oldest first.
pub fn segments(data_dir: &Path) -> io::Result<Vec<SegmentInfo>> {
    let (reader, ..) = open(data_dir)?;
    Ok(reader.segments().iter().map(SegmentInfo::of).collect())
}

/// Writes every event and message record as a line of JSON, oldest first.
/// What cannot be read is left out; [`check`] counts it.
pub fn export(data_dir: &Path, to: &mut dyn Write) -> io::Result<()> {
    let (reader, ..) = open(data_dir)?;
    let mut outcome = Ok(());
    reader.each_after(0, |head, payload| {
        outcome = export_one(head.seq, head.kind, payload, to);
        if outcome.is_ok() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    outcome
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

impl SegmentInfo {
    fn of(segment: &Segment) -> Self {
        let summary = segment.summary;
        let time = |ms| {
            let ms = i64::try_from(ms).unwrap_or(i64::MAX);
            // Only a damaged frame has a time that is none.
            Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
        };
        Self {
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

fn open(data_dir: &Path) -> io::Result<(Reader, Opened, Counter)> {
    let damaged = Counter::default();
    let (reader, opened) = Reader::open(
        Arc::new(RealDisk),
        &data_dir.join(super::JOURNAL),
        damaged.clone(),
    )?;
    Ok((reader, opened, damaged))
}
