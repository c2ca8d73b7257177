//! Which events are asked for. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mailtrail_core::event::{Event, EventKind, Verdict};
use mailtrail_core::id::{MessageId, Realm, Recipient};

use super::journal::Segment;
use super::record::EventKey;

/// Which events of a domain; the default is all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Of this kind only.
    pub kind: Option<EventKind>,
    /// Of this message only.
    pub message: Option<MessageId>,
    /// Of this reader only.
    pub recipient: Option<Recipient>,
    /// Of these verdicts only; none means of any.
    pub verdicts: Vec<Verdict>,
    /// Only the first by a person, or only the others.
    pub first: Option<bool>,
    /// Only those of test mails, or only the others.
    pub test: Option<bool>,
    /// Of messages with all of these tags.
    pub tags: BTreeMap<String, String>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

impl EventFilter {
    /// Whether a segment may hold such events, by the times of its records.
    pub(super) fn may_be_in(&self, segment: &Segment) -> bool {
        may_be_in(segment, self.since, self.until)
    }

    /// Whether an event may be asked for, by what is cheaply known of it.
    pub(super) fn may_take(&self, domain: &Realm, key: &EventKey<'_>) -> bool {
        let message = self.message.as_ref().map(MessageId::as_str);
        key.domain == domain.as_str()
            && self.kind.is_none_or(|kind| key.kind == kind)
            && message.is_none_or(|message| key.message_id == message)
            && self
                .recipient
                .as_ref()
                .is_none_or(|recipient| key.recipient == Some(recipient.as_str()))
    }

    /// Whether an event is asked for, by all but its tags: it gets them later.
    pub(crate) fn takes_but_for_tags(&self, event: &Event) -> bool {
        // Destructured, so that a new filter is not forgotten.
        let Self {
            kind,
            message,
            recipient,
            verdicts,
            first,
            test,
            tags: _,
            since,
            until,
        } = self;
        kind.is_none_or(|kind| event.kind == kind)
            && message.as_ref().is_none_or(|m| event.message_id == *m)
            && (recipient.is_none() || event.recipient == *recipient)
            && (verdicts.is_empty() || verdicts.contains(&event.client.verdict))
            && first.is_none_or(|first| event.first == first)
            && test.is_none_or(|test| event.test == test)
            && since.is_none_or(|since| event.time >= since)
            && until.is_none_or(|until| event.time < until)
    }

    /// Whether an event with these tags is asked for, by them alone.
    pub(crate) fn takes_tags(&self, tags: &BTreeMap<String, String>) -> bool {
        has_tags(tags, &self.tags)
    }
}

/// Whether all of the wanted tags are there.
pub(crate) fn has_tags(tags: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    wanted
        .iter()
        .all(|(key, value)| tags.get(key) == Some(value))
}

/// Whether a segment holds records of this time; what it says of a record's
/// time is whole milliseconds.
pub(super) fn may_be_in(
    segment: &Segment,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
) -> bool {
    let ms = |time: Timestamp| u64::try_from(time.as_millisecond()).unwrap_or(0);
    since.is_none_or(|since| segment.summary.last_ms >= ms(since))
        && until.is_none_or(|until| segment.summary.first_ms <= ms(until))
}
