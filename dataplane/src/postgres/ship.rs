//! What is in the spools goes to the database: in order, once, as soon as it
//! can be.
//!
//! # Flow
//!
//! A task holds a connection. It looks at the spool of message records, then at
//! that of hits, sends what it finds there in a transaction, and removes the
//! segments that are shipped. The transaction moves the replica's place as well
//! (`mailtrail.replicas`), by the numbers of the journal.
//!
//! # Guarantees
//!
//! - A record is removed here only when its transaction is committed; where
//!   that is not known, the place says so to the next connection. So nothing is
//!   lost and nothing comes twice, wherever the process, the connection or the
//!   server ends.
//! - A folder that is an older copy, or a copy that another process ships, gets
//!   another name; what was shipped before is known by its ids.
//! - Of who withdrew no hit is written, and nothing of who was erased: it is
//!   asked under [`READERS_LOCK`].
//! - A record that the server does not take (a fault of its data, not of the
//!   moment) is found by halves, counted and left out: it holds nothing up.
//! - What is not committed within a bounded time is tried again, later and later,
//!   with jitter.

mod send;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::fault::Fault;
use super::link::Link;
use super::rows::Sorted;
use super::schema;
use super::settle::WAITED_MAX;
use super::spool::{BATCH_RECORDS, Batch, Spool};
use super::wait::Waits;
use super::{Shared, list, purge};
use crate::store::now_ms;

pub(super) use send::{add_sent, copy};

/// How often the spools are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often it is said that this replica is there, and up to when all its hits
/// are, where there are none.
const BEAT_EVERY: Duration = Duration::from_millis(500);
/// How often it is asked who has withdrawn.
const LIST_EVERY: Duration = Duration::from_secs(1);
/// How often partitions are made ahead.
const DAYS_EVERY: Duration = Duration::from_secs(3600);
/// Longest time for a batch, some hundred times what one takes.
const BATCH_TIME: Duration = Duration::from_secs(30);

/// Which journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Hits,
    Messages,
}

/// Ships, until a stop.
pub(super) struct Shipper {
    shared: Arc<Shared>,
    replica: Uuid,
    /// What tells this process from another with a copy of the folder.
    session: Uuid,
    /// None until the database has said up to where.
    spools: Option<Spools>,
    /// Most records of the next batch: fewer where one is not taken.
    most: usize,
    /// Whether what is sent may be there already.
    careful: bool,
}

struct Spools {
    hits: Spool,
    messages: Spool,
}

/// A connection with the database brought up to date, and when what was last
/// done over it.
struct Open {
    link: Link,
    beat: Option<Instant>,
    listed: Option<Instant>,
    days_made: Instant,
    days: BTreeSet<i64>,
    /// The ids of the keys with which this replica is known.
    keys: Vec<String>,
}

impl Shipper {
    pub(super) fn new(shared: Arc<Shared>, replica: Uuid) -> Self {
        Self {
            shared,
            replica,
            session: Uuid::new_v4(),
            spools: None,
            most: BATCH_RECORDS,
            careful: false,
        }
    }

    /// Ships until a stop is asked for and nothing is left.
    pub(super) async fn run(mut self) {
        let mut waits = Waits::new("shipping");
        loop {
            let ended = self.ship(&mut waits).await;
            let shared = Arc::clone(&self.shared);
            shared.metrics.connected.set(0);
            match ended {
                Ok(()) => break,
                Err(fault) => {
                    shared.metrics.count(&fault);
                    waits.failed(&fault, self.lag().0);
                }
            }
            self.measure();
            tokio::select! {
                () = sleep(waits.pause()) => {}
                // A stop leaves little time: each moment counts.
                () = shared.closing() => sleep(LOOK_EVERY).await,
            }
        }
        // Whoever waits for the end has what it waited for.
        self.shared.shipped_all.send_replace(true);
    }

