//! Which receivers of the cluster there may be: plain ClusterIP Services of the
//! sink's own namespace, whose endpoints the cluster itself has found.
//!
//! Whoever may make a sink could otherwise have events, and requests in the data
//! plane's name, sent to what they cannot reach themselves: an ExternalName is any
//! name, a headless Service and hand-made endpoints are any address. What is
//! permitted is one address and port; the data plane connects to no other.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::watcher;
use mailtrail_core::id::Realm;
use mailtrail_core::sink::{Endpoint, is_of_a_cluster};

use super::follow::{Seen, Target};
use crate::condition::Reason;

/// Who keeps the slices of a Service with a selector.
const CONTROLLER: &str = "endpointslice-controller.k8s.io";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Services by name.
pub struct Services;

/// EndpointSlices by the Service that they are of.
pub struct Slices;

/// What matters of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// `ClusterIP`, where nothing else is said.
    type_: String,
    /// Its address; absent where it has none.
    address: Option<IpAddr>,
    /// Whether it says which pods are behind it.
    selects: bool,
    /// Its ports over TCP.
    ports: Vec<u16>,
}

impl Target for Services {
    type Kind = core::Service;
    type Kept = Service;

    fn selected(name: &str) -> watcher::Config {
        watcher::Config::default().fields(&format!("metadata.name={name}"))
    }

    fn kept(service: core::Service) -> Service {
        let spec = service.spec.unwrap_or_default();
        let address = spec.cluster_ip.and_then(|address| address.parse().ok());
        let tcp = |port: &core::ServicePort| port.protocol.as_deref().is_none_or(|p| p == "TCP");
        let ports = spec.ports.unwrap_or_default();
        Service {
            type_: spec.type_.unwrap_or_else(|| "ClusterIP".to_owned()),
            address,
            selects: spec.selector.is_some_and(|selector| !selector.is_empty()),
            ports: ports
                .iter()
                .filter(|port| tcp(port))
                .filter_map(|port| u16::try_from(port.port).ok())
                .collect(),
        }
    }
}

impl Target for Slices {
    type Kind = EndpointSlice;
    /// Whether the cluster itself keeps it.
    type Kept = bool;

    fn selected(name: &str) -> watcher::Config {
        watcher::Config::default().labels(&format!("{SERVICE_NAME}={name}"))
    }

    fn kept(slice: EndpointSlice) -> bool {
        let labels = slice.metadata.labels.unwrap_or_default();
        labels.get(MANAGED_BY).is_some_and(|by| by == CONTROLLER)
    }
}

/// Where a URL leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leads<'a> {
    /// Out of the cluster, or to an address: the data plane looks at it.
    Outside,
    /// To a Service of the sink's namespace.
    Service(&'a str),
    /// To something else of the cluster.
    Nowhere,
}

/// Where a URL leads, in a cluster whose names end in `domain`. Pure.
pub(super) fn leads<'a>(url: &'a Endpoint, sink: &Realm, domain: &str) -> Leads<'a> {
    let Some(host) = url.domain() else {
        return Leads::Outside;
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    let inside = host
        .strip_suffix(domain)
        .and_then(|host| host.strip_suffix('.'));
    match inside.unwrap_or(host).strip_suffix(".svc") {
        Some(service) => match service.split_once('.') {
            Some((name, namespace)) if namespace == sink.namespace() => Leads::Service(name),
            _ => Leads::Nowhere,
        },
        None if inside.is_some() || is_of_a_cluster(host) => Leads::Nowhere,
        None => Leads::Outside,
    }
}

/// The address that is connected to; else why there is none. Pure.
pub(super) fn resolve(
    name: &str,
    port: u16,
    service: &Seen<Service>,
    slices: &Seen<bool>,
) -> Result<SocketAddr, (Reason, String)> {
    let unknown = |why: &str| {
        let message = format!("the Service {name} {why}: its events wait");
        Err((Reason::ServiceNotFound, message))
    };
    let service = match service {
        Seen::There(there) => match there.get(name) {
            Some(service) => service,
            None => return unknown("is not in this namespace"),
        },
        Seen::NotYet => return unknown("is not known yet"),
        Seen::Forbidden => return unknown("may not be read by the operator (see its ClusterRole)"),
    };
    let slices = match slices {
        Seen::There(slices) => slices,
        Seen::NotYet => return unknown("has endpoints that are not known yet"),
        Seen::Forbidden => {
            return unknown("has endpoints that the operator may not read (see its ClusterRole)");
        }
    };
    let address = plain(service, slices).map_err(|why| {
        let message = format!("the Service {name} {why}: its events wait");
        (Reason::ServiceNotAllowed, message)
    })?;
    if !service.ports.contains(&port) {
        return unknown(&format!("has no port {port} over TCP"));
    }
    Ok(SocketAddr::new(address, port))
}

