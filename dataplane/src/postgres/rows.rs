//! Records of the spool become rows. Pure.

use std::collections::HashSet;

use aws_lc_rs::{digest, hmac};
use jiff::Timestamp;
use mailtrail_core::id::{MessageId, Realm, Recipient};
use mailtrail_core::message::MessageRecord;
use uuid::Uuid;

use super::copy::Rows;
use super::last::Dated;
use super::schema::first_id;
use super::spool::Record;
use crate::store::record::Last;
use crate::store::withdrawals::hash;
use crate::store::{HourCounts, record};

/// What the rows of hits are.
pub(super) const HITS: &str =
    "COPY mailtrail.hits (id, time, domain, recipient, who, final, body) FROM STDIN BINARY";
/// What the rows of message records are.
pub(super) const MESSAGES: &str = "COPY mailtrail.messages (id, domain, message_id, recipient, \
     rewritten_at, sent_at, tags, test, again, record) FROM STDIN BINARY";

/// A hit, or an event that was settled before there was a database.
pub(super) struct HitRow {
    pub(super) id: Uuid,
    pub(super) who: Option<Uuid>,
    time_ms: u64,
    domain: String,
    recipient: Option<String>,
    is_final: bool,
    body: Vec<u8>,
}

/// A message record.
pub(super) struct MessageRow {
    pub(super) id: Uuid,
    pub(super) who: Option<Uuid>,
    /// What it is told by from other mails.
    pub(super) key: Uuid,
    pub(super) message: MessageRecord,
    json: String,
}

/// A mail of which nothing is kept but that it was sent.
pub(super) struct MailRow {
    /// The id of the row that its message record would have.
    pub(super) id: Uuid,
    pub(super) who: Option<Uuid>,
    pub(super) key: Uuid,
    pub(super) domain: String,
    pub(super) rewritten_at: Timestamp,
    pub(super) sent_at: Option<Timestamp>,
    pub(super) test: bool,
    /// Whether an earlier record of it counted, before there was a database.
    pub(super) again: bool,
}

/// Hits that were counted before there was a database, and are told of nobody.
pub(super) struct CountedRow {
    pub(super) id: Uuid,
    pub(super) domain: String,
    pub(super) hour: u32,
    pub(super) counts: HourCounts,
}

/// The day of a reader, kept before there was a database.
pub(super) struct LastRow {
    pub(super) who: Option<Uuid>,
    payload: Vec<u8>,
}

impl LastRow {
    /// What it says.
    pub(super) fn dated(&self) -> Option<Dated<'_>> {
        let Last { key, day } = record::decode_last(&self.payload).ok()?;
        Some(Dated {
            domain: key.domain,
            message: key.message_id,
            recipient: key.recipient,
            kind: key.kind,
            day,
        })
    }
}

/// What is in a batch.
#[derive(Default)]
pub(super) struct Sorted {
    pub(super) hits: Vec<HitRow>,
    pub(super) messages: Vec<MessageRow>,
    pub(super) mails: Vec<MailRow>,
    pub(super) counted: Vec<CountedRow>,
    pub(super) lasts: Vec<LastRow>,
    /// Records that cannot be read.
    pub(super) unreadable: u64,
}

impl Sorted {
    /// Reads the records of a batch.
    pub(super) fn of(records: Vec<Record>, key: &hmac::Key) -> Self {
        let mut sorted = Self::default();
        for record in records {
            let read = match record.kind {
                record::MESSAGE => match record::is_sent_alone(&record.payload) {
                    Ok(true) => sent_alone(&record, key).map(|row| sorted.mails.push(row)),
                    _ => message(&record, key).map(|row| sorted.messages.push(row)),
                },
                record::SENT => sent(&record, key).map(|row| sorted.mails.push(row)),
                record::LAST => last(record, key).map(|row| sorted.lasts.push(row)),
                record::COUNTED => counted(&record).map(|row| sorted.counted.push(row)),
                _ => hit(record, key).map(|row| sorted.hits.push(row)),
            };
            sorted.unreadable += u64::from(read.is_err());
        }
        sorted
    }

    pub(super) fn len(&self) -> usize {
        self.hits.len() + self.messages.len() + self.mails.len() + self.lasts.len()
    }

    /// Whom the rows name, each once.
    pub(super) fn whos(&self) -> Vec<Uuid> {
        let hits = self.hits.iter().filter_map(|row| row.who);
        let all = hits
            .chain(self.messages.iter().filter_map(|row| row.who))
            .chain(self.mails.iter().filter_map(|row| row.who))
            .chain(self.lasts.iter().filter_map(|row| row.who));
        all.collect::<HashSet<_>>().into_iter().collect()
    }

