//! `/v1/sinks/{namespace}/{name}`: how an event sink stands, what was given up,
//! and having it delivered to once more.

mod told;

use axum::Extension;
use axum::extract::{RawQuery, Request, State};
use axum::response::Response;
use jiff::Timestamp;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::auth::{Caller, Verb};
use super::openapi::{Bodies, Common, QueryProblems, SinkNotFound, SinkPath};
use super::problem::{Code, Problem};
use super::query::Query;
use super::rewrite::print;
use super::{App, asked, body, examples};
use crate::deliver::AskError;
use told::{DeadLetter, DeadLetters, ReplayBegun, Replayed, Sink, Tested, told};

/// Which deliveries.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what the handler takes from the query")]
pub(super) struct DeadLetterParams {
    /// At most so many.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
}

/// What to deliver again: the dead letters, or the events of a time.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes what the handler takes from the body")]
pub(super) enum ReplayRequest {
    /// The dead letters.
    DeadLetters(ReplayDead),
    /// The events of a time.
    Range(ReplayRange),
}

/// All dead letters are delivered again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(examples::replay_dead))]
#[expect(dead_code, reason = "describes what the handler takes from the body")]
pub(super) struct ReplayDead {
    /// True.
    dead_letters: bool,
}

/// The events of a time are delivered again, those that the sink takes now.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(examples::replay_range))]
#[expect(dead_code, reason = "describes what the handler takes from the body")]
pub(super) struct ReplayRange {
    /// Not before.
    #[schema(format = "date-time")]
    since: String,
    /// Before.
    #[schema(format = "date-time")]
    until: String,
}

/// Nothing need be said, and no body sent.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(examples::nothing))]
pub(super) struct Nothing {}

/// Show an event sink
///
/// How its deliveries stand at this moment. Allowed to who may read the events
/// of all tracking domains of its namespace.
#[utoipa::path(
    get,
    path = "/v1/sinks/{namespace}/{name}",
    operation_id = "getSink",
    tag = "sinks",
    params(SinkPath),
    responses(
        (status = 200, description = "The event sink.", body = Sink, content_type = "application/json",
            example = json!(examples::sink())),
        Common,
        SinkNotFound
    )
)]
pub(super) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    path: SinkPath,
) -> Result<Response, Problem> {
    let sink = app.sink_of_path(&caller, Verb::ReadSink, &path).await?;
    Ok(print(&Sink::from(app.context.sinks.view(&sink).await?)))
}

/// List dead letters
///
/// Deliveries that were given up after ten attempts over three days. They are
/// kept until they are replayed, as long as their domain's retention keeps the
/// events. Allowed to who may read the events of all tracking domains of the
/// namespace.
#[utoipa::path(
    get,
    path = "/v1/sinks/{namespace}/{name}/dead-letters",
    operation_id = "listDeadLetters",
    tag = "sinks",
    params(SinkPath, DeadLetterParams),
    responses(
        (status = 200, description = "Dead letters, oldest first.", body = DeadLetters, content_type = "application/json",
            example = json!(examples::dead_letters())),
        Common,
        SinkNotFound,
        QueryProblems
    )
)]
pub(super) async fn dead_letters(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    path: SinkPath,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let sink = app.sink_of_path(&caller, Verb::ReadSink, &path).await?;
    let mut query = Query::parse(query.as_deref());
    let limit = asked::limit(&mut query);
    query.finish()?;
    let mut letters = app.context.sinks.dead_letters(&sink, limit + 1).await?;
    let more = letters.len() > limit;
    letters.truncate(limit);
    Ok(print(&DeadLetters {
        dead_letters: letters.into_iter().map(DeadLetter::from).collect(),
        more,
    }))
}

