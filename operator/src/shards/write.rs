//! Brings the shards that stand in the cluster to what is wanted.
//!
//! The first change after a quiet time is written at once, those that follow are
//! gathered for a moment, so that many make one write; a budget of
//! bytes per second keeps etcd from being flooded. Each write carries the
//! resource version that it was decided on: what somebody else wrote meanwhile
//! is looked at first.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{self, FuturesUnordered};
use kube::api::{Api, Patch, PatchParams};
use mailtrail_crds::shard::{SHARD_VERSION, shard_name};
use mailtrail_crds::{ConfigShard, ConfigShardSpec};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Draft, Shards};
use crate::error::{Error, within};
use crate::lease::Fence;
use crate::metrics::Metrics;
use crate::object::{self, MANAGER};
use crate::queue::Inbox;
use crate::replicas::Replicas;

/// After as long without a write a change goes out at once: there is no company
/// to wait for.
const QUIET: Duration = Duration::from_millis(50);
/// How long changes are gathered while the queue of turns is short.
const GATHER: Duration = Duration::from_millis(20);
/// How long they are gathered at most.
const GATHER_LONGEST: Duration = Duration::from_millis(250);
/// As many turns that wait mean that more changes are about to come.
const BUSY: usize = 64;
/// Bytes that may be written in a second.
const BYTES_PER_SECOND: f64 = 4.0 * 1024.0 * 1024.0;
/// Bytes that may be written at once after a quiet time.
const BYTES_AT_ONCE: f64 = 8.0 * 1024.0 * 1024.0;
/// Writes at a time.
const CONCURRENCY: usize = 16;
/// Wait after a write that failed.
const RETRY: Duration = Duration::from_millis(500);