    /// The hits' rows.
    pub(super) fn copy_hits(&self) -> bytes::Bytes {
        let mut rows = Rows::new();
        for hit in &self.hits {
            let time = jiff::Timestamp::from_millisecond(hit.time_ms as i64);
            rows.row(7)
                .uuid(hit.id)
                .time(time.unwrap_or_default())
                .text(&hit.domain)
                .maybe_text(hit.recipient.as_deref())
                .maybe_uuid(hit.who)
                .bool(hit.is_final)
                .bytes(&hit.body);
        }
        rows.finish()
    }

    /// The message records' rows; `sent` has the ids of those that count.
    pub(super) fn copy_messages(&self, sent: &HashSet<Uuid>) -> bytes::Bytes {
        let mut rows = Rows::new();
        for row in &self.messages {
            let message = &row.message;
            let tags: Vec<_> = message.tags.iter().map(tag).collect();
            rows.row(10)
                .uuid(row.id)
                .text(message.domain.as_str())
                .text(message.message_id.as_str())
                .maybe_text(
                    message
                        .recipient
                        .as_ref()
                        .map(|recipient| recipient.as_str()),
                )
                .time(message.rewritten_at)
                .maybe_time(message.sent_at)
                .texts(tags.iter().map(String::as_str))
                .bool(message.test)
                .bool(!message.test && !sent.contains(&row.id))
                .text(&row.json);
        }
        rows.finish()
    }
}

/// A tag as it is found.
pub(super) fn tag((key, value): (&String, &String)) -> String {
    format!("{key}={value}")
}

fn hit(record: Record, key: &hmac::Key) -> Result<HitRow, record::Unreadable> {
    let hit = record::peek_hit(&record.payload)?;
    let who = |recipient| Uuid::from_bytes(hash(key, hit.domain, recipient));
    Ok(HitRow {
        id: Uuid::from_slice(hit.id).map_err(|_| record::Unreadable)?,
        who: hit.recipient.map(who),
        time_ms: record.time_ms,
        domain: hit.domain.to_owned(),
        recipient: hit.recipient.map(str::to_owned),
        is_final: record.kind == record::EVENT,
        body: record.payload,
    })
}

fn message(record: &Record, key: &hmac::Key) -> Result<MessageRow, record::Unreadable> {
    let message = record::decode_message(&record.payload)?;
    let json = String::from_utf8(record.payload.clone()).map_err(|_| record::Unreadable)?;
    let domain = message.domain.as_str();
    let recipient = message
        .recipient
        .as_ref()
        .map(|recipient| recipient.as_str());
    Ok(MessageRow {
        id: message_id(record, &message),
        who: recipient.map(|recipient| Uuid::from_bytes(hash(key, domain, recipient))),
        key: mail_key(
            key,
            &message.domain,
            &message.message_id,
            message.recipient.as_ref(),
        ),
        message,
        json,
    })
}

fn sent_alone(record: &Record, key: &hmac::Key) -> Result<MailRow, record::Unreadable> {
    let MessageRow {
        id: _,
        who,
        key,
        message,
        json: _,
    } = message(record, key)?;
    Ok(MailRow {
        // The other one holds some bits of a hash of the whole record.
        id: mail_id(key, message.rewritten_at),
        who,
        key,
        domain: message.domain.as_str().to_owned(),
        rewritten_at: message.rewritten_at,
        sent_at: message.sent_at,
        test: message.test,
        again: false,
    })
}

/// Its message and reader are not known any more, only what told it from others
/// before there was a database: rewritten again, it counts again.
fn sent(record: &Record, key: &hmac::Key) -> Result<MailRow, record::Unreadable> {
    let sent = record::decode_sent(&record.payload)?;
    let key = keyed(key, b"hash", &[sent.domain, &sent.mail.to_string()], None);
    Ok(MailRow {
        id: mail_id(key, sent.rewritten_at),
        who: None,
        key,
        domain: sent.domain.to_owned(),
        rewritten_at: sent.rewritten_at,
        sent_at: sent.sent_at,
        test: sent.test,
        again: sent.again,
    })
}

fn mail_id(key: Uuid, at: Timestamp) -> Uuid {
    let ms = u64::try_from(at.as_millisecond()).unwrap_or(0);
    // 62 bits of the key, below version and variant.
    let random: u128 = key.as_u128() & (u128::MAX >> 66);
    Uuid::from_u128(first_id(ms).as_u128() | 0x7 << 76 | 0b10 << 62 | random)
}

fn last(record: Record, key: &hmac::Key) -> Result<LastRow, record::Unreadable> {
    let of = record::decode_last(&record.payload)?.key;
    let who = |recipient| Uuid::from_bytes(hash(key, of.domain, recipient));
    Ok(LastRow {
        who: of.recipient.map(who),
        payload: record.payload,
    })
}

