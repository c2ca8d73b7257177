//! What the data plane is told of tracking domains: compact, versioned JSON
//! entries, and the snapshot of all of them that requests are answered from.

mod buckets;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::event::EventKind;
use crate::id::{Host, Realm};
use crate::target::Target;
use buckets::Buckets;

/// Largest entry, in bytes of JSON.
pub const ENTRY_MAX_BYTES: usize = 1024;
/// The version that entries are written in.
pub const ENTRY_VERSION: u32 = 1;
/// Links tracked per mail when the domain names no cap.
pub const LINKS_MAX_DEFAULT: u32 = 10_000;
/// Days that events are kept when the domain does not say.
pub const RETENTION_DAYS_DEFAULT: u16 = 45;

/// One tracking domain, as the data plane serves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Domain {
    /// Version of this document, [`ENTRY_VERSION`].
    pub version: u32,
    /// Identity that tokens are bound to.
    pub realm: Realm,
    /// Generation of the resource this was made from; 0 where there is none.
    pub generation: i64,
    /// Host of new links.
    pub host: Host,
    /// Further hosts that answer: aliases and former names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_hosts: Vec<Host>,
    /// Since when its namespace is there, in seconds since 1970: what was kept
    /// before is of another that had its name. 0 where there is no such thing.
    #[serde(default, skip_serializing_if = "is_default")]
    pub since: i64,
    /// Whether anything is recorded and rewritten at all.
    #[serde(default, skip_serializing_if = "is_default")]
    pub state: DomainState,
    /// Whether the host is known to lead here; mails of others come back unchanged.
    pub verified: bool,
    /// Open tracking.
    pub opens: Opens,
    /// Click tracking.
    pub clicks: Clicks,
    /// What an event may hold of the reader.
    #[serde(default, skip_serializing_if = "is_default")]
    pub privacy: Privacy,
    /// Days that events are kept.
    pub retention_days: u16,
    /// Offered as a plain link where a tracking link does not open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Target>,
    /// Apps that may take over links marked for them.
    #[serde(default, skip_serializing_if = "is_default")]
    pub apps: Apps,
}

/// Whether a domain is in use or only leads old links home.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum DomainState {
    /// In use.
    #[default]
    Active,
    /// Its resource is gone: links redirect, nothing is recorded or rewritten.
    Retired,
    /// Its namespace is gone, too, or another of that name by now: the same, and
    /// nobody may ask for what is kept.
    Orphaned,
}

/// Open tracking of one domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Opens {
    /// The toggle.
    pub enabled: bool,
    /// Where the pixel goes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pixel: PixelPlacement,
    /// What is recorded of opens, where the domain's setting is not theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Recorded>,
}

/// Where in a mail the pixel goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum PixelPlacement {
    /// At the bottom; at the top when the mail is near Gmail's 102 KB.
    #[default]
    Auto,
    /// After the body's start tag.
    Top,
    /// Before the body's end tag.
    Bottom,
    /// Both; together they count as one open.
    Both,
}

/// Click tracking of one domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Clicks {
    /// The toggle.
    pub enabled: bool,
    /// Whether links in plain text are tracked too.
    #[serde(default, skip_serializing_if = "is_default")]
    pub plain_text: bool,
    /// What becomes of links whose text is itself a URL.
    #[serde(default, skip_serializing_if = "is_default")]
    pub url_text: LinkChoice,
    /// What becomes of links that carry a credential.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sensitive: LinkChoice,
    /// Target hosts whose links are left alone; `*.e.com` means all below it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub never_track_hosts: Vec<HostPattern>,
    /// Most links tracked in one mail.
    pub links_max: u32,
    /// What is recorded of clicks, where the domain's setting is not theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Recorded>,
}

impl Default for Clicks {
    fn default() -> Self {
        Self {
            enabled: false,
            plain_text: false,
            url_text: LinkChoice::Leave,
            sensitive: LinkChoice::Leave,
            never_track_hosts: Vec::new(),
            links_max: LINKS_MAX_DEFAULT,
            record: None,
        }
    }
}

