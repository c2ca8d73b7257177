//! The Ingress or HTTPRoute of a host. Pure.
//!
//! It is named after the host, as its claim is: a host is at most 253 bytes of what
//! names may hold, and no two have one name.

use std::collections::BTreeMap;
use std::hash::Hasher as _;

use kube::core::ApiResource;
use mailtrail_core::id::{Host, Realm};
use mailtrail_crds::HostClaim;
use serde_json::{Value, json};
use siphasher::sip::SipHasher13;

use super::settings::{Exposure, ExternalDns, Ingress, Mode, Parent, ParentKind};
use crate::object;

/// Label: the class of the install that made it.
pub const CLASS: &str = "mailtrail.dev/class";
/// Annotation: whose host it is.
const REALM: &str = "mailtrail.dev/realm";
/// Annotation: a hash of all that we wrote, so that a thing that is not wanted any
/// more is noticed in what stands.
pub const APPLIED: &str = "mailtrail.dev/applied";
/// Field of an Ingress' spec: its IngressClass.
pub const INGRESS_CLASS: &str = "ingressClassName";
/// What external-dns' annotations begin with: by default from its version 0.22.0 on
/// the first, with no fallback, before that the second (its release notes of 0.22.0,
/// kubernetes-sigs/external-dns#6424). With one alone, an upgrade of external-dns
/// would change or delete records of hosts that links lead over.
const EXTERNAL_DNS: [&str; 2] = [
    "external-dns.kubernetes.io/",
    "external-dns.alpha.kubernetes.io/",
];

/// What hosts get out by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `networking.k8s.io/v1`.
    Ingress,
    /// `gateway.networking.k8s.io/v1`.
    HttpRoute,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ingress, Self::HttpRoute];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "Ingress",
            Self::HttpRoute => "HTTPRoute",
        }
    }

    /// Its group and version.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::Ingress => "networking.k8s.io/v1",
            Self::HttpRoute => "gateway.networking.k8s.io/v1",
        }
    }

    /// How it is asked for. No bindings of the Gateway API fit the client, so both
    /// kinds are dealt with as JSON.
    pub fn resource(self) -> ApiResource {
        let (group, version) = self.api_version().split_once('/').unwrap_or_default();
        ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: self.api_version().to_owned(),
            kind: self.as_str().to_owned(),
            plural: match self {
                Self::Ingress => "ingresses",
                Self::HttpRoute => "httproutes",
            }
            .to_owned(),
        }
    }
}

/// Whether readers can come to a host at all: not to one of one's own machine, nor
/// to one that is in no DNS, as that of `helm test` (RFC 6761, 6.3 and 6.4).
pub(super) fn is_found(host: &Host) -> bool {
    !host.is_local() && !host.as_str().ends_with(".invalid")
}

/// The route of a host that is claimed; none for one that no reader can reach.
pub fn route(
    host: &Host,
    claim: &HostClaim,
    realm: &Realm,
    kind: Kind,
    class: &str,
    exposure: &Exposure,
) -> Option<Value> {
    if !is_found(host) {
        return None;
    }
    let spec = match &exposure.mode {
        Mode::None => return None,
        Mode::Ingress(ingress) => ingress_spec(host, ingress, exposure),
        Mode::HttpRoute(parents) => http_route_spec(host, parents, exposure),
    };
    let mut labels = object::labels();
    labels.insert(CLASS.to_owned(), class.to_owned());
    let mut annotations = exposure.annotations.clone();
    annotations.extend(for_external_dns(host, kind, &exposure.external_dns));
    annotations.insert(REALM.to_owned(), realm.to_string());
    let mut route = json!({
        "apiVersion": kind.api_version(),
        "kind": kind.as_str(),
        "metadata": {
            "name": host.as_str(),
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [{
                "apiVersion": "mailtrail.dev/v1alpha1",
                "kind": "HostClaim",
                "name": host.as_str(),
                "uid": claim.metadata.uid.as_deref().unwrap_or_default(),
            }],
        },
        "spec": spec,
    });
    let applied = hash(&route);
    route["metadata"]["annotations"][APPLIED] = json!(applied);
    Some(route)
}

fn ingress_spec(host: &Host, ingress: &Ingress, exposure: &Exposure) -> Value {
    let service = &exposure.service;
    let backend = json!({"service": {"name": service.name, "port": {"number": service.port}}});
    let mut spec = json!({
        "rules": [{
            "host": host.as_str(),
            "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]},
        }],
    });
    if !ingress.class_name.is_empty() {
        spec[INGRESS_CLASS] = json!(ingress.class_name);
    }
    if let Some(secret) = ingress.secret(host) {
        spec["tls"] = json!([{"hosts": [host.as_str()], "secretName": secret}]);
    }
    spec
}

/// With all that the definitions of the Gateway API fill in where it is left out, so
/// that what stands is compared as it is (its CRDs, 1.0 to 1.6).
fn http_route_spec(host: &Host, parents: &[Parent], exposure: &Exposure) -> Value {
    let service = &exposure.service;
    let parents: Vec<_> = parents.iter().map(parent_ref).collect();
    json!({
        "parentRefs": parents,
        "hostnames": [host.as_str()],
        "rules": [{
            "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
            "backendRefs": [{
                "group": "", "kind": "Service", "weight": 1,
                "name": service.name, "port": service.port,
            }],
        }],
    })
}

