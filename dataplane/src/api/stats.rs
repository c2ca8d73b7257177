//! `GET …/stats`: how many mails were sent, opened and clicked, by hours or days
//! of a time zone, and by message, link or tag.
//!
//! Whole domains by hours come from counts that the store keeps; all else is
//! added up from the events and messages themselves, as many as may be read.

mod calendar;
mod tally;

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use mailtrail_core::config::Domain;
use mailtrail_core::message::MessageRecord;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::asked::{self, SINCE_RULE, Source as _};
use super::auth::{Caller, Verb};
use super::openapi::{Common, DomainPath, NotFound, QueryProblems};
use super::problem::Problem;
use super::query::Query;
use super::rewrite::print;
use super::schema::{HitTotals, TagParam};
use super::scope::{self, HOUR_SECONDS};
use super::settings::{STATS_DEFAULT_HOURS, STATS_MAX_DAYS, STATS_MAX_HOURS, STATS_READ_MAX};
use super::times::time;
use super::{App, examples};
use crate::store::{
    EventFilter, EventQuery, HourCounts, MessageQuery, PAGE_MAX_MESSAGES, StatsQuery,
};
use calendar::{Calendar, Step};
use tally::{GroupBy, Tally};

/// How much happened.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Statistics)]
pub(super) struct Stats {
    /// The begin of the first stretch.
    #[schema(format = "date-time")]
    pub since: String,
    /// The end of the last.
    #[schema(format = "date-time")]
    pub until: String,
    /// Whose hours and days they are.
    pub time_zone: String,
    /// How long a stretch is.
    pub by: Step,
    /// All stretches together.
    pub total: Counts,
    /// The stretches in which anything happened, in their order.
    pub stretches: Vec<Stretch>,
    /// By what was asked for with `group_by`, by name; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub groups: Option<Vec<Group>>,
    /// Whether there are more than these 1000 groups; what is in none of them
    /// is in the total all the same.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false, default = false)]
    pub more_groups: bool,
}

/// How much happened.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Counts)]
pub(super) struct Counts {
    /// Mails that were rewritten and recorded. One that is rewritten again, for
    /// the same reader, counts once: when it was rewritten first.
    pub sent: u64,
    /// Pixels loaded.
    pub opened: HitTotals,
    /// Links followed.
    pub clicked: HitTotals,
    /// First clicks per first open, by people: null without an open, and where
    /// either is not known.
    #[schema(required)]
    pub click_to_open: Option<f64>,
}

/// How much happened in an hour or on a day.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StretchCounts)]
pub(super) struct Stretch {
    /// Its begin.
    #[schema(format = "date-time")]
    pub start: String,
    /// Mails that were rewritten and recorded for the first time.
    pub sent: u64,
    /// Pixels loaded.
    pub opened: HitTotals,
    /// Links followed.
    pub clicked: HitTotals,
    /// First clicks per first open, by people: null without an open.
    #[schema(required)]
    pub click_to_open: Option<f64>,
}

/// How much happened with a message, link or tag.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GroupCounts)]
pub(super) struct Group {
    /// The message's id, the link's target, or the tag's value.
    pub name: String,
    /// Mails that were rewritten and recorded for the first time.
    pub sent: u64,
    /// Pixels loaded.
    pub opened: HitTotals,
    /// Links followed.
    pub clicked: HitTotals,
    /// First clicks per first open, by people: null without an open.
    #[schema(required)]
    pub click_to_open: Option<f64>,
}

/// What groups are made of.
#[derive(Debug, Clone, Copy, ToSchema)]
#[schema(as = StatisticsGroup, rename_all = "snake_case")]
#[expect(dead_code, reason = "describes what the handler takes from the query")]
pub(super) enum GroupWord {
    /// Message ids.
    Message,
    /// Targets of links.
    Link,
    /// Values of the tag that `tag_name` names.
    Tag,
}

/// Which time, and how it is told apart.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what the handler takes from the query")]
pub(super) struct StatsParams {
    /// From the hour or day of this time on, RFC 3339. By default 24 hours
    /// before `until`.
    #[param(format = "date-time")]
    since: Option<String>,
    /// Up to the end of the hour or day of this time, or to this time where it
    /// begins one; RFC 3339. By default now. At most 31 days behind `since`, by
    /// days at most 366.
    #[param(format = "date-time")]
    until: Option<String>,
    /// `hour` (the default) or `day`.
    #[param(inline)]
    by: Option<Step>,
    /// Whose hours and days: a name of the IANA database, such as
    /// `Europe/Berlin`. By default UTC.
    #[param(max_length = 64)]
    time_zone: Option<String>,
    /// Only of this message.
    #[param(
        min_length = 1,
        max_length = 128,
        pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$"
    )]
    message_id: Option<String>,
    /// Only of messages with this tag, as `key=value`. Repeat it for messages
    /// with several tags.
    #[param(inline, max_items = 16)]
    tag: Option<Vec<TagParam>>,
    /// Counts by `message`, `link` or `tag` beside the stretches.
    #[param(inline)]
    group_by: Option<GroupWord>,
    /// The name of the tag to group by.
    #[param(min_length = 1, max_length = 256)]
    tag_name: Option<String>,
}

