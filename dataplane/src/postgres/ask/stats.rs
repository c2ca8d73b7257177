//! What happened in each hour, as it was counted when it was written.

use std::collections::BTreeMap;

use tokio_postgres::{Client, Row};

use super::Asked;
use crate::postgres::Shared;
use crate::postgres::fault::Fault;
use crate::postgres::settle::HITS;
use crate::store::{HourCounts, StatsQuery};

/// What happened in the hours in which anything did.
pub(in crate::postgres) async fn stats(
    _: &Shared,
    client: &Client,
    query: &StatsQuery,
) -> Result<BTreeMap<u32, HourCounts>, Asked> {
    let hour = |hour: u32| i32::try_from(hour).unwrap_or(i32::MAX);
    let (domain, from, to) = (query.domain.as_str(), hour(query.from), hour(query.to));
    let hits = HITS.map(|name| format!("coalesce({name}, 0)")).join(", ");
    let rows = client
        .query(
            &format!("SELECT hour, coalesce(sent, 0), coalesce(sent_anonymous, 0), {hits}
             FROM (SELECT * FROM mailtrail.hit_counts WHERE domain = $1 AND hour >= $2 AND hour < $3) h
             FULL JOIN (SELECT * FROM mailtrail.sent_counts WHERE domain = $1 AND hour >= $2 AND hour < $3) s
               USING (hour)"),
            &[&domain, &from, &to],
        )
        .await?;
    let hours = rows.iter().map(counts).collect::<Result<Vec<_>, _>>()?;
    // What was erased or is past its retention leaves a row of nothing.
    let happened = hours
        .into_iter()
        .filter(|(_, counts)| *counts != HourCounts::default());
    Ok(happened.collect())
}

fn counts(row: &Row) -> Result<(u32, HourCounts), Fault> {
    let number = |at: usize| -> Result<u64, Fault> {
        Ok(u64::try_from(row.try_get::<_, i64>(at)?).unwrap_or(0))
    };
    let mut hits = [0; HITS.len()];
    for (at, hits) in hits.iter_mut().enumerate() {
        *hits = number(at + 3)?;
    }
    let hour = u32::try_from(row.try_get::<_, i32>(0)?).map_err(|_| Fault::Unreadable)?;
    Ok((hour, HourCounts::of_hits([number(1)?, number(2)?], hits)))
}
