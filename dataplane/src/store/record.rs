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
//! A hit is an event with what its verdict needs beside it ([`hit`]).
//!
//! A record of a kind that is not known is passed over and kept.

mod hit;

use std::collections::BTreeMap;

use jiff::Timestamp;
use mailtrail_core::event::{Client, Event, EventKind, EventLink, Verdict};
use mailtrail_core::id::{LinkPosition, MessageId, Realm, Recipient};
use mailtrail_core::message::MessageRecord;
use mailtrail_core::target::Target;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

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

pub(crate) use hit::{HitKey, decode_hit, encode_hit, peek_hit};

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

/// The payload of a message record, and whether it repeats an earlier one.
pub(crate) fn encode_message(record: &MessageRecord, again: bool) -> Option<Vec<u8>> {
    #[derive(Serialize)]
    struct Written<'a> {
        #[serde(flatten)]
        record: &'a MessageRecord,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        again: bool,
    }
    serde_json::to_vec(&Written { record, again }).ok()
}

// === Reading ===

/// Reads an event.
pub(crate) fn decode_event(payload: &[u8]) -> Result<Event, Unreadable> {
    let mut read = Reading::default();
    for field in Fields(payload) {
        let (tag, bytes) = field?;
        read.take(tag, bytes)?;
    }
    read.finish()
}

/// Reads of an event, or a hit, its id.
pub(crate) fn peek_id(payload: &[u8]) -> Result<Uuid, Unreadable> {
    for field in Fields(payload) {
        if let (ID, bytes) = field? {
            return Uuid::from_slice(bytes).map_err(|_| Unreadable);
        }
    }
    Err(Unreadable)
}

/// The payload of a mark: all hits up to this number are settled.
pub(crate) fn encode_settled(up_to: u64) -> [u8; 8] {
    up_to.to_le_bytes()
}

/// Reads a mark.
pub(crate) fn decode_settled(payload: &[u8]) -> Result<u64, Unreadable> {
    let bytes = payload.try_into().map_err(|_| Unreadable)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Reads of an event what filters ask for.
pub(crate) fn peek_event(payload: &[u8]) -> Result<EventKey<'_>, Unreadable> {
    let (mut domain, mut kind, mut message_id, mut recipient) = (None, None, None, None);
    for field in Fields(payload) {
        match field? {
            (DOMAIN, bytes) => domain = Some(text(bytes)?),
            (KIND, bytes) => kind = Some(kind_of(bytes)?),
            (MESSAGE_ID, bytes) => message_id = Some(text(bytes)?),
            (RECIPIENT, bytes) => recipient = Some(text(bytes)?),
            // Fields are written in the order of their tags, but for those
            // of later versions.
            (tag, _) if tag > RECIPIENT => break,
            _ => {}
        }
    }
    Ok(EventKey {
        domain: domain.ok_or(Unreadable)?,
        kind: kind.ok_or(Unreadable)?,
        message_id: message_id.ok_or(Unreadable)?,
        recipient,
    })
}

/// Reads of an event what the index keeps.
pub(crate) fn event_facts(payload: &[u8]) -> Result<EventFacts<'_>, Unreadable> {
    let mut facts = EventFacts {
        key: peek_event(payload)?,
        tags: Vec::new(),
        time_ms: 0,
        verdict: Verdict::Unknown,
        first: false,
        position: 0,
        test: false,
    };
    for field in Fields(payload) {
        match field? {
            (TIME, bytes) => facts.time_ms = time(bytes)?.as_millisecond(),
            (TAG, bytes) => facts.tags.push(tag_pair(bytes)?),
            (POSITION, bytes) => {
                let bytes = bytes.try_into().map_err(|_| Unreadable)?;
                facts.position = u32::from_le_bytes(bytes);
            }
            (VERDICT, bytes) => facts.verdict = verdict_of(bytes),
            (TEST, bytes) => facts.test = bytes == [1],
            (FIRST, bytes) => facts.first = bytes == [1],
            _ => {}
        }
    }
    Ok(facts)
}

/// Reads of a message record what it is found under.
pub(crate) fn peek_message(payload: &[u8]) -> Result<MessageKey, Unreadable> {
    serde_json::from_slice(payload).map_err(|_| Unreadable)
}

