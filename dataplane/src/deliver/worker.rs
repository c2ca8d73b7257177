//! The deliveries of one sink, for as long as it is declared.
//!
//! One first attempt is under way at a time, and [`RETRIES_AT_ONCE`] further
//! ones beside it. The state is kept every [`KEEP_EVERY`] while it changes, and
//! at the end: what was delivered since it was kept last is delivered again
//! after a crash, or where another replica has changed the state meanwhile.
//! While another replica delivers, what is asked is answered from what that has
//! kept, and what it is to do is kept for it.

mod asking;
mod concluding;
mod job;
mod keeping;
mod line;
mod looking;
mod starting;
mod telling;
mod waiting;

use std::collections::HashSet;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use mailtrail_core::sink::Sink;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::Parts;
use super::handle::{Command, Told};
use super::metrics::Stand;
use super::outbox::{Claim, Saved};
use super::state::{Delivery, Failure, Outcome, State};
use super::told::Report;
use job::{Common, Ended};
use line::Line;

/// Further attempts of a sink at once.
const RETRIES_AT_ONCE: usize = 4;
/// How often a state that changes is kept: a sync of the disk each.
const KEEP_EVERY: Duration = Duration::from_millis(250);
/// How much longer than it took to keep a state the next time waits: a large
/// one is kept less often.
const KEEP_PAUSES: u32 = 20;
/// How long to wait where an attempt could not be made at all.
const NOT_TRIED_WAIT_MS: u64 = 2_000;
/// How long what was found to wait first is believed, while nothing may be sent.
const LOOK_AGAIN_MS: u64 = 60_000;
/// How often it is asked whether the sink is ours.
const CLAIM_EVERY: Duration = Duration::from_secs(5);
/// How long attempts that are under way may take at the end.
const END_WITHIN: Duration = Duration::from_secs(5);
/// Longest sleep: whatever was missed is found then.
const SLEEP_MAX_MS: u64 = 5_000;

/// Why a worker ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The process stops.
    Stop,
    /// The sink is declared no longer.
    Gone,
}

/// The deliveries of one sink.
pub(super) struct Worker {
    parts: Arc<Parts>,
    common: Arc<Common>,
    sink: Arc<Sink>,
    declared: watch::Receiver<Result<Arc<Sink>, End>>,
    commands: mpsc::Receiver<Command>,
    stand: Arc<Stand>,
    told: Told,
    /// Whether anything was delivered, and how the last attempt failed.
    delivered: bool,
    failure: Option<Failure>,
}

/// What goes on while the sink is ours.
struct Working<'a> {
    worker: &'a mut Worker,
    state: State,
    settling: Line,
    replay: Option<Line>,
    /// Whose turn the next first attempt is, where both have one.
    replays_turn: bool,
    attempts: JoinSet<Attempted>,
    /// Which line the first attempt under way is of.
    first: Option<Of>,
    retrying: HashSet<String>,
    /// Nothing is tried before.
    wait_until_ms: u64,
    /// What was read was read for what the sink asked for before.
    is_stale: bool,
    secret_missing: Option<String>,
    /// When it is looked for the secrets; none while they are there.
    secret_from_ms: Option<u64>,
    /// What waits is believed until then.
    look_from_ms: u64,
    keep: Keep,
}

/// When the state is kept.
struct Keep {
    is_dirty: bool,
    not_before: Instant,
    has_failed: bool,
    /// What is known here is not what counts any more.
    is_overtaken: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Settling,
    Replay,
}

/// An attempt that has ended.
enum Attempted {
    First(Delivery, usize, Ended),
    Again(Delivery, Ended),
    Tested(Outcome),
    /// A test that was none.
    Nothing,
}

