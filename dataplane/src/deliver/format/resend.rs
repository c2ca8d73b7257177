//! The shape of Resend's `email.opened` and `email.clicked`. What we do not
//! have is empty text, where Resend's own types want text; docs/SINKS.md says
//! what that is.

use mailtrail_core::event::EventKind;
use serde_json::{Value, json};

use super::{Told, word};

pub(super) fn event(told: &Told) -> Value {
    let Told { event, message } = told;
    let given = |pick: fn(&mailtrail_core::message::MessageRecord) -> Option<&String>| {
        message.as_ref().and_then(pick).map_or("", String::as_str)
    };
    let sent = message
        .as_ref()
        .map(|m| m.sent_at.unwrap_or(m.rewritten_at));
    let to = match given(|message| message.to.as_ref()) {
        "" => event
            .recipient
            .as_ref()
            .map_or("", |recipient| recipient.as_str()),
        to => to,
    };
    let mut data = json!({
        // When the mail was sent; not known any more, when it was opened.
        "created_at": format!("{:.3}", sent.unwrap_or(event.time)),
        "email_id": event.message_id,
        "message_id": event.message_id,
        "from": given(|message| message.from.as_ref()),
        "to": if to.is_empty() { Vec::new() } else { vec![to] },
        "subject": given(|message| message.subject.as_ref()),
        "tags": event.tags,
    });
    if event.kind == EventKind::Clicked {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        data["click"] = json!({
            "ipAddress": text(&event.client.address),
            "link": event.link.as_ref().map_or("", |link| link.target.as_str()),
            "timestamp": format!("{:.3}", event.time),
            "userAgent": text(&event.client.user_agent),
        });
    }
    json!({
        "type": format!("email.{}", word(event.kind)),
        "created_at": format!("{:.3}", event.time),
        "data": data,
    })
}
