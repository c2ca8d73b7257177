//! PostgreSQL, where one machine is not enough: any number of replicas serve
//! one truth.
//!
//! # Flow
//!
//! 1. What is answered for is kept in the journals of the data folder, as ever:
//!    nothing on the way of a reader knows of a database.
//! 2. [`ship`]: each replica sends what stands there, in order, and removes it
//!    once it is there. The journals are a spool.
//! 3. [`settle`]: one replica at a time judges the hits of all.
//! 4. [`ask`]: lists, summaries and counts are asked of the database, with the
//!    answers that the embedded store would give.
//!
//! # Guarantees
//!
//! - What was acknowledged to a reader is in the database once, as soon as that
//!   can be, whatever ends: a process, the server, the connection between them.
//! - Events are numbered in the order in which they settle, without gaps, and
//!   seen with all before them: a cursor misses nothing and repeats nothing.
//! - A withdrawal or an erasure is kept when its answer says so, and known to all
//!   replicas [`ship`]'s second later. A replica that does not know the list yet
//!   records nothing of who is named; what others recorded without knowing is
//!   left out when it is shipped or settled.
//! - The spool has a bound. At it what comes is dropped, counted and told.
//!
//! # Assumptions
//!
//! PostgreSQL 15 or later, its text in UTF-8, a user that may create a schema
//! or owns the schema `mailtrail`, and connections that are a session's own
//! (no pooler between that lends them by transaction). What it has committed
//! it keeps.
//!
//! # Caveats
//!
//! Rows that were erased are gone from the tables; the server's own files
//! forget them with `VACUUM`, its log and its backups in their time.

mod address;
mod ask;
mod copy;
mod erase;
mod event_row;
mod fault;
mod last;
mod link;
mod list;
mod metrics;
mod outbox;
mod purge;
mod retain;
mod rows;
mod schema;
mod settle;
mod ship;
mod spool;
mod wait;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mailtrail_core::id::{Realm, Recipient};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;
use uuid::Uuid;

use crate::judge::LiveRules;
use crate::metrics::Metrics;
use crate::store::disk::RealDisk;
use crate::store::folder::Folder;
use crate::store::journal::{Journal, JournalMetrics, Limits, NotKept, Pending};
use crate::store::{
    EraseError, Erased, EventPage, EventQuery, HourCounts, LastDate, MessagePage, MessageQuery,
    MessageSummary, Modes, QueryError, Retention, SettleMetrics, StatsQuery, SummaryQuery,
    Withdrawn, withdrawals,
};
use link::{Link, Pool};
use list::{List, Why};
use outbox::DatabaseOutbox;
use spool::Spool;

pub use address::{Address, AddressError};
pub use fault::Fault;
pub use metrics::PostgresMetrics;

/// Threads that speak to the database.
const THREADS: usize = 2;
/// Longest wait for a withdrawal to be written.
const WITHDRAW_TIME: Duration = Duration::from_secs(4);
/// Longest wait for an erasure; it can be asked for again.
const ERASE_TIME: Duration = Duration::from_secs(60);
/// Longest wait for what is past its retention to go; the rest goes later.
const RETAIN_TIME: Duration = Duration::from_secs(600);
/// How often it is looked whether retention is to stop.
const STOP_POLL: Duration = Duration::from_millis(100);
/// How long a stop waits for the spool to be shipped.
pub const SHIP_TIME: Duration = Duration::from_secs(15);
/// How long it waits where nothing is left to ship: for the others to be told.
const LEAVE_TIME: Duration = Duration::from_secs(1);
/// How often it is told that records are dropped, while they are.
const DROPPED_EVERY: Duration = Duration::from_secs(10);
/// A segment is so much of a small spool, and 32 MiB of a large one: segments
/// are removed whole.
const SEGMENTS_LEAST: u64 = 16;
/// The largest segment, in bytes.
const SEGMENT_MAX_BYTES: u64 = 32 << 20;
/// The most that a segment is filled ahead, in bytes.
const FILL_MAX_BYTES: u64 = 1 << 20;

/// Where the database is, and how much may wait for it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it is.
    pub address: Arc<Address>,
    /// Most bytes of the spool; above it what comes is dropped.
    pub spool_max_bytes: u64,
}

/// What speaks to the database does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder does not say who ships, or what it holds.
    #[error("the data folder cannot be used as a spool: {0}")]
    Folder(io::Error),
    /// The threads do not start.
    #[error("the threads for PostgreSQL do not start: {0}")]
    Threads(io::Error),
}

/// A database behind the journals.
pub(crate) struct Postgres {
    shared: Arc<Shared>,
    handle: Handle,
    runtime: Option<Runtime>,
}

/// What the tasks share.
struct Shared {
    settings: Settings,
    folder: Arc<Folder>,
    hits: Arc<Journal>,
    messages: Arc<Journal>,
    list: List,
    modes: Modes,
    pool: Pool,
    metrics: PostgresMetrics,
    settle_metrics: SettleMetrics,
    journals: [JournalMetrics; 2],
    /// Withdrawals of a time without a database, and whether it has them.
    own_withdrawals: Vec<Uuid>,
    withdrawals_brought: AtomicBool,
    /// Somebody was erased, and the spool may still hold records of theirs.
    purge_again: AtomicBool,
    /// Up to which numbers of hits and of messages all is shipped, as far as
    /// that is known.
    shipped: [AtomicU64; 2],
    dropped: Mutex<Dropped>,
    closing: watch::Sender<bool>,
    shipped_all: watch::Sender<bool>,
}

