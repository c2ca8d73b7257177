//! Who owns which host, case by case.

use std::collections::HashMap;

use mailtrail_core::config::DomainState;
use mailtrail_crds::TrackingDomain;
use serde_json::{Value, json};

use super::*;
use crate::world::Namespace;

/// A realm as it is found, built by meaning.
struct Case(Fetched);

fn domain(spec: &Value) -> TrackingDomain {
    serde_json::from_value(json!({
        "apiVersion": "mailtrail.dev/v1alpha1", "kind": "TrackingDomain",
        "metadata": {"namespace": "shop", "name": "links", "generation": 3},
        "spec": spec,
    }))
    .expect("a domain")
}

fn claim(host: &str, realm: &str, over: &Value) -> Arc<HostClaim> {
    let mut spec = json!({
        "realm": realm, "namespaceUid": "uid-1", "className": "mailtrail",
        "keptSince": "2026-09-21T14:13:20Z",
        "state": "Active", "role": "Host", "linksOut": true, "verified": true,
        "lasting": {"retention": "45d"},
    });
    for (key, value) in over.as_object().expect("an object") {
        spec[key] = value.clone();
    }
    let claim = json!({
        "apiVersion": "mailtrail.dev/v1alpha1", "kind": "HostClaim",
        "metadata": {"name": host, "resourceVersion": "7"}, "spec": spec,
    });
    Arc::new(serde_json::from_value(claim).expect("a claim"))
}

fn namespace(uid: &str) -> Namespace {
    Namespace {
        uid: uid.to_owned(),
        created: 1_790_000_000,
        terminating: false,
    }
}

impl Case {
    fn there(spec: &Value) -> Self {
        Self::of(Presence::There(There {
            domain: Arc::new(domain(spec)),
            namespace: namespace("uid-1"),
            rank: Some(1),
            told: None,
        }))
    }

    fn gone() -> Self {
        Self::of(Presence::Gone)
    }

    fn of(presence: Presence) -> Self {
        Self(Fetched {
            realm: "shop/links".parse().expect("a realm"),
            class: "mailtrail".to_owned(),
            namespace: Some(namespace("uid-1")),
            presence,
            own: Vec::new(),
            wanted: HashMap::new(),
            served: None,
            proved: HashSet::new(),
            claims_lost: false,
            released: HashSet::new(),
        })
    }

    fn owning(mut self, host: &str, over: &Value) -> Self {
        let claim = claim(host, "shop/links", over);
        let name = host.parse().expect("a host");
        self.0.own.push(Arc::clone(&claim));
        self.0.wanted.insert(name, claim);
        self
    }

    fn taken(mut self, host: &str, realm: &str) -> Self {
        let claim = claim(host, realm, &json!({}));
        self.0.wanted.insert(host.parse().expect("a host"), claim);
        self
    }

    fn proved(mut self, host: &str) -> Self {
        self.0.proved.insert(host.parse().expect("a host"));
        self
    }

    fn served(mut self, hosts: &[&str]) -> Self {
        let mut hosts = hosts.iter().map(|host| host.parse().expect("a host"));
        let first = hosts.next().expect("one at least");
        let mut entry = Domain::new(self.0.realm.clone(), first);
        entry.other_hosts = hosts.collect();
        entry.verified = true;
        self.0.served = Some(entry);
        self
    }

    /// The last of many that want a place.
    fn crowded(mut self, rank: Option<usize>) -> Self {
        if let Presence::There(there) = &mut self.0.presence {
            there.rank = rank;
        }
        self
    }

    fn resolve(&self) -> Resolved {
        resolve(&self.0, &HostPolicy::default())
    }

    fn resolve_under(&self, policy: &str) -> Resolved {
        resolve(&self.0, &HostPolicy::parse(policy).expect("a policy"))
    }

    fn serve(&self) -> Serve {
        match self.resolve() {
            Resolved::Serve(serve) => serve,
            other => panic!("not served: {other:?}"),
        }
    }
}

