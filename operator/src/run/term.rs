//! One term of leading: from the lease's gain to its loss.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::Api;
use kube::api::ListParams;
use kube::core::DeserializeGuard;
use kube::runtime::events::Reporter;
use mailtrail_crds::ConfigShard;
use tokio::sync::watch::Receiver;
use tokio::task::JoinSet;

use super::Shared;
use crate::domain::{self, Context, gone};
use crate::error::{Error, within};
use crate::expose::Exposer;
use crate::expose::routes::Routes;
use crate::keyring::{Keeper, Keys};
use crate::lease::{Candidate, Fence, Term};
use crate::object::MANAGER;
use crate::passes::{Passes, STATUSES_AT_A_TIME};
use crate::queue;
use crate::replicas::ask::Asker;
use crate::replicas::{Replicas, follow};
use crate::shards::write::Writer;
use crate::shards::{self, Shards};
use crate::sink::account::Account;
use crate::sink::follow::Followed;
use crate::sink::{self, reseal};
use crate::subject::Subject;
use crate::tell::{Grace, Teller};
use crate::verify::Verifier;
use crate::verify::watch::Watcher;

/// Shards per page of a list: each may be large.
const PAGE: u32 = 16;
/// Wait after a beginning that failed.
const RETRY: Duration = Duration::from_secs(1);

/// Leads whenever the lease is ours; never returns.
pub(super) async fn lead(shared: &Arc<Shared>, candidate: &Candidate) {
    let mut leads = candidate.leads();
    loop {
        let Some(term) = next_term(&mut leads).await else {
            return;
        };
        shared.metrics.leading.set(1);
        let fence = candidate.fence(term);
        tokio::select! {
            () = serve_term(shared, fence) => {}
            () = ended(&mut leads, term) => {}
        }
        shared.metrics.leading.set(0);
        shared.metrics.no_routes();
    }
}

/// The term that begins now or next; none when nobody tells any more.
async fn next_term(leads: &mut Receiver<Option<Term>>) -> Option<Term> {
    *leads.wait_for(Option::is_some).await.ok()?
}

async fn ended(leads: &mut Receiver<Option<Term>>, term: Term) {
    // An error says that the candidate is gone, which ends the term as well.
    let _ = leads.wait_for(|now| *now != Some(term)).await;
}

/// Does what a term is for; never returns.
async fn serve_term(shared: &Arc<Shared>, fence: Fence) {
    shared.synced.clone().wait().await;
    let begun = loop {
        match begin(shared, &fence).await {
            Ok(begun) => break begun,
            Err(error) => {
                shared.metrics.failed(error.category());
                tracing::warn!(error = %crate::watch::chain(&error), "the term does not begin yet: tried again");
                tokio::time::sleep(RETRY).await;
            }
        }
    };
    begun.go_on(shared).await;
}

/// What a term works with, once it has begun.
struct Begun {
    context: Arc<Context>,
    sinks: Arc<sink::Context>,
    exposer: Option<Exposer>,
    keeper: Keeper,
    writer: Writer,
    keys: Arc<Keys>,
}

async fn begin(shared: &Arc<Shared>, fence: &Fence) -> Result<Begun, Error> {
    let standing = standing(shared).await?;
    let count = count(&standing, shared.settings.shards);
    let shards = Arc::new(Shards::new(count));
    for object in &standing {
        shards.adopt(object);
    }
    let replicas = Arc::new(Replicas::new(
        Arc::clone(&shards),
        Arc::clone(&shared.inbox),
    ));
    let keys = Arc::new(Keys::default());
    let writer = Writer {
        api: Api::namespaced(shared.client.clone(), &shared.namespace),
        shards: Arc::clone(&shards),
        inbox: Arc::clone(&shared.inbox),
        replicas: Arc::clone(&replicas),
        fence: fence.clone(),
        metrics: Arc::clone(&shared.metrics),
    };
    // From here on nothing that an earlier holder decided can land.
    let holder = &shared.settings.identity;
    writer.touch_all(holder).await?;
    let keeper = keeper(shared, fence, &keys, &replicas);
    let (_, claims) = shared.world.counts();
    let is_new = claims == 0 && shards.subjects().is_empty();
    keeper.begin(is_new, holder).await;
    let exposer = exposer(shared, fence, &shards);
    let mut context = context(shared, fence, &shards, &replicas);
    context.exposed = exposer.as_ref().and_then(Exposer::exposed);
    let context = Arc::new(context);
    let account = account(shared).await;
    let sinks = Arc::new(sinks(shared, &context, &keys, account));
    Ok(Begun {
        context,
        sinks,
        exposer,
        keeper,
        writer,
        keys,
    })
}

