//! What is written is read, whatever is around it.

use super::*;
use crate::store::fixtures::event;

#[test]
fn an_event_reads_back_what_was_written() {
    let plain = event("shop/links", "m-1");
    assert_eq!(decode_event(&encode_event(&plain)), Ok(plain.clone()));
    let full = Event {
        kind: EventKind::Opened,
        recipient: Some("r-1".parse().expect("recipient")),
        tags: BTreeMap::from([("campaign".into(), "ü".into()), (String::new(), "v".into())]),
        client: Client {
            verdict: Verdict::Scanner,
            rules: vec!["burst".into(), "head".into()],
            family: Some("Firefox".into()),
            os: Some("Linux".into()),
            device: Some("phone".into()),
            address: Some("192.0.2.0/24".into()),
            user_agent: Some("x".repeat(300)),
        },
        first: true,
        test: true,
        ..plain
    };
    assert_eq!(decode_event(&encode_event(&full)), Ok(full));
}

#[test]
fn a_field_of_a_later_version_is_passed_over() {
    let event = event("shop/links", "m-1");
    let mut payload = encode_event(&event);
    put(&mut payload, 200, b"from the future");
    assert_eq!(decode_event(&payload), Ok(event));
}

#[test]
fn a_cut_or_changed_payload_never_panics() {
    let payload = encode_event(&event("shop/links", "m-1"));
    for at in 0..payload.len() {
        let _ = decode_event(&payload[..at]);
        let mut changed = payload.clone();
        changed[at] ^= 0x80;
        let _ = (decode_event(&changed).is_ok(), peek_event(&changed).is_ok());
    }
    assert_eq!(decode_event(&[]), Err(Unreadable));
}

#[test]
fn the_index_sees_of_an_event_what_it_counts() {
    let event = Event {
        tags: BTreeMap::from([("k".into(), "v".into())]),
        client: Client {
            verdict: Verdict::Proxy,
            ..Client::default()
        },
        first: true,
        test: true,
        ..event("shop/links", "m-1")
    };
    let payload = encode_event(&event);
    let facts = event_facts(&payload).expect("facts");
    assert_eq!(facts.key, peek_event(&payload).expect("a key"));
    assert_eq!(facts.time_ms, event.time.as_millisecond());
    assert_eq!(facts.tags, [("k", "v")]);
    assert_eq!(facts.verdict, Verdict::Proxy);
    assert!(facts.first && facts.test);
}

#[test]
fn a_filter_sees_domain_kind_and_message() {
    let payload = encode_event(&event("shop/links", "m-1"));
    assert_eq!(
        peek_event(&payload),
        Ok(EventKey {
            domain: "shop/links",
            kind: EventKind::Clicked,
            message_id: "m-1",
            recipient: None
        })
    );
}
