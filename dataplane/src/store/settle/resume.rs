//! What was settled before this start.

use std::collections::{HashMap, HashSet};
use std::io;
use std::ops::ControlFlow;

use super::oldest_ms;
use crate::store::erase::erase_where;
use crate::store::hour_of;
use crate::store::journal::{FRAMES_START, FrameHead, Journal, Part, Reader};
use crate::store::record;

/// What earlier runs have settled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::store) struct Resumed {
    /// All hits up to this number.
    pub(in crate::store) up_to: u64,
    /// Beside them the hits of these events, by their ids: those that stand
    /// behind the last mark and may still be among the hits.
    pub(in crate::store) ids: HashSet<[u8; 16]>,
    /// And all hits of a domain and an hour up to a number, of which some were
    /// counted behind the last mark.
    pub(in crate::store) counted: HashMap<(String, u32), u64>,
}

impl Resumed {
    /// Whether a hit is settled.
    pub(in crate::store) fn is_settled(&self, head: FrameHead, hit: &record::HitKey<'_>) -> bool {
        let Self {
            up_to,
            ids,
            counted,
        } = self;
        let stands_there = |id| ids.contains::<[u8; 16]>(&id);
        let was_counted = || {
            let hour = hour_of(i64::try_from(head.time_ms).unwrap_or(0));
            let up_to = counted.get(&(hit.domain.to_owned(), hour));
            up_to.is_some_and(|up_to| head.seq <= *up_to)
        };
        head.seq <= *up_to
            || (!ids.is_empty() && hit.id.try_into().is_ok_and(stands_there))
            || (!counted.is_empty() && was_counted())
    }

    /// The highest number of a hit that is known to be settled.
    pub(in crate::store) fn highest(&self) -> u64 {
        let counted = self.counted.values().copied().max();
        self.up_to.max(counted.unwrap_or(0))
    }
}

/// Takes what is settled out of the hits: a folder whose hits are shipped from
/// now on has counted some that nothing else would tell from others.
pub(in crate::store) fn forget_settled(hits: &Journal, journal: &Journal) -> io::Result<()> {
    let resumed = resume(&journal.reader(), oldest_ms(&hits.reader()));
    hits.skip_to(resumed.highest());
    if resumed == Resumed::default() {
        return Ok(());
    }
    let goes = |head: FrameHead, payload: &[u8]| {
        let is_settled = |hit| resumed.is_settled(head, &hit);
        head.kind == record::HIT && record::peek_hit(payload).is_ok_and(is_settled)
    };
    erase_where(hits, goes).map(drop)
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
                for (of, up_to) in found.counted {
                    let known = resumed.counted.entry(of).or_default();
                    *known = up_to.max(*known);
                }
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
    /// What was counted behind it.
    counted: HashMap<(String, u32), u64>,
}

fn read(part: Part<'_>, oldest_hit_ms: Option<u64>) -> io::Result<Found> {
    let mut found = Found {
        mark: None,
        ids: HashSet::new(),
        counted: HashMap::new(),
    };
    // Reading never stops early, so the flow says nothing.
    let _ = part.each_from(&*part.file()?, FRAMES_START, |_, head, payload| {
        match head.kind {
            record::SETTLED => {
                if let Ok(up_to) = record::decode_settled(payload) {
                    found.mark = Some(up_to);
                    found.ids.clear();
                    found.counted.clear();
                }
            }
            // An event has the time of its hit: the ids that are remembered
            // are those of the hits' own stretch of time.
            record::EVENT if oldest_hit_ms.is_some_and(|oldest| head.time_ms >= oldest) => {
                if let Ok(id) = record::peek_id(payload) {
                    found.ids.insert(id.into_bytes());
                }
            }
            record::COUNTED => {
                if let Ok(counted) = record::decode_counted(payload) {
                    let of = (counted.domain.to_owned(), counted.hour);
                    let known = found.counted.entry(of).or_default();
                    *known = counted.up_to.max(*known);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}
