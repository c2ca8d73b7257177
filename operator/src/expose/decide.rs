//! What becomes of a host's route, given what is wanted and what stands. Pure.

use serde_json::Value;

use super::build::{APPLIED, INGRESS_CLASS};
use super::outcome::Outcome;
use super::routes::{Ownership, Standing, Stood};

/// What a decision is made of.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The route that the host is to have.
    pub wanted: Option<&'a Value>,
    /// The object of its name.
    pub standing: Standing,
    /// Whether the policy lets the namespace use the host.
    pub is_allowed: bool,
    /// Whether an entry of the host is still served.
    pub is_served: bool,
}

/// What is to be done.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Nothing.
    Rest(Outcome),
    /// Nothing now, and another look in a moment.
    LookAgain,
    /// It is made.
    Create(Value),
    /// It is written anew, on top of this.
    Apply(Value, Stood),
    /// It is deleted, if it is still this.
    Delete(Stood),
}

impl Step {
    /// Whether anything is written.
    pub fn writes(&self) -> bool {
        match self {
            Self::Rest(_) | Self::LookAgain => false,
            Self::Create(_) | Self::Apply(..) | Self::Delete(_) => true,
        }
    }
}

/// Whether something that we have written as it is wanted was changed since.
pub fn has_drifted(live: &Value, wanted: &Value) -> bool {
    let applied = |object: &Value| object["metadata"]["annotations"][APPLIED].clone();
    applied(live) == applied(wanted) && !holds(live, wanted)
}

/// Decides.
pub fn decide(facts: Facts<'_>) -> Step {
    let there = match facts.standing {
        Standing::Unknown => return Step::Rest(Outcome::Waiting),
        Standing::NoSuchKind => return Step::Rest(Outcome::NoSuchKind),
        Standing::Forbidden => return Step::Rest(Outcome::Refused),
        Standing::Absent => None,
        Standing::There(there) => Some(there),
    };
    match (facts.wanted, there) {
        (None, None) => Step::Rest(Outcome::Waiting),
        (Some(_), None) if !facts.is_allowed => Step::Rest(Outcome::NotAllowed),
        (Some(wanted), None) => Step::Create(wanted.clone()),
        (wanted, Some(there)) if !is_ours(&there, wanted) => Step::Rest(Outcome::Foreign),
        (Some(wanted), Some(there)) => {
            let live = there.live();
            let wanted = with_class_of(&live, wanted);
            match holds(&live, &wanted) {
                true => Step::Rest(Outcome::InPlace),
                false => Step::Apply(wanted, there),
            }
        }
        // Claims that vanish with their definition are made good, and what is
        // served is served on: only a host that is free loses its route.
        (None, Some(_)) if facts.is_served => Step::LookAgain,
        (None, Some(there)) => Step::Delete(there),
    }
}

/// Whether an object is ours to write. One that has another install's class for a
/// label is, where it is owned by the claim that we would have it owned by: somebody
/// has changed the label.
fn is_ours(there: &Stood, wanted: Option<&Value>) -> bool {
    match there.ownership {
        Ownership::Foreign => false,
        Ownership::Relabelled => wanted.is_some_and(|wanted| is_owned(&there.live(), wanted)),
        Ownership::Created | Ownership::Applied => true,
    }
}

/// Whether an object holds all that is wanted of it, and nothing that we once wrote
/// and do not want any more. Its spec is ours alone: a filter, a backend or a class
/// that others add there leads requests elsewhere. Labels, annotations and owners
/// that they add are theirs.
pub fn holds(live: &Value, wanted: &Value) -> bool {
    has_metadata(live, wanted) && live["spec"] == wanted["spec"]
}

/// Whether an object has all that is wanted, and its spec may have more.
pub fn has_more(live: &Value, wanted: &Value) -> bool {
    has_metadata(live, wanted) && contains(&live["spec"], &wanted["spec"])
}

/// What of a spec's fields is not wanted there: what others have put beside ours
/// stays through an apply.
pub fn strays<'a>(live: &'a Value, wanted: &'a Value) -> impl Iterator<Item = &'a String> {
    let fields = live["spec"]
        .as_object()
        .into_iter()
        .flat_map(|of| of.keys());
    fields.filter(|field| wanted["spec"].get(field.as_str()).is_none())
}

fn has_metadata(live: &Value, wanted: &Value) -> bool {
    let of = |object: &Value, field: &str| object["metadata"][field].clone();
    is_owned(live, wanted)
        && of(live, "annotations")[APPLIED] == of(wanted, "annotations")[APPLIED]
        && contains(&of(live, "annotations"), &of(wanted, "annotations"))
        && contains(&of(live, "labels"), &of(wanted, "labels"))
}

fn is_owned(live: &Value, wanted: &Value) -> bool {
    let owner = &wanted["metadata"]["ownerReferences"][0];
    let owners = live["metadata"]["ownerReferences"].as_array();
    owners.is_some_and(|owners| owners.iter().any(|live| contains(live, owner)))
}

/// What is wanted, with the class that an Ingress stands with where settings name
/// none: the API server gives it the cluster's default when it is made, and never
/// again, so that one that is taken away leaves it with none.
fn with_class_of(live: &Value, wanted: &Value) -> Value {
    let mut wanted = wanted.clone();
    let class = &live["spec"][INGRESS_CLASS];
    if wanted["spec"].get(INGRESS_CLASS).is_none() && class.is_string() {
        wanted["spec"][INGRESS_CLASS] = class.clone();
    }
    wanted
}

