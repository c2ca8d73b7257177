//! The labelled set: hits as public sources describe them, with who caused them
//! by the source's word.

use std::collections::BTreeMap;

use mailtrail_core::event::{EventKind, Verdict};
use serde::Deserialize;

/// User agents of one kind, each a hit of its own mail.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Group {
    pub(crate) source: String,
    pub(crate) label: Verdict,
    pub(crate) kind: EventKind,
    pub(crate) address: Option<String>,
    pub(crate) user_agents: Vec<String>,
}

/// Hits of one mail and recipient.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Pattern {
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) user_agent: Option<String>,
    /// Seconds from the sending to the pattern's begin.
    pub(crate) sent: Option<i64>,
    pub(crate) hits: Vec<Hit>,
}

/// One of them; without a target it is of the pixel.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Hit {
    /// Seconds from the pattern's begin.
    pub(crate) at: u32,
    pub(crate) target: Option<String>,
    pub(crate) user_agent: Option<String>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) address: Option<String>,
    pub(crate) label: Verdict,
}

/// All of the set, as patterns.
pub(crate) fn read() -> Vec<Pattern> {
    let groups = [
        include_str!("people.yaml"),
        include_str!("proxies.yaml"),
        include_str!("machines.yaml"),
    ];
    let groups = groups
        .iter()
        .flat_map(|text| serde_saphyr::from_str::<Vec<Group>>(text).expect("groups"));
    let patterns = serde_saphyr::from_str::<Vec<Pattern>>(include_str!("patterns.yaml"));
    let alone = groups.flat_map(Group::patterns);
    alone.chain(patterns.expect("patterns")).collect()
}

impl Group {
    fn patterns(self) -> impl Iterator<Item = Pattern> {
        let Self {
            source,
            label,
            kind,
            address,
            user_agents,
        } = self;
        user_agents.into_iter().map(move |user_agent| Pattern {
            name: user_agent.clone(),
            source: source.clone(),
            user_agent: Some(user_agent),
            sent: None,
            hits: vec![Hit {
                at: 0,
                target: (kind == EventKind::Clicked).then(|| "a".to_owned()),
                user_agent: None,
                headers: BTreeMap::new(),
                address: address.clone(),
                label,
            }],
        })
    }
}
