//! A message and what became of it, described.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mailtrail_core::id::{MessageId, Recipient};
use mailtrail_core::message::MessageRecord;
use serde::Serialize;
use utoipa::ToSchema;

use crate::store::{HitCounts, HitSummary, LinkSummary, MessageSummary, ReaderSummary};

/// A mail that was rewritten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(examples(crate::api::examples::message))]
pub(in crate::api) struct Message {
    /// The sender's id of it.
    pub message_id: String,
    /// The reader; null when the rewrite named none.
    #[schema(required)]
    pub recipient: Option<String>,
    /// When it was rewritten: RFC 3339, UTC, milliseconds.
    #[schema(format = "date-time")]
    pub rewritten_at: String,
    /// When the sender said that it is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = "date-time")]
    pub sent_at: Option<String>,
    /// Its subject, as the sender gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub subject: Option<String>,
    /// Its tags.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(required = false)]
    pub tags: BTreeMap<String, String>,
    /// How many of its links are tracked.
    pub links: usize,
    /// Whether a pixel was placed.
    pub pixel: bool,
    /// A test mail: its hits are never counted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false, default = false)]
    pub test: bool,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = MessageSummary, examples(crate::api::examples::summary))]
pub(in crate::api) struct Summary {
    /// The sender's id of the message.
    pub message_id: String,
    /// What its last rewrite said; null where that is not kept.
    #[schema(required)]
    pub message: Option<Message>,
    /// Pixels loaded.
    pub opens: Hits,
    /// Readers who clicked and of whom no open by a person is known, as where
    /// the client loads no images: they have read it all the same.
    pub derived_opens: u64,
    /// Links followed.
    pub clicks: Hits,
    /// Each tracked link, by its place in the mail.
    pub links: Vec<Link>,
    /// What each reader did, in the order of their first hits; at most 100.
    pub recipients: Vec<Reader>,
    /// Whether there are more readers than that: ask for each by name.
    pub more_recipients: bool,
    /// Hits of a test mail; they are in none of the figures.
    pub test_hits: u64,
    /// Whether the figures are of all events, and not only of the 100,000 that
    /// were kept first.
    pub complete: bool,
}

/// Hits, by who caused them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::api) struct HitTotals {
    /// All of them.
    pub total: u64,
    /// By people.
    pub people: u64,
    /// By machines.
    pub machines: u64,
    /// By who is not known.
    pub unknown: u64,
    /// Those by people that were the first of their message, reader and link.
    /// Null where some by people are anonymous: whose they were is not known.
    #[schema(required)]
    pub first: Option<u64>,
    /// How many of all of them are anonymous: counted by a domain that records
    /// no more of them. They are in no list, message, link or tag.
    #[serde(skip_serializing_if = "is_zero")]
    #[schema(required = false, default = 0)]
    pub anonymous: u64,
}

/// Hits of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = HitSummary)]
pub(in crate::api) struct Hits {
    /// All of them.
    pub total: u64,
    /// By people.
    pub people: u64,
    /// By machines.
    pub machines: u64,
    /// By who is not known.
    pub unknown: u64,
    /// Those by people that were the first of their message, reader and link.
    pub first: u64,
    /// Different readers among those by people; all whom no rewrite named are
    /// one.
    pub unique: u64,
    /// The first by a person; null where there is none.
    #[schema(required, format = "date-time")]
    pub first_at: Option<String>,
    /// The last by a person; null where there is none.
    #[schema(required, format = "date-time")]
    pub last_at: Option<String>,
}

/// The clicks of a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = LinkSummary)]
pub(in crate::api) struct Link {
    /// Its place in the mail, as in the rewrite's report.
    pub position: u32,
    /// Where it leads; where that differs from reader to reader, one of them.
    pub target: String,
    /// The name that the sender gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<String>,
    /// Its clicks.
    pub clicks: Hits,
}