/// What was told of dropped records.
#[derive(Default)]
struct Dropped {
    told: u64,
    at: Option<Instant>,
}

impl Settings {
    /// The bounds of each of the two journals.
    pub(crate) fn limits(&self) -> Limits {
        let total_bytes = self.spool_max_bytes / 2;
        let segment_bytes = (total_bytes / SEGMENTS_LEAST).min(SEGMENT_MAX_BYTES);
        Limits {
            segment_bytes,
            total_bytes,
            fill_bytes: (segment_bytes / 4).clamp(4096, FILL_MAX_BYTES),
        }
    }
}

impl Postgres {
    /// Starts to ship and to settle, whether the database is there or not.
    pub(crate) fn open(
        settings: Settings,
        (settle, rules, modes): (Duration, Option<Arc<LiveRules>>, Modes),
        (folder, hits, messages): (&Arc<Folder>, &Arc<Journal>, &Arc<Journal>),
        metrics: &Metrics,
    ) -> Result<Self, StartError> {
        let replica = folder.replica().map_err(StartError::Folder)?;
        let (own, damaged) =
            withdrawals::read_all(Arc::new(RealDisk), &folder.dir).map_err(StartError::Folder)?;
        if damaged > 0 {
            tracing::error!(
                damaged,
                "withdrawals of the data folder are damaged: whose are lost is recorded again; restore the folder from a backup"
            );
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("postgres")
            .enable_all()
            .build()
            .map_err(StartError::Threads)?;
        let shared = Arc::new(Shared {
            pool: Pool::new(Arc::clone(&settings.address)),
            settings,
            folder: Arc::clone(folder),
            hits: Arc::clone(hits),
            messages: Arc::clone(messages),
            list: List::default(),
            modes,
            metrics: metrics.postgres.clone(),
            settle_metrics: metrics.settle.clone(),
            journals: [metrics.hits.clone(), metrics.journal.clone()],
            own_withdrawals: own.into_iter().map(Uuid::from_bytes).collect(),
            withdrawals_brought: AtomicBool::new(false),
            purge_again: AtomicBool::new(false),
            shipped: Default::default(),
            dropped: Mutex::default(),
            closing: watch::Sender::new(false),
            shipped_all: watch::Sender::new(false),
        });
        runtime.spawn(ship::Shipper::new(Arc::clone(&shared), replica).run());
        runtime.spawn(settle::Settler::new(Arc::clone(&shared), settle, rules).run());
        Ok(Self {
            shared,
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    /// What deliveries are made from.
    pub(crate) fn outbox(&self) -> DatabaseOutbox {
        DatabaseOutbox::new(Arc::clone(&self.shared))
    }

    /// Whether a recipient has withdrawn; answers from memory.
    pub(crate) fn withdrawn(&self, realm: &Realm, recipient: &Recipient) -> Withdrawn {
        self.shared.list.check(realm, recipient)
    }

    /// Whether it is known who has withdrawn.
    pub(crate) fn withdrawals_loaded(&self) -> bool {
        self.shared.list.is_loaded()
    }

    /// Whether all that was kept is shipped, as far as that is known.
    pub(crate) fn has_shipped_all(&self) -> bool {
        self.shared.spools().all(|spool| spool.is_empty())
    }

    /// Keeps a withdrawal. It counts here at once, even where it is not kept.
    pub(crate) fn withdraw(&self, realm: &Realm, recipient: &Recipient) -> Pending {
        let shared = Arc::clone(&self.shared);
        let Some(who) = shared.list.who(realm.as_str(), recipient.as_str()) else {
            return Pending::known(Err(NotKept));
        };
        shared.list.note(who, Why::Withdrawn);
        let (tell, told) = oneshot::channel();
        self.handle.spawn(async move {
            let written = shared.put_on_list(who, Why::Withdrawn).await;
            // Who asked may be gone.
            let _ = tell.send(written.map_err(|_| NotKept));
        });
        Pending::told(told)
    }

    /// Erases a recipient of a domain from the database and this data folder;
    /// the other replicas' follow within a second or two.
    pub(crate) fn erase(&self, realm: &Realm, recipient: &Recipient) -> Result<Erased, EraseError> {
        let shared = &self.shared;
        let who = shared.list.who(realm.as_str(), recipient.as_str());
        let who = who.ok_or(EraseError::NotSuppressed(NotKept))?;
        shared.list.note(who, Why::Erased);
        self.handle.block_on(async {
            let written = shared.put_on_list(who, Why::Erased).await;
            written.map_err(|_| EraseError::NotSuppressed(NotKept))?;
            purge::purge(shared).await?;
            let erasing = async |link: &mut Link| erase::erase(link, realm, recipient).await;
            let erased = shared.pool.ask(ERASE_TIME, erasing).await;
            Ok(erased.inspect_err(|fault| shared.metrics.count(fault))?)
        })
    }

    /// Removes what is past its retention, unless another replica does, or until
    /// it is stopped.
    pub(crate) fn retain(
        &self,
        retention: &Retention,
        now_ms: u64,
        stopped: &AtomicBool,
    ) -> Result<(), Fault> {
        if !self.withdrawals_loaded() {
            return Err(Fault::Slow);
        }
        let shared = &self.shared;
        let retained = self.handle.block_on(async {
            let retaining = async |link: &mut Link| retain::retain(link, retention, now_ms).await;
            let stop = async {
                while !stopped.load(Ordering::SeqCst) {
                    tokio::time::sleep(STOP_POLL).await;
                }
            };
            tokio::select! {
                retained = shared.pool.ask(RETAIN_TIME, retaining) => retained.map(drop),
                // What is left goes after the next start.
                () = stop => Ok(()),
            }
        });
        retained.inspect_err(|fault| {
            shared.metrics.count(fault);
            tracing::warn!(%fault, "retention: PostgreSQL refused something, trying again");
        })
    }

    /// Ships what is left, within a bounded time. Nothing may be appended any
    /// more.
    pub(crate) async fn ship_the_rest(&self) {
        let mut shipped = self.shared.shipped_all.subscribe();
        self.shared.closing.send_replace(true);
        let all = shipped.wait_for(|all| *all);
        if self.shared.holds_nothing() {
            if timeout(LEAVE_TIME, all).await.is_err() {
                tracing::info!("PostgreSQL: does not answer; nothing is left to be shipped");
            }
        } else if timeout(SHIP_TIME, all).await.is_err() {
            tracing::warn!(
                "PostgreSQL: not all could be shipped; the rest is after the next start"
            );
        }
    }

    // === Questions ===

    pub(crate) fn events(&self, query: &EventQuery) -> Result<EventPage, QueryError> {
        self.ask(async |shared, client| ask::events(shared, client, query).await)
    }

    pub(crate) fn messages(&self, query: &MessageQuery) -> Result<MessagePage, QueryError> {
        self.ask(async |shared, client| ask::messages(shared, client, query).await)
    }

    pub(crate) fn summary(
        &self,
        query: &SummaryQuery,
    ) -> Result<Option<MessageSummary>, QueryError> {
        self.ask(async |_, link| ask::summary(link, query).await)
    }

    pub(crate) fn last_dates(
        &self,
        realm: &Realm,
        recipient: &Recipient,
    ) -> Result<Vec<LastDate>, QueryError> {
        self.ask(async |_, link| Ok(last::of_reader(link, realm, recipient).await?))
    }

    pub(crate) fn stats(
        &self,
        query: &StatsQuery,
    ) -> Result<BTreeMap<u32, HourCounts>, QueryError> {
        self.ask(async |shared, client| ask::stats(shared, client, query).await)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // A runtime must not be waited for within another.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Shared {
    fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// Ready when a stop is asked for.
    async fn closing(&self) {
        // The sender lives as long as this does.
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }

    /// Both journals from where all is shipped, as far as that is known.
    fn spools(&self) -> impl Iterator<Item = Spool> {
        let journals = [&self.hits, &self.messages].into_iter().zip(&self.shipped);
        journals
            .map(|(journal, up_to)| Spool::new(Arc::clone(journal), up_to.load(Ordering::SeqCst)))
    }

    /// Whether nothing in the data folder is to be shipped, as far as that is
    /// known.
    fn holds_nothing(&self) -> bool {
        // Where that cannot be read, something may be there.
        self.spools()
            .all(|spool| spool.holds_nothing().unwrap_or(false))
    }

    async fn put_on_list(&self, who: Uuid, why: Why) -> Result<(), Fault> {
        let writing = async |link: &mut Link| list::write(link, &[who], why).await;
        let written = self.pool.ask(WITHDRAW_TIME, writing).await;
        written.inspect_err(|fault| {
            self.metrics.count(fault);
            tracing::warn!(%fault, "PostgreSQL: a withdrawal could not be kept");
        })
    }

    fn spool_bytes(&self) -> u64 {
        let bytes = self.journals.iter().map(|journal| journal.bytes.get());
        bytes.map(|bytes| u64::try_from(bytes).unwrap_or(0)).sum()
    }

    /// Says how many records were dropped, while some are.
    fn tell_dropped(&self) {
        let dropped: u64 = self
            .journals
            .iter()
            .map(|journal| journal.events_not_kept.get() + journal.others_not_kept.get())
            .sum();
        let mut told = self
            .dropped
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_time = told.at.is_none_or(|at| at.elapsed() >= DROPPED_EVERY);
        if dropped > told.told && is_time {
            tracing::error!(
                records = dropped - told.told,
                since_start = dropped,
                spool_max_bytes = self.settings.spool_max_bytes,
                "the spool takes nothing: it is at its bound (--spool-max), or the disk is full. Records are dropped until PostgreSQL takes what waits"
            );
            told.told = dropped;
            told.at = Some(Instant::now());
        }
    }
}
