//! CloudEvents 1.0 in JSON: the event as the API lists it, in its envelope.

use mailtrail_core::event::Event;
use serde_json::{Value, json};

use super::{data, word};

/// Media type of one event.
pub(super) const ONE: &str = "application/cloudevents+json; charset=utf-8";
/// Media type of a list.
pub(super) const BATCH: &str = "application/cloudevents-batch+json; charset=utf-8";

/// Source and id together are unique, as CloudEvents asks.
pub(super) fn event(event: &Event) -> Value {
    json!({
        "specversion": "1.0",
        "id": event.id,
        "source": format!("//mailtrail.dev/trackingdomains/{}", event.domain),
        "type": format!("dev.mailtrail.message.{}", word(event.kind)),
        "subject": event.message_id,
        "time": format!("{:.3}", event.time),
        "datacontenttype": "application/json",
        "data": data(event),
    })
}