/// Whether one value has all of another: an object its fields, a list exactly its
/// elements.
fn contains(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, wanted)| live.get(key).is_some_and(|live| contains(live, wanted))),
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len() && live.iter().zip(wanted).all(|(l, w)| contains(l, w))
        }
        (live, wanted) => live == wanted,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wanted() -> Value {
        json!({
            "metadata": {
                "labels": {"a": "1"},
                "annotations": {APPLIED: "77"},
                "ownerReferences": [{"kind": "HostClaim", "uid": "u"}],
            },
            "spec": {"rules": [{"host": "a.example"}]},
        })
    }

    fn stood(ownership: Ownership, live: &Value) -> Stood {
        Stood {
            uid: "o".to_owned(),
            version: "3".to_owned(),
            ownership,
            live: live.to_string().into(),
        }
    }

    fn check(wanted: Option<&Value>, standing: Standing, allowed: bool, served: bool) -> Step {
        decide(Facts {
            wanted,
            standing,
            is_allowed: allowed,
            is_served: served,
        })
    }

    #[test]
    fn what_is_not_ours_is_left_alone_whatever_is_wanted() {
        for wanted in [Some(&wanted()), None] {
            let standing = Standing::There(stood(Ownership::Foreign, &json!({})));
            let step = check(wanted, standing, true, false);
            assert_eq!(step, Step::Rest(Outcome::Foreign));
        }
    }

    #[test]
    fn a_route_that_is_as_wanted_is_not_written() {
        let wanted = wanted();
        let mut live = wanted.clone();
        live["metadata"]["annotations"]["theirs"] = json!("x");
        live["metadata"]["ownerReferences"] = json!([
            {"kind": "Else", "uid": "e"},
            {"kind": "HostClaim", "uid": "u", "controller": false},
        ]);
        let there = |live: &Value| Standing::There(stood(Ownership::Applied, live));
        let step = check(Some(&wanted), there(&live), true, true);
        assert_eq!(step, Step::Rest(Outcome::InPlace));
        for (pointer, value) in [
            ("/spec/rules", json!([])),
            (
                "/spec/rules",
                json!([{"host": "a.example"}, {"host": "b.example"}]),
            ),
            ("/spec/rules/0/host", json!("b.example")),
            (
                "/spec/rules/0",
                json!({"host": "a.example", "filters": [{"type": "URLRewrite"}]}),
            ),
            (
                "/spec",
                json!({"rules": [{"host": "a.example"}], "defaultBackend": {}}),
            ),
            ("/metadata/labels", json!({})),
            ("/metadata/annotations", json!({APPLIED: "78"})),
            ("/metadata/ownerReferences", json!([])),
        ] {
            let mut drifted = live.clone();
            *drifted.pointer_mut(pointer).expect("a place") = value;
            let step = check(Some(&wanted), there(&drifted), false, true);
            assert!(matches!(step, Step::Apply(..)), "{pointer}: {step:?}");
        }
    }

    #[test]
    fn what_others_have_put_beside_ours_is_told_by_its_field() {
        let live = json!({"spec": {"rules": [], "defaultBackend": {}, "tls": []}});
        let found: Vec<_> = strays(&live, &wanted()).cloned().collect();
        assert_eq!(found, ["defaultBackend", "tls"]);
    }

    #[test]
    fn the_class_that_an_ingress_was_given_stays_where_settings_name_none() {
        let mut wanted = wanted();
        let mut live = wanted.clone();
        live["spec"][INGRESS_CLASS] = json!("default");
        let there = |live: &Value| Standing::There(stood(Ownership::Applied, live));
        let step = check(Some(&wanted), there(&live), true, true);
        assert_eq!(step, Step::Rest(Outcome::InPlace));
        // Not even by a write of something else.
        let mut drifted = live.clone();
        drifted["spec"]["rules"] = json!([]);
        let Step::Apply(written, _) = check(Some(&wanted), there(&drifted), true, true) else {
            panic!("not written");
        };
        assert_eq!(written["spec"], live["spec"]);
        wanted["spec"][INGRESS_CLASS] = json!("nginx");
        let step = check(Some(&wanted), there(&live), true, true);
        assert!(matches!(step, Step::Apply(..)));
    }

    #[test]
    fn one_that_is_labelled_with_another_class_is_ours_by_its_claim_alone() {
        let wanted = wanted();
        let mut live = wanted.clone();
        live["metadata"]["labels"]["a"] = json!("2");
        let there = |live: &Value| Standing::There(stood(Ownership::Relabelled, live));
        let step = check(Some(&wanted), there(&live), true, true);
        assert!(matches!(step, Step::Apply(..)));
        assert_eq!(
            check(None, there(&live), true, false),
            Step::Rest(Outcome::Foreign)
        );
        live["metadata"]["ownerReferences"][0]["uid"] = json!("another");
        assert_eq!(
            check(Some(&wanted), there(&live), true, true),
            Step::Rest(Outcome::Foreign)
        );
    }

    #[test]
    fn none_is_made_for_a_host_that_the_policy_forbids() {
        let wanted = wanted();
        let step = check(Some(&wanted), Standing::Absent, false, true);
        assert_eq!(step, Step::Rest(Outcome::NotAllowed));
        let step = check(Some(&wanted), Standing::Absent, true, true);
        assert_eq!(step, Step::Create(wanted));
    }

    #[test]
    fn a_route_goes_only_when_nothing_of_its_host_is_served() {
        let there = || Standing::There(stood(Ownership::Applied, &wanted()));
        assert_eq!(check(None, there(), true, true), Step::LookAgain);
        assert!(matches!(check(None, there(), true, false), Step::Delete(_)));
    }
}
