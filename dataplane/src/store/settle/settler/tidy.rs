//! What a look does beside settling: says how much waits, and removes what is
//! settled from the spool.

use std::io;

use super::Settler;
use crate::store::journal::Reader;
use crate::store::record;

/// How long a segment of settled hits is still kept: a start reads it for what
/// belongs to the burst of a hit that waits.
const CONTEXT_MS: u64 = 15_000;
/// How often the segment that is written is ended, so that what is settled can
/// be removed.
const ROLL_EVERY_MS: u64 = 30_000;

/// Two moments and what was settled then, so that segments can be removed a
/// while after that; and when the segment that is written was begun, about.
pub(super) struct Spooled {
    pub(super) before: (u64, u64),
    pub(super) lately: (u64, u64),
    pub(super) rolled_ms: u64,
}

impl Settler {
    pub(super) fn measure(&self) {
        self.metrics.waiting.set(self.window.len() as i64);
        let oldest_ms = self.window.due_at_ms();
        let age_ms = oldest_ms.map_or(0, |due_ms| {
            let time_ms = due_ms.saturating_sub(self.settle_ms);
            self.clock.wall_ms().saturating_sub(time_ms)
        });
        self.metrics.oldest_seconds.set(age_ms as f64 / 1000.0);
    }

    /// Removes what is settled, some time after it was.
    pub(super) fn tidy(&mut self, reader: &Reader) {
        let now_ms = self.clock.steady_ms();
        let spooled = &mut self.spooled;
        if now_ms - spooled.lately.0 < CONTEXT_MS {
            return;
        }
        spooled.before = std::mem::replace(&mut spooled.lately, (now_ms, self.shared.up_to()));
        let up_to = spooled.before.1;
        let roll = now_ms - spooled.rolled_ms >= ROLL_EVERY_MS;
        if roll {
            spooled.rolled_ms = now_ms;
        }
        let tidied = self.remove_settled(up_to).and_then(|()| match roll {
            true => self.roll(reader),
            false => Ok(()),
        });
        if let Err(error) = tidied {
            tracing::warn!(%error, "hits: what is settled could not be removed");
        }
    }

    fn remove_settled(&self, up_to: u64) -> io::Result<()> {
        // The last one may be written; and it keeps the count of numbers.
        let closed = self.hits.closed_but_last()?;
        for part in closed.parts() {
            // One that never held any stays; it is empty, or damaged as a whole.
            if part.segment.summary.last_seq > 0 {
                if part.last_seq() > up_to {
                    break;
                }
                closed.remove(part)?;
            }
        }
        closed.finish()
    }

    /// Ends the segment that is written, and begins a new one with a record
    /// that says nothing of anybody.
    fn roll(&self, reader: &Reader) -> io::Result<()> {
        let last = reader.parts().next_back();
        if last.is_none_or(|part| part.segment.summary.events == 0) {
            return Ok(());
        }
        self.hits.closed()?.finish()?;
        let up_to = record::encode_settled(self.shared.up_to());
        let time_ms = self.clock.wall_ms();
        let mark = self
            .hits
            .append(&self.hits.hub(), record::SETTLED, time_ms, &up_to);
        // Where it is refused, the next hit begins the segment.
        drop(mark);
        Ok(())
    }
}
