//! The OpenAPI document: what the handlers say of themselves, put together,
//! with what holds for all of them.

use std::collections::BTreeMap;

use axum::extract::{FromRequestParts, Path, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Header, Ref, RefOr, Response as Described, ResponseBuilder};
use utoipa::{IntoParams, IntoResponses, Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{Code, Problem};
use super::{App, domains, download, events, messages, recipients, resolve, rewrite, sinks, stats};

/// The document's frame.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Mailtrail",
        description = "Open and click tracking for any mail sender: have a mail rewritten, send it, read who opened and clicked.\n\nEvery refusal is `application/problem+json` (RFC 9457): `type` says which kind, `errors` name fields and the rules they broke, `limit` names a limit that was exceeded. No value that you sent is repeated. Unknown fields and parameters are refused.\n\nTimes are RFC 3339 in UTC. Lists of events are oldest first, of messages newest first.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(Problem)),
    security(("bearer" = [])),
    modifiers(&Bearer),
    tags(
        (name = "mails", description = "Before a mail is sent."),
        (name = "domains", description = "Tracking domains: hosts with their toggles."),
        (name = "messages", description = "Mails that were rewritten, and what became of each."),
        (name = "events", description = "Who opened and clicked, one by one."),
        (name = "statistics", description = "How many did."),
        (name = "sinks", description = "Event sinks: receivers that events are pushed to."),
        (name = "recipients", description = "What is held of a reader."),
        (name = "description", description = "This document.")
    )
)]
struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "A token of the install's token file. An install that listens on a loopback address only may take none; then `Host` must be `localhost` or a loopback address, and requests of web pages are refused.",
            ))
            .build();
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// The routes, each with its description.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(rewrite::rewrite))
        .routes(routes!(domains::list))
        .routes(routes!(domains::show))
        .routes(routes!(events::list))
        .routes(routes!(events::query))
        .routes(routes!(download::download))
        .routes(routes!(messages::list))
        .routes(routes!(messages::query))
        .routes(routes!(messages::show))
        .routes(routes!(messages::show_to))
        .routes(routes!(stats::show))
        .routes(routes!(recipients::export))
        .routes(routes!(recipients::withdraw))
        .routes(routes!(recipients::erase))
        .routes(routes!(resolve::resolve))
        .routes(routes!(sinks::show))
        .routes(routes!(sinks::dead_letters))
        .routes(routes!(sinks::replay))
        .routes(routes!(sinks::test))
        .routes(routes!(sinks::resume))
        .routes(routes!(show))
}

/// The document as it is served and committed.
pub fn document() -> String {
    print(routes().get_openapi())
}

pub(super) fn print(document: &utoipa::openapi::OpenApi) -> String {
    let mut text = serde_json::to_string_pretty(document).unwrap_or_default();
    text.push('\n');
    text
}

/// Describe this API
///
/// The OpenAPI document. `GET /docs` shows it as a page. Neither needs a token.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "describe",
    tag = "description",
    security(()),
    responses((status = 200, description = "This document.", content_type = "application/json", body = Object))
)]
async fn show(State(app): State<App>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, app.openapi.clone()).into_response()
}

// === Parameters ===

/// The tracking domain that a path names.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct DomainPath {
    /// Namespace of the tracking domain.
    #[param(example = "shop", max_length = 63)]
    pub(super) namespace: String,
    /// Name of the tracking domain within it.
    #[param(example = "links", max_length = 253)]
    pub(super) name: String,
}

impl<S: Send + Sync> FromRequestParts<S> for DomainPath {
    type Rejection = Problem;

    async fn from_request_parts(head: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<Self>::from_request_parts(head, state).await;
        // Not UTF-8 once its percent-encoding is undone: no name of ours.
        path.map(|Path(path)| path)
            .map_err(|_| Problem::new(Code::UnknownRoute))
    }
}

/// The event sink that a path names.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct SinkPath {
    /// Namespace of the event sink.
    #[param(example = "shop", max_length = 63)]
    pub(super) namespace: String,
    /// Name of the event sink within it.
    #[param(example = "orders", max_length = 253)]
    pub(super) name: String,
}

impl<S: Send + Sync> FromRequestParts<S> for SinkPath {
    type Rejection = Problem;

    async fn from_request_parts(head: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<Self>::from_request_parts(head, state).await;
        path.map(|Path(path)| path)
            .map_err(|_| Problem::new(Code::UnknownRoute))
    }
}

/// A page of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what handlers take from the query")]
pub(super) struct ListParams {
    /// Only what follows this cursor, the `next` of an earlier list.
    #[param(max_length = 512)]
    after: Option<String>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
}

// === Problems ===

/// Which problems a group of operations may have.
macro_rules! problems {
    ($($(#[$about:meta])* $name:ident [$($code:ident),*];)*) => {$(
        $(#[$about])*
        pub(super) struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Described>> {
                described(&[$(Code::$code),*])
            }
        }
    )*};
}

problems! {
    /// Those of every operation.
    Common [Unauthenticated, Forbidden, NotLocal, TooManyHeaders, Internal, Overloaded, Unavailable];
    /// Those of operations on one tracking domain.
    NotFound [UnknownDomain];
    /// Those of operations on one event sink.
    SinkNotFound [UnknownSink];
    /// Those of operations on one message.
    MessageNotFound [UnknownDomain, UnknownMessage];
    /// Those of `resolve`.
    ResolveNotFound [UnknownDomain, OtherDomain];
    /// Those of operations with a body.
    Bodies [Malformed, SlowBody, TooLarge, MediaType, Invalid];
    /// Those of operations with a query.
    QueryProblems [Invalid];
    /// Those of cursors that grow old.
    CursorExpired [CursorExpired];
}

fn described(codes: &[Code]) -> BTreeMap<String, RefOr<Described>> {
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in codes {
        by_status
            .entry(code.parts().0.as_u16())
            .or_default()
            .push(*code);
    }
    by_status
        .into_iter()
        .map(|(status, codes)| (status.to_string(), RefOr::T(response(&codes))))
        .collect()
}

fn response(codes: &[Code]) -> Described {
    let titles: Vec<_> = codes
        .iter()
        .map(|code| format!("{}.", code.parts().2))
        .collect();
    let examples = codes.iter().map(|code| {
        let value = serde_json::to_value(example(*code)).ok();
        let example = ExampleBuilder::new().summary(code.parts().2).value(value);
        (code.parts().1, RefOr::T(example.build()))
    });
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .examples_from_iter(examples)
        .build();
    let mut response = ResponseBuilder::new()
        .description(titles.join(" "))
        .content("application/problem+json", content);
    for code in codes {
        response = match code {
            Code::Unauthenticated => response.header("WWW-Authenticate", Header::default()),
            Code::Overloaded => response.header("Retry-After", Header::default()),
            _ => response,
        };
    }
    response.build()
}

fn example(code: Code) -> Problem {
    match code {
        Code::Invalid => Problem::field("message_id", "is required"),
        Code::TooLarge => Problem::too_large("html_max_bytes", 5 * 1024 * 1024),
        Code::Malformed => {
            Problem::new(code).detail("the body is not valid JSON: line 3, column 14")
        }
        _ => Problem::new(code),
    }
}
