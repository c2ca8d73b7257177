//! `GET …/messages` and one of them, and the same asked in a body: mails that
//! were rewritten, and what became of each.

use std::collections::BTreeMap;

use axum::Extension;
use axum::extract::{FromRequestParts, Path, RawQuery, Request, State};
use axum::http::request::Parts;
use axum::response::Response;
use mailtrail_core::config::Domain;
use mailtrail_core::id::{MessageId, Recipient};
use serde::{Deserialize, Serialize};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{IntoParams, ToSchema};

use super::auth::{Caller, Verb};
use super::openapi::{
    Bodies, Common, CursorExpired, DomainPath, MessageNotFound, NotFound, QueryProblems,
};
use super::problem::{Code, Problem};
use super::query::Query;
use super::rewrite::print;
use super::schema::{Message, Summary, TagParam, tags_schema};
use super::{App, asked, body, examples};
use crate::store::{MessageQuery, SummaryQuery};

/// The path of `POST …/messages/query`; a message may have this id too.
pub(super) const NAMED_QUERY: &str = "/v1/domains/{namespace}/{name}/messages/query";

/// A list of messages.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MessageList {
    /// The messages, the last that was rewritten first. One that was rewritten
    /// again stands there again.
    pub messages: Vec<Message>,
    /// Give it as `after` for what follows; null at the end. A list may end
    /// early, maybe even empty, where much had to be read for it.
    #[schema(required)]
    pub next: Option<String>,
}

/// Which messages. Several filters: those that pass all of them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what the handler takes from the query")]
pub(super) struct MessageParams {
    /// Only those whose id begins so.
    #[param(
        min_length = 1,
        max_length = 128,
        pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$"
    )]
    message_id: Option<String>,
    /// Only those with this tag, as `key=value`. Repeat it for those with
    /// several tags.
    #[param(inline, max_items = 16)]
    tag: Option<Vec<TagParam>>,
    /// Rewritten not before this time, RFC 3339.
    #[param(format = "date-time")]
    since: Option<String>,
    /// Rewritten before this time, RFC 3339.
    #[param(format = "date-time")]
    until: Option<String>,
    /// Only what follows this cursor, the `next` of an earlier list.
    #[param(max_length = 512)]
    after: Option<String>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
}

/// Which messages. Several filters: those that pass all of them. Unknown fields
/// are refused.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(examples::messages_query))]
#[expect(dead_code, reason = "describes what the handler takes from the body")]
pub(super) struct MessagesQuery {
    /// Only those to this reader.
    #[schema(
        min_length = 1,
        max_length = 254,
        pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$"
    )]
    recipient: Option<String>,
    /// Only those whose id begins so.
    #[schema(
        min_length = 1,
        max_length = 128,
        pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$"
    )]
    message_id: Option<String>,
    /// Only those with all of these tags.
    #[schema(schema_with = wanted_tags)]
    tags: Option<BTreeMap<String, String>>,
    /// Rewritten not before this time, RFC 3339.
    #[schema(format = "date-time")]
    since: Option<String>,
    /// Rewritten before this time, RFC 3339.
    #[schema(format = "date-time")]
    until: Option<String>,
    /// Only what follows this cursor, the `next` of an earlier list.
    #[schema(max_length = 512)]
    after: Option<String>,
    /// At most so many.
    #[schema(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
}

/// Of which reader.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(examples::to_recipient))]
#[expect(dead_code, reason = "describes what the handler takes from the body")]
pub(super) struct ToRecipient {
    /// The reader.
    #[schema(
        min_length = 1,
        max_length = 254,
        pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$"
    )]
    recipient: String,
}

/// The message that a path names.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct MessagePath {
    /// Namespace of the tracking domain.
    #[param(example = "shop", max_length = 63)]
    namespace: String,
    /// Name of the tracking domain within it.
    #[param(example = "links", max_length = 253)]
    name: String,
    /// The sender's id of the message, percent-encoded where it has a `/`.
    #[param(
        example = "m-1",
        min_length = 1,
        max_length = 128,
        pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$"
    )]
    message_id: String,
}

fn wanted_tags() -> impl Into<RefOr<Schema>> {
    tags_schema("Only those with all of these tags.")
}

/// Search messages
///
/// Mails that were rewritten for this domain and recorded, the last one first.
/// Test mails are listed and marked.
#[utoipa::path(
    get,
    path = "/v1/domains/{namespace}/{name}/messages",
    operation_id = "listMessages",
    tag = "messages",
    params(DomainPath, MessageParams),
    responses(
        (status = 200, description = "Messages, newest first.", body = MessageList, content_type = "application/json",
            example = json!(examples::messages())),
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
    let wanted = asked::messages(&domain.realm, &mut query);
    query.finish()?;
    answer(&app, &domain, wanted).await
}

