//! What the operator reports of an `EventSink`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// What Mailtrail has made of the spec.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventSinkStatus {
    /// The generation of the spec that the conditions speak of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::observed_generation")]
    pub observed_generation: Option<i64>,

    /// How the sink stands. Accepted: the spec is valid. ResolvedRefs: its
    /// Secrets, and a Service of the cluster that it names, are there and can
    /// be read. Programmed: every ready replica knows it. Delivering: events
    /// reach the receiver. Ready: all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}
