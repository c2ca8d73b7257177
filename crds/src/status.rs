//! What the operator reports of a `TrackingDomain`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// What Mailtrail has made of the spec.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrackingDomainStatus {
    /// The generation of the spec that the conditions speak of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::observed_generation")]
    pub observed_generation: Option<i64>,

    /// How the domain stands. Accepted: the spec is valid and its hosts belong
    /// to this object. ResolvedRefs: what it refers to exists. Programmed:
    /// every ready replica serves this spec or a later one. Reachable: the host
    /// leads here with a valid certificate. Ready: the first three together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}
