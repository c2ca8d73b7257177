//! What becomes of a host's route, given what is wanted and what stands. Pure.

use serde_json::Value;

use super::build::APPLIED;
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
        (_, Some(there)) if there.ownership == Ownership::Foreign => Step::Rest(Outcome::Foreign),
        (Some(wanted), Some(there)) if holds(&there.live(), wanted) => Step::Rest(Outcome::InPlace),
        (Some(wanted), Some(there)) => Step::Apply(wanted.clone(), there),
        // Claims that vanish with their definition are made good, and what is
        // served is served on: only a host that is free loses its route.
        (None, Some(_)) if facts.is_served => Step::LookAgain,
        (None, Some(there)) => Step::Delete(there),
    }
}

/// Whether an object holds all that is wanted of it, and nothing that we once wrote
/// and do not want any more. What others have added is theirs.
pub fn holds(live: &Value, wanted: &Value) -> bool {
    let of = |object: &Value, field: &str| object["metadata"][field].clone();
    let owners = of(live, "ownerReferences");
    let owner = &wanted["metadata"]["ownerReferences"][0];
    let is_owned = owners
        .as_array()
        .is_some_and(|owners| owners.iter().any(|live| contains(live, owner)));
    is_owned
        && of(live, "annotations")[APPLIED] == of(wanted, "annotations")[APPLIED]
        && contains(&of(live, "annotations"), &of(wanted, "annotations"))
        && contains(&of(live, "labels"), &of(wanted, "labels"))
        && contains(&live["spec"], &wanted["spec"])
}

/// Whether one value has all of another: an object its fields, where the API server
/// adds defaults, a list exactly its elements.
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
        live["spec"]["rules"][0]["default"] = json!(1);
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