/// Count
///
/// How many mails were sent, and how many hits they had by people, machines and
/// unknown, in each hour or day in which anything happened. Test mails are not
/// counted, and hits only once they are settled. Where a domain records opens or
/// clicks as `Anonymous`, they are counted by hours of UTC: in the hour or day in
/// which theirs begins, as of no message, link or tag, and it is not known which
/// are a first; of the hour in which the domain's namespace was made they are not
/// told. With a message, a tag, a group,
/// or a time zone whose hours are not those of UTC, events and messages are
/// counted one by one: at most a million, ask for less time where there are more.
#[utoipa::path(
    get,
    path = "/v1/domains/{namespace}/{name}/stats",
    operation_id = "getStatistics",
    tag = "statistics",
    params(DomainPath, StatsParams),
    responses(
        (status = 200, description = "Counts.", body = Stats, content_type = "application/json",
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
    let mut wanted = Wanted::take(&mut query, (app.context.clock)());
    query.finish()?;
    wanted.not_before(scope::since(&domain));
    let counted = wanted.count(&app, &domain).await?;
    Ok(print(&wanted.told(counted)))
}

/// What is asked for.
#[derive(Debug, Clone)]
struct Wanted {
    calendar: Calendar,
    from: Timestamp,
    to: Timestamp,
    filter: EventFilter,
    group_by: Option<GroupBy>,
}

impl Wanted {
    fn take(query: &mut Query, now: Timestamp) -> Self {
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
    fn not_before(&mut self, since: Option<Timestamp>) {
        if let Some(since) = since.filter(|since| *since > self.from) {
            self.from = since.min(self.to);
            self.filter.since = Some(self.from);
        }
    }

    async fn count(&self, app: &App, domain: &Domain) -> Result<Tally, Problem> {
        let mut tally = Tally::new(self.calendar.clone(), self.group_by.clone());
        let is_whole = self.filter.message.is_none() && self.filter.tags.is_empty();
        if is_whole && self.group_by.is_none() && self.calendar.has_whole_hours(self.from, self.to)
        {
            self.count_hours(app, domain, &mut tally).await?;
            if let Some(begin) = self.begin_within_an_hour() {
                let mut left = STATS_READ_MAX;
                begin
                    .count_events(app, domain, &mut tally, &mut left)
                    .await?;
                begin
                    .count_messages(app, domain, &mut tally, &mut left)
                    .await?;
            }
        } else {
            let mut left = STATS_READ_MAX;
            self.count_events(app, domain, &mut tally, &mut left)
                .await?;
            self.count_messages(app, domain, &mut tally, &mut left)
                .await?;
            if is_whole {
                self.count_anonymous(app, domain, &mut tally).await?;
            }
        }
        Ok(tally.finish())
    }

    /// What is asked of the hour that began before the time that is asked for,
    /// whose counts are not all of that time.
    fn begin_within_an_hour(&self) -> Option<Self> {
        let behind = i64::from(hour_behind(self.from)) * HOUR_SECONDS;
        let end = Timestamp::from_second(behind).ok()?.min(self.to);
        (end > self.from).then(|| Self {
            to: end,
            filter: EventFilter {
                until: Some(end),
                ..self.filter.clone()
            },
            ..self.clone()
        })
    }

    async fn count_hours(
        &self,
        app: &App,
        domain: &Domain,
        tally: &mut Tally,
    ) -> Result<(), Problem> {
        for (begin, counts) in self.hours(app, domain).await? {
            tally.hour(begin, &counts);
        }
        Ok(())
    }

    /// Of what is anonymous nothing but its hour of UTC is known: it is in the
    /// stretch in which that begins, and in no group.
    async fn count_anonymous(
        &self,
        app: &App,
        domain: &Domain,
        tally: &mut Tally,
    ) -> Result<(), Problem> {
        for (begin, counts) in self.hours(app, domain).await? {
            let alone = counts.anonymous_alone();
            if begin >= self.from && alone != HourCounts::default() {
                tally.hour(begin, &alone);
            }
        }
        Ok(())
    }

    /// What happened in the hours of UTC that begin in the time that is asked
    /// for, and in that within which it begins.
    async fn hours(
        &self,
        app: &App,
        domain: &Domain,
    ) -> Result<Vec<(Timestamp, HourCounts)>, Problem> {
        let wanted = StatsQuery {
            domain: domain.realm.clone(),
            from: hour(self.from),
            to: hour_behind(self.to),
        };
        let hours = app.read(domain, move |scope| scope.stats(&wanted)).await?;
        let begin = |hour| Timestamp::from_second(i64::from(hour) * HOUR_SECONDS);
        let timed = hours
            .into_iter()
            .map(|(hour, counts)| (begin(hour).unwrap_or_default(), counts));
        Ok(timed.collect())
    }

    async fn count_events(
        &self,
        app: &App,
        domain: &Domain,
        tally: &mut Tally,
        left: &mut usize,
    ) -> Result<(), Problem> {
        let mut after = None;
        loop {
            let wanted = EventQuery {
                filter: self.filter.clone(),
                after: after.take(),
                ..EventQuery::of(domain.realm.clone())
            };
            let page = app.read(domain, move |scope| scope.events(&wanted)).await?;
            spend(left, page.events.len())?;
            page.events.iter().for_each(|event| tally.event(event));
            if !page.more {
                return Ok(());
            }
            after = Some(page.next);
        }
    }

    async fn count_messages(
        &self,
        app: &App,
        domain: &Domain,
        tally: &mut Tally,
        left: &mut usize,
    ) -> Result<(), Problem> {
        let mut after = None;
        loop {
            let message = self.filter.message.as_ref();
            let wanted = MessageQuery {
                domain: domain.realm.clone(),
                recipient: None,
                tags: self.filter.tags.clone(),
                id_prefix: message.map(ToString::to_string),
                since: self.filter.since,
                until: self.filter.until,
                after: after.take(),
                limit: PAGE_MAX_MESSAGES,
            };
            let page = app
                .read(domain, move |scope| scope.messages(&wanted))
                .await?;
            spend(left, page.messages.len())?;
            // Others may begin with the same letters.
            let is_own = |record: &&MessageRecord| message.is_none_or(|m| record.message_id == *m);
            let own = page.messages.iter().filter(is_own);
            own.for_each(|record| tally.message(record));
            match page.next {
                None => return Ok(()),
                next => after = next,
            }
        }
    }

    fn told(&self, tally: Tally) -> Stats {
        let stretches = tally.stretches.iter().map(Stretch::from).collect();
        let groups = tally.groups.iter().map(Group::from).collect();
        Stats {
            since: self.from.to_string(),
            until: self.to.to_string(),
            time_zone: self.calendar.zone_name().to_owned(),
            by: self.calendar.step(),
            total: tally.total().into(),
            stretches,
            groups: self.group_by.as_ref().map(|_| groups),
            more_groups: tally.more_groups,
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

/// Hours since 1970; what is before counts as then.
fn hour(time: Timestamp) -> u32 {
    u32::try_from(time.as_second().div_euclid(HOUR_SECONDS)).unwrap_or(0)
}

/// The first hour that begins at a time or later.
fn hour_behind(time: Timestamp) -> u32 {
    let second = time.as_second().saturating_add(HOUR_SECONDS - 1);
    u32::try_from(second.div_euclid(HOUR_SECONDS)).unwrap_or(0)
}

fn spend(left: &mut usize, read: usize) -> Result<(), Problem> {
    match left.checked_sub(read) {
        Some(rest) => {
            *left = rest;
            Ok(())
        }
        None => Err(Problem::field(
            "since",
            format!("must leave at most {STATS_READ_MAX} events and messages to count one by one"),
        )),
    }
}

impl From<HourCounts> for Counts {
    fn from(counts: HourCounts) -> Self {
        let HourCounts {
            sent,
            sent_anonymous: _,
            opened,
            clicked,
        } = counts;
        let (opened, clicked) = (HitTotals::from(opened), HitTotals::from(clicked));
        // Counts are far below the 2^53 that an f64 holds exactly.
        let rate = |opened: u64, clicked: u64| clicked as f64 / opened as f64;
        let opens = opened.first.filter(|first| *first > 0);
        Self {
            sent,
            click_to_open: opens
                .zip(clicked.first)
                .map(|(opens, clicks)| rate(opens, clicks)),
            opened,
            clicked,
        }
    }
}

/// A row of counts under a key of its own: the fields stand beside the key, as
/// they do in [`Counts`].
macro_rules! keyed {
    ($row:ident by $key:ident: $of:ty) => {
        impl From<(&$of, &HourCounts)> for $row {
            fn from((key, counts): (&$of, &HourCounts)) -> Self {
                let Counts {
                    sent,
                    opened,
                    clicked,
                    click_to_open,
                } = (*counts).into();
                Self {
                    $key: key.to_string(),
                    sent,
                    opened,
                    clicked,
                    click_to_open,
                }
            }
        }
    };
}

keyed!(Stretch by start: Timestamp);
keyed!(Group by name: String);

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