/// As whom we are known. Where the API server does not say, our usual name is told
/// to people: nothing else depends on it.
async fn account(shared: &Shared) -> Account {
    Account::ask(&shared.client).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the API server does not say who we are: the usual ServiceAccount is named");
        Account::Service(shared.namespace.clone(), MANAGER.to_owned())
    })
}

/// The shards that stand in the cluster; those that cannot be read are left out
/// and written anew.
async fn standing(shared: &Shared) -> Result<Vec<ConfigShard>, Error> {
    let api: Api<DeserializeGuard<ConfigShard>> =
        Api::namespaced(shared.client.clone(), &shared.namespace);
    let mut standing = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = within("ConfigShards", api.list(&params)).await?;
        standing.extend(page.items.into_iter().filter_map(|object| object.0.ok()));
        match page.metadata.continue_ {
            Some(more) if !more.is_empty() => params = params.continue_token(&more),
            _ => return Ok(standing),
        }
    }
}

/// How many shards there are: an install keeps the number it began with, since
/// another would move most entries.
fn count(standing: &[ConfigShard], wished: u16) -> u16 {
    let counts = standing.iter().map(|shard| shard.spec.count);
    match counts.max().filter(|count| *count > 0) {
        Some(count) if count != wished => {
            tracing::warn!(
                count,
                wished,
                "--shards is not what this install began with, and is passed over"
            );
            count
        }
        Some(count) => count,
        None => wished,
    }
}

fn keeper(shared: &Shared, fence: &Fence, keys: &Arc<Keys>, replicas: &Arc<Replicas>) -> Keeper {
    Keeper {
        api: Api::<Secret>::namespaced(shared.client.clone(), &shared.namespace),
        keys: Arc::clone(keys),
        replicas: Arc::clone(replicas),
        fence: fence.clone(),
        metrics: Arc::clone(&shared.metrics),
        rotate_after: shared.settings.rotate_keys,
        clock: Timestamp::now,
    }
}

fn context(
    shared: &Shared,
    fence: &Fence,
    shards: &Arc<Shards>,
    replicas: &Arc<Replicas>,
) -> Context {
    let reporter = Reporter {
        controller: MANAGER.to_owned(),
        instance: Some(shared.settings.identity.clone()),
    };
    let teller = Teller {
        client: shared.client.clone(),
        reporter,
        metrics: Arc::clone(&shared.metrics),
    };
    let passes = Passes::new(STATUSES_AT_A_TIME, Arc::clone(&shared.inbox));
    Context {
        client: shared.client.clone(),
        class: shared.settings.class.clone(),
        watched: shared.settings.watch_namespaces.clone(),
        world: Arc::clone(&shared.world),
        policy: shared.policy.clone(),
        shards: Arc::clone(shards),
        replicas: Arc::clone(replicas),
        verifier: Arc::new(Verifier::default()),
        exposed: None,
        absences: gone::Absences::new(Arc::clone(&shared.metrics)),
        grace: Grace::default(),
        inbox: Arc::clone(&shared.inbox),
        passes: Arc::new(passes),
        teller,
        fence: fence.clone(),
        metrics: Arc::clone(&shared.metrics),
        clock: Timestamp::now,
    }
}

/// What looks at hosts from outside.
fn watcher(shared: &Shared, context: &Context, keys: &Arc<Keys>) -> Watcher {
    Watcher {
        verifier: Arc::clone(&context.verifier),
        resolver: shared.resolver.clone(),
        prober: shared.prober.clone(),
        keys: Arc::clone(keys),
        inbox: Arc::clone(&shared.inbox),
        metrics: Arc::clone(&shared.metrics),
    }
}

