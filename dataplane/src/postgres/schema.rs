//! The schema: made and brought up to date in one transaction under a lock, so
//! that replicas which start at once make it once; and its partitions, a day
//! each.

use std::collections::BTreeSet;

use tokio_postgres::{Client, Transaction};
use uuid::Uuid;

use super::fault::Fault;

/// What brings each version about, from the first on. One that was released is
/// never changed.
const MIGRATIONS: [&str; 4] = [
    include_str!("schema/1.sql"),
    include_str!("schema/2.sql"),
    include_str!("schema/3.sql"),
    include_str!("schema/4.sql"),
];
/// The first server that will do, as it says its version.
const SERVER_LEAST: i32 = 150_000;
/// The lock of those who change tables; a number of ours and nobody else's.
pub(super) const SCHEMA_LOCK: i64 = 0x6d74_726c_0001;
/// The lock of who settles.
pub(super) const SETTLE_LOCK: i64 = 0x6d74_726c_0002;
/// Shared by all who write what names a recipient; whole while one withdraws.
pub(super) const READERS_LOCK: i64 = 0x6d74_726c_0003;
/// The lock of who removes what is past its retention.
pub(super) const RETAIN_LOCK: i64 = 0x6d74_726c_0004;
/// So many days ahead there are partitions.
const DAYS_AHEAD: i64 = 7;
/// Milliseconds of a day.
pub(super) const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// The tables that are cut by days.
pub(super) const CUT: [&str; 2] = ["events", "messages"];

/// Brings the schema up to date; `key` is taken where there is none. Gives the
/// one that counts.
pub(super) async fn migrate(client: &mut Client, key: &[u8]) -> Result<Vec<u8>, Fault> {
    check_server(client).await?;
    let change = client.transaction().await?;
    change
        .execute("SELECT pg_advisory_xact_lock($1)", &[&SCHEMA_LOCK])
        .await?;
    let found = version(&change).await?;
    let known = MIGRATIONS.len() as i32;
    if found > known {
        return Err(Fault::Newer { found, known });
    }
    for (at, migration) in MIGRATIONS.iter().enumerate().skip(found as usize) {
        change.batch_execute(migration).await?;
        let version = at as i32 + 1;
        change
            .execute("INSERT INTO mailtrail.migrations VALUES ($1)", &[&version])
            .await?;
        tracing::info!(version, "PostgreSQL: the schema has a new version");
    }
    change
        .execute(
            "INSERT INTO mailtrail.install (key) VALUES ($1) ON CONFLICT DO NOTHING",
            &[&key],
        )
        .await?;
    let key = "SELECT key FROM mailtrail.install";
    let key = change.query_one(key, &[]).await?.try_get(0)?;
    change.commit().await?;
    Ok(key)
}

async fn check_server(client: &Client) -> Result<(), Fault> {
    let row = client
        .query_one(
            "SELECT current_setting('server_version_num')::int, current_setting('server_encoding')",
            &[],
        )
        .await?;
    match (row.get::<_, i32>(0), row.get::<_, String>(1)) {
        (old, _) if old < SERVER_LEAST => Err(Fault::TooOld(old / 10_000)),
        (_, encoding) if encoding != "UTF8" => Err(Fault::Encoding(encoding)),
        _ => Ok(()),
    }
}

/// The version that is there; 0 where nothing is.
async fn version(change: &Transaction<'_>) -> Result<i32, Fault> {
    // Making what is there needs rights that a user may lack.
    let missing = "SELECT to_regnamespace('mailtrail') IS NULL";
    if change.query_one(missing, &[]).await?.try_get(0)? {
        change.batch_execute("CREATE SCHEMA mailtrail").await?;
    }
    change
        .batch_execute(
            "CREATE TABLE IF NOT EXISTS mailtrail.migrations (
               version integer PRIMARY KEY, made_at timestamptz NOT NULL DEFAULT now())",
        )
        .await?;
    let version = "SELECT coalesce(max(version), 0) FROM mailtrail.migrations";
    Ok(change.query_one(version, &[]).await?.try_get(0)?)
}

// === Partitions ===

