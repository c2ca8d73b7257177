//! Retention: what is older than its domain keeps it leaves the disk.
//!
//! # Flow
//!
//! A thread looks at start and every hour ([`EVERY`]). Segments whose records
//! are all past every domain's retention are removed, from the oldest on. Of
//! the others, one in which all records of a domain are past that domain's is
//! rewritten without them ([`super::journal::Closed`]). So are those with days that
//! a later one has replaced ([`super::lasts`]). The segment that is
//! written is ended once its oldest record is a day old ([`SEGMENT_MAX_MS`]).
//!
//! # Guarantees
//!
//! - A record is off the disk a day and an hour after its retention at the
//!   latest, if the program runs and the disk takes it: a segment goes by its
//!   newest record of a domain, and holds those of a day. Until then it is
//!   listed: to leave it out would cost every page, and cursors their sense.
//! - A domain that is not configured keeps its records as long as one that says
//!   nothing ([`RETENTION_DAYS_DEFAULT`]).
//! - A segment is rewritten at most once for each domain in it. To see which
//!   are in it, it is read once after each start, rewriting and change of a
//!   retention, and only where the shortest and the longest one disagree.
//! - Order, numbers and cursors stay; a cursor older than what is kept is told
//!   so. What is neither an event nor a message record stays as long as its
//!   segment does, and the newest segment that holds such records stays, as
//!   does the newest of all.
//!
//! # Caveats
//!
//! It goes by the system's clock: one that is wrong by years removes too much.
//! Of a segment file that cannot be read nobody knows how old it is: it is
//! removed when a later one is.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use mailtrail_core::config::{RETENTION_DAYS_DEFAULT, Snapshot};

use super::journal::{Closed, FrameHead, Journal, Part, Removed, Segment};
use super::record;
use super::{Behind, Store};

/// How often it is looked for what is past its retention.
const EVERY: Duration = Duration::from_secs(60 * 60);
/// Wait after the disk refused something.
const RETRY_AFTER: Duration = Duration::from_secs(60);
/// Wait for a database that has not answered yet.
const SOON: Duration = Duration::from_secs(1);
/// The segment that is written is ended when its oldest record is so old, in
/// milliseconds: where little happens it would hold years.
const SEGMENT_MAX_MS: u64 = DAY_MS;
/// Milliseconds of a day of retention.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// How long each domain keeps events and message records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Days, where they are not the default, by `namespace/name`.
    days: HashMap<String, u16>,
}

/// The thread that looks; it ends when this is dropped.
pub struct Retaining {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What is known of the segments under one retention.
#[derive(Default)]
pub(super) struct Known {
    retention: Option<Retention>,
    /// By segment: its salt, and when a domain in it will be past its
    /// retention, in milliseconds since 1970.
    due: HashMap<u64, (u32, u64)>,
}

/// The newest record of each domain in a segment, by time.
type Newest = HashMap<String, u64>;

// === Retention ===

impl Retention {
    /// As the domains of this moment have it.
    pub fn of(snapshot: &Snapshot) -> Self {
        let domains = snapshot.domains();
        let named = domains.filter(|domain| domain.retention_days != RETENTION_DAYS_DEFAULT);
        let days = named.map(|domain| (domain.realm.as_str().to_owned(), domain.retention_days));
        Self {
            days: days.collect(),
        }
    }

    /// How long a domain keeps, in milliseconds.
    pub(crate) fn ms(&self, domain: &str) -> u64 {
        let days = self.days.get(domain).copied();
        u64::from(days.unwrap_or(RETENTION_DAYS_DEFAULT)) * DAY_MS
    }

    fn all_ms(&self) -> impl Iterator<Item = u64> {
        let named = self.days.values().map(|days| u64::from(*days) * DAY_MS);
        named.chain([u64::from(RETENTION_DAYS_DEFAULT) * DAY_MS])
    }

    /// The shortest time that any keeps, in milliseconds.
    pub(crate) fn shortest_ms(&self) -> u64 {
        self.all_ms().min().unwrap_or(0)
    }

    /// The longest time that any keeps, in milliseconds.
    pub(crate) fn longest_ms(&self) -> u64 {
        self.all_ms().max().unwrap_or(u64::MAX)
    }

