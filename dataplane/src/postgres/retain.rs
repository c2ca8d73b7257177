//! What is older than its domain keeps it leaves the database: whole days at
//! once, and of younger ones the domains that keep less.
//!
//! One replica at a time does it, whichever comes first. A day goes when all of
//! it is past, so a record stays a day and an hour longer than its retention at
//! most.

use mailtrail_core::id::Realm;
use tokio_postgres::Client;

use super::fault::Fault;
use super::schema::{self, DAY_MS, RETAIN_LOCK, bounds, first_id};
use crate::store::{Retention, hour_of};

/// After so many days a replica that said nothing more is forgotten: what it
/// may still hold is shipped under its name when it comes back.
const REPLICA_DAYS: f64 = 90.0;
/// Milliseconds of an hour.
const HOUR_MS: u64 = 60 * 60 * 1000;

/// Removes what is past its retention at a moment, in milliseconds since 1970;
/// says whether it was this one's turn.
pub(super) async fn retain(
    client: &mut Client,
    retention: &Retention,
    now_ms: u64,
) -> Result<bool, Fault> {
    let lock = "SELECT pg_try_advisory_lock($1)";
    let is_mine: bool = client.query_one_scalar(lock, &[&RETAIN_LOCK]).await?;
    if !is_mine {
        return Ok(false);
    }
    drop_days(client, now_ms.saturating_sub(retention.longest_ms())).await?;
    drop_domains(client, retention, now_ms).await?;
    forget(client, retention, now_ms).await?;
    let unlock = "SELECT pg_advisory_unlock($1)";
    client.execute(unlock, &[&RETAIN_LOCK]).await?;
    Ok(true)
}

/// Drops the days that are past for every domain.
async fn drop_days(client: &mut Client, before_ms: u64) -> Result<(), Fault> {
    for table in schema::CUT {
        for day in schema::days(client, table).await? {
            if day >= schema::day_of(before_ms) {
                break;
            }
            let change = client.transaction().await?;
            if table == "events" {
                let (from, to) = bounds(day);
                change
                    .execute(
                        "UPDATE mailtrail.settling SET gone_up_to = greatest(gone_up_to, (
                           SELECT max(number) FROM mailtrail.events WHERE id >= $1 AND id < $2))",
                        &[&from, &to],
                    )
                    .await?;
            }
            schema::drop_day(&change, table, day).await?;
            change.commit().await?;
            tracing::info!(day, table, "retention: a day is removed");
        }
    }
    Ok(())
}

/// Removes what is past the retention of its own domain from the days that
/// stay, and from those that have no partition of their own.
async fn drop_domains(
    client: &mut Client,
    retention: &Retention,
    now_ms: u64,
) -> Result<(), Fault> {
    let shortest = first_id(begin_of_day(now_ms.saturating_sub(retention.shortest_ms())));
    let mut removed = 0;
    for table in schema::CUT {
        let domains = format!("SELECT DISTINCT domain FROM mailtrail.{table} WHERE id < $1");
        for row in client.query(&domains, &[&shortest]).await? {
            let domain: String = row.try_get(0)?;
            let before_ms = begin_of_day(now_ms.saturating_sub(retention.ms(&domain)));
            let change = client.transaction().await?;
            let gone = format!("DELETE FROM mailtrail.{table} WHERE domain = $1 AND id < $2");
            removed += change
                .execute(&gone, &[&domain, &first_id(before_ms)])
                .await?;
            change.commit().await?;
        }
    }
    if removed > 0 {
        tracing::info!(
            records = removed,
            "retention: removed what is past its domain's"
        );
    }
    Ok(())
}

/// What was counted, and known by hashes, of what is gone.
async fn forget(client: &mut Client, retention: &Retention, now_ms: u64) -> Result<(), Fault> {
    let change = client.transaction().await?;
    let oldest_ms = begin_of_day(now_ms.saturating_sub(retention.longest_ms()));
    let oldest = first_id(oldest_ms);
    for known in [
        "DELETE FROM mailtrail.firsts WHERE event < $1",
        "DELETE FROM mailtrail.mails WHERE message < $1",
    ] {
        change.execute(known, &[&oldest]).await?;
    }
    let oldest_hour = hour_of(oldest_ms as i64) as i32;
    let counted = "DELETE FROM mailtrail.counted WHERE hour < $1";
    change.execute(counted, &[&oldest_hour]).await?;
    for (table, column, unit_ms) in [
        ("hit_counts", "hour", HOUR_MS),
        ("sent_counts", "hour", HOUR_MS),
        ("last_dates", "day", DAY_MS),
    ] {
        let domains = format!("SELECT DISTINCT domain FROM mailtrail.{table}");
        for row in change.query(&domains, &[]).await? {
            let domain: String = row.try_get(0)?;
            if domain.parse::<Realm>().is_err() {
                continue;
            }
            let before_ms = begin_of_day(now_ms.saturating_sub(retention.ms(&domain)));
            let before = (before_ms / unit_ms) as i32;
            let gone = format!("DELETE FROM mailtrail.{table} WHERE domain = $1 AND {column} < $2");
            change.execute(&gone, &[&domain, &before]).await?;
        }
    }
    change
        .execute(
            "DELETE FROM mailtrail.replicas WHERE seen_at < clock_timestamp() - make_interval(secs => $1::double precision * 86400)",
            &[&REPLICA_DAYS],
        )
        .await?;
    Ok(change.commit().await?)
}

fn begin_of_day(ms: u64) -> u64 {
    ms / DAY_MS * DAY_MS
}
