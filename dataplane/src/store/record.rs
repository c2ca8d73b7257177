//! What a record's payload says: events in a compact form, message records in
//! JSON.
//!
//! An event is written for every click, so its form is made for speed and
//! size: fields one behind the other, each a tag of one byte, a length
//! (LEB128) and bytes. A field that says nothing is left out; a tag that is
//! not known is passed over, so that a later version may add fields and this
//! one still reads them. Domain, kind and message come first: a filter reads no
//! further.
//!
//! A message record is written once for each rewrite, which costs a hundred
//! times more than its JSON.
//!
//! A hit is an event with what its verdict needs beside it ([`hit`]). What is
//! told of nobody has no message and no reader: how many hits there were
//! ([`counted`]), and that a mail was sent ([`sent`]).
//!
//! A record of a kind that is not known is passed over and kept.

mod counted;
mod hit;
mod last;
mod read;
mod sent;

use std::collections::BTreeMap;

use jiff::Timestamp;
use mailtrail_core::event::{Client, Event, EventKind, EventLink, Verdict};
use mailtrail_core::id::{MessageId, Realm, Recipient};
use mailtrail_core::message::MessageRecord;
use serde::{Deserialize, Serialize};

/// An event, in the form of this module.
pub(crate) const EVENT: u16 = 1;
/// A message record, in JSON.
pub(crate) const MESSAGE: u16 = 2;
/// A withdrawal: its keyed hash of 16 bytes.
pub(crate) const WITHDRAWAL: u16 = 3;
/// A hit that is not settled, in the form of [`hit`].
pub(crate) const HIT: u16 = 4;
/// Up to which number all hits are settled, u64. Nothing personal.
pub(crate) const SETTLED: u16 = 5;

/// What stands where the last record of a segment was taken away, so that its
/// number is not given again; one byte that says nothing.
pub(crate) const GONE: u16 = 6;

/// How many hits of a domain and hour were counted and told of nobody, in the
/// form of [`counted`].
pub(crate) const COUNTED: u16 = 7;

/// That a mail was sent, and nothing else of it, in the form of [`sent`].
pub(crate) const SENT: u16 = 8;

/// On which day a reader last did something, in the form of [`last`].
pub(crate) const LAST: u16 = 9;

pub(crate) use counted::{Counted, decode_counted, encode_counted};
pub(crate) use hit::{HitKey, decode_hit, encode_hit, peek_hit};
pub(crate) use last::{Last, decode_last, encode_last};
pub(crate) use read::{
    decode_event, decode_message, decode_settled, event_facts, is_sent_alone, peek_event, peek_id,
    peek_message,
};
pub(crate) use sent::{Sent, decode_sent, encode_sent};

const DOMAIN: u8 = 1;
const KIND: u8 = 2;
const MESSAGE_ID: u8 = 3;
const ID: u8 = 4;
const TIME: u8 = 5;
const HOST: u8 = 6;
const RECIPIENT: u8 = 7;
const TAG: u8 = 8;
const TARGET: u8 = 9;
const POSITION: u8 = 10;
const LINK_NAME: u8 = 11;
const VERDICT: u8 = 12;
const RULE: u8 = 13;
const FAMILY: u8 = 14;
const OS: u8 = 15;
const DEVICE: u8 = 16;
const ADDRESS: u8 = 17;
const USER_AGENT: u8 = 18;
const TEST: u8 = 19;
const FIRST: u8 = 20;

/// The payload is not what its kind says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record cannot be read")]
pub(crate) struct Unreadable;

/// What a filter asks of an event, without reading all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventKey<'a> {
    /// `namespace/name`.
    pub(crate) domain: &'a str,
    /// What happened.
    pub(crate) kind: EventKind,
    /// The message.
    pub(crate) message_id: &'a str,
    /// The reader, when named.
    pub(crate) recipient: Option<&'a str>,
}

/// What the index keeps of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EventFacts<'a> {
    /// What it is found under.
    pub(crate) key: EventKey<'a>,
    /// Its own tags; hits have none.
    pub(crate) tags: Vec<(&'a str, &'a str)>,
    /// When, in milliseconds since 1970.
    pub(crate) time_ms: i64,
    /// Who caused it.
    pub(crate) verdict: Verdict,
    /// The first by a person.
    pub(crate) first: bool,
    /// The link's position; 0 for an opening.
    pub(crate) position: u32,
    /// A hit of a test mail.
    pub(crate) test: bool,
}