/// Deliver again
///
/// Dead letters, with attempts as if they were new; or all events of a time
/// that the sink takes, whether they were delivered or not. Receivers know what
/// they have seen by its id. What was asked for is on the disk when this
/// answers, and goes on over restarts. Allowed to who may create
/// `eventsinks/replays`; reading events is not enough.
#[utoipa::path(
    post,
    path = "/v1/sinks/{namespace}/{name}/replays",
    operation_id = "replay",
    tag = "sinks",
    params(SinkPath),
    request_body(content = ReplayRequest, content_type = "application/json", examples(
        ("dead letters" = (value = json!(examples::replay_dead()))),
        ("a time" = (value = json!(examples::replay_range())))
    )),
    responses(
        (status = 200, description = "It is delivered from now on.", body = Replayed, content_type = "application/json",
            examples(
                ("dead letters" = (value = json!(examples::replayed()))),
                ("a time" = (value = json!(examples::replay_begun())))
            )),
        Common,
        SinkNotFound,
        Bodies
    )
)]
pub(super) async fn replay(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    path: SinkPath,
    request: Request,
) -> Result<Response, Problem> {
    let sink = app.sink_of_path(&caller, Verb::Push, &path).await?;
    let mut fields = body::small_json(&app, request).await?;
    let dead = fields.flag("dead_letters");
    let (since, until) = asked::times(&mut fields);
    let range = match dead {
        Some(true) if since.is_none() && until.is_none() => None,
        None => {
            let since = fields.require("since", since);
            since.zip(fields.require("until", until))
        }
        Some(_) => {
            fields.error("dead_letters", "must be true, and alone");
            None
        }
    };
    fields.finish()?;
    let handle = &app.context.sinks;
    let (begun, (moved, left)) = match range {
        None => (None, handle.replay_dead(&sink).await?),
        Some((since, until)) => {
            let (since, until) = (ms(since), ms(until));
            handle.replay(&sink, since, until).await?;
            let begun = ReplayBegun {
                since: told(since),
                until: told(until),
            };
            (Some(begun), (0, handle.view(&sink).await?.dead))
        }
    };
    Ok(print(&Replayed {
        begun,
        dead_letters: moved,
        dead_letters_left: left,
    }))
}

/// Send a test event
///
/// Posts a made-up event (an open of the message `mailtrail-test`, `test: true`)
/// to the receiver now, once, and says how that went. It is sent whether the
/// sink is suspended or not; a success resumes one that is suspended for its
/// failures or a 410. Allowed to who may create `eventsinks/replays`.
#[utoipa::path(
    post,
    path = "/v1/sinks/{namespace}/{name}/test",
    operation_id = "testSink",
    tag = "sinks",
    params(SinkPath),
    request_body(content = Option<Nothing>, content_type = "application/json", example = json!(examples::nothing())),
    responses(
        (status = 200, description = "How it went.", body = Tested, content_type = "application/json",
            example = json!(examples::tested())),
        Common,
        SinkNotFound,
        Bodies
    )
)]
pub(super) async fn test(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    path: SinkPath,
    request: Request,
) -> Result<Response, Problem> {
    let sink = app.sink_of_path(&caller, Verb::Push, &path).await?;
    body::small_json_or_none(&app, request).await?.finish()?;
    Ok(print(&Tested::from(app.context.sinks.test(&sink).await?)))
}

/// Resume an event sink
///
/// Goes on at once with a sink that was suspended for its failures or a 410:
/// what waits is due now. One that its owner has suspended (`spec.suspend`)
/// stays so. Allowed to who may create `eventsinks/replays`.
#[utoipa::path(
    post,
    path = "/v1/sinks/{namespace}/{name}/resume",
    operation_id = "resumeSink",
    tag = "sinks",
    params(SinkPath),
    request_body(content = Option<Nothing>, content_type = "application/json", example = json!(examples::nothing())),
    responses(
        (status = 200, description = "The event sink as it stands now.", body = Sink, content_type = "application/json",
            example = json!(examples::sink())),
        Common,
        SinkNotFound,
        Bodies
    )
)]
pub(super) async fn resume(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    path: SinkPath,
    request: Request,
) -> Result<Response, Problem> {
    let sink = app.sink_of_path(&caller, Verb::Push, &path).await?;
    body::small_json_or_none(&app, request).await?.finish()?;
    let handle = &app.context.sinks;
    handle.resume(&sink).await?;
    Ok(print(&Sink::from(handle.view(&sink).await?)))
}

fn ms(time: Timestamp) -> u64 {
    u64::try_from(time.as_millisecond()).unwrap_or(0)
}

impl From<AskError> for Problem {
    fn from(error: AskError) -> Self {
        let code = match error {
            AskError::Unknown => Code::UnknownSink,
            AskError::TooManyReplays => Code::Overloaded,
            AskError::Busy | AskError::Overtaken | AskError::NotKept => Code::Unavailable,
        };
        Self::new(code).detail(error.to_string())
    }
}
