//! Step 4, apply: writes claims, and hands the entry to the shards. Io; decides
//! nothing but what a refusal means.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Api;
use kube::api::{DeleteParams, PostParams, Preconditions};
use mailtrail_core::id::Realm;
use mailtrail_crds::HostClaim;

use super::Context;
use super::build::{Built, EntryChange};
use super::resolve::{ClaimChange, Rejection};
use crate::condition::Reason;
use crate::error::{Error, within};
use crate::shards::write::{MANAGER, labels};
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
        after,
        mut accepted,
        reports,
    } = built;
    for change in before {
        write_claim(change, context).await?;
    }
    match entry {
        EntryChange::Keep => {}
        EntryChange::Remove => context.shards.remove(realm),
        EntryChange::Put(entry) => {
            if let Err(full) = context.shards.put(&entry) {
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

async fn write_claim(change: ClaimChange, context: &Context) -> Result<(), Error> {
    context.fence.check()?;
    let api: Api<HostClaim> = Api::all(context.client.clone());
    let params = PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    };
    const WHAT: &str = "HostClaim";
    let written = match change {
        ClaimChange::Create(host, spec) => {
            let mut claim = HostClaim::new(host.as_str(), spec);
            claim.metadata.labels = Some(labels());
            claim.metadata.owner_references = None::<Vec<OwnerReference>>;
            within(WHAT, api.create(&params, &claim)).await?
        }
        ClaimChange::Update(claim, spec) => {
            // The resource version of what was decided on goes with it.
            let wanted = HostClaim {
                spec,
                ..HostClaim::clone(&claim)
            };
            let name = claim.metadata.name.as_deref().unwrap_or_default();
            within(WHAT, api.replace(name, &params, &wanted)).await?
        }
        ClaimChange::Delete(claim) => return delete(&api, &claim, context).await,
    };
    context.metrics.claim_writes.inc();
    context.world.claim(written);
    Ok(())
}

async fn delete(api: &Api<HostClaim>, claim: &HostClaim, context: &Context) -> Result<(), Error> {
    let name = claim.metadata.name.as_deref().unwrap_or_default();
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            resource_version: claim.metadata.resource_version.clone(),
            uid: claim.metadata.uid.clone(),
        }),
        ..DeleteParams::default()
    };
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
