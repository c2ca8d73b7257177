//! `POST …/recipients/erase`: all that is held of a recipient goes.

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::{Caller, Verb};
use super::openapi::{Bodies, Common, DomainPath, NotFound};
use super::problem::{Code, Problem};
use super::rewrite::print;
use super::{App, asked, body, examples};
use crate::store::{EraseError, Erased as Removed};

/// Whom to erase.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(examples::to_recipient))]
#[expect(dead_code, reason = "describes what the handler takes from the body")]
pub(super) struct EraseRequest {
    /// The reader, exactly as the rewrites named them.
    #[schema(
        min_length = 1,
        max_length = 254,
        pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$"
    )]
    recipient: String,
}

/// What was erased.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Erased {
    /// Events of theirs.
    pub events: u64,
    /// Message records of mails to them.
    pub messages: u64,
}

/// Erase a recipient
///
/// Takes all that is held of a reader in this domain off the disk: events and
/// message records. From then on nothing more is recorded of them; their links
/// still lead where they lead. Who is allowed to read is not for that allowed
/// to erase. It may take a while: where the answer is 503, ask again, and what
/// is left is done.
#[utoipa::path(
    post,
    path = "/v1/domains/{namespace}/{name}/recipients/erase",
    operation_id = "eraseRecipient",
    tag = "recipients",
    params(DomainPath),
    request_body(content = EraseRequest, content_type = "application/json", example = json!(examples::to_recipient())),
    responses(
        (status = 200, description = "Nothing of theirs is held any more.", body = Erased, content_type = "application/json",
            example = json!(examples::erased())),
        Common,
        NotFound,
        Bodies
    )
)]
pub(super) async fn erase(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    path: DomainPath,
    request: Request,
) -> Result<Response, Problem> {
    let domain = app.domain_of_path(&caller, Verb::Erase, &path).await?;
    let mut fields = body::small_json(&app, request).await?;
    let recipient = fields.parsed("recipient", asked::name);
    let recipient = fields.require("recipient", recipient);
    fields.finish()?;
    let Some(recipient) = recipient else {
        // One that is missing has ended this above.
        return Err(Problem::field("recipient", "is required"));
    };
    let store = app.context.store.clone();
    // A caller who goes away stops nothing: what has begun is done.
    let erasing = tokio::task::spawn_blocking(move || store.erase(&domain.realm, &recipient));
    let Removed { events, messages } =
        erasing.await.map_err(|_| Problem::new(Code::Internal))??;
    Ok(print(&Erased { events, messages }))
}

impl From<EraseError> for Problem {
    fn from(error: EraseError) -> Self {
        // What the disk said is in the log.
        tracing::error!(%error, "A recipient could not be erased");
        Self::new(Code::Unavailable).detail("not all is erased: ask again")
    }
}