impl Worker {
    pub(super) fn new(
        parts: Arc<Parts>,
        sink: Arc<Sink>,
        declared: watch::Receiver<Result<Arc<Sink>, End>>,
        commands: mpsc::Receiver<Command>,
        told: Told,
    ) -> Self {
        let stand = parts.metrics.stand();
        Self {
            parts,
            common: Arc::default(),
            sink,
            declared,
            commands,
            stand,
            told,
            delivered: false,
            failure: None,
        }
    }

    /// Delivers until the end.
    pub(super) async fn run(mut self) {
        loop {
            let Some(state) = self.begin().await else {
                return;
            };
            if let Some(end) = Working::new(&mut self, state).run().await {
                tracing::debug!(sink = %self.sink.realm, ?end, "deliveries end");
                return;
            }
            // It is another replica's to tell.
            *self.told() = None;
            // Whoever delivers now tells how it stands.
            self.stand.clear();
        }
    }

    fn told(&self) -> MutexGuard<'_, Option<Report>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&mut self, outcome: Outcome) {
        self.delivered |= outcome == Outcome::Delivered;
        self.failure = match outcome {
            Outcome::Failed(failure, _) => Some(failure),
            Outcome::Delivered | Outcome::Gone => None,
        };
    }

    /// The state to go on from, once the sink is ours; none at the end.
    async fn begin(&mut self) -> Option<State> {
        let mut has_failed = false;
        loop {
            match self.state().await {
                Ok(Some(state)) => return Some(state),
                Ok(None) => has_failed = false,
                // Told once, and not every few seconds.
                Err(_) if has_failed => {}
                Err(error) => {
                    has_failed = true;
                    tracing::error!(sink = %self.sink.realm, %error, "deliveries cannot begin, which is tried again");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(CLAIM_EVERY) => {}
                Some(command) = self.commands.recv() => self.answer_beside(command).await,
                changed = self.declared.changed() => {
                    let declared = self.declared.borrow_and_update().clone();
                    match (changed, declared) {
                        (Ok(()), Ok(sink)) => self.sink = sink,
                        _ => return None,
                    }
                }
            }
        }
    }

    /// What was kept of the sink, or what a new one begins with; none where it
    /// is another replica's.
    async fn state(&self) -> std::io::Result<Option<State>> {
        let (outbox, realm) = (&self.parts.outbox, &self.sink.realm);
        if outbox.claim(realm).await? == Claim::Others {
            return Ok(None);
        }
        let receiver = receiver(&self.sink);
        let state = match outbox.load(realm).await? {
            Some(mut state) => {
                state.meet(&receiver, self.parts.now_ms());
                state
            }
            None => {
                let state = State::new(receiver, outbox.end().await?);
                // Kept at once: what settles from here on is the sink's.
                if outbox.save(realm, state.clone()).await? == Saved::Overtaken {
                    return Ok(None);
                }
                tracing::info!(sink = %realm, "event sink is new: what settles from now on is delivered");
                state
            }
        };
        Ok(Some(state))
    }

    /// Answers while the sink is not ours, from what is kept of it. Where nothing
    /// is, or it cannot be read, whoever asks is told that nobody answers now.
    async fn answer_beside(&mut self, command: Command) {
        let kept = self.parts.outbox.load(&self.sink.realm).await;
        if let Ok(Some(state)) = kept {
            let mut beside = Working::new(self, state);
            if let Command::View(_) = command {
                beside.secret_missing = beside.lacks().await;
                beside.look(beside.worker.parts.now_ms()).await;
            }
            beside.answer(command).await;
            // A test event that was delivered resumes the sink.
            while let Some(done) = beside.attempts.join_next().await {
                if let Ok(attempted @ Attempted::Tested(_)) = done {
                    beside.conclude(attempted);
                    let _ = beside.keep().await;
                }
            }
        }
    }
}

