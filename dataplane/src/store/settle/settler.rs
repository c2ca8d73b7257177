//! One look after the other: follows the hits, settles what is due.

mod batch;
mod tidy;

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use mailtrail_core::id::{Realm, Recipient};

use super::clock::{Clock, Schedule};
use super::counting::{Tally, tally};
use super::judging::{DueHit, Judge, Judging, Settled};
use super::metrics::SettleMetrics;
use super::spool::Place;
use super::{Shared, record};
use crate::judge::window::{Due, WAITING_MAX, Waiting, Window};
use crate::store::journal::{Hub, Journal, Pending, Reader};
use crate::store::modes::Modes;
use crate::store::withdrawals::Withdrawals;
use batch::{Batch, Judged};
use tidy::Spooled;

/// Most hits that are due together: what one look found.
const LOOK_MAX_HITS: usize = 16 * 1024;
/// Most events of a batch: some 2 MB, kept until they are on the disk.
const BATCH_MAX_EVENTS: usize = 4096;
/// What a settler works with.
pub(in crate::store) struct Parts {
    /// Where hits are until they are settled.
    pub(in crate::store) hits: Arc<Journal>,
    /// Where settled events are.
    pub(in crate::store) journal: Arc<Journal>,
    /// How long a hit waits for its verdict.
    pub(in crate::store) settle: Duration,
    /// What is recorded of them.
    pub(in crate::store) modes: Modes,
    /// Of whom nothing may be recorded; tests of settling alone have none.
    pub(in crate::store) withdrawals: Option<Withdrawals>,
    /// By what hits are judged; without, what was said at once stands.
    pub(in crate::store) judging: Option<Judging>,
    pub(in crate::store) clock: Box<dyn Clock>,
    pub(in crate::store) metrics: SettleMetrics,
}

/// Follows and settles.
pub(super) struct Settler {
    hits: Arc<Journal>,
    journal: Arc<Journal>,
    events: Arc<Hub>,
    modes: Modes,
    withdrawals: Option<Withdrawals>,
    judge: Option<Judge>,
    clock: Box<dyn Clock>,
    metrics: SettleMetrics,
    shared: Arc<Shared>,
    settle_ms: u64,
    /// Up to where hits were followed.
    front: Place,
    window: Window,
    schedule: Schedule,
    /// Due, and not read again yet.
    due: VecDeque<Due>,
    /// Read again, and not all judged yet.
    read: Option<Read>,
    /// Judged, and not on the disk yet.
    batch: Option<Batch>,
    /// The number that the next mark names.
    mark: Option<u64>,
    spooled: Spooled,
}

/// Hits that are judged one after the other.
struct Read {
    hits: VecDeque<DueHit>,
    judged: Vec<Settled>,
    /// These hits, and all before them, are read.
    end: Place,
}

