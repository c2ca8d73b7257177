//! From the hits of all replicas to settled events: judged once, in order, each
//! with a number that nobody sees before all smaller ones.
//!
//! # One at a time
//!
//! Every replica tries to get the lock of who settles, which belongs to a
//! connection: it is free again when that ends, however it does, and what it had
//! not committed is undone before. So no two settle at once. Numbers are given in
//! the transaction that writes their events, the next one begins when that is
//! committed: a reader who sees a number sees all smaller ones.
//!
//! # Whose hits are waited for
//!
//! A verdict needs all hits of its mail within some seconds, whichever replica
//! had them. Each replica says up to which moment, by its own clock, all its hits
//! are here (`replicas.hits_until`; with the rows themselves, and twice a second
//! where there are none). The earliest of these is the **horizon**: up to there
//! all is known, and a hit is due when the horizon is a settling time behind it.
//! Whoever has not said anything for [`WAITED_MAX`], or says less than that is
//! past, is not waited for: what it brings later is settled when it comes, by
//! itself, and its neighbours are not judged anew.
//!
//! # Guarantees
//!
//! - A hit becomes one event, or none where its reader withdrew meanwhile: its
//!   row goes and the event's comes in one transaction.
//! - `first` is decided by a table with one row for each (message, reader, type,
//!   position), in the order of numbers.
//! - What is told of nobody is counted, once, in the transaction in which its
//!   hit's row goes; no row of it comes but a hash of the hit's id.
//! - What is held in memory is bounded ([`HELD_MAX`]) and can be read again:
//!   after any fault it is.

mod board;
mod judge;
mod write;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::Shared;
use super::fault::Fault;
use super::link::Link;
use super::schema::SETTLE_LOCK;
use super::wait::Waits;
use crate::judge::LiveRules;
use board::{Board, Found};

pub(super) use write::{Counts, HITS, Sign, add_counts, counts_of};

/// How often it is looked for what is due.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often it is asked whether nobody settles.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked for hits that came late.
const LATE_EVERY: Duration = Duration::from_secs(2);
/// So long nobody is waited for who lags, in seconds: a replica that has not said
/// anything for longer is taken for gone.
pub(super) const WAITED_MAX: f64 = 15.0;
/// Most hits of one question.
const READ_MAX: i64 = 20_000;
/// Most hits that are held: some 100 MB.
const HELD_MAX: usize = 200_000;
/// Most hits that are settled in one transaction.
const BATCH_MAX: usize = 4096;
/// Longest time for a look.
const LOOK_TIME: Duration = Duration::from_secs(30);

/// What is needed to settle.
pub(super) struct Settler {
    shared: Arc<Shared>,
    settle: Duration,
    rules: Option<Arc<LiveRules>>,
}

/// The one who settles, as long as its connection is good.
struct Leader<'a> {
    settler: &'a Settler,
    link: Link,
    board: Board,
    late: Instant,
}

/// How far all hits are known.
#[derive(Debug, Clone, Copy)]
struct Horizon {
    ms: i64,
    /// The server's time.
    now_ms: i64,
}

impl Settler {
    pub(super) fn new(
        shared: Arc<Shared>,
        settle: Duration,
        rules: Option<Arc<LiveRules>>,
    ) -> Self {
        Self {
            shared,
            settle,
            rules,
        }
    }

    /// Settles whenever nobody else does, until the runtime ends.
    pub(super) async fn run(self) {
        let mut waits = Waits::new("settling");
        // Before that there may be no tables.
        while !self.shared.list.is_loaded() || !self.shared.modes.are_known() {
            sleep(LOOK_EVERY).await;
        }
        loop {
            let Err(fault) = self.lead(&mut waits).await else {
                return;
            };
            self.shared.metrics.settles.set(0);
            self.shared.metrics.count(&fault);
            waits.failed(&fault, 0);
            sleep(waits.pause()).await;
        }
    }

    async fn lead(&self, waits: &mut Waits) -> Result<(), Fault> {
        let link = Link::open(&self.shared.settings.address).await?;
        while !self.try_lock(&link).await? {
            // Another one settles.
            waits.succeeded();
            sleep(ASK_EVERY).await;
        }
        tracing::info!("PostgreSQL: this replica settles");
        self.shared.metrics.settles.set(1);
        let mut leader = Leader {
            settler: self,
            link,
            board: Board::new(self.settle, HELD_MAX),
            late: Instant::now(),
        };
        timeout(LOOK_TIME, leader.begin()).await??;
        while !self.shared.is_closing() {
            let more = timeout(LOOK_TIME, leader.look()).await??;
            waits.succeeded();
            if !more {
                sleep(LOOK_EVERY).await;
            }
        }
        Ok(())
    }

    async fn try_lock(&self, link: &Link) -> Result<bool, Fault> {
        let lock = "SELECT pg_try_advisory_lock($1)";
        let asked = link.query_one_scalar(lock, &[&SETTLE_LOCK]);
        Ok(timeout(LOOK_TIME, asked).await??)
    }
}

