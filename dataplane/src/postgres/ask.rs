//! Questions: the same that the embedded store answers, with the same answers.
//!
//! What a filter leaves out has to be looked at by the server, too. Where no
//! index is for it, so many events are looked at and no more
//! ([`LOOKED_AT_MAX`]); the page then ends early and its cursor stands behind
//! them, as it does with the embedded store.

mod events;
pub(super) mod join;
mod messages;
mod stats;
mod summary;

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::types::ToSql;

use super::fault::Fault;
use super::link::Link;
use super::{Postgres, Shared};
use crate::store::QueryError;

pub(super) use events::events;
pub(super) use messages::messages;
pub(super) use stats::stats;
pub(super) use summary::summary;

/// Longest time for an answer.
pub(super) const ANSWER_TIME: Duration = Duration::from_secs(10);
/// So many events or message records one question looks at where no index knows
/// which are wanted: some 50 ms.
const LOOKED_AT_MAX: i64 = 50_000;

/// A condition as it grows, and its parameters.
pub(super) struct Condition<'a> {
    pub(super) text: String,
    pub(super) values: Vec<&'a (dyn ToSql + Sync)>,
}

impl<'a> Condition<'a> {
    /// Rows of a domain.
    fn of_domain(domain: &'a &'a str) -> Self {
        Self {
            text: "domain = $1".to_owned(),
            values: vec![domain],
        }
    }

    /// Rows with numbers from behind one up to another.
    pub(super) fn of_numbers(after: &'a i64, up_to: &'a i64) -> Self {
        Self {
            text: "number > $1 AND number <= $2".to_owned(),
            values: vec![after, up_to],
        }
    }

    /// And this, in which `?` is the value.
    pub(super) fn and(&mut self, what: &str, value: &'a (dyn ToSql + Sync)) {
        let place = self.place(value);
        self.text.push_str(" AND ");
        self.text.push_str(&what.replace('?', &place));
    }

    /// And this, where there is a value.
    fn and_maybe<T: ToSql + Sync>(&mut self, what: &str, value: Option<&'a T>) {
        if let Some(value) = value {
            self.and(what, value);
        }
    }

    /// The place of a value that stands elsewhere.
    pub(super) fn place(&mut self, value: &'a (dyn ToSql + Sync)) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }
}

impl Postgres {
    /// Asks something; blocks the thread, which must not be a runtime's.
    pub(super) fn ask<T>(
        &self,
        question: impl AsyncFn(&Shared, &Link) -> Result<T, Asked>,
    ) -> Result<T, QueryError> {
        let shared = &*self.shared;
        let asked = self.handle.block_on(async {
            let ask = async || {
                let lent = shared.pool.lend().await?;
                let answer = question(shared, &lent.link).await;
                if !matches!(answer, Err(Asked::Fault(_))) {
                    lent.give_back();
                }
                answer
            };
            let answer = async {
                match ask().await {
                    // A connection of before a restart: a new one knows better.
                    Err(Asked::Fault(Fault::Away(_))) => {
                        shared.pool.renew();
                        ask().await
                    }
                    answer => answer,
                }
            };
            let answer = timeout(ANSWER_TIME, answer).await;
            answer.unwrap_or(Err(Asked::Fault(Fault::Slow)))
        });
        asked.map_err(|asked| match asked {
            Asked::Query(error) => error,
            Asked::Fault(fault) => {
                shared.metrics.count(&fault);
                tracing::warn!(%fault, "PostgreSQL: a question was not answered");
                QueryError::Unavailable
            }
        })
    }
}

/// Why a question has no answer.
pub(super) enum Asked {
    /// Because of the question.
    Query(QueryError),
    /// Because of the database.
    Fault(Fault),
}

impl From<Fault> for Asked {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<tokio_postgres::Error> for Asked {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Fault(error.into())
    }
}