    /// When the first domain of a segment is past its retention.
    fn due_ms(&self, newest: &Newest) -> u64 {
        let dues = newest.iter().map(|(domain, ms)| ms + self.ms(domain));
        dues.min().unwrap_or(u64::MAX)
    }
}

// === The thread ===

impl Retaining {
    /// Starts to look; both are asked at every look: how long domains keep, and
    /// the time in milliseconds since 1970.
    pub(super) fn start(
        store: Store,
        retention: impl Fn() -> Retention + Send + 'static,
        now_ms: impl Fn() -> u64 + Send + 'static,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("retention".into())
            .spawn(move || {
                let mut known = Known::default();
                while !stopped.load(Ordering::SeqCst) {
                    let (retention, now_ms) = (retention(), now_ms());
                    let pause = match &store.inner.behind {
                        Behind::Here(here) => {
                            let journal = &store.inner.journal;
                            let purged = purge(journal, &retention, now_ms, &mut known, &stopped);
                            tell(purged.and_then(|removed| {
                                here.forget_replaced(journal)?;
                                Ok(removed)
                            }))
                        }
                        Behind::Postgres(postgres) => {
                            match postgres.retain(&retention, now_ms, &stopped) {
                                Ok(()) => EVERY,
                                // Not there yet, as at a start.
                                Err(_) if !postgres.withdrawals_loaded() => SOON,
                                Err(_) => RETRY_AFTER,
                            }
                        }
                    };
                    std::thread::park_timeout(pause);
                }
            })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Retaining {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // What it could not do, the next start does.
            let _ = thread.join();
        }
    }
}

/// Says what a look did; gives the wait before the next.
fn tell(purged: io::Result<Removed>) -> Duration {
    match purged {
        Ok(removed) => {
            if removed != Removed::default() {
                tracing::info!(
                    events = removed.events,
                    messages = removed.messages,
                    "retention: removed what is past it"
                );
            }
            EVERY
        }
        Err(error) => {
            tracing::warn!(%error, "retention: the disk refused something, trying again");
            RETRY_AFTER
        }
    }
}

// === One look ===

/// Removes what is past its retention at a moment, in milliseconds since 1970.
pub(super) fn purge(
    journal: &Journal,
    retention: &Retention,
    now_ms: u64,
    known: &mut Known,
    stopped: &AtomicBool,
) -> io::Result<Removed> {
    known.start(retention);
    let closed = closed(journal, now_ms)?;
    let mut removed = remove_oldest(&closed, now_ms.saturating_sub(retention.longest_ms()))?;
    let shortest_ms = now_ms.saturating_sub(retention.shortest_ms());
    for part in closed.parts() {
        let summary = part.segment.summary;
        if stopped.load(Ordering::SeqCst) {
            break;
        }
        if summary.records() > 0 && summary.first_ms < shortest_ms {
            removed += purge_domains(&closed, part, (retention, now_ms), known)?;
        }
    }
    known.retain(&closed);
    closed.finish()?;
    Ok(removed)
}

/// The segments that are not written any more: all, where the one that is has
/// records that are a day old.
fn closed(journal: &Journal, now_ms: u64) -> io::Result<Closed<'_>> {
    let reader = journal.reader();
    let last = reader.parts().next_back();
    let first_ms = last.map(|part| part.segment.summary.first_ms);
    if first_ms.is_some_and(|first_ms| first_ms.saturating_add(SEGMENT_MAX_MS) <= now_ms) {
        journal.closed()
    } else {
        journal.closed_but_last()
    }
}

/// Removes whole segments from the oldest on, as long as all records are from
/// before a moment.
fn remove_oldest(closed: &Closed<'_>, before_ms: u64) -> io::Result<Removed> {
    let mut removed = Removed::default();
    // The last one keeps the count of numbers.
    let stay = [closed.newest(), closed.newest_with_others()];
    let mut unreadable = Vec::new();
    for part in closed.parts() {
        let summary = part.segment.summary;
        if part.is_headless() {
            unreadable.push(part);
            continue;
        }
        let old = summary.last_ms < before_ms && !stay.contains(&Some(part.segment.number));
        if !old {
            break;
        }
        for part in unreadable.drain(..).chain([part]) {
            removed += closed.remove(part)?;
        }
    }
    Ok(removed)
}

/// Rewrites a segment without the domains of which every record in it is past
/// their retention.
fn purge_domains(
    closed: &Closed<'_>,
    part: Part<'_>,
    (retention, now_ms): (&Retention, u64),
    known: &mut Known,
) -> io::Result<Removed> {
    if known.due_ms(part).is_some_and(|due_ms| due_ms >= now_ms) {
        return Ok(Removed::default());
    }
    let newest = newest(closed, part)?;
    if retention.due_ms(&newest) >= now_ms {
        known.put(part.segment, retention.due_ms(&newest));
        return Ok(Removed::default());
    }
    let past = |domain: &str| {
        let newest_ms = newest.get(domain);
        newest_ms.is_some_and(|ms| ms + retention.ms(domain) < now_ms)
    };
    closed.rewrite(part, |head, payload| {
        !with_domain(head, payload, past).unwrap_or(false)
    })
}

/// Reads which domains are in a segment.
fn newest(closed: &Closed<'_>, part: Part<'_>) -> io::Result<Newest> {
    let mut newest = Newest::new();
    closed.each(part, |head, payload| {
        let _ = with_domain(head, payload, |domain| match newest.get_mut(domain) {
            Some(ms) => *ms = head.time_ms.max(*ms),
            None => _ = newest.insert(domain.to_owned(), head.time_ms),
        });
    })?;
    Ok(newest)
}

/// Gives the domain of an event, a message record or what was counted; one that
/// cannot be read has none, and goes with its segment.
fn with_domain<T>(head: FrameHead, payload: &[u8], give: impl FnOnce(&str) -> T) -> Option<T> {
    match head.kind {
        record::EVENT | record::LAST => {
            let event = record::peek_event(payload).ok()?;
            Some(give(event.domain))
        }
        record::MESSAGE => {
            let message = record::peek_message(payload).ok()?;
            Some(give(message.domain.as_str()))
        }
        record::COUNTED => {
            let counted = record::decode_counted(payload).ok()?;
            Some(give(counted.domain))
        }
        record::SENT => {
            let sent = record::decode_sent(payload).ok()?;
            Some(give(sent.domain))
        }
        _ => None,
    }
}

// === Known ===

impl Known {
    fn start(&mut self, retention: &Retention) {
        if self.retention.as_ref() != Some(retention) {
            self.due.clear();
            self.retention = Some(retention.clone());
        }
    }

    fn due_ms(&self, part: Part<'_>) -> Option<u64> {
        let (salt, due_ms) = *self.due.get(&part.segment.number)?;
        (salt == part.segment.summary.salt).then_some(due_ms)
    }

    fn put(&mut self, segment: &Segment, due_ms: u64) {
        let salt = segment.summary.salt;
        self.due.insert(segment.number, (salt, due_ms));
    }

    /// Forgets segments that are gone.
    fn retain(&mut self, closed: &Closed<'_>) {
        let numbers: HashSet<_> = closed.parts().map(|part| part.segment.number).collect();
        self.due.retain(|number, _| numbers.contains(number));
    }
}

#[cfg(test)]
mod tests;
