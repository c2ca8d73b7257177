//! An event, described.

use std::collections::BTreeMap;

use mailtrail_core::event::{
    Client as CoreClient, Event as CoreEvent, EventKind as CoreEventKind, EventLink as CoreLink,
    Verdict as CoreVerdict,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::words;

/// A recorded hit: somebody, or something, loaded a pixel or followed a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(examples(crate::api::examples::clicked))]
pub(in crate::api) struct Event {
    /// A UUIDv7; the same here and in webhooks.
    #[schema(format = "uuid")]
    pub id: String,
    /// What happened.
    #[serde(rename = "type")]
    #[schema(rename = "type")]
    pub kind: EventKind,
    /// When: RFC 3339, UTC, milliseconds.
    #[schema(format = "date-time")]
    pub time: String,
    /// The tracking domain, `namespace/name`.
    pub domain: String,
    /// The tracking host that was asked.
    pub host: String,
    /// The sender's id of the message.
    pub message_id: String,
    /// The reader; null when the rewrite named none.
    #[schema(required)]
    pub recipient: Option<String>,
    /// The message's tags.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(required = false)]
    pub tags: BTreeMap<String, String>,
    /// The link that was followed; only with `clicked`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub link: Option<EventLink>,
    /// Who asked.
    pub client: Client,
    /// The first by a person of this message, recipient, kind and link position.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false, default = false)]
    pub first: bool,
    /// A hit of a test mail: never counted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false, default = false)]
    pub test: bool,
    /// Whether it is final. Of one that is not, verdict, rules and `first` are
    /// what can be said now; it is listed again with the same id once it is
    /// settled. Only there with `provisional`.
    #[serde(skip_serializing_if = "Clone::clone")]
    #[schema(required = false, default = true)]
    pub settled: bool,
}

words! {
    /// What happened: `opened` (the pixel was loaded) or `clicked` (a link was followed).
    EventKind of CoreEventKind {
        /// The pixel was loaded.
        Opened,
        /// A link was followed.
        Clicked,
    }
}

/// The link of a click.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::api) struct EventLink {
    /// Where it leads.
    pub target: String,
    /// Its place in the mail, as in the rewrite's report.
    pub position: u32,
    /// The name that the sender gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<String>,
}

/// Who asked. Family, system and device come from fixed sets; address and user
/// agent stand here only as far as the domain's privacy setting allows, by
/// default not at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::api) struct Client {
    /// Person or machine.
    pub verdict: Verdict,
    /// The rules that said so.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub rules: Vec<String>,
    /// Program, such as `Firefox`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub family: Option<String>,
    /// Operating system.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub os: Option<String>,
    /// `desktop`, `phone` or `tablet`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub device: Option<String>,
    /// Address or network.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub address: Option<String>,
    /// The user agent's text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub user_agent: Option<String>,
}

words! {
    /// Who caused a hit. People: `human`, and `proxy` (an image proxy fetching
    /// for a person who looks). Machines: `prefetch` (in advance) and `scanner`
    /// (following links to check them). `unknown` is neither.
    Verdict of CoreVerdict {
        /// A person.
        Human,
        /// For a person.
        Proxy,
        /// In advance.
        Prefetch,
        /// To check.
        Scanner,
        /// Not known.
        Unknown,
    }
}

/// A verdict, or a group of them: `people` is `human` and `proxy`, `machines` is
/// `prefetch` and `scanner`.
#[derive(Debug, Clone, Copy, serde::Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::api) enum VerdictOrGroup {
    /// A person.
    Human,
    /// For a person.
    Proxy,
    /// In advance.
    Prefetch,
    /// To check.
    Scanner,
    /// Not known.
    Unknown,
    /// `human` and `proxy`.
    People,
    /// `prefetch` and `scanner`.
    Machines,
}

impl From<CoreEvent> for Event {
    fn from(event: CoreEvent) -> Self {
        let CoreEvent {
            id,
            kind,
            time,
            domain,
            host,
            message_id,
            recipient,
            tags,
            link,
            client,
            first,
            test,
        } = event;
        Self {
            id: id.to_string(),
            kind: kind.into(),
            time: format!("{time:.3}"),
            domain: domain.to_string(),
            host: host.to_string(),
            message_id: message_id.to_string(),
            recipient: recipient.map(|recipient| recipient.as_str().to_owned()),
            tags,
            link: link.map(EventLink::from),
            client: client.into(),
            first,
            test,
            settled: true,
        }
    }
}

impl Event {
    /// The same, before it is settled.
    pub(in crate::api) fn unsettled(event: CoreEvent) -> Self {
        Self {
            settled: false,
            ..Self::from(event)
        }
    }
}

impl From<CoreLink> for EventLink {
    fn from(link: CoreLink) -> Self {
        let CoreLink {
            target,
            position,
            name,
        } = link;
        Self {
            target: target.to_string(),
            position: position.0,
            name,
        }
    }
}

impl From<CoreClient> for Client {
    fn from(client: CoreClient) -> Self {
        let CoreClient {
            verdict,
            rules,
            family,
            os,
            device,
            address,
            user_agent,
        } = client;
        Self {
            verdict: verdict.into(),
            rules,
            family,
            os,
            device,
            address,
            user_agent,
        }
    }
}
