//! Which namespaces may use which hosts, and how many domains each may have: a
//! YAML file of the install's administrator.
//!
//! ```yaml
//! - namespaces: [shop, "team-*"]     # names, or beginnings of names
//!   hosts: ["*.shop.example"]        # a host, or with *. all below it
//!   maxDomains: 20                   # per namespace; none: no bound
//! ```
//!
//! A namespace may use what any rule that names it allows, and have as many
//! domains as the largest bound of these. Without a file any namespace may use
//! any host that is free. A domain that is accepted keeps its hosts and its place
//! where the file is made narrower.

use std::path::Path;

use mailtrail_core::config::HostPattern;
use mailtrail_core::id::Host;
use serde::Deserialize;

/// Largest file, in bytes.
const FILE_MAX_BYTES: u64 = 1 << 20;
/// Most rules.
const RULES_MAX: usize = 1_000;

/// Who may use which hosts.
#[derive(Debug, Clone, Default)]
pub struct HostPolicy {
    /// Absent: everybody may use everything.
    rules: Option<Vec<Rule>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Rule {
    namespaces: Vec<String>,
    hosts: Vec<HostPattern>,
    #[serde(default)]
    max_domains: Option<usize>,
}

/// Why a file is no policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// It is too large.
    #[error("has more than {FILE_MAX_BYTES} bytes or {RULES_MAX} rules")]
    TooLarge,
    /// It is not what it should be.
    #[error("{0}")]
    Yaml(String),
}

impl HostPolicy {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, PolicyError> {
        if std::fs::metadata(path)?.len() > FILE_MAX_BYTES {
            return Err(PolicyError::TooLarge);
        }
        Self::parse(&std::fs::read_to_string(path)?)
    }

    pub(crate) fn parse(text: &str) -> Result<Self, PolicyError> {
        let rules: Vec<Rule> =
            serde_saphyr::from_str(text).map_err(|error| PolicyError::Yaml(error.to_string()))?;
        if rules.len() > RULES_MAX {
            return Err(PolicyError::TooLarge);
        }
        Ok(Self { rules: Some(rules) })
    }

    fn of<'a>(&'a self, namespace: &'a str) -> Option<impl Iterator<Item = &'a Rule>> {
        let rules = self.rules.as_ref()?;
        Some(rules.iter().filter(move |rule| rule.names(namespace)))
    }

    /// Whether a namespace may use a host; if not, what a person should know.
    pub fn allows(&self, namespace: &str, host: &Host) -> Result<(), String> {
        let Some(mut rules) = self.of(namespace) else {
            return Ok(());
        };
        if rules.any(|rule| rule.hosts.iter().any(|p| p.matches(host.as_str()))) {
            return Ok(());
        }
        Err(format!(
            "this namespace may not use {host}: ask the administrator of Mailtrail for it, or choose another host"
        ))
    }

    /// The most domains that a namespace may have; one rule without a bound
    /// lifts them all.
    fn bound(&self, namespace: &str) -> Option<usize> {
        let bounds = self.of(namespace)?.map(|rule| rule.max_domains);
        bounds.collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// Whether a namespace may have so many domains and no more.
    pub fn is_bounded(&self, namespace: &str) -> bool {
        self.bound(namespace).is_some()
    }

    /// Whether a namespace may have so many domains; if not, what a person
    /// should know.
    pub fn has_room(&self, namespace: &str, domains: usize) -> Result<(), String> {
        match self.bound(namespace) {
            Some(0) => Err(
                "this namespace may have no tracking domain: ask the administrator of Mailtrail"
                    .to_owned(),
            ),
            Some(most) if domains > most => {
                let plural = if most == 1 { "" } else { "s" };
                Err(format!(
                    "this namespace may have {most} tracking domain{plural}, and has: delete one, or ask the administrator of Mailtrail for more"
                ))
            }
            _ => Ok(()),
        }
    }
}

impl Rule {
    fn names(&self, namespace: &str) -> bool {
        self.namespaces
            .iter()
            .any(|name| match name.strip_suffix('*') {
                Some(beginning) => namespace.starts_with(beginning),
                None => namespace == name,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Host {
        text.parse().expect("a host")
    }

    #[test]
    fn without_rules_everything_is_allowed() {
        let policy = HostPolicy::default();
        assert!(policy.allows("any", &host("a.example")).is_ok());
        assert!(policy.has_room("any", 1_000_000).is_ok());
    }

    #[test]
    fn a_namespace_may_use_what_a_rule_that_names_it_allows() {
        let policy = HostPolicy::parse(
            "- {namespaces: [shop, team-*], hosts: ['*.shop.example', b.example], maxDomains: 2}\n- {namespaces: [team-a], hosts: [a.example], maxDomains: 5}\n",
        )
        .expect("a policy");
        for (namespace, name, allowed) in [
            ("shop", "links.shop.example", true),
            ("shop", "shop.example", false),
            ("shop", "b.example", true),
            ("shop", "a.example", false),
            ("team-a", "a.example", true),
            ("team-b", "links.shop.example", true),
            ("shopping", "links.shop.example", false),
            ("other", "b.example", false),
        ] {
            let found = policy.allows(namespace, &host(name)).is_ok();
            assert_eq!(found, allowed, "{namespace} {name}");
        }
        assert!(policy.has_room("shop", 2).is_ok() && policy.has_room("shop", 3).is_err());
        let one = HostPolicy::parse("- {namespaces: [a], hosts: [a.example], maxDomains: 1}");
        let said = one.expect("a policy").has_room("a", 2).expect_err("full");
        assert!(said.contains("1 tracking domain, and has"), "{said}");
        assert!(policy.has_room("team-a", 5).is_ok() && policy.has_room("team-a", 6).is_err());
    }

    #[test]
    fn what_is_no_policy_is_refused_with_its_field() {
        for (text, says) in [
            ("- {namespace: [a], hosts: [a.example]}", "namespace"),
            ("- {namespaces: [a], hosts: ['A b']}", "host"),
            ("{", ""),
        ] {
            let error = HostPolicy::parse(text).expect_err(text).to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
