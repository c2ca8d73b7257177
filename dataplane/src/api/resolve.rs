//! `POST …/resolve`: what a tracking URL says.

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use jiff::Timestamp;
use mailtrail_core::config::Domain;
use mailtrail_core::id::Host;
use mailtrail_core::link::own_path;
use mailtrail_core::token::{Claim, Keys, Kind};
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use super::App;
use super::auth::{Caller, Verb};
use super::body;
use super::examples;
use super::openapi::{Bodies, Common, DomainPath, ResolveNotFound};
use super::problem::{Code, Problem};
use super::rewrite::print;
use super::scope;
use super::settings::RESOLVE_URL_MAX_BYTES;

/// A tracking URL.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what the handler takes from the body")]
pub(super) struct ResolveRequest {
    /// The URL, as it stands in a mail; what mail clients glue to it is undone.
    #[schema(max_length = 4096, format = "uri")]
    url: String,
}

/// What a tracking URL says.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(examples(examples::resolved))]
pub(super) struct Resolved {
    /// What the URL is for.
    pub kind: ResolvedKind,
    /// The sender's id of the message.
    pub message_id: String,
    /// The reader; null when the rewrite named none.
    #[schema(required)]
    pub recipient: Option<String>,
    /// The link's place in the mail; null for what is no link.
    #[schema(required)]
    pub position: Option<u32>,
    /// Where the link leads; null for what is no link.
    #[schema(required)]
    pub target: Option<String>,
    /// The hour of the rewrite, RFC 3339: minutes and seconds are not in it.
    #[schema(format = "date-time")]
    pub sent_hour: String,
    /// Whether it was a test mail.
    pub test: bool,
}

/// What a tracking URL is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ResolvedKind {
    /// The pixel.
    Open,
    /// A link.
    Click,
    /// A link that an app may take over.
    App,
    /// The reader's withdrawal.
    Withdraw,
}

/// Resolve a tracking URL
///
/// Says what is sealed in a URL of this domain: which message and reader it was
/// made for and where it leads. Nothing is recorded.
#[utoipa::path(
    post,
    path = "/v1/domains/{namespace}/{name}/resolve",
    operation_id = "resolve",
    tag = "events",
    params(DomainPath),
    request_body(content = ResolveRequest, content_type = "application/json", example = json!(examples::resolve())),
    responses(
        (status = 200, description = "What it says.", body = Resolved, content_type = "application/json",
            example = json!(examples::resolved())),
        Common,
        ResolveNotFound,
        Bodies
    )
)]
pub(super) async fn resolve(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    path: DomainPath,
    request: Request,
) -> Result<Response, Problem> {
    let domain = app.domain_of_path(&caller, Verb::Read, &path).await?;
    let mut fields = body::small_json(&app, request).await?;
    let url = fields.parsed("url", parse);
    let url = fields.require("url", url);
    fields.finish()?;
    let Some(url) = url else {
        // A URL that is missing has ended this above.
        return Err(Problem::field("url", "is required"));
    };
    Ok(print(&open(&domain, &app.context.live.keys(), &url)?))
}

fn parse(text: &str) -> Result<Url, String> {
    if text.len() > RESOLVE_URL_MAX_BYTES {
        return Err(format!(
            "must be at most {RESOLVE_URL_MAX_BYTES} bytes long"
        ));
    }
    Url::parse(text.trim())
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or_else(|| "must be an absolute http or https URL".to_owned())
}

fn open(domain: &Domain, keys: &Keys, url: &Url) -> Result<Resolved, Problem> {
    let host = url.host_str().and_then(|host| host.parse::<Host>().ok());
    if !host.is_some_and(|host| domain.hosts().any(|own| *own == host)) {
        return Err(Problem::new(Code::OtherDomain));
    }
    let Some(own) = own_path(url.path()) else {
        return Err(Problem::field(
            "url",
            "must have a path that begins with /o/, /c/, /a/ or /w/",
        ));
    };
    let claim = keys
        .open(&domain.realm, own.kind, own.token)
        .map_err(|error| Problem::field("url", format!("has a token that {error}")))?;
    if !scope::may_know(domain, &claim.mail) {
        return Err(Problem::new(Code::OtherDomain));
    }
    Ok(Resolved::new(own.kind, &claim))
}

impl Resolved {
    fn new(kind: Kind, claim: &Claim) -> Self {
        let link = claim.link();
        let sent = Timestamp::from_second(claim.mail.sent.unix_seconds()).unwrap_or_default();
        Self {
            kind: match kind {
                Kind::Open => ResolvedKind::Open,
                Kind::Click => ResolvedKind::Click,
                Kind::App => ResolvedKind::App,
                Kind::Withdraw => ResolvedKind::Withdraw,
            },
            message_id: claim.mail.message.to_string(),
            recipient: claim.mail.recipient.as_ref().map(|r| r.as_str().to_owned()),
            position: link.map(|link| link.position.0),
            target: link.map(|link| link.target.to_string()),
            sent_hour: sent.to_string(),
            test: claim.mail.test,
        }
    }
}
