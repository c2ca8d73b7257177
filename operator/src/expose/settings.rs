//! How hosts get out, as the install's administrator has it: a YAML file, which
//! the chart makes of its values.
//!
//! ```yaml
//! mode: Ingress                     # None, Ingress or HTTPRoute
//! service: {name: mailtrail-public, port: 80}
//! annotations: {cert-manager.io/cluster-issuer: letsencrypt}
//! externalDNS: {enabled: true, target: "", ttl: ""}
//! ingress: {className: nginx, tlsSecretName: "{host}-tls"}
//! httpRoute:
//!   parentRefs: [{name: public, namespace: gateways, sectionName: https}]
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use mailtrail_core::id::Host;
use serde::{Deserialize, Serialize};

use super::build::Kind;

/// Largest file, in bytes.
const FILE_MAX_BYTES: u64 = 64 * 1024;
/// Most annotations that every route gets.
const ANNOTATIONS_MAX: usize = 64;
/// Most parents: as many as an HTTPRoute may have.
const PARENTS_MAX: usize = 32;
/// Longest name of an object, in bytes.
const NAME_MAX_BYTES: usize = 253;
/// Stands for the host in the name of a TLS Secret.
const HOST: &str = "{host}";
/// Digits of the hash that makes a name that had to be cut its own again.
const HASH_DIGITS: usize = 10;
/// What we alone write.
const OUR_ANNOTATIONS: &str = "mailtrail.dev/";

/// How hosts get out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposure {
    /// By what.
    pub mode: Mode,
    /// Where requests go.
    pub service: Service,
    /// Annotations of every route.
    pub annotations: BTreeMap<String, String>,
    /// What external-dns is told.
    pub external_dns: ExternalDns,
}

/// By what hosts get out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// By nothing that the operator makes; what it once made is removed.
    None,
    /// By Ingresses.
    Ingress(Ingress),
    /// By HTTPRoutes of these parents.
    HttpRoute(Vec<Parent>),
}

/// The data plane's public Service.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Its name, in the install's namespace.
    pub name: String,
    /// Its port.
    pub port: u16,
}

/// What external-dns is told by annotations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExternalDns {
    /// Whether it is told anything.
    pub enabled: bool,
    /// Where records lead; empty: where the controller says. It reads that of
    /// Ingresses alone: of HTTPRoutes it asks their Gateway.
    pub target: String,
    /// How long records are kept, such as `300` or `5m`; empty: its default.
    pub ttl: String,
}

/// Settings of Ingresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Ingress {
    /// Their IngressClass; empty: the cluster's default.
    pub class_name: String,
    /// Secrets with their certificates, where `{host}` stands for the host;
    /// empty: they name none.
    pub tls_secret_name: String,
}

/// A Gateway, or a ListenerSet, that HTTPRoutes attach to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Parent {
    /// Its name.
    pub name: String,
    /// Its namespace; absent: the install's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// `Gateway`, where it is absent, or `ListenerSet`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ParentKind>,
    /// One of its listeners; absent: all that let the host in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
    /// Port of its listeners; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// What an HTTPRoute attaches to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ParentKind {
    /// A Gateway.
    Gateway,
    /// More listeners of one.
    ListenerSet,
}

/// Why a file does not say how hosts get out.
#[derive(Debug, thiserror::Error)]
pub enum ExposureError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// It is too large.
    #[error("has more than {FILE_MAX_BYTES} bytes")]
    TooLarge,
    /// It is not what it should be.
    #[error("{0}")]
    Yaml(String),
    /// Fields that are wrong; one line each.
    #[error("{}", .0.join("\n"))]
    Fields(Vec<String>),
}

/// The file as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct File {
    mode: Word,
    service: Service,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default, rename = "externalDNS")]
    external_dns: ExternalDns,
    #[serde(default)]
    ingress: Ingress,
    #[serde(default)]
    http_route: HttpRoute,
}

#[derive(Debug, Deserialize)]
enum Word {
    None,
    Ingress,
    #[serde(rename = "HTTPRoute")]
    HttpRoute,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct HttpRoute {
    #[serde(default)]
    parent_refs: Vec<Parent>,
}

impl Exposure {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, ExposureError> {
        if std::fs::metadata(path)?.len() > FILE_MAX_BYTES {
            return Err(ExposureError::TooLarge);
        }
        Self::parse(&std::fs::read_to_string(path)?)
    }

    pub(super) fn parse(text: &str) -> Result<Self, ExposureError> {
        let file: File =
            serde_saphyr::from_str(text).map_err(|error| ExposureError::Yaml(error.to_string()))?;
        let faults = file.faults();
        if !faults.is_empty() {
            return Err(ExposureError::Fields(faults));
        }
        Ok(Self {
            mode: match file.mode {
                Word::None => Mode::None,
                Word::Ingress => Mode::Ingress(file.ingress),
                Word::HttpRoute => Mode::HttpRoute(file.http_route.parent_refs),
            },
            service: file.service,
            annotations: file.annotations,
            external_dns: file.external_dns,
        })
    }

