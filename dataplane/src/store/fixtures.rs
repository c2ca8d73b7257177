//! Events by meaning, for tests.

use jiff::Timestamp;
use mailtrail_core::event::{Client, Event, EventKind, EventLink};
use mailtrail_core::id::LinkPosition;
use mailtrail_core::target::Target;
use uuid::Uuid;

/// A click on a link of this message.
pub(crate) fn event(domain: &str, message: &str) -> Event {
    Event {
        id: Uuid::now_v7(),
        kind: EventKind::Clicked,
        time: Timestamp::from_millisecond(1_790_000_000_120).expect("a time"),
        domain: domain.parse().expect("realm"),
        host: "links.shop.example".parse().expect("host"),
        message_id: message.parse().expect("id"),
        recipient: None,
        tags: std::collections::BTreeMap::new(),
        link: Some(EventLink {
            target: Target::parse("https://e.com/a?b=c").expect("target"),
            position: LinkPosition(2),
            name: None,
        }),
        client: Client::default(),
        first: false,
        test: false,
    }
}
