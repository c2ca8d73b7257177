//! How long it takes from a flipped toggle to three replicas that obey.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use mailtrail_crds::TrackingDomain;
use mailtrail_tests::{Operator, Program, Replica};
use serde_json::{Value, json};

use crate::{Scale, TOKEN, read, say};

/// Longest wait for a flip to arrive; one that takes longer counts as that.
const PATIENCE: Duration = Duration::from_secs(20);
/// Pause between two looks at a replica while nothing else happens.
pub(crate) const LOOK: Duration = Duration::from_millis(4);
/// The same under changes: all three are asked for as long as a flip takes, which
/// would take half a core from what is measured.
pub(crate) const LOOK_UNDER_CHANGES: Duration = Duration::from_millis(20);
/// Pause between two flips, so that each stands for itself.
const REST: Duration = Duration::from_millis(100);
/// Most changes on their way at a time: each has a connection of its own, and
/// one who opens ever more of them measures handshakes. Changes that are due
/// wait, which shows in how many a second there were.
const CHANGES_AT_A_TIME: usize = 16;

impl Scale<'_> {
    /// Flips toggles one by one; the times until all replicas obey.
    pub(crate) fn flips(
        &self,
        operator: &Operator,
        replicas: &[Replica<'_>],
        (count, look): (usize, Duration),
    ) -> String {
        let before = (
            read::metric(operator, "status_writes_total"),
            read::etcd_bytes(self.plane),
        );
        let begun = Instant::now();
        let mut times: Vec<_> = (0..count).map(|at| self.flip(replicas, at, look)).collect();
        std::thread::sleep(Duration::from_secs(2));
        let status = read::metric(operator, "status_writes_total") - before.0;
        let bytes = read::etcd_bytes(self.plane) - before.1;
        say(
            "  status writes, etcd KiB, seconds",
            &format!(
                "{status}, {:.0}, {:.1}",
                bytes / 1024.0,
                begun.elapsed().as_secs_f64(),
            ),
        );
        times.sort_unstable();
        let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
        format!(
            "p50 {:.1} ms, p99 {:.1} ms, worst {:.1} ms",
            at(0.5),
            at(0.99),
            at(1.0)
        )
    }

    fn flip(&self, replicas: &[Replica<'_>], round: usize, look: Duration) -> Duration {
        std::thread::sleep(REST);
        // A domain that the changes meanwhile do not touch.
        let at = round % (self.domains / 2);
        let (namespace, name, _) = self.name(at);
        let api: Api<TrackingDomain> = Api::namespaced(self.plane.client(), namespace);
        let now = self.plane.block_on(api.get(&name)).expect("it is there");
        let wanted = !now.spec.clicks.enabled;
        let begun = Instant::now();
        self.plane.block_on(set_clicks(&api, &name, wanted));
        let domain = format!("{namespace}/{name}");
        std::thread::scope(|scope| {
            for replica in replicas {
                let (program, domain) = (replica.program(), &domain);
                scope.spawn(move || {
                    let agent = ureq::Agent::new_with_defaults();
                    while tracks(&agent, program, domain) != wanted && begun.elapsed() < PATIENCE {
                        std::thread::sleep(look);
                    }
                });
            }
        });
        begun.elapsed()
    }
}

async fn set_clicks(api: &Api<TrackingDomain>, name: &str, wanted: bool) {
    let patch = json!({"spec": {"clicks": {"enabled": wanted}}});
    let (params, patch) = (PatchParams::default(), Patch::Merge(&patch));
    api.patch(name, &params, &patch).await.expect("patched");
}

/// Asks over a connection that is kept: a new one for each look would cost the
/// machine more than what is measured.
fn tracks(agent: &ureq::Agent, program: &Program, domain: &str) -> bool {
    let request = json!({
        "domain": domain, "message_id": "m", "dry_run": true,
        "html": "<a href=\"https://shop.example/\">Look</a>",
    });
    let url = format!("http://{}/v1/rewrite", program.api());
    let asked = agent
        .post(url)
        .header("authorization", format!("Bearer {TOKEN}"))
        .send_json(request);
    let body = asked.and_then(|mut answer| answer.body_mut().read_json::<Value>());
    body.expect("an answer")["report"]["links"][0]["tracked"] == true
}

/// Other domains that change all the time.
pub(crate) struct Changing {
    stop: Arc<AtomicBool>,
    changed: Arc<AtomicUsize>,
    begun: Instant,
    thread: JoinHandle<()>,
}

impl Changing {
    pub(crate) fn start(scale: &Scale<'_>, per_second: u32) -> Self {
        let (stop, changed) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let names: Vec<_> = (scale.domains / 2..scale.domains)
            .map(|at| scale.name(at))
            .map(|(namespace, name, _)| (namespace.to_owned(), name))
            .collect();
        let (until, count, client) = (
            Arc::clone(&stop),
            Arc::clone(&changed),
            scale.plane.client(),
        );
        let runtime = scale.plane.handle();
        let thread = std::thread::spawn(move || {
            let begun = Instant::now();
            let due = (0_u32..).map(|at| begun + Duration::from_secs(1) * at / per_second);
            let changes = stream::iter(due.enumerate())
                .take_while(|_| std::future::ready(!until.load(Ordering::Relaxed)))
                .map(|(at, due)| {
                    let (namespace, name) = names[at % names.len()].clone();
                    let (client, count, all) = (client.clone(), &count, names.len());
                    async move {
                        tokio::time::sleep_until(due.into()).await;
                        change(client, namespace, name, at / all).await;
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                })
                .buffer_unordered(CHANGES_AT_A_TIME);
            runtime.block_on(changes.collect::<()>());
        });
        Self {
            stop,
            changed,
            begun: Instant::now(),
            thread,
        }
    }

    /// How many a second there were.
    pub(crate) fn stop(self) -> f64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("no panic");
        self.changed.load(Ordering::Relaxed) as f64 / self.begun.elapsed().as_secs_f64()
    }
}

async fn change(client: Client, namespace: String, name: String, round: usize) {
    let api: Api<TrackingDomain> = Api::namespaced(client, &namespace);
    set_clicks(&api, &name, !round.is_multiple_of(2)).await;
}
