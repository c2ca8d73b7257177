//! `GET …/events`: who opened and clicked, oldest first.

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use mailtrail_core::event::EventKind;
use mailtrail_core::id::{MessageId, NameError};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::auth::{Caller, Verb};
use super::examples;
use super::openapi::{Common, CursorExpired, DomainPath, NotFound, QueryProblems};
use super::problem::{Code, Problem};
use super::query::Query;
use super::rewrite::print;
use super::schema::Event;
use super::settings::CURSOR_MAX_BYTES;
use crate::store::{Cursor, EventQuery, QueryError};

/// A list of events.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EventList {
    /// The events, in the order they were kept.
    pub events: Vec<Event>,
    /// Give it as `after` for what follows. Always there, also when the list is
    /// empty: ask again later with it, and nothing is missed or repeated.
    pub next: String,
}

/// Which events.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what the handler takes from the query")]
pub(super) struct EventParams {
    /// Only `opened` or only `clicked`.
    #[param(inline, rename = "type", required = false)]
    kind: Option<super::schema::EventKind>,
    /// Only those of this message.
    #[param(min_length = 1, max_length = 128)]
    message_id: Option<String>,
    /// Only what follows this cursor, the `next` of an earlier list. Cursors
    /// are opaque, and good for one domain.
    #[param(max_length = 512)]
    after: Option<String>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
}

/// List events
///
/// Who opened and clicked, in the order the events were kept. To follow them,
/// keep `next` and ask again with it as `after`.
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
    let wanted = EventQuery {
        domain: domain.realm.clone(),
        kind: query.parsed("type", kind),
        message: query.parsed("message_id", |text| {
            text.parse::<MessageId>()
                .map_err(|error: NameError| error.rule().to_owned())
        }),
        after: query.parsed("after", cursor),
        limit: query.limit(),
    };
    query.finish()?;
    let store = app.context.store.clone();
    let page = tokio::task::spawn_blocking(move || store.events(&wanted))
        .await
        .map_err(|_| Problem::new(Code::Internal))??;
    Ok(print(&EventList {
        events: page.events.into_iter().map(Event::from).collect(),
        next: page.next.0,
    }))
}

fn kind(text: &str) -> Result<EventKind, String> {
    match text {
        "opened" => Ok(EventKind::Opened),
        "clicked" => Ok(EventKind::Clicked),
        _ => Err("must be opened or clicked".to_owned()),
    }
}

fn cursor(text: &str) -> Result<Cursor, String> {
    if text.len() > CURSOR_MAX_BYTES {
        return Err(format!("must be at most {CURSOR_MAX_BYTES} bytes long"));
    }
    Ok(Cursor(text.to_owned()))
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Cursor => Self::field("after", "must be a cursor that a list gave"),
            QueryError::Expired => {
                Self::new(Code::CursorExpired).detail("begin again without after")
            }
            QueryError::Unavailable => Self::new(Code::Unavailable).detail(error.to_string()),
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