/// Whether links of a doubtful kind are tracked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum LinkChoice {
    /// Left as they are.
    #[default]
    Leave,
    /// Tracked like others.
    Track,
}

/// A host, or all hosts below one (`*.` before it).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPattern {
    host: Host,
    below: bool,
}

/// What is recorded of hits, the most first: a later one is the stricter.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub enum Recorded {
    /// An event, which names the message and its reader.
    #[default]
    Identified,
    /// On which day a person last opened the message, or followed a link of it, by
    /// reader; beside it the same as of [`Recorded::Anonymous`].
    LastDate,
    /// That there was one, in this hour: it is counted, and told of nobody.
    Anonymous,
}

/// What is recorded of hits, and what an event may hold of the reader's address
/// and user agent. Family, OS and device class stand in every event: they name
/// nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Privacy {
    /// The client's address.
    #[serde(default, skip_serializing_if = "is_default")]
    pub address: AddressDetail,
    /// The user agent's text.
    #[serde(default, skip_serializing_if = "is_default")]
    pub user_agent: UserAgentDetail,
    /// What is recorded of hits, where the toggle does not say it itself.
    #[serde(default, skip_serializing_if = "is_default")]
    pub record: Recorded,
}

/// How much of a client's address an event holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum AddressDetail {
    /// Nothing.
    #[default]
    Omit,
    /// The network: /24 of IPv4, /48 of IPv6.
    Truncate,
    /// All of it.
    Full,
}

/// How much of a user agent an event holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum UserAgentDetail {
    /// Nothing but family, OS and device class.
    #[default]
    Omit,
    /// Its text.
    Full,
}

/// Apps that may take over links under `/a/`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Apps {
    /// Apple application identifiers, `<team>.<bundle>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apple: Vec<String>,
    /// Android packages with the fingerprints of their signing certificates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub android: Vec<AndroidApp>,
}

/// An Android app as Digital Asset Links name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AndroidApp {
    /// Package name.
    pub package: String,
    /// SHA-256 fingerprints, upper-case hexadecimal with colons.
    pub sha256_fingerprints: Vec<String>,
}

/// All tracking domains at one moment; swapped as a whole. A clone shares all
/// that is not changed in it, so that one domain of 10,000 is changed in
/// microseconds.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    by_realm: Buckets<Realm>,
    by_host: Buckets<Host>,
    len: usize,
}

/// Why domains do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Two domains of one name.
    #[error("two tracking domains are named {0}")]
    RealmTwice(Realm),
    /// Two domains with one host or alias.
    #[error("host {host} is claimed by {first} and by {second}")]
    HostTwice {
        /// The host.
        host: Host,
        /// Its owner.
        first: Realm,
        /// The newcomer.
        second: Realm,
    },
}

// === HostPattern ===

impl HostPattern {
    /// Whether a target's host (lower case, punycode) is meant.
    pub fn matches(&self, host: &str) -> bool {
        if !self.below {
            return host == self.host.as_str();
        }
        host.strip_suffix(self.host.as_str())
            .is_some_and(|before| before.ends_with('.'))
    }
}

impl std::str::FromStr for HostPattern {
    type Err = crate::id::NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, below) = match text.strip_prefix("*.") {
            Some(host) => (host, true),
            None => (text, false),
        };
        Ok(Self {
            host: host.parse()?,
            below,
        })
    }
}

impl std::fmt::Display for HostPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.below {
            f.write_str("*.")?;
        }
        self.host.fmt(f)
    }
}

impl Serialize for HostPattern {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HostPattern {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

// === Domain ===

impl Domain {
    /// A domain of which nothing more is said: both toggles off, not verified.
    pub fn new(realm: Realm, host: Host) -> Self {
        Self {
            version: ENTRY_VERSION,
            realm,
            generation: 0,
            host,
            other_hosts: Vec::new(),
            since: 0,
            state: DomainState::Active,
            verified: false,
            opens: Opens::default(),
            clicks: Clicks::default(),
            privacy: Privacy::default(),
            retention_days: RETENTION_DAYS_DEFAULT,
            fallback: None,
            apps: Apps::default(),
        }
    }

