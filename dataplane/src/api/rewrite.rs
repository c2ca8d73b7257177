//! `POST /v1/rewrite`: a mail in, the tracked mail out.

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

use super::auth::Caller;
use super::body::{self, Kind, Max, Reader};
use super::examples;
use super::openapi::{Bodies as BodyProblems, Common, NotFound};
use super::plan::{Bodies, Plan};
use super::problem::Problem;
use super::query;
use super::request::from_json;
use super::schema::{Report, tags_schema};
use super::settings::{TAGS_MAX, TAGS_MAX_BYTES, TEXT_MAX_BYTES};
use super::{App, stream};

/// A mail to rewrite. Only `domain`, `message_id` and one of `html` and `text`
/// are needed; unknown fields are refused.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "describes what request::from_json takes; a test compares them"
)]
pub(super) struct RewriteRequest {
    /// The tracking domain: its host or its `<namespace>/<name>`.
    #[schema(example = "shop/links", max_length = 317)]
    domain: String,
    /// Your id of this mail to this reader; events name it. Use a UUID where
    /// you can: it makes the shortest URLs. No control characters.
    #[schema(
        min_length = 1,
        max_length = 128,
        pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$"
    )]
    message_id: String,
    /// The reader, by an id of yours or by address; events name them. Null or
    /// absent when the mail goes to many at once. At most 254 bytes, no control
    /// characters. Nobody can read it from a URL.
    #[schema(
        min_length = 1,
        max_length = 254,
        pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$"
    )]
    recipient: Option<String>,
    /// Names and values that come back with the events: at most 16, with at
    /// most 256 bytes together.
    #[schema(schema_with = tags)]
    tags: Option<std::collections::BTreeMap<String, String>>,
    /// The HTML, at most 5 MiB unless this install is set otherwise. Send what
    /// the mail shows, before it is encoded as quoted-printable.
    html: Option<String>,
    /// The plain text, at most 1 MiB. Its links are tracked only where the
    /// domain says so.
    text: Option<String>,
    /// What to track, where that shall be less than what the domain tracks.
    tracking: Option<RequestedTracking>,
    /// Kept with the message, at most 998 bytes.
    #[schema(max_length = 998, pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$")]
    from: Option<String>,
    /// Kept with the message, at most 998 bytes.
    #[schema(max_length = 998, pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$")]
    to: Option<String>,
    /// Kept with the message, at most 998 bytes.
    #[schema(max_length = 998, pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$")]
    subject: Option<String>,
    /// When the mail is sent, where that is not now: RFC 3339. It helps to tell
    /// machines that look at a mail on its way from people.
    #[schema(format = "date-time")]
    sent_at: Option<String>,
    /// The URLs of the mail's `List-Unsubscribe` header: links to them are left
    /// alone. `http`, `https` or `mailto`, each at most 2048 bytes.
    #[schema(max_items = 8)]
    unsubscribe_urls: Option<Vec<String>>,
    /// Only tell what would become of the mail: nothing is recorded, and the
    /// answer has no bodies.
    #[schema(default = false)]
    dry_run: Option<bool>,
    /// A test mail: its hits are marked and never counted.
    #[schema(default = false)]
    test: Option<bool>,
}

fn tags() -> impl Into<RefOr<Schema>> {
    tags_schema(&format!(
        "Names and values that come back with the events: at most {TAGS_MAX}, with at most {TAGS_MAX_BYTES} bytes together."
    ))
}

/// What to track. A request can only narrow what the domain allows; asking for
/// more is ignored, with the warning `tracking_narrowed`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "describes what request::from_json takes; a test compares them"
)]
pub(super) struct RequestedTracking {
    /// Opens.
    opens: Option<bool>,
    /// Clicks.
    clicks: Option<bool>,
    /// Clicks in the plain text.
    text: Option<bool>,
    /// Where the pixel goes, where that shall not be as the domain says.
    pixel: Option<RequestedPixel>,
}

/// Where the pixel goes: `auto` (at the bottom; at the top when the mail is
/// near the 102 KB where Gmail clips), `top`, `bottom`, or `both` (together
/// they count as one open).
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RequestedPixel {
    /// Bottom, or top near 102 KB.
    Auto,
    /// Top.
    Top,
    /// Bottom.
    Bottom,
    /// Both.
    Both,
}

/// The tracked mail.
#[derive(Serialize, ToSchema)]
#[schema(examples(examples::rewritten))]
pub(super) struct RewriteResponse {
    /// The HTML to send; null where none came or with `dry_run`.
    #[schema(required)]
    pub html: Option<String>,
    /// The plain text to send; null where none came or with `dry_run`.
    #[schema(required)]
    pub text: Option<String>,
    /// What became of links and pixel.
    pub report: Report,
}

