//! Hits that are told of nobody become numbers: of each domain and hour one
//! record, which holds nothing else.

use std::collections::BTreeMap;

use mailtrail_core::event::Event;
use mailtrail_core::id::{Realm, Recipient};

use crate::store::hour_ms;
use crate::store::hour_of;
use crate::store::record::{self, Counted};

/// Numbers on their way to the disk.
pub(super) struct Tally {
    pub(super) payload: Vec<u8>,
    /// The begin of the hour, in milliseconds since 1970.
    pub(super) time_ms: u64,
    /// Whether it is on the disk.
    pub(super) done: bool,
}

/// Counts hits, all with their number up to `up_to`; those of test mails never
/// count, and those of who is barred not either.
pub(super) fn tally(
    events: &[Event],
    up_to: u64,
    is_barred: impl Fn(&Realm, &Recipient) -> bool,
) -> Vec<Tally> {
    let mut tallies = BTreeMap::new();
    for event in events {
        let reader = event.recipient.as_ref();
        let hour = hour_of(event.time.as_millisecond());
        // There even where nothing counts: what is settled must be known.
        let counted = tallies
            .entry((event.domain.as_str(), hour))
            .or_insert_with(|| Counted::none(event.domain.as_str(), hour, up_to));
        if !event.test && !reader.is_some_and(|reader| is_barred(&event.domain, reader)) {
            counted.count(event.kind, event.client.verdict);
        }
    }
    let tally = |counted: Counted<'_>| Tally {
        payload: record::encode_counted(&counted),
        time_ms: hour_ms(counted.hour),
        done: false,
    };
    tallies.into_values().map(tally).collect()
}
