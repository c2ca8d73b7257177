use mailtrail_core::sink::{Format, SINK_ENTRY_MAX_BYTES};

use super::rules::TEXTS_MAX_BYTES;
use super::*;
use crate::rules::ITEM_EXTRA_BYTES;

/// What sealing adds to an entry at most: four secrets of 64 bytes with nonce,
/// tag and key id, in base64, and the field's name.
const SEALED_MAX_BYTES: usize = (4 * 65 + 12 + 16 + 3) * 4 / 3 + 64;

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

#[test]
fn what_the_rule_lets_through_fits_an_entry_with_sealed_secrets() {
    let sink = longest();
    let entry = sink_entry(&sink).expect("an entry");
    let bytes = serde_json::to_vec(&entry).expect("json").len();
    let counted = "https://a.b/".len() + 2 * (1 + ITEM_EXTRA_BYTES);
    let most = bytes - counted + TEXTS_MAX_BYTES + SEALED_MAX_BYTES;
    assert!(most <= SINK_ENTRY_MAX_BYTES, "{most}");
}

#[test]
fn each_field_becomes_what_it_says() {
    let entry = sink_entry(&longest()).expect("an entry");
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
    let entry = sink_entry(&sink).expect("an entry");
    assert!(entry.verdicts.iter().all(|verdict| verdict.is_person()));
    assert_eq!(entry.kinds.len(), 2);
    assert!(!entry.first_only && !entry.test_mails && !entry.suspend);
    assert_eq!(
        (entry.format, entry.batch),
        (Format::StandardWebhooks, None)
    );
}
