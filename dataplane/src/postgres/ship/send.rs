//! One batch, in one transaction.

use std::collections::{BTreeMap, HashSet};
use std::pin::pin;

use futures_util::SinkExt as _;
use jiff::Timestamp;
use tokio_postgres::{CopyInSink, Transaction};
use uuid::Uuid;

use super::{Open, Shipper, Which, days_of};
use crate::postgres::fault::Fault;
use crate::postgres::last;
use crate::postgres::list::Why;
use crate::postgres::rows::{self, LastRow, Sorted};
use crate::postgres::schema::{self, READERS_LOCK};
use crate::postgres::settle::{Counts, Sign, add_counts};
use crate::postgres::spool::Batch;
use crate::store::hour_of;

/// So many days back partitions are made for what comes late; what is older
/// still stays with the others, and goes with its retention.
const DAYS_BACK: i64 = 60;

impl Shipper {
    /// Ships a batch; gives it back without its records.
    pub(super) async fn send(
        &mut self,
        open: &mut Open,
        which: Which,
        mut batch: Batch,
    ) -> Result<Batch, Fault> {
        let key = self.shared.list.key().ok_or(Fault::Slow)?.clone();
        let records = std::mem::take(&mut batch.records);
        let is_one = records.len() == 1;
        let mut sorted = Sorted::of(records, &key);
        make_days(open, &sorted).await?;
        let shipped = self.transact(open, which, &batch, &mut sorted).await;
        match shipped {
            Ok(withheld) => {
                self.count(&sorted, withheld);
                Ok(batch)
            }
            // The one that is not taken is known: it is left out.
            Err(Fault::Row(state)) if is_one => {
                tracing::error!(
                    state,
                    "PostgreSQL does not take a record: it is left out, and lost"
                );
                self.shared.metrics.refused.inc();
                let nothing = &mut Sorted::default();
                self.transact(open, which, &batch, nothing).await?;
                Ok(batch)
            }
            Err(fault) => Err(fault),
        }
    }

    fn count(&self, sorted: &Sorted, withheld: u64) {
        let metrics = &self.shared.metrics;
        metrics.hits.inc_by(sorted.hits.len() as u64);
        let messages = sorted.messages.len() + sorted.mails.len();
        metrics.messages.inc_by(messages as u64);
        metrics.withheld.inc_by(withheld);
        metrics.refused.inc_by(sorted.unreadable);
        if sorted.unreadable > 0 {
            tracing::error!(
                records = sorted.unreadable,
                "records of the spool cannot be read: they are lost"
            );
        }
    }

    /// Writes the rows and moves the place; says how many were withheld.
    async fn transact(
        &self,
        open: &mut Open,
        which: Which,
        batch: &Batch,
        sorted: &mut Sorted,
    ) -> Result<u64, Fault> {
        let change = open.link.transaction().await?;
        self.hold_place(&change, which).await?;
        change
            .execute("SELECT pg_advisory_xact_lock_shared($1)", &[&READERS_LOCK])
            .await?;
        let withheld = withhold(&change, sorted).await?;
        if self.careful {
            leave_out_known(&change, sorted).await?;
        }
        if !sorted.hits.is_empty() {
            copy(&change, rows::HITS, sorted.copy_hits()).await?;
        }
        if !sorted.messages.is_empty() || !sorted.mails.is_empty() {
            write_messages(&change, sorted).await?;
        }
        if !sorted.lasts.is_empty() {
            let key = self.shared.list.key().ok_or(Fault::Slow)?;
            let days = sorted.lasts.iter().filter_map(LastRow::dated);
            last::put(&change, key, days).await?;
        }
        if !sorted.counted.is_empty() {
            write_counted(&change, sorted).await?;
        }
        self.move_place(&change, which, batch).await?;
        change.commit().await?;
        Ok(withheld)
    }

    /// Nobody else moves it meanwhile, and it is where we think.
    async fn hold_place(&self, change: &Transaction<'_>, which: Which) -> Result<(), Fault> {
        let column = column(which);
        let said = change
            .query_opt(
                &format!(
                    "SELECT {column}, session FROM mailtrail.replicas WHERE replica = $1 FOR UPDATE"
                ),
                &[&self.replica],
            )
            .await?;
        let said = said.ok_or(Fault::Moved)?;
        if said.try_get::<_, Uuid>(1)? != self.session {
            return Err(Fault::Moved);
        }
        match said.try_get::<_, i64>(0)? as u64 == self.spool(which)?.said() {
            true => Ok(()),
            // A commit of ours was made although we were not told.
            false => Err(Fault::Busy("the last commit was made after all".to_owned())),
        }
    }

