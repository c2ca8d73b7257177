//! The deliveries of one sink, for as long as it is declared.
//!
//! One first attempt is under way at a time, and [`RETRIES_AT_ONCE`] further
//! ones beside it. The state is kept every [`KEEP_EVERY`] while it changes, and
//! at the end: what was delivered since it was kept last is delivered again
//! after a crash, or where another replica has changed the state meanwhile.
//! While another replica delivers, what is asked is answered from what that has
//! kept, and what it is to do is kept for it.

mod job;
mod line;

use std::collections::HashSet;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::{digest, rand};
use data_encoding::HEXLOWER;
use mailtrail_core::event::Event;
use mailtrail_core::sink::Sink;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::Parts;
use super::handle::{AskError, Command, Tested, Told, View};
use super::metrics::Stand;
use super::outbox::{Claim, Saved};
use super::state::{
    Became, Dead, Delivery, Failure, Now, Outcome, Place, REPLAYS_MAX, Replay, State, Why,
};
use super::told::Report;
use job::{Common, Ended, Job, NotTried};
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

    // === Starting attempts ===

    /// Starts what can be started.
    async fn launch(&mut self) {
        let now = self.worker.parts.now_ms();
        if self.worker.sink.rests() || now < self.wait_until_ms {
            return;
        }
        self.launch_retries(now);
        // One receiver that failed for days is tried with one delivery.
        let is_probing = self.state.suspended.is_some() && !self.retrying.is_empty();
        let rules = &self.worker.parts.rules;
        if self.first.is_none() && !is_probing && self.state.takes_first(now, rules) {
            self.launch_first(now).await;
        }
    }

    fn launch_retries(&mut self, now_ms: u64) {
        let free = match self.state.suspended {
            Some(_) => usize::from(self.retrying.is_empty()),
            None => RETRIES_AT_ONCE.saturating_sub(self.retrying.len()),
        };
        if free == 0 || self.state.retries.is_empty() {
            return;
        }
        let due = self.state.due(now_ms, &self.worker.parts.rules);
        let idle = due.filter(|delivery| !self.retrying.contains(&delivery.id));
        for delivery in idle.take(free).cloned().collect::<Vec<_>>() {
            self.retrying.insert(delivery.id.clone());
            let job = self.job();
            self.attempts.spawn(async move {
                let ended = job.deliver(&delivery, None).await;
                Attempted::Again(delivery, ended)
            });
        }
    }

    async fn launch_first(&mut self, now_ms: u64) {
        let order = match self.replays_turn {
            true => [Of::Replay, Of::Settling],
            false => [Of::Settling, Of::Replay],
        };
        for of in order {
            if let Some(events) = self.next(of, now_ms).await {
                let delivery = job::delivery(&self.worker.sink, &events, now_ms);
                self.replays_turn = of == Of::Settling;
                self.first = Some(of);
                let (job, count) = (self.job(), events.len());
                let events: Vec<Event> = events.into_iter().map(|(_, event)| event).collect();
                self.attempts.spawn(async move {
                    let ended = job.deliver(&delivery, Some(events)).await;
                    Attempted::First(delivery, count, ended)
                });
                return;
            }
        }
    }

    /// The events of the next request of a line, read where that is needed.
    async fn next(&mut self, of: Of, now_ms: u64) -> Option<Vec<(Place, Event)>> {
        let batch = self.worker.sink.batch;
        while self.line(of)?.is_hungry(batch) {
            let sink = Arc::clone(&self.worker.sink);
            let wanted = self.line(of)?.wanted(&sink);
            match self.worker.parts.outbox.read(wanted).await {
                Ok(page) => {
                    if page.lost && of == Of::Settling {
                        tracing::warn!(
                            sink = %self.worker.sink.realm,
                            "events that were not delivered yet are no longer kept: retention, or an older copy of the journal"
                        );
                    }
                    self.line(of)?.take(page, now_ms);
                    self.moved(of);
                }
                Err(error) => {
                    tracing::error!(sink = %self.worker.sink.realm, %error, "settled events cannot be read");
                    self.wait_until_ms = now_ms + NOT_TRIED_WAIT_MS;
                    return None;
                }
            }
        }
        let line = self.line(of)?;
        if of == Of::Replay && line.is_done() {
            self.end_replay();
            return None;
        }
        self.line(of)?.next(batch, now_ms)
    }

    fn line(&mut self, of: Of) -> Option<&mut Line> {
        match of {
            Of::Settling => Some(&mut self.settling),
            Of::Replay => self.replay.as_mut(),
        }
    }

    fn job(&self) -> Job {
        Job {
            parts: Arc::clone(&self.worker.parts),
            common: Arc::clone(&self.worker.common),
            sink: Arc::clone(&self.worker.sink),
            is_slow: self.state.failing_since_ms.is_some(),
        }
    }

    // === What becomes of them ===

    fn conclude(&mut self, attempted: Attempted) {
        match attempted {
            Attempted::First(delivery, count, ended) => {
                let of = self.first.take().unwrap_or(Of::Settling);
                self.conclude_first(of, &delivery, count, ended);
            }
            Attempted::Again(delivery, ended) => {
                self.retrying.remove(&delivery.id);
                match ended {
                    Ended::Tried(outcome) => self.tried(&delivery, outcome),
                    Ended::Nothing => self.state.retries.retain(|other| other.id != delivery.id),
                    Ended::NotTried(why) => self.not_tried(why),
                }
            }
            Attempted::Tested(outcome) => {
                if outcome == Outcome::Delivered {
                    let now = self.worker.parts.now_ms();
                    self.tried(&Delivery::first(String::new(), Vec::new(), now), outcome);
                }
            }
            Attempted::Nothing => {}
        }
        self.keep.is_dirty = true;
    }

    fn conclude_first(&mut self, of: Of, delivery: &Delivery, count: usize, ended: Ended) {
        let now = self.worker.parts.now_ms();
        match ended {
            Ended::Tried(outcome) => self.tried(delivery, outcome),
            Ended::Nothing => {}
            Ended::NotTried(why) => {
                if let Some(line) = self.line(of) {
                    line.rewind();
                }
                return self.not_tried(why);
            }
        }
        let is_stale = std::mem::take(&mut self.is_stale);
        if let Some(line) = self.line(of) {
            line.conclude(count, now);
            if is_stale {
                line.rewind();
            }
        }
        self.moved(of);
    }

    /// A line has come further.
    fn moved(&mut self, of: Of) {
        match of {
            Of::Settling if self.state.position != self.settling.position => {
                self.state.position = self.settling.position;
                self.keep.is_dirty = true;
            }
            Of::Settling => {}
            Of::Replay => {
                if let (Some(line), Some(kept)) = (&self.replay, self.state.replays.first_mut()) {
                    kept.position = line.position;
                    self.keep.is_dirty = true;
                }
            }
        }
    }

    fn end_replay(&mut self) {
        if !self.state.replays.is_empty() {
            self.state.replays.remove(0);
        }
        tracing::info!(sink = %self.worker.sink.realm, "a replay of events is done");
        self.replay = self.state.replays.first().copied().map(Line::of);
        self.keep.is_dirty = true;
    }

    fn tried(&mut self, delivery: &Delivery, outcome: Outcome) {
        self.secret_missing = None;
        self.worker.note(outcome);
        let now = self.now();
        let parts = &self.worker.parts;
        let before = (self.state.failing_since_ms, self.state.suspended);
        let became = self.state.conclude(delivery, outcome, &parts.rules, now);
        let metrics = &parts.metrics;
        match (outcome, became) {
            (Outcome::Delivered, _) => metrics.delivered.inc(),
            (Outcome::Gone, _) => metrics.gone.inc(),
            (Outcome::Failed(..), Became::Dead) => metrics.dead.inc(),
            (Outcome::Failed(..), _) => metrics.retried.inc(),
        };
        self.tell_change(before, outcome, became);
    }

    fn not_tried(&mut self, why: NotTried) {
        self.wait_until_ms = self.worker.parts.now_ms() + NOT_TRIED_WAIT_MS;
        if let NotTried::Secret(missing) = why {
            let missing = missing.to_string();
            if self.secret_missing.as_ref() != Some(&missing) {
                tracing::error!(sink = %self.worker.sink.realm, "nothing can be delivered: {missing}");
            }
            self.secret_missing = Some(missing);
        }
    }

    /// A job that ended in a panic is one that was not made: begun again.
    fn lost(&mut self, error: &tokio::task::JoinError) {
        tracing::error!(sink = %self.worker.sink.realm, %error, "an attempt ended in a panic");
        self.attempts.abort_all();
        self.retrying.clear();
        self.first = None;
        self.settling.rewind();
        self.replay = self.state.replays.first().copied().map(Line::of);
        self.wait_until_ms = self.worker.parts.now_ms() + NOT_TRIED_WAIT_MS;
    }

    fn now(&self) -> Now {
        let mut random = [0; 4];
        // Without chance the table stands as it is.
        let _ = rand::fill(&mut random);
        Now {
            ms: self.worker.parts.now_ms(),
            chance: f64::from(u32::from_be_bytes(random)) / f64::from(u32::MAX),
        }
    }

    // === What is told ===

    fn tell_change(
        &self,
        (failing, suspended): (Option<u64>, Option<super::state::Suspended>),
        outcome: Outcome,
        became: Became,
    ) {
        let sink = &self.worker.sink.realm;
        if let (Outcome::Failed(failure, _), None) = (outcome, failing) {
            tracing::warn!(%sink, ?failure, "event sink fails: deliveries are tried again for three days");
        }
        if became == Became::Dead {
            tracing::warn!(%sink, dead_letters = self.state.dead.len(), "a delivery is given up and kept as a dead letter");
        }
        let why = |suspended: Option<super::state::Suspended>| suspended.map(|s| s.why);
        match (why(suspended), why(self.state.suspended)) {
            (None, Some(Why::Gone)) => tracing::error!(
                %sink, "event sink is suspended: its receiver says 410, which is that it wants nothing any more; give it another URL, or resume it over the API"
            ),
            (None, Some(Why::Failing)) => tracing::error!(
                %sink, "event sink is suspended: nothing was delivered for days; one delivery is tried every hour, and a success resumes it"
            ),
            (Some(_), None) => tracing::info!(%sink, "event sink is resumed"),
            _ if outcome == Outcome::Delivered && failing.is_some() => {
                tracing::info!(%sink, waiting = self.state.retries.len(), "event sink answers again");
            }
            _ => {}
        }
    }

    fn oldest_ms(&self) -> Option<u64> {
        let lines = [self.settling.oldest_ms(), self.state.oldest_ms()];
        lines.into_iter().flatten().min()
    }

    fn tell(&self) {
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let stand = &self.worker.stand;
        let rests = self.worker.sink.rests() || self.state.suspended.is_some();
        stand
            .oldest_ms
            .store(self.oldest_ms().unwrap_or(0), Relaxed);
        stand
            .retries
            .store(count(self.state.retries.len()), Relaxed);
        stand
            .dead_letters
            .store(count(self.state.dead.len()), Relaxed);
        stand.suspended.store(i64::from(rests), Relaxed);
        stand
            .without_secret
            .store(i64::from(self.secret_missing.is_some()), Relaxed);
        let report = Report {
            suspended: self.state.suspended,
            failing_since_ms: self.state.failing_since_ms,
            delivered: self.worker.delivered,
            failure: self.worker.failure,
            secret_missing: self.secret_missing.clone(),
        };
        *self.worker.told() = Some(report);
    }

    // === What is asked ===

    async fn answer(&mut self, command: Command) {
        // Whoever asked may be gone by now: that changes nothing.
        match command {
            Command::View(to) => {
                let _ = to.send(self.view());
            }
            Command::DeadLetters(limit, to) => {
                let _ = to.send(self.dead_letters(limit).await);
            }
            Command::ReplayDead(to) => {
                let moved = self.state.replay_dead(self.worker.parts.now_ms());
                let _ = to.send(self.keep().await.map(|()| moved));
            }
            Command::Replay(since, until, to) => {
                let _ = to.send(self.add_replay(since, until).await);
            }
            Command::Resume(to) => {
                self.state.resume(self.worker.parts.now_ms());
                let _ = to.send(self.keep().await);
            }
            Command::Test(to) => self.test(to),
        }
    }

    fn view(&self) -> View {
        View {
            sink: Arc::clone(&self.worker.sink),
            suspended: self.state.suspended,
            failing_since_ms: self.state.failing_since_ms,
            retries: self.state.retries.len(),
            dead: self.state.dead.len(),
            replays: self.state.replays.len(),
            oldest_ms: self.oldest_ms(),
            secret_missing: self.secret_missing.clone(),
        }
    }

    async fn dead_letters(&self, limit: usize) -> Vec<(Dead, Vec<Event>)> {
        let mut letters = Vec::new();
        for dead in self.state.dead.iter().take(limit) {
            // What cannot be read now is listed without its events; what is of a
            // former namespace is not listed.
            let events = self.worker.parts.outbox.at(&dead.places).await;
            let mut events = events.unwrap_or_default();
            let is_known = events.iter().all(|event| self.worker.sink.may_know(event));
            events.retain(|event| self.worker.sink.may_know(event));
            if is_known || !events.is_empty() {
                letters.push((dead.clone(), events));
            }
        }
        letters
    }

    async fn add_replay(&mut self, since_ms: u64, until_ms: u64) -> Result<(), AskError> {
        if self.state.replays.len() >= REPLAYS_MAX {
            return Err(AskError::TooManyReplays);
        }
        let end = self.worker.parts.outbox.end().await;
        let last = end.map_err(|_| AskError::NotKept)?.seq;
        let replay = Replay {
            since_ms,
            until_ms,
            position: Place::default(),
            last,
        };
        self.state.replays.push(replay);
        if self.replay.is_none() {
            self.replay = Some(Line::of(replay));
        }
        self.keep().await
    }

    fn test(&mut self, to: oneshot::Sender<Tested>) {
        let job = self.job();
        self.attempts.spawn(async move {
            let begun = Instant::now();
            let ended = job.test().await;
            let (outcome, secret_missing) = match ended {
                Ended::Tried(outcome) => (Some(outcome), None),
                Ended::NotTried(NotTried::Secret(missing)) => (None, Some(missing.to_string())),
                Ended::NotTried(NotTried::Store) | Ended::Nothing => (None, None),
            };
            let _ = to.send(Tested {
                outcome,
                secret_missing,
                took: begun.elapsed(),
            });
            outcome.map_or(Attempted::Nothing, Attempted::Tested)
        });
    }

    // === What is declared ===

    fn change(&mut self, sink: Arc<Sink>) {
        self.state
            .meet(&receiver(&sink), self.worker.parts.now_ms());
        self.worker.sink = sink;
        self.wait_until_ms = 0;
        self.keep.is_dirty = true;
        // What is under way is concluded before it is read anew.
        self.is_stale = self.first.is_some();
        if self.first != Some(Of::Settling) {
            self.settling.rewind();
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

    // === Keeping ===

    async fn keep_sometimes(&mut self) {
        if self.keep.is_dirty && Instant::now() >= self.keep.not_before {
            let _ = self.keep().await;
        }
    }

    async fn keep(&mut self) -> Result<(), AskError> {
        let begun = Instant::now();
        let (outbox, realm) = (&self.worker.parts.outbox, &self.worker.sink.realm);
        let kept = outbox.save(realm, self.state.clone()).await;
        let pause = (begun.elapsed() * KEEP_PAUSES).max(KEEP_EVERY);
        self.keep.not_before = Instant::now() + pause;
        match kept {
            Ok(Saved::Yes) => {
                self.keep.is_dirty = false;
                self.keep.has_failed = false;
                Ok(())
            }
            Ok(Saved::Overtaken) => {
                self.keep.is_overtaken = true;
                Err(AskError::Overtaken)
            }
            Err(error) => {
                self.worker.parts.metrics.not_kept.inc();
                if !self.keep.has_failed {
                    tracing::error!(sink = %realm, %error, "the progress of deliveries cannot be kept, which is tried again: after a crash more is delivered twice");
                }
                self.keep.has_failed = true;
                Err(AskError::NotKept)
            }
        }
    }

    // === Waiting ===

    /// How long there is nothing to do, unless something comes.
    fn sleep(&self) -> Duration {
        let now = self.worker.parts.now_ms();
        let mut next = now + SLEEP_MAX_MS;
        if self.keep.is_dirty {
            let until = self
                .keep
                .not_before
                .saturating_duration_since(Instant::now());
            next = next.min(now + u64::try_from(until.as_millis()).unwrap_or(0) + 1);
        }
        if !self.worker.sink.rests() {
            next = next.min(self.next_attempt_ms(now).max(self.wait_until_ms));
        }
        // At least a moment: what is due and cannot start yet is not asked for
        // all the time.
        Duration::from_millis(next.saturating_sub(now).max(1))
    }

    /// When the next attempt is due.
    fn next_attempt_ms(&self, now: u64) -> u64 {
        let rules = &self.worker.parts.rules;
        let Some(from) = self.state.may_try_from(rules) else {
            return u64::MAX;
        };
        let is_idle = self.retrying.is_empty() && self.first.is_none();
        if self.state.suspended.is_some() {
            // One at a time, whatever it is.
            let has_any = !self.state.retries.is_empty() || self.ready_ms(now).is_some();
            return match is_idle && (from > now || has_any) {
                true => from,
                false => u64::MAX,
            };
        }
        let retries = self.state.retries.iter();
        let idle = retries.filter(|delivery| !self.retrying.contains(&delivery.id));
        let retry = match self.retrying.len() < RETRIES_AT_ONCE {
            true => idle.map(|delivery| delivery.due_ms).min(),
            false => None,
        };
        let may_begin = self.first.is_none() && self.state.has_room();
        let first = self.ready_ms(now).filter(|_| may_begin);
        let replay = self.replay.as_ref().map(|_| now).filter(|_| may_begin);
        let next = [retry, first, replay].into_iter().flatten().min();
        next.map_or(u64::MAX, |next| next.max(from))
    }

    /// When a request can be made of what settles; at once where that is to be
    /// read first.
    fn ready_ms(&self, now: u64) -> Option<u64> {
        let batch = self.worker.sink.batch;
        match self.settling.is_hungry(batch) {
            true => Some(now),
            false => self.settling.ready_ms(batch),
        }
    }
}

/// What a receiver is told by: its URL, which may be as good as a password.
fn receiver(sink: &Sink) -> String {
    let hash = digest::digest(&digest::SHA256, sink.url.as_url().as_str().as_bytes());
    HEXLOWER.encode(&hash.as_ref()[..16])
}
