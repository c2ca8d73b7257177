//! What is kept: events, message records, withdrawals.

use std::collections::HashSet;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use mailtrail_core::event::{Event, EventKind};
use mailtrail_core::id::{MessageId, Realm, Recipient};
use mailtrail_core::message::MessageRecord;

use crate::metrics::Metrics;

/// Where and how much is kept.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The data folder; made when missing.
    pub data_dir: PathBuf,
}

/// The data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {}

/// The record is not on disk and will not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("could not be kept")]
pub struct NotKept;

/// Ready when the record is on disk. The record is queued when this is made:
/// dropping it early loses nothing but the answer.
pub type Pending = Pin<Box<dyn Future<Output = Result<(), NotKept>> + Send>>;

/// A place in a list of events: everything up to it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub String);

/// Which events to list.
#[derive(Debug, Clone)]
pub struct EventQuery {
    /// Of this domain.
    pub domain: Realm,
    /// Of this kind only.
    pub kind: Option<EventKind>,
    /// Of this message only.
    pub message: Option<MessageId>,
    /// Behind this place.
    pub after: Option<Cursor>,
    /// At most so many, 1 to 1000.
    pub limit: usize,
}

/// Events in the order they were kept, oldest first.
#[derive(Debug, Clone)]
pub struct EventPage {
    /// The events.
    pub events: Vec<Event>,
    /// Where the next page begins; always given.
    pub next: Cursor,
}

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The cursor is none of ours.
    #[error("the cursor is not valid")]
    Cursor,
    /// What follows the cursor is no longer kept.
    #[error("the cursor is older than what is kept")]
    Expired,
    /// The disk does not answer.
    #[error("the store cannot be read")]
    Unavailable,
}

/// Whether a recipient has withdrawn from a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withdrawn {
    /// Nothing of theirs may be recorded.
    Yes,
    /// They have not.
    No,
    /// The list is not loaded: nothing may be recorded.
    NotLoaded,
}

/// The embedded store; cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    events: Vec<Event>,
    withdrawn: HashSet<(Realm, Recipient)>,
}

impl Store {
    /// Opens the data folder.
    pub fn open(_settings: Settings, _metrics: Arc<Metrics>) -> Result<Self, OpenError> {
        Ok(Self {
            inner: Arc::default(),
        })
    }

    /// Keeps an event.
    pub fn append_event(&self, event: &Event) -> Pending {
        self.inner
            .lock()
            .expect("no panic")
            .events
            .push(event.clone());
        Box::pin(std::future::ready(Ok(())))
    }

    /// Keeps a message record.
    pub fn append_message(&self, _record: &MessageRecord) -> Pending {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Keeps a recipient's withdrawal from a domain.
    pub fn withdraw(&self, realm: &Realm, recipient: &Recipient) -> Pending {
        self.inner
            .lock()
            .expect("no panic")
            .withdrawn
            .insert((realm.clone(), recipient.clone()));
        Box::pin(std::future::ready(Ok(())))
    }

    /// Whether a recipient has withdrawn.
    pub fn withdrawn(&self, realm: &Realm, recipient: &Recipient) -> Withdrawn {
        let inner = self.inner.lock().expect("no panic");
        if inner
            .withdrawn
            .contains(&(realm.clone(), recipient.clone()))
        {
            Withdrawn::Yes
        } else {
            Withdrawn::No
        }
    }

    /// Lists events; waits for the disk, so call it off the runtime.
    pub fn events(&self, query: &EventQuery) -> Result<EventPage, QueryError> {
        let inner = self.inner.lock().expect("no panic");
        let from = query
            .after
            .as_ref()
            .map_or(Ok(0), |c| c.0.parse::<usize>())
            .map_err(|_| QueryError::Cursor)?;
        let events: Vec<_> = inner
            .events
            .iter()
            .skip(from)
            .filter(|e| e.domain == query.domain)
            .cloned()
            .collect();
        Ok(EventPage {
            events,
            next: Cursor(inner.events.len().to_string()),
        })
    }

    /// Keeps what is queued; nothing is accepted afterwards.
    pub fn close(&self) -> Pending {
        Box::pin(std::future::ready(Ok(())))
    }
}
