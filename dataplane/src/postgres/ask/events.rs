//! Lists events, from a cursor on.

use std::collections::HashSet;

use mailtrail_core::config::Recorded;
use mailtrail_core::event::{Event, Unsettled};
use mailtrail_core::id::{MessageId, Recipient};
use tokio_postgres::{Client, Row};

use super::{Asked, Condition, LOOKED_AT_MAX, join};
use crate::postgres::event_row::{self, EVENT, verdict_name};
use crate::postgres::fault::Fault;
use crate::postgres::{Shared, rows};
use crate::store::{
    Cursor, EventFilter, EventPage, EventQuery, Listed, PAGE_MAX_EVENTS, Position, QueryError,
    Withdrawn, record,
};

/// Most hits that one question for unsettled events looks at.
const PROVISIONAL_MAX_HITS: i64 = 20_000;

/// Where a list is.
struct Place {
    /// Everything up to this number was seen.
    seen: i64,
    /// The last number of this moment.
    last: i64,
}

/// Lists the events behind a cursor.
pub(in crate::postgres) async fn events(
    shared: &Shared,
    client: &Client,
    query: &EventQuery,
) -> Result<EventPage, Asked> {
    let limit = query.limit.clamp(1, PAGE_MAX_EVENTS);
    // Read before the list is: what settles meanwhile is found there.
    let unsettled = match query.provisional {
        true => unsettled(shared, client, query, limit).await?,
        false => Vec::new(),
    };
    let mut place = place(shared, client, query).await?;
    let mut events = Vec::new();
    let more = page(client, query, limit, &mut place, &mut events).await?;
    let key = shared.list.key().ok_or(Fault::Slow)?;
    let seen = u64::try_from(place.seen).unwrap_or(0);
    let position = Position {
        seq: seen,
        ..Position::default()
    };
    let mut page = EventPage {
        events,
        next: Cursor::new(key, Listed::Events, position),
        more,
        unsettled: Vec::new(),
    };
    if !more {
        let settled: HashSet<_> = page.events.iter().map(|event| event.id).collect();
        let room = limit - page.events.len();
        let open = unsettled.into_iter();
        let open = open.filter(|event| !settled.contains(&event.id));
        page.unsettled = open.take(room).collect();
    }
    Ok(page)
}

async fn place(shared: &Shared, client: &Client, query: &EventQuery) -> Result<Place, Asked> {
    let said = "SELECT number, gone_up_to FROM mailtrail.settling";
    let row = client.query_one(said, &[]).await?;
    let (last, gone): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    let Some(cursor) = &query.after else {
        return Ok(Place { seen: gone, last });
    };
    let key = shared.list.key().ok_or(Fault::Slow)?;
    let position = cursor.decode(key, Listed::Events);
    let position = position.ok_or(Asked::Query(QueryError::Cursor))?;
    // Ahead of everything, the database is an older copy.
    match i64::try_from(position.seq) {
        Ok(seen) if seen <= last && seen >= gone => Ok(Place { seen, last }),
        _ => Err(Asked::Query(QueryError::Expired)),
    }
}

/// Adds what follows; says whether there may be more.
async fn page(
    client: &Client,
    query: &EventQuery,
    limit: usize,
    place: &mut Place,
    events: &mut Vec<Event>,
) -> Result<bool, Asked> {
    let bound = bound(client, query, place).await?;
    let up_to = bound.unwrap_or(i64::MAX);
    // Tags are looked at when the events are there.
    let most = match query.filter.tags.is_empty() {
        true => limit,
        false => PAGE_MAX_EVENTS,
    };
    let rows = select(client, query, (place.seen, up_to), most as i64).await?;
    let is_full = rows.len() == most;
    let mut found = rows
        .iter()
        .map(event_row::event)
        .collect::<Result<Vec<_>, _>>()?;
    let numbers = rows
        .iter()
        .map(event_row::number)
        .collect::<Result<Vec<_>, _>>()?;
    let sent = rows
        .iter()
        .map(event_row::mail_sent)
        .collect::<Result<Vec<_>, _>>()?;
    join::tags_and_names(client, &mut found, &sent).await?;
    for (event, number) in found.into_iter().zip(&numbers) {
        place.seen = *number;
        if query.filter.takes_tags(&event.tags) {
            events.push(event);
            if events.len() == limit {
                return Ok(true);
            }
        }
    }
    if is_full {
        return Ok(true);
    }
    match bound {
        Some(bound) => place.seen = place.seen.max(bound),
        // All numbers of that moment were seen, whatever they are of.
        None => place.seen = place.seen.max(place.last),
    }
    Ok(bound.is_some())
}

