//! Asks one pod what it has applied, for as long as there is something to ask.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use mailtrail_core::ack::{
    self, Answer, BODY_MAX_BYTES, CODE_HEADER, NONCE_BYTES, PATH, Question, Way,
};
use mailtrail_core::keyring::Keyring;
use tokio::time::{Instant, timeout};

use super::{Replicas, ToAsk};
use crate::keyring::Keys;
use crate::metrics::Metrics;
use crate::wait::{doubled, spread};

/// How long a pod may take to apply what it is asked about before it answers.
const WAIT_MS: u32 = 1_000;
/// How long it may take for the answer itself.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// Shortest time between two questions to a pod that is behind.
const ASK_AGAIN: Duration = Duration::from_millis(20);
/// Longest time between two questions to a pod that does not answer.
const ASK_AGAIN_LONGEST: Duration = Duration::from_secs(5);
/// Time between two questions to a pod that refuses an entry.
const REFUSED_AGAIN: Duration = Duration::from_secs(3);
/// Time between two questions how deliveries to sinks stand, while there are
/// sinks: how late people read that a receiver fails.
const DELIVERIES_EVERY: Duration = Duration::from_secs(10);
/// A pod that is behind for longer than this is counted upon no more.
const LAGS_AFTER: Duration = Duration::from_secs(5);
/// Idle connections are closed after this: pods come and go.
const IDLE: Duration = Duration::from_secs(30);

/// Asks pods.
#[derive(Clone)]
pub struct Asker {
    client: Client<HttpConnector, Full<Bytes>>,
    keys: Arc<Keys>,
    replicas: Arc<Replicas>,
    metrics: Arc<Metrics>,
}

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("there is no keyring to ask with")]
    NoKeys,
    #[error("the pod does not answer: {0}")]
    Unreachable(String),
    #[error("the pod answers with status {0}")]
    Status(StatusCode),
    #[error("the answer cannot be read")]
    Unreadable,
    #[error("the answer is not this pod's: its code, nonce or UID is wrong")]
    Forged,
}

impl Asker {
    /// With connections of its own.
    pub fn new(keys: Arc<Keys>, replicas: Arc<Replicas>, metrics: Arc<Metrics>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(ANSWER_WITHIN));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        Self {
            client,
            keys,
            replicas,
            metrics,
        }
    }

    /// Asks this pod whenever there is reason to; never returns.
    pub async fn run(self, uid: String) {
        let mut reasons = self.replicas.reasons();
        let mut behind_since: Option<Instant> = None;
        let mut failures = 0_u32;
        loop {
            reasons.mark_unchanged();
            let to_ask = match self.replicas.to_ask(&uid) {
                Some(to_ask) => to_ask,
                None => {
                    behind_since = None;
                    // An error says that the sender is gone, and with it the term.
                    let (wait, rather) = match self.replicas.refusing(&uid) {
                        Some(refusing) => (REFUSED_AGAIN, refusing),
                        None => match self.replicas.delivering(&uid) {
                            Some(delivering) => (DELIVERIES_EVERY, delivering),
                            None => {
                                let _ = reasons.changed().await;
                                continue;
                            }
                        },
                    };
                    if timeout(wait, reasons.changed()).await.is_ok() {
                        continue;
                    }
                    rather
                }
            };
            let since = *behind_since.get_or_insert_with(Instant::now);
            match self.ask(&uid, &to_ask).await {
                Ok(answer) => {
                    failures = 0;
                    self.replicas.answered(&uid, &to_ask, answer);
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                Err(error) => {
                    failures += 1;
                    self.metrics.ack_failures.inc();
                    if failures.is_power_of_two() {
                        tracing::warn!(pod.uid = uid, failures, %error, "a replica does not say what it has applied");
                    }
                    tokio::time::sleep(wait_after(failures)).await;
                }
            }
            if since.elapsed() > LAGS_AFTER {
                behind_since = None;
                self.replicas.lags(&to_ask.shards);
            }
        }
    }

    async fn ask(&self, uid: &str, to_ask: &ToAsk) -> Result<Answer, AskError> {
        let keyring = self.keys.get().ok_or(AskError::NoKeys)?;
        let question = question(uid, to_ask);
        let body = serde_json::to_vec(&question).expect("a question is plain data");
        let code = ack::code(keyring.active(), Way::Question, &body);
        let asked = self.post(to_ask.admin, body, &code);
        let limit = ANSWER_WITHIN + Duration::from_millis(WAIT_MS.into());
        let (code, body) = timeout(limit, asked)
            .await
            .map_err(|_| AskError::Unreachable("in time".to_owned()))??;
        read(&keyring, &question, &code, &body)
    }

    async fn post(
        &self,
        admin: SocketAddr,
        body: Vec<u8>,
        code: &str,
    ) -> Result<(String, Bytes), AskError> {
        let request = Request::post(format!("http://{admin}{PATH}"))
            .header(CODE_HEADER, code)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| AskError::Unreadable)?;
        let answer = self.client.request(request).await;
        let answer = answer.map_err(|error| AskError::Unreachable(crate::watch::chain(&error)))?;
        if answer.status() != StatusCode::OK {
            return Err(AskError::Status(answer.status()));
        }
        let code = answer.headers().get(CODE_HEADER);
        let code = code.and_then(|code| code.to_str().ok()).unwrap_or_default();
        let code = code.to_owned();
        let body = Limited::new(answer.into_body(), BODY_MAX_BYTES);
        let body = body.collect().await.map_err(|_| AskError::Unreadable)?;
        Ok((code, body.to_bytes()))
    }
}

