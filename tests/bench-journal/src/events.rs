//! Events and message records as they come in.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mailtrail_core::config::Recorded;
use mailtrail_core::event::{Client, Event, EventKind, EventLink, Unsettled, Verdict};
use mailtrail_core::id::{LinkPosition, MessageId, Realm, Recipient};
use mailtrail_core::message::{MessageRecord, RecordedLink};
use mailtrail_core::target::Target;

/// Domains that events are spread over.
pub(crate) const DOMAINS: u64 = 10;
/// Events of one message.
pub(crate) const EVENTS_OF_MESSAGE: u64 = 20;
/// When the first event happened, in milliseconds since 1970.
const BEGIN_MS: i64 = 1_790_000_000_000;

/// Makes events, each another one.
pub(crate) struct Maker {
    target: Target,
    host: mailtrail_core::id::Host,
}

impl Maker {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            target: Target::parse(
                "https://www.shop.example/sale/autumn?utm_source=news&utm_medium=mail",
            )?,
            host: "links.shop.example".parse()?,
        })
    }

    /// The hit that becomes event number `n`.
    pub(crate) fn hit(&self, n: u64) -> anyhow::Result<Unsettled> {
        let event = self.event(n)?;
        Ok(Unsettled {
            mail_sent: event.time,
            recorded: Recorded::Identified,
            signs: Vec::new(),
            event,
        })
    }

    /// Event number `n`: a click on one of five links, some 230 bytes.
    pub(crate) fn event(&self, n: u64) -> anyhow::Result<Event> {
        Ok(Event {
            id: uuid::Uuid::now_v7(),
            kind: EventKind::Clicked,
            time: time(n)?,
            domain: domain(n / EVENTS_OF_MESSAGE)?,
            host: self.host.clone(),
            message_id: message_id(n / EVENTS_OF_MESSAGE)?,
            recipient: Some(recipient(n / EVENTS_OF_MESSAGE)?),
            tags: BTreeMap::new(),
            link: Some(EventLink {
                target: self.target.clone(),
                position: LinkPosition((n % 5) as u32 + 1),
                name: None,
            }),
            client: Client {
                verdict: Verdict::Human,
                rules: Vec::new(),
                family: Some("Firefox".into()),
                os: Some("Linux".into()),
                device: Some("desktop".into()),
                address: None,
                user_agent: None,
            },
            first: false,
            test: false,
        })
    }

    /// The message record of message number `m`: five links, some 700 bytes.
    pub(crate) fn message(&self, m: u64) -> anyhow::Result<MessageRecord> {
        Ok(MessageRecord {
            domain: domain(m)?,
            message_id: message_id(m)?,
            recipient: Some(recipient(m)?),
            rewritten_at: time(m * EVENTS_OF_MESSAGE)?,
            tags: BTreeMap::from([("campaign".into(), format!("autumn-{}", m % 50))]),
            links: (1..=5)
                .map(|position| RecordedLink {
                    position: LinkPosition(position),
                    target: self.target.clone(),
                    name: None,
                })
                .collect(),
            pixel: true,
            test: false,
            from: None,
            to: None,
            subject: None,
            sent_at: None,
        })
    }
}

/// The domain of message number `m`.
pub(crate) fn domain(m: u64) -> anyhow::Result<Realm> {
    Ok(format!("shop-{}/links", m % DOMAINS).parse()?)
}

/// The id of message number `m`.
pub(crate) fn message_id(m: u64) -> anyhow::Result<MessageId> {
    Ok(format!("0193d5c0-1f2e-7abc-8def-{m:012}").parse()?)
}

/// The recipient of message number `m`.
pub(crate) fn recipient(m: u64) -> anyhow::Result<Recipient> {
    Ok(format!("customer-{}", m % 200_000).parse()?)
}

/// Ten million events are some four weeks.
fn time(n: u64) -> anyhow::Result<Timestamp> {
    Ok(Timestamp::from_millisecond(BEGIN_MS + n as i64 / 4)?)
}
