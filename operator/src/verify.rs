//! Whether hosts lead here: found out from outside, as a reader would come.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use mailtrail_core::id::Realm;
use mailtrail_crds::TrackingDomain;
use mailtrail_crds::domain::Verification;

use crate::condition::{Finding, Is, Reason, Type};
use crate::world::realm_of;

/// What was found out.
#[derive(Debug, Default)]
pub struct Verifier {
    found: Mutex<HashMap<Realm, Finding>>,
}

impl Verifier {
    /// What the status is to say of a domain.
    pub fn reachable(&self, domain: &TrackingDomain) -> Finding {
        if domain.spec.verification == Verification::None {
            return Finding::new(
                Type::Reachable,
                Is::Unknown,
                Reason::VerificationWaived,
                "nobody looks: spec.verification is None",
            );
        }
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let of = realm_of(domain).and_then(|realm| found.get(&realm).cloned());
        of.unwrap_or_else(|| {
            Finding::new(
                Type::Reachable,
                Is::Unknown,
                Reason::NotChecked,
                "the host has not been checked yet",
            )
        })
    }
}
