//! What one attempt needs beside the connection: its events as they are now,
//! its secrets, its place among those at work.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use mailtrail_core::event::{Client, Event, EventKind, Verdict};
use mailtrail_core::sink::{Format, Sink};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::deliver::Parts;
use crate::deliver::attempt::{Kept, Post};
use crate::deliver::format::{self, Content, Many, Told};
use crate::deliver::outbox::MayGo;
use crate::deliver::secrets::Missing;
use crate::deliver::sign::{self, Secret};
use crate::deliver::state::{Delivery, Outcome, Place};

/// How long secrets that were read are believed.
const SECRETS_BELIEVED: Duration = Duration::from_secs(1);
/// The message of a test event.
const TEST_MESSAGE: &str = "mailtrail-test";

/// What the attempts of one sink share.
#[derive(Default)]
pub(super) struct Common {
    kept: Kept,
    secrets: Mutex<Option<Believed>>,
}

/// Secrets with the sink that they are of, and when they were read.
type Believed = (Instant, Arc<Sink>, Vec<Secret>);

/// An attempt that is to be made.
pub(super) struct Job {
    pub(super) parts: Arc<Parts>,
    pub(super) common: Arc<Common>,
    pub(super) sink: Arc<Sink>,
    /// Whether the receiver failed last.
    pub(super) is_slow: bool,
}

/// How a job ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// With an attempt.
    Tried(Outcome),
    /// There is nothing left to send: erased, or past retention.
    Nothing,
    /// Without an attempt, which does not count as one.
    NotTried(NotTried),
}

/// Why there was no attempt.
#[derive(Debug)]
pub(super) enum NotTried {
    /// It cannot be signed.
    Secret(Missing),
    /// Events cannot be read, or who has withdrawn is not known yet.
    Store,
}

impl Job {
    /// Sends a delivery. `events` are its events where they were read just now.
    pub(super) async fn deliver(&self, delivery: &Delivery, events: Option<Vec<Event>>) -> Ended {
        let events = match events {
            Some(events) => events,
            None => match self.parts.outbox.at(&delivery.places).await {
                Ok(events) => events,
                Err(error) => {
                    tracing::error!(%error, "events of a delivery cannot be read");
                    return Ended::NotTried(NotTried::Store);
                }
            },
        };
        // Asked before there is a place, since that may take a while, and again
        // behind it.
        match self.permitted(events) {
            Some(events) if events.is_empty() => Ended::Nothing,
            Some(events) => self.send(&delivery.id, events).await,
            None => Ended::NotTried(NotTried::Store),
        }
    }

    /// Sends a made-up event.
    pub(super) async fn test(&self) -> Ended {
        let event = test_event(&self.sink, self.parts.now());
        self.send(&format!("test_{}", event.id), vec![event]).await
    }

    /// Those events that may leave; none where that is not known. A namespace made
    /// anew is told nothing of the former, whatever stands in the state that was
    /// kept of its sink.
    fn permitted(&self, events: Vec<Event>) -> Option<Vec<Event>> {
        let mut may = Vec::with_capacity(events.len());
        for event in events.into_iter().filter(|event| self.sink.may_know(event)) {
            match self.parts.outbox.may_go(&event) {
                MayGo::Yes => may.push(event),
                MayGo::No => {
                    self.parts.metrics.withdrawn.inc();
                }
                MayGo::NotKnown => return None,
            }
        }
        Some(may)
    }

    async fn send(&self, id: &str, events: Vec<Event>) -> Ended {
        let secrets = match self.secrets().await {
            Ok(secrets) => secrets,
            Err(missing) => return Ended::NotTried(NotTried::Secret(missing)),
        };
        let places: &Arc<Semaphore> = match self.is_slow {
            true => &self.parts.slow,
            false => &self.parts.swift,
        };
        // Never closed.
        let _place = places.acquire().await;
        let events = match self.permitted(events) {
            Some(events) if events.is_empty() => return Ended::Nothing,
            Some(events) => events,
            None => return Ended::NotTried(NotTried::Store),
        };
        let told = match self.told(events).await {
            Ok(told) => told,
            Err(error) => {
                tracing::error!(%error, "the message record of an event cannot be read");
                return Ended::NotTried(NotTried::Store);
            }
        };
        let post = self.post(id, &told, &secrets);
        let Parts { client, .. } = &*self.parts;
        Ended::Tried(client.attempt(&self.sink, &self.common.kept, &post).await)
    }

    async fn told(&self, events: Vec<Event>) -> std::io::Result<Vec<Told>> {
        let mut told = Vec::with_capacity(events.len());
        for event in events {
            let message = match format::needs_message(self.sink.format) {
                true => self.parts.outbox.message(&event).await?,
                false => None,
            };
            told.push(Told { event, message });
        }
        Ok(told)
    }

    fn post(&self, id: &str, told: &[Told], secrets: &[Secret]) -> Post {
        let format = self.sink.format;
        let many = match self.sink.batch {
            Some(_) if format != Format::Resend => Many::Batch,
            _ => Many::One,
        };
        let Content { media_type, body } = format::content(format, many, told);
        let names = format::header_names(format);
        let seconds = self.parts.now().as_second();
        let headers = vec![
            ("content-type", media_type.to_owned()),
            (names.id, id.to_owned()),
            (names.timestamp, seconds.to_string()),
            (
                names.signature,
                sign::signatures(secrets, id, seconds, &body),
            ),
        ];
        Post {
            headers,
            body: body.into(),
        }
    }

    pub(super) async fn secrets(&self) -> Result<Vec<Secret>, Missing> {
        let known = self
            .common
            .secrets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some((at, of, secrets)) = known
            && at.elapsed() < SECRETS_BELIEVED
            && Arc::ptr_eq(&of, &self.sink)
        {
            return Ok(secrets);
        }
        let secrets = self.parts.secrets.of(&self.sink).await?;
        let mut known = self
            .common
            .secrets
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *known = Some((Instant::now(), Arc::clone(&self.sink), secrets.clone()));
        Ok(secrets)
    }
}

/// What receivers know a delivery by: the event's id; of several a hash of all
/// of theirs, so that another list is another delivery.
pub(super) fn delivery(sink: &Sink, events: &[(Place, Event)], now_ms: u64) -> Delivery {
    let places = events.iter().map(|(place, _)| *place).collect();
    let id = match (sink.batch, events) {
        (None, [(_, event)]) => event.id.to_string(),
        _ => {
            let ids: Vec<u8> = events.iter().flat_map(|(_, e)| *e.id.as_bytes()).collect();
            let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &ids);
            format!("batch_{}", HEXLOWER.encode(&hash.as_ref()[..16]))
        }
    };
    Delivery::first(id, places, now_ms)
}

/// An open that nobody caused, of a test mail that nobody sent.
fn test_event(sink: &Sink, time: jiff::Timestamp) -> Event {
    let domain = sink.domains.first().map_or("test", String::as_str);
    let domain = format!("{}/{domain}", sink.realm.namespace());
    Event {
        id: Uuid::now_v7(),
        kind: EventKind::Opened,
        time,
        domain: domain.parse().unwrap_or_else(|_| sink.realm.clone()),
        host: "test.invalid".parse().expect("a host name"),
        message_id: TEST_MESSAGE.parse().expect("a message id"),
        recipient: None,
        tags: [].into(),
        link: None,
        client: Client {
            verdict: Verdict::Human,
            ..Client::default()
        },
        first: true,
        test: true,
    }
}