/// What lets hosts out, where that is asked for.
fn exposer(shared: &Shared, fence: &Fence, shards: &Arc<Shards>) -> Option<Exposer> {
    let exposure = shared.exposure.as_ref()?;
    let class = &shared.settings.class;
    let (hosts, domains) = (&shared.hosts, &shared.inbox);
    let metrics = Arc::clone(&shared.metrics);
    let routes = Routes::new(
        class.clone(),
        Arc::clone(hosts),
        Arc::clone(domains),
        metrics,
    );
    Some(Exposer {
        client: shared.client.clone(),
        namespace: shared.namespace.clone(),
        class: class.clone(),
        exposure: Arc::clone(exposure),
        world: Arc::clone(&shared.world),
        shards: Arc::clone(shards),
        routes: Arc::new(routes),
        policy: shared.policy.clone(),
        hosts: Arc::clone(hosts),
        fence: fence.clone(),
        metrics: Arc::clone(&shared.metrics),
    })
}

/// What turns of sinks work with: the same, as far as they share it.
fn sinks(shared: &Shared, domains: &Context, keys: &Arc<Keys>, account: Account) -> sink::Context {
    let (client, inbox, metrics) = (&shared.client, &shared.inbox, &shared.metrics);
    let parts = || (client.clone(), Arc::clone(inbox), Arc::clone(metrics));
    let (secrets, services, slices) = (parts(), parts(), parts());
    sink::Context {
        client: client.clone(),
        class: domains.class.clone(),
        watched: domains.watched.clone(),
        cluster_domain: shared.settings.cluster_domain.clone(),
        known: Arc::clone(&shared.sinks),
        secrets: Followed::new(secrets.0, secrets.1, secrets.2),
        services: Followed::new(services.0, services.1, services.2),
        slices: Followed::new(slices.0, slices.1, slices.2),
        account,
        keys: Arc::clone(keys),
        shards: Arc::clone(&domains.shards),
        replicas: Arc::clone(&domains.replicas),
        grace: Grace::default(),
        passes: Arc::clone(&domains.passes),
        teller: domains.teller.clone(),
        fence: domains.fence.clone(),
        metrics: Arc::clone(metrics),
        clock: domains.clock,
    }
}

impl Begun {
    /// Turns, writes and questions, side by side; never returns.
    async fn go_on(self, shared: &Arc<Shared>) {
        let Self {
            context,
            sinks,
            exposer,
            keeper,
            writer,
            keys,
        } = self;
        let mut tasks = JoinSet::new();
        let metrics = &shared.metrics;
        let replicas = Arc::clone(&context.replicas);
        tasks.spawn(watcher(shared, &context, &keys).run());
        let inbox = Arc::clone(&shared.inbox);
        tasks.spawn(reseal(
            Arc::clone(&keys),
            Arc::clone(&context.shards),
            inbox,
        ));
        let asker = Asker::new(keys, Arc::clone(&replicas), Arc::clone(metrics));
        let pods = Api::<Pod>::namespaced(shared.client.clone(), &shared.namespace);
        let labels = shared.settings.replicas.clone();
        tasks.spawn(follow::follow(
            pods,
            labels,
            replicas,
            asker,
            Arc::clone(metrics),
        ));
        tasks.spawn(async move { keeper.run().await });
        let api = Api::namespaced(shared.client.clone(), &shared.namespace);
        let watched = shards::watch::follow(api, Arc::clone(&context.shards), Arc::clone(metrics));
        tasks.spawn(watched);
        tasks.spawn(async move { writer.run().await });
        if let Some(exposer) = exposer {
            tasks.spawn(exposer.run());
        }
        // All that there is anything to know of has a turn.
        shared.inbox.extend(context.world.realms());
        shared.inbox.extend(sinks.known.subjects());
        shared.inbox.extend(context.shards.subjects());
        queue::run(&shared.inbox, queue::CONCURRENCY_MAX, |subject| {
            let (context, sinks) = (Arc::clone(&context), Arc::clone(&sinks));
            async move {
                match subject {
                    Subject::Domain(realm) => domain::turn(realm, context).await,
                    Subject::Sink(name) => sink::turn(name, sinks).await,
                }
            }
        })
        .await;
    }
}
