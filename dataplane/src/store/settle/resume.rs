//! What was settled before this start.

use std::collections::HashSet;
use std::io;
use std::ops::ControlFlow;

use crate::store::journal::{FRAMES_START, Part, Reader};
use crate::store::record;

/// What earlier runs have settled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::store) struct Resumed {
    /// All hits up to this number.
    pub(in crate::store) up_to: u64,
    /// Beside them the hits of these events, by their ids: those that stand
    /// behind the last mark and may still be among the hits.
    pub(in crate::store) ids: HashSet<[u8; 16]>,
}

/// Reads the journal back to its last mark: a batch's length, most often.
/// `oldest_hit_ms` is the earliest time of a hit that is still there.
///
/// Part that cannot be read at all counts as damaged, as it does when events
/// are listed: what stands there is passed over, and an earlier mark is used.
pub(in crate::store) fn resume(journal: &Reader, oldest_hit_ms: Option<u64>) -> Resumed {
    let mut resumed = Resumed::default();
    for part in journal.parts().rev() {
        let summary = part.segment.summary;
        if summary.events == 0 && summary.others == 0 {
            continue;
        }
        // What the disk refuses once it may give the second time.
        let read = read(part, oldest_hit_ms).or_else(|_| read(part, oldest_hit_ms));
        match read {
            Ok(found) => {
                resumed.ids.extend(found.ids);
                if let Some(up_to) = found.mark {
                    resumed.up_to = up_to;
                    break;
                }
            }
            Err(error) => tracing::error!(
                segment = part.segment.number, %error,
                "journal: cannot be read to see what was settled"
            ),
        }
    }
    resumed
}

/// What one segment says.
struct Found {
    mark: Option<u64>,
    /// Of the events behind the mark.
    ids: HashSet<[u8; 16]>,
}

fn read(part: Part<'_>, oldest_hit_ms: Option<u64>) -> io::Result<Found> {
    let mut found = Found {
        mark: None,
        ids: HashSet::new(),
    };
    // Reading never stops early, so the flow says nothing.
    let _ = part.each_from(&*part.file()?, FRAMES_START, |_, head, payload| {
        match head.kind {
            record::SETTLED => {
                if let Ok(up_to) = record::decode_settled(payload) {
                    found.mark = Some(up_to);
                    found.ids.clear();
                }
            }
            // An event has the time of its hit: the ids that are remembered
            // are those of the hits' own stretch of time.
            record::EVENT if oldest_hit_ms.is_some_and(|oldest| head.time_ms >= oldest) => {
                if let Ok(id) = record::peek_id(payload) {
                    found.ids.insert(id.into_bytes());
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}
