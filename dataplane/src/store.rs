//! What is kept: events, message records, withdrawals.
//!
//! # Flow
//!
//! [`Store::append_hit`] queues a hit, and the answer waits for the
//! [`Pending`], a bounded time. A [`journal`] of hits writes and syncs what is
//! queued and tells all who wait. Some seconds later the hit settles
//! ([`settle`]): its event is appended to a second journal, which holds message
//! records too. Events are listed from that one, whose places the [`index`]
//! knows.
//!
//! # Guarantees
//!
//! Those of the [`journal`]. In short: what a [`Pending`] said `Ok` to is
//! found again, once, whatever ends the process or the machine; what it said
//! [`NotKept`] to is counted; and nobody who serves is ever held up by the
//! disk. A recipient who has withdrawn stays so ([`withdrawals`]), and one who
//! is erased is in no file any more ([`erase`]).
//!
//! # Caveats
//!
//! One process uses a data folder at a time. Reading waits for the disk, so
//! [`Store::events`] belongs on a thread that may wait.

mod budget;
mod counts;
mod cursor;
pub mod disk;
mod erase;
mod filter;
mod folder;
mod index;
pub mod inspect;
mod join;
pub mod journal;
mod list;
mod narrow;
mod newest;
mod opening;
mod outbox;
mod provisional;
mod record;
mod repeats;
mod retain;
mod search;
mod settle;
mod summary;
mod withdrawals;

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
pub(crate) mod simulated;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mailtrail_core::event::{Event, Unsettled};
use mailtrail_core::id::{Realm, Recipient};
use mailtrail_core::message::MessageRecord;

use crate::judge::LiveRules;

use budget::Budget;
use erase::Whom;
use folder::Folder;
use index::Index;
use journal::{Hub, Journal};
use repeats::Repeats;
use settle::Settle;
use withdrawals::Withdrawals;

pub use budget::READ_MAX_BYTES;
pub use counts::{HitCounts, HourCounts, StatsQuery};
pub use cursor::Cursor;
pub use erase::{EraseError, Erased};
pub use filter::EventFilter;
pub use folder::OpenError;
pub use journal::{NotKept, Pending};
pub use list::{EventPage, EventQuery, PAGE_MAX_EVENTS, QueryError};
pub use outbox::Embedded;
pub use retain::{Retaining, Retention};
pub use search::{MessagePage, MessageQuery, PAGE_MAX_MESSAGES};
pub use settle::SettleMetrics;
pub use summary::{
    HitSummary, LinkSummary, MessageSummary, ReaderSummary, SUMMARY_MAX_EVENTS,
    SUMMARY_MAX_READERS, SummaryQuery,
};

/// The folder of settled events and message records within the data folder.
const JOURNAL: &str = "journal";
/// The folder of hits that are not settled.
const HITS: &str = "hits";
/// How long a hit waits for its verdict, where nobody says otherwise.
pub const SETTLE_DEFAULT: Duration = Duration::from_secs(10);

/// Where and how much is kept.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The data folder; made when missing.
    pub data_dir: PathBuf,
    /// Most bytes of the journal; above it the disk counts as full. None: as
    /// many as the disk takes.
    pub journal_max_bytes: Option<u64>,
    /// How long a hit waits for its verdict: bursts and repeats are known by
    /// then. Zero settles at once.
    pub settle: Duration,
    /// The rules that hits are judged by when they settle; without, what was said
    /// at once stands.
    pub rules: Option<Arc<LiveRules>>,
}

impl Settings {
    /// In this folder, with no bound but the disk's.
    pub fn at(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            journal_max_bytes: None,
            settle: SETTLE_DEFAULT,
            rules: None,
        }
    }

    /// The same, but that hits settle at once.
    pub fn settling_at_once(self) -> Self {
        Self {
            settle: Duration::ZERO,
            ..self
        }
    }
}

/// Whether a recipient has withdrawn from a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withdrawn {
    /// Nothing of theirs may be recorded.
    Yes,
    /// They have not.
    No,
    /// The list is not loaded: nothing may be recorded.
    NotLoaded,
    /// They are not on what is left of the list, of which some is lost:
    /// nothing may be recorded.
    Incomplete,
}

/// The embedded store; cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    hits: Arc<Hub>,
    messages: Arc<Hub>,
}

