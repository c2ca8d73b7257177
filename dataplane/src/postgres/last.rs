//! On which day a reader last did something, where no more is kept of that.

use std::collections::BTreeMap;

use aws_lc_rs::hmac;
use mailtrail_core::event::{Event, EventKind};
use mailtrail_core::id::{MessageId, Realm, Recipient};
use tokio_postgres::{Client, Row, Transaction};
use uuid::Uuid;

use super::event_row::kind_name;
use super::fault::Fault;
use super::link::Link;
use super::rows::keyed;
use crate::store::LastDate;
use crate::store::lasts::day_of;

/// What is asked of a row, in the order in which [`last`] takes it.
const LAST: &str = "message_id, recipient, type, day";

/// What one row is told of.
pub(super) struct Dated<'a> {
    pub(super) domain: &'a str,
    pub(super) message: &'a str,
    pub(super) recipient: Option<&'a str>,
    pub(super) kind: EventKind,
    pub(super) day: u32,
}

impl<'a> Dated<'a> {
    /// The day of an event.
    pub(super) fn of(event: &'a Event) -> Self {
        Self {
            domain: event.domain.as_str(),
            message: event.message_id.as_str(),
            recipient: event.recipient.as_ref().map(Recipient::as_str),
            kind: event.kind,
            day: day_of(event.time.as_millisecond()),
        }
    }

    fn key(&self, key: &hmac::Key) -> Uuid {
        let parts = [self.domain, self.message, kind_name(self.kind)];
        keyed(key, b"last", &parts, self.recipient)
    }
}

/// Writes days; a later one replaces an earlier one.
pub(super) async fn put(
    change: &Transaction<'_>,
    key: &hmac::Key,
    days: impl Iterator<Item = Dated<'_>>,
) -> Result<(), Fault> {
    let mut latest: BTreeMap<Uuid, Dated<'_>> = BTreeMap::new();
    for dated in days {
        let of = dated.key(key);
        let known = latest.get(&of).map(|known| known.day);
        if known.is_none_or(|known| known < dated.day) {
            latest.insert(of, dated);
        }
    }
    if latest.is_empty() {
        return Ok(());
    }
    // In the order of the keys: two who write the same ones never wait for
    // each other in a circle.
    let keys: Vec<_> = latest.keys().copied().collect();
    let all = || latest.values();
    let domains: Vec<_> = all().map(|of| of.domain).collect();
    let messages: Vec<_> = all().map(|of| of.message).collect();
    let recipients: Vec<_> = all().map(|of| of.recipient).collect();
    let kinds: Vec<_> = all().map(|of| kind_name(of.kind)).collect();
    let days: Vec<_> = all().map(|of| of.day as i32).collect();
    change
        .execute(
            "INSERT INTO mailtrail.last_dates AS l
             SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[])
             ON CONFLICT (key) DO UPDATE SET day = excluded.day WHERE l.day < excluded.day",
            &[&keys, &domains, &messages, &recipients, &kinds, &days],
        )
        .await?;
    Ok(())
}

/// Those of a message.
pub(super) async fn of_message(
    link: &Link,
    domain: &Realm,
    message: &MessageId,
) -> Result<Vec<LastDate>, Fault> {
    those(link, domain, "message_id", message.as_str()).await
}

/// Those of a reader, sorted.
pub(super) async fn of_reader(
    link: &Link,
    domain: &Realm,
    recipient: &Recipient,
) -> Result<Vec<LastDate>, Fault> {
    let mut lasts = those(link, domain, "recipient", recipient.as_str()).await?;
    lasts.sort_unstable();
    Ok(lasts)
}

/// Those of a domain whose column says this.
async fn those(
    link: &Link,
    domain: &Realm,
    column: &'static str,
    said: &str,
) -> Result<Vec<LastDate>, Fault> {
    let sql =
        format!("SELECT {LAST} FROM mailtrail.last_dates WHERE domain = $1 AND {column} = $2");
    let planned = link.planned(&sql).await?;
    let rows = link.query(&planned, &[&domain.as_str(), &said]).await?;
    rows.iter().map(last).collect()
}

/// Takes those of a reader away.
pub(super) async fn erase(client: &Client, whom: (&str, &str)) -> Result<(), Fault> {
    let gone = "DELETE FROM mailtrail.last_dates WHERE domain = $1 AND recipient = $2";
    client.execute(gone, &[&whom.0, &whom.1]).await?;
    Ok(())
}

fn last(row: &Row) -> Result<LastDate, Fault> {
    let unreadable = |_| Fault::Unreadable;
    let message: &str = row.try_get(0)?;
    let recipient: Option<&str> = row.try_get(1)?;
    let opened = kind_name(EventKind::Opened);
    Ok(LastDate {
        message: message.parse().map_err(unreadable)?,
        recipient: recipient
            .map(|of| of.parse().map_err(unreadable))
            .transpose()?,
        kind: match row.try_get::<_, &str>(2)? == opened {
            true => EventKind::Opened,
            false => EventKind::Clicked,
        },
        day: u32::try_from(row.try_get::<_, i32>(3)?).map_err(|_| Fault::Unreadable)?,
    })
}
