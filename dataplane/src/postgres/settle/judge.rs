//! What the database knows that a verdict asks for, and the verdicts.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use mailtrail_core::config::Recorded;
use mailtrail_core::event::{Event, Unsettled};
use tokio_postgres::Client;
use uuid::Uuid;

use super::board::DueHit;
use crate::judge::window::{BURST_MS, DISORDER_MS};
use crate::judge::{Learnt, Rules};
use crate::postgres::event_row::{EVENT, event};
use crate::postgres::fault::Fault;
use crate::postgres::schema::first_id;
use crate::postgres::{Shared, rows};

/// A token says in which hour its mail was rewritten, and the message record is
/// of that moment; a second hour is for clocks that differ.
const RECORDED_WITHIN_MS: u64 = 2 * 60 * 60 * 1000;
/// Most settled events that are remembered for bursts at the start.
const CONTEXT_MAX: i64 = 100_000;

/// A hit with its verdict; whether it is a first is known when it is written.
pub(super) struct Judged {
    pub(super) event: Event,
    pub(super) recorded: Recorded,
    pub(super) mail_sent: Timestamp,
    /// The verdict, and what `first` says, were given before there was a
    /// database.
    pub(super) is_final: bool,
}

/// Settled events of the last seconds before a moment, in milliseconds since
/// 1970, in the order of their times.
pub(super) async fn context(client: &Client, before_ms: i64) -> Result<Vec<Event>, Fault> {
    let before_ms = u64::try_from(before_ms).unwrap_or(0);
    let from_ms = before_ms.saturating_sub(BURST_MS + DISORDER_MS);
    let rows = client
        .query(
            &format!(
                "SELECT {EVENT} FROM mailtrail.events WHERE id >= $1 AND recipient IS NOT NULL
                 ORDER BY time, id LIMIT $2"
            ),
            &[&first_id(from_ms), &CONTEXT_MAX],
        )
        .await?;
    rows.iter().map(event).collect()
}

/// Gives verdicts; without rules what was said at once stands.
pub(super) async fn judge(
    client: &Client,
    shared: &Shared,
    rules: Option<&Rules>,
    due: Vec<DueHit>,
) -> Result<Vec<Judged>, Fault> {
    let sent = match rules {
        Some(rules) => times_of_sending(client, shared, rules, &due).await?,
        None => HashMap::new(),
    };
    let judged = due.into_iter().map(|due| {
        let DueHit {
            mut hit,
            burst,
            is_final,
        } = due;
        if !is_final {
            shared.modes.narrow(&mut hit);
        }
        let Unsettled {
            mut event,
            signs,
            mail_sent,
            recorded,
        } = hit;
        if let Some(rules) = rules.filter(|_| !is_final) {
            let learnt = Learnt {
                burst,
                since_sent: since(&event, &sent),
            };
            let verdict = rules.settle(event.kind, &signs, &learnt);
            (event.client.verdict, event.client.rules) = verdict;
        }
        Judged {
            event,
            recorded,
            mail_sent,
            is_final,
        }
    });
    Ok(judged.collect())
}

fn since(event: &Event, sent: &HashMap<Uuid, Timestamp>) -> Option<SignedDuration> {
    let sent_at = sent.get(&event.id)?;
    Some(event.time.duration_since(*sent_at))
}

/// When the mails of those hits were sent whose verdict asks for it, by the
/// hits' ids, as their message records say: the last one, where a mail was
/// rewritten again.
async fn times_of_sending(
    client: &Client,
    shared: &Shared,
    rules: &Rules,
    due: &[DueHit],
) -> Result<HashMap<Uuid, Timestamp>, Fault> {
    let asked = due.iter().filter(|due| {
        let Unsettled { event, signs, .. } = &due.hit;
        !due.is_final && rules.asks_when_sent(event.kind, signs)
    });
    let asked: Vec<_> = asked.map(|due| &due.hit).collect();
    if asked.is_empty() {
        return Ok(HashMap::new());
    }
    let from_ms = |hit: &&Unsettled| u64::try_from(hit.mail_sent.as_millisecond()).unwrap_or(0);
    let ids: Vec<_> = asked.iter().map(|hit| hit.event.id).collect();
    let domains: Vec<_> = asked.iter().map(|hit| hit.event.domain.as_str()).collect();
    let messages: Vec<_> = asked
        .iter()
        .map(|hit| hit.event.message_id.as_str())
        .collect();
    let recipients: Vec<_> = asked
        .iter()
        .map(|hit| {
            hit.event
                .recipient
                .as_ref()
                .map(|recipient| recipient.as_str())
        })
        .collect();
    let from: Vec<_> = asked.iter().map(|hit| first_id(from_ms(hit))).collect();
    let to: Vec<_> = asked
        .iter()
        .map(|hit| first_id(from_ms(hit) + RECORDED_WITHIN_MS))
        .collect();
    let rows = client
        .query(
            "SELECT a.id, m.sent_at
             FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::uuid[])
               AS a (id, domain, message_id, recipient, from_id, to_id)
             CROSS JOIN LATERAL (
               SELECT sent_at FROM mailtrail.messages m
               WHERE m.domain = a.domain AND m.message_id = a.message_id
                 AND m.recipient IS NOT DISTINCT FROM a.recipient
                 AND m.id >= a.from_id AND m.id < a.to_id
               ORDER BY m.id DESC LIMIT 1) m
             WHERE m.sent_at IS NOT NULL",
            &[&ids, &domains, &messages, &recipients, &from, &to],
        )
        .await?;
    let mut sent = HashMap::new();
    for row in rows {
        sent.insert(row.try_get(0)?, row.try_get(1)?);
    }
    let known = |hit: &&&Unsettled| !sent.contains_key(&hit.event.id);
    let missing: Vec<_> = asked.iter().filter(known).copied().collect();
    sent.extend(of_mails(client, shared, &missing).await?);
    Ok(sent)
}

/// The same for mails of which nothing else is kept.
async fn of_mails(
    client: &Client,
    shared: &Shared,
    asked: &[&Unsettled],
) -> Result<Vec<(Uuid, Timestamp)>, Fault> {
    let key = shared.list.key().ok_or(Fault::Slow)?;
    let mut hits: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
    for Unsettled { event, .. } in asked {
        let recipient = event.recipient.as_ref();
        let mail = rows::mail_key(key, &event.domain, &event.message_id, recipient);
        hits.entry(mail).or_default().push(event.id);
    }
    let mails: Vec<_> = hits.keys().copied().collect();
    let rows = client
        .query(
            "SELECT key, sent_at FROM mailtrail.mails WHERE key = ANY($1) AND sent_at IS NOT NULL",
            &[&mails],
        )
        .await?;
    let mut sent = Vec::new();
    for row in rows {
        let (mail, at): (Uuid, Timestamp) = (row.try_get(0)?, row.try_get(1)?);
        let of_mail = hits.get(&mail).into_iter().flatten();
        sent.extend(of_mail.map(|id| (*id, at)));
    }
    Ok(sent)
}
