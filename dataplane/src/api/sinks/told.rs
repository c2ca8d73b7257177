//! What is told of event sinks.

use jiff::Timestamp;
use mailtrail_core::sink::Format as CoreFormat;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::examples;
use crate::api::schema::{Event, words};
use crate::deliver::state::{Dead, Failure, Outcome, Suspended as CoreSuspended, Why as CoreWhy};
use crate::deliver::{Tested as CoreTested, View};

/// An event sink, and how its deliveries stand.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(examples::sink))]
pub(in crate::api) struct Sink {
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
pub(in crate::api) struct Suspended {
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
pub(in crate::api) enum SinkFailure {
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
pub(in crate::api) struct DeadLetters {
    /// The deliveries.
    pub dead_letters: Vec<DeadLetter>,
    /// Whether there are more.
    pub more: bool,
}

/// A delivery that was given up.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct DeadLetter {
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

/// What is delivered again: dead letters, or the events of a time.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Replayed {
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
pub(in crate::api) struct ReplayBegun {
    /// Not before.
    #[schema(format = "date-time")]
    pub since: String,
    /// Before.
    #[schema(format = "date-time")]
    pub until: String,
}

/// How a test event fared.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SinkTested)]
pub(in crate::api) struct Tested {
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
pub(in crate::api) enum TestOutcome {
    /// With a status of success.
    Delivered,
    /// Otherwise.
    Failed,
    /// With 410.
    Gone,
    /// Nothing was sent.
    NotSent,
}

/// A time as it is told, in milliseconds since 1970.
pub(super) fn told(ms: u64) -> String {
    let time = i64::try_from(ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    format!("{:.3}", time.unwrap_or(Timestamp::MAX))
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