/// Writes shards for as long as the term lasts.
pub struct Writer {
    /// Where to.
    pub api: Api<ConfigShard>,
    /// What.
    pub shards: Arc<Shards>,
    /// Who is named when something is written.
    pub inbox: Arc<Inbox>,
    /// Who is asked whether it is applied.
    pub replicas: Arc<Replicas>,
    /// Whether we still lead.
    pub fence: Fence,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Writer {
    /// Never returns. A shard that is being written, or waits after a failure,
    /// holds up no other.
    pub async fn run(&self) {
        let mut budget = Budget::full(Instant::now());
        let mut writing = HashSet::new();
        let mut writes = FuturesUnordered::new();
        let mut gathering: Option<Gathering> = None;
        let mut written: Option<Instant> = None;
        loop {
            if gathering.is_none()
                && writing.len() < CONCURRENCY
                && !self.shards.is_settled(&writing)
            {
                gathering = Some(self.gathering(written));
            }
            let until = gathering.as_ref().map(|gathering| gathering.until);
            tokio::select! {
                Some(index) = writes.next() => {
                    writing.remove(&index);
                    written = Some(Instant::now());
                }
                () = self.shards.changed(), if gathering.is_none() => {}
                () = until_then(until) => {
                    if gathering.as_mut().is_some_and(|gathering| gathering.goes_on(&self.inbox)) {
                        continue;
                    }
                    gathering = None;
                    let drafts = self.shards.drafts(&writing);
                    for draft in drafts.into_iter().take(CONCURRENCY - writing.len()) {
                        let wait = budget.spend(draft.bytes(), Instant::now());
                        writing.insert(draft.index);
                        writes.push(self.write(draft, wait));
                    }
                }
            }
        }
    }

    fn gathering(&self, written: Option<Instant>) -> Gathering {
        let now = Instant::now();
        let is_quiet = written.is_none_or(|at| now - at > QUIET) && self.inbox.len() <= BUSY;
        Gathering {
            since: now,
            until: if is_quiet { now } else { now + GATHER },
        }
    }

    /// Writes a draft; its number, when the shard may be written again.
    async fn write(&self, draft: Draft, wait: Duration) -> u16 {
        tokio::time::sleep(wait).await;
        let index = draft.index;
        if !self.write_one(draft).await {
            tokio::time::sleep(RETRY).await;
        }
        index
    }

    async fn write_one(&self, draft: Draft) -> bool {
        match self.try_write(&draft).await {
            Ok(object) => {
                self.metrics.shard_writes.inc();
                let bytes = u64::try_from(draft.bytes()).unwrap_or(u64::MAX);
                self.metrics.shard_bytes.inc_by(bytes);
                self.inbox.extend(self.shards.written(&draft, &object));
                self.replicas.wake();
                true
            }
            Err(error) => {
                self.metrics.failed(error.category());
                tracing::warn!(shard = draft.index, %error, "a shard could not be written: tried again");
                // What somebody else wrote meanwhile is known now: it is written
                // again at once. Other trouble is given a moment.
                self.look_again(draft.index, &error).await
            }
        }
    }

    async fn try_write(&self, draft: &Draft) -> Result<ConfigShard, Error> {
        self.fence.check()?;
        const WHAT: &str = "ConfigShard";
        let object = self.object(draft)?;
        let name = shard_name(draft.index);
        match draft.resource_version {
            // Made, not applied: an object that is there after all is not
            // overwritten unseen.
            None => {
                let params = object::post();
                within(WHAT, self.api.create(&params, &object)).await
            }
            Some(_) => {
                let params = PatchParams::apply(MANAGER).force();
                within(WHAT, self.api.patch(&name, &params, &Patch::Apply(&object))).await
            }
        }
    }

    fn object(&self, draft: &Draft) -> Result<ConfigShard, Error> {
        let spec = ConfigShardSpec {
            version: SHARD_VERSION,
            index: draft.index,
            count: self.shards.count(),
            entries: parsed(&draft.entries)?,
            sinks: parsed(&draft.sinks)?,
        };
        let mut object = ConfigShard::new(&shard_name(draft.index), spec);
        object.metadata.resource_version = draft.resource_version.clone();
        object.metadata.labels = Some(object::labels());
        Ok(object)
    }

    /// After a conflict: takes the object's version, and writes on top. Whether
    /// there was one, and that worked.
    async fn look_again(&self, index: u16, error: &Error) -> bool {
        if !matches!(
            error,
            Error::Conflict { .. } | Error::Exists { .. } | Error::NotFound { .. }
        ) {
            return false;
        }
        let name = shard_name(index);
        // Its metadata is enough, and can be read whatever else it holds.
        match within("ConfigShard", self.api.get_metadata_opt(&name)).await {
            Ok(Some(object)) => self.shards.stands(index, &object.metadata),
            Ok(None) => self.shards.forget_object(index),
            Err(_) => return false,
        }
        true
    }

    /// Marks every shard as ours, before a term's first decision: whatever an
    /// earlier holder still writes was decided on an older version and is
    /// refused.
    pub async fn touch_all(&self, holder: &str) -> Result<(), Error> {
        let indices = self.shards.states().into_iter().map(|state| state.index);
        let touches = indices.map(|index| self.touch(index, holder));
        let mut touches = stream::iter(touches).buffer_unordered(CONCURRENCY);
        while let Some(done) = touches.next().await {
            done?;
        }
        Ok(())
    }

    async fn touch(&self, index: u16, holder: &str) -> Result<(), Error> {
        self.fence.check()?;
        let patch = json!({"metadata": {"annotations": {"mailtrail.dev/holder": holder}}});
        let params = PatchParams {
            field_manager: Some(format!("{MANAGER}-lease")),
            ..PatchParams::default()
        };
        let name = shard_name(index);
        let patch = Patch::Merge(&patch);
        let patched = self.api.patch(&name, &params, &patch);
        match within("ConfigShard", patched).await {
            Ok(object) => {
                self.shards.seen(&object);
                Ok(())
            }
            Err(Error::NotFound { .. }) => {
                self.shards.forget_object(index);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

fn parsed(entries: &[Box<str>]) -> Result<Vec<Value>, Error> {
    let parse = |json| {
        serde_json::from_str(json).map_err(|source| Error::Invalid {
            what: "ConfigShard",
            message: source.to_string(),
        })
    };
    entries.iter().map(AsRef::as_ref).map(parse).collect()
}

/// Changes that are gathered.
struct Gathering {
    since: Instant,
    until: Instant,
}

impl Gathering {
    /// Whether it is waited on, because more are about to come.
    fn goes_on(&mut self, inbox: &Inbox) -> bool {
        let more = inbox.len() > BUSY && self.since.elapsed() < GATHER_LONGEST;
        if more {
            self.until += GATHER;
        }
        more
    }
}

/// Never where there is no time to wait for.
async fn until_then(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

impl Draft {
    fn bytes(&self) -> usize {
        let entries = self.entries.iter().chain(&self.sinks);
        entries.map(|entry| entry.len()).sum()
    }
}

/// A bucket that fills by [`BYTES_PER_SECOND`], up to [`BYTES_AT_ONCE`].
struct Budget {
    left: f64,
    at: Instant,
}

impl Budget {
    fn full(now: Instant) -> Self {
        Self {
            left: BYTES_AT_ONCE,
            at: now,
        }
    }

    /// Takes bytes out; how long to wait until they are there.
    fn spend(&mut self, bytes: usize, now: Instant) -> Duration {
        let gained = now.duration_since(self.at).as_secs_f64() * BYTES_PER_SECOND;
        self.at = now;
        // An f64 holds every size that fits into memory exactly enough.
        self.left = (self.left + gained).min(BYTES_AT_ONCE) - bytes as f64;
        Duration::from_secs_f64((-self.left).max(0.0) / BYTES_PER_SECOND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_lets_a_burst_through_and_then_a_rate() {
        let now = Instant::now();
        let mut budget = Budget::full(now);
        assert_eq!(budget.spend(8 << 20, now), Duration::ZERO);
        assert_eq!(budget.spend(4 << 20, now), Duration::from_secs(1));
        let later = now + Duration::from_secs(60);
        assert_eq!(budget.spend(8 << 20, later), Duration::ZERO);
    }
}
