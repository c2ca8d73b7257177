//! Events that are not settled yet, for those who do not want to wait: behind
//! the last settled one of a list, and in front of its cursor, so that each is
//! listed again, as it ends up, once it is settled.

use std::collections::HashSet;
use std::io;

use mailtrail_core::config::Recorded;
use mailtrail_core::event::Event;

use super::list::{EventPage, EventQuery, PAGE_MAX_EVENTS, QueryError, Sources};
use super::withdrawals::Withdrawals;
use super::{Here, Withdrawn, join};

/// What is asked for of those that are not settled, oldest first, with the
/// verdict that each has now.
pub(super) fn unsettled(
    sources: Sources<'_>,
    query: &EventQuery,
    here: &Here,
) -> Result<Vec<Event>, QueryError> {
    let EventQuery { domain, filter, .. } = query;
    let Here {
        settle,
        withdrawals,
        modes,
        ..
    } = here;
    // Those whose tags are others fall away later.
    let most = match filter.tags.is_empty() {
        true => limit(query),
        false => PAGE_MAX_EVENTS,
    };
    let found = settle.provisional(domain, most, |hit| {
        let mut hit = hit.clone();
        modes.narrow(&mut hit);
        hit.recorded == Recorded::Identified
            && filter.takes_but_for_tags(&hit.event)
            && may_be_shown(&hit.event, withdrawals)
    });
    let mut events = found.map_err(unavailable)?;
    join::tags_and_names(sources.reader, sources.lookup, &mut events).map_err(unavailable)?;
    events.retain(|event| filter.takes_tags(&event.tags));
    Ok(events)
}

/// The page with what is not settled behind its events, as far as it has room
/// and no settled ones follow.
pub(super) fn behind(
    mut page: EventPage,
    query: &EventQuery,
    mut unsettled: Vec<Event>,
) -> EventPage {
    if !page.more {
        let settled: HashSet<_> = page.events.iter().map(|event| event.id).collect();
        unsettled.retain(|event| !settled.contains(&event.id));
        unsettled.truncate(limit(query).saturating_sub(page.events.len()));
        page.unsettled = unsettled;
    }
    page
}

fn limit(query: &EventQuery) -> usize {
    query.limit.clamp(1, PAGE_MAX_EVENTS)
}

/// Whether an event may become a settled one: of readers who withdrew, or were
/// erased, none does, and until they are known nobody's does.
fn may_be_shown(event: &Event, withdrawals: &Withdrawals) -> bool {
    let withdrawn = |recipient| withdrawals.check(&event.domain, recipient);
    let recipient = event.recipient.as_ref();
    recipient.is_none_or(|recipient| withdrawn(recipient) == Withdrawn::No)
}

fn unavailable(error: io::Error) -> QueryError {
    tracing::error!(%error, "hits: cannot be read");
    QueryError::Unavailable
}
