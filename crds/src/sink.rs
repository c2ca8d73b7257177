//! `EventSink`: what its owner writes. The documentation of each field is what
//! `kubectl explain` shows, so it speaks to that owner.

#![allow(
    unreachable_pub,
    reason = "kube's schema derive repeats the struct inside a function"
)]

mod entry;
pub(crate) mod rules;
pub(crate) mod schema;
mod status;
#[cfg(test)]
mod tests;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use entry::sink_entry;
pub use status::EventSinkStatus;

/// Type of the Secrets that requests are signed with.
pub const SECRET_TYPE: &str = "mailtrail.dev/webhook-secret";
/// Key of such a Secret that holds it.
pub const SECRET_KEY: &str = "secret";

/// A receiver that settled events are pushed to.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "mailtrail.dev",
    version = "v1alpha1",
    kind = "EventSink",
    plural = "eventsinks",
    shortname = "es",
    category = "mailtrail",
    namespaced,
    status = "EventSinkStatus",
    derive = "PartialEq",
    doc = "A receiver that opens and clicks are pushed to, as signed webhooks: every event of the tracking domains of its namespace that it asks for, at least once, the first attempts in order. Who may make one may read those events.",
    validation = crate::rules::name_is_short(),
    printcolumn(name = "Format", type_ = "string", json_path = ".spec.format", description = "What a request looks like."),
    printcolumn(name = "Suspend", type_ = "boolean", json_path = ".spec.suspend", description = "Whether its owner has suspended it."),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Whether events are delivered as written."),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", description = "Why they are, or are not."),
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.url", priority = 1, description = "The receiver."),
    printcolumn(name = "Class", type_ = "string", json_path = ".spec.className", priority = 1, description = "The installation that it belongs to."),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", description = "Time since it was created.")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::one_by_one_for_resend())]
#[x_kube(validation = rules::fits_one_entry())]
pub struct EventSinkSpec {
    /// Which installation of Mailtrail delivers to this sink: the one that runs
    /// with the same class. Default: mailtrail.
    #[serde(default = "default_class")]
    #[schemars(schema_with = "crate::schema::class_name")]
    pub class_name: String,

    /// Where events are posted to. An https URL anywhere on the internet; or an
    /// http or https URL of a Service of this namespace, such as
    /// http://receiver.shop.svc:8080/events, a plain ClusterIP Service with a
    /// selector. Other private addresses are refused at every attempt, after
    /// the name was resolved. No user name, password or fragment; redirects are
    /// not followed.
    #[schemars(schema_with = "schema::url")]
    pub url: String,

    /// Secrets of this namespace that requests are signed with, as Standard
    /// Webhooks has it, 1 to 4. Each is of type mailtrail.dev/webhook-secret
    /// and has one key, secret: whsec_ and 24 to 64 random bytes in base64.
    /// With several a request has a signature of each: to rotate, add the new
    /// one, let the receiver take it, then remove the old one.
    #[schemars(schema_with = "schema::secret_refs")]
    pub secret_refs: Vec<SecretRef>,

    /// Names of tracking domains of this namespace whose events are delivered,
    /// at most 16. None (the default): all of them, later ones too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::domains")]
    pub domains: Vec<String>,

    /// What must have happened: Opened, Clicked. Default: both.
    #[serde(default = "default_types")]
    #[schemars(schema_with = "schema::types")]
    pub types: Vec<EventType>,

    /// Who must have caused it. Human: a person. Proxy: an image proxy that
    /// fetches for a person who looks. Prefetch and Scanner: machines. Unknown:
    /// neither is known. Default: Human and Proxy, which are people.
    #[serde(default = "default_verdicts")]
    #[schemars(schema_with = "schema::verdicts")]
    pub verdicts: Vec<SinkVerdict>,

    /// What becomes of a reader's further opens and clicks. Send (the default):
    /// all are delivered. Omit: only the first by a person of each message,
    /// reader, type and link.
    #[serde(default)]
    pub repeats: Repeats,

    /// What becomes of hits of test mails, which never count. Omit (the
    /// default): they are not delivered. Send: they are, with test: true.
    #[serde(default)]
    pub test_mails: TestMails,

    /// What a request looks like. StandardWebhooks (the default): type,
    /// timestamp, data. CloudEvents: version 1.0 in structured mode, batched
    /// mode with batching. Resend: email.opened and email.clicked as Resend
    /// sends them, for receivers that are built for it. All are signed.
    #[serde(default)]
    pub format: SinkFormat,

    /// Several events a request. Not with Resend, which knows no such thing.
    #[serde(default)]
    pub batching: Batching,

    /// Whether deliveries rest. Events are kept meanwhile, as long as their
    /// domain's retention keeps them, and delivered once this is false again.
    /// Default: false.
    #[serde(default)]
    pub suspend: bool,
}

/// A Secret of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Name of the Secret.
    #[schemars(schema_with = "schema::secret_name")]
    pub name: String,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EventType {
    /// The pixel was loaded.
    Opened,
    /// A link was followed.
    Clicked,
}

/// Who caused an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SinkVerdict {
    /// A person.
    Human,
    /// An image proxy, for a person.
    Proxy,
    /// A machine, in advance.
    Prefetch,
    /// A machine that checks links.
    Scanner,
    /// Not known.
    Unknown,
}

/// What becomes of further opens and clicks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Repeats {
    /// They are delivered.
    #[default]
    Send,
    /// They are not.
    Omit,
}

/// What becomes of hits of test mails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TestMails {
    /// They are not delivered.
    #[default]
    Omit,
    /// They are.
    Send,
}

/// What a request looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SinkFormat {
    /// Standard Webhooks.
    #[default]
    StandardWebhooks,
    /// CloudEvents 1.0.
    CloudEvents,
    /// As Resend sends them.
    Resend,
}

/// Several events a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Batching {
    /// Whether events are gathered. Every request then has a list of them, be
    /// it of one. Default: false.
    #[serde(default)]
    pub enabled: bool,

    /// Most events of a request, from 1 to 100. Default: 100.
    #[serde(default = "default_max_events")]
    #[schemars(schema_with = "schema::max_events")]
    pub max_events: i32,

    /// How long an event waits for others, from 1s to 300s. Default: 1s.
    #[serde(default = "default_max_delay")]
    #[schemars(schema_with = "schema::max_delay")]
    pub max_delay: String,
}

impl Default for Batching {
    fn default() -> Self {
        Self {
            enabled: false,
            max_events: default_max_events(),
            max_delay: default_max_delay(),
        }
    }
}

fn default_class() -> String {
    crate::DEFAULT_CLASS.to_owned()
}

fn default_types() -> Vec<EventType> {
    vec![EventType::Opened, EventType::Clicked]
}

fn default_verdicts() -> Vec<SinkVerdict> {
    vec![SinkVerdict::Human, SinkVerdict::Proxy]
}

fn default_max_events() -> i32 {
    i32::from(mailtrail_core::sink::BATCH_MAX_EVENTS)
}

fn default_max_delay() -> String {
    "1s".to_owned()
}