    /// Whether nobody may ask for it.
    pub fn is_orphan(&self) -> bool {
        self.state == DomainState::Orphaned
    }

    /// All hosts that answer for this domain, the one of new links first.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        std::iter::once(&self.host).chain(&self.other_hosts)
    }

    /// Whether a hit of an open is recorded now.
    pub fn records_opens(&self) -> bool {
        self.state == DomainState::Active && self.opens.enabled
    }

    /// What is recorded of hits of a kind, where they are.
    pub fn recorded(&self, kind: EventKind) -> Recorded {
        let own = match kind {
            EventKind::Opened => self.opens.record,
            EventKind::Clicked => self.clicks.record,
        };
        own.unwrap_or(self.privacy.record)
    }

    /// Whether a hit of a link is recorded now.
    pub fn records_clicks(&self) -> bool {
        self.state == DomainState::Active && self.clicks.enabled
    }
}

// === Snapshot ===

impl Snapshot {
    /// Puts domains together; names and hosts must be unique.
    pub fn new(domains: impl IntoIterator<Item = Domain>) -> Result<Self, SnapshotError> {
        let mut snapshot = Self::default();
        for domain in domains {
            snapshot.insert(Arc::new(domain))?;
        }
        Ok(snapshot)
    }

    /// Takes one more domain in, whose name and hosts must be free; else nothing
    /// is changed.
    pub fn insert(&mut self, domain: Arc<Domain>) -> Result<(), SnapshotError> {
        for (at, host) in domain.hosts().enumerate() {
            let twice = domain.hosts().take(at).any(|earlier| earlier == host);
            let first = match self.by_host(host.as_str()) {
                Some(first) => &first.realm,
                None if twice => &domain.realm,
                None => continue,
            };
            return Err(SnapshotError::HostTwice {
                host: host.clone(),
                first: first.clone(),
                second: domain.realm.clone(),
            });
        }
        if self.by_realm(&domain.realm).is_some() {
            return Err(SnapshotError::RealmTwice(domain.realm.clone()));
        }
        for host in domain.hosts() {
            self.by_host.insert(host.clone(), Arc::clone(&domain));
        }
        self.by_realm.insert(domain.realm.clone(), domain);
        self.len += 1;
        Ok(())
    }

    /// Takes a domain out, and gives it.
    pub fn remove(&mut self, realm: &Realm) -> Option<Arc<Domain>> {
        let domain = self.by_realm.remove(realm.as_str())?;
        for host in domain.hosts() {
            self.by_host.remove(host.as_str());
        }
        self.len -= 1;
        Some(domain)
    }

    /// The domain that answers on a host: in lower case, without port and final
    /// dot. A text, so that a request's host is asked for as it came.
    pub fn by_host(&self, host: &str) -> Option<&Arc<Domain>> {
        self.by_host.get(host)
    }

    /// The same for the host of a URL as the standard serialises it, which may
    /// end in a dot.
    pub fn by_url_host(&self, host: &str) -> Option<&Arc<Domain>> {
        self.by_host(host.strip_suffix('.').unwrap_or(host))
    }

    /// The domain of that name.
    pub fn by_realm(&self, realm: &Realm) -> Option<&Arc<Domain>> {
        self.by_realm.get(realm.as_str())
    }

    /// All domains, in no order.
    pub fn domains(&self) -> impl Iterator<Item = &Arc<Domain>> {
        self.by_realm.values()
    }

    /// How many domains there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no domain.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(realm: &str, host: &str) -> Domain {
        Domain {
            generation: 1,
            verified: true,
            ..Domain::new(realm.parse().expect("realm"), host.parse().expect("host"))
        }
    }

    #[test]
    fn an_entry_reads_back_what_it_printed_and_fits() {
        let entry = domain("shop/links", "links.shop.example");
        let json = serde_json::to_string(&entry).expect("json");
        assert!(json.len() <= ENTRY_MAX_BYTES, "{} bytes", json.len());
        assert_eq!(
            serde_json::from_str::<Domain>(&json).expect("an entry"),
            entry
        );
    }