fn counted(record: &Record) -> Result<CountedRow, record::Unreadable> {
    let counted = record::decode_counted(&record.payload)?;
    let mut counts = HourCounts::default();
    counts.opened.count_anonymous(counted.opened);
    counts.clicked.count_anonymous(counted.clicked);
    Ok(CountedRow {
        id: counted.id,
        domain: counted.domain.to_owned(),
        hour: counted.hour,
        counts,
    })
}

/// What a mail to a reader is told by from other mails.
pub(super) fn mail_key(
    key: &hmac::Key,
    domain: &Realm,
    message: &MessageId,
    recipient: Option<&Recipient>,
) -> Uuid {
    let recipient = recipient.map(Recipient::as_str);
    keyed(
        key,
        b"mail",
        &[domain.as_str(), message.as_str()],
        recipient,
    )
}

/// The same for the same record of a spool, wherever it is shipped from; in the
/// order of time, and of the spool within a millisecond.
fn message_id(record: &Record, message: &MessageRecord) -> Uuid {
    let ms = u64::try_from(message.rewritten_at.as_millisecond()).unwrap_or(0);
    let digest = digest::digest(&digest::SHA256, &record.payload);
    let chance = digest.as_ref()[..8]
        .try_into()
        .map_or(0, u64::from_be_bytes);
    // 48 bits of time; 40 of the number, cut by version and variant; the rest.
    let seq = u128::from(record.seq);
    let high = (seq >> 28) & 0xfff;
    let low = (seq & 0xfff_ffff) << 34 | u128::from(chance >> 30);
    let bits = first_id(ms).as_u128() | 0x7 << 76 | high << 64 | 0b10 << 62 | low;
    Uuid::from_u128(bits)
}

/// A keyed hash of something's parts, of which none holds a control character.
pub(super) fn keyed(key: &hmac::Key, what: &[u8], parts: &[&str], recipient: Option<&str>) -> Uuid {
    let mut context = hmac::Context::with_key(key);
    // No realm begins so: it is never what stands on the list for somebody.
    context.update(&[0]);
    context.update(what);
    for part in parts {
        context.update(&[0]);
        context.update(part.as_bytes());
    }
    if let Some(recipient) = recipient {
        context.update(&[1]);
        context.update(recipient.as_bytes());
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&context.sign().as_ref()[..16]);
    Uuid::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixtures;

    fn record(kind: u16, seq: u64, payload: Vec<u8>) -> Record {
        Record {
            kind,
            seq,
            time_ms: 1_790_000_000_120,
            payload,
        }
    }

    fn key() -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &[7; 32])
    }

    #[test]
    fn ids_of_message_records_follow_time_and_then_the_spool() {
        let id = |ms: i64, seq: u64| {
            let mut message = fixtures::message("shop/links", "m", None, "t");
            message.rewritten_at = jiff::Timestamp::from_millisecond(ms).expect("a time");
            let payload = record::encode_message(&message, false).expect("JSON");
            message_id(&record(record::MESSAGE, seq, payload), &message)
        };
        let ids = [
            id(1_000, 9_999_999_999),
            id(1_001, 1),
            id(1_001, 2),
            id(1_001, (1 << 28) + 1),
            id(1_002, 0),
        ];
        assert!(ids.is_sorted(), "{ids:?}");
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
        assert_eq!(id(5, 6), id(5, 6));
    }

    #[test]
    fn what_cannot_be_read_is_counted_and_holds_nothing_up() {
        let hit = record::encode_hit(&fixtures::hit("shop/links", "m"));
        let event = record::encode_event(&fixtures::event("shop/links", "m"));
        let records = vec![
            record(record::HIT, 1, hit),
            record(record::HIT, 2, vec![1, 2, 3]),
            record(record::EVENT, 3, event),
            record(record::MESSAGE, 4, b"{".to_vec()),
        ];
        let sorted = Sorted::of(records, &key());
        let finals: Vec<_> = sorted.hits.iter().map(|hit| hit.is_final).collect();
        assert_eq!((finals, sorted.unreadable), (vec![false, true], 2));
    }

    #[test]
    fn nobody_is_another_because_of_where_the_parts_are_cut() {
        let key = key();
        let of = |parts: &[&str], recipient| keyed(&key, b"mail", parts, recipient);
        assert_ne!(of(&["a/b", "c"], None), of(&["a/b", ""], Some("c")));
        assert_ne!(of(&["a/b", "c"], None), of(&["a/b", "c"], Some("")));
        assert_ne!(
            of(&["a/b", "c"], None),
            keyed(&key, b"first", &["a/b", "c"], None)
        );
    }
}