/// What is written, in short.
fn told(changes: &[ClaimChange]) -> Vec<String> {
    let name = |claim: &HostClaim| claim.metadata.name.clone().unwrap_or_default();
    let told = changes.iter().map(|change| match change {
        ClaimChange::Create(host, spec) => {
            format!("create {host} {:?} out={}", spec.role, spec.links_out)
        }
        ClaimChange::Update(claim, spec) => format!(
            "update {} {:?} {:?} out={} verified={}",
            name(claim),
            spec.state,
            spec.role,
            spec.links_out,
            spec.verified
        ),
        ClaimChange::Delete(claim) => format!("delete {}", name(claim)),
    });
    told.collect()
}

#[test]
fn a_free_host_is_claimed_and_waits_for_its_verification() {
    let serve = Case::there(&json!({"host": "a.example", "aliases": ["b.example"]})).serve();
    assert_eq!(
        told(&serve.claims),
        [
            "create a.example Host out=false",
            "create b.example Alias out=false"
        ]
    );
    assert!(!serve.verified);
}

#[test]
fn waived_verification_means_that_links_may_be_out() {
    let case = Case::there(&json!({"host": "a.example", "verification": "None"}));
    assert_eq!(
        told(&case.serve().claims),
        ["create a.example Host out=true"]
    );
}

#[test]
fn a_proof_is_kept_in_the_claim_before_mails_are_tracked() {
    let fresh = json!({"linksOut": false, "verified": false});
    let case = Case::there(&json!({"host": "a.example"})).owning("a.example", &fresh);
    assert!(!case.serve().verified);
    let serve = case.proved("a.example").serve();
    assert!(serve.verified);
    assert_eq!(
        told(&serve.claims),
        ["update a.example Active Host out=true verified=true"]
    );
}

#[test]
fn an_unchanged_domain_writes_nothing() {
    let case = Case::there(&json!({"host": "a.example"})).owning("a.example", &json!({}));
    let serve = case.serve();
    assert!(serve.claims.is_empty() && serve.released.is_empty());
}

#[test]
fn who_has_a_host_is_told_within_their_namespace_only() {
    for (realm, says) in [
        ("shop/other", "TrackingDomain other of this namespace"),
        ("bank/secret", "belongs to another tracking domain"),
        ("shop-2/secret", "belongs to another tracking domain"),
    ] {
        let case = Case::there(&json!({"host": "a.example"})).taken("a.example", realm);
        let Resolved::Keep(Keep {
            rejection,
            unused: changes,
            ..
        }) = case.resolve()
        else {
            panic!("accepted");
        };
        assert_eq!(rejection.reason, Reason::HostConflict);
        assert!(rejection.message.contains(says), "{}", rejection.message);
        assert!(
            !rejection.message.contains("secret"),
            "{}",
            rejection.message
        );
        assert!(changes.is_empty());
    }
}

#[test]
fn a_conflict_of_an_alias_holds_no_other_host_and_keeps_what_is_served() {
    let spec = json!({"host": "new.example", "aliases": ["taken.example"]});
    let unused = json!({"linksOut": false});
    let case = Case::there(&spec)
        .owning("old.example", &json!({}))
        .owning("new.example", &unused)
        .taken("taken.example", "bank/x")
        .served(&["old.example"]);
    let Resolved::Keep(kept) = case.resolve() else {
        panic!("accepted");
    };
    assert_eq!(told(&kept.unused), ["delete new.example"]);
}

