use mailtrail_core::event::{Client, EventLink, Verdict};
use mailtrail_core::id::LinkPosition;
use mailtrail_core::target::Target;
use serde_json::json;

use super::*;

fn event(kind: EventKind) -> Event {
    Event {
        id: "0198c3f3-90b1-7a22-9d10-a1b2c3d4e5f6".parse().expect("id"),
        kind,
        time: "2026-11-23T18:04:01.007Z".parse().expect("time"),
        domain: "shop/links".parse().expect("realm"),
        host: "links.shop.example".parse().expect("host"),
        message_id: "m-1".parse().expect("id"),
        recipient: Some("ada@example.org".parse().expect("recipient")),
        tags: [("kind".to_owned(), "news".to_owned())].into(),
        link: (kind == EventKind::Clicked).then(|| EventLink {
            target: Target::parse("https://shop.example/a").expect("target"),
            position: LinkPosition(1),
            name: None,
        }),
        client: Client {
            verdict: Verdict::Human,
            ..Client::default()
        },
        first: true,
        test: false,
    }
}

fn told(kind: EventKind, message: Option<MessageRecord>) -> Told {
    Told {
        event: event(kind),
        message,
    }
}

fn message() -> MessageRecord {
    MessageRecord {
        domain: "shop/links".parse().expect("realm"),
        message_id: "m-1".parse().expect("id"),
        recipient: None,
        rewritten_at: "2026-11-23T18:00:00Z".parse().expect("time"),
        tags: [].into(),
        links: Vec::new(),
        pixel: true,
        test: false,
        from: Some("Shop <shop@shop.example>".to_owned()),
        to: Some("Ada <ada@example.org>".to_owned()),
        subject: Some("News".to_owned()),
        sent_at: None,
    }
}

fn body(format: Format, many: Many, events: &[Told]) -> (String, Value) {
    let Content { media_type, body } = content(format, many, events);
    (
        media_type.to_owned(),
        serde_json::from_slice(&body).expect("json"),
    )
}

#[test]
fn standard_webhooks_have_the_event_as_the_api_lists_it() {
    let (media_type, said) = body(
        Format::StandardWebhooks,
        Many::One,
        &[told(EventKind::Opened, None)],
    );
    assert_eq!(media_type, "application/json");
    assert_eq!(said["type"], "message.opened");
    assert_eq!(said["timestamp"], "2026-11-23T18:04:01.007Z");
    assert_eq!(
        said["data"],
        serde_json::to_value(event(EventKind::Opened)).expect("json")
    );
    let both = [
        told(EventKind::Clicked, None),
        told(EventKind::Opened, None),
    ];
    let (_, said) = body(Format::StandardWebhooks, Many::Batch, &both);
    assert_eq!(said["type"], "events");
    assert_eq!(said["data"][0]["type"], "message.clicked");
    assert_eq!(said["data"][1]["data"]["message_id"], "m-1");
}

#[test]
fn cloud_events_have_what_the_specification_wants() {
    let (media_type, said) = body(
        Format::CloudEvents,
        Many::One,
        &[told(EventKind::Clicked, None)],
    );
    assert!(media_type.starts_with("application/cloudevents+json"));
    assert_eq!(said["specversion"], "1.0");
    assert_eq!(said["type"], "dev.mailtrail.message.clicked");
    assert_eq!(said["source"], "//mailtrail.dev/trackingdomains/shop/links");
    let (media_type, said) = body(
        Format::CloudEvents,
        Many::Batch,
        &[told(EventKind::Opened, None)],
    );
    assert!(media_type.starts_with("application/cloudevents-batch+json"));
    assert_eq!(said.as_array().map(Vec::len), Some(1));
}

#[test]
fn resends_shape_says_what_the_sender_gave_and_leaves_the_rest_empty() {
    let (_, said) = body(
        Format::Resend,
        Many::One,
        &[told(EventKind::Clicked, Some(message()))],
    );
    assert_eq!(
        said,
        json!({
            "type": "email.clicked",
            "created_at": "2026-11-23T18:04:01.007Z",
            "data": {
                "created_at": "2026-11-23T18:00:00.000Z",
                "email_id": "m-1",
                "message_id": "m-1",
                "from": "Shop <shop@shop.example>",
                "to": ["Ada <ada@example.org>"],
                "subject": "News",
                "tags": {"kind": "news"},
                "click": {
                    "ipAddress": "", "link": "https://shop.example/a",
                    "timestamp": "2026-11-23T18:04:01.007Z", "userAgent": "",
                },
            },
        })
    );
    let (_, said) = body(Format::Resend, Many::One, &[told(EventKind::Opened, None)]);
    assert_eq!(said["type"], "email.opened");
    assert_eq!(
        (&said["data"]["from"], &said["data"]["to"]),
        (&json!(""), &json!(["ada@example.org"]))
    );
    assert!(said["data"].get("click").is_none());
}
