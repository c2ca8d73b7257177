//! Whose turn it is: domains and sinks, and hosts that are exposed, wait for theirs
//! once, however often they are named, and never have two at a time.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{self, Stream};
use kube::runtime::scheduler::{ScheduleRequest, scheduler};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::subject::Subject;
use crate::wait::{doubled, spread};

/// Most turns at a time: each is a few requests to the API server.
pub const CONCURRENCY_MAX: usize = 32;
/// First wait after a turn that failed.
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// Longest wait between two tries.
const RETRY_LONGEST: Duration = Duration::from_secs(60);

/// Who has been named and not been looked at since. Bounded by the number of
/// those that there are: of domains and sinks, or of hosts.
#[derive(Debug)]
pub struct Inbox<S = Subject> {
    subjects: Mutex<HashSet<S>>,
    named: Notify,
}

/// What is to become of a domain or sink after its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing, until it is named.
    Wait,
    /// Another turn, after this time.
    After(Duration),
    /// The turn failed: another one, after a growing time.
    Retry,
}

// === Inbox ===

impl<S> Default for Inbox<S> {
    fn default() -> Self {
        Self {
            subjects: Mutex::default(),
            named: Notify::new(),
        }
    }
}

impl<S: Eq + Hash> Inbox<S> {
    /// Asks for a turn.
    pub fn push(&self, subject: impl Into<S>) {
        self.lock().insert(subject.into());
        self.named.notify_one();
    }

    /// Asks for a turn of each.
    pub fn extend<I: Into<S>>(&self, subjects: impl IntoIterator<Item = I>) {
        self.lock().extend(subjects.into_iter().map(Into::into));
        self.named.notify_one();
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What waits, for tests.
    #[cfg(test)]
    pub(crate) fn lock_for_tests(&self) -> std::sync::MutexGuard<'_, HashSet<S>> {
        self.lock()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<S>> {
        self.subjects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that wait, once some do.
    async fn take(&self) -> HashSet<S> {
        loop {
            let named = self.named.notified();
            let taken = std::mem::take(&mut *self.lock());
            if !taken.is_empty() {
                return taken;
            }
            named.await;
        }
    }

    fn requests(&self) -> impl Stream<Item = ScheduleRequest<S>> + '_ {
        let taken = stream::unfold((), |()| async { Some((self.take().await, ())) });
        taken.flat_map(|subjects| {
            let run_at = Instant::now();
            stream::iter(subjects).map(move |message| ScheduleRequest { message, run_at })
        })
    }
}

// === Turns ===

/// Gives turns for ever, so many at a time at most. `turn` says what is next.
pub async fn run<S, F, Turn>(inbox: &Inbox<S>, most: usize, turn: F)
where
    S: Clone + Eq + Hash + Send + 'static,
    F: Fn(S) -> Turn,
    Turn: Future<Output = Next> + Send + 'static,
{
    // At most one request per subject is on its way: it is sent when its turn ends.
    let (again, later) = mpsc::unbounded_channel();
    let later = stream::unfold(later, |mut later| async {
        later.recv().await.map(|request| (request, later))
    });
    let requests = stream::select(Box::pin(inbox.requests()), Box::pin(later));
    let mut scheduler = std::pin::pin!(scheduler(requests));
    let mut running = HashSet::new();
    let mut failures: HashMap<S, u32> = HashMap::new();
    let mut turns = JoinSet::new();
    loop {
        let mut next = scheduler
            .as_mut()
            .hold_unless(|subject| !running.contains(subject));
        tokio::select! {
            Some(ended) = turns.join_next() => {
                // A turn that panics is a bug of ours; its subject stays blocked
                // until the term ends, and the panic stands in the log.
                let Ok((subject, what)) = ended else { continue };
                running.remove(&subject);
                let wait = wait_after(&subject, what, &mut failures);
                if let Some(wait) = wait {
                    let run_at = Instant::now() + wait;
                    let _ = again.send(ScheduleRequest { message: subject, run_at });
                }
            }
            Some(subject) = next.next(), if turns.len() < most => {
                running.insert(subject.clone());
                let turn = turn(subject.clone());
                turns.spawn(async move { (subject, turn.await) });
            }
        }
    }
}

fn wait_after<S: Clone + Eq + Hash>(
    subject: &S,
    next: Next,
    failures: &mut HashMap<S, u32>,
) -> Option<Duration> {
    if next != Next::Retry {
        failures.remove(subject);
    }
    match next {
        Next::Wait => None,
        Next::After(wait) => Some(wait),
        Next::Retry => {
            let failed = failures.entry(subject.clone()).or_default();
            *failed += 1;
            Some(spread(backoff(*failed)))
        }
    }
}

/// Doubles from [`RETRY_FIRST`] to [`RETRY_LONGEST`].
fn backoff(failures: u32) -> Duration {
    doubled(RETRY_FIRST, RETRY_LONGEST, failures.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn realm(name: &str) -> Subject {
        Subject::Domain(format!("shop/{name}").parse().expect("a realm"))
    }

    #[test]
    fn waits_grow_to_a_bound_and_are_spread() {
        assert_eq!(backoff(1), RETRY_FIRST);
        assert_eq!(backoff(2), RETRY_FIRST * 2);
        assert_eq!(backoff(u32::MAX), RETRY_LONGEST);
        for _ in 0..1_000 {
            let wait = spread(RETRY_FIRST);
            assert!((RETRY_FIRST / 2..=RETRY_FIRST).contains(&wait), "{wait:?}");
        }
    }

    #[tokio::test]
    async fn a_realm_has_one_turn_at_a_time_and_one_for_many_names() {
        let inbox = Arc::new(Inbox::default());
        let (turns, now) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        inbox.extend([realm("a"), realm("a")]);
        inbox.push(realm("a"));
        let counted = (Arc::clone(&turns), Arc::clone(&now), Arc::clone(&inbox));
        let turn = move |realm: Subject| {
            let (turns, now, inbox) = counted.clone();
            async move {
                assert_eq!(now.fetch_add(1, Ordering::SeqCst), 0, "two at a time");
                if turns.fetch_add(1, Ordering::SeqCst) == 0 {
                    // Named during its turn: it gets another, afterwards.
                    inbox.push(realm);
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                Next::Wait
            }
        };
        let _ = tokio::time::timeout(
            Duration::from_millis(500),
            run(&inbox, CONCURRENCY_MAX, turn),
        )
        .await;
        assert_eq!(turns.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn what_failed_is_tried_again_and_holds_up_nobody() {
        let inbox = Inbox::default();
        inbox.extend([realm("bad"), realm("good")]);
        let turns = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&turns);
        let turn = move |realm: Subject| {
            let failing = realm.name().name() == "bad";
            noted.lock().expect("no panic").push(realm);
            async move { if failing { Next::Retry } else { Next::Wait } }
        };
        let _ =
            tokio::time::timeout(Duration::from_secs(2), run(&inbox, CONCURRENCY_MAX, turn)).await;
        let turns = turns.lock().expect("no panic");
        let of = |name: &str| turns.iter().filter(|r| r.name().name() == name).count();
        assert_eq!(of("good"), 1);
        assert!((3..=8).contains(&of("bad")), "{}", of("bad"));
    }
}
