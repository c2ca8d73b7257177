//! The routes that stand, and what came of each host. Pure but for the lock.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::core::{DynamicObject, ObjectMeta};
use mailtrail_core::id::{Host, Realm};
use serde_json::{Value, json};

use super::build::{CLASS, Kind, is_found};
use super::outcome::Outcome;
use crate::condition::Finding;
use crate::metrics::Metrics;
use crate::object::MANAGER;
use crate::queue::Inbox;
use crate::watch::Named;

/// What stands of one kind, in the install's namespace.
#[derive(Debug)]
pub struct Routes {
    class: String,
    known: Mutex<Known>,
    hosts: Arc<Inbox<Host>>,
    domains: Arc<Inbox>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Known {
    sight: Sight,
    there: HashMap<Host, Stood>,
    /// Bounded by the number of claims.
    outcomes: HashMap<Host, Outcome>,
    /// How many hosts came to each, so that no change counts them all.
    tally: HashMap<Outcome, usize>,
    /// When each was written last, of those that still stand.
    written: HashMap<Host, Instant>,
    /// Specs as the API server answered our writes with, where it adds what we do not
    /// know; by the mark of what was written.
    settled: HashMap<Host, (Value, Value)>,
}

/// Whether it is known what stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// Not yet.
    NotYet,
    /// It is.
    Clear,
    /// The cluster does not know the kind.
    NoSuchKind,
    /// We may not look.
    Forbidden,
}

/// What is known of the object of a host's name.
#[derive(Debug, PartialEq)]
pub enum Standing {
    /// Nothing yet.
    Unknown,
    /// There is none.
    Absent,
    /// There is one.
    There(Stood),
    /// The cluster does not know the kind.
    NoSuchKind,
    /// We may not look.
    Forbidden,
}

/// An object that stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Stood {
    /// Tells it from another of its name.
    pub uid: String,
    /// The version that was seen.
    pub version: String,
    /// Whose it is.
    pub ownership: Ownership,
    /// What of it decides whether it is as wanted, as text: thousands are held.
    pub live: Box<str>,
}

/// Whose an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// Somebody else's.
    Foreign,
    /// Made by an operator, and labelled with another install's class, by that
    /// install or by somebody who has changed the label: whose claim owns it decides.
    Relabelled,
    /// Ours, as it was created: what we own of it stands there as of an update.
    Created,
    /// Ours, and applied.
    Applied,
}

impl Stood {
    /// The object, as far as it was kept.
    pub fn live(&self) -> Value {
        serde_json::from_str(&self.live).unwrap_or_default()
    }
}