fn parent_ref(parent: &Parent) -> Value {
    let mut told = json!(parent);
    told["group"] = json!("gateway.networking.k8s.io");
    told["kind"] = json!(parent.kind.unwrap_or(ParentKind::Gateway));
    told
}

fn for_external_dns(host: &Host, kind: Kind, told: &ExternalDns) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::new();
    if !told.enabled {
        return annotations;
    }
    let target = match kind {
        Kind::Ingress => told.target.as_str(),
        // Read of the Gateway or ListenerSet alone.
        Kind::HttpRoute => "",
    };
    for prefix in EXTERNAL_DNS {
        for (key, value) in [
            ("hostname", host.as_str()),
            ("target", target),
            ("ttl", &told.ttl),
        ] {
            if !value.is_empty() {
                annotations.insert(format!("{prefix}{key}"), value.to_owned());
            }
        }
    }
    annotations
}

fn hash(route: &Value) -> String {
    let mut hasher = SipHasher13::new();
    // Keys are in order: the same route gives the same text.
    hasher.write(route.to_string().as_bytes());
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn claim(host: &str, uid: &str) -> HostClaim {
        serde_json::from_value(json!({
            "apiVersion": "mailtrail.dev/v1alpha1", "kind": "HostClaim",
            "metadata": {"name": host, "uid": uid},
            "spec": {"realm": "shop/links", "namespaceUid": "1", "className": "two", "state": "Active", "role": "Host"},
        }))
        .expect("a claim")
    }

    fn built(host: &str, file: &str) -> Option<Value> {
        let service = "service: {name: mailtrail-public, port: 80}\n";
        let exposure = Exposure::parse(&format!("{service}{file}")).expect(file);
        let kind = exposure.kind().expect("a mode");
        let parsed = host.parse().expect("a host");
        let realm = "shop/links".parse().expect("a realm");
        route(&parsed, &claim(host, "u-1"), &realm, kind, "two", &exposure)
    }

    #[test]
    fn an_ingress_has_what_the_settings_say() {
        let file = "mode: Ingress\ningress: {className: nginx, tlsSecretName: '{host}-tls'}\nannotations: {a/b: c}\nexternalDNS: {enabled: true, target: lb.example, ttl: 5m}";
        let made = built("a.example", file).expect("a route");
        assert_eq!(
            made["spec"],
            json!({
                "ingressClassName": "nginx",
                "rules": [{"host": "a.example", "http": {"paths": [{"path": "/", "pathType": "Prefix",
                    "backend": {"service": {"name": "mailtrail-public", "port": {"number": 80}}}}]}}],
                "tls": [{"hosts": ["a.example"], "secretName": "a.example-tls"}],
            })
        );
        let metadata = &made["metadata"];
        assert_eq!(metadata["ownerReferences"][0]["uid"], "u-1");
        assert_eq!(metadata["labels"][CLASS], "two");
        let annotations = &metadata["annotations"];
        assert_eq!(annotations["a/b"], "c");
        for prefix in [
            "external-dns.kubernetes.io",
            "external-dns.alpha.kubernetes.io",
        ] {
            assert_eq!(annotations[format!("{prefix}/hostname")], "a.example");
            assert_eq!(annotations[format!("{prefix}/target")], "lb.example");
            assert_eq!(annotations[format!("{prefix}/ttl")], "5m");
        }
    }

    #[test]
    fn an_http_route_attaches_to_its_parents_and_tells_no_target() {
        let file = "mode: HTTPRoute\nhttpRoute: {parentRefs: [{name: public, namespace: gateways, kind: ListenerSet, sectionName: https}]}\nexternalDNS: {enabled: true, target: lb.example}";
        let made = built("a.example", file).expect("a route");
        assert_eq!(
            made["spec"]["parentRefs"],
            json!([{"group": "gateway.networking.k8s.io", "name": "public", "namespace": "gateways", "kind": "ListenerSet", "sectionName": "https"}])
        );
        let plain = built(
            "a.example",
            "mode: HTTPRoute\nhttpRoute: {parentRefs: [{name: public}]}",
        );
        let plain = plain.expect("a route");
        assert_eq!(plain["spec"]["parentRefs"][0]["kind"], "Gateway");
        assert_eq!(made["spec"]["hostnames"], json!(["a.example"]));
        assert!(!made.to_string().contains("target"), "{made}");
        let quiet = built("a.example", "mode: Ingress").expect("a route");
        assert!(!quiet.to_string().contains("external-dns"), "{quiet}");
    }

    #[test]
    fn a_host_that_no_reader_can_reach_is_not_exposed() {
        for host in ["links.localhost", "test.mail.mailtrail.invalid"] {
            assert_eq!(built(host, "mode: Ingress"), None);
        }
    }

    #[test]
    fn the_hash_is_of_all_that_is_written() {
        let hash = |file: &str| {
            built("a.example", file).expect("a route")["metadata"]["annotations"][APPLIED].clone()
        };
        assert_eq!(hash("mode: Ingress"), hash("mode: Ingress"));
        assert_ne!(
            hash("mode: Ingress"),
            hash("mode: Ingress\nannotations: {a/b: c}")
        );
    }
}
