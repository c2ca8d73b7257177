//! The pure step from a sink's spec to the entry that replicas deliver by; as
//! [`crate::entry`]'s.

use mailtrail_core::event::{EventKind, Verdict};
use mailtrail_core::id::Realm;
use mailtrail_core::sink as core;

use super::{
    Batching, EventSink, EventSinkSpec, EventType, Repeats, SinkFormat, SinkVerdict, TestMails,
};
use crate::entry::{EntryError, field, parse};

/// Makes the entry of a sink, with what the operator has found out where there
/// is one. A missing namespace or name is an error: the caller fills in what
/// stands for it.
pub fn sink_entry(
    sink: &EventSink,
    cluster: Option<core::InCluster>,
) -> Result<core::Sink, EntryError> {
    let metadata = &sink.metadata;
    let realm = Realm::new(
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.name.as_deref().unwrap_or_default(),
    )
    .map_err(|error| field("metadata", error.rule()))?;
    let entry = core::Sink {
        cluster,
        ..of_spec(realm, metadata.generation.unwrap_or(0), &sink.spec)?
    };
    let bytes = serde_json::to_vec(&entry).map_or(usize::MAX, |json| json.len());
    if bytes > core::SINK_ENTRY_MAX_BYTES {
        let max = core::SINK_ENTRY_MAX_BYTES;
        return Err(EntryError::TooLong { bytes, max });
    }
    Ok(entry)
}

fn of_spec(realm: Realm, generation: i64, spec: &EventSinkSpec) -> Result<core::Sink, EntryError> {
    // Taken apart whole: a new field does not compile until it is thought of.
    let EventSinkSpec {
        class_name: _, // says who delivers, not how
        url,
        secret_refs,
        domains,
        types,
        verdicts,
        repeats,
        test_mails,
        format,
        batching,
        suspend,
    } = spec;
    Ok(core::Sink {
        version: core::SINK_VERSION,
        url: parse("spec.url", url)?,
        secrets: secret_refs
            .iter()
            .map(|secret| secret.name.clone())
            .collect(),
        domains: domains.clone(),
        kinds: types.iter().map(|kind| of_type(*kind)).collect(),
        verdicts: verdicts
            .iter()
            .map(|verdict| of_verdict(*verdict))
            .collect(),
        first_only: *repeats == Repeats::Omit,
        test_mails: *test_mails == TestMails::Send,
        format: of_format(*format),
        batch: of_batching(batching)?,
        suspend: *suspend,
        cluster: None,
        realm,
        generation,
    })
}

fn of_type(kind: EventType) -> EventKind {
    match kind {
        EventType::Opened => EventKind::Opened,
        EventType::Clicked => EventKind::Clicked,
    }
}

fn of_verdict(verdict: SinkVerdict) -> Verdict {
    match verdict {
        SinkVerdict::Human => Verdict::Human,
        SinkVerdict::Proxy => Verdict::Proxy,
        SinkVerdict::Prefetch => Verdict::Prefetch,
        SinkVerdict::Scanner => Verdict::Scanner,
        SinkVerdict::Unknown => Verdict::Unknown,
    }
}

fn of_format(format: SinkFormat) -> core::Format {
    match format {
        SinkFormat::StandardWebhooks => core::Format::StandardWebhooks,
        SinkFormat::CloudEvents => core::Format::CloudEvents,
        SinkFormat::Resend => core::Format::Resend,
    }
}

fn of_batching(batching: &Batching) -> Result<Option<core::Batch>, EntryError> {
    let Batching {
        enabled,
        max_events,
        max_delay,
    } = batching;
    if !enabled {
        return Ok(None);
    }
    let within = |number: u16, most: u16| (1..=most).contains(&number);
    let max_events = u16::try_from(*max_events).ok();
    let max_events = max_events.filter(|number| within(*number, core::BATCH_MAX_EVENTS));
    let seconds = max_delay
        .strip_suffix('s')
        .and_then(|text| text.parse().ok());
    let seconds = seconds.filter(|number| within(*number, core::BATCH_MAX_DELAY_SECONDS));
    Ok(Some(core::Batch {
        max_events: max_events
            .ok_or_else(|| field("spec.batching.maxEvents", "must be from 1 to 100"))?,
        max_delay_seconds: seconds
            .ok_or_else(|| field("spec.batching.maxDelay", "must be from 1s to 300s"))?,
    }))
}