/// What a message record is found under.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct MessageKey {
    /// The tracking domain.
    pub(crate) domain: Realm,
    /// The sender's id.
    pub(crate) message_id: MessageId,
    /// The reader, when named.
    pub(crate) recipient: Option<Recipient>,
    /// When it was rewritten.
    pub(crate) rewritten_at: Timestamp,
    /// The sender's tags.
    #[serde(default)]
    pub(crate) tags: BTreeMap<String, String>,
    /// A test mail.
    #[serde(default)]
    pub(crate) test: bool,
    /// When the caller sends it.
    #[serde(default)]
    pub(crate) sent_at: Option<Timestamp>,
    /// Whether an earlier one of this message and reader was recorded.
    #[serde(default)]
    pub(crate) again: bool,
}

// === Writing ===

/// The payload of an event.
pub(crate) fn encode_event(event: &Event) -> Vec<u8> {
    // Destructured, so that a new field is not forgotten.
    let Event {
        id,
        kind,
        time,
        domain,
        host,
        message_id,
        recipient,
        tags,
        link,
        client,
        first,
        test,
    } = event;
    let mut to = Vec::with_capacity(384);
    put(&mut to, DOMAIN, domain.as_str().as_bytes());
    put(&mut to, KIND, &[kind_code(*kind)]);
    put(&mut to, MESSAGE_ID, message_id.as_str().as_bytes());
    put(&mut to, ID, id.as_bytes());
    put(&mut to, TIME, &time.as_millisecond().to_le_bytes());
    put(&mut to, HOST, host.as_str().as_bytes());
    if let Some(recipient) = recipient {
        put(&mut to, RECIPIENT, recipient.as_str().as_bytes());
    }
    for (key, value) in tags {
        put_tag(&mut to, key, value);
    }
    if let Some(link) = link {
        put_link(&mut to, link);
    }
    put_client(&mut to, client);
    if *test {
        put(&mut to, TEST, &[1]);
    }
    if *first {
        put(&mut to, FIRST, &[1]);
    }
    to
}

fn put_tag(to: &mut Vec<u8>, key: &str, value: &str) {
    let mut pair = Vec::with_capacity(key.len() + value.len() + 4);
    put_length(&mut pair, key.len());
    pair.extend_from_slice(key.as_bytes());
    pair.extend_from_slice(value.as_bytes());
    put(to, TAG, &pair);
}

fn put_link(to: &mut Vec<u8>, link: &EventLink) {
    let EventLink {
        target,
        position,
        name,
    } = link;
    put(to, TARGET, target.as_str().as_bytes());
    put(to, POSITION, &position.0.to_le_bytes());
    put_text(to, LINK_NAME, name.as_deref());
}

fn put_client(to: &mut Vec<u8>, client: &Client) {
    let Client {
        verdict,
        rules,
        family,
        os,
        device,
        address,
        user_agent,
    } = client;
    put(to, VERDICT, &[verdict_code(*verdict)]);
    for rule in rules {
        put(to, RULE, rule.as_bytes());
    }
    put_text(to, FAMILY, family.as_deref());
    put_text(to, OS, os.as_deref());
    put_text(to, DEVICE, device.as_deref());
    put_text(to, ADDRESS, address.as_deref());
    put_text(to, USER_AGENT, user_agent.as_deref());
}

fn put_text(to: &mut Vec<u8>, tag: u8, text: Option<&str>) {
    if let Some(text) = text {
        put(to, tag, text.as_bytes());
    }
}

fn put(to: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    to.push(tag);
    put_length(to, bytes.len());
    to.extend_from_slice(bytes);
}

fn put_length(to: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        to.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    to.push(length as u8);
}

/// A message record with what is noted of it.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    record: &'a MessageRecord,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    again: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    sent_alone: bool,
}

/// The payload of a message record, and whether it repeats an earlier one.
pub(crate) fn encode_message(record: &MessageRecord, again: bool) -> Option<Vec<u8>> {
    let written = Written {
        record,
        again,
        sent_alone: false,
    };
    serde_json::to_vec(&written).ok()
}

/// The payload of a message record that waits for the database, which keeps of
/// it that the mail was sent and nothing else.
pub(crate) fn encode_sent_alone(record: &MessageRecord) -> Option<Vec<u8>> {
    let written = Written {
        record,
        again: false,
        sent_alone: true,
    };
    serde_json::to_vec(&written).ok()
}

/// The payload of a mark: all hits up to this number are settled.
pub(crate) fn encode_settled(up_to: u64) -> [u8; 8] {
    up_to.to_le_bytes()
}

fn kind_code(kind: EventKind) -> u8 {
    match kind {
        EventKind::Opened => 1,
        EventKind::Clicked => 2,
    }
}

fn verdict_code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Unknown => 0,
        Verdict::Human => 1,
        Verdict::Proxy => 2,
        Verdict::Prefetch => 3,
        Verdict::Scanner => 4,
    }
}

#[cfg(test)]
mod tests;
