//! `POST /config`: the operator asks what is applied, and may wait for it.
//!
//! A question bears a code under a key of the keyring and names this pod; who
//! cannot make one is told nothing. The answer comes once all that is asked for
//! is what requests are answered from, or the time that the question gives is
//! up, and bears a code under the same key. See `mailtrail_core::ack`.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mailtrail_core::ack::{BODY_MAX_BYTES, CODE_HEADER, Question, Way, code, verify};
use mailtrail_core::keyring::RootKey;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Context;
use crate::config::{self, Live};
use crate::store;

/// Longest wait for a question's body.
const READ_WITHIN: Duration = Duration::from_secs(2);
/// Questions read at once, by whomever they are sent: 8 MiB at the worst.
const READING_MAX: usize = 8;
/// Questions with a good code that wait at once: an operator asks one at a time.
const WAITING_MAX: usize = 32;

/// Who may ask what is applied, and how many at once.
#[derive(Debug)]
pub struct Acks {
    pod_uid: Option<String>,
    reading: Semaphore,
    waiting: Semaphore,
}

/// Why a question is not answered; none says anything of the configuration.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("too many questions at once: ask again")]
    Busy,
    #[error("no keyring has come yet")]
    Starting,
    #[error("the question is larger than {BODY_MAX_BYTES} bytes or did not come in time")]
    Body,
    #[error("the question must bear a code, in {CODE_HEADER}, under a key that is known here")]
    Code,
    #[error("the question is for another pod")]
    Pod,
    #[error("the question {0}")]
    Question(#[from] config::QuestionError),
    #[error("the answer could not be written")]
    Answer,
}

impl Acks {
    /// Answers questions to that pod; without one, none.
    pub fn new(pod_uid: Option<String>) -> Self {
        Self {
            pod_uid,
            reading: Semaphore::new(READING_MAX),
            waiting: Semaphore::new(WAITING_MAX),
        }
    }
}

pub(super) async fn ask(
    State(context): State<Context>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answered = match context.live.get() {
        Some(live) => answered(live, &context, &headers, body).await,
        None => Err(Refusal::Starting),
    };
    answered.unwrap_or_else(IntoResponse::into_response)
}

async fn answered(
    live: &Live,
    context: &Context,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let acks = &*context.acks;
    let (question, key) = read(live, acks, headers, body).await?;
    let _waiting = acks.waiting.try_acquire().map_err(|_| Refusal::Busy)?;
    let mut applied = live.applied();
    let wait = Duration::from_millis(question.wait_ms.into());
    let all = applied.wait_for(|applied| {
        let applied = applied.as_ref();
        applied.is_some_and(|applied| applied.has(&question.shards))
    });
    // Time that is up is no failure: what is applied by then is told.
    let _ = timeout(wait, all).await.map(drop);
    let now = applied.borrow().clone().unwrap_or_default();
    let deliveries = match question.deliveries {
        true => context.sinks.told(store::now_ms()),
        false => Vec::new(),
    };
    let answer = config::answer(&question, &now, live.keys().keyring(), deliveries);
    let body = serde_json::to_vec(&answer).map_err(|_| Refusal::Answer)?;
    let code = code(&key, Way::Answer, &body);
    let headers = [
        (header::CONTENT_TYPE.as_str(), "application/json"),
        (header::CACHE_CONTROL.as_str(), "no-store"),
        (CODE_HEADER, code.as_str()),
    ];
    Ok((headers, body).into_response())
}

/// A question that was made by who has the keyring, for this pod.
async fn read(
    live: &Live,
    acks: &Acks,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Question, RootKey), Refusal> {
    let _reading = acks.reading.try_acquire().map_err(|_| Refusal::Busy)?;
    let code = headers.get(CODE_HEADER).and_then(|code| code.to_str().ok());
    let code = code.ok_or(Refusal::Code)?;
    let body = timeout(READ_WITHIN, to_bytes(body, BODY_MAX_BYTES)).await;
    let body = body.ok().and_then(Result::ok).ok_or(Refusal::Body)?;
    let keys = live.keys();
    let key = verify(keys.keyring(), Way::Question, &body, code).ok_or(Refusal::Code)?;
    let question = config::question(&body)?;
    match &acks.pod_uid {
        Some(pod_uid) if *pod_uid == question.pod_uid => Ok((question, key.clone())),
        _ => Err(Refusal::Pod),
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Busy | Self::Starting => StatusCode::SERVICE_UNAVAILABLE,
            Self::Body => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Code | Self::Pod => StatusCode::FORBIDDEN,
            Self::Question(_) => StatusCode::BAD_REQUEST,
            Self::Answer => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, format!("{self}\n")).into_response()
    }
}