/// Up to which number is looked, where what is wanted may be far apart.
async fn bound(client: &Client, query: &EventQuery, place: &Place) -> Result<Option<i64>, Fault> {
    let EventFilter {
        kind,
        message,
        recipient,
        verdicts,
        first,
        test,
        tags,
        since,
        until,
    } = &query.filter;
    let is_indexed = message.is_some() || recipient.is_some();
    let asks = kind.is_some()
        || !verdicts.is_empty()
        || first.is_some()
        || test.is_some()
        || !tags.is_empty()
        || since.is_some()
        || until.is_some();
    if is_indexed || !asks {
        return Ok(None);
    }
    let row = client
        .query_opt(
            "SELECT number FROM mailtrail.events WHERE domain = $1 AND number > $2
             ORDER BY number OFFSET $3 LIMIT 1",
            &[&query.domain.as_str(), &place.seen, &LOOKED_AT_MAX],
        )
        .await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

async fn select(
    client: &Client,
    query: &EventQuery,
    (seen, up_to): (i64, i64),
    limit: i64,
) -> Result<Vec<Row>, Fault> {
    // Destructured, so that a new filter is not forgotten.
    let EventFilter {
        kind,
        message,
        recipient,
        verdicts,
        first,
        test,
        tags: _,
        since,
        until,
    } = &query.filter;
    let domain = query.domain.as_str();
    let kind = kind.map(event_row::kind_name);
    let message = message.as_ref().map(MessageId::as_str);
    let recipient = recipient.as_ref().map(Recipient::as_str);
    let verdicts: Vec<_> = verdicts.iter().copied().map(verdict_name).collect();
    let verdicts = (!verdicts.is_empty()).then_some(verdicts);
    let mut condition = Condition::of_domain(&domain);
    condition.and("number > ?", &seen);
    condition.and("number <= ?", &up_to);
    condition.and_maybe("type = ?", kind.as_ref());
    condition.and_maybe("message_id = ?", message.as_ref());
    condition.and_maybe("recipient = ?", recipient.as_ref());
    condition.and_maybe("verdict = ANY(?)", verdicts.as_ref());
    condition.and_maybe("first = ?", first.as_ref());
    condition.and_maybe("test = ?", test.as_ref());
    // Events have whole milliseconds, what is asked for may be between two.
    let since = since.map(up);
    let until = until.map(up);
    condition.and_maybe("time >= ?", since.as_ref());
    condition.and_maybe("time < ?", until.as_ref());
    let limit = condition.place(&limit);
    let sql = format!(
        "SELECT {EVENT} FROM mailtrail.events WHERE {} ORDER BY number LIMIT {limit}",
        condition.text
    );
    Ok(client.query(&sql, &condition.values).await?)
}

/// The next whole millisecond, where it is none.
fn up(time: jiff::Timestamp) -> jiff::Timestamp {
    let ms = time.as_millisecond();
    let whole = jiff::Timestamp::from_millisecond(ms).unwrap_or(time);
    match whole < time {
        true => jiff::Timestamp::from_millisecond(ms + 1).unwrap_or(time),
        false => whole,
    }
}

/// What is not settled yet, of those whose reader has not withdrawn.
async fn unsettled(
    shared: &Shared,
    client: &Client,
    query: &EventQuery,
    limit: usize,
) -> Result<Vec<Event>, Fault> {
    let rows = client
        .query(
            "SELECT body FROM mailtrail.hits WHERE domain = $1 AND NOT final
             ORDER BY time, id LIMIT $2",
            &[&query.domain.as_str(), &PROVISIONAL_MAX_HITS],
        )
        .await?;
    let most = match query.filter.tags.is_empty() {
        true => limit,
        false => PAGE_MAX_EVENTS,
    };
    let is_told = |hit: &mut Unsettled| {
        shared.modes.narrow(hit);
        hit.recorded == Recorded::Identified
    };
    let may_be_shown = |event: &Event| {
        let recipient = event.recipient.as_ref();
        recipient.is_none_or(|of| shared.list.check(&event.domain, of) == Withdrawn::No)
    };
    let (mut events, mut sent) = (Vec::new(), Vec::new());
    for row in rows {
        let Ok(mut hit) = record::decode_hit(row.try_get(0)?) else {
            continue;
        };
        if is_told(&mut hit)
            && query.filter.takes_but_for_tags(&hit.event)
            && may_be_shown(&hit.event)
        {
            events.push(hit.event);
            sent.push(hit.mail_sent);
            if events.len() == most {
                break;
            }
        }
    }
    join::tags_and_names(client, &mut events, &sent).await?;
    events.retain(|event| query.filter.takes_tags(&event.tags));
    Ok(events)
}

/// Tags as message records have them.
pub(super) fn wanted_tags(tags: &std::collections::BTreeMap<String, String>) -> Vec<String> {
    let clean = |tag: String| crate::postgres::copy::clean(&tag);
    tags.iter().map(|tag| clean(rows::tag(tag))).collect()
}
