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
//!
//! # With PostgreSQL
//!
//! Then both journals are a spool: what stands in them is shipped, and settled,
//! listed, counted and erased there ([`crate::postgres`]). Whoever uses a
//! [`Store`] need not know.

mod budget;
mod counts;
mod cursor;
pub mod disk;
pub(crate) mod erase;
pub(crate) mod filter;
pub(crate) mod folder;
mod index;
pub mod inspect;
pub(crate) mod join;
pub mod journal;
pub(crate) mod lasts;
mod list;
mod modes;
mod narrow;
mod newest;
mod opening;
mod outbox;
mod provisional;
pub(crate) mod record;
mod repeats;
mod retain;
mod search;
mod settle;
mod summary;
pub(crate) mod withdrawals;

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

use crate::deliver::outbox::Outbox;
use crate::judge::LiveRules;
use crate::postgres::{self, Postgres};

use budget::Budget;
use erase::Whom;
use folder::Folder;
use index::Index;
use journal::{Hub, Journal};
use repeats::Repeats;
use settle::Settle;
use withdrawals::Withdrawals;

pub use budget::READ_MAX_BYTES;
pub use counts::{HitCounts, HourCounts, Split, StatsQuery};
pub(crate) use counts::{hour_ms, hour_of};
pub use cursor::Cursor;
pub(crate) use cursor::{Listed, Position};
pub use erase::{EraseError, Erased};
pub use filter::EventFilter;
pub use folder::OpenError;
pub use journal::{NotKept, Pending};
pub use lasts::LastDate;
pub use list::{EventPage, EventQuery, PAGE_MAX_EVENTS, QueryError};
pub use modes::Modes;
pub use outbox::Embedded;
pub use retain::{Retaining, Retention};
pub use search::{MessagePage, MessageQuery, PAGE_MAX_MESSAGES};
pub(crate) use settle::Place;
pub use settle::SettleMetrics;
pub(crate) use summary::Summing;
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
    /// What is recorded of hits that settle.
    pub modes: Modes,
    /// The database that all is shipped to, where there is one.
    pub postgres: Option<postgres::Settings>,
}

impl Settings {
    /// In this folder, with no bound but the disk's.
    pub fn at(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            journal_max_bytes: None,
            settle: SETTLE_DEFAULT,
            rules: None,
            modes: Modes::default(),
            postgres: None,
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

/// The store; cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    hits: Arc<Hub>,
    messages: Arc<Hub>,
}

struct Inner {
    // Dropped in this order: the folder is unlocked last.
    behind: Behind,
    hits: Arc<Journal>,
    journal: Arc<Journal>,
    folder: Arc<Folder>,
}

/// What is behind the journals.
enum Behind {
    /// The embedded store.
    Here(Here),
    /// A database that other replicas share.
    Postgres(Postgres),
}

/// What the embedded store has beside its journals.
struct Here {
    settle: Settle,
    modes: Modes,
    index: Arc<Index>,
    repeats: Repeats,
    withdrawals: Withdrawals,
}

impl Here {
    /// Takes from the disk what later days have replaced.
    fn forget_replaced(&self, journal: &Journal) -> io::Result<()> {
        lasts::forget_replaced(journal, &self.index.lookup()).map(drop)
    }
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
        let append = || {
            let time_ms = u64::try_from(event.time.as_millisecond()).unwrap_or(0);
            let payload = record::encode_hit(hit);
            let hits = &self.inner.hits;
            hits.append(&self.hits, record::HIT, time_ms, &payload)
        };
        self.unless_barred(&event.domain, event.recipient.as_ref(), append)
    }

    /// Keeps something of a recipient, unless they have withdrawn, or may have:
    /// then that is as good as done. The list stands still meanwhile.
    fn unless_barred(
        &self,
        realm: &Realm,
        recipient: Option<&Recipient>,
        keep: impl FnOnce() -> Pending,
    ) -> Pending {
        let barred = || Pending::known(Ok(()));
        match &self.inner.behind {
            Behind::Here(here) => {
                let withdrawn = here.withdrawals.hold();
                match recipient.is_some_and(|recipient| withdrawn.bars(realm, recipient)) {
                    true => barred(),
                    false => keep(),
                }
            }
            // What comes too late for the list is left out when it is shipped.
            Behind::Postgres(postgres) => match recipient {
                Some(recipient) if postgres.withdrawn(realm, recipient) != Withdrawn::No => {
                    barred()
                }
                _ => keep(),
            },
        }
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
        let keep = || match &self.inner.behind {
            Behind::Here(here) => {
                let (repeats, journal) = (&here.repeats, &*self.inner.journal);
                repeats.append(message, (journal, &here.index), |again, _| {
                    self.append_record(message, record::encode_message(message, again))
                })
            }
            // Whether it repeats one of another replica is known there.
            Behind::Postgres(_) => {
                self.append_record(message, record::encode_message(message, false))
            }
        };
        self.unless_barred(&message.domain, message.recipient.as_ref(), keep)
    }