/// The day of a moment, in milliseconds since 1970.
pub(super) fn day_of(ms: u64) -> i64 {
    (ms / DAY_MS) as i64
}

/// The smallest id of a moment, in milliseconds since 1970.
pub(super) fn first_id(ms: u64) -> Uuid {
    // Above 48 bits there is no time of a UUIDv7.
    Uuid::from_u128(u128::from(ms & 0xffff_ffff_ffff) << 80)
}

/// The days that are made ahead.
pub(super) fn days_ahead(now_ms: u64) -> BTreeSet<i64> {
    let today = day_of(now_ms);
    (today - 1..=today + DAYS_AHEAD).collect()
}

/// Makes the partitions of these days, as far as they are not there. What is
/// there already in the partition of all others stays there, and so does its day.
pub(super) async fn make_days(client: &mut Client, days: &BTreeSet<i64>) -> Result<(), Fault> {
    for day in days {
        for table in CUT {
            match make_day(client, table, *day).await {
                Err(Fault::Row(_)) => {
                    tracing::info!(day, table, "PostgreSQL: a day stays with the others");
                }
                made => made?,
            }
        }
    }
    Ok(())
}

async fn make_day(client: &mut Client, table: &str, day: i64) -> Result<(), Fault> {
    let name = partition(table, day);
    let exists = "SELECT to_regclass('mailtrail.' || $1) IS NOT NULL";
    if client.query_one_scalar(exists, &[&name]).await? {
        return Ok(());
    }
    let change = client.transaction().await?;
    change
        .execute("SELECT pg_advisory_xact_lock($1)", &[&SCHEMA_LOCK])
        .await?;
    let (from, to) = bounds(day);
    change
        .batch_execute(&format!(
            "CREATE TABLE IF NOT EXISTS mailtrail.{name} PARTITION OF mailtrail.{table}
             FOR VALUES FROM ('{from}') TO ('{to}')"
        ))
        .await?;
    change.commit().await?;
    Ok(())
}

/// The ids of a day: from the first on, below the second.
pub(super) fn bounds(day: i64) -> (Uuid, Uuid) {
    let begin = |day: i64| first_id(u64::try_from(day).unwrap_or(0) * DAY_MS);
    (begin(day), begin(day + 1))
}

/// The name of a table's partition, such as `events_20783`: days since 1970.
fn partition(table: &str, day: i64) -> String {
    format!("{table}_{day}")
}

/// The days that a table has partitions of, oldest first.
pub(super) async fn days(client: &Client, table: &str) -> Result<Vec<i64>, Fault> {
    let rows = client
        .query(
            "SELECT c.relname FROM pg_inherits i
             JOIN pg_class c ON c.oid = i.inhrelid
             WHERE i.inhparent = ('mailtrail.' || $1)::regclass",
            &[&table],
        )
        .await?;
    let names = rows.iter().map(|row| row.get::<_, String>(0));
    let day = |name: String| name.strip_prefix(&format!("{table}_"))?.parse().ok();
    let mut days: Vec<i64> = names.filter_map(day).collect();
    days.sort_unstable();
    Ok(days)
}

/// Drops a day of a table.
pub(super) async fn drop_day(change: &Transaction<'_>, table: &str, day: i64) -> Result<(), Fault> {
    let name = partition(table, day);
    let drop = format!("DROP TABLE IF EXISTS mailtrail.{name}");
    Ok(change.batch_execute(&drop).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_lies_within_the_day_of_its_time() {
        let ms = 20_783 * DAY_MS + 5;
        let seconds = std::time::Duration::from_millis(ms);
        let time =
            uuid::Timestamp::from_unix(uuid::NoContext, seconds.as_secs(), seconds.subsec_nanos());
        let id = Uuid::new_v7(time);
        let (from, to) = bounds(day_of(ms));
        assert!(from <= id && id < to);
        assert!(first_id(ms) <= id && id < first_id(ms + 1));
        assert_eq!(day_of(ms), 20_783);
    }

    #[test]
    fn a_partition_is_named_by_its_day() {
        assert_eq!(partition("events", 20_783), "events_20783");
    }
}