#[test]
fn a_narrower_policy_takes_no_host_and_no_place_from_a_domain_that_has_it() {
    let narrow = "- {namespaces: [shop], hosts: [b.example], maxDomains: 1}";
    let refused = |case: &Case| match case.resolve_under(narrow) {
        Resolved::Keep(kept) => Some(kept.rejection.reason),
        _ => None,
    };
    let case = || Case::there(&json!({"host": "a.example"}));
    let has = || case().owning("a.example", &json!({}));
    assert_eq!(refused(&has().crowded(None)), None);
    assert_eq!(refused(&case()), Some(Reason::HostNotAllowed));
    // One that it had is not what it has.
    for gone in [json!({"state": "Retired"}), json!({"role": "Former"})] {
        let case = case().owning("a.example", &gone);
        assert_eq!(refused(&case), Some(Reason::HostNotAllowed), "{gone}");
    }
    let other = Case::there(&json!({"host": "a.example", "aliases": ["c.example"]}));
    let other = other.owning("a.example", &json!({}));
    assert_eq!(refused(&other), Some(Reason::HostNotAllowed));
    let newcomer = Case::there(&json!({"host": "b.example"})).crowded(Some(2));
    assert_eq!(refused(&newcomer), Some(Reason::TooManyDomains));
}

#[test]
fn what_a_refused_spec_turns_off_is_turned_off_in_what_is_served() {
    use crate::domain::build::{EntryChange, build};
    let spec = json!({"host": "taken.example", "opens": {"enabled": true}});
    let mut case = Case::there(&spec)
        .owning("a.example", &json!({}))
        .taken("taken.example", "bank/x")
        .served(&["a.example"]);
    let served = case.0.served.as_mut().expect("served");
    served.clicks.enabled = true;
    let EntryChange::Put(entry) = build(&case.0, case.resolve()).entry else {
        panic!("nothing is written");
    };
    assert_eq!(entry.host.as_str(), "a.example");
    assert!(!entry.clicks.enabled && !entry.opens.enabled && entry.verified);
    // What leads links home stays as it is.
    let served = case.0.served.as_mut().expect("served");
    served.state = DomainState::Retired;
    let built = build(&case.0, case.resolve());
    assert_eq!(built.entry, EntryChange::Keep);
}

#[test]
fn hosts_that_were_released_are_given_up_while_a_spec_is_refused_or_left_alone() {
    use crate::domain::build::{EntryChange, build};
    let refused =
        || Case::there(&json!({"host": "taken.example"})).taken("taken.example", "bank/x");
    for case in [refused, || Case::of(Presence::LeftAlone)] {
        let entry = |case: Case| build(&case.0, case.resolve()).entry;
        let released = |hosts: &[&str]| {
            let mut case = case().served(&["a.example", "former.example"]);
            let hosts = hosts.iter().map(|host| host.parse().expect("a host"));
            case.0.released = hosts.collect();
            entry(case)
        };
        // The host of new links: what was sent over the other leads home.
        let EntryChange::Put(left) = released(&["a.example"]) else {
            panic!("nothing is written");
        };
        assert_eq!(left.state, DomainState::Retired);
        assert!(!left.opens.enabled && !left.clicks.enabled);
        let names = |of: &Domain| of.hosts().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(&left), ["former.example"]);
        // A former one.
        let EntryChange::Put(left) = released(&["former.example"]) else {
            panic!("nothing is written");
        };
        assert_eq!(left.state, DomainState::Active);
        assert_eq!(names(&left), ["a.example"]);
        // All of them; and none, though claims are missing.
        assert_eq!(
            released(&["a.example", "former.example"]),
            EntryChange::Remove
        );
        assert_eq!(released(&[]), EntryChange::Keep);
    }
}

#[test]
fn a_host_that_is_proved_while_an_edit_is_refused_is_tracked_over() {
    use crate::domain::build::{EntryChange, build};
    let spec = json!({"host": "taken.example", "clicks": {"enabled": true}});
    let unproved = json!({"verified": false, "linksOut": false});
    let mut case = Case::there(&spec)
        .owning("a.example", &unproved)
        .taken("taken.example", "bank/x")
        .served(&["a.example"]);
    case.0.served.as_mut().expect("served").verified = false;
    assert!(told(&build(&case.0, case.resolve()).before).is_empty());
    let case = case.proved("a.example");
    let built = build(&case.0, case.resolve());
    assert_eq!(
        told(&built.before),
        ["update a.example Active Host out=true verified=true"]
    );
    let EntryChange::Put(entry) = built.entry else {
        panic!("nothing is written");
    };
    assert!(entry.verified);
}