    /// Keeps of a message that it was sent, and nothing that names it or its
    /// reader; else the same.
    pub fn append_sent(&self, message: &MessageRecord) -> Pending {
        let keep = || match &self.inner.behind {
            Behind::Here(here) => {
                let (repeats, journal) = (&here.repeats, &*self.inner.journal);
                repeats.append(message, (journal, &here.index), |again, mail| {
                    let sent = record::encode_sent(&record::Sent {
                        domain: message.domain.as_str(),
                        mail: mail.0,
                        rewritten_at: message.rewritten_at,
                        sent_at: message.sent_at,
                        test: message.test,
                        again,
                    });
                    let time_ms = time_ms(message);
                    journal.append(&self.messages, record::SENT, time_ms, &sent)
                })
            }
            // By what mails are told from each other is known there.
            Behind::Postgres(_) => self.append_record(message, record::encode_sent_alone(message)),
        };
        self.unless_barred(&message.domain, message.recipient.as_ref(), keep)
    }

    fn append_record(&self, message: &MessageRecord, payload: Option<Vec<u8>>) -> Pending {
        let journal = &self.inner.journal;
        match payload {
            Some(payload) => {
                let time_ms = time_ms(message);
                journal.append(&self.messages, record::MESSAGE, time_ms, &payload)
            }
            None => journal.refuse(record::MESSAGE),
        }
    }

    /// Keeps a recipient's withdrawal from a domain. It counts at once.
    pub fn withdraw(&self, realm: &Realm, recipient: &Recipient) -> Pending {
        match &self.inner.behind {
            Behind::Here(here) => here.withdrawals.add(realm, recipient, now_ms()),
            Behind::Postgres(postgres) => postgres.withdraw(realm, recipient),
        }
    }

    /// Erases a recipient of a domain: nothing of theirs is recorded from now
    /// on, and nothing of theirs is kept when this returns. Waits for the disk,
    /// some 20 ms for each segment that holds records of theirs, or for the
    /// database, so call it off the runtime. Ended in the middle, or refused, it
    /// can be asked for again.
    pub fn erase(&self, realm: &Realm, recipient: &Recipient) -> Result<Erased, EraseError> {
        let erased = match &self.inner.behind {
            Behind::Here(here) => self.erase_here(here, realm, recipient)?,
            Behind::Postgres(postgres) => postgres.erase(realm, recipient)?,
        };
        tracing::info!(
            events = erased.events,
            messages = erased.messages,
            "a recipient is erased"
        );
        Ok(erased)
    }

    fn erase_here(
        &self,
        here: &Here,
        realm: &Realm,
        recipient: &Recipient,
    ) -> Result<Erased, EraseError> {
        self.withdraw(realm, recipient).wait()?;
        let whom = Whom { realm, recipient };
        let lookup = here.index.lookup();
        // Those that are being settled meanwhile end up in neither: whoever
        // appends looks at the list.
        erase::erase(&self.inner.hits, None, whom)?;
        let removed = erase::erase(&self.inner.journal, Some(&lookup), whom)?;
        Ok(Erased::from(removed))
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
        match &self.inner.behind {
            Behind::Here(here) => here.withdrawals.check(realm, recipient),
            Behind::Postgres(postgres) => postgres.withdrawn(realm, recipient),
        }
    }

    /// Whether the list of withdrawals is loaded: until then nothing that names
    /// a recipient may be recorded.
    pub fn withdrawals_loaded(&self) -> bool {
        match &self.inner.behind {
            Behind::Here(here) => here.withdrawals.loaded(),
            Behind::Postgres(postgres) => postgres.withdrawals_loaded(),
        }
    }

    /// What deliveries to event sinks are made from; made within a runtime.
    pub fn outbox(&self) -> io::Result<Arc<dyn Outbox>> {
        Ok(match &self.inner.behind {
            Behind::Here(_) => Arc::new(Embedded::new(self.clone())?),
            Behind::Postgres(postgres) => Arc::new(postgres.outbox()),
        })
    }

