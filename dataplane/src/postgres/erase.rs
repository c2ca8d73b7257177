//! Erasing a recipient from the database.

use std::collections::BTreeMap;

use mailtrail_core::id::{Realm, Recipient};
use tokio_postgres::{Client, Transaction};
use uuid::Uuid;

use super::event_row::{self, EVENT};
use super::fault::Fault;
use super::last;
use super::settle::{Sign, add_counts, counts_of};
use super::ship::add_sent;
use crate::store::{Erased, hour_of};

/// Most events, and most message records, that one transaction takes away.
const BATCH: i64 = 5_000;

/// Takes all rows of theirs away, and what they add to any count. They are on
/// the list already, so none comes any more.
pub(super) async fn erase(
    client: &mut Client,
    realm: &Realm,
    recipient: &Recipient,
) -> Result<Erased, Fault> {
    let whom = (realm.as_str(), recipient.as_str());
    client
        .execute(
            "DELETE FROM mailtrail.hits WHERE domain = $1 AND recipient = $2",
            &[&whom.0, &whom.1],
        )
        .await?;
    last::erase(client, whom).await?;
    let mut erased = Erased::default();
    loop {
        let change = client.transaction().await?;
        let events = events(&change, whom).await?;
        let messages = messages(&change, whom).await?;
        change.commit().await?;
        erased.events += events;
        erased.messages += messages;
        if events == 0 && messages == 0 {
            return Ok(erased);
        }
    }
}

async fn events(change: &Transaction<'_>, whom: (&str, &str)) -> Result<u64, Fault> {
    let rows = change
        .query(
            &format!(
                "DELETE FROM mailtrail.events WHERE id IN (
                   SELECT id FROM mailtrail.events WHERE domain = $1 AND recipient = $2 LIMIT $3)
                 RETURNING {EVENT}"
            ),
            &[&whom.0, &whom.1, &BATCH],
        )
        .await?;
    let events = rows
        .iter()
        .map(event_row::event)
        .collect::<Result<Vec<_>, _>>()?;
    let ids: Vec<_> = events.iter().map(|event| event.id).collect();
    let firsts = "DELETE FROM mailtrail.firsts WHERE event = ANY($1)";
    change.execute(firsts, &[&ids]).await?;
    add_counts(change, &counts_of(events.iter()), Sign::Minus).await?;
    Ok(events.len() as u64)
}

async fn messages(change: &Transaction<'_>, whom: (&str, &str)) -> Result<u64, Fault> {
    let rows = change
        .query(
            "DELETE FROM mailtrail.messages WHERE id IN (
               SELECT id FROM mailtrail.messages WHERE domain = $1 AND recipient = $2 LIMIT $3)
             RETURNING id, rewritten_at, again OR test",
            &[&whom.0, &whom.1, &BATCH],
        )
        .await?;
    let (mut ids, mut counts) = (Vec::<Uuid>::new(), BTreeMap::<_, [i64; 2]>::new());
    for row in &rows {
        ids.push(row.try_get(0)?);
        let rewritten: jiff::Timestamp = row.try_get(1)?;
        if !row.try_get::<_, bool>(2)? {
            let hour = hour_of(rewritten.as_millisecond()) as i32;
            let [sent, _] = counts.entry((whom.0, hour)).or_default();
            *sent -= 1;
        }
    }
    let mails = "DELETE FROM mailtrail.mails WHERE message = ANY($1)";
    change.execute(mails, &[&ids]).await?;
    add_sent(change, &counts).await?;
    Ok(rows.len() as u64)
}
