//! Who calls, as the cluster knows them, and what its roles allow.
//!
//! # Promises
//!
//! - A caller presents a token whose audience is [`AUDIENCE`]; the API server
//!   says whose it is (TokenReview), and whether they may (SubjectAccessReview,
//!   on subresources that exist for that alone, see [`Access`]). Everything that
//!   it knows of them is passed on, so that whatever it authorizes by counts.
//! - What was granted is believed for [`GRANTED_FOR`], then asked anew: a role
//!   or token that is revoked is refused within that. A token's own end counts
//!   at once. What was denied is asked anew after [`DENIED_FOR`], so that a new
//!   role works soon.
//! - Where the API server does not answer, what was granted within
//!   [`HOLDS_FOR`] still holds; all else is [`Denied::Unavailable`].
//!
//! Of tokens, only hashes are kept. Nothing here logs who called.

mod answers;
mod reviews;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use data_encoding::BASE64URL_NOPAD;
use mailtrail_core::id::Realm;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::api::auth::{Answer, Authorizer, Caller, Denied, Identity, Verb};
use answers::{Answers, Found, Grant};

pub use reviews::ApiServer;

/// The audience that a token must be for.
pub const AUDIENCE: &str = "mailtrail";
/// How long what was granted is believed.
pub(super) const GRANTED_FOR: Duration = Duration::from_secs(60);
/// How long what was denied is believed.
pub(super) const DENIED_FOR: Duration = Duration::from_secs(10);
/// How long what was granted holds while the API server does not answer.
pub(super) const HOLDS_FOR: Duration = Duration::from_secs(600);
/// Longest wait for one review; the client itself has no such bound.
const REVIEW_WITHIN: Duration = Duration::from_secs(3);
/// How long after a failure nobody waits for another.
const AWAY_FOR: Duration = Duration::from_secs(2);
/// Reviews at once; who comes later waits within [`REVIEW_WITHIN`].
const REVIEWS_MAX: usize = 32;
/// Longest token that is asked about, in bytes: a service account's has some 1,200.
const TOKEN_MAX_BYTES: usize = 8 * 1024;
/// Most tokens whose owner is remembered.
const TOKENS_MAX: usize = 1_024;
/// Most grants and denials that are remembered.
const ACCESSES_MAX: usize = 16_384;

/// A SHA-256.
type Hash = [u8; 32];

/// What somebody wants to do, as a role names it: a verb on a subresource of a
/// resource of `mailtrail.dev`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Access {
    /// `get`, `create` or `delete`.
    pub verb: &'static str,
    /// `trackingdomains` or `eventsinks`.
    pub resource: &'static str,
    /// `rewrites`, `events`, `recipients` or `replays`; no object has such, only
    /// roles.
    pub subresource: &'static str,
    /// Absent: in every namespace.
    pub namespace: Option<String>,
    /// Absent: every domain there.
    pub name: Option<String>,
}

/// Why a review gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// The API server does not answer anybody.
    #[error("the API server does not answer: {0}")]
    Away(String),
    /// It does not answer this.
    #[error("the API server does not review: {0}")]
    Failed(String),
}

/// An answer that takes time.
pub type Review<'a, T> = Pin<Box<dyn Future<Output = Result<T, ReviewError>> + Send + 'a>>;

/// Who can be asked: the API server, or a test.
pub trait Reviewer: Send + Sync + 'static {
    /// Whose token it is; `None` where it is nobody's, or not for us.
    fn token<'a>(&'a self, token: &'a str) -> Review<'a, Option<Identity>>;

    /// Whether they may do that.
    fn access<'a>(&'a self, who: &'a Identity, what: &'a Access) -> Review<'a, bool>;
}

/// The time.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Since some moment; never set back.
    pub elapsed: Duration,
    /// Since 1970, in seconds; tokens end by it.
    pub unix_seconds: i64,
}

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Now + Send + Sync>;

/// What is counted of reviews.
#[derive(Debug, Clone, Default)]
pub struct ReviewMetrics {
    /// Reviews that were asked for.
    pub asked: Counter,
    /// Those that gave no answer.
    pub failed: Counter,
}

