//! What others ask of the deliveries that are under way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mailtrail_core::ack::{Delivery, WHY_MAX_CHARS};
use mailtrail_core::event::Event;
use mailtrail_core::id::Realm;
use mailtrail_core::sink::{Sink, Sinks};
use tokio::sync::{mpsc, oneshot};

use super::state::{Dead, Outcome, Suspended};
use super::told::Report;

/// Most questions that wait for one sink.
pub(super) const COMMANDS_MAX: usize = 8;
/// So often a change is tried where another replica changes the same state.
const TRIES: usize = 4;

/// Asks the deliveries; cheap to clone. The default has none to ask.
#[derive(Clone, Default)]
pub struct Handle {
    sinks: Arc<Mutex<HashMap<Realm, Known>>>,
}

/// A sink, where its worker is asked, and what that told last.
type Known = (Arc<Sink>, mpsc::Sender<Command>, Told);

/// What a worker tells without being asked; nothing while its sink is another
/// replica's.
pub(super) type Told = Arc<Mutex<Option<Report>>>;

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// No such sink is declared.
    #[error("there is no such sink")]
    Unknown,
    /// It has too much to do.
    #[error("the sink's deliveries do not answer now")]
    Busy,
    /// Another replica has changed the state meanwhile.
    #[error("another replica changes the sink's deliveries at this moment")]
    Overtaken,
    /// As many replays are under way as may be.
    #[error("as many replays are under way as may be: wait for one to end")]
    TooManyReplays,
    /// What was asked could not be kept.
    #[error("it could not be kept on the disk")]
    NotKept,
}

/// How a sink stands.
#[derive(Debug, Clone)]
pub struct View {
    /// The sink.
    pub sink: Arc<Sink>,
    /// Why nothing is tried.
    pub suspended: Option<Suspended>,
    /// Since when nothing has succeeded.
    pub failing_since_ms: Option<u64>,
    /// Deliveries that wait for another attempt.
    pub retries: usize,
    /// Dead letters.
    pub dead: usize,
    /// Replays that are under way.
    pub replays: usize,
    /// Time of the oldest event that is not delivered.
    pub oldest_ms: Option<u64>,
    /// Why nothing can be signed.
    pub secret_missing: Option<String>,
}

/// How a test event fared.
#[derive(Debug, Clone)]
pub struct Tested {
    /// How its attempt ended; none where a secret is missing.
    pub outcome: Option<Outcome>,
    /// Why nothing could be signed.
    pub secret_missing: Option<String>,
    /// How long it took.
    pub took: Duration,
}

/// What is asked of a worker, each with where the answer goes.
pub(super) enum Command {
    View(oneshot::Sender<View>),
    DeadLetters(usize, oneshot::Sender<Vec<(Dead, Vec<Event>)>>),
    ReplayDead(oneshot::Sender<Result<(usize, usize), AskError>>),
    Replay(u64, u64, oneshot::Sender<Result<(), AskError>>),
    Resume(oneshot::Sender<Result<(), AskError>>),
    Test(oneshot::Sender<Tested>),
}

impl Handle {
    /// All sinks, by name.
    pub fn sinks(&self) -> Sinks {
        let sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        let each = sinks
            .iter()
            .map(|(realm, (sink, ..))| (realm.clone(), Arc::clone(sink)));
        each.collect()
    }

    /// How the deliveries of all sinks stand that are this replica's.
    pub fn told(&self, now_ms: u64) -> Vec<Delivery> {
        let sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        let each = sinks.iter().filter_map(|(realm, (_, _, told))| {
            let told = told.lock().unwrap_or_else(PoisonError::into_inner);
            let mut told = told.as_ref()?.told(realm, now_ms);
            told.why = told.why.chars().take(WHY_MAX_CHARS).collect();
            Some(told)
        });
        each.collect()
    }

    /// How a sink stands.
    pub async fn view(&self, sink: &Realm) -> Result<View, AskError> {
        self.ask(sink, Command::View).await
    }

    /// Some of a sink's dead letters, the oldest first, with those of their
    /// events that are still kept.
    pub async fn dead_letters(
        &self,
        sink: &Realm,
        limit: usize,
    ) -> Result<Vec<(Dead, Vec<Event>)>, AskError> {
        self.ask(sink, |to| Command::DeadLetters(limit, to)).await
    }

    /// Delivers dead letters anew; says how many, and how many there is no room
    /// for yet.
    pub async fn replay_dead(&self, sink: &Realm) -> Result<(usize, usize), AskError> {
        self.change(sink, Command::ReplayDead).await
    }

    /// Delivers the events of a time anew, in milliseconds since 1970.
    pub async fn replay(&self, sink: &Realm, since: u64, until: u64) -> Result<(), AskError> {
        self.change(sink, |to| Command::Replay(since, until, to))
            .await
    }

    /// Goes on with a sink that is suspended for its failures.
    pub async fn resume(&self, sink: &Realm) -> Result<(), AskError> {
        self.change(sink, Command::Resume).await
    }

    /// Delivers a made-up event now.
    pub async fn test(&self, sink: &Realm) -> Result<Tested, AskError> {
        self.ask(sink, Command::Test).await
    }

    /// Asks for a change of what is kept, anew where it was overtaken.
    async fn change<T>(
        &self,
        sink: &Realm,
        command: impl Fn(oneshot::Sender<Result<T, AskError>>) -> Command,
    ) -> Result<T, AskError> {
        for _ in 1..TRIES {
            match self.ask(sink, &command).await? {
                Err(AskError::Overtaken) => {}
                answer => return answer,
            }
        }
        self.ask(sink, &command).await?
    }

    async fn ask<T>(
        &self,
        sink: &Realm,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, AskError> {
        let worker = {
            let sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
            let (_, worker, _) = sinks.get(sink).ok_or(AskError::Unknown)?;
            worker.clone()
        };
        let (to, answer) = oneshot::channel();
        worker.try_send(command(to)).map_err(|_| AskError::Busy)?;
        answer.await.map_err(|_| AskError::Busy)
    }

    /// A sink can be asked from here on.
    pub(super) fn add(&self, sink: &Arc<Sink>, worker: mpsc::Sender<Command>, told: Told) {
        let mut sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        sinks.insert(sink.realm.clone(), (Arc::clone(sink), worker, told));
    }

    /// A sink says something else by now.
    pub(super) fn update(&self, sink: &Arc<Sink>) {
        let mut sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, ..)) = sinks.get_mut(&sink.realm) {
            *known = Arc::clone(sink);
        }
    }

    /// A sink is declared no longer.
    pub(super) fn remove(&self, sink: &Realm) {
        let mut sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        sinks.remove(sink);
    }
}
