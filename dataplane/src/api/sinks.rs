//! `/v1/sinks/{namespace}/{name}`: how an event sink stands, what was given up,
//! and having it delivered to once more.

use axum::Extension;
use axum::extract::{RawQuery, Request, State};
use axum::response::Response;
use jiff::Timestamp;
use mailtrail_core::sink::Format as CoreFormat;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::asked;
use super::auth::{Caller, Verb};
use super::openapi::{Bodies, Common, QueryProblems, SinkNotFound, SinkPath};
use super::problem::{Code, Problem};
use super::query::Query;
use super::rewrite::print;
use super::schema::{Event, words};

use super::{body, examples};
use crate::deliver::state::{Dead, Failure, Outcome, Suspended as CoreSuspended, Why as CoreWhy};
use crate::deliver::{AskError, Tested as CoreTested, View};

/// An event sink, and how its deliveries stand.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(examples::sink))]
pub(super) struct Sink {
    /// `namespace/name`.
    pub sink: String,
    /// Scheme, host and port of the receiver; what follows may be as good as a
    /// password.
    pub receiver: String,
    /// What a request looks like.
    pub format: Format,
    /// Whether its owner has suspended it (`spec.suspend`).
    pub suspend: bool,
    /// Why it is suspended beside that; null where it is not.
    #[schema(required)]
    pub suspended: Option<Suspended>,
    /// Since when nothing has succeeded; null where the last attempt has.
    #[schema(required, format = "date-time")]
    pub failing_since: Option<String>,
    /// What is wrong with a secret, so that nothing can be signed, as the replica
    /// that answers finds it; else null.
    #[schema(required)]
    pub secret_missing: Option<String>,
    /// Time of the oldest event that waits, whatever it waits for; of what has
    /// failed and is tried again when that began. Null where nothing waits.
    #[schema(required, format = "date-time")]
    pub oldest_undelivered: Option<String>,
    /// Deliveries that failed and wait for another attempt, 1000 at most: with
    /// more, further events wait where they are.
    pub retries_waiting: usize,
    /// Deliveries that were given up and are kept, 10,000 at most.
    pub dead_letters: usize,
    /// Replays that are under way, 8 at most.
    pub replays: usize,
    /// Generation of the resource that is in force; 0 where there is none.
    pub generation: i64,
}

words! {
    /// What a request to a sink looks like.
    Format of CoreFormat {
        /// Standard Webhooks.
        StandardWebhooks,
        /// CloudEvents 1.0.
        CloudEvents,
        /// As Resend sends them.
        Resend,
    }
}

words! {
    /// `failing`: nothing succeeded for four days; one delivery is tried every
    /// hour, and a success resumes the sink. `gone`: the receiver answered 410.
    Why of CoreWhy {
        /// Nothing succeeded for days.
        Failing,
        /// It answered 410.
        Gone,
    }
}

/// Nothing is tried.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SinkSuspended)]
pub(super) struct Suspended {
    /// Why.
    pub why: Why,
    /// Since when.
    #[schema(format = "date-time")]
    pub since: String,
}

/// How an attempt failed: `refused` (the address is private or reserved),
/// `plain_http` (over the internet it must be https), `unresolved`,
/// `unreachable`, `tls`, `timeout`, `broken` (no HTTP, or cut off), `status`.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SinkFailure {
    /// The address may not be connected to.
    Refused,
    /// Over the internet it must be https.
    PlainHttp,
    /// The host has no address.
    Unresolved,
    /// Nobody is there.
    Unreachable,
    /// The certificate is not valid.
    Tls,
    /// No answer in time.
    Timeout,
    /// No HTTP, or cut off.
    Broken,
    /// Another status than 2xx.
    Status,
}

/// Deliveries that were given up, the oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeadLetters {
    /// The deliveries.
    pub dead_letters: Vec<DeadLetter>,
    /// Whether there are more.
    pub more: bool,
}

/// A delivery that was given up.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeadLetter {
    /// What the receiver would have known it by.
    pub id: String,
    /// How many attempts there were.
    pub attempts: u32,
    /// When the first was.
    #[schema(format = "date-time")]
    pub first_attempt: String,
    /// When the last was.
    #[schema(format = "date-time")]
    pub last_attempt: String,
    /// How the last failed.
    pub reason: SinkFailure,
    /// The status that was answered; null where none was.
    #[schema(required)]
    pub status: Option<u16>,
    /// Its events, those that are still kept.
    pub events: Vec<Event>,
}

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