/// Rewrite a mail
///
/// Wraps the links of a mail and puts a pixel into it, as far as its tracking
/// domain has clicks and opens turned on. What is not changed for that stays
/// byte for byte as it came. The same request within the same hour gives the
/// same bytes, and rewriting the answer again changes nothing.
///
/// **As JSON** the request has the fields below, and the answer has the full
/// report.
///
/// **As `text/html`** the body is the HTML itself, in any charset in which
/// ASCII is ASCII (so not UTF-16 or ISO-2022-JP), and the fields stand in
/// `Mailtrail-*` header fields, in UTF-8. The answer is the HTML, with counts
/// in `Mailtrail-*` header fields up to 256 KiB; longer ones stream while they
/// come in, and the counts follow as trailers for those who sent
/// `TE: trailers`. A stream that cannot be completed is cut off, never ended as
/// if it were whole. `Mailtrail-Dry-Run: true` gives the report as JSON.
/// `Mailtrail-Recipient`, `-From`, `-To` and `-Subject` are personal: Mailtrail
/// logs no header fields; where a proxy in between does, use JSON.
#[utoipa::path(
    post,
    path = "/v1/rewrite",
    operation_id = "rewrite",
    tag = "mails",
    params(super::stream::RewriteHeaders),
    request_body(
        description = "The mail.",
        content(
            (RewriteRequest = "application/json", examples(
                ("shipped" = (summary = "A mail with HTML and text", value = json!(examples::shipped()))),
                ("narrowed" = (summary = "Without opens, only the report", value = json!(examples::narrowed()))),
                ("small" = (summary = "The least", value = json!(examples::least())))
            )),
            (String = "text/html", examples(
                ("newsletter" = (summary = "The HTML as it is", value = json!(examples::NEWSLETTER_HTML)))
            ))
        )
    ),
    responses(
        (
            status = 200,
            description = "The tracked mail.",
            content(
                (RewriteResponse = "application/json", examples(
                    ("rewritten" = (summary = "Links wrapped, pixel placed", value = json!(examples::rewritten())))
                )),
                (String = "text/html")
            ),
            headers(
                ("mailtrail-links" = u32, description = "`text/html` only: links found."),
                ("mailtrail-links-tracked" = u32, description = "`text/html` only: links tracked now."),
                ("mailtrail-pixel" = String, description = "`text/html` only: `placed`, or why not."),
                ("mailtrail-warnings" = String, description = "`text/html` only: codes of the warnings, with commas between; empty where there are none.")
            )
        ),
        Common,
        NotFound,
        BodyProblems
    )
)]
pub(super) async fn rewrite(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    query::none(request.uri())?;
    match body::kind(request.headers(), &[Kind::Json, Kind::Html])? {
        Kind::Json => json(&app, &caller, request.into_body()).await,
        Kind::Html => stream::html(&app, &caller, request).await,
    }
}

async fn json(app: &App, caller: &Caller, body: Body) -> Result<Response, Problem> {
    let settings = app.context.settings;
    let max = Max {
        name: "json_max_bytes",
        bytes: settings.json_max_bytes(),
    };
    let body = Reader::new(app, body, max)?.all().await?;
    let bytes = body.bytes.len();
    let asked = app
        .compute(bytes, move || {
            from_json(&body.bytes).map(|mail| (mail, body))
        })
        .await?;
    let (mail, body) = asked?;
    bounded(
        mail.html.as_deref(),
        "html_max_bytes",
        settings.html_max_bytes,
    )?;
    bounded(mail.text.as_deref(), "text_max_bytes", TEXT_MAX_BYTES)?;
    let plan = Plan::new(app, caller, mail.asked).await?;
    let bodies = Bodies {
        html: mail.html,
        text: mail.text,
    };
    let (plan, bodies, mut done) = app
        .compute(bytes, move || {
            let (bodies, done) = plan.rewrite(bodies);
            (plan, bodies, done)
        })
        .await?;
    done.report.warnings.extend(plan.narrowed());
    let not_recorded = plan.record(&app.context, done.links, &done.report).await;
    done.report.warnings.extend(not_recorded);
    let told = plan.dry_run().then(Bodies::default).unwrap_or(bodies);
    let answer = RewriteResponse {
        html: told.html,
        text: told.text,
        report: done.report.into(),
    };
    let printed = app.compute(bytes, move || print(&answer)).await?;
    drop(body);
    Ok(printed)
}

/// An answer as JSON.
pub(super) fn print<T: Serialize>(answer: &T) -> Response {
    let body = serde_json::to_vec(answer).unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn bounded(text: Option<&str>, name: &'static str, max_bytes: usize) -> Result<(), Problem> {
    match text {
        Some(text) if text.len() > max_bytes => Err(Problem::too_large(name, max_bytes)),
        _ => Ok(()),
    }
}