    async fn move_place(
        &self,
        change: &Transaction<'_>,
        which: Which,
        batch: &Batch,
    ) -> Result<(), Fault> {
        let until = Timestamp::from_millisecond(batch.until_ms as i64).unwrap_or_default();
        let until = (which == Which::Hits).then_some(until);
        let column = column(which);
        change
            .execute(
                &format!(
                    "UPDATE mailtrail.replicas SET {column} = $2,
                       hits_until = greatest(hits_until, $3), seen_at = clock_timestamp()
                     WHERE replica = $1"
                ),
                &[&self.replica, &(batch.up_to() as i64), &until],
            )
            .await?;
        Ok(())
    }
}

fn column(which: Which) -> &'static str {
    match which {
        Which::Hits => "hits_up_to",
        Which::Messages => "messages_up_to",
    }
}

/// Makes the partitions that rows of long ago need.
async fn make_days(open: &mut Open, sorted: &Sorted) -> Result<(), Fault> {
    let today = schema::day_of(crate::store::now_ms());
    let days = days_of(sorted);
    let missing = days.difference(&open.days);
    let wanted = missing.filter(|day| (today - DAYS_BACK..today).contains(*day));
    let wanted = wanted.copied().collect();
    schema::make_days(&mut open.link, &wanted).await?;
    open.days.extend(wanted);
    Ok(())
}

/// Leaves out hits of who has withdrawn, and all of who was erased.
async fn withhold(change: &Transaction<'_>, sorted: &mut Sorted) -> Result<u64, Fault> {
    let whos = sorted.whos();
    if whos.is_empty() {
        return Ok(0);
    }
    let found = change
        .query(
            "SELECT who, erased FROM mailtrail.withdrawals WHERE who = ANY($1)",
            &[&whos],
        )
        .await?;
    if found.is_empty() {
        return Ok(0);
    }
    let mut listed = BTreeMap::new();
    for row in found {
        let why = match row.try_get(1)? {
            true => Why::Erased,
            false => Why::Withdrawn,
        };
        listed.insert(row.try_get::<_, Uuid>(0)?, why);
    }
    let why = |who: Option<Uuid>| who.and_then(|who| listed.get(&who).copied());
    let before = sorted.len();
    sorted.hits.retain(|row| why(row.who).is_none());
    sorted
        .messages
        .retain(|row| why(row.who) != Some(Why::Erased));
    sorted.mails.retain(|row| why(row.who) != Some(Why::Erased));
    sorted.lasts.retain(|row| why(row.who) != Some(Why::Erased));
    Ok((before - sorted.len()) as u64)
}

/// Leaves out what is there already: a folder that is shipped a second time.
async fn leave_out_known(change: &Transaction<'_>, sorted: &mut Sorted) -> Result<(), Fault> {
    let hits: Vec<_> = sorted.hits.iter().map(|row| row.id).collect();
    let messages: Vec<_> = sorted.messages.iter().map(|row| row.id).collect();
    let known = change
        .query(
            "SELECT id FROM mailtrail.hits WHERE id = ANY($1)
             UNION ALL SELECT id FROM mailtrail.events WHERE id = ANY($1)
             UNION ALL SELECT id FROM mailtrail.messages WHERE id = ANY($2)",
            &[&hits, &messages],
        )
        .await?;
    let known: Result<HashSet<Uuid>, _> = known.iter().map(|row| row.try_get(0)).collect();
    let mut seen = known?;
    sorted.hits.retain(|row| seen.insert(row.id));
    sorted.messages.retain(|row| seen.insert(row.id));
    Ok(())
}

/// The first record of a mail, in a batch.
struct First<'a> {
    id: Uuid,
    domain: &'a str,
    rewritten_at: Timestamp,
    /// Nothing else is kept of the mail.
    alone: bool,
}

/// The first record of each mail that may count.
fn firsts(sorted: &Sorted) -> BTreeMap<Uuid, First<'_>> {
    let messages = sorted.messages.iter().filter(|row| !row.message.test);
    let messages = messages.map(|row| {
        let of = First {
            id: row.id,
            domain: row.message.domain.as_str(),
            rewritten_at: row.message.rewritten_at,
            alone: false,
        };
        (row.key, of)
    });
    let mails = sorted.mails.iter().filter(|row| !row.test && !row.again);
    let mails = mails.map(|row| {
        let of = First {
            id: row.id,
            domain: &row.domain,
            rewritten_at: row.rewritten_at,
            alone: true,
        };
        (row.key, of)
    });
    let mut first = BTreeMap::new();
    for (key, of) in messages.chain(mails) {
        first.entry(key).or_insert(of);
    }
    first
}