/// What is delivered again: dead letters, or the events of a time.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Replayed {
    /// The time whose events are delivered again from now on; null where dead
    /// letters are.
    #[schema(required)]
    pub begun: Option<ReplayBegun>,
    /// Dead letters that are delivered again.
    pub dead_letters: usize,
    /// Those that there is no room for yet: ask again later.
    pub dead_letters_left: usize,
}

/// A time whose events are delivered again.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReplayBegun {
    /// Not before.
    #[schema(format = "date-time")]
    pub since: String,
    /// Before.
    #[schema(format = "date-time")]
    pub until: String,
}

/// Nothing need be said, and no body sent.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(examples::nothing))]
pub(super) struct Nothing {}

/// How a test event fared.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SinkTested)]
pub(super) struct Tested {
    /// How its attempt ended.
    pub outcome: TestOutcome,
    /// How it failed; null where it did not.
    #[schema(required)]
    pub reason: Option<SinkFailure>,
    /// The status that was answered, where it was none of success; else null.
    #[schema(required)]
    pub status: Option<u16>,
    /// What is wrong with a secret, so that nothing was sent; else null.
    #[schema(required)]
    pub secret_missing: Option<String>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// `delivered`, `failed`, `gone` (the receiver answered 410), or `not_sent`.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum TestOutcome {
    /// With a status of success.
    Delivered,
    /// Otherwise.
    Failed,
    /// With 410.
    Gone,
    /// Nothing was sent.
    NotSent,
}

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

fn told(ms: u64) -> String {
    let time = i64::try_from(ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    format!("{:.3}", time.unwrap_or(Timestamp::MAX))
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

impl From<View> for Sink {
    fn from(view: View) -> Self {
        let View {
            sink,
            suspended,
            failing_since_ms,
            retries,
            dead,
            replays,
            oldest_ms,
            secret_missing,
        } = view;
        Self {
            sink: sink.realm.to_string(),
            receiver: format!("{}://{}", sink.url.as_url().scheme(), sink.url.authority()),
            format: sink.format.into(),
            suspend: sink.suspend,
            suspended: suspended.map(Suspended::from),
            failing_since: failing_since_ms.map(told),
            secret_missing,
            oldest_undelivered: oldest_ms.map(told),
            retries_waiting: retries,
            dead_letters: dead,
            replays,
            generation: sink.generation,
        }
    }
}

impl From<CoreSuspended> for Suspended {
    fn from(suspended: CoreSuspended) -> Self {
        let CoreSuspended { why, since_ms } = suspended;
        Self {
            why: why.into(),
            since: told(since_ms),
        }
    }
}

impl From<(Dead, Vec<mailtrail_core::event::Event>)> for DeadLetter {
    fn from((dead, events): (Dead, Vec<mailtrail_core::event::Event>)) -> Self {
        let Dead {
            id,
            places: _,
            attempts,
            first_ms,
            last_ms,
            failure,
        } = dead;
        let (reason, status) = reason(failure);
        Self {
            id,
            attempts,
            first_attempt: told(first_ms),
            last_attempt: told(last_ms),
            reason,
            status,
            events: events.into_iter().map(Event::from).collect(),
        }
    }
}

impl From<CoreTested> for Tested {
    fn from(tested: CoreTested) -> Self {
        let CoreTested {
            outcome,
            secret_missing,
            took,
        } = tested;
        let (outcome, failure) = match outcome {
            Some(Outcome::Delivered) => (TestOutcome::Delivered, None),
            Some(Outcome::Failed(failure, _)) => (TestOutcome::Failed, Some(failure)),
            Some(Outcome::Gone) => (TestOutcome::Gone, Some(Failure::Status(410))),
            None => (TestOutcome::NotSent, None),
        };
        let (reason, status) = failure.map(reason).unzip();
        Self {
            outcome,
            reason,
            status: status.flatten(),
            secret_missing,
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

fn reason(failure: Failure) -> (SinkFailure, Option<u16>) {
    let reason = match failure {
        Failure::Refused => SinkFailure::Refused,
        Failure::PlainHttp => SinkFailure::PlainHttp,
        Failure::Unresolved => SinkFailure::Unresolved,
        Failure::Unreachable => SinkFailure::Unreachable,
        Failure::Tls => SinkFailure::Tls,
        Failure::Timeout => SinkFailure::Timeout,
        Failure::Broken => SinkFailure::Broken,
        Failure::Status(status) => return (SinkFailure::Status, Some(status)),
    };
    (reason, None)
}