/// The address of a Service where it is a plain one.
fn plain(service: &Service, slices: &BTreeMap<String, bool>) -> Result<IpAddr, &'static str> {
    if service.type_ != "ClusterIP" {
        return Err("must be of type ClusterIP");
    }
    let address = service.address.ok_or("must have a ClusterIP of its own")?;
    if !service.selects {
        return Err("must have a selector");
    }
    if slices.values().any(|is_kept| !is_kept) {
        return Err("has endpoints that were made by hand");
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_url_leads_to_services_of_its_own_namespace_or_outside() {
        let sink: Realm = "shop/orders".parse().expect("a realm");
        let check = |host: &str, expected: Leads<'_>| {
            let url: Endpoint = format!("http://{host}:8080/").parse().expect("a URL");
            assert_eq!(leads(&url, &sink, "k8s.corp"), expected, "{host}");
        };
        for host in [
            "receiver.shop.svc",
            "receiver.shop.svc.k8s.corp",
            "receiver.shop.svc.k8s.corp.",
        ] {
            check(host, Leads::Service("receiver"));
        }
        for host in [
            "receiver.bank.svc",
            "receiver.bank.svc.k8s.corp",
            "shop.svc",
            "pod.receiver.shop.svc",
            "receiver",
            "1-2-3-4.shop.pod.k8s.corp",
            "receiver.shop.svc.cluster.local",
        ] {
            check(host, Leads::Nowhere);
        }
        for host in [
            "a.example",
            "svc.example",
            // No name is looked for below the cluster's own.
            "receiver.shop",
            "1.1.1.1",
            "10.0.0.1",
            "[fd00::1]",
        ] {
            check(host, Leads::Outside);
        }
    }

    fn service(spec: Value) -> Seen<Service> {
        let object = json!({"metadata": {"name": "receiver"}, "spec": spec});
        let object = serde_json::from_value(object).expect("a Service");
        Seen::There([("receiver".to_owned(), Services::kept(object))].into())
    }

    fn plain_spec() -> Value {
        json!({
            "type": "ClusterIP", "clusterIP": "10.96.0.7", "selector": {"app": "receiver"},
            "ports": [{"port": 8080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}],
        })
    }

    fn slices(managed_by: &[&str]) -> Seen<bool> {
        let slice = |by: &&str| {
            let object = json!({
                "metadata": {"labels": {MANAGED_BY: by}}, "addressType": "IPv4", "endpoints": [],
            });
            Slices::kept(serde_json::from_value(object).expect("a slice"))
        };
        let each = managed_by.iter().map(slice).enumerate();
        Seen::There(each.map(|(n, kept)| (n.to_string(), kept)).collect())
    }

    fn check(spec: Value, port: u16, by: &[&str], expected: Result<&str, Reason>) {
        let found = resolve("receiver", port, &service(spec.clone()), &slices(by));
        let found = found.map(|address| address.to_string());
        let found = found.as_deref().map_err(|(reason, _)| *reason);
        assert_eq!(found, expected, "{spec} {port} {by:?}");
    }

    #[test]
    fn a_plain_service_is_permitted_at_its_ports() {
        check(plain_spec(), 8080, &[CONTROLLER], Ok("10.96.0.7:8080"));
        check(plain_spec(), 8080, &[], Ok("10.96.0.7:8080"));
        check(plain_spec(), 8081, &[], Err(Reason::ServiceNotFound));
        check(plain_spec(), 53, &[], Err(Reason::ServiceNotFound));
        let mut v6 = plain_spec();
        v6["clusterIP"] = json!("fd00::7");
        check(v6, 8080, &[], Ok("[fd00::7]:8080"));
    }

    #[test]
    fn what_leads_to_any_address_is_refused() {
        let refused = Err(Reason::ServiceNotAllowed);
        for (field, value) in [
            ("type", json!("ExternalName")),
            ("type", json!("LoadBalancer")),
            ("type", json!("NodePort")),
            ("clusterIP", json!("None")),
            ("clusterIP", Value::Null),
            ("selector", json!({})),
            ("selector", Value::Null),
        ] {
            let mut spec = plain_spec();
            spec[field] = value;
            check(spec, 8080, &[CONTROLLER], refused);
        }
        let mirrored = "endpointslicemirroring-controller.k8s.io";
        for by in [&["me"][..], &[CONTROLLER, ""], &[mirrored]] {
            check(plain_spec(), 8080, by, refused);
        }
    }
}
