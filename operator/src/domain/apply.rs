//! Step 4, apply: writes claims, and hands the entry to the shards. Io; decides
//! nothing but what a refusal means.

use std::time::Instant;

use kube::Api;
use kube::api::Patch;
use mailtrail_core::id::{Host, Realm};
use mailtrail_crds::HostClaim;
use mailtrail_crds::claim::{ClaimState, HostClaimSpec};
use serde_json::{Map, Value, json};

use super::Context;
use super::build::{Built, EntryChange};
use super::gone::CONFIRM;
use super::resolve::{ClaimChange, Rejection};
use crate::condition::Reason;
use crate::error::{Error, within};
use crate::object;
use crate::subject::Subject;
use crate::world::host_of;

/// What was applied.
#[derive(Debug)]
pub struct Applied {
    /// Whether the spec is accepted.
    pub accepted: Result<(), Rejection>,
    /// Whether there is an object to report on.
    pub reports: bool,
}

/// Applies.
pub async fn apply(realm: &Realm, built: Built, context: &Context) -> Result<Applied, Error> {
    let Built {
        before,
        entry,
        or_else,
        after,
        mut accepted,
        reports,
    } = built;
    for change in before {
        if let ClaimChange::Create(host, _) = &change {
            may_be_claimed(realm, host, context)?;
        }
        write_claim(change, context).await?;
    }
    match entry {
        EntryChange::Keep => {}
        EntryChange::Remove => context.shards.remove(&Subject::Domain(realm.clone())),
        EntryChange::Put(entry) => {
            if let Err(full) = context.shards.put(&entry) {
                if let Some(narrowed) = or_else
                    && context.shards.put(&narrowed).is_err()
                {
                    tracing::warn!(domain.realm = %realm, "what a domain turns off finds no room in its shard");
                }
                accepted = accepted.and(Err(Rejection {
                    reason: Reason::ConfigFull,
                    message: format!("{full}: choose another name, or begin a second install with a class of its own"),
                }));
            }
        }
    }
    for change in after {
        write_claim(change, context).await?;
    }
    Ok(Applied { accepted, reports })
}

/// A while after claims were without definition only hosts that are served may
/// be claimed, by who serves them: others would be quicker than their owners.
fn may_be_claimed(realm: &Realm, host: &Host, context: &Context) -> Result<(), Error> {
    let served = context.shards.entry(realm);
    let is_served = served.is_some_and(|entry| entry.hosts().any(|served| served == host));
    if !is_served && context.absences.claims_return(Instant::now()) {
        return Err(Error::NotYet("who had the host before"));
    }
    Ok(())
}

async fn write_claim(change: ClaimChange, context: &Context) -> Result<(), Error> {
    context.fence.check()?;
    let api: Api<HostClaim> = Api::all(context.client.clone());
    let params = object::post();
    const WHAT: &str = "HostClaim";
    let written = match change {
        ClaimChange::Create(host, spec) => {
            let mut claim = HostClaim::new(host.as_str(), spec);
            claim.metadata.labels = Some(object::labels());
            let created = within(WHAT, api.create(&params, &claim)).await;
            if matches!(created, Err(Error::NotFound { .. })) {
                context.absences.no_claims(Instant::now());
            }
            created?
        }
        ClaimChange::Update(claim, spec) => {
            // The resource version of what was decided on goes with it.
            let mut patch = json!({
                "metadata": {
                    "resourceVersion": claim.metadata.resource_version,
                    "uid": claim.metadata.uid,
                },
                "spec": difference(&as_json(&claim.spec), &as_json(&spec)),
            });
            if spec.state == ClaimState::Active {
                // It was for the domain that was there before.
                patch["metadata"]["annotations"] = json!({ CONFIRM: null });
            }
            let name = claim.metadata.name.as_deref().unwrap_or_default();
            let (params, patch) = (object::patch(), Patch::Merge(&patch));
            within(WHAT, api.patch(name, &params, &patch)).await?
        }
        ClaimChange::Delete(claim) => return delete(&api, &claim, context).await,
    };
    context.metrics.claim_writes.inc();
    context.world.claim(written);
    Ok(())
}

fn as_json(spec: &HostClaimSpec) -> Value {
    serde_json::to_value(spec).expect("a spec is plain data with text keys")
}

/// The merge patch (RFC 7396) that makes one object of another.
fn difference(from: &Value, to: &Value) -> Value {
    let (Value::Object(from), Value::Object(to)) = (from, to) else {
        return to.clone();
    };
    let gone = from.keys().filter(|key| !to.contains_key(*key));
    let mut patch: Map<String, Value> = gone.map(|key| (key.clone(), Value::Null)).collect();
    for (key, value) in to {
        match from.get(key) {
            Some(before) if before == value => {}
            Some(before) => {
                patch.insert(key.clone(), difference(before, value));
            }
            None => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Object(patch)
}

async fn delete(api: &Api<HostClaim>, claim: &HostClaim, context: &Context) -> Result<(), Error> {
    let name = claim.metadata.name.as_deref().unwrap_or_default();
    let meta = &claim.metadata;
    let params = object::delete(meta.uid.clone(), meta.resource_version.clone());
    match within("HostClaim", api.delete(name, &params)).await {
        Ok(_) | Err(Error::NotFound { .. }) => {}
        Err(error) => return Err(error),
    }
    context.metrics.claim_writes.inc();
    if let Some(host) = host_of(claim) {
        context.world.claim_gone(&host);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_takes_away_what_is_gone_and_says_nothing_of_what_stays() {
        let from = json!({"a": 1, "same": {"x": 1}, "gone": 2, "in": {"old": 1, "new": 1}});
        let to = json!({"a": 2, "same": {"x": 1}, "in": {"new": 2}, "more": [1]});
        let patch = json!({"a": 2, "gone": null, "in": {"old": null, "new": 2}, "more": [1]});
        assert_eq!(difference(&from, &to), patch);
    }
}