    /// Lists events, with tags and link names of their message record; waits
    /// for the disk, so call it off the runtime.
    pub fn events(&self, query: &EventQuery) -> Result<EventPage, QueryError> {
        let here = match &self.inner.behind {
            Behind::Here(here) => here,
            Behind::Postgres(postgres) => return postgres.events(query),
        };
        // Read before the list is: what settles meanwhile is found there.
        let unsettled = match query.provisional {
            true => self.ask(here, |sources| provisional::unsettled(sources, query, here))?,
            false => Vec::new(),
        };
        let page = self.ask(here, |sources| list::events(sources, query))?;
        Ok(provisional::behind(page, query, unsettled))
    }

    /// Looks for messages; waits for the disk, so call it off the runtime.
    pub fn messages(&self, query: &MessageQuery) -> Result<MessagePage, QueryError> {
        match &self.inner.behind {
            Behind::Here(here) => self.ask(here, |sources| search::messages(sources, query)),
            Behind::Postgres(postgres) => postgres.messages(query),
        }
    }

    /// What became of a message, none where nothing is known of it; waits for
    /// the disk, so call it off the runtime.
    pub fn summary(&self, query: &SummaryQuery) -> Result<Option<MessageSummary>, QueryError> {
        match &self.inner.behind {
            Behind::Here(here) => self.ask(here, |sources| summary::summary(sources, query)),
            Behind::Postgres(postgres) => postgres.summary(query),
        }
    }

    /// On which days a reader last did something, where no more is kept of that;
    /// waits for the disk, so call it off the runtime.
    pub fn last_dates(
        &self,
        realm: &Realm,
        recipient: &Recipient,
    ) -> Result<Vec<LastDate>, QueryError> {
        match &self.inner.behind {
            Behind::Here(here) => {
                self.ask(here, |sources| lasts::of_reader(sources, realm, recipient))
            }
            Behind::Postgres(postgres) => postgres.last_dates(realm, recipient),
        }
    }

    /// What happened in each hour, since 1970, in which anything did; waits for
    /// the disk, so call it off the runtime.
    pub fn stats(&self, query: &StatsQuery) -> Result<BTreeMap<u32, HourCounts>, QueryError> {
        match &self.inner.behind {
            Behind::Here(here) => self.ask(here, |sources| counts::stats(sources, query)),
            Behind::Postgres(postgres) => postgres.stats(query),
        }
    }

    fn ask<T>(&self, here: &Here, question: impl FnOnce(list::Sources<'_>) -> T) -> T {
        question(list::Sources {
            reader: &self.inner.journal.reader(),
            lookup: &here.index.lookup(),
            key: &self.inner.folder.key,
            budget: Budget::new(READ_MAX_BYTES),
        })
    }

    /// How many bytes of the journal the index says nothing about yet; reading
    /// these takes longer. A database has none.
    pub fn index_behind_bytes(&self) -> u64 {
        match &self.inner.behind {
            Behind::Here(here) => here.index.behind_bytes(&self.inner.journal.reader()),
            Behind::Postgres(_) => 0,
        }
    }

    /// Whether every hit that was appended is settled, or could not be kept;
    /// with a database, whether it is there.
    pub fn is_settled(&self) -> bool {
        match &self.inner.behind {
            Behind::Here(here) => here.settle.is_done(),
            Behind::Postgres(postgres) => postgres.has_shipped_all(),
        }
    }

    /// How many records wait to be written.
    pub fn queued(&self) -> usize {
        self.inner.hits.queued() + self.inner.journal.queued()
    }

    /// Takes nothing more from this call on; ready when what is queued is
    /// kept. Hits that are not settled by then settle after the next start. With
    /// a database, what is kept is shipped before, as far as that succeeds
    /// within a bounded time.
    pub fn close(&self) -> impl Future<Output = Result<(), NotKept>> + Send + use<> {
        let withdrawals = match &self.inner.behind {
            Behind::Here(here) => {
                here.settle.close();
                here.withdrawals.close()
            }
            Behind::Postgres(_) => Pending::known(Ok(())),
        };
        let hits = self.inner.hits.close(&self.hits);
        let journal = self.inner.journal.close(&self.messages);
        let inner = Arc::clone(&self.inner);
        async move {
            let kept = withdrawals.await.and(hits.await).and(journal.await);
            if let Behind::Postgres(postgres) = &inner.behind {
                postgres.ship_the_rest().await;
            }
            kept
        }
    }
}

fn time_ms(message: &MessageRecord) -> u64 {
    u64::try_from(message.rewritten_at.as_millisecond()).unwrap_or(0)
}

/// The time, in milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
impl Inner {
    /// What the embedded store has.
    fn here(&self) -> &Here {
        match &self.behind {
            Behind::Here(here) => here,
            Behind::Postgres(_) => unreachable!("these tests have no database"),
        }
    }
}

#[cfg(test)]
mod tests;
