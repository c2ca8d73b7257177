//! How long it takes until many domains are made, and that nothing is written
//! while nothing happens.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use kube::Api;
use kube::api::{ListParams, PostParams};
use mailtrail_crds::TrackingDomain;
use mailtrail_tests::Operator;
use serde_json::json;

use crate::{Scale, read, say};

/// Requests at a time.
const CONCURRENCY: usize = 16;
/// Longest wait for all domains, per thousand.
const PATIENCE_PER_THOUSAND: Duration = Duration::from_secs(60);

/// Pause between two lists of all domains.
const LIST_AGAIN: Duration = Duration::from_secs(2);

/// Who writes nothing for so long has settled.
const SETTLED_FOR: Duration = Duration::from_secs(15);
/// Longest that this is waited for, in such times.
const SETTLES_MAX: usize = 20;

impl Scale<'_> {
    /// Makes all domains, and waits until all of them are programmed.
    pub(crate) fn make(&self, operator: &Operator) {
        let (begun, bytes) = (Instant::now(), read::etcd_bytes(self.plane));
        let made = (0..self.domains).map(|at| self.create(at));
        self.plane.block_on(async {
            stream::iter(made)
                .buffer_unordered(CONCURRENCY)
                .collect::<Vec<()>>()
                .await;
        });
        let created = begun.elapsed();
        say(
            "all created after, s",
            &format!("{:.1}", created.as_secs_f64()),
        );
        self.wait_all_programmed(begun, operator);
        say(
            "all programmed after, s",
            &format!("{:.1}", begun.elapsed().as_secs_f64()),
        );
        let count = self.domains as f64;
        let kib = (read::etcd_bytes(self.plane) - bytes) / 1024.0 / count;
        say("etcd per domain made, KiB", &format!("{kib:.1}"));
        let writes = read::metric(operator, "status_writes_total") / count;
        say("status writes per domain made", &format!("{writes:.2}"));
        let shards = read::metric(operator, "shard_writes_total");
        say("shard writes", &format!("{shards}"));
        say(
            "operator's CPU, s",
            &format!("{:.1}", read::cpu_seconds(operator.pid())),
        );
    }

    async fn create(&self, at: usize) {
        let (namespace, name, host) = self.name(at);
        let api: Api<TrackingDomain> = Api::namespaced(self.plane.client(), namespace);
        let object = json!({
            "apiVersion": "mailtrail.dev/v1alpha1",
            "kind": "TrackingDomain",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "host": host,
                "className": self.install.class(),
                "verification": "None",
                "opens": {"enabled": true},
                "clicks": {"enabled": true},
            },
        });
        let domain = serde_json::from_value(object).expect("a domain");
        api.create(&PostParams::default(), &domain)
            .await
            .expect("made");
    }

    fn wait_all_programmed(&self, begun: Instant, operator: &Operator) {
        let patience =
            PATIENCE_PER_THOUSAND * u32::try_from(self.domains / 1_000 + 1).expect("few");
        // Each has one status write at least. Lists cost the API server more
        // than what is measured: they come when it may be done.
        while read::metric(operator, "status_writes_total") < self.domains as f64
            && begun.elapsed() < patience
        {
            std::thread::sleep(Duration::from_millis(100));
        }
        loop {
            let programmed = self.programmed();
            if programmed == self.domains {
                return;
            }
            assert!(
                begun.elapsed() < patience,
                "{programmed} of {}",
                self.domains
            );
            std::thread::sleep(LIST_AGAIN);
        }
    }

    /// How many are programmed as they are written.
    fn programmed(&self) -> usize {
        let api: Api<TrackingDomain> = Api::all(self.plane.client());
        let mut count = 0;
        let mut params = ListParams::default().limit(1_000);
        loop {
            let page = self.plane.block_on(api.list(&params)).expect("a list");
            count += page
                .items
                .iter()
                .filter(|domain| is_programmed(domain))
                .count();
            match page.metadata.continue_ {
                Some(more) if !more.is_empty() => params = params.continue_token(&more),
                _ => return count,
            }
        }
    }

    /// Nothing happens: nothing is written.
    pub(crate) fn idle(&self, operator: &Operator, time: Duration) {
        let counted = || {
            [
                "status_writes_total",
                "shard_writes_total",
                "claim_writes_total",
            ]
            .map(|name| read::metric(operator, name))
        };
        // What was changed before is still on its way.
        let mut settled = counted();
        for _ in 0..SETTLES_MAX {
            std::thread::sleep(SETTLED_FOR);
            let now = counted();
            if now == std::mem::replace(&mut settled, now) {
                break;
            }
        }
        let (before, cpu) = (counted(), read::cpu_seconds(operator.pid()));
        std::thread::sleep(time);
        let after = counted();
        let writes: f64 = after
            .iter()
            .zip(before)
            .map(|(after, before)| after - before)
            .sum();
        let minutes = time.as_secs_f64() / 60.0;
        say(
            &format!("writes in {minutes:.1} idle minutes"),
            &format!("{writes}"),
        );
        let cpu = read::cpu_seconds(operator.pid()) - cpu;
        say("operator's CPU meanwhile, s", &format!("{cpu:.2}"));
    }
}

fn is_programmed(domain: &TrackingDomain) -> bool {
    let conditions = domain.status.iter().flat_map(|status| &status.conditions);
    let mut programmed = conditions.filter(|condition| condition.type_ == "Programmed");
    programmed.any(|condition| {
        condition.status == "True" && condition.observed_generation == domain.metadata.generation
    })
}