    /// One connection, for as long as it is good.
    async fn ship(&mut self, waits: &mut Waits) -> Result<(), Fault> {
        let mut open = self.open().await?;
        self.shared.metrics.connected.set(1);
        loop {
            let shipped = timeout(BATCH_TIME, self.look(&mut open)).await;
            let is_idle = shipped.map_err(Fault::from).flatten()?;
            // Not before: a full server lets everybody in and takes nothing.
            waits.succeeded();
            self.measure();
            if !is_idle {
                continue;
            }
            if self.shared.is_closing() && self.is_empty() {
                return timeout(BATCH_TIME, self.leave(&open)).await?;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Connects, brings the schema up to date, and finds out where shipping is.
    async fn open(&mut self) -> Result<Open, Fault> {
        let shared = Arc::clone(&self.shared);
        let mut link = Link::open(&shared.settings.address).await?;
        let own_key = shared.folder.key_bytes()?;
        let key = schema::migrate(&mut link, &own_key).await?;
        self.bring_withdrawals(&mut link, key == own_key).await?;
        shared.list.open(&key);
        let days = schema::days_ahead(now_ms());
        schema::make_days(&mut link, &days).await?;
        self.find_place(&link).await?;
        Ok(Open {
            link,
            beat: None,
            listed: None,
            days_made: Instant::now(),
            days,
            keys: Vec::new(),
        })
    }

    /// Withdrawals of a time without a database are the database's now.
    async fn bring_withdrawals(&self, link: &mut Link, same_key: bool) -> Result<(), Fault> {
        let brought = &self.shared.withdrawals_brought;
        if brought.load(Ordering::SeqCst) || self.shared.own_withdrawals.is_empty() {
            return Ok(());
        }
        if !same_key {
            return Err(Fault::OtherKey);
        }
        list::write(link, &self.shared.own_withdrawals, list::Why::Withdrawn).await?;
        brought.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Where shipping is: the first time as the database says, later, too, since
    /// the last commit may have been made.
    async fn find_place(&mut self, link: &Link) -> Result<(), Fault> {
        loop {
            let (hits, messages) = self.said_place(link).await?;
            let (own_hits, own_messages) = (&self.shared.hits, &self.shared.messages);
            let is_older = hits >= own_hits.reader().next_seq()
                || messages >= own_messages.reader().next_seq();
            if is_older {
                tracing::warn!(
                    "PostgreSQL: this data folder is older than what was shipped from it; it is shipped under another name"
                );
                self.rename()?;
                continue;
            }
            self.spools = Some(Spools {
                hits: Spool::new(Arc::clone(own_hits), hits),
                messages: Spool::new(Arc::clone(own_messages), messages),
            });
            return Ok(());
        }
    }

    fn rename(&mut self) -> Result<(), Fault> {
        self.replica = self.shared.folder.new_replica()?;
        self.careful = true;
        Ok(())
    }

    async fn said_place(&self, link: &Link) -> Result<(u64, u64), Fault> {
        link.execute(
            "INSERT INTO mailtrail.replicas AS r (replica, session) VALUES ($1, $2)
             ON CONFLICT (replica) DO UPDATE SET session = $2, seen_at = clock_timestamp(),
               hits_until = CASE r.hits_until WHEN 'infinity' THEN '-infinity' ELSE r.hits_until END",
            &[&self.replica, &self.session],
        )
        .await?;
        let row = link
            .query_one(
                "SELECT hits_up_to, messages_up_to FROM mailtrail.replicas WHERE replica = $1",
                &[&self.replica],
            )
            .await?;
        let number = |at| row.try_get::<_, i64>(at).map(|number| number as u64);
        Ok((number(0)?, number(1)?))
    }

    /// Does what is to be done; says whether nothing was shipped.
    async fn look(&mut self, open: &mut Open) -> Result<bool, Fault> {
        if is_due(&mut open.listed, LIST_EVERY) {
            self.learn(open).await?;
        }
        // Message records first: verdicts ask for them.
        let messages = self.ship_batch(open, Which::Messages).await?;
        let hits = self.ship_batch(open, Which::Hits).await?;
        if open.days_made.elapsed() >= DAYS_EVERY {
            open.days_made = Instant::now();
            schema::make_days(&mut open.link, &schema::days_ahead(now_ms())).await?;
        }
        Ok(messages && hits)
    }

    /// Asks who has withdrawn; what is here of who was erased goes.
    async fn learn(&mut self, open: &mut Open) -> Result<(), Fault> {
        let shared = Arc::clone(&self.shared);
        if shared.list.follow(&open.link).await? || shared.purge_again.load(Ordering::SeqCst) {
            purge::purge(&shared).await?;
        }
        let keys = shared.modes.key_ids();
        if keys != open.keys {
            self.join(&mut open.link, &keys).await?;
            open.keys = keys;
        }
        Ok(())
    }

    /// Says which keys this replica has, where the others have some of them: else
    /// its links would be dead at theirs.
    async fn join(&self, link: &mut Link, keys: &[String]) -> Result<(), Fault> {
        let change = link.transaction().await?;
        // One after the other, so that the second knows of the first.
        change
            .execute("SELECT pg_advisory_xact_lock($1)", &[&schema::SCHEMA_LOCK])
            .await?;
        let others = "SELECT EXISTS (SELECT FROM mailtrail.replicas
            WHERE replica <> $1 AND NOT keys && $2
              AND seen_at > clock_timestamp() - make_interval(secs => $3))";
        let row = change
            .query_one(others, &[&self.replica, &keys, &WAITED_MAX])
            .await?;
        if row.try_get(0)? {
            return Err(Fault::OtherKeyring);
        }
        let ours = "UPDATE mailtrail.replicas SET keys = $2 WHERE replica = $1";
        change.execute(ours, &[&self.replica, &keys]).await?;
        Ok(change.commit().await?)
    }

    /// Ships what a spool has next; says whether that was the last.
    async fn ship_batch(&mut self, open: &mut Open, which: Which) -> Result<bool, Fault> {
        let batch = self.read(which)?;
        let is_last = batch.is_last;
        if batch.records.is_empty() {
            self.beat(open, which, &batch).await?;
            self.done(which, &batch)?;
            return Ok(is_last);
        }
        let is_beat = which == Which::Hits;
        match self.send(open, which, batch).await {
            Ok(batch) => {
                if is_beat {
                    open.beat = Some(Instant::now());
                }
                self.most = (self.most * 2).min(BATCH_RECORDS);
                self.done(which, &batch)?;
                Ok(is_last)
            }
            Err(fault) => self.not_taken(fault),
        }
    }

    /// What is done about a batch that was not taken: where it is known why, it
    /// is tried again at once.
    fn not_taken(&mut self, fault: Fault) -> Result<bool, Fault> {
        match fault {
            Fault::Twice if !self.careful => self.careful = true,
            Fault::Row(_) if self.most > 1 => self.most /= 2,
            Fault::Moved => {
                self.rename()?;
                return Err(fault);
            }
            _ => return Err(fault),
        }
        self.shared.metrics.count(&fault);
        Ok(false)
    }

    fn read(&self, which: Which) -> Result<Batch, Fault> {
        let read = || self.spool(which)?.read(self.most).map_err(Fault::from);
        tokio::task::block_in_place(read)
    }

    fn done(&mut self, which: Which, batch: &Batch) -> Result<(), Fault> {
        let spool = match (&mut self.spools, which) {
            (Some(spools), Which::Hits) => &mut spools.hits,
            (Some(spools), Which::Messages) => &mut spools.messages,
            (None, _) => return Ok(()),
        };
        tokio::task::block_in_place(|| {
            spool.pass(batch)?;
            Ok(spool.roll()?)
        })
    }

    fn spool(&self, which: Which) -> Result<&Spool, Fault> {
        let spools = self.spools.as_ref().ok_or(Fault::Slow)?;
        Ok(match which {
            Which::Hits => &spools.hits,
            Which::Messages => &spools.messages,
        })
    }

    /// Says that this replica is there, and up to when all its hits are.
    async fn beat(&self, open: &mut Open, which: Which, batch: &Batch) -> Result<(), Fault> {
        if which == Which::Messages || !is_due(&mut open.beat, BEAT_EVERY) {
            return Ok(());
        }
        let until = jiff::Timestamp::from_millisecond(batch.until_ms as i64).unwrap_or_default();
        open.link
            .execute(
                "UPDATE mailtrail.replicas SET hits_until = greatest(hits_until, $2),
                   seen_at = clock_timestamp()
                 WHERE replica = $1",
                &[&self.replica, &until],
            )
            .await?;
        Ok(())
    }

    /// This replica goes, with nothing left: nobody need wait for it.
    async fn leave(&self, open: &Open) -> Result<(), Fault> {
        open.link
            .execute(
                "UPDATE mailtrail.replicas SET hits_until = 'infinity' WHERE replica = $1",
                &[&self.replica],
            )
            .await?;
        tracing::info!("PostgreSQL: all is shipped");
        Ok(())
    }

    // === Measuring ===

    fn is_empty(&self) -> bool {
        let spools = self.spools.as_ref();
        spools.is_some_and(|spools| spools.hits.is_empty() && spools.messages.is_empty())
    }

    fn lag(&self) -> (u64, Option<u64>) {
        let shared = &self.shared;
        let of = |spool: &Spool| spool.lag();
        let (hits, messages) = match &self.spools {
            Some(spools) => (of(&spools.hits), of(&spools.messages)),
            // Where it is is not known: all of it.
            None => (
                of(&Spool::new(Arc::clone(&shared.hits), 0)),
                of(&Spool::new(Arc::clone(&shared.messages), 0)),
            ),
        };
        let oldest = [hits.1, messages.1].into_iter().flatten().min();
        (hits.0 + messages.0, oldest)
    }

    fn measure(&self) {
        let (records, oldest_ms) = self.lag();
        let metrics = &self.shared.metrics;
        metrics.lag_records.set(records as i64);
        let age_ms = oldest_ms.map_or(0, |oldest| now_ms().saturating_sub(oldest));
        metrics.lag_seconds.set(match records {
            0 => 0.0,
            _ => age_ms as f64 / 1000.0,
        });
        metrics.spool_bytes.set(self.shared.spool_bytes() as i64);
        self.shared.tell_dropped();
        if let Some(Spools { hits, messages }) = &self.spools {
            let [of_hits, of_messages] = &self.shared.shipped;
            of_hits.store(hits.shipped(), Ordering::SeqCst);
            of_messages.store(messages.shipped(), Ordering::SeqCst);
        }
    }
}

/// Whether something is due that is done every so often; then it counts as done.
fn is_due(last: &mut Option<Instant>, every: Duration) -> bool {
    let due = last.is_none_or(|last| last.elapsed() >= every);
    if due {
        *last = Some(Instant::now());
    }
    due
}

/// The days that the rows of a batch belong to, of which there may be no
/// partition: of long ago, as after an outage.
fn days_of(sorted: &Sorted) -> BTreeSet<i64> {
    let ids = sorted.hits.iter().map(|row| row.id);
    let ids = ids.chain(sorted.messages.iter().map(|row| row.id));
    ids.map(|id| schema::day_of((id.as_u128() >> 80) as u64))
        .collect()
}
