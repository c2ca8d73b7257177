//! Adds to events what the newest record of their message says.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use mailtrail_core::event::Event;
use mailtrail_core::message::MessageRecord;
use tokio_postgres::Client;

use crate::postgres::fault::Fault;
use crate::postgres::schema::first_id;
use crate::store::join::complete;

/// What a message record is found by: message and reader.
type Key = (String, Option<String>);

/// Completes events of one domain; `sent` says when each one's mail was sent, to
/// the hour. Its record is not older, most often: so little is searched first.
pub(in crate::postgres) async fn tags_and_names(
    client: &Client,
    events: &mut [Event],
    sent: &[Timestamp],
) -> Result<(), Fault> {
    let Some(domain) = events.first().map(|event| event.domain.clone()) else {
        return Ok(());
    };
    let mut wanted: HashMap<Key, Timestamp> = HashMap::new();
    for (event, sent) in events.iter().zip(sent) {
        let earliest = wanted.entry(key(event)).or_insert(*sent);
        *earliest = (*earliest).min(*sent);
    }
    let mut found = HashMap::new();
    for reach in [Reach::SinceSent, Reach::All] {
        let missing = wanted
            .iter()
            .filter(|(key, _)| !found.contains_key(*key))
            .map(|(key, sent)| (key.clone(), *sent));
        let missing: Vec<_> = missing.collect();
        // Records of named readers and of nobody are in different indexes.
        let (named, unnamed) = missing
            .into_iter()
            .partition::<Vec<_>, _>(|((_, recipient), _)| recipient.is_some());
        for part in [named, unnamed] {
            find(client, domain.as_str(), &part, reach, &mut found).await?;
        }
    }
    for event in events {
        if let Some(record) = found.get(&key(event)) {
            complete(event, record);
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    SinceSent,
    All,
}

fn key(event: &Event) -> Key {
    let recipient = event.recipient.as_ref();
    (
        event.message_id.as_str().to_owned(),
        recipient.map(|recipient| recipient.as_str().to_owned()),
    )
}

/// The newest record of an event's message and reader.
pub(in crate::postgres) async fn newest(
    client: &Client,
    event: &Event,
) -> Result<Option<MessageRecord>, Fault> {
    let mut found = HashMap::new();
    let wanted = [(key(event), event.time)];
    let domain = event.domain.as_str();
    find(client, domain, &wanted, Reach::All, &mut found).await?;
    Ok(found.remove(&key(event)))
}

/// Finds the newest records; all of the keys name a reader, or none does.
async fn find(
    client: &Client,
    domain: &str,
    keys: &[(Key, Timestamp)],
    reach: Reach,
    found: &mut HashMap<Key, MessageRecord>,
) -> Result<(), Fault> {
    let Some(((_, first), _)) = keys.first() else {
        return Ok(());
    };
    let is_named = first.is_some();
    let messages: Vec<_> = keys
        .iter()
        .map(|((message, _), _)| message.as_str())
        .collect();
    let recipients: Vec<_> = keys.iter().map(|((_, to), _)| to.as_deref()).collect();
    let from = |sent: &Timestamp| match reach {
        Reach::SinceSent => first_id(u64::try_from(sent.as_millisecond()).unwrap_or(0)),
        Reach::All => uuid::Uuid::nil(),
    };
    let from: Vec<_> = keys.iter().map(|(_, sent)| from(sent)).collect();
    let of_reader = match is_named {
        true => "m.recipient = k.recipient",
        false => "m.recipient IS NULL",
    };
    let rows = client
        .query(
            &format!(
                "SELECT k.n::bigint, m.record
                 FROM unnest($2::text[], $3::text[], $4::uuid[]) WITH ORDINALITY
                   AS k (message_id, recipient, from_id, n)
                 CROSS JOIN LATERAL (
                   SELECT record::text FROM mailtrail.messages m
                   WHERE m.domain = $1 AND m.message_id = k.message_id AND {of_reader}
                     AND m.id >= k.from_id
                   ORDER BY m.id DESC LIMIT 1) m"
            ),
            &[&domain, &messages, &recipients, &from],
        )
        .await?;
    let mut unreadable = BTreeSet::new();
    for row in rows {
        let at = row.try_get::<_, i64>(0)? as usize - 1;
        match serde_json::from_str(row.try_get(1)?) {
            Ok(record) => _ = found.insert(keys[at].0.clone(), record),
            Err(_) => _ = unreadable.insert(at),
        }
    }
    match unreadable.is_empty() {
        true => Ok(()),
        false => Err(Fault::Unreadable),
    }
}
