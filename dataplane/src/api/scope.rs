//! What is held of a domain, as far as its namespace may know of it.
//!
//! Roles go by names, and a namespace may be made anew under the name of one
//! that was deleted. What was kept before it was made is another's, so every
//! question goes through here.

use jiff::Timestamp;
use mailtrail_core::config::Domain;
use mailtrail_core::id::{Realm, Recipient};
use mailtrail_core::token::Mail;

use super::Shared;
use super::problem::{Code, Problem};
use crate::store::{
    EventPage, EventQuery, HourCounts, LastDate, MessagePage, MessageQuery, MessageSummary,
    QueryError, StatsQuery, Store, SummaryQuery,
};

/// Seconds of an hour.
pub(super) const HOUR_SECONDS: i64 = 60 * 60;

/// What is held of one domain.
pub(super) struct Scope<'a> {
    store: &'a Store,
    since: Option<Timestamp>,
}

impl Scope<'_> {
    /// Lists events.
    pub(super) fn events(&self, query: &EventQuery) -> Result<EventPage, QueryError> {
        let mut query = query.clone();
        query.filter.since = query.filter.since.max(self.since);
        self.store.events(&query)
    }

    /// Looks for messages.
    pub(super) fn messages(&self, query: &MessageQuery) -> Result<MessagePage, QueryError> {
        let mut query = query.clone();
        query.since = query.since.max(self.since);
        self.store.messages(&query)
    }

    /// Sums a message up.
    pub(super) fn summary(
        &self,
        query: &SummaryQuery,
    ) -> Result<Option<MessageSummary>, QueryError> {
        let mut query = query.clone();
        query.since = query.since.max(self.since);
        self.store.summary(&query)
    }

    /// On which days a reader last did something. Of the day on which the
    /// namespace was made those with mails that were rewritten since.
    pub(super) fn last_dates(
        &self,
        realm: &Realm,
        recipient: &Recipient,
    ) -> Result<Vec<LastDate>, QueryError> {
        let mut lasts = self.store.last_dates(realm, recipient)?;
        let mut unanswered = None;
        lasts.retain(|last| {
            last.is_since(self.since, || {
                let known = self.has_record(realm, last, recipient);
                known.unwrap_or_else(|error| {
                    unanswered = Some(error);
                    false
                })
            })
        });
        unanswered.map_or(Ok(lasts), Err)
    }

    fn has_record(
        &self,
        realm: &Realm,
        last: &LastDate,
        recipient: &Recipient,
    ) -> Result<bool, QueryError> {
        let summary = self.summary(&SummaryQuery {
            domain: realm.clone(),
            message: last.message.clone(),
            recipient: Some(recipient.clone()),
            since: None,
        })?;
        Ok(summary.is_some_and(|summary| summary.record.is_some()))
    }

    /// Counts by hours, of which none began before.
    pub(super) fn stats(
        &self,
        query: &StatsQuery,
    ) -> Result<std::collections::BTreeMap<u32, HourCounts>, QueryError> {
        let mut query = query.clone();
        if let Some(since) = self.since {
            let hour = since.as_second().saturating_add(HOUR_SECONDS - 1) / HOUR_SECONDS;
            query.from = query.from.max(u32::try_from(hour).unwrap_or(u32::MAX));
        }
        self.store.stats(&query)
    }
}

/// Since when what is kept of a domain is its namespace's; none: all of it is.
pub(super) fn since(domain: &Domain) -> Option<Timestamp> {
    let since = (domain.since > 0).then_some(domain.since)?;
    Timestamp::from_second(since).ok()
}

/// Whether a mail is of a time that a domain's namespace may know of. Of its
/// sending a token knows the hour alone.
pub(super) fn may_know(domain: &Domain, mail: &Mail) -> bool {
    mail.sent.unix_seconds() + HOUR_SECONDS > domain.since
}

impl Shared {
    /// Asks what is held of a domain, on a thread that may wait for the disk.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        domain: &Domain,
        ask: impl FnOnce(&Scope<'_>) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, Problem> {
        let (store, since) = (self.context.store.clone(), since(domain));
        let ask = move || {
            let store = &store;
            ask(&Scope { store, since })
        };
        let answer = tokio::task::spawn_blocking(ask).await;
        Ok(answer.map_err(|_| Problem::new(Code::Internal))??)
    }
}