/// What a reader did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RecipientSummary)]
pub(in crate::api) struct Reader {
    /// Who; null for all whom the rewrite did not name.
    #[schema(required)]
    pub recipient: Option<String>,
    /// Their opens.
    pub opens: HitTotals,
    /// Their clicks.
    pub clicks: HitTotals,
    /// Whether they clicked and no open of theirs by a person is known.
    pub derived_open: bool,
    /// The first that they did as a person; null where there is nothing.
    #[schema(required, format = "date-time")]
    pub first_at: Option<String>,
    /// The last that they did as a person; null where there is nothing.
    #[schema(required, format = "date-time")]
    pub last_at: Option<String>,
    /// The day of UTC on which they last opened it; absent where events are
    /// recorded of opens, or nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = "date")]
    pub opened_on: Option<String>,
    /// The day of UTC on which they last followed a link of it; absent where
    /// events are recorded of clicks, or nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = "date")]
    pub clicked_on: Option<String>,
}

impl From<MessageRecord> for Message {
    fn from(record: MessageRecord) -> Self {
        // What else is kept is for webhooks.
        let MessageRecord {
            domain: _,
            message_id,
            recipient,
            rewritten_at,
            tags,
            links,
            pixel,
            test,
            from: _,
            to: _,
            subject,
            sent_at,
        } = record;
        Self {
            message_id: message_id.to_string(),
            recipient: named(recipient),
            rewritten_at: printed(rewritten_at),
            sent_at: sent_at.map(printed),
            subject,
            tags,
            links: links.len(),
            pixel,
            test,
        }
    }
}

impl Summary {
    /// Describes what became of a message.
    pub(in crate::api) fn new(message_id: &MessageId, summary: MessageSummary) -> Self {
        let MessageSummary {
            record,
            opens,
            derived_opens,
            clicks,
            links,
            readers,
            more_readers,
            test_hits,
            complete,
        } = summary;
        Self {
            message_id: message_id.to_string(),
            message: record.map(Message::from),
            opens: opens.into(),
            derived_opens,
            clicks: clicks.into(),
            links: links.into_iter().map(Link::from).collect(),
            recipients: readers.into_iter().map(Reader::from).collect(),
            more_recipients: more_readers,
            test_hits,
            complete,
        }
    }
}

impl From<HitCounts> for HitTotals {
    fn from(counts: HitCounts) -> Self {
        let HitCounts {
            people,
            machines,
            unknown,
            first,
            anonymous,
        } = counts;
        Self {
            total: counts.total(),
            people,
            machines,
            unknown,
            first: (anonymous.people == 0).then_some(first),
            anonymous: anonymous.total(),
        }
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl From<HitSummary> for Hits {
    fn from(summary: HitSummary) -> Self {
        let HitSummary {
            hits,
            unique,
            first_at,
            last_at,
        } = summary;
        let HitCounts {
            people,
            machines,
            unknown,
            first,
            // Those are of no message.
            anonymous: _,
        } = hits;
        Self {
            total: hits.total(),
            people,
            machines,
            unknown,
            first,
            unique,
            first_at: first_at.map(printed),
            last_at: last_at.map(printed),
        }
    }
}

impl From<LinkSummary> for Link {
    fn from(link: LinkSummary) -> Self {
        let LinkSummary {
            position,
            target,
            name,
            clicks,
        } = link;
        Self {
            position: position.0,
            target,
            name,
            clicks: clicks.into(),
        }
    }
}

impl From<ReaderSummary> for Reader {
    fn from(reader: ReaderSummary) -> Self {
        let derived_open = reader.is_derived_open();
        let ReaderSummary {
            recipient,
            opens,
            clicks,
            first_at,
            last_at,
            opened_on,
            clicked_on,
        } = reader;
        Self {
            recipient: named(recipient),
            opens: opens.into(),
            clicks: clicks.into(),
            derived_open,
            first_at: first_at.map(printed),
            last_at: last_at.map(printed),
            opened_on: opened_on.map(printed_day),
            clicked_on: clicked_on.map(printed_day),
        }
    }
}

/// A day since 1970, as RFC 3339 has dates.
pub(in crate::api) fn printed_day(day: u32) -> String {
    let begin = Timestamp::from_second(i64::from(day) * 24 * 60 * 60);
    let begin = begin.unwrap_or(Timestamp::MAX);
    begin.strftime("%Y-%m-%d").to_string()
}

fn named(recipient: Option<Recipient>) -> Option<String> {
    recipient.map(|recipient| recipient.as_str().to_owned())
}

fn printed(time: Timestamp) -> String {
    format!("{time:.3}")
}
