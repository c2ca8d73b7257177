//! A worker for each sink that is declared, for as long as it is.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mailtrail_core::id::Realm;
use mailtrail_core::sink::{Sink, Sinks};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::handle::{self, COMMANDS_MAX};
use super::worker::{End, Worker};
use super::{GONE_KEPT, Handle, Parts, SINKS_MAX};

/// How often gauges are summed up.
const SUM_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked for what is kept of sinks that are gone.
const FORGET_EVERY: Duration = Duration::from_secs(60 * 60);
/// When the first time: not before all that is declared is known here, where
/// another replica may deliver for it.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// What is told to a worker: what the sink says by now, or that it is to end.
type Told = watch::Sender<Result<Arc<Sink>, End>>;

/// Delivers until `stop` ends. Attempts that are under way then have a moment.
pub async fn run(
    parts: Parts,
    mut sinks: watch::Receiver<Arc<Sinks>>,
    handle: Handle,
    stop: impl Future<Output = ()>,
) {
    let mut engine = Engine {
        parts: Arc::new(parts),
        handle,
        told: HashMap::new(),
        workers: JoinSet::new(),
    };
    tokio::pin!(stop);
    let mut sum = tokio::time::interval(SUM_EVERY);
    let mut forget = tokio::time::interval_at(Instant::now() + FORGET_AFTER, FORGET_EVERY);
    let declared = sinks.borrow_and_update().clone();
    engine.follow(&declared);
    loop {
        tokio::select! {
            () = &mut stop => break,
            changed = sinks.changed() => {
                if changed.is_err() {
                    // Nobody declares any more: what is known stays.
                    stop.await;
                    break;
                }
                let declared = sinks.borrow_and_update().clone();
                engine.follow(&declared);
            }
            Some(_) = engine.workers.join_next() => {}
            _ = sum.tick() => engine.parts.metrics.sum(engine.parts.now_ms()),
            _ = forget.tick() => engine.forget().await,
        }
    }
    engine.stop().await;
}

struct Engine {
    parts: Arc<Parts>,
    handle: Handle,
    told: HashMap<Realm, Told>,
    workers: JoinSet<()>,
}

impl Engine {
    fn follow(&mut self, declared: &Sinks) {
        self.told.retain(|realm, told| {
            let still = declared.contains_key(realm);
            if !still {
                self.handle.remove(realm);
                tracing::info!(sink = %realm, "event sink no longer declared: nothing more is delivered");
                let _ = told.send_replace(Err(End::Gone));
            }
            still
        });
        for (realm, sink) in declared {
            match self.told.get(realm) {
                Some(told) => {
                    self.handle.update(sink);
                    told.send_if_modified(|known| {
                        let same = known.as_ref().is_ok_and(|known| known == sink);
                        *known = Ok(Arc::clone(sink));
                        !same
                    });
                }
                None if self.told.len() < SINKS_MAX => self.start(sink),
                None => {
                    tracing::error!(sink = %realm, most = SINKS_MAX, "too many event sinks: nothing is delivered to this one");
                }
            }
        }
    }

    fn start(&mut self, sink: &Arc<Sink>) {
        let (told, declared) = watch::channel(Ok(Arc::clone(sink)));
        let (to, commands) = mpsc::channel(COMMANDS_MAX);
        let report = handle::Told::default();
        self.handle.add(sink, to, Arc::clone(&report));
        self.told.insert(sink.realm.clone(), told);
        let worker = Worker::new(
            Arc::clone(&self.parts),
            Arc::clone(sink),
            declared,
            commands,
            report,
        );
        self.workers.spawn(worker.run());
    }

    /// Forgets what is kept of sinks that are gone for long.
    async fn forget(&self) {
        let outbox = &self.parts.outbox;
        let Ok(known) = outbox.known().await else {
            return;
        };
        for realm in known.iter().filter(|realm| !self.told.contains_key(*realm)) {
            let Ok(Some(mut state)) = outbox.load(realm).await else {
                continue;
            };
            let now = self.parts.now_ms();
            let since = *state.gone_since_ms.get_or_insert(now);
            let done = match now.saturating_sub(since) >= GONE_KEPT.as_millis() as u64 {
                true => outbox.forget(realm).await,
                false if since == now => outbox.save(realm, state).await.map(|_| ()),
                false => Ok(()),
            };
            if let Err(error) = done {
                tracing::warn!(sink = %realm, %error, "what is kept of a sink that is gone cannot be changed");
            }
        }
    }

    async fn stop(mut self) {
        for told in self.told.values() {
            let _ = told.send_replace(Err(End::Stop));
        }
        while self.workers.join_next().await.is_some() {}
    }
}