    /// What is made of each host, where anything is.
    pub fn kind(&self) -> Option<Kind> {
        match self.mode {
            Mode::None => None,
            Mode::Ingress(_) => Some(Kind::Ingress),
            Mode::HttpRoute(_) => Some(Kind::HttpRoute),
        }
    }
}

impl File {
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.service.name.is_empty() || self.service.port == 0 {
            faults.push("service: needs a name and a port from 1 to 65535".to_owned());
        }
        if self.annotations.len() > ANNOTATIONS_MAX {
            faults.push(format!("annotations: {ANNOTATIONS_MAX} at most"));
        }
        let ours = |key: &&String| key.starts_with(OUR_ANNOTATIONS);
        faults.extend(self.annotations.keys().filter(ours).map(|key| {
            format!("annotations.{key}: what begins with {OUR_ANNOTATIONS} is the operator's own")
        }));
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        let pattern = &self.ingress.tls_secret_name;
        if pattern.len() > NAME_MAX_BYTES || !pattern.replace(HOST, "").chars().all(is_name) {
            faults.push(format!(
                "ingress.tlsSecretName: must be lower-case letters, digits, hyphens and dots, with {HOST} for the host"
            ));
        }
        let parents = &self.http_route.parent_refs;
        if matches!(self.mode, Word::HttpRoute) && !(1..=PARENTS_MAX).contains(&parents.len()) {
            faults.push(format!(
                "httpRoute.parentRefs: mode HTTPRoute needs 1 to {PARENTS_MAX} of them"
            ));
        }
        if parents.iter().any(|parent| parent.name.is_empty()) {
            faults.push("httpRoute.parentRefs: each needs a name".to_owned());
        }
        faults
    }
}

impl Ingress {
    /// The Secret with a host's certificate, where one is named. A name that is too
    /// long is cut, and made its own again by a hash.
    pub fn secret(&self, host: &Host) -> Option<String> {
        let name = self.tls_secret_name.replace(HOST, host.as_str());
        if name.is_empty() || name.len() <= NAME_MAX_BYTES {
            return Some(name).filter(|name| !name.is_empty());
        }
        let hash = data_encoding::HEXLOWER.encode(digest(&SHA256, name.as_bytes()).as_ref());
        let kept = &name[..NAME_MAX_BYTES - HASH_DIGITS - 1];
        let kept = kept.trim_end_matches(['-', '.']);
        Some(format!("{kept}-{}", &hash[..HASH_DIGITS]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: &str = "service: {name: mailtrail-public, port: 80}\n";

    #[test]
    fn a_file_says_by_what_hosts_get_out() {
        let parse = |text: &str| Exposure::parse(&format!("{SERVICE}{text}")).expect(text);
        assert_eq!(parse("mode: None").kind(), None);
        let ingress = parse("mode: Ingress\ningress: {className: nginx}\nannotations: {a/b: c}");
        assert_eq!(ingress.kind(), Some(Kind::Ingress));
        assert_eq!(ingress.annotations["a/b"], "c");
        let route =
            parse("mode: HTTPRoute\nhttpRoute: {parentRefs: [{name: public, sectionName: https}]}");
        assert_eq!(route.kind(), Some(Kind::HttpRoute));
    }

    #[test]
    fn what_cannot_be_is_refused_by_field_and_rule() {
        for (text, says) in [
            ("mode: Gateway", "Gateway"),
            ("mode: Ingress\nclassName: nginx", "className"),
            (
                "mode: HTTPRoute",
                "httpRoute.parentRefs: mode HTTPRoute needs 1 to 32",
            ),
            (
                "mode: HTTPRoute\nhttpRoute: {parentRefs: [{name: ''}]}",
                "each needs a name",
            ),
            (
                "mode: HTTPRoute\nhttpRoute: {parentRefs: [{name: a, kind: Service}]}",
                "Service",
            ),
            (
                "mode: Ingress\nannotations: {mailtrail.dev/realm: a}",
                "annotations.mailtrail.dev/realm",
            ),
            (
                "mode: Ingress\ningress: {tlsSecretName: 'A_{host}'}",
                "ingress.tlsSecretName",
            ),
        ] {
            let error = Exposure::parse(&format!("{SERVICE}{text}")).expect_err(text);
            assert!(error.to_string().contains(says), "{text}: {error}");
        }
        let both = "mode: HTTPRoute\nservice: {name: '', port: 80}\n";
        let error = Exposure::parse(both).expect_err("two faults").to_string();
        assert_eq!(error.lines().count(), 2, "{error}");
    }

    #[test]
    fn a_secrets_name_is_made_of_the_host_and_fits() {
        let named = |pattern: &str, host: &str| {
            let ingress = Ingress {
                tls_secret_name: pattern.to_owned(),
                ..Ingress::default()
            };
            ingress.secret(&host.parse().expect("a host"))
        };
        assert_eq!(named("", "a.example"), None);
        assert_eq!(named("wildcard", "a.example").as_deref(), Some("wildcard"));
        assert_eq!(
            named("{host}-tls", "a.example").as_deref(),
            Some("a.example-tls")
        );
        let label = "a".repeat(60);
        let long = |last: &str| format!("{label}.{label}.{label}.{label}.{last}");
        let (one, two) = (
            named("{host}-tls", &long("example")),
            named("{host}-tls", &long("exampla")),
        );
        let (one, two) = (one.expect("a name"), two.expect("a name"));
        assert!(one.len() <= NAME_MAX_BYTES && two.len() <= NAME_MAX_BYTES);
        assert_ne!(one, two);
    }
}