#[test]
fn a_renamed_host_goes_on_answering_and_an_unused_alias_is_released() {
    let case = Case::there(&json!({"host": "new.example"}))
        .owning("old.example", &json!({}))
        .owning(
            "alias.example",
            &json!({"role": "Alias", "linksOut": false}),
        );
    let serve = case.serve();
    assert_eq!(
        told(&serve.claims),
        [
            "create new.example Host out=false",
            "update old.example Active Former out=true verified=true"
        ]
    );
    assert_eq!(told(&serve.released), ["delete alias.example"]);
    assert_eq!(
        serve.former,
        ["old.example".parse::<Host>().expect("a host")]
    );
}

#[test]
fn a_namespace_made_anew_does_not_inherit() {
    let case = Case::there(&json!({"host": "a.example"}))
        .owning("a.example", &json!({"namespaceUid": "uid-0"}));
    let Resolved::RetireBeside(rejection, changes) = case.resolve() else {
        panic!("accepted");
    };
    assert_eq!(rejection.reason, Reason::NamespaceChanged);
    assert_eq!(
        told(&changes),
        ["update a.example Retired Host out=true verified=true"]
    );
}

#[test]
fn what_is_kept_is_its_namespaces_since_that_was_made_or_longer_where_a_claim_says_so() {
    let made = namespace("uid-1").created;
    let spec = json!({"host": "a.example"});
    assert_eq!(Case::there(&spec).serve().since, made);
    for (said, since) in [
        ("2026-09-21T14:13:19Z", made - 1),
        ("2026-09-21T14:13:21Z", made),
        ("1960-01-01T00:00:00Z", 0),
    ] {
        let case = Case::there(&spec).owning("a.example", &json!({"keptSince": said}));
        assert_eq!(case.serve().since, since, "{said}");
    }
    // Of the claims of a domain the earliest counts, and one that says nothing is made to.
    let case = Case::there(&spec)
        .owning("a.example", &json!({"keptSince": null}))
        .owning("old.example", &json!({"keptSince": "2026-01-01T00:00:00Z"}));
    let serve = case.serve();
    assert_eq!(serve.since, 1_767_225_600);
    let ClaimChange::Update(_, of_host) = &serve.claims[0] else {
        panic!("not updated");
    };
    let kept_since = of_host.kept_since.as_ref().map(|time| time.0.as_second());
    assert_eq!(kept_since, Some(serve.since));
}

#[test]
fn a_domain_that_is_gone_retires_what_links_are_out_over() {
    let case = Case::gone()
        .owning("a.example", &json!({}))
        .owning("b.example", &json!({"role": "Alias", "linksOut": false}));
    let Resolved::Retire(changes) = case.resolve() else {
        panic!("not retired");
    };
    assert_eq!(
        told(&changes),
        [
            "update a.example Retired Host out=true verified=true",
            "delete b.example"
        ]
    );
}

#[test]
fn forget_gives_everything_up() {
    let forget = json!({"deletionPolicy": "Forget"});
    let case = Case::gone().owning("a.example", &forget);
    let Resolved::Retire(changes) = case.resolve() else {
        panic!("not retired");
    };
    assert_eq!(told(&changes), ["delete a.example"]);
}

#[test]
fn a_domain_made_again_takes_its_retired_claims_up() {
    let case = Case::there(&json!({"host": "a.example"}))
        .owning("a.example", &json!({"state": "Retired"}));
    let serve = case.serve();
    assert!(serve.verified);
    assert_eq!(
        told(&serve.claims),
        ["update a.example Active Host out=true verified=true"]
    );
}

#[test]
fn claims_that_are_all_lost_are_made_good_and_a_single_one_was_released() {
    let spec = json!({"host": "a.example"});
    let lost = Case::there(&spec)
        .served(&["a.example", "old.example"])
        .serve();
    assert!(lost.verified);
    assert_eq!(
        told(&lost.claims),
        [
            "create a.example Host out=true",
            "create old.example Former out=true"
        ]
    );
    let released = Case::there(&spec)
        .owning("a.example", &json!({}))
        .served(&["a.example", "old.example"])
        .serve();
    assert!(released.claims.is_empty() && released.former.is_empty());
}