/// Writes message records, and counts those that are the first of their mail.
async fn write_messages(change: &Transaction<'_>, sorted: &Sorted) -> Result<(), Fault> {
    let first = firsts(sorted);
    // In the order of the keys: two who write the same ones never wait for
    // each other in a circle.
    let keys: Vec<_> = first.keys().copied().collect();
    let ids: Vec<_> = first.values().map(|row| row.id).collect();
    let new = change
        .query(
            "INSERT INTO mailtrail.mails (key, message)
             SELECT * FROM unnest($1::uuid[], $2::uuid[]) AS new (key, message) ORDER BY key
             ON CONFLICT DO NOTHING RETURNING key",
            &[&keys, &ids],
        )
        .await?;
    let (mut sent, mut counts) = (HashSet::new(), BTreeMap::<_, [i64; 2]>::new());
    for row in new {
        if let Some(row) = first.get(&row.try_get::<_, Uuid>(0)?) {
            sent.insert(row.id);
            let hour = hour_of(row.rewritten_at.as_millisecond()) as i32;
            let [sent, alone] = counts.entry((row.domain, hour)).or_default();
            *sent += 1;
            *alone += i64::from(row.alone);
        }
    }
    if !sorted.messages.is_empty() {
        copy(change, rows::MESSAGES, sorted.copy_messages(&sent)).await?;
    }
    note_sending(change, sorted).await?;
    add_sent(change, &counts).await
}

/// Notes when mails are sent of which nothing else is kept: the last time, where
/// they were rewritten again.
async fn note_sending(change: &Transaction<'_>, sorted: &Sorted) -> Result<(), Fault> {
    let timed = sorted.mails.iter();
    let timed = timed.filter_map(|row| Some((row.key, row.sent_at?)));
    let (keys, times): (Vec<_>, Vec<_>) = timed.collect::<BTreeMap<_, _>>().into_iter().unzip();
    if keys.is_empty() {
        return Ok(());
    }
    change
        .execute(
            "UPDATE mailtrail.mails m SET sent_at = n.sent_at
             FROM unnest($1::uuid[], $2::timestamptz[]) AS n (key, sent_at) WHERE m.key = n.key",
            &[&keys, &times],
        )
        .await?;
    Ok(())
}

/// Adds what was counted before there was a database; what comes a second time
/// is known by its id.
async fn write_counted(change: &Transaction<'_>, sorted: &Sorted) -> Result<(), Fault> {
    let ids: Vec<_> = sorted.counted.iter().map(|row| row.id).collect();
    let hours: Vec<_> = sorted.counted.iter().map(|row| row.hour as i32).collect();
    let new = change
        .query(
            "INSERT INTO mailtrail.counted SELECT * FROM unnest($1::uuid[], $2::int[])
             ON CONFLICT DO NOTHING RETURNING key",
            &[&ids, &hours],
        )
        .await?;
    let new: Result<HashSet<Uuid>, _> = new.iter().map(|row| row.try_get(0)).collect();
    let new = new?;
    let mut counts = Counts::new();
    for row in sorted.counted.iter().filter(|row| new.contains(&row.id)) {
        let of = (row.domain.clone(), row.hour);
        counts.entry(of).or_default().add(&row.counts);
    }
    add_counts(change, &counts, Sign::Plus).await
}

/// Adds to the counts of mails that were sent, and of those among them that are
/// told of nobody, or takes from them.
pub(in crate::postgres) async fn add_sent(
    change: &Transaction<'_>,
    counts: &BTreeMap<(&str, i32), [i64; 2]>,
) -> Result<(), Fault> {
    if counts.is_empty() {
        return Ok(());
    }
    let domains: Vec<_> = counts.keys().map(|(domain, _)| *domain).collect();
    let hours: Vec<_> = counts.keys().map(|(_, hour)| *hour).collect();
    let sent: Vec<_> = counts.values().map(|[sent, _]| *sent).collect();
    let alone: Vec<_> = counts.values().map(|[_, alone]| *alone).collect();
    change
        .execute(
            "INSERT INTO mailtrail.sent_counts AS c (domain, hour, sent, sent_anonymous)
             SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[])
               AS n (domain, hour, sent, sent_anonymous)
             ORDER BY domain COLLATE \"C\", hour
             ON CONFLICT (domain, hour) DO UPDATE SET sent = c.sent + excluded.sent,
               sent_anonymous = c.sent_anonymous + excluded.sent_anonymous",
            &[&domains, &hours, &sent, &alone],
        )
        .await?;
    Ok(())
}

/// Sends rows.
pub(in crate::postgres) async fn copy(
    change: &Transaction<'_>,
    into: &str,
    rows: bytes::Bytes,
) -> Result<(), Fault> {
    let sink: CopyInSink<bytes::Bytes> = change.copy_in(into).await?;
    let mut sink = pin!(sink);
    sink.send(rows).await?;
    sink.as_mut().finish().await?;
    Ok(())
}
