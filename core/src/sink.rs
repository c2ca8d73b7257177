//! An event sink: where settled events are pushed to, and which of them.

pub mod sealed;
pub mod secret;

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::event::{Event, EventKind, Verdict};
use crate::id::Realm;
use sealed::Sealed;

/// The version that sinks are written in.
pub const SINK_VERSION: u32 = 1;
/// Largest entry of a sink, in bytes of JSON: twice that of a domain, since a
/// URL and sealed secrets are in it.
pub const SINK_ENTRY_MAX_BYTES: usize = 2048;
/// Most sinks of an install.
pub const SINKS_MAX: usize = 1000;
/// Longest URL of a receiver, in bytes.
pub const URL_MAX_BYTES: usize = 512;
/// Most events of one request.
pub const BATCH_MAX_EVENTS: u16 = 100;
/// Longest that an event waits for others, in seconds.
pub const BATCH_MAX_DELAY_SECONDS: u16 = 300;

/// One event sink, as the data plane delivers to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Sink {
    /// Version of this document, [`SINK_VERSION`].
    pub version: u32,
    /// Its identity, `namespace/name`.
    pub realm: Realm,
    /// Generation of the resource this was made from; 0 where there is none.
    pub generation: i64,
    /// The receiver.
    pub url: Endpoint,
    /// Names of the secrets that requests are signed with, the newest first.
    pub secrets: Vec<String>,
    /// Whose events: names of tracking domains of its namespace; none means all
    /// of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    /// What must have happened.
    pub kinds: Vec<EventKind>,
    /// Who must have caused it.
    pub verdicts: Vec<Verdict>,
    /// Only the first by a person of a message, reader, kind and link.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub first_only: bool,
    /// Hits of test mails, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub test_mails: bool,
    /// What a request looks like.
    #[serde(default, skip_serializing_if = "is_default")]
    pub format: Format,
    /// Several events a request; none means one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batch>,
    /// Nothing is delivered for now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
    /// What the operator has found out; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<InCluster>,
}

/// What the operator adds to a sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct InCluster {
    /// UID of the resource: secrets are sealed for it.
    pub uid: String,
    /// Since when its namespace is there, in seconds since 1970: what happened
    /// before is of another that had its name.
    pub since: i64,
    /// Its secrets, in its order; absent where something that the sink refers to
    /// is missing. Then it rests: its events wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Sealed>,
    /// Where the receiver is, and nowhere else, where it is a Service of the
    /// sink's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<SocketAddr>,
}

/// All sinks that are declared, by name.
pub type Sinks = BTreeMap<Realm, Arc<Sink>>;

/// What a request to a sink looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Format {
    /// Standard Webhooks.
    #[default]
    StandardWebhooks,
    /// CloudEvents 1.0 in structured mode, batched mode for batches.
    CloudEvents,
    /// The shape of Resend's webhooks.
    Resend,
}

/// Several events a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Batch {
    /// Most of them, 1 to [`BATCH_MAX_EVENTS`].
    pub max_events: u16,
    /// How long the first waits for others, in seconds, 1 to
    /// [`BATCH_MAX_DELAY_SECONDS`].
    pub max_delay_seconds: u16,
}

/// The URL of a receiver: `http` or `https`, a host, no user name, password or
/// fragment, in the form that the URL standard serialises. Its path may be as
/// good as a password, so it is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint(Url);

/// Why a text is no receiver's URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Too long.
    #[error("must be at most {URL_MAX_BYTES} bytes long")]
    TooLong,
    /// No such URL.
    #[error("must be an http:// or https:// URL")]
    Invalid,
    /// It tells somebody's credentials.
    #[error("must not hold a user name or password")]
    Userinfo,
    /// It has a part that is not sent.
    #[error("must not have a fragment (#…)")]
    Fragment,
    /// Another parser may read another host.
    #[error(
        "must be written in its plain form: lower case, IP addresses as usual, no default port"
    )]
    Form,
}

