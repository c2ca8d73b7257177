//! Reads records, as far as each caller asks.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mailtrail_core::event::{Client, Event, EventKind, EventLink, Verdict};
use mailtrail_core::id::LinkPosition;
use mailtrail_core::message::MessageRecord;
use mailtrail_core::target::Target;
use uuid::Uuid;

use super::{
    ADDRESS, DEVICE, DOMAIN, EventFacts, EventKey, FAMILY, FIRST, HOST, ID, KIND, LINK_NAME,
    MESSAGE_ID, MessageKey, OS, POSITION, RECIPIENT, RULE, TAG, TARGET, TEST, TIME, USER_AGENT,
    Unreadable, VERDICT,
};

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

/// Whether nothing of a message record is to be kept but that it was sent.
pub(crate) fn is_sent_alone(payload: &[u8]) -> Result<bool, Unreadable> {
    #[derive(serde::Deserialize)]
    struct Noted {
        #[serde(default)]
        sent_alone: bool,
    }
    let noted: Noted = serde_json::from_slice(payload).map_err(|_| Unreadable)?;
    Ok(noted.sent_alone)
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
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

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

pub(super) fn text(bytes: &[u8]) -> Result<&str, Unreadable> {
    std::str::from_utf8(bytes).map_err(|_| Unreadable)
}

fn name<T: std::str::FromStr>(text: Option<&str>) -> Result<T, Unreadable> {
    text.and_then(|text| text.parse().ok()).ok_or(Unreadable)
}

pub(super) fn time(bytes: &[u8]) -> Result<Timestamp, Unreadable> {
    let bytes = bytes.try_into().map_err(|_| Unreadable)?;
    Timestamp::from_millisecond(i64::from_le_bytes(bytes)).map_err(|_| Unreadable)
}

fn kind_of(bytes: &[u8]) -> Result<EventKind, Unreadable> {
    match bytes {
        [1] => Ok(EventKind::Opened),
        [2] => Ok(EventKind::Clicked),
        _ => Err(Unreadable),
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
