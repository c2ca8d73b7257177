//! What a rewrite leaves behind: the message record.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{LinkPosition, MessageId, Realm, Recipient};
use crate::target::Target;

/// What is known of a message since its rewrite. Statistics, timing verdicts
/// and webhooks read it; nothing on the way of a redirect needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRecord {
    /// The tracking domain.
    pub domain: Realm,
    /// The sender's id.
    pub message_id: MessageId,
    /// The reader, when named.
    pub recipient: Option<Recipient>,
    /// When it was rewritten.
    pub rewritten_at: Timestamp,
    /// The sender's tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// The tracked links.
    pub links: Vec<RecordedLink>,
    /// Whether a pixel was placed.
    pub pixel: bool,
    /// A test mail.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub test: bool,
    /// What the caller gave beside the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What the caller gave beside the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What the caller gave beside the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When the caller sends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
}

/// A tracked link of a message record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedLink {
    /// Its place in the message.
    pub position: LinkPosition,
    /// Where it leads.
    pub target: Target,
    /// The name the sender gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}