    #[test]
    fn an_entry_from_before_privacy_modes_records_events() {
        let mut entry = domain("shop/links", "links.shop.example");
        entry.privacy.address = AddressDetail::Full;
        let json = serde_json::to_string(&entry).expect("json");
        assert!(!json.contains("record"), "{json}");
        let read: Domain = serde_json::from_str(&json).expect("an entry");
        for kind in [EventKind::Opened, EventKind::Clicked] {
            assert_eq!(read.recorded(kind), Recorded::Identified);
        }
    }

    #[test]
    fn a_toggle_says_otherwise_than_its_domain() {
        let mut entry = domain("shop/links", "links.shop.example");
        entry.privacy.record = Recorded::Anonymous;
        entry.clicks.record = Some(Recorded::Identified);
        let json = serde_json::to_string(&entry).expect("json");
        let read: Domain = serde_json::from_str(&json).expect("an entry");
        assert_eq!(read.recorded(EventKind::Opened), Recorded::Anonymous);
        assert_eq!(read.recorded(EventKind::Clicked), Recorded::Identified);
    }

    #[test]
    fn a_host_belongs_to_one_domain() {
        let mut second = domain("b/links", "b.example");
        second.other_hosts = vec!["a.example".parse().expect("host")];
        let error = Snapshot::new([domain("a/links", "a.example"), second]).expect_err("conflict");
        assert!(matches!(error, SnapshotError::HostTwice { .. }), "{error}");
    }

    #[test]
    fn a_changed_clone_leaves_the_other_as_it_was() {
        let names = |n: usize| (format!("shop/d{n}"), format!("d{n}.example"));
        let domains = (0..1000)
            .map(names)
            .map(|(realm, host)| domain(&realm, &host));
        let before = Snapshot::new(domains).expect("unique");
        let mut after = before.clone();
        let realm = "shop/d7".parse().expect("realm");
        let mut moved = Domain::clone(&after.remove(&realm).expect("there"));
        moved.host = "moved.example".parse().expect("host");
        after.insert(Arc::new(moved)).expect("free");
        assert_eq!((before.len(), after.len()), (1000, 1000));
        assert!(before.by_host("d7.example").is_some() && after.by_host("d7.example").is_none());
        let found = after.by_host("moved.example").expect("moved");
        assert_eq!(found.realm, realm);
        assert!(before.by_host("moved.example").is_none());
        assert_eq!(after.domains().count(), 1000);
    }

    #[test]
    fn what_cannot_be_taken_in_changes_nothing() {
        let mut snapshot = Snapshot::new([domain("a/links", "a.example")]).expect("one");
        let mut second = domain("b/links", "b.example");
        second.other_hosts = vec!["a.example".parse().expect("host")];
        assert!(snapshot.insert(Arc::new(second)).is_err());
        let twin = domain("a/links", "c.example");
        assert_eq!(
            snapshot.insert(Arc::new(twin.clone())),
            Err(SnapshotError::RealmTwice(twin.realm))
        );
        let mut twice = domain("d/links", "d.example");
        twice.other_hosts = vec!["d.example".parse().expect("host")];
        assert!(snapshot.insert(Arc::new(twice)).is_err());
        for host in ["b.example", "c.example", "d.example"] {
            assert!(snapshot.by_host(host).is_none(), "{host}");
        }
        assert_eq!(snapshot.len(), 1);
    }

    #[test]
    fn a_pattern_means_its_host_or_all_below_it() {
        let exact: HostPattern = "e.com".parse().expect("pattern");
        let below: HostPattern = "*.e.com".parse().expect("pattern");
        assert!(exact.matches("e.com") && !exact.matches("a.e.com"));
        assert!(below.matches("a.e.com") && below.matches("b.a.e.com"));
        assert!(!below.matches("e.com") && !below.matches("ae.com"));
        assert_eq!(below.to_string(), "*.e.com");
    }
}
