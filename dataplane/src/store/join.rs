//! Adds to events what the message record of their message says: tags and the
//! names of links. A record is looked for from the newest segment on, so the
//! last rewrite of a message counts.

use std::collections::HashMap;
use std::io;
use std::ops::ControlFlow;

use mailtrail_core::event::Event;
use mailtrail_core::message::MessageRecord;

use super::index::{KeyHash, Lookup};
use super::journal::{FRAMES_START, FrameHead, Part, Reader};
use super::record;

/// The events that still miss their message record, by its key.
struct Wanted<'a> {
    lookup: &'a Lookup<'a>,
    events: HashMap<KeyHash, Vec<&'a mut Event>>,
}

/// Completes events that carry no tags and no link name of their own; gives how
/// many messages they are of.
pub(super) fn tags_and_names(
    reader: &Reader,
    lookup: &Lookup<'_>,
    events: &mut [Event],
) -> io::Result<usize> {
    let mut wanted = Wanted {
        lookup,
        events: HashMap::new(),
    };
    for event in events {
        let recipient = event.recipient.as_ref();
        let key = lookup
            .hasher()
            .message_records(&event.domain, &event.message_id, recipient);
        wanted.events.entry(key).or_default().push(event);
    }
    let messages = wanted.events.len();
    for part in reader.parts().rev() {
        if wanted.events.is_empty() {
            break;
        }
        wanted.look_in(part)?;
    }
    Ok(messages)
}

impl Wanted<'_> {
    fn look_in(&mut self, part: Part<'_>) -> io::Result<()> {
        if part.segment.summary.messages == 0 {
            return Ok(());
        }
        let file = part.file()?;
        let mut from = part.segment.summary.end;
        let mut found = HashMap::new();
        for key in self.events.keys() {
            let Some(places) = self.lookup.find(part.segment, *key) else {
                from = FRAMES_START;
                break;
            };
            from = from.min(places.covered);
            // Later ones replace earlier ones.
            let _ = part.each_at(&*file, places.places, |_, head, payload| {
                self.take(head, payload, &mut found)
            })?;
        }
        if from < part.segment.summary.end {
            let _ = part.each_from(&*file, from, |_, head, payload| {
                self.take(head, payload, &mut found)
            })?;
        }
        for (key, message) in found {
            for event in self.events.remove(&key).unwrap_or_default() {
                complete(event, &message);
            }
        }
        Ok(())
    }

    fn take(
        &self,
        head: FrameHead,
        payload: &[u8],
        found: &mut HashMap<KeyHash, MessageRecord>,
    ) -> ControlFlow<()> {
        if head.kind == record::MESSAGE
            && let Ok(key) = record::peek_message(payload)
        {
            let hasher = self.lookup.hasher();
            let recipient = key.recipient.as_ref();
            let hash = hasher.message_records(&key.domain, &key.message_id, recipient);
            let is_theirs = |event: &&mut Event| {
                event.domain == key.domain
                    && event.message_id == key.message_id
                    && event.recipient == key.recipient
            };
            let asked = self.events.get(&hash).and_then(|events| events.first());
            if asked.is_some_and(is_theirs)
                && let Ok(message) = record::decode_message(payload)
            {
                found.insert(hash, message);
            }
        }
        ControlFlow::Continue(())
    }
}

/// Adds to an event what its message record says.
pub(crate) fn complete(event: &mut Event, message: &MessageRecord) {
    if event.tags.is_empty() {
        event.tags.clone_from(&message.tags);
    }
    if let Some(link) = &mut event.link
        && link.name.is_none()
    {
        let same = message.links.iter().find(|l| l.position == link.position);
        link.name = same.and_then(|same| same.name.clone());
    }
}