fn question(uid: &str, to_ask: &ToAsk) -> Question {
    let shards = &to_ask.shards;
    let mut nonce = [0; NONCE_BYTES];
    // A nonce that is not random is still compared; it only could be foreseen.
    if aws_lc_rs::rand::fill(&mut nonce).is_err() {
        tracing::error!("the system's random source failed");
    }
    Question {
        version: ack::VERSION,
        nonce: HEXLOWER.encode(&nonce),
        pod_uid: uid.to_owned(),
        shards: shards.clone(),
        wait_ms: if shards.is_empty() { 0 } else { WAIT_MS },
        deliveries: to_ask.deliveries,
    }
}

/// Reads an answer, if it is one to this question.
fn read(
    keyring: &Keyring,
    question: &Question,
    code: &str,
    body: &[u8],
) -> Result<Answer, AskError> {
    ack::verify(keyring, Way::Answer, body, code).ok_or(AskError::Forged)?;
    let answer: Answer = serde_json::from_slice(body).map_err(|_| AskError::Unreadable)?;
    if answer.version != ack::VERSION {
        return Err(AskError::Unreadable);
    }
    if answer.nonce != question.nonce || answer.pod_uid != question.pod_uid {
        return Err(AskError::Forged);
    }
    Ok(answer)
}

fn wait_after(failures: u32) -> Duration {
    spread(doubled(ASK_AGAIN, ASK_AGAIN_LONGEST, failures))
}

#[cfg(test)]
mod tests {
    use mailtrail_core::keyring::KEY_BYTES;

    use super::*;

    #[test]
    fn an_answer_of_another_pod_or_to_another_question_is_none() {
        let mut random = [5; 3 + KEY_BYTES];
        random[3] = 6;
        let keyring = Keyring::generate(random).expect("a keyring");
        let to_ask = ToAsk {
            admin: ([127, 0, 0, 1], 1).into(),
            shards: Vec::new(),
            deliveries: true,
        };
        let question = question("pod-1", &to_ask);
        let answer = |nonce: &str, pod: &str| Answer {
            version: ack::VERSION,
            nonce: nonce.to_owned(),
            pod_uid: pod.to_owned(),
            shards: Vec::new(),
            refused: Vec::new(),
            more_refused: 0,
            keys: Vec::new(),
            sinks: None,
        };
        let check = |answer: &Answer, way| {
            let body = serde_json::to_vec(answer).expect("plain data");
            let code = ack::code(keyring.active(), way, &body);
            read(&keyring, &question, &code, &body).is_ok()
        };
        let right = answer(&question.nonce, "pod-1");
        assert!(check(&right, Way::Answer));
        assert!(!check(&right, Way::Question));
        assert!(!check(&answer(&question.nonce, "pod-2"), Way::Answer));
        assert!(!check(&answer("00", "pod-1"), Way::Answer));
    }

    #[test]
    fn a_silent_pod_is_asked_less_and_less() {
        assert!(wait_after(1) <= ASK_AGAIN * 2);
        assert!(wait_after(u32::MAX) <= ASK_AGAIN_LONGEST);
    }
}
