//! The record of a message's last rewrite.

use std::io;
use std::ops::ControlFlow;

use mailtrail_core::message::MessageRecord;

use super::QueryError;
use super::index::Lookup;
use super::journal::Part;
use super::list::{Sources, unavailable};
use super::narrow::{Narrow, Places};
use super::record;
use super::summary::SummaryQuery;

/// The newest record of a message, and of a reader where one is named.
pub(super) fn record(
    sources: Sources<'_>,
    query: &SummaryQuery,
) -> Result<Option<MessageRecord>, QueryError> {
    let narrow = narrow(query, sources.lookup);
    let mut budget = sources.budget;
    for part in sources.reader.parts().rev() {
        if part.segment.summary.messages == 0 {
            continue;
        }
        let mut places = narrow.places(part, sources.lookup);
        // The newest stands where the index does not reach, or last.
        let unknown = Places {
            known: Vec::new(),
            ..places
        };
        let mut newest = None;
        let _ = unknown
            .each(part, &mut budget, |_, at, head, payload| {
                if head.kind == record::MESSAGE && is_asked(query, payload) {
                    newest = Some(at);
                }
                ControlFlow::Continue(())
            })
            .map_err(unavailable)?;
        places.known.extend(newest);
        if let Some(found) = last(part, places.known, query).map_err(unavailable)? {
            return Ok(Some(found));
        }
        if budget.is_spent() {
            // Whether there is one is not known.
            return Err(QueryError::IndexBehind);
        }
    }
    Ok(None)
}

fn narrow(query: &SummaryQuery, lookup: &Lookup<'_>) -> Narrow {
    let (hasher, domain) = (lookup.hasher(), &query.domain);
    let key = match &query.recipient {
        Some(recipient) => hasher.message_records(domain, &query.message, Some(recipient)),
        None => hasher.records_of_message(domain.as_str(), query.message.as_str()),
    };
    let mut narrow = Narrow::default();
    narrow.keep_any_of(vec![key]);
    narrow
}

/// The last of these places at which such a record is.
fn last(
    part: Part<'_>,
    places: Vec<u64>,
    query: &SummaryQuery,
) -> io::Result<Option<MessageRecord>> {
    if places.is_empty() {
        return Ok(None);
    }
    let mut found = None;
    let _ = part.each_at(
        &*part.file()?,
        places.into_iter().rev(),
        |_, head, payload| {
            if head.kind == record::MESSAGE && is_asked(query, payload) {
                found = record::decode_message(payload).ok();
            }
            match found {
                Some(_) => ControlFlow::Break(()),
                None => ControlFlow::Continue(()),
            }
        },
    )?;
    Ok(found)
}

fn is_asked(query: &SummaryQuery, payload: &[u8]) -> bool {
    record::peek_message(payload).is_ok_and(|key| {
        key.domain == query.domain
            && key.message_id == query.message
            && (query.recipient.is_none() || key.recipient == query.recipient)
    })
}
