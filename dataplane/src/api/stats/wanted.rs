//! What is asked for, out of the query.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::calendar::{self, Calendar, Step};
use super::tally::GroupBy;
use crate::api::asked::{self, SINCE_RULE, Source as _};
use crate::api::query::Query;
use crate::api::scope::HOUR_SECONDS;
use crate::api::settings::{STATS_DEFAULT_HOURS, STATS_MAX_DAYS, STATS_MAX_HOURS};
use crate::api::times::time;
use crate::store::EventFilter;

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) calendar: Calendar,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) filter: EventFilter,
    pub(super) group_by: Option<GroupBy>,
}

impl Wanted {
    pub(super) fn take(query: &mut Query, now: Timestamp) -> Self {
        let step = query.parsed("by", step).unwrap_or(Step::Hour);
        let zone = query.parsed("time_zone", calendar::zone);
        let calendar = Calendar::new(zone.unwrap_or(TimeZone::UTC), step);
        let (from, to) = range(query, &calendar, now);
        let tags = query.tags();
        Self {
            filter: EventFilter {
                message: query.parsed("message_id", asked::name),
                tags,
                test: Some(false),
                since: Some(from),
                until: Some(to),
                ..EventFilter::default()
            },
            group_by: group_by(query),
            calendar,
            from,
            to,
        }
    }

    /// Counts nothing of before a moment: to the second, where hours are not.
    pub(super) fn not_before(&mut self, since: Option<Timestamp>) {
        if let Some(since) = since.filter(|since| *since > self.from) {
            self.from = since.min(self.to);
            self.filter.since = Some(self.from);
        }
    }
}

fn step(text: &str) -> Result<Step, String> {
    match text {
        "hour" => Ok(Step::Hour),
        "day" => Ok(Step::Day),
        _ => Err("must be hour or day".to_owned()),
    }
}

fn group_by(query: &mut Query) -> Option<GroupBy> {
    let word = query.parsed("group_by", |text| match text {
        "message" | "link" | "tag" => Ok(text.to_owned()),
        _ => Err("must be message, link or tag".to_owned()),
    });
    let name = query.parsed("tag_name", |text| match text.is_empty() {
        true => Err("must not be empty".to_owned()),
        false => Ok(text.to_owned()),
    });
    match (word.as_deref(), name) {
        (Some("message"), None) => Some(GroupBy::Message),
        (Some("link"), None) => Some(GroupBy::Link),
        (Some("tag"), Some(name)) => Some(GroupBy::Tag(name)),
        (Some("tag"), None) => {
            query.error("tag_name", "is required with group_by=tag");
            None
        }
        (_, Some(_)) => {
            query.error("tag_name", "must stand with group_by=tag alone");
            None
        }
        (_, None) => None,
    }
}

/// Widens what is asked for to full stretches.
fn range(query: &mut Query, calendar: &Calendar, now: Timestamp) -> (Timestamp, Timestamp) {
    let since = query.parsed("since", time);
    let until = query.parsed("until", time).unwrap_or(now);
    let to = calendar.ceil(until);
    let default = || to - i64::from(STATS_DEFAULT_HOURS).hours();
    let from = calendar.floor(since.unwrap_or_else(default));
    let (max, words) = match calendar.step() {
        // A day more, since the longest has 25 hours.
        Step::Day => ((STATS_MAX_DAYS + 1) * 24, format!("{STATS_MAX_DAYS} days")),
        Step::Hour => (STATS_MAX_HOURS, format!("{STATS_MAX_HOURS} hours")),
    };
    if since.is_some_and(|since| since >= until) {
        query.error("since", SINCE_RULE);
    } else if to.as_second() - from.as_second() > i64::from(max) * HOUR_SECONDS {
        let rule = format!("must be at most {words} before the end of until's");
        query.error("since", rule);
    }
    (from, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Result<(String, String), ()> {
        let mut query = Query::parse(Some(query));
        let now = "2026-11-23T18:30:00Z".parse().expect("a time");
        let wanted = Wanted::take(&mut query, now);
        let finished = query.finish();
        finished
            .map(|()| (wanted.from.to_string(), wanted.to.to_string()))
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
            (
                "by=day&time_zone=Europe/Berlin",
                "2026-11-22T23:00:00Z",
                "2026-11-23T23:00:00Z",
            ),
            (
                "by=day&time_zone=Europe/Berlin&since=2026-11-01T12:00:00Z&until=2026-11-02T23:00:00Z",
                "2026-10-31T23:00:00Z",
                "2026-11-02T23:00:00Z",
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
