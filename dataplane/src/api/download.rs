//! `GET …/events/download`: all events of a filter in one answer, as lines of
//! JSON or as CSV, written while they are read.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use mailtrail_core::config::Domain;
use utoipa::{IntoParams, ToSchema};

use super::auth::{Caller, Verb};
use super::openapi::{Common, DomainPath, NotFound, QueryProblems};
use super::pages::{JSON_LINES, Pages, json_lines, while_read};
use super::problem::Problem;
use super::query::Query;
use super::schema::{Event, EventKind, TagParam, VerdictOrGroup};
use super::scope::Scope;
use super::{App, asked};
use crate::store::EventQuery;

mod csv_lines;

/// The type of CSV (RFC 4180).
const CSV: HeaderValue = HeaderValue::from_static("text/csv; charset=utf-8; header=present");

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(as = DownloadFormat, rename_all = "snake_case")]
pub(super) enum Format {
    /// An event as JSON on each line.
    Ndjson,
    /// Comma-separated values (RFC 4180), with a head.
    Csv,
}

/// Which events, and how. Several filters: those that pass all of them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what the handler takes from the query")]
pub(super) struct DownloadParams {
    /// `ndjson`: an event as JSON on each line. `csv`: comma-separated values
    /// with a head; a value that a spreadsheet would take for a formula has an
    /// apostrophe before it.
    #[param(inline, required = false)]
    format: Option<Format>,
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
    /// Only those of test mails; or, with `false`, only the others.
    test: Option<bool>,
}

/// Download events
///
/// All events that pass the filters, oldest first, in one answer of any length,
/// written while it is read. One that breaks off ends without the end that HTTP
/// asks for: take it for whole only if your client does.
#[utoipa::path(
    get,
    path = "/v1/domains/{namespace}/{name}/events/download",
    operation_id = "downloadEvents",
    tag = "events",
    params(DomainPath, DownloadParams),
    responses(
        (status = 200, description = "Events, oldest first, one a line.", content((Event = "application/x-ndjson"), (String = "text/csv"))),
        Common,
        NotFound,
        QueryProblems
    )
)]
pub(super) async fn download(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    path: DomainPath,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let domain = app.domain_of_path(&caller, Verb::Read, &path).await?;
    let mut query = Query::parse(query.as_deref());
    let format = query.parsed("format", format).unwrap_or(Format::Ndjson);
    let wanted = EventQuery {
        filter: asked::event_filter(&mut query),
        ..EventQuery::of(domain.realm.clone())
    };
    query.finish()?;
    let mut left = Left {
        app,
        domain,
        wanted,
        format,
        more: true,
    };
    let mut first = left.head();
    first.extend(left.next().await?);
    Ok((format.headers(), while_read(first, left)).into_response())
}

fn format(text: &str) -> Result<Format, String> {
    match text {
        "ndjson" => Ok(Format::Ndjson),
        "csv" => Ok(Format::Csv),
        _ => Err("must be ndjson or csv".to_owned()),
    }
}

/// What is left to write.
struct Left {
    app: App,
    domain: Arc<Domain>,
    wanted: EventQuery,
    format: Format,
    more: bool,
}

impl Left {
    /// What stands before the events.
    fn head(&self) -> Vec<u8> {
        match self.format {
            Format::Ndjson => Vec::new(),
            Format::Csv => csv_lines::head(),
        }
    }
}

impl Pages for Left {
    fn more(&self) -> bool {
        self.more
    }

    async fn next(&mut self) -> Result<Vec<u8>, Problem> {
        let wanted = self.wanted.clone();
        let events = move |scope: &Scope<'_>| scope.events(&wanted);
        let page = self.app.read(&self.domain, events).await?;
        self.more = page.more;
        self.wanted.after = Some(page.next);
        let events = page.events.into_iter().map(Event::from);
        Ok(match self.format {
            Format::Ndjson => json_lines(events),
            Format::Csv => csv_lines::lines(events),
        })
    }
}

impl Format {
    fn headers(self) -> [(header::HeaderName, HeaderValue); 3] {
        let (kind, disposition) = match self {
            Self::Ndjson => (JSON_LINES, "attachment; filename=\"events.ndjson\""),
            Self::Csv => (CSV, "attachment; filename=\"events.csv\""),
        };
        [
            (header::CONTENT_TYPE, kind),
            (
                header::CONTENT_DISPOSITION,
                HeaderValue::from_static(disposition),
            ),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ]
    }
}