/// Reads a message record.
pub(crate) fn decode_message(payload: &[u8]) -> Result<MessageRecord, Unreadable> {
    serde_json::from_slice(payload).map_err(|_| Unreadable)
}

/// An event of which some fields have been read.
#[derive(Default)]
struct Reading<'a> {
    id: Option<Uuid>,
    kind: Option<EventKind>,
    time: Option<Timestamp>,
    domain: Option<&'a str>,
    host: Option<&'a str>,
    message_id: Option<&'a str>,
    recipient: Option<&'a str>,
    tags: BTreeMap<String, String>,
    target: Option<&'a str>,
    position: u32,
    link_name: Option<String>,
    client: Client,
    first: bool,
    test: bool,
}

impl<'a> Reading<'a> {
    fn take(&mut self, tag: u8, bytes: &'a [u8]) -> Result<(), Unreadable> {
        match tag {
            ID => self.id = Some(Uuid::from_slice(bytes).map_err(|_| Unreadable)?),
            KIND => self.kind = Some(kind_of(bytes)?),
            TIME => self.time = Some(time(bytes)?),
            DOMAIN => self.domain = Some(text(bytes)?),
            HOST => self.host = Some(text(bytes)?),
            MESSAGE_ID => self.message_id = Some(text(bytes)?),
            RECIPIENT => self.recipient = Some(text(bytes)?),
            TAG => {
                let (key, value) = tag_pair(bytes)?;
                self.tags.insert(key.to_owned(), value.to_owned());
            }
            TARGET => self.target = Some(text(bytes)?),
            POSITION => {
                let bytes = bytes.try_into().map_err(|_| Unreadable)?;
                self.position = u32::from_le_bytes(bytes);
            }
            LINK_NAME => self.link_name = Some(text(bytes)?.to_owned()),
            TEST => self.test = bytes == [1],
            FIRST => self.first = bytes == [1],
            _ => self.take_client(tag, bytes)?,
        }
        Ok(())
    }

    fn take_client(&mut self, tag: u8, bytes: &[u8]) -> Result<(), Unreadable> {
        let client = &mut self.client;
        let to = match tag {
            VERDICT => {
                client.verdict = verdict_of(bytes);
                return Ok(());
            }
            RULE => {
                client.rules.push(text(bytes)?.to_owned());
                return Ok(());
            }
            FAMILY => &mut client.family,
            OS => &mut client.os,
            DEVICE => &mut client.device,
            ADDRESS => &mut client.address,
            USER_AGENT => &mut client.user_agent,
            _ => return Ok(()),
        };
        *to = Some(text(bytes)?.to_owned());
        Ok(())
    }

    fn finish(self) -> Result<Event, Unreadable> {
        let link = match self.target {
            None => None,
            Some(target) => Some(EventLink {
                target: Target::parse_exact(target).map_err(|_| Unreadable)?,
                position: LinkPosition(self.position),
                name: self.link_name,
            }),
        };
        Ok(Event {
            id: self.id.ok_or(Unreadable)?,
            kind: self.kind.ok_or(Unreadable)?,
            time: self.time.ok_or(Unreadable)?,
            domain: name(self.domain)?,
            host: name(self.host)?,
            message_id: name(self.message_id)?,
            recipient: self.recipient.map(|text| name(Some(text))).transpose()?,
            tags: self.tags,
            link,
            client: self.client,
            first: self.first,
            test: self.test,
        })
    }
}

/// The fields of a payload, tag and bytes.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u8, &'a [u8]), Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        let (&tag, rest) = self.0.split_first()?;
        let field = take_length(rest).and_then(|(length, rest)| rest.split_at_checked(length));
        match field {
            Some((bytes, rest)) => {
                self.0 = rest;
                Some(Ok((tag, bytes)))
            }
            None => {
                self.0 = &[];
                Some(Err(Unreadable))
            }
        }
    }
}

fn take_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut length = 0;
    // Four bytes hold 28 bits, more than a payload has.
    for (n, &byte) in bytes.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * n);
        if byte & 0x80 == 0 {
            return Some((length, &bytes[n + 1..]));
        }
    }
    None
}

