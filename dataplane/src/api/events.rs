//! `GET …/events` and `POST …/events/query`: who opened and clicked, oldest
//! first.

use std::collections::BTreeMap;

use axum::Extension;
use axum::extract::{RawQuery, Request, State};
use axum::response::Response;
use mailtrail_core::config::Domain;
use serde::{Deserialize, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::asked;
use super::auth::{Caller, Verb};
use super::openapi::{Bodies, Common, CursorExpired, DomainPath, NotFound, QueryProblems};
use super::problem::{Code, Problem};
use super::query::Query;
use super::rewrite::print;
use super::schema::{Event, EventKind, TagParam, VerdictOrGroup, tags_schema};
use super::{body, examples};
use crate::store::{EventQuery, QueryError};

/// A list of events.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EventList {
    /// The events, in the order they were kept; behind them, where asked for,
    /// those that are not settled.
    pub events: Vec<Event>,
    /// Give it as `after` for what follows. Always there, also when the list is
    /// empty: ask again later with it, and nothing is missed or repeated.
    pub next: String,
    /// Whether to ask again at once: the list is full, or so much was read for
    /// it that it ended early, maybe even empty.
    pub more: bool,
}

/// Which events. Several filters: those that pass all of them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what the handler takes from the query")]
pub(super) struct EventParams {
    /// Only `opened` or only `clicked`.
    #[param(inline, rename = "type", required = false)]
    kind: Option<EventKind>,
    /// Only those of this message.
    #[param(
        min_length = 1,
        max_length = 128,
        pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$"
    )]
    message_id: Option<String>,
    /// Only those of these verdicts; `people` is `human` and `proxy`, `machines`
    /// is `prefetch` and `scanner`. Repeat it, or put commas between.
    #[param(inline, max_items = 16)]
    verdict: Option<Vec<VerdictOrGroup>>,
    /// Only the first by a person of their message, reader, type and link; or,
    /// with `false`, only the others.
    first: Option<bool>,
    /// Not before this time, RFC 3339.
    #[param(format = "date-time")]
    since: Option<String>,
    /// Before this time, RFC 3339.
    #[param(format = "date-time")]
    until: Option<String>,
    /// Only those of messages with this tag, as `key=value`. Repeat it for
    /// messages with several tags.
    #[param(inline, max_items = 16)]
    tag: Option<Vec<TagParam>>,
    /// Only those of test mails; or, with `false`, only the others. They are
    /// listed and marked, and counted nowhere.
    test: Option<bool>,
    /// Only what follows this cursor, the `next` of an earlier list. Cursors
    /// are opaque, and good for one domain. One of a list with other filters is
    /// good too: it says up to where was looked.
    #[param(max_length = 512)]
    after: Option<String>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// With `true`, what is not settled yet follows the last settled event, as
    /// far as `limit` has room, each with `"settled": false`; filters go by its
    /// provisional verdict. `next` stands in front of them: each comes again,
    /// settled, with the same id. At most the oldest hits that wait are looked at.
    #[param(default = false)]
    provisional: Option<bool>,
}

/// Which events. Several filters: those that pass all of them. Unknown fields
/// are refused.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(examples::events_query))]
#[expect(dead_code, reason = "describes what the handler takes from the body")]
pub(super) struct EventsQuery {
    /// Only `opened` or only `clicked`.
    #[serde(rename = "type")]
    #[schema(rename = "type")]
    kind: Option<EventKind>,
    /// Only those of this message.
    #[schema(
        min_length = 1,
        max_length = 128,
        pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$"
    )]
    message_id: Option<String>,
    /// Only those of this reader.
    #[schema(
        min_length = 1,
        max_length = 254,
        pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$"
    )]
    recipient: Option<String>,
    /// Only those of these verdicts; `people` is `human` and `proxy`, `machines`
    /// is `prefetch` and `scanner`.
    #[schema(max_items = 16)]
    verdict: Option<Vec<VerdictOrGroup>>,
    /// Only the first by a person of their message, reader, type and link; or,
    /// with `false`, only the others.
    first: Option<bool>,
    /// Not before this time, RFC 3339.
    #[schema(format = "date-time")]
    since: Option<String>,
    /// Before this time, RFC 3339.
    #[schema(format = "date-time")]
    until: Option<String>,
    /// Only those of messages with all of these tags.
    #[schema(schema_with = wanted_tags)]
    tags: Option<BTreeMap<String, String>>,
    /// Only those of test mails; or, with `false`, only the others.
    test: Option<bool>,
    /// Only what follows this cursor, the `next` of an earlier list, whatever
    /// its filters were.
    #[schema(max_length = 512)]
    after: Option<String>,
    /// At most so many.
    #[schema(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// With `true`, what is not settled yet follows the last settled event, as
    /// far as `limit` has room, each with `"settled": false`; filters go by its
    /// provisional verdict. `next` stands in front of them: each comes again,
    /// settled, with the same id. At most the oldest hits that wait are looked at.
    #[schema(default = false)]
    provisional: Option<bool>,
}

