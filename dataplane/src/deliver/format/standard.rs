//! Standard Webhooks: what happened, when, and the event as the API lists it.

use mailtrail_core::event::Event;
use serde_json::{Value, json};

use super::{Told, data, word};

pub(super) fn event(event: &Event) -> Value {
    json!({
        "type": format!("message.{}", word(event.kind)),
        "timestamp": format!("{:.3}", event.time),
        "data": data(event),
    })
}

/// A list of events, as old as the first of them.
pub(super) fn batch(events: &[Told], each: Vec<Value>) -> Value {
    let time = events.iter().map(|told| told.event.time).min();
    json!({
        "type": "events",
        "timestamp": time.map(|time| format!("{time:.3}")),
        "data": each,
    })
}
