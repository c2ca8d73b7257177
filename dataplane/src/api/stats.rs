//! `GET …/stats`: how many mails were sent, opened and clicked, by hours or days
//! of a time zone, and by message, link or tag.
//!
//! One way: what is asked for (`wanted`) is counted (`count`), and told (`told`).

mod calendar;
mod count;
mod tally;
mod told;
mod wanted;

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use utoipa::{IntoParams, ToSchema};

use super::auth::{Caller, Verb};
use super::openapi::{Common, DomainPath, NotFound, QueryProblems};
use super::problem::Problem;
use super::query::Query;
use super::rewrite::print;
use super::schema::TagParam;
use super::{App, examples, scope};
use calendar::Step;
use told::Stats;
use wanted::Wanted;

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
    Ok(print(&Stats::of(&wanted, &counted)))
}