/// Query messages
///
/// The same search, asked in a body: a reader is named there and never in a
/// URL, which would be logged on its way.
#[utoipa::path(
    post,
    path = "/v1/domains/{namespace}/{name}/messages/query",
    operation_id = "queryMessages",
    tag = "messages",
    params(DomainPath),
    request_body(content = MessagesQuery, content_type = "application/json", example = json!(examples::messages_query())),
    responses(
        (status = 200, description = "Messages, newest first.", body = MessageList, content_type = "application/json",
            example = json!(examples::messages())),
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
    let mut wanted = asked::messages(&domain.realm, &mut fields);
    wanted.recipient = fields.parsed("recipient", asked::name);
    fields.finish()?;
    answer(&app, &domain, wanted).await
}

/// Sum a message up
///
/// What became of a message: how often it was opened and which link was clicked
/// how often, by people, machines and unknown, and what each reader did. Known
/// as long as its rewrite or an event of it is kept.
#[utoipa::path(
    get,
    path = "/v1/domains/{namespace}/{name}/messages/{message_id}",
    operation_id = "getMessage",
    tag = "messages",
    params(MessagePath),
    responses(
        (status = 200, description = "What became of it.", body = Summary, content_type = "application/json",
            example = json!(examples::summary())),
        Common,
        MessageNotFound
    )
)]
pub(super) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    path: MessagePath,
) -> Result<Response, Problem> {
    let domain = path.domain(&app, &caller).await?;
    summary(&app, &domain, &path, None).await
}

/// Sum a message to one reader up
///
/// The same of one reader, where a message went to several under one id.
#[utoipa::path(
    post,
    path = "/v1/domains/{namespace}/{name}/messages/{message_id}/query",
    operation_id = "queryMessage",
    tag = "messages",
    params(MessagePath),
    request_body(content = ToRecipient, content_type = "application/json", example = json!(examples::to_recipient())),
    responses(
        (status = 200, description = "What became of it.", body = Summary, content_type = "application/json",
            example = json!(examples::summary())),
        Common,
        MessageNotFound,
        Bodies
    )
)]
pub(super) async fn show_to(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    path: MessagePath,
    request: Request,
) -> Result<Response, Problem> {
    let domain = path.domain(&app, &caller).await?;
    let mut fields = body::small_json(&app, request).await?;
    let recipient = fields.parsed("recipient", asked::name);
    let recipient = fields.require("recipient", recipient);
    fields.finish()?;
    summary(&app, &domain, &path, recipient).await
}

async fn answer(app: &App, domain: &Domain, wanted: MessageQuery) -> Result<Response, Problem> {
    let page = app
        .read(domain, move |scope| scope.messages(&wanted))
        .await?;
    Ok(print(&MessageList {
        messages: page.messages.into_iter().map(Message::from).collect(),
        next: page.next.map(|next| next.0),
    }))
}

async fn summary(
    app: &App,
    domain: &Domain,
    path: &MessagePath,
    recipient: Option<Recipient>,
) -> Result<Response, Problem> {
    let unknown = || Problem::new(Code::UnknownMessage);
    // What can be no id is the id of no message.
    let message: MessageId = path.message_id.parse().map_err(|_| unknown())?;
    let wanted = SummaryQuery {
        domain: domain.realm.clone(),
        message: message.clone(),
        recipient,
        since: None,
    };
    let summary = app
        .read(domain, move |scope| scope.summary(&wanted))
        .await?;
    Ok(print(&Summary::new(&message, summary.ok_or_else(unknown)?)))
}

impl MessagePath {
    async fn domain(&self, app: &App, caller: &Caller) -> Result<std::sync::Arc<Domain>, Problem> {
        let domain = DomainPath {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        };
        app.domain_of_path(caller, Verb::Read, &domain).await
    }
}

impl<S: Send + Sync> FromRequestParts<S> for MessagePath {
    type Rejection = Problem;

    async fn from_request_parts(head: &mut Parts, state: &S) -> Result<Self, Problem> {
        // As DomainPath, and `query` where the path of that name was taken.
        #[derive(Deserialize)]
        struct Parameters {
            namespace: String,
            name: String,
            message_id: Option<String>,
        }
        let path = Path::<Parameters>::from_request_parts(head, state).await;
        path.map(|Path(path)| Self {
            namespace: path.namespace,
            name: path.name,
            message_id: path.message_id.unwrap_or_else(|| "query".to_owned()),
        })
        .map_err(|_| Problem::new(Code::UnknownRoute))
    }
}
