//! What became of one message: its newest record, and all its events.

use std::pin::pin;

use futures_util::TryStreamExt as _;
use mailtrail_core::id::Recipient;
use mailtrail_core::message::MessageRecord;

use super::{Asked, Condition};
use crate::postgres::event_row::{self, EVENT};
use crate::postgres::fault::Fault;
use crate::postgres::last;
use crate::postgres::link::Link;
use crate::store::{LastDate, MessageSummary, SUMMARY_MAX_EVENTS, SummaryQuery, Summing};

/// Sums a message up; none where nothing is known of it.
pub(in crate::postgres) async fn summary(
    link: &Link,
    query: &SummaryQuery,
) -> Result<Option<MessageSummary>, Asked> {
    link.by_kept_plans(async || sum_up(link, query).await).await
}

async fn sum_up(link: &Link, query: &SummaryQuery) -> Result<Option<MessageSummary>, Asked> {
    let domain = query.domain.as_str();
    let message = query.message.as_str();
    let recipient = query.recipient.as_ref().map(Recipient::as_str);
    let mut condition = Condition::of_domain(&domain);
    condition.and("message_id = ?", &message);
    condition.and_maybe("recipient = ?", recipient.as_ref());
    let record = newest(link, &condition).await?;
    let record = record.filter(|record| query.takes_record(record));
    let mut summing = Summing::of(record.as_ref());
    condition.and_maybe("time >= ?", query.since.as_ref());
    let most = SUMMARY_MAX_EVENTS as i64;
    let limit = condition.place(&most);
    let sql = format!(
        "SELECT {EVENT} FROM mailtrail.events WHERE {} ORDER BY number LIMIT {limit}",
        condition.text
    );
    let planned = link.planned(&sql).await?;
    let rows = link.query_raw(&planned, condition.values).await?;
    let (mut rows, mut count) = (pin!(rows), 0);
    while let Some(row) = rows.try_next().await? {
        summing.add(&event_row::event(&row)?);
        count += 1;
    }
    let lasts = last::of_message(link, &query.domain, &query.message).await?;
    let is_taken = |last: &LastDate| query.takes_last(last, record.is_some());
    for last in lasts.into_iter().filter(is_taken) {
        summing.add_last(last);
    }
    if record.is_none() && summing.is_empty() {
        return Ok(None);
    }
    Ok(Some(summing.finish(record, count < SUMMARY_MAX_EVENTS)))
}

async fn newest(link: &Link, of: &Condition<'_>) -> Result<Option<MessageRecord>, Fault> {
    let sql = format!(
        "SELECT record::text FROM mailtrail.messages WHERE {} ORDER BY id DESC LIMIT 1",
        of.text
    );
    let planned = link.planned(&sql).await?;
    let Some(row) = link.query_opt(&planned, &of.values).await? else {
        return Ok(None);
    };
    let record = serde_json::from_str(row.try_get(0)?);
    record.map(Some).map_err(|_| Fault::Unreadable)
}