#[test]
fn a_single_claim_that_is_missing_was_lost_where_claims_had_no_definition() {
    let mut case = Case::there(&json!({"host": "a.example"}))
        .owning("a.example", &json!({}))
        .served(&["a.example", "old.example"]);
    case.0.claims_lost = true;
    let serve = case.serve();
    assert_eq!(told(&serve.claims), ["create old.example Former out=true"]);
    assert_eq!(
        serve.former,
        ["old.example".parse::<Host>().expect("a host")]
    );
}

#[test]
fn an_entry_whose_domain_is_gone_gets_its_claims_back() {
    let unclaimed = Presence::Unclaimed {
        namespace_uid: None,
    };
    let case = Case::of(unclaimed).served(&["a.example", "old.example"]);
    let Resolved::Restore(changes) = case.resolve() else {
        panic!("not made good");
    };
    assert_eq!(
        told(&changes),
        [
            "create a.example Host out=true",
            "create old.example Former out=true"
        ]
    );
    let built = crate::domain::build::build(&case.0, Resolved::Restore(changes));
    assert_eq!(built.entry, crate::domain::build::EntryChange::Keep);
}

#[test]
fn what_is_left_alone_is_left_alone() {
    let case = Case::of(Presence::LeftAlone).owning("a.example", &json!({}));
    assert!(matches!(case.resolve(), Resolved::Leave));
}

#[test]
fn a_retired_entry_leads_home_from_all_hosts_that_are_kept() {
    let lasting = json!({"lasting": {"retention": "10d", "fallback": "https://shop.example/"}});
    let case = Case::gone()
        .owning("old.example", &json!({"role": "Former", "lasting": null}))
        .owning("a.example", &lasting)
        .served(&["a.example", "old.example"]);
    let built = crate::domain::build::build(&case.0, case.resolve());
    let crate::domain::build::EntryChange::Put(entry) = built.entry else {
        panic!("no entry");
    };
    assert_eq!(
        (entry.state, entry.since),
        (DomainState::Retired, 1_790_000_000)
    );
    assert_eq!(entry.host.as_str(), "a.example");
    assert_eq!(entry.other_hosts[0].as_str(), "old.example");
    assert_eq!(entry.retention_days, 10);
    assert!(!entry.opens.enabled && !entry.clicks.enabled);
}

#[test]
fn what_is_left_of_a_namespace_that_is_gone_or_another_is_nobodys_to_ask_for() {
    for namespace in [None, Some(namespace("uid-2"))] {
        let mut case = Case::gone()
            .owning("a.example", &json!({}))
            .served(&["a.example"]);
        case.0.namespace = namespace;
        if let Some(served) = &mut case.0.served {
            served.since = 7;
        }
        let built = crate::domain::build::build(&case.0, case.resolve());
        let crate::domain::build::EntryChange::Put(entry) = built.entry else {
            panic!("no entry");
        };
        assert_eq!((entry.state, entry.since), (DomainState::Orphaned, 7));
    }
}

#[test]
fn while_an_absence_is_looked_into_what_is_served_of_an_orphan_stays_as_it_is_for_nobody() {
    let mut case = Case::of(Presence::Orphaned)
        .owning("a.example", &json!({}))
        .served(&["a.example", "old.example"]);
    case.0.namespace = None;
    let served = case.0.served.clone().expect("served");
    let built = crate::domain::build::build(&case.0, case.resolve());
    let crate::domain::build::EntryChange::Put(entry) = built.entry else {
        panic!("no entry");
    };
    assert_eq!(entry.state, DomainState::Orphaned);
    assert_eq!(entry.other_hosts, served.other_hosts);
    assert!(
        built.before.is_empty() && built.after.is_empty(),
        "claims stay"
    );
}
