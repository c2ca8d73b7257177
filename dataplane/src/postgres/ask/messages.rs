//! Looks for messages by what their records say, newest first.

use mailtrail_core::id::Recipient;
use mailtrail_core::message::MessageRecord;
use tokio_postgres::Client;
use uuid::Uuid;

use super::events::wanted_tags;
use super::{Asked, Condition, LOOKED_AT_MAX};
use crate::postgres::Shared;
use crate::postgres::fault::Fault;
use crate::postgres::schema::first_id;
use crate::store::filter::has_tags;
use crate::store::{
    Cursor, Listed, MessagePage, MessageQuery, PAGE_MAX_MESSAGES, Position, QueryError,
};

/// Looks for messages older than a cursor.
pub(in crate::postgres) async fn messages(
    shared: &Shared,
    client: &Client,
    query: &MessageQuery,
) -> Result<MessagePage, Asked> {
    let key = shared.list.key().ok_or(Fault::Slow)?;
    let below = match &query.after {
        None => Uuid::max(),
        Some(cursor) => {
            let position = cursor.decode(key, Listed::Messages);
            id(position.ok_or(Asked::Query(QueryError::Cursor))?)
        }
    };
    let limit = query.limit.clamp(1, PAGE_MAX_MESSAGES);
    let down_to = bound(client, query, below).await?;
    let rows = select(client, query, (down_to, below), limit as i64).await?;
    let is_full = rows.len() == limit;
    let mut page = MessagePage {
        messages: Vec::with_capacity(rows.len()),
        next: None,
    };
    let mut last = None;
    for (id, message) in rows {
        last = Some(id);
        if is_asked(query, &message) {
            page.messages.push(message);
        }
    }
    let seen = match is_full {
        true => last,
        false => down_to,
    };
    page.next = seen.map(|id| Cursor::new(key, Listed::Messages, position(id)));
    Ok(page)
}

/// Down to which id is looked, where what is wanted may be far apart.
async fn bound(client: &Client, query: &MessageQuery, below: Uuid) -> Result<Option<Uuid>, Fault> {
    if query.id_prefix.is_none() || query.recipient.is_some() || !query.tags.is_empty() {
        return Ok(None);
    }
    let row = client
        .query_opt(
            "SELECT id FROM mailtrail.messages WHERE domain = $1 AND id < $2
             ORDER BY id DESC OFFSET $3 LIMIT 1",
            &[&query.domain.as_str(), &below, &LOOKED_AT_MAX],
        )
        .await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

async fn select(
    client: &Client,
    query: &MessageQuery,
    (down_to, below): (Option<Uuid>, Uuid),
    limit: i64,
) -> Result<Vec<(Uuid, MessageRecord)>, Fault> {
    // Destructured, so that a new filter is not forgotten.
    let MessageQuery {
        domain,
        recipient,
        tags,
        id_prefix,
        since,
        until,
        after: _,
        limit: _,
    } = query;
    let ms = |time: &jiff::Timestamp| u64::try_from(time.as_millisecond()).unwrap_or(0);
    let domain = domain.as_str();
    let recipient = recipient.as_ref().map(Recipient::as_str);
    let tags = (!tags.is_empty()).then(|| wanted_tags(tags));
    // Ids have whole milliseconds: what they let through is looked at again.
    let since = since.as_ref().map(|time| first_id(ms(time)));
    let until = until.as_ref().map(|time| first_id(ms(time) + 1));
    let mut condition = Condition::of_domain(&domain);
    condition.and("id < ?", &below);
    condition.and_maybe("id >= ?", down_to.as_ref());
    condition.and_maybe("recipient = ?", recipient.as_ref());
    condition.and_maybe("tags @> ?", tags.as_ref());
    condition.and_maybe("starts_with(message_id, ?)", id_prefix.as_ref());
    condition.and_maybe("id >= ?", since.as_ref());
    condition.and_maybe("id < ?", until.as_ref());
    let limit = condition.place(&limit);
    let sql = format!(
        "SELECT id, record::text FROM mailtrail.messages WHERE {} ORDER BY id DESC LIMIT {limit}",
        condition.text
    );
    let rows = client.query(&sql, &condition.values).await?;
    rows.iter()
        .map(|row| {
            let record = serde_json::from_str(row.try_get(1)?);
            Ok((row.try_get(0)?, record.map_err(|_| Fault::Unreadable)?))
        })
        .collect()
}

fn is_asked(query: &MessageQuery, message: &MessageRecord) -> bool {
    query
        .since
        .is_none_or(|since| message.rewritten_at >= since)
        && query.until.is_none_or(|until| message.rewritten_at < until)
        && has_tags(&message.tags, &query.tags)
}

/// An id fills what else a number and a segment's does.
fn position(id: Uuid) -> Position {
    let (seq, segment) = id.as_u64_pair();
    Position {
        seq,
        segment,
        at: 0,
    }
}

fn id(position: Position) -> Uuid {
    Uuid::from_u64_pair(position.seq, position.segment)
}
