//! The names of things: realm, host, message, recipient, link position.
//!
//! Each is parsed once and cannot be wrong afterwards; printing it gives the
//! text it was parsed from (hosts: in lower case).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest message id, in bytes.
pub const MESSAGE_ID_MAX_BYTES: usize = 128;
/// Longest recipient, in bytes: the longest mail address (RFC 5321, 4.5.3.1.3, erratum 1690).
pub const RECIPIENT_MAX_BYTES: usize = 254;
/// Longest host, in bytes (RFC 1035, 2.3.4, without the final dot).
pub const HOST_MAX_BYTES: usize = 253;
/// Longest DNS label, in bytes (RFC 1035, 2.3.4).
const LABEL_MAX_BYTES: usize = 63;

/// Why a name is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {rule}")]
pub struct NameError {
    what: &'static str,
    rule: &'static str,
}

impl NameError {
    /// The rule that was broken, as a sentence without its subject.
    pub fn rule(&self) -> &'static str {
        self.rule
    }
}

/// The stable identity of a tracking domain, `namespace/name`. It binds
/// tokens, so that a host may be renamed without killing links.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Realm {
    text: Box<str>,
    slash: usize,
}

/// The lower-case ASCII name of a tracking host, without a final dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(Box<str>);

/// The sender's id of one message: 1 to 128 bytes, no control characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(Box<str>);

/// The reader as the sender names them, opaque to us: 1 to 254 bytes, no
/// control characters. `Debug` does not print it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Recipient(Box<str>);

/// Where a link stands in its message, from 1 on; 0 is the pixel's.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct LinkPosition(pub u32);

// === Realm ===

impl Realm {
    /// Joins a namespace and a name, both DNS labels or subdomains (RFC 1123).
    pub fn new(namespace: &str, name: &str) -> Result<Self, NameError> {
        format!("{namespace}/{name}").parse()
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.text[..self.slash]
    }

    /// The name within the namespace.
    pub fn name(&self) -> &str {
        &self.text[self.slash + 1..]
    }

    /// `namespace/name`.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Realm {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = |rule| NameError {
            what: "realm",
            rule,
        };
        let slash = text.find('/').ok_or(wrong("must be <namespace>/<name>"))?;
        let (namespace, name) = (&text[..slash], &text[slash + 1..]);
        if !is_dns_label(namespace) {
            return Err(wrong("has a namespace that is no DNS label (RFC 1123)"));
        }
        if name.len() > HOST_MAX_BYTES || !name.split('.').all(is_dns_label) {
            return Err(wrong("has a name that is no DNS subdomain (RFC 1123)"));
        }
        Ok(Self {
            text: text.into(),
            slash,
        })
    }
}

/// As its text's, so that a map may be asked with that.
impl std::hash::Hash for Realm {
    fn hash<H: std::hash::Hasher>(&self, hasher: &mut H) {
        self.text.hash(hasher);
    }
}

impl std::borrow::Borrow<str> for Realm {
    fn borrow(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

// === Host ===

impl Host {
    /// The host as it stands in a URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the host is under `.localhost` (RFC 6761, 6.3): for one's own
    /// machine, plain HTTP on the public port.
    pub fn is_local(&self) -> bool {
        self.0.ends_with(".localhost")
    }
}

impl FromStr for Host {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = |rule| NameError { what: "host", rule };
        let host = text.to_ascii_lowercase();
        if host.is_empty() || host.len() > HOST_MAX_BYTES {
            return Err(wrong("must be 1 to 253 bytes long"));
        }
        if !host.contains('.') {
            return Err(wrong("must have at least two labels"));
        }
        if !host.split('.').all(is_dns_label) {
            return Err(wrong(
                "must be DNS labels of letters, digits and hyphens (RFC 1123)",
            ));
        }
        if host
            .rsplit('.')
            .next()
            .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()))
        {
            return Err(wrong("must not end like an IP address"));
        }
        Ok(Self(host.into()))
    }
}

/// Lets a map be asked with a borrowed text: no allocation per request.
impl std::borrow::Borrow<str> for Host {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Lower-case letters, digits and inner hyphens, 1 to 63 bytes (RFC 1123, 2.1).
fn is_dns_label(label: &str) -> bool {
    !label.is_empty()
        && label.len() <= LABEL_MAX_BYTES
        && label
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

// === MessageId ===

impl MessageId {
    /// The id as the sender gave it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MessageId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        bounded_text(
            "message_id",
            text,
            MESSAGE_ID_MAX_BYTES,
            "must be 1 to 128 bytes long",
        )
        .map(Self)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === Recipient ===

impl Recipient {
    /// The recipient as the sender gave it: personal, so never for logs,
    /// metrics, errors or URLs.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Recipient {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        bounded_text(
            "recipient",
            text,
            RECIPIENT_MAX_BYTES,
            "must be 1 to 254 bytes long",
        )
        .map(Self)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recipient(…)")
    }
}

fn bounded_text(
    what: &'static str,
    text: &str,
    max_bytes: usize,
    length: &'static str,
) -> Result<Box<str>, NameError> {
    if text.is_empty() || text.len() > max_bytes {
        return Err(NameError { what, rule: length });
    }
    // Nearly all are ASCII, whose bytes are looked at many at once.
    let has_control = match text.is_ascii() {
        true => text
            .bytes()
            .fold(false, |found, b| found | b.is_ascii_control()),
        false => text.chars().any(char::is_control),
    };
    if has_control {
        return Err(NameError {
            what,
            rule: "must not hold control characters",
        });
    }
    Ok(text.into())
}

/// Serializes a name as its text and deserializes it through its parser.
macro_rules! serde_as_text {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

serde_as_text!(Realm, Host, MessageId, Recipient);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_realm_prints_what_it_was_parsed_from() {
        let realm: Realm = "shop/links.v2".parse().expect("valid");
        assert_eq!((realm.namespace(), realm.name()), ("shop", "links.v2"));
        assert_eq!(realm.to_string(), "shop/links.v2");
    }

    #[test]
    fn a_realm_of_other_characters_is_refused() {
        for text in [
            "",
            "shop",
            "shop/",
            "/links",
            "Shop/links",
            "shop/links/x",
            "s.p/links",
            "shop/-x",
        ] {
            assert!(text.parse::<Realm>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_host_is_lower_case_and_has_two_labels() {
        assert_eq!(
            "Links.Shop.EXAMPLE"
                .parse::<Host>()
                .expect("valid")
                .as_str(),
            "links.shop.example"
        );
        for text in [
            "",
            "localhost",
            "a..b",
            "-a.b",
            "a_b.c",
            "a.b.",
            "bücher.example",
            "10.0.0.1",
            "a.b:80",
        ] {
            assert!(text.parse::<Host>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_recipient_is_never_printed_by_debug() {
        let recipient: Recipient = "ada@example.org".parse().expect("valid");
        assert!(!format!("{recipient:?}").contains("ada"));
    }

    #[test]
    fn message_ids_and_recipients_are_bounded_and_without_controls() {
        assert!("m".repeat(128).parse::<MessageId>().is_ok());
        assert!("m".repeat(129).parse::<MessageId>().is_err());
        assert!("r".repeat(255).parse::<Recipient>().is_err());
        assert!("a\nb".parse::<MessageId>().is_err());
        assert!("".parse::<Recipient>().is_err());
    }
}
