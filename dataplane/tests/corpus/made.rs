//! A sound segment of the journal, made by the store once for each process: its
//! salt is random, so no fuzzer can make frames for it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use mailtrail_core::message::MessageRecord;
use mailtrail_dataplane::metrics::Metrics;
use mailtrail_dataplane::store::{Settings, Store};

/// Where a segment's two headers are.
pub(crate) const HEADERS: [Range<usize>; 2] = [0..32, 32..64];
/// Bytes of a frame before its payload: checksum, length, number, time and kind.
const FRAME_HEAD_BYTES: usize = 24;
/// Records of the segment, of different lengths.
const RECORDS: usize = 12;

/// A segment, and where each of its records is by number.
pub(crate) struct Segment {
    pub(crate) bytes: Vec<u8>,
    pub(crate) frames: Vec<(u64, Range<usize>)>,
}

/// The segment of this process.
pub(crate) fn segment() -> &'static Segment {
    static MADE: OnceLock<Segment> = OnceLock::new();
    MADE.get_or_init(make)
}

fn make() -> Segment {
    let name = format!("mailtrail-segment-{}", std::process::id());
    let dir = std::env::temp_dir().join(name);
    let store = Store::open(Settings::at(&dir), Arc::new(Metrics::new())).expect("opens");
    for n in 0..RECORDS {
        let record = MessageRecord {
            domain: "a/b".parse().expect("realm"),
            message_id: format!("m-{n}").parse().expect("id"),
            recipient: None,
            rewritten_at: Timestamp::from_second(1_790_000_000 + n as i64).expect("a time"),
            tags: BTreeMap::from([("t".into(), "x".repeat(n * 7 % 40))]),
            links: Vec::new(),
            pixel: true,
            test: false,
            from: None,
            to: None,
            subject: None,
            sent_at: None,
        };
        store.append_message(&record).wait().expect("kept");
    }
    drop(store);
    let bytes = std::fs::read(dir.join("journal/0000000001.journal")).expect("a segment");
    std::fs::remove_dir_all(&dir).expect("removed");
    let frames = frames(&bytes);
    assert_eq!(frames.len(), RECORDS);
    Segment { bytes, frames }
}

/// Walks the frames without believing the store.
fn frames(bytes: &[u8]) -> Vec<(u64, Range<usize>)> {
    let mut frames = Vec::new();
    let mut at = HEADERS[1].end;
    while let Some(head) = bytes.get(at..at + FRAME_HEAD_BYTES) {
        if head.starts_with(b"mtrlend1") {
            break;
        }
        let length = u32::from_le_bytes(head[4..8].try_into().expect("four bytes"));
        let number = u64::from_le_bytes(head[8..16].try_into().expect("eight bytes"));
        let end = at + FRAME_HEAD_BYTES + length as usize;
        frames.push((number, at..end));
        at = end;
    }
    frames
}
