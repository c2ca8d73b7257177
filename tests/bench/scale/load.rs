//! No reader and no caller is refused, whatever goes on behind.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use kube::Api;
use kube::api::{Patch, PatchParams};
use mailtrail_crds::TrackingDomain;
use mailtrail_tests::{Operator, Program, Replica, follow};
use serde_json::json;

use crate::{Scale, TOKEN, say};

/// Threads that call replicas.
const CALLERS: usize = 2;
/// How long an operator is let lead before it is killed: until the lease of the
/// one before it has expired, and as long again.
const LEADS_FOR: Duration = Duration::from_secs(30);
/// Changes at a time.
const CONCURRENCY: usize = 16;

#[derive(Default)]
struct Counted {
    asked: AtomicUsize,
    refused: AtomicUsize,
}

impl Scale<'_> {
    /// All domains are edited, keys rotate every few seconds, and the operator
    /// is killed twice, while links are made and followed.
    pub(crate) fn storm(&self, operator: Operator, replicas: &[Replica<'_>]) -> Operator {
        operator.kill();
        let (stop, counted) = (AtomicBool::new(false), Counted::default());
        let begun = Instant::now();
        let operator = std::thread::scope(|scope| {
            for caller in 0..CALLERS {
                let (stop, counted) = (&stop, &counted);
                scope.spawn(move || {
                    for at in (caller..).step_by(CALLERS) {
                        if stop.load(Ordering::Relaxed) {
                            return;
                        }
                        self.call(replicas, at, counted);
                    }
                });
            }
            let rotating = [("--rotate-keys", "3s")];
            let first = self.operator(&rotating);
            let edits = scope.spawn(|| self.edit_all());
            std::thread::sleep(LEADS_FOR);
            first.kill();
            let second = self.operator(&rotating);
            edits.join().expect("all edited");
            std::thread::sleep(LEADS_FOR);
            second.kill();
            let third = self.operator(&rotating);
            std::thread::sleep(LEADS_FOR);
            stop.store(true, Ordering::Relaxed);
            third
        });
        let (asked, refused) = (
            counted.asked.load(Ordering::Relaxed),
            counted.refused.load(Ordering::Relaxed),
        );
        say(
            "requests in the storm, refused, seconds",
            &format!("{asked}, {refused}, {:.0}", begun.elapsed().as_secs_f64()),
        );
        assert_eq!(refused, 0, "somebody was refused");
        operator
    }

    /// A mail is rewritten at one replica, and its link followed at another.
    fn call(&self, replicas: &[Replica<'_>], at: usize, counted: &Counted) {
        let (namespace, name, _) = self.name(at % self.domains);
        let request = json!({
            "domain": format!("{namespace}/{name}"), "message_id": format!("m-{at}"),
            "html": "<a href=\"https://shop.example/\">Look</a>",
        });
        let program = |at: usize| -> &Program { replicas[at % replicas.len()].program() };
        counted.asked.fetch_add(1, Ordering::Relaxed);
        let answer = program(at).post_as(TOKEN, "/v1/rewrite", &request);
        if answer.status != 200 {
            counted.refused.fetch_add(1, Ordering::Relaxed);
            return say("refused", &format!("{} {}", answer.status, answer.text()));
        }
        let report = answer.json();
        let Some(url) = report["report"]["links"][0]["url"].as_str() else {
            return;
        };
        counted.asked.fetch_add(1, Ordering::Relaxed);
        let status = follow(program(at + 1).public(), url).map(|answer| answer.status);
        if !matches!(status, Ok(302)) {
            counted.refused.fetch_add(1, Ordering::Relaxed);
            say("refused", &format!("{status:?}"));
        }
    }

    fn edit_all(&self) {
        let edits = (0..self.domains).map(|at| async move {
            let (namespace, name, _) = self.name(at);
            let api: Api<TrackingDomain> = Api::namespaced(self.plane.client(), namespace);
            let patch = json!({"spec": {"clicks": {"enabled": true}, "retention": "30d"}});
            let (params, patch) = (PatchParams::default(), Patch::Merge(&patch));
            api.patch(&name, &params, &patch).await.expect("patched");
        });
        self.plane.block_on(async {
            stream::iter(edits)
                .buffer_unordered(CONCURRENCY)
                .collect::<Vec<()>>()
                .await;
        });
    }
}