fn wanted_tags() -> impl Into<RefOr<Schema>> {
    tags_schema("Only those of messages with all of these tags.")
}

/// List events
///
/// Who opened and clicked, in the order the events were kept. To follow them,
/// keep `next` and ask again with it as `after`: at once while `more` is true,
/// then every now and then. A hit is listed some seconds after it happened, once
/// its verdict is settled, and never changes after that.
#[utoipa::path(
    get,
    path = "/v1/domains/{namespace}/{name}/events",
    operation_id = "listEvents",
    tag = "events",
    params(DomainPath, EventParams),
    responses(
        (status = 200, description = "Events, oldest first.", body = EventList, content_type = "application/json",
            example = json!(examples::events())),
        Common,
        NotFound,
        CursorExpired,
        QueryProblems
    )
)]
pub(super) async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    path: DomainPath,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let domain = app.domain_of_path(&caller, Verb::Read, &path).await?;
    let mut query = Query::parse(query.as_deref());
    let wanted = asked::events(&domain.realm, &mut query);
    query.finish()?;
    answer(&app, &domain, wanted).await
}

/// Query events
///
/// The same list, asked in a body: a reader is named there and never in a URL,
/// which would be logged on its way.
#[utoipa::path(
    post,
    path = "/v1/domains/{namespace}/{name}/events/query",
    operation_id = "queryEvents",
    tag = "events",
    params(DomainPath),
    request_body(content = EventsQuery, content_type = "application/json", example = json!(examples::events_query())),
    responses(
        (status = 200, description = "Events, oldest first.", body = EventList, content_type = "application/json",
            example = json!(examples::events())),
        Common,
        NotFound,
        CursorExpired,
        Bodies
    )
)]
pub(super) async fn query(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    path: DomainPath,
    request: Request,
) -> Result<Response, Problem> {
    let domain = app.domain_of_path(&caller, Verb::Read, &path).await?;
    let mut fields = body::small_json(&app, request).await?;
    let mut wanted = asked::events(&domain.realm, &mut fields);
    wanted.filter.recipient = fields.parsed("recipient", asked::name);
    fields.finish()?;
    answer(&app, &domain, wanted).await
}

async fn answer(app: &App, domain: &Domain, wanted: EventQuery) -> Result<Response, Problem> {
    let page = app.read(domain, move |scope| scope.events(&wanted)).await?;
    let settled = page.events.into_iter().map(Event::from);
    let unsettled = page.unsettled.into_iter().map(Event::unsettled);
    Ok(print(&EventList {
        events: settled.chain(unsettled).collect(),
        next: page.next.0,
        more: page.more,
    }))
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Cursor => Self::field("after", "must be a cursor that a list gave"),
            QueryError::Expired => {
                Self::new(Code::CursorExpired).detail("begin again without after")
            }
            QueryError::IndexBehind | QueryError::Unavailable => {
                Self::new(Code::Unavailable).detail(error.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_that_is_too_old_is_gone_and_not_merely_wrong() {
        let status = |error: QueryError| Problem::from(error).status;
        assert_eq!(status(QueryError::Expired), 410);
        assert_eq!(status(QueryError::Cursor), 422);
        assert_eq!(status(QueryError::Unavailable), 503);
    }
}