/// Callers as the cluster knows them.
pub struct Callers<R> {
    reviewer: R,
    clock: Clock,
    metrics: ReviewMetrics,
    tokens: Answers<Hash, Option<Known>>,
    accesses: Answers<(Hash, Access), bool>,
    at_once: Semaphore,
    /// Until when nobody waits for an answer, in milliseconds of the clock.
    away_until_ms: AtomicU64,
    /// Whether the log was told that reviews fail.
    told: AtomicBool,
}

/// Whose token it is, and until when.
#[derive(Debug, Clone)]
struct Known {
    caller: Caller,
    /// Seconds since 1970; absent where the token does not say.
    ends: Option<i64>,
}

// === Callers ===

impl<R: Reviewer> Callers<R> {
    /// Asks that reviewer.
    pub fn new(reviewer: R, clock: Clock, metrics: ReviewMetrics) -> Self {
        Self {
            reviewer,
            clock,
            metrics,
            tokens: Answers::new(TOKENS_MAX),
            accesses: Answers::new(ACCESSES_MAX),
            at_once: Semaphore::new(REVIEWS_MAX),
            away_until_ms: AtomicU64::new(0),
            told: AtomicBool::new(false),
        }
    }

    async fn caller(&self, bearer: Option<&str>) -> Result<Caller, Denied> {
        let token = bearer.filter(|token| (1..=TOKEN_MAX_BYTES).contains(&token.len()));
        let token = token.ok_or(Denied::Unauthenticated)?;
        let key = hash(token.as_bytes());
        let now = (self.clock)();
        let found = self.tokens.find(&key, now.elapsed);
        let found = found.filter(|known| !has_ended(known.as_ref(), now));
        let ask = async {
            let identity = self.reviewer.token(token).await?;
            Ok(identity.map(|identity| Known {
                caller: Caller::known(identity),
                ends: end_of(token),
            }))
        };
        let known = self.answer(&self.tokens, key, found, ask).await?;
        known
            .map(|known| known.caller)
            .ok_or(Denied::Unauthenticated)
    }

    async fn may(&self, caller: &Caller, what: Access) -> Result<bool, Denied> {
        let Some(identity) = &caller.identity else {
            return Ok(false);
        };
        let key = (hash_of(identity), what.clone());
        let found = self.accesses.find(&key, (self.clock)().elapsed);
        let ask = self.reviewer.access(identity, &what);
        self.answer(&self.accesses, key, found, ask).await
    }

    /// What was found, where that is believed; else what is asked, where that
    /// is answered; else what was found, where that holds.
    async fn answer<K: Eq + std::hash::Hash + Clone, V: Clone + Grant>(
        &self,
        answers: &Answers<K, V>,
        key: K,
        found: Found<V>,
        ask: impl Future<Output = Result<V, ReviewError>>,
    ) -> Result<V, Denied> {
        let holds = match found {
            Found::Believed(answer) => return Ok(answer),
            Found::Holds(answer) => Some(answer),
            Found::Nothing => None,
        };
        match self.review(ask).await {
            Some(answer) => {
                answers.keep(key, answer.clone(), (self.clock)().elapsed);
                Ok(answer)
            }
            None => holds.ok_or(Denied::Unavailable),
        }
    }

    /// Asks in bounded time; `None` says that there was no answer.
    async fn review<V>(&self, ask: impl Future<Output = Result<V, ReviewError>>) -> Option<V> {
        let now_ms = millis((self.clock)().elapsed);
        if now_ms < self.away_until_ms.load(Ordering::Relaxed) {
            return None;
        }
        self.metrics.asked.inc();
        let bounded = timeout(REVIEW_WITHIN, async {
            // Never closed, so it is given.
            let _place = self.at_once.acquire().await;
            ask.await
        });
        let error = match bounded.await {
            Ok(Ok(answer)) => {
                if self.told.swap(false, Ordering::Relaxed) {
                    tracing::info!("callers are reviewed again");
                }
                return Some(answer);
            }
            Ok(Err(error)) => error,
            Err(_) => ReviewError::Away("no answer in time".to_owned()),
        };
        self.metrics.failed.inc();
        if matches!(error, ReviewError::Away(_)) {
            let until = (self.clock)().elapsed + AWAY_FOR;
            self.away_until_ms.store(millis(until), Ordering::Relaxed);
        }
        // Told once, not at each request.
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "callers cannot be reviewed: what was granted holds for a while, all else is refused");
        }
        None
    }
}