impl Leader<'_> {
    /// Remembers what a burst of hits to come may have begun with.
    async fn begin(&mut self) -> Result<(), Fault> {
        let horizon = self.horizon().await?;
        let oldest = "SELECT (extract(epoch FROM min(time)) * 1000)::bigint FROM mailtrail.hits";
        let oldest: Option<i64> = self.link.query_one_scalar(oldest, &[]).await?;
        let from_ms = oldest.map_or(horizon.ms, |oldest| oldest.min(horizon.ms));
        let context = judge::context(&self.link, from_ms).await?;
        self.board.remember(context);
        Ok(())
    }

    /// Settles what is due; says whether there is more to do at once.
    async fn look(&mut self) -> Result<bool, Fault> {
        let horizon = self.horizon().await?;
        let full = self.read(horizon).await?;
        if self.late.elapsed() >= LATE_EVERY {
            self.late = Instant::now();
            self.read_late(horizon).await?;
        }
        let due = self.board.due(horizon.ms, full, BATCH_MAX);
        self.measure(horizon);
        if due.is_empty() {
            return Ok(full);
        }
        let is_whole = due.len() == BATCH_MAX;
        let Settler { shared, rules, .. } = self.settler;
        let rules = rules.as_ref().map(|rules| rules.load());
        let judged = judge::judge(&self.link, shared, rules.as_deref(), due).await?;
        write::write(&mut self.link, shared, judged).await?;
        Ok(full || is_whole)
    }

    async fn horizon(&self) -> Result<Horizon, Fault> {
        let row = self
            .link
            .query_one(
                "WITH now AS (SELECT clock_timestamp() AS t, clock_timestamp() - make_interval(secs => $1) AS past)
                 SELECT (extract(epoch FROM least(now.t, greatest(now.past, coalesce(
                   (SELECT min(hits_until) FROM mailtrail.replicas WHERE seen_at > now.past), now.past)))) * 1000)::bigint,
                   (extract(epoch FROM now.t) * 1000)::bigint
                 FROM now",
                &[&WAITED_MAX],
            )
            .await?;
        Ok(Horizon {
            ms: row.try_get(0)?,
            now_ms: row.try_get(1)?,
        })
    }

    /// Takes hits up to the horizon, in the order of their time; says whether
    /// there are more.
    async fn read(&mut self, horizon: Horizon) -> Result<bool, Fault> {
        // Above its bound the board gives its oldest at once.
        let most = match self.board.len() > HELD_MAX {
            true => 0,
            false => READ_MAX,
        };
        let (time, id) = self.board.front();
        let rows = self
            .link
            .query(
                "SELECT id, (extract(epoch FROM time) * 1000)::bigint, final, body FROM mailtrail.hits
                 WHERE (time, id) > (to_timestamp($1::bigint / 1000.0), $2)
                   AND time < to_timestamp($3::bigint / 1000.0)
                 ORDER BY time, id LIMIT $4",
                &[&time, &id, &horizon.ms, &most],
            )
            .await?;
        let full = rows.len() as i64 >= most;
        self.take(rows, true).await?;
        Ok(full)
    }

    /// Takes hits that came when those of later times had been read, and such as
    /// are of a time to come, by a clock that is wrong.
    async fn read_late(&mut self, horizon: Horizon) -> Result<(), Fault> {
        let (time, id) = self.board.front();
        let ahead_ms = horizon.now_ms + (WAITED_MAX * 1000.0) as i64;
        let held: Vec<Uuid> = self.board.ids().collect();
        let rows = self
            .link
            .query(
                "SELECT id, (extract(epoch FROM time) * 1000)::bigint, final, body FROM mailtrail.hits
                 WHERE ((time, id) <= (to_timestamp($1::bigint / 1000.0), $2)
                   OR time > to_timestamp($3::bigint / 1000.0)) AND id <> ALL($4)
                 ORDER BY time, id LIMIT $5",
                &[&time, &id, &ahead_ms, &held, &READ_MAX],
            )
            .await?;
        self.take(rows, false).await
    }

    async fn take(&mut self, rows: Vec<tokio_postgres::Row>, in_order: bool) -> Result<(), Fault> {
        let mut unreadable = Vec::new();
        for row in rows {
            let found = Found {
                id: row.try_get(0)?,
                time_ms: row.try_get(1)?,
                is_final: row.try_get(2)?,
                body: row.try_get(3)?,
            };
            let id = found.id;
            if self.board.push(found, in_order).is_err() {
                unreadable.push(id);
            }
        }
        if !unreadable.is_empty() {
            let metrics = &self.settler.shared.settle_metrics;
            metrics.gone.inc_by(unreadable.len() as u64);
            tracing::error!(
                hits = unreadable.len(),
                "PostgreSQL: hits cannot be read: they are lost"
            );
            let gone = "DELETE FROM mailtrail.hits WHERE id = ANY($1)";
            self.link.execute(gone, &[&unreadable]).await?;
        }
        Ok(())
    }

    fn measure(&self, horizon: Horizon) {
        let metrics = &self.settler.shared.settle_metrics;
        metrics.waiting.set(self.board.len() as i64);
        let age_ms = self.board.oldest_ms().map_or(0, |ms| horizon.now_ms - ms);
        metrics.oldest_seconds.set(age_ms.max(0) as f64 / 1000.0);
    }
}
