//! What a request to a sink says: one file per format. Pure.
//!
//! | format | one event | batch | headers |
//! |---|---|---|---|
//! | `StandardWebhooks` | `{type, timestamp, data}` | `{type: "events", timestamp, data: [{type, timestamp, data}]}` | `webhook-*` |
//! | `CloudEvents` | structured mode | batched mode | `webhook-*` |
//! | `Resend` | `{type, created_at, data}` | – | `svix-*` |
//!
//! docs/SINKS.md has all fields.

mod cloud_events;
mod resend;
mod standard;

use mailtrail_core::event::{Event, EventKind};
use mailtrail_core::message::MessageRecord;
use mailtrail_core::sink::Format;
use serde_json::Value;

/// An event and what its message's last rewrite left behind, as far as a
/// format needs it.
#[derive(Debug, Clone)]
pub struct Told {
    /// The event.
    pub event: Event,
    /// The message record.
    pub message: Option<MessageRecord>,
}

/// A request's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Its media type.
    pub media_type: &'static str,
    /// Its bytes.
    pub body: Vec<u8>,
}

/// Names of the headers that carry id, time and signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderNames {
    /// The delivery's id.
    pub id: &'static str,
    /// When it was sent, in seconds since 1970.
    pub timestamp: &'static str,
    /// Its signatures.
    pub signature: &'static str,
}

/// How events are listed in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Many {
    /// One event a request.
    One,
    /// A list of them, be it of one.
    Batch,
}

/// Whether a format tells what message records say.
pub fn needs_message(format: Format) -> bool {
    format == Format::Resend
}

/// The headers of a format.
pub fn header_names(format: Format) -> HeaderNames {
    match format {
        Format::StandardWebhooks | Format::CloudEvents => HeaderNames {
            id: "webhook-id",
            timestamp: "webhook-timestamp",
            signature: "webhook-signature",
        },
        Format::Resend => HeaderNames {
            id: "svix-id",
            timestamp: "svix-timestamp",
            signature: "svix-signature",
        },
    }
}

/// Says some events, one at least.
pub fn content(format: Format, many: Many, events: &[Told]) -> Content {
    let one = |told: &Told| match format {
        Format::StandardWebhooks => standard::event(&told.event),
        Format::CloudEvents => cloud_events::event(&told.event),
        Format::Resend => resend::event(told),
    };
    let each = || events.iter().map(one).collect::<Vec<_>>();
    let (media_type, value) = match (format, many) {
        (Format::StandardWebhooks, Many::Batch) => {
            ("application/json", standard::batch(events, each()))
        }
        (Format::CloudEvents, Many::Batch) => (cloud_events::BATCH, Value::Array(each())),
        // A batch that the format does not know has one event.
        (Format::CloudEvents, Many::One) => (cloud_events::ONE, first(each())),
        (Format::StandardWebhooks, Many::One) | (Format::Resend, _) => {
            ("application/json", first(each()))
        }
    };
    Content {
        media_type,
        body: value.to_string().into_bytes(),
    }
}

fn first(events: Vec<Value>) -> Value {
    events.into_iter().next().unwrap_or_default()
}

/// The event as the API lists it.
fn data(event: &Event) -> Value {
    serde_json::to_value(event).expect("an event is plain data with text keys")
}

fn word(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Opened => "opened",
        EventKind::Clicked => "clicked",
    }
}

#[cfg(test)]
mod tests;