impl<R: Reviewer> Authorizer for Callers<R> {
    fn authenticate<'a>(&'a self, bearer: Option<&'a str>) -> Answer<'a, Caller> {
        Box::pin(self.caller(bearer))
    }

    fn allows<'a>(&'a self, caller: &'a Caller, verb: Verb, domain: &'a Realm) -> Answer<'a, bool> {
        let (namespace, name) = (domain.namespace(), domain.name());
        Box::pin(self.may(caller, Access::new(verb, Some(namespace), Some(name))))
    }

    fn allows_namespace<'a>(
        &'a self,
        caller: &'a Caller,
        verb: Verb,
        namespace: &'a str,
    ) -> Answer<'a, Option<bool>> {
        Box::pin(async move {
            let everywhere = self.may(caller, Access::new(verb, None, None)).await?;
            let allowed = match everywhere {
                true => true,
                false => {
                    self.may(caller, Access::new(verb, Some(namespace), None))
                        .await?
                }
            };
            Ok(Some(allowed))
        })
    }
}

impl Access {
    fn new(verb: Verb, namespace: Option<&str>, name: Option<&str>) -> Self {
        const DOMAINS: &str = "trackingdomains";
        const SINKS: &str = "eventsinks";
        let (of, resource, subresource) = match verb {
            Verb::Rewrite => ("create", DOMAINS, "rewrites"),
            Verb::Read | Verb::ReadSink => ("get", DOMAINS, "events"),
            Verb::Export => ("get", DOMAINS, "recipients"),
            Verb::Withdraw => ("create", DOMAINS, "recipients"),
            Verb::Erase => ("delete", DOMAINS, "recipients"),
            Verb::Push => ("create", SINKS, "replays"),
        };
        // A sink has events of all domains of its namespace, and its name is no
        // domain's.
        let name = name.filter(|_| verb != Verb::ReadSink);
        Self {
            verb: of,
            resource,
            subresource,
            namespace: namespace.map(str::to_owned),
            name: name.map(str::to_owned),
        }
    }
}

impl ReviewMetrics {
    /// Has them known under `callers_…`.
    pub fn new(registry: &mut Registry) -> Self {
        let Self { asked, failed } = Self::default();
        registry.register(
            "callers_reviews",
            "Reviews of callers that the API server was asked for",
            asked.clone(),
        );
        registry.register(
            "callers_review_failures",
            "Reviews of callers that gave no answer",
            failed.clone(),
        );
        Self { asked, failed }
    }
}

/// The time of this process and of the system.
pub fn clock() -> Clock {
    let begun = Instant::now();
    Arc::new(move || Now {
        elapsed: begun.elapsed(),
        unix_seconds: jiff::Timestamp::now().as_second(),
    })
}

fn hash(bytes: &[u8]) -> Hash {
    let mut hash = Hash::default();
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

fn hash_of(identity: &Identity) -> Hash {
    let text = serde_json::to_vec(identity).expect("text keys and values always serialize");
    hash(&text)
}

fn has_ended(known: Option<&Known>, now: Now) -> bool {
    let ends = known.and_then(|known| known.ends);
    ends.is_some_and(|ends| now.unix_seconds >= ends)
}

/// When a token ends, as it says itself (RFC 7519, 4.1.4): believed only where
/// the API server has taken it, and only to believe that for less long.
fn end_of(token: &str) -> Option<i64> {
    let claims = token.split('.').nth(1)?;
    let claims = BASE64URL_NOPAD.decode(claims.as_bytes()).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    claims.get("exp")?.as_i64()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
