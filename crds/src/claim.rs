//! `HostClaim`: the record of who owns a host. The operator makes it; an
//! administrator releases a host by deleting it.

#![allow(
    unreachable_pub,
    reason = "kube's schema derive repeats the struct inside a function"
)]
#![allow(
    clippy::duplicated_attributes,
    reason = "each printer column has a type, and some have the same"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::{Apps, DeletionPolicy};
use crate::schema;

/// Who owns a tracking host. One per host, named after it.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "mailtrail.dev",
    version = "v1alpha1",
    kind = "HostClaim",
    plural = "hostclaims",
    shortname = "hc",
    category = "mailtrail",
    derive = "PartialEq",
    doc = "The record of who owns a tracking host, one per host and named after it. Mailtrail's operator makes and keeps it. Deleting it releases the host: links in mails already sent over it die, and whoever asks for the host next gets it.",
    printcolumn(
        name = "Domain",
        type_ = "string",
        json_path = ".spec.realm",
        description = "Namespace and name of the TrackingDomain."
    ),
    printcolumn(
        name = "State",
        type_ = "string",
        json_path = ".spec.state",
        description = "Whether the domain is in use, or only leads old links home."
    ),
    printcolumn(
        name = "Role",
        type_ = "string",
        json_path = ".spec.role",
        description = "What the host is to its domain."
    ),
    printcolumn(
        name = "Verified",
        type_ = "boolean",
        json_path = ".spec.verified",
        description = "Whether the host was found to lead here."
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Time since it was created."
    )
)]
#[serde(rename_all = "camelCase")]
pub struct HostClaimSpec {
    /// Namespace and name of the TrackingDomain that owns the host, joined by a
    /// slash. It need not exist any more.
    #[schemars(schema_with = "schema::realm")]
    pub realm: String,

    /// UID of that namespace. A namespace made anew under the same name is
    /// another one and does not inherit the host.
    #[schemars(schema_with = "schema::uid")]
    pub namespace_uid: String,

    /// Since when what is kept of the domain is this namespace's to read: since
    /// it was made. A claim that is brought to another cluster, where the
    /// namespace is younger, keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub kept_since: Option<Time>,

    /// The installation of Mailtrail that the host belongs to.
    #[schemars(schema_with = "schema::class_name")]
    pub class_name: String,

    /// Active: the TrackingDomain exists. Retired: it does not; its links go on
    /// leading home, and nothing is recorded.
    pub state: ClaimState,

    /// What the host is to its domain. Host: new links carry it. Alias: it
    /// answers. Former: it was one of these, and answers for mails already sent.
    pub role: ClaimRole,

    /// Whether the host was ever found to lead here, with a valid certificate.
    /// Once verified it stays so.
    #[serde(default)]
    pub verified: bool,

    /// Whether mails with links over this host may have been sent.
    #[serde(default)]
    pub links_out: bool,

    /// What the TrackingDomain asks for when it is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// What outlives the TrackingDomain. Only where the role is Host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasting: Option<Lasting>,
}

/// Whether the owner of a host exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ClaimState {
    /// It does.
    Active,
    /// It is gone.
    Retired,
}

/// What a host is to its domain.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum ClaimRole {
    /// New links carry it.
    Host,
    /// It answers.
    Alias,
    /// It answers for mails already sent.
    Former,
}

/// What of a TrackingDomain outlives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lasting {
    /// How long events are kept.
    #[schemars(schema_with = "schema::retention")]
    pub retention: String,

    /// Offered as a plain link where a tracking link cannot be opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::fallback")]
    pub fallback: Option<String>,

    /// Apps that may open links marked for them.
    #[serde(default, skip_serializing_if = "is_default")]
    pub apps: Apps,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