impl Settler {
    pub(super) fn new(parts: Parts, shared: Arc<Shared>) -> Self {
        let now_ms = parts.clock.steady_ms();
        Self {
            events: parts.journal.hub(),
            hits: parts.hits,
            journal: parts.journal,
            modes: parts.modes,
            withdrawals: parts.withdrawals,
            judge: parts.judging.map(Judge::new),
            clock: parts.clock,
            metrics: parts.metrics,
            shared,
            settle_ms: u64::try_from(parts.settle.as_millis()).unwrap_or(u64::MAX),
            mark: None,
            front: Place::default(),
            window: Window::new(parts.settle),
            schedule: Schedule::default(),
            due: VecDeque::new(),
            read: None,
            batch: None,
            spooled: Spooled {
                before: (now_ms, 0),
                lately: (now_ms, 0),
                rolled_ms: now_ms,
            },
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        self.shared.is_closing()
    }

    /// Follows what is new and settles what is due. An error says that the
    /// disk refused something: the next look goes on there.
    pub(super) fn look(&mut self) -> io::Result<()> {
        let reader = self.hits.reader();
        let looked = self.follow_and_settle(&reader);
        self.measure();
        self.tidy(&reader);
        looked
    }

    fn follow_and_settle(&mut self, reader: &Reader) -> io::Result<()> {
        // All that is there first: a verdict knows its neighbours.
        while self.follow(reader)? {}
        let withdrawals = self.withdrawals.as_ref();
        if withdrawals.is_some_and(|withdrawals| !withdrawals.loaded()) {
            return Ok(());
        }
        if self.judge.as_ref().is_some_and(|judge| !judge.is_ready()) {
            return Ok(());
        }
        if !self.modes.are_known() {
            return Ok(());
        }
        while !self.shared.is_closing() {
            if self.batch.is_none() {
                self.batch = self.next_batch(reader)?;
            }
            let Some(batch) = self.batch.take() else {
                break;
            };
            if let Some(refused) = self.keep(batch) {
                self.batch = Some(refused);
                self.metrics.retries.inc();
                return Err(io::Error::other("the journal takes nothing"));
            }
        }
        let rests = self.read.is_none() && self.batch.is_none();
        if self.window.is_empty() && self.due.is_empty() && rests {
            // Behind the last hit there may be what is none.
            self.shared.move_to(self.front);
        }
        Ok(())
    }

    // === Following ===

    /// Takes hits into the window; says whether there may be more.
    fn follow(&mut self, reader: &Reader) -> io::Result<bool> {
        let room = WAITING_MAX
            .saturating_sub(self.window.len())
            .min(LOOK_MAX_HITS);
        let (mut taken, mut newest_ms) = (0, 0);
        let (window, shared, metrics) = (&mut self.window, &self.shared, &self.metrics);
        let judge = self.judge.as_ref();
        let followed = self.front.each(reader, |head, payload| {
            if taken == room {
                return ControlFlow::Break(());
            }
            if head.kind != record::HIT {
                return ControlFlow::Continue(());
            }
            match record::peek_hit(payload) {
                Ok(hit) => {
                    let (mail, target) = judge.map_or((None, None), |judge| judge.marks(&hit));
                    let waiting = Waiting {
                        seq: head.seq,
                        time_ms: head.time_ms,
                        mail,
                        target,
                    };
                    if shared.is_settled(head, &hit) {
                        window.push_settled(waiting);
                    } else {
                        window.push(waiting);
                        taken += 1;
                        newest_ms = head.time_ms;
                    }
                }
                Err(_) => _ = metrics.gone.inc(),
            }
            ControlFlow::Continue(())
        });
        self.schedule
            .add(taken, newest_ms, self.settle_ms, &*self.clock);
        followed.map(|()| taken == room && room > 0)
    }

    // === Settling ===

    /// Reads what is due again and judges it.
    fn next_batch(&mut self, reader: &Reader) -> io::Result<Option<Batch>> {
        if self.read.is_none() {
            self.gather_due();
            self.read = self.read_due(reader)?;
        }
        let Some(read) = &mut self.read else {
            return Ok(None);
        };
        match &mut self.judge {
            Some(judge) => {
                judge.settle(&mut read.hits, &mut read.judged, &self.journal.reader())?;
            }
            None => read.judged.extend(read.hits.drain(..).map(|due| Settled {
                event: due.hit.event,
                recorded: due.hit.recorded,
            })),
        }
        let read = self.read.take();
        Ok(read.map(Batch::of))
    }

    /// Reads what is due; none where nothing is.
    fn read_due(&mut self, reader: &Reader) -> io::Result<Option<Read>> {
        if self.due.is_empty() {
            return Ok(None);
        }
        let mut end = self.shared.next();
        let mut hits = VecDeque::with_capacity(self.due.len());
        let (due, metrics, modes) = (&mut self.due, &self.metrics, &self.modes);
        let read = end.each(reader, |head, payload| {
            // What was due before this one is not there any more.
            while due.pop_front_if(|due| due.seq < head.seq).is_some() {
                metrics.gone.inc();
            }
            match due.front() {
                None => return ControlFlow::Break(()),
                Some(first) if first.seq > head.seq => {}
                Some(first) => match record::decode_hit(payload) {
                    Ok(mut hit) => {
                        modes.narrow(&mut hit);
                        hits.push_back(DueHit {
                            hit,
                            burst: first.burst,
                        });
                    }
                    Err(_) => _ = metrics.gone.inc(),
                },
            }
            due.pop_front_if(|due| due.seq == head.seq);
            ControlFlow::Continue(())
        });
        match read {
            Err(error) if hits.is_empty() => return Err(error),
            Err(_) => {}
            Ok(()) => _ = metrics.gone.inc_by(due.drain(..).len() as u64),
        }
        if hits.is_empty() {
            self.shared.move_to(end);
            return Ok(None);
        }
        Ok(Some(Read {
            hits,
            judged: Vec::new(),
            end,
        }))
    }

    fn gather_due(&mut self) {
        let now_ms = self.clock.steady_ms();
        while self.due.len() < BATCH_MAX_EVENTS && self.schedule.take(now_ms) {
            // The schedule says when; the window is asked for the moment at
            // which its oldest comes out.
            let next = self.window.due_at_ms();
            let next = next.and_then(|at_ms| self.window.next_due(at_ms));
            self.due.extend(next);
        }
    }

    /// Puts a batch on the disk; gives it back where that is refused.
    fn keep(&mut self, mut batch: Batch) -> Option<Batch> {
        if let Some(up_to) = self.mark.take() {
            let time_ms = batch.time_ms();
            let payload = record::encode_settled(up_to);
            let mark = self
                .journal
                .append(&self.events, record::SETTLED, time_ms, &payload);
            // It is needed only where the batch is on the disk, which is later.
            drop(mark);
        }
        let mut pending = Vec::with_capacity(batch.events.len());
        for event in batch.events.iter_mut().filter(|event| !event.done) {
            let Some(one) = self.append(event) else {
                continue;
            };
            let refused = one.seq().is_none();
            pending.push((event, one));
            if refused {
                break;
            }
        }
        for (event, one) in pending {
            event.done = one.wait().is_ok();
        }
        if batch.events.iter().any(|event| !event.done) || !self.keep_tallies(&mut batch) {
            return Some(batch);
        }
        // A day is of a hit that is counted.
        for event in batch.events.iter().filter(|of| of.kind == record::EVENT) {
            match event.withheld {
                true => _ = self.metrics.withheld.inc(),
                false => self.metrics.count(event.verdict),
            }
        }
        self.shared.move_to(batch.end);
        self.mark = Some(batch.end.seq);
        None
    }

    /// Puts what is told of nobody on the disk, as numbers; says whether it is
    /// there.
    fn keep_tallies(&self, batch: &mut Batch) -> bool {
        let (events, up_to) = (&batch.anonymous, batch.end.seq);
        let tallies = batch.tallies.get_or_insert_with(|| {
            let withdrawn = self.withdrawals.as_ref().map(Withdrawals::hold);
            let is_barred = |realm: &Realm, recipient: &Recipient| {
                let bars = withdrawn.as_ref().map(|list| list.bars(realm, recipient));
                bars.unwrap_or(false)
            };
            for event in events {
                let reader = event.recipient.as_ref();
                match reader.is_some_and(|reader| is_barred(&event.domain, reader)) {
                    true => _ = self.metrics.withheld.inc(),
                    false => self.metrics.count(event.client.verdict),
                }
            }
            tally(events, up_to, is_barred)
        });
        let open = tallies.iter_mut().filter(|tally| !tally.done);
        let pending: Vec<_> = open
            .map(|tally| {
                let Tally {
                    time_ms, payload, ..
                } = &*tally;
                let one = self
                    .journal
                    .append(&self.events, record::COUNTED, *time_ms, payload);
                (tally, one)
            })
            .collect();
        for (tally, one) in pending {
            tally.done = one.wait().is_ok();
        }
        tallies.iter().all(|tally| tally.done)
    }

    /// Appends an event, unless its reader has withdrawn since the hit, or may
    /// have: then it is done.
    fn append(&self, event: &mut Judged) -> Option<Pending> {
        // Held still, so that who erases a reader finds what was appended.
        let withdrawn = self.withdrawals.as_ref().map(Withdrawals::hold);
        let reader = event.reader.as_ref();
        if let (Some(withdrawn), Some((realm, recipient))) = (withdrawn, reader)
            && withdrawn.bars(realm, recipient)
        {
            (event.done, event.withheld) = (true, true);
            return None;
        }
        Some(
            self.journal
                .append(&self.events, event.kind, event.time_ms, &event.payload),
        )
    }
}
