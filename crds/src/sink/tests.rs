use mailtrail_core::sink::sealed::SEALED_MAX_BYTES;
use mailtrail_core::sink::{Format, InCluster, SINK_ENTRY_MAX_BYTES};

use super::rules::TEXTS_MAX_BYTES;
use super::*;
use crate::rules::ITEM_EXTRA_BYTES;

/// A sink with every setting at its longest.
fn longest() -> EventSink {
    let spec = serde_json::json!({
        "url": "https://a.b/",
        "secretRefs": [{"name": "a"}],
        "domains": ["a"],
        "types": ["Opened", "Clicked"],
        "verdicts": ["Human", "Proxy", "Prefetch", "Scanner", "Unknown"],
        "repeats": "Omit",
        "testMails": "Send",
        "format": "CloudEvents",
        "batching": {"enabled": true, "maxEvents": 100, "maxDelay": "300s"},
        "suspend": true,
    });
    let mut sink = EventSink::new(&"n".repeat(63), serde_json::from_value(spec).expect("spec"));
    sink.metadata.namespace = Some("s".repeat(63));
    sink.metadata.generation = Some(i64::MAX);
    sink
}

/// What the operator adds at most, but for the sealed secrets.
fn found_out() -> InCluster {
    InCluster {
        uid: "7c0e9a4e-0000-4000-8000-000000000001".to_owned(),
        since: i64::from(u32::MAX),
        sealed: None,
        service: "[fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"
            .parse()
            .ok(),
    }
}

#[test]
fn what_the_rule_lets_through_fits_an_entry_with_sealed_secrets() {
    let sink = longest();
    let entry = sink_entry(&sink, Some(found_out())).expect("an entry");
    let bytes = serde_json::to_vec(&entry).expect("json").len();
    let counted = "https://a.b/".len() + 2 * (1 + ITEM_EXTRA_BYTES);
    let sealed = SEALED_MAX_BYTES.div_ceil(3) * 4 + ",\"sealed\":\"\"".len();
    let most = bytes - counted + TEXTS_MAX_BYTES + sealed;
    assert!(most <= SINK_ENTRY_MAX_BYTES, "{most}");
}

#[test]
fn each_field_becomes_what_it_says() {
    let entry = sink_entry(&longest(), None).expect("an entry");
    assert_eq!((entry.kinds.len(), entry.verdicts.len()), (2, 5));
    assert!(entry.first_only && entry.test_mails && entry.suspend);
    assert_eq!(entry.format, Format::CloudEvents);
    let batch = entry.batch.expect("batches");
    assert_eq!((batch.max_events, batch.max_delay_seconds), (100, 300));
    assert_eq!(
        (&entry.secrets[..], &entry.domains[..]),
        (&["a".to_owned()][..], &["a".to_owned()][..])
    );
}

#[test]
fn without_settings_people_are_told_one_by_one() {
    let object = crate::validate::object::<EventSink>(
        "shop",
        "orders",
        &serde_json::json!({"url": "https://a.example", "secretRefs": [{"name": "key"}]}),
    );
    let sink = crate::validate::Checker::event_sink()
        .check(&object)
        .expect("taken");
    let entry = sink_entry(&sink, None).expect("an entry");
    assert!(entry.verdicts.iter().all(|verdict| verdict.is_person()));
    assert_eq!(entry.kinds.len(), 2);
    assert!(!entry.first_only && !entry.test_mails && !entry.suspend);
    assert_eq!(
        (entry.format, entry.batch),
        (Format::StandardWebhooks, None)
    );
}