fn tag_pair(bytes: &[u8]) -> Result<(&str, &str), Unreadable> {
    let (length, rest) = take_length(bytes).ok_or(Unreadable)?;
    let (key, value) = rest.split_at_checked(length).ok_or(Unreadable)?;
    Ok((text(key)?, text(value)?))
}

fn text(bytes: &[u8]) -> Result<&str, Unreadable> {
    std::str::from_utf8(bytes).map_err(|_| Unreadable)
}

fn name<T: std::str::FromStr>(text: Option<&str>) -> Result<T, Unreadable> {
    text.and_then(|text| text.parse().ok()).ok_or(Unreadable)
}

fn time(bytes: &[u8]) -> Result<Timestamp, Unreadable> {
    let bytes = bytes.try_into().map_err(|_| Unreadable)?;
    Timestamp::from_millisecond(i64::from_le_bytes(bytes)).map_err(|_| Unreadable)
}

fn kind_code(kind: EventKind) -> u8 {
    match kind {
        EventKind::Opened => 1,
        EventKind::Clicked => 2,
    }
}

fn kind_of(bytes: &[u8]) -> Result<EventKind, Unreadable> {
    match bytes {
        [1] => Ok(EventKind::Opened),
        [2] => Ok(EventKind::Clicked),
        _ => Err(Unreadable),
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

/// A verdict of a later version is unknown to this one.
fn verdict_of(bytes: &[u8]) -> Verdict {
    match bytes {
        [1] => Verdict::Human,
        [2] => Verdict::Proxy,
        [3] => Verdict::Prefetch,
        [4] => Verdict::Scanner,
        _ => Verdict::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixtures::event;

    #[test]
    fn an_event_reads_back_what_was_written() {
        let plain = event("shop/links", "m-1");
        assert_eq!(decode_event(&encode_event(&plain)), Ok(plain.clone()));
        let full = Event {
            kind: EventKind::Opened,
            recipient: Some("r-1".parse().expect("recipient")),
            tags: BTreeMap::from([("campaign".into(), "ü".into()), (String::new(), "v".into())]),
            client: Client {
                verdict: Verdict::Scanner,
                rules: vec!["burst".into(), "head".into()],
                family: Some("Firefox".into()),
                os: Some("Linux".into()),
                device: Some("phone".into()),
                address: Some("192.0.2.0/24".into()),
                user_agent: Some("x".repeat(300)),
            },
            first: true,
            test: true,
            ..plain
        };
        assert_eq!(decode_event(&encode_event(&full)), Ok(full));
    }

    #[test]
    fn a_field_of_a_later_version_is_passed_over() {
        let event = event("shop/links", "m-1");
        let mut payload = encode_event(&event);
        put(&mut payload, 200, b"from the future");
        assert_eq!(decode_event(&payload), Ok(event));
    }

    #[test]
    fn a_cut_or_changed_payload_never_panics() {
        let payload = encode_event(&event("shop/links", "m-1"));
        for at in 0..payload.len() {
            let _ = decode_event(&payload[..at]);
            let mut changed = payload.clone();
            changed[at] ^= 0x80;
            let _ = (decode_event(&changed).is_ok(), peek_event(&changed).is_ok());
        }
        assert_eq!(decode_event(&[]), Err(Unreadable));
    }

    #[test]
    fn the_index_sees_of_an_event_what_it_counts() {
        let event = Event {
            tags: BTreeMap::from([("k".into(), "v".into())]),
            client: Client {
                verdict: Verdict::Proxy,
                ..Client::default()
            },
            first: true,
            test: true,
            ..event("shop/links", "m-1")
        };
        let payload = encode_event(&event);
        let facts = event_facts(&payload).expect("facts");
        assert_eq!(facts.key, peek_event(&payload).expect("a key"));
        assert_eq!(facts.time_ms, event.time.as_millisecond());
        assert_eq!(facts.tags, [("k", "v")]);
        assert_eq!(facts.verdict, Verdict::Proxy);
        assert!(facts.first && facts.test);
    }

    #[test]
    fn a_filter_sees_domain_kind_and_message() {
        let payload = encode_event(&event("shop/links", "m-1"));
        assert_eq!(
            peek_event(&payload),
            Ok(EventKey {
                domain: "shop/links",
                kind: EventKind::Clicked,
                message_id: "m-1",
                recipient: None
            })
        );
    }
}
