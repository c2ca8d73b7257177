//! What is recorded of a hit.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::Recorded;
use crate::id::{Host, LinkPosition, MessageId, Realm, Recipient};
use crate::target::Target;

/// A recorded hit, in the shape it has in the journal, the API and webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// UUIDv7; the same in journal, API and webhooks.
    pub id: Uuid,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// When, UTC, in milliseconds.
    #[serde(with = "milliseconds")]
    pub time: Timestamp,
    /// The tracking domain, `namespace/name`.
    pub domain: Realm,
    /// The host that was asked.
    pub host: Host,
    /// The message.
    pub message_id: MessageId,
    /// The reader; null when the rewrite named none.
    pub recipient: Option<Recipient>,
    /// The rewrite's tags, from its message record.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// The link that was clicked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<EventLink>,
    /// Who asked, as far as the domain's privacy setting allows.
    pub client: Client,
    /// The first by a person of this message, recipient, kind and position;
    /// known when the verdict is settled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub first: bool,
    /// A hit of a test mail: never counted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub test: bool,
}

/// A hit that was answered for and is not judged yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsettled {
    /// Its event, with what can be said of the verdict at once.
    pub event: Event,
    /// What speaks for one verdict or another, by the names that the rules give
    /// it: the request is gone when they are weighed.
    pub signs: Vec<String>,
    /// When the mail was sent, to the hour: nothing of it happened earlier.
    pub mail_sent: Timestamp,
    /// What the domain said at the hit is to be recorded; when it settles, less
    /// may be.
    pub recorded: Recorded,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The pixel was loaded.
    Opened,
    /// A link was followed.
    Clicked,
}

/// The link of a click.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventLink {
    /// Where it leads.
    pub target: Target,
    /// Its place in the message.
    pub position: LinkPosition,
    /// The name the sender gave it, from the message record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Who asked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Client {
    /// Person or machine.
    pub verdict: Verdict,
    /// The rules that said so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// Program, such as `Firefox`; from a fixed set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// Operating system; from a fixed set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// `desktop`, `phone` or `tablet`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Address or network, only where the domain asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The user agent's text, only where the domain asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
}

/// Who caused a hit. People are human and proxy; machines are prefetch and scanner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A person.
    Human,
    /// An image proxy, fetching for a person who looks.
    Proxy,
    /// A machine, fetching in advance.
    Prefetch,
    /// A machine that follows links to check them.
    Scanner,
    /// Not known.
    #[default]
    Unknown,
}

impl Verdict {
    /// Each by its name, as it is serialised and as rules and queries say it.
    pub const NAMES: [(&str, Self); 5] = [
        ("human", Self::Human),
        ("proxy", Self::Proxy),
        ("prefetch", Self::Prefetch),
        ("scanner", Self::Scanner),
        ("unknown", Self::Unknown),
    ];

    /// Whether a person caused it: human or proxy.
    pub fn is_person(self) -> bool {
        matches!(self, Self::Human | Self::Proxy)
    }

    /// Whether a machine caused it: prefetch or scanner.
    pub fn is_machine(self) -> bool {
        matches!(self, Self::Prefetch | Self::Scanner)
    }
}

/// RFC 3339 in UTC with exactly three digits of a second.
mod milliseconds {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{time:.3}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_named_as_it_is_serialised() {
        for (name, verdict) in Verdict::NAMES {
            let json = serde_json::to_value(verdict).expect("JSON");
            assert_eq!(json, name);
        }
    }

    #[test]
    fn an_event_reads_back_what_it_printed() {
        let event = Event {
            id: Uuid::from_u128(7),
            kind: EventKind::Clicked,
            time: Timestamp::from_millisecond(1_790_000_000_120).expect("a time"),
            domain: "shop/links".parse().expect("realm"),
            host: "links.shop.example".parse().expect("host"),
            message_id: "m-1".parse().expect("id"),
            recipient: None,
            tags: BTreeMap::new(),
            link: Some(EventLink {
                target: Target::parse("https://e.com/").expect("target"),
                position: LinkPosition(2),
                name: None,
            }),
            client: Client::default(),
            first: false,
            test: false,
        };
        let json = serde_json::to_string(&event).expect("json");
        assert!(
            json.contains(r#""time":"2026-09-21T14:13:20.120Z""#),
            "{json}"
        );
        assert!(
            json.contains(r#""recipient":null"#) && json.contains(r#""type":"clicked""#),
            "{json}"
        );
        assert_eq!(
            serde_json::from_str::<Event>(&json).expect("an event"),
            event
        );
    }
}
