//! Events by meaning, for tests.

use jiff::Timestamp;
use mailtrail_core::config::Recorded;
use mailtrail_core::event::{Client, Event, EventKind, EventLink, Unsettled};
use mailtrail_core::id::LinkPosition;
use mailtrail_core::message::{MessageRecord, RecordedLink};
use mailtrail_core::target::Target;
use uuid::Uuid;

use super::journal::Limits;
use super::{Settings, Store};
use crate::metrics::Metrics;

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

/// A message record with one link and one tag.
pub(crate) fn message(domain: &str, id: &str, recipient: Option<&str>, tag: &str) -> MessageRecord {
    MessageRecord {
        domain: domain.parse().expect("realm"),
        message_id: id.parse().expect("id"),
        recipient: recipient.map(|r| r.parse().expect("recipient")),
        rewritten_at: Timestamp::UNIX_EPOCH,
        tags: std::collections::BTreeMap::from([("n".into(), tag.into())]),
        links: vec![RecordedLink {
            position: LinkPosition(2),
            target: Target::parse("https://e.com/a?b=c").expect("target"),
            name: Some("offer".into()),
        }],
        pixel: true,
        test: false,
        from: None,
        to: None,
        subject: None,
        sent_at: None,
    }
}

/// A store of segments of 4 KiB, and its folder.
pub(crate) fn small_store() -> (Store, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("dir");
    let settings = Settings::at(dir.path().to_owned());
    let limits = Limits {
        segment_bytes: 4096,
        total_bytes: u64::MAX,
        fill_bytes: 4096,
    };
    let store = Store::open_with(settings, limits, &Metrics::new()).expect("opens");
    (store, dir)
}

/// A click that is not settled, of a mail that was sent within the hour.
pub(crate) fn hit(domain: &str, message: &str) -> Unsettled {
    unsettled(event(domain, message))
}

/// The hit that this event may become of.
pub(crate) fn unsettled(event: Event) -> Unsettled {
    Unsettled {
        event,
        signs: Vec::new(),
        mail_sent: Timestamp::from_second(1_789_999_200).expect("a time"),
        recorded: Recorded::Identified,
    }
}

/// Waits until the index has a run of every segment that is no longer written.
pub(crate) fn wait_for_index(store: &Store) {
    let reader = || store.inner.journal.reader();
    while !store.inner.here().index.is_caught_up(&reader()) {
        std::thread::yield_now();
    }
}

/// Waits until every hit that was acknowledged is settled.
pub(crate) fn wait_until_settled(store: &Store) {
    while !store.is_settled() {
        std::thread::yield_now();
    }
}