// === Sink ===

impl Sink {
    /// Whether an event is to be delivered here.
    pub fn takes(&self, event: &Event) -> bool {
        self.may_know(event)
            && self.takes_domain(event.domain.as_str())
            && self.kinds.contains(&event.kind)
            && self.verdicts.contains(&event.client.verdict)
            && (!self.first_only || event.first)
            && (self.test_mails || !event.test)
    }

    /// Whether nothing is to be tried: its owner wants that, or what it refers to
    /// is missing.
    pub fn rests(&self) -> bool {
        let cluster = self.cluster.as_ref();
        self.suspend || cluster.is_some_and(|cluster| cluster.sealed.is_none())
    }

    /// Whether an event, of a domain of its namespace, is its namespace's: not of
    /// one before that had the name.
    pub fn may_know(&self, event: &Event) -> bool {
        let since = self.cluster.as_ref().map(|cluster| cluster.since);
        since.is_none_or(|since| event.time.as_second() >= since)
    }

    /// Whether events of a domain may be delivered here: of its own namespace
    /// alone.
    pub fn takes_domain(&self, domain: &str) -> bool {
        domain.split_once('/').is_some_and(|(namespace, name)| {
            namespace == self.realm.namespace()
                && (self.domains.is_empty() || self.domains.iter().any(|d| d == name))
        })
    }
}

// === Endpoint ===

impl Endpoint {
    /// The URL as it is asked.
    pub fn as_url(&self) -> &Url {
        &self.0
    }

    /// The host.
    pub fn host(&self) -> Host<&str> {
        self.0
            .host()
            .expect("an endpoint has a host: parsing asks for it")
    }

    /// The host, where it is a name.
    pub fn domain(&self) -> Option<&str> {
        match self.host() {
            Host::Domain(name) => Some(name),
            Host::Ipv4(_) | Host::Ipv6(_) => None,
        }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        let port = self.0.port_or_known_default();
        port.expect("http and https have a port by default")
    }

    /// Whether requests go over TLS.
    pub fn is_tls(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Path and query, as a request asks for them.
    pub fn path_and_query(&self) -> &str {
        &self.0[url::Position::BeforePath..]
    }

    /// Host and port, as the `Host` header has them.
    pub fn authority(&self) -> &str {
        &self.0[url::Position::BeforeHost..url::Position::AfterPort]
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        if text.len() > URL_MAX_BYTES {
            return Err(EndpointError::TooLong);
        }
        let url = Url::parse(text).map_err(|_| EndpointError::Invalid)?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(EndpointError::Invalid);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EndpointError::Userinfo);
        }
        if url.fragment().is_some() {
            return Err(EndpointError::Fragment);
        }
        // The root's slash may be left out; nothing else is ours to change.
        let same = url.as_str() == text || url.as_str().strip_suffix('/') == Some(text);
        match same {
            true => Ok(Self(url)),
            false => Err(EndpointError::Form),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({}://{}/…)", self.0.scheme(), self.authority())
    }
}

impl Serialize for Endpoint {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.0.as_str())
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Whether a name is one that a cluster's own name server makes up: the operator
/// alone says where it is.
pub fn is_of_a_cluster(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next();
    last == Some("svc") || last == Some("local") || !host.contains('.')
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(&str, u16, &str), EndpointError>) {
        let endpoint = text.parse::<Endpoint>();
        let told = endpoint
            .as_ref()
            .map_err(|error| *error)
            .map(|e| (e.authority(), e.port(), e.path_and_query()));
        assert_eq!(told, expected, "{text}");
    }

    #[test]
    fn an_endpoint_is_a_plain_url() {
        check("https://a.example", Ok(("a.example", 443, "/")));
        check("https://a.example/", Ok(("a.example", 443, "/")));
        check(
            "http://a:8080/b?c=d%20e",
            Ok(("a:8080", 8080, "/b?c=d%20e")),
        );
        check("http://127.0.0.1:1/x", Ok(("127.0.0.1:1", 1, "/x")));
        check("https://[2001:db8::1]/x", Ok(("[2001:db8::1]", 443, "/x")));
    }