struct Inner {
    // Dropped in this order: the folder is unlocked last.
    settle: Settle,
    index: Arc<Index>,
    hits: Arc<Journal>,
    journal: Arc<Journal>,
    repeats: Repeats,
    withdrawals: Withdrawals,
    folder: Arc<Folder>,
}

/// Whether a data folder holds anything of an earlier run.
pub fn was_used(data_dir: &Path) -> bool {
    let holds = |journal| folder::has_files(&data_dir.join(journal));
    holds(JOURNAL) || holds(HITS)
}

impl Store {
    /// The same store for one runtime. All that waits for it through this
    /// handle and its clones is woken together, with one wake-up from outside
    /// the runtime for each batch: give every single-threaded runtime its own.
    pub fn local(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            hits: self.inner.hits.hub(),
            messages: self.inner.journal.hub(),
        }
    }

    /// The same, for a runtime that answers many requests in turn: the hits
    /// it hands in are written together, once it [`Store::ring`]s or has handed in
    /// enough.
    pub fn local_with_bell(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            hits: self.inner.hits.hub_with_bell(),
            messages: self.inner.journal.hub(),
        }
    }

    /// The hits that were handed in through this handle and its clones are to be written now.
    pub fn ring(&self) {
        self.inner.hits.ring(&self.hits);
    }

    /// Wakes those of this handle and its clones who wait no longer, and says
    /// when the next of them does ([`Pending::poll_until`]).
    pub fn wake_overdue(&self, now: Instant) -> Option<Instant> {
        self.hits.wake_overdue(now)
    }

    /// Keeps a hit, whose event is listed once it is settled. Of a recipient who
    /// has withdrawn, or may have, nothing is kept: that is as good as done.
    pub fn append_hit(&self, hit: &Unsettled) -> Pending {
        let event = &hit.event;
        let withdrawn = self.inner.withdrawals.hold();
        let recipient = event.recipient.as_ref();
        if recipient.is_some_and(|recipient| withdrawn.bars(&event.domain, recipient)) {
            return Pending::known(Ok(()));
        }
        let time_ms = u64::try_from(event.time.as_millisecond()).unwrap_or(0);
        let payload = record::encode_hit(hit);
        self.inner
            .hits
            .append(&self.hits, record::HIT, time_ms, &payload)
    }

    /// Keeps an event as if its hit had settled: for tests of what is listed,
    /// which say themselves what the verdict is.
    #[doc(hidden)]
    pub fn append_settled(&self, event: &Event) -> Pending {
        let time_ms = u64::try_from(event.time.as_millisecond()).unwrap_or(0);
        let payload = record::encode_event(event);
        self.inner
            .journal
            .append(&self.messages, record::EVENT, time_ms, &payload)
    }

    /// Keeps a message record; of a recipient who has withdrawn, or may have,
    /// none. Looks for an earlier one, which may wait for the disk: call it off
    /// the runtime.
    pub fn append_message(&self, message: &MessageRecord) -> Pending {
        let withdrawn = self.inner.withdrawals.hold();
        let recipient = message.recipient.as_ref();
        if recipient.is_some_and(|recipient| withdrawn.bars(&message.domain, recipient)) {
            return Pending::known(Ok(()));
        }
        let time_ms = u64::try_from(message.rewritten_at.as_millisecond()).unwrap_or(0);
        let journal = &*self.inner.journal;
        let append = |again| match record::encode_message(message, again) {
            Some(payload) => journal.append(&self.messages, record::MESSAGE, time_ms, &payload),
            None => journal.refuse(record::MESSAGE),
        };
        let (repeats, index) = (&self.inner.repeats, &self.inner.index);
        repeats.append(message, (journal, index), append)
    }

    /// Keeps a recipient's withdrawal from a domain. It counts at once.
    pub fn withdraw(&self, realm: &Realm, recipient: &Recipient) -> Pending {
        self.inner.withdrawals.add(realm, recipient, now_ms())
    }

    /// Erases a recipient of a domain: nothing of theirs is recorded from now
    /// on, and nothing of theirs is in the data folder when this returns. Waits
    /// for the disk, some 20 ms for each segment that holds records of theirs,
    /// so call it off the runtime. Ended in the middle, or refused, it can be
    /// asked for again.
    pub fn erase(&self, realm: &Realm, recipient: &Recipient) -> Result<Erased, EraseError> {
        self.withdraw(realm, recipient).wait()?;
        let whom = Whom { realm, recipient };
        let lookup = self.inner.index.lookup();
        // Those that are being settled meanwhile end up in neither: whoever
        // appends looks at the list.
        erase::erase(&self.inner.hits, None, whom)?;
        let removed = erase::erase(&self.inner.journal, Some(&lookup), whom)?;
        let erased = Erased::from(removed);
        tracing::info!(
            events = erased.events,
            messages = erased.messages,
            "a recipient is erased"
        );
        Ok(erased)
    }

    /// Begins to remove what is past its retention, now and then every hour,
    /// until what this gives is dropped. Both are asked each time: how long
    /// domains keep, and what time it is, in milliseconds since 1970.
    pub fn retain(
        &self,
        retention: impl Fn() -> Retention + Send + 'static,
        now_ms: impl Fn() -> u64 + Send + 'static,
    ) -> io::Result<Retaining> {
        Retaining::start(self.clone(), retention, now_ms)
    }

    /// Whether a recipient has withdrawn; answers from memory.
    pub fn withdrawn(&self, realm: &Realm, recipient: &Recipient) -> Withdrawn {
        self.inner.withdrawals.check(realm, recipient)
    }

    /// Whether the list of withdrawals is loaded: until then nothing that names
    /// a recipient may be recorded.
    pub fn withdrawals_loaded(&self) -> bool {
        self.inner.withdrawals.loaded()
    }

    /// Lists events, with tags and link names of their message record; waits
    /// for the disk, so call it off the runtime.
    pub fn events(&self, query: &EventQuery) -> Result<EventPage, QueryError> {
        // Read before the list is: what settles meanwhile is found there.
        let unsettled = match query.provisional {
            true => self.ask(|sources| {
                let Inner {
                    settle,
                    withdrawals,
                    ..
                } = &*self.inner;
                provisional::unsettled(sources, query, settle, withdrawals)
            })?,
            false => Vec::new(),
        };
        let page = self.ask(|sources| list::events(sources, query))?;
        Ok(provisional::behind(page, query, unsettled))
    }

    /// Looks for messages; waits for the disk, so call it off the runtime.
    pub fn messages(&self, query: &MessageQuery) -> Result<MessagePage, QueryError> {
        self.ask(|sources| search::messages(sources, query))
    }

    /// What became of a message, none where nothing is known of it; waits for
    /// the disk, so call it off the runtime.
    pub fn summary(&self, query: &SummaryQuery) -> Result<Option<MessageSummary>, QueryError> {
        self.ask(|sources| summary::summary(sources, query))
    }

    /// What happened in each hour, since 1970, in which anything did; waits for
    /// the disk, so call it off the runtime.
    pub fn stats(&self, query: &StatsQuery) -> Result<BTreeMap<u32, HourCounts>, QueryError> {
        self.ask(|sources| counts::stats(sources, query))
    }

    fn ask<T>(&self, question: impl FnOnce(list::Sources<'_>) -> T) -> T {
        question(list::Sources {
            reader: &self.inner.journal.reader(),
            lookup: &self.inner.index.lookup(),
            key: &self.inner.folder.key,
            budget: Budget::new(READ_MAX_BYTES),
        })
    }

    /// How many bytes of the journal the index says nothing about yet; reading
    /// these takes longer.
    pub fn index_behind_bytes(&self) -> u64 {
        self.inner.index.behind_bytes(&self.inner.journal.reader())
    }

    /// Whether every hit that was appended is settled, or could not be kept.
    pub fn is_settled(&self) -> bool {
        self.inner.settle.is_done()
    }

    /// How many records wait to be written.
    pub fn queued(&self) -> usize {
        self.inner.hits.queued() + self.inner.journal.queued()
    }

    /// Takes nothing more from this call on; ready when what is queued is
    /// kept. Hits that are not settled by then settle after the next start.
    pub fn close(&self) -> impl Future<Output = Result<(), NotKept>> + Send + use<> {
        self.inner.settle.close();
        let withdrawals = self.inner.withdrawals.close();
        let hits = self.inner.hits.close(&self.hits);
        let journal = self.inner.journal.close(&self.messages);
        async { withdrawals.await.and(hits.await).and(journal.await) }
    }
}

/// The time, in milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests;