impl Routes {
    /// Nothing is known yet. Hosts are named when an object of their name changes,
    /// realms when that changes what their status says.
    pub fn new(
        class: String,
        hosts: Arc<Inbox<Host>>,
        domains: Arc<Inbox>,
        metrics: Arc<Metrics>,
    ) -> Self {
        // What another term counted is counted anew.
        metrics.no_routes();
        let known = Known {
            sight: Sight::NotYet,
            there: HashMap::new(),
            outcomes: HashMap::new(),
            tally: HashMap::new(),
            written: HashMap::new(),
            settled: HashMap::new(),
        };
        Self {
            class,
            known: Mutex::new(known),
            hosts,
            domains,
            metrics,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of the object of a host's name.
    pub fn standing(&self, host: &Host) -> Standing {
        let known = self.lock();
        match known.sight {
            Sight::NotYet => Standing::Unknown,
            Sight::NoSuchKind => Standing::NoSuchKind,
            Sight::Forbidden => Standing::Forbidden,
            Sight::Clear => match known.there.get(host) {
                Some(there) => Standing::There(there.clone()),
                None => Standing::Absent,
            },
        }
    }

    // --- What stands ---

    /// Whether it is known what stands. Where that turns every host is looked at again.
    pub fn sees(&self, sight: Sight) {
        let mut known = self.lock();
        if known.sight == sight {
            return;
        }
        known.sight = sight;
        if sight == Sight::NoSuchKind {
            // They went with their definition.
            known.there.clear();
        }
        let all: HashSet<_> = known
            .outcomes
            .keys()
            .chain(known.there.keys())
            .cloned()
            .collect();
        drop(known);
        self.hosts.extend(all);
    }

    /// An object was made or changed, by us or by others; whether it differs from
    /// what was known.
    pub fn seen(&self, object: &DynamicObject) -> bool {
        let Some((host, stood)) = self.stood(object) else {
            return false;
        };
        let mut known = self.lock();
        if known
            .there
            .get(&host)
            .is_some_and(|before| is_older(&stood, before))
        {
            return false;
        }
        let before = known.there.insert(host.clone(), stood.clone());
        drop(known);
        let differs = before.is_none_or(|before| {
            before.uid != stood.uid
                || before.ownership != stood.ownership
                || before.live != stood.live
        });
        if differs {
            self.hosts.push(host);
        }
        differs
    }

    /// An object is gone.
    pub fn gone(&self, host: &Host, uid: &str) {
        let mut known = self.lock();
        if known.there.get(host).is_none_or(|there| there.uid != uid) {
            return;
        }
        known.there.remove(host);
        drop(known);
        self.hosts.push(host.clone());
    }

    /// Name and UID of each that is known to stand.
    pub fn all_standing(&self) -> HashSet<Named> {
        let known = self.lock();
        let there = known.there.iter();
        there
            .map(|(host, there)| (host.to_string(), there.uid.clone()))
            .collect()
    }

    fn stood(&self, object: &DynamicObject) -> Option<(Host, Stood)> {
        let meta = &object.metadata;
        let host = meta.name.as_deref()?.parse().ok()?;
        let live = json!({
            "metadata": {
                "labels": meta.labels,
                "annotations": meta.annotations,
                "ownerReferences": meta.owner_references,
            },
            "spec": object.data["spec"],
        });
        let stood = Stood {
            uid: meta.uid.clone()?,
            version: meta.resource_version.clone()?,
            ownership: ownership(meta, &self.class),
            live: live.to_string().into(),
        };
        Some((host, stood))
    }

    // --- What came of it ---

    /// When a host's route was written last, in this term.
    pub fn written(&self, host: &Host) -> Option<Instant> {
        self.lock().written.get(host).copied()
    }

    /// A host's route is written.
    pub fn writes(&self, host: &Host, now: Instant) {
        self.lock().written.insert(host.clone(), now);
    }

    /// What came of a host; nothing of one that is not claimed. The realm whose it is
    /// is named where that is news.
    pub fn came_to(&self, host: &Host, outcome: Option<Outcome>, realm: Option<&Realm>) {
        let mut known = self.lock();
        let before = match outcome {
            Some(outcome) => known.outcomes.insert(host.clone(), outcome),
            None => {
                known.written.remove(host);
                known.settled.remove(host);
                known.outcomes.remove(host)
            }
        };
        if before == outcome {
            return;
        }
        // Under the lock, so that no count overtakes a newer one.
        for (outcome, count) in known.moved(before, outcome) {
            self.metrics.routes(outcome, count);
        }
        drop(known);
        if let Some(realm) = realm {
            self.domains.push(realm.clone());
        }
    }

    /// The API server adds something to what we write: a default of a version that
    /// is newer than we are, or what an admission webhook is told to add. That is no
    /// stranger's, and part of what is wanted from then on.
    pub fn settles(&self, host: &Host, applied: &Value, spec: &Value) {
        let settled = (applied.clone(), spec.clone());
        self.lock().settled.insert(host.clone(), settled);
    }

    /// The spec that the API server made of what was written with this mark.
    pub fn settled(&self, host: &Host, applied: &Value) -> Option<Value> {
        let known = self.lock();
        let (of, spec) = known.settled.get(host)?;
        (of == applied).then(|| spec.clone())
    }

    /// Whether a host's route stands, as wanted.
    pub fn is_in_place(&self, host: &Host) -> bool {
        self.lock().outcomes.get(host) == Some(&Outcome::InPlace)
    }

    /// What the status of a domain with these hosts is to say; nothing where none of
    /// them is to get out.
    pub fn exposed(&self, hosts: &[Host], kind: Kind) -> Option<Finding> {
        let known = self.lock();
        let of = |host: &Host| {
            known
                .outcomes
                .get(host)
                .copied()
                .unwrap_or(Outcome::Waiting)
        };
        let hosts = hosts.iter().filter(|host| is_found(host));
        let worst = hosts
            .map(|host| (of(host).rank(), host))
            .max_by_key(|(rank, _)| *rank)?;
        let outcome = of(worst.1);
        drop(known);
        Some(outcome.finding(worst.1, kind))
    }
}

impl Known {
    /// A host came from one outcome to another; the counts that changed by that.
    fn moved(
        &mut self,
        from: Option<Outcome>,
        to: Option<Outcome>,
    ) -> impl Iterator<Item = (Outcome, usize)> {
        let from = from.map(|outcome| {
            let count = self.tally.entry(outcome).or_default();
            *count = count.saturating_sub(1);
            (outcome, *count)
        });
        let to = to.map(|outcome| {
            let count = self.tally.entry(outcome).or_default();
            *count += 1;
            (outcome, *count)
        });
        from.into_iter().chain(to)
    }
}

/// Whose an object is: that of the class it is labelled with; without the label, of
/// whoever stands among its managers. Of a label that says another class the claim
/// is asked later.
fn ownership(meta: &ObjectMeta, class: &str) -> Ownership {
    let managers = meta.managed_fields.as_deref().unwrap_or_default();
    let is_made = managers.iter().any(is_our_name);
    match meta.labels.as_ref().and_then(|labels| labels.get(CLASS)) {
        Some(of) if of != class && is_made => Ownership::Relabelled,
        Some(of) if of != class => Ownership::Foreign,
        None if !is_made => Ownership::Foreign,
        _ if managers.iter().any(is_created) => Ownership::Created,
        _ => Ownership::Applied,
    }
}

fn is_our_name(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(MANAGER) && entry.subresource.is_none()
}

/// Whether an entry among an object's managers says that we created it.
pub(super) fn is_created(entry: &ManagedFieldsEntry) -> bool {
    is_our_name(entry) && entry.operation.as_deref() == Some("Update")
}

/// Whether a state of an object is an earlier one: watches lag behind our own writes.
fn is_older(new: &Stood, known: &Stood) -> bool {
    let version = |stood: &Stood| stood.version.parse::<u64>().ok();
    new.uid == known.uid
        && matches!((version(new), version(known)), (Some(new), Some(known)) if new < known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::condition::Reason;

    fn routes() -> Routes {
        counted(&Arc::default())
    }

    fn counted(metrics: &Arc<Metrics>) -> Routes {
        let metrics = Arc::clone(metrics);
        Routes::new("two".to_owned(), Arc::default(), Arc::default(), metrics)
    }

    fn host(name: &str) -> Host {
        name.parse().expect("a host")
    }

    fn object(version: &str, labels: Value, managers: Value) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": "a.example", "uid": "o", "resourceVersion": version, "labels": labels, "managedFields": managers},
            "spec": {"rules": []},
        }))
        .expect("an object")
    }

    #[test]
    fn whose_an_object_is_is_said_by_its_class_or_by_its_managers() {
        let of = |labels: Value, managers: Value| {
            ownership(&object("1", labels, managers).metadata, "two")
        };
        let ours = json!([{"manager": "else", "operation": "Update"}, {"manager": "mailtrail-operator", "operation": "Update"}]);
        let applied = json!([{"manager": "mailtrail-operator", "operation": "Apply"}]);
        let labelled = |class: &str| json!({ CLASS: class });
        assert_eq!(of(json!({}), json!([])), Ownership::Foreign);
        assert_eq!(of(labelled("two"), json!([])), Ownership::Applied);
        assert_eq!(of(labelled("two"), ours.clone()), Ownership::Created);
        assert_eq!(of(labelled("one"), json!([])), Ownership::Foreign);
        assert_eq!(of(labelled("one"), applied.clone()), Ownership::Relabelled);
        assert_eq!(of(labelled("one"), ours.clone()), Ownership::Relabelled);
        assert_eq!(of(json!({}), applied), Ownership::Applied);
        assert_eq!(of(json!({}), ours), Ownership::Created);
    }

    #[test]
    fn an_older_state_does_not_replace_a_newer_one() {
        let routes = routes();
        routes.sees(Sight::Clear);
        assert!(routes.seen(&object("9", json!({}), json!([]))));
        assert!(!routes.seen(&object("8", json!({"a": "b"}), json!([]))));
        // A newer one that says the same is no news.
        assert!(!routes.seen(&object("10", json!({}), json!([]))));
        let Standing::There(there) = routes.standing(&host("a.example")) else {
            panic!("it is there");
        };
        assert_eq!(there.version, "10");
        routes.gone(&host("a.example"), "another");
        assert!(matches!(
            routes.standing(&host("a.example")),
            Standing::There(_)
        ));
        routes.gone(&host("a.example"), "o");
        assert_eq!(routes.standing(&host("a.example")), Standing::Absent);
    }

    #[test]
    fn a_status_tells_the_worst_of_its_hosts_and_of_none_nothing() {
        let routes = routes();
        assert_eq!(routes.exposed(&[], Kind::Ingress), None);
        assert_eq!(routes.exposed(&[host("a.localhost")], Kind::Ingress), None);
        let hosts = [host("a.example"), host("b.example"), host("c.localhost")];
        let reason = || {
            routes
                .exposed(&hosts, Kind::Ingress)
                .expect("a finding")
                .reason
        };
        assert_eq!(reason(), Reason::Pending);
        routes.came_to(&hosts[0], Some(Outcome::InPlace), None);
        assert_eq!(reason(), Reason::Pending);
        routes.came_to(&hosts[1], Some(Outcome::InPlace), None);
        assert_eq!(reason(), Reason::Exposed);
        routes.came_to(&hosts[1], Some(Outcome::Foreign), None);
        assert_eq!(reason(), Reason::RouteConflict);
    }

    #[test]
    fn hosts_are_counted_by_what_came_of_them_and_another_term_counts_anew() {
        let metrics = Arc::default();
        let counts = || {
            let text = Metrics::encode(&metrics);
            let of = |reason: &str| {
                let series = format!("mailtrail_operator_routes{{reason=\"{reason}\"}} ");
                let mut lines = text.lines().filter_map(|line| line.strip_prefix(&series));
                lines.next().expect("a series").to_owned()
            };
            ["Exposed", "Pending", "RouteConflict"].map(of)
        };
        assert_eq!(counts(), ["0", "0", "0"]);
        let routes = counted(&metrics);
        let (one, two) = (host("a.example"), host("b.example"));
        routes.came_to(&one, Some(Outcome::Waiting), None);
        routes.came_to(&two, Some(Outcome::Waiting), None);
        assert_eq!(counts(), ["0", "2", "0"]);
        routes.came_to(&one, Some(Outcome::InPlace), None);
        routes.came_to(&one, Some(Outcome::InPlace), None);
        routes.came_to(&two, Some(Outcome::Foreign), None);
        assert_eq!(counts(), ["1", "0", "1"]);
        routes.came_to(&one, None, None);
        routes.came_to(&one, None, None);
        assert_eq!(counts(), ["0", "0", "1"]);
        let _next = counted(&metrics);
        assert_eq!(counts(), ["0", "0", "0"]);
    }
}
