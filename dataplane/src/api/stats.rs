//! `GET …/stats`: how many mails were sent, opened and clicked in each hour.

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use jiff::Timestamp;
use mailtrail_core::id::Realm;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::auth::{Caller, Verb};
use super::openapi::{Common, DomainPath, NotFound, QueryProblems};
use super::problem::Problem;
use super::query::Query;
use super::rewrite::print;
use super::schema::HitTotals;
use super::settings::{STATS_DEFAULT_HOURS, STATS_MAX_HOURS};
use super::times::time;
use super::{App, examples};
use crate::store::{HourCounts, StatsQuery};

/// Seconds of an hour.
const HOUR_SECONDS: i64 = 60 * 60;

/// How much happened, by hours.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Statistics)]
pub(super) struct Stats {
    /// The begin of the first hour.
    #[schema(format = "date-time")]
    pub since: String,
    /// The end of the last hour.
    #[schema(format = "date-time")]
    pub until: String,
    /// All hours together.
    pub total: Counts,
    /// The hours in which anything happened, in their order.
    pub hours: Vec<Hour>,
}

/// How much happened.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Counts)]
pub(super) struct Counts {
    /// Mails that were rewritten and recorded. One that is rewritten again, for
    /// the same reader, counts once: in the hour of its first rewrite.
    pub sent: u64,
    /// Pixels loaded.
    pub opened: HitTotals,
    /// Links followed.
    pub clicked: HitTotals,
}

/// How much happened in an hour.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HourCounts)]
pub(super) struct Hour {
    /// Its begin.
    #[schema(format = "date-time")]
    pub hour: String,
    /// Mails that were rewritten and recorded for the first time.
    pub sent: u64,
    /// Pixels loaded.
    pub opened: HitTotals,
    /// Links followed.
    pub clicked: HitTotals,
}

/// Which hours.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what the handler takes from the query")]
pub(super) struct StatsParams {
    /// From the hour of this time on, RFC 3339. By default 24 hours before
    /// `until`.
    #[param(format = "date-time")]
    since: Option<String>,
    /// Up to the end of the hour of this time, or to this time where it is a
    /// full hour; RFC 3339. By default now. At most 31 days behind `since`.
    #[param(format = "date-time")]
    until: Option<String>,
}

/// Count by hours
///
/// How many mails were sent, and how many hits they had by people, machines and
/// unknown, in each hour (UTC) in which anything happened. Test mails are not
/// counted.
#[utoipa::path(
    get,
    path = "/v1/domains/{namespace}/{name}/stats",
    operation_id = "getStatistics",
    tag = "statistics",
    params(DomainPath, StatsParams),
    responses(
        (status = 200, description = "Counts by hours.", body = Stats, content_type = "application/json",
            example = json!(examples::stats())),
        Common,
        NotFound,
        QueryProblems
    )
)]
pub(super) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    path: DomainPath,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let domain = app.domain_of_path(&caller, Verb::Read, &path).await?;
    let mut query = Query::parse(query.as_deref());
    let wanted = hours(&domain.realm, &mut query, (app.context.clock)());
    query.finish()?;
    let (from, to) = (wanted.from, wanted.to);
    let hours = app.read(move |store| store.stats(&wanted)).await?;
    let mut total = HourCounts::default();
    hours.values().for_each(|hour| total.add(hour));
    Ok(print(&Stats {
        since: printed(from),
        until: printed(to),
        total: total.into(),
        hours: hours.into_iter().map(Hour::from).collect(),
    }))
}

/// Widens what is asked for to full hours.
fn hours(domain: &Realm, query: &mut Query, now: Timestamp) -> StatsQuery {
    let since = query.parsed("since", time);
    let until = query.parsed("until", time).unwrap_or(now);
    let hour = |seconds: i64| u32::try_from(seconds.div_euclid(HOUR_SECONDS)).unwrap_or(0);
    let to = hour(until.as_second() + HOUR_SECONDS - i64::from(is_full_second(until)));
    let from = since.map_or(to.saturating_sub(STATS_DEFAULT_HOURS), |since| {
        hour(since.as_second())
    });
    if since.is_some_and(|since| since >= until) {
        query.error("since", "must be before until");
    } else if to.saturating_sub(from) > STATS_MAX_HOURS {
        query.error(
            "since",
            format!("must be at most {STATS_MAX_HOURS} hours before the end of until's"),
        );
    }
    StatsQuery {
        domain: domain.clone(),
        from,
        to,
    }
}

/// A full hour ends the hour before it.
fn is_full_second(time: Timestamp) -> bool {
    time.subsec_nanosecond() == 0
}

fn printed(hour: u32) -> String {
    let time = Timestamp::from_second(i64::from(hour) * HOUR_SECONDS);
    time.unwrap_or_default().to_string()
}

impl From<HourCounts> for Counts {
    fn from(counts: HourCounts) -> Self {
        let HourCounts {
            sent,
            opened,
            clicked,
        } = counts;
        Self {
            sent,
            opened: opened.into(),
            clicked: clicked.into(),
        }
    }
}

impl From<(u32, HourCounts)> for Hour {
    fn from((hour, counts): (u32, HourCounts)) -> Self {
        let Counts {
            sent,
            opened,
            clicked,
        } = counts.into();
        Self {
            hour: printed(hour),
            sent,
            opened,
            clicked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Result<(String, String), ()> {
        let mut query = Query::parse(Some(query));
        let now = "2026-11-23T18:30:00Z".parse().expect("a time");
        let wanted = hours(&"a/b".parse().expect("realm"), &mut query, now);
        let finished = query.finish();
        finished
            .map(|()| (printed(wanted.from), printed(wanted.to)))
            .map_err(|_| ())
    }

    #[test]
    fn what_is_asked_for_is_widened_to_full_hours() {
        for (query, from, to) in [
            ("", "2026-11-22T19:00:00Z", "2026-11-23T19:00:00Z"),
            (
                "since=2026-11-23T18:00:00Z",
                "2026-11-23T18:00:00Z",
                "2026-11-23T19:00:00Z",
            ),
            (
                "since=2026-11-23T16:59:59Z&until=2026-11-23T18:00:00Z",
                "2026-11-23T16:00:00Z",
                "2026-11-23T18:00:00Z",
            ),
            (
                "since=2026-11-23T16:59:59Z&until=2026-11-23T18:00:00.001Z",
                "2026-11-23T16:00:00Z",
                "2026-11-23T19:00:00Z",
            ),
        ] {
            assert_eq!(asked(query), Ok((from.into(), to.into())), "{query}");
        }
    }

    #[test]
    fn more_than_31_days_and_a_time_that_runs_backwards_are_refused() {
        for query in [
            "since=2026-11-23T18:30:00Z",
            "since=2026-11-24T00:00:00Z",
            "since=2026-10-23T18:59:59Z",
            "until=2026-11-23T18:00:00Z&since=2026-10-01T00:00:00Z",
        ] {
            assert_eq!(asked(query), Err(()), "{query}");
        }
        assert!(asked("since=2026-10-23T19:00:00Z").is_ok());
    }
}
