//! Kubernetes Events of what has turned, and how long a change may be on its way
//! before a status says so.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

use crate::condition::Transition;
use crate::error::within;
use crate::metrics::Metrics;
use crate::subject::Subject;

/// How long a change may be on its way before the status says so: most arrive
/// sooner, and cost one write instead of two.
const GRACE: Duration = Duration::from_secs(3);
/// The same, where the status says already that it has arrived: a replica that
/// joins, or an operator that begins, takes a moment to be asked.
const GRACE_OF_KNOWN: Duration = Duration::from_secs(10);
/// Longest note of a Kubernetes Event, in bytes.
const NOTE_MAX_BYTES: usize = 1024;

/// Changes that are on their way, and since when.
#[derive(Debug, Default)]
pub struct Grace(Mutex<HashMap<Subject, (i64, Instant)>>);

impl Grace {
    /// How long this change is still given; absent: it had its time. `known`
    /// where the status says that it has arrived.
    pub fn left(
        &self,
        subject: &Subject,
        generation: i64,
        known: bool,
        now: Instant,
    ) -> Option<Duration> {
        let mut changes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (of, since) = changes.entry(subject.clone()).or_insert((generation, now));
        if *of != generation {
            (*of, *since) = (generation, now);
        }
        let grace = if known { GRACE_OF_KNOWN } else { GRACE };
        let left = grace.saturating_sub(now.duration_since(*since));
        (!left.is_zero()).then_some(left)
    }

    /// It has arrived, or is none any more.
    pub fn over(&self, subject: &Subject) {
        let mut changes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        changes.remove(subject);
    }
}

/// Publishes Kubernetes Events.
#[derive(Clone)]
pub struct Teller {
    /// The API server.
    pub client: Client,
    /// In whose name.
    pub reporter: Reporter,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Teller {
    /// Publishes one beside the turn: that it is lost changes nothing.
    pub fn tell(&self, of: ObjectReference, transition: Transition) {
        let mut note = transition.message;
        note.truncate(note.floor_char_boundary(NOTE_MAX_BYTES));
        let event = Event {
            type_: if transition.warning {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: transition.reason.as_str().to_owned(),
            note: Some(note),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        // A recorder of its own: one that lives remembers all that it published
        // for minutes, to count repetitions, and transitions do not repeat.
        let recorder = Recorder::new(self.client.clone(), self.reporter.clone());
        let metrics = Arc::clone(&self.metrics);
        tokio::spawn(async move {
            let published = recorder.publish(&event, &of);
            if let Err(error) = within("a Kubernetes Event", published).await {
                metrics.failed(error.category());
                tracing::debug!(%error, "a Kubernetes Event could not be published");
            }
        });
    }
}
