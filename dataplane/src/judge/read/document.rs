//! A rules file as it is written. What it may say beyond its shape is checked
//! in [`super`].

use serde::Deserialize;
use serde_saphyr::Spanned;

/// A text, and where it stands.
pub(super) type Text = Spanned<String>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Document {
    pub(super) version: Spanned<u32>,
    pub(super) delivery_window: Option<Text>,
    #[serde(default)]
    pub(super) networks: Vec<Spanned<Network>>,
    pub(super) signs: Vec<Spanned<Sign>>,
    pub(super) rules: Vec<Spanned<Rule>>,
}

/// Ranges that somebody has published.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Network {
    pub(super) name: Text,
    pub(super) source: Option<Text>,
    pub(super) date: Option<Text>,
    pub(super) ranges: Vec<Text>,
}

/// A named condition: it holds when any of its parts does.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Sign {
    pub(super) name: Text,
    #[serde(default)]
    pub(super) user_agent: UserAgent,
    #[serde(default)]
    pub(super) headers: Vec<Spanned<Header>>,
    #[serde(default)]
    pub(super) networks: Vec<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct UserAgent {
    pub(super) equals: Vec<Text>,
    pub(super) contains: Vec<Text>,
    pub(super) starts_with: Vec<Text>,
    pub(super) ends_with: Vec<Text>,
    pub(super) words: Vec<Text>,
    pub(super) words_ending_in: Vec<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) name: Text,
    #[serde(default)]
    pub(super) equals: Vec<Text>,
    #[serde(default)]
    pub(super) contains: Vec<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    pub(super) name: Text,
    #[serde(rename = "for")]
    pub(super) kind: Option<Text>,
    pub(super) when: When,
    pub(super) verdict: Text,
}

/// Which signs must hold.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct When {
    #[serde(default)]
    pub(super) all: Vec<Text>,
    #[serde(default)]
    pub(super) any: Vec<Text>,
    #[serde(default)]
    pub(super) none: Vec<Text>,
}