    #[test]
    fn what_two_parsers_may_read_in_two_ways_is_refused() {
        for text in [
            "http://0x7f.1/",
            "http://2130706433/",
            "http://0177.0.0.1/",
            "http://127.1/",
            "http://127.0.0.1./",
            "http://[::ffff:127.0.0.1]/",
            "http://A.example/",
            "http://a.example:80/",
            "http:a.example/",
            "http:\\\\a.example/",
            "http://a.example/b c",
            " http://a.example/",
            "http://a.example/..",
            "http://a\u{3002}example/",
            "http://\u{2460}27.0.0.1/",
            "ht\ntp://a.example/",
        ] {
            check(text, Err(EndpointError::Form));
        }
        for text in [
            "",
            "a.example",
            "ftp://a.example/",
            "https:///",
            "file:///x",
            "http://a b/",
        ] {
            let error = text.parse::<Endpoint>().expect_err(text);
            assert!(
                matches!(error, EndpointError::Invalid | EndpointError::Form),
                "{text}"
            );
        }
        check("https://u@a.example/", Err(EndpointError::Userinfo));
        check("https://:p@a.example/", Err(EndpointError::Userinfo));
        check("https://a.example/#b", Err(EndpointError::Fragment));
        check(
            &format!("https://a.example/{}", "b".repeat(500)),
            Err(EndpointError::TooLong),
        );
    }

    #[test]
    fn a_path_is_not_shown() {
        let endpoint: Endpoint = "https://a.example/T0/secret".parse().expect("a URL");
        assert_eq!(format!("{endpoint:?}"), "Endpoint(https://a.example/…)");
    }

    #[test]
    fn names_that_a_cluster_makes_up_are_known() {
        for name in [
            "receiver.shop.svc",
            "receiver.shop.svc.cluster.local",
            "receiver.shop.svc.cluster.local.",
            "1-2-3-4.shop.pod.cluster.local",
            "receiver",
        ] {
            assert!(is_of_a_cluster(name), "{name}");
        }
        for name in ["a.example", "svc.example", "local.example."] {
            assert!(!is_of_a_cluster(name), "{name}");
        }
    }

    fn sink() -> Sink {
        Sink {
            version: SINK_VERSION,
            realm: "shop/orders".parse().expect("realm"),
            generation: 0,
            url: "https://a.example/".parse().expect("a URL"),
            secrets: vec!["key".to_owned()],
            domains: Vec::new(),
            kinds: vec![EventKind::Opened, EventKind::Clicked],
            verdicts: vec![Verdict::Human],
            first_only: false,
            test_mails: false,
            format: Format::default(),
            batch: None,
            suspend: false,
            cluster: None,
        }
    }

    #[test]
    fn a_sink_takes_what_happened_in_its_namespace() {
        let all = sink();
        let some = Sink {
            domains: vec!["links".to_owned()],
            ..sink()
        };
        for (domain, of_all, of_some) in [
            ("shop/links", true, true),
            ("shop/other", true, false),
            ("toys/links", false, false),
            ("shopx/links", false, false),
            ("shop", false, false),
        ] {
            assert_eq!(all.takes_domain(domain), of_all, "{domain}");
            assert_eq!(some.takes_domain(domain), of_some, "{domain}");
        }
    }

    #[test]
    fn an_entry_reads_as_it_was_written() {
        let sink = Sink {
            batch: Some(Batch {
                max_events: 10,
                max_delay_seconds: 2,
            }),
            format: Format::Resend,
            suspend: true,
            ..sink()
        };
        let json = serde_json::to_string(&sink).expect("json");
        assert_eq!(serde_json::from_str::<Sink>(&json).expect("read"), sink);
        assert!(serde_json::from_str::<Sink>(&json.replace("suspend", "later")).is_err());
    }
}