impl<'a> Working<'a> {
    fn new(worker: &'a mut Worker, state: State) -> Self {
        Self {
            settling: Line::settling(state.position),
            replay: state.replays.first().copied().map(Line::of),
            worker,
            state,
            replays_turn: false,
            attempts: JoinSet::new(),
            first: None,
            retrying: HashSet::new(),
            wait_until_ms: 0,
            is_stale: false,
            secret_missing: None,
            secret_from_ms: Some(0),
            look_from_ms: 0,
            keep: Keep {
                is_dirty: false,
                not_before: Instant::now(),
                has_failed: false,
                is_overtaken: false,
            },
        }
    }

    /// Delivers until the end; gives nothing where the sink is another
    /// replica's by now.
    async fn run(mut self) -> Option<End> {
        let mut news = self.worker.parts.outbox.news();
        let mut claim = tokio::time::interval(CLAIM_EVERY);
        loop {
            self.launch().await;
            self.tell();
            let sleep = tokio::time::sleep(self.sleep());
            tokio::select! {
                biased;
                changed = self.worker.declared.changed() => {
                    let declared = self.worker.declared.borrow_and_update().clone();
                    match (changed, declared) {
                        (Ok(()), Ok(sink)) => self.change(sink),
                        (Ok(()), Err(end)) => return Some(self.end(end).await),
                        (Err(_), _) => return Some(self.end(End::Stop).await),
                    }
                }
                Some(done) = self.attempts.join_next() => match done {
                    Ok(attempted) => self.conclude(attempted),
                    Err(error) => self.lost(&error),
                },
                Some(command) = self.worker.commands.recv() => self.answer(command).await,
                changed = news.changed() => {
                    self.settling.more = true;
                    if changed.is_err() {
                        // The store is closed; the stop comes.
                        tokio::time::sleep(KEEP_EVERY).await;
                    }
                }
                _ = claim.tick() => {
                    let claim = self.worker.parts.outbox.claim(&self.worker.sink.realm).await;
                    match claim.unwrap_or(Claim::Others) {
                        Claim::Ours => {}
                        Claim::Changed => self.keep.is_overtaken = true,
                        Claim::Others => return None,
                    }
                }
                // Looks, too, in case that nobody told.
                () = sleep => self.settling.more = true,
            }
            self.keep_sometimes().await;
            if self.keep.is_overtaken {
                tracing::info!(sink = %self.worker.sink.realm, "the deliveries' state was changed by another replica: they go on from there");
                return None;
            }
        }
    }

    // === The end, or another declaration ===

    fn change(&mut self, sink: Arc<Sink>) {
        self.state
            .meet(&receiver(&sink), self.worker.parts.now_ms());
        self.worker.sink = sink;
        self.wait_until_ms = 0;
        self.secret_from_ms = Some(0);
        self.keep.is_dirty = true;
        // What is under way is concluded before it is read anew.
        self.is_stale = self.first.is_some();
        if self.first != Some(Of::Settling) {
            self.settling.renew();
        }
        if self.first != Some(Of::Replay) {
            self.replay = self.state.replays.first().copied().map(Line::of);
        }
    }

    async fn end(mut self, end: End) -> End {
        let attempts = async {
            while let Some(done) = self.attempts.join_next().await {
                if let Ok(attempted) = done {
                    self.conclude(attempted);
                }
            }
        };
        // What is cut off here is made again after the next start.
        let _ = tokio::time::timeout(END_WITHIN, attempts).await;
        if end == End::Gone {
            self.state.gone_since_ms = Some(self.worker.parts.now_ms());
        }
        let _ = self.keep().await;
        let (outbox, realm) = (&self.worker.parts.outbox, &self.worker.sink.realm);
        // Otherwise the claim runs out by itself.
        let _ = outbox.release(realm).await;
        end
    }
}

/// What a receiver is told by: its URL, which may be as good as a password.
fn receiver(sink: &Sink) -> String {
    let hash = digest::digest(&digest::SHA256, sink.url.as_url().as_str().as_bytes());
    HEXLOWER.encode(&hash.as_ref()[..16])
}
