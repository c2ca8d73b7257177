//! A target: the absolute `http` or `https` URL behind a link.
//!
//! A `Target` is made in one way, by parsing (or taken back from a token that was
//! sealed over one), and always is a URL that the
//! WHATWG URL standard accepts, in printable ASCII, so it can stand in a
//! `Location` header as it is.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::id::HOST_MAX_BYTES;

/// The URL behind a link: `http` or `https`, a host, bytes 0x21 to 0x7e only.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target(Box<str>);

/// Why a text is no target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Nothing but controls and spaces.
    #[error("is empty")]
    Empty,
    /// A path, query or fragment, to be resolved against a base.
    #[error("is relative")]
    Relative,
    /// Relative to the letter, but its first part looks like a host.
    #[error("has no scheme")]
    SchemelessHost,
    /// A scheme other than `http` and `https`.
    #[error("has a scheme other than http and https")]
    OtherScheme,
    /// User name or password before the host.
    #[error("has a user name or password")]
    Userinfo,
    /// Not a URL by the standard.
    #[error("is not a URL")]
    Invalid,
}

impl Target {
    /// Reads an attribute's value after its character references are decoded.
    ///
    /// Leading and trailing C0 controls and spaces, and tab, CR and LF anywhere,
    /// are dropped, as the URL standard does. What then is `http://` or
    /// `https://`, a host and a rest without `\`, all printable ASCII, keeps
    /// its bytes; anything else becomes what the standard serialises, so that
    /// no other parser reads another host.
    pub fn parse(value: &str) -> Result<Self, TargetError> {
        if is_plain(value.as_bytes()) && plain_host(value).is_some() {
            return Ok(Self(value.into()));
        }
        let stripped = strip(value);
        let text = &*stripped;
        if text.is_empty() {
            return Err(TargetError::Empty);
        }
        if let Some(rest) = text
            .strip_prefix("//")
            .or_else(|| text.strip_prefix("\\\\"))
        {
            return Self::absolute(&format!("https://{rest}"));
        }
        match scheme(text) {
            None if looks_like_host(text) => Err(TargetError::SchemelessHost),
            None => Err(TargetError::Relative),
            Some(s) if s.eq_ignore_ascii_case("http") || s.eq_ignore_ascii_case("https") => {
                Self::absolute(text)
            }
            Some(_) => Err(TargetError::OtherScheme),
        }
    }

    /// Takes back what [`Target::as_str`] gave, from a token that authenticated.
    ///
    /// Whoever sealed the token had parsed the URL, and nobody else can seal
    /// one: so only what a `Location` header relies on is looked at again, the
    /// scheme and the printable ASCII. This is on the way of every click.
    pub fn parse_exact(text: impl Into<Box<str>>) -> Result<Self, TargetError> {
        let text = text.into();
        let begins = |scheme: &str| {
            let begin = text.get(..scheme.len());
            begin.is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
                && text.len() > scheme.len()
        };
        if !begins("https://") && !begins("http://") {
            return Err(TargetError::OtherScheme);
        }
        if !text.bytes().all(|b| (0x21..=0x7e).contains(&b)) {
            return Err(TargetError::Invalid);
        }
        Ok(Self(text))
    }

    fn absolute(text: &str) -> Result<Self, TargetError> {
        let mut url = Url::parse(text).map_err(|_| TargetError::Invalid)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetError::Userinfo);
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(TargetError::Invalid);
        }
        if keeps_its_bytes(text) {
            return Ok(Self(text.into()));
        }
        if url.path().contains('^') {
            // In the standard's path percent-encode set, and not in the crate's.
            let path = url.path().replace('^', "%5E");
            url.set_path(&path);
        }
        Ok(Self(String::from(url).into_boxed_str()))
    }

    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URL's host as the standard serialises it: lower case, punycode.
    pub fn host(&self) -> Cow<'_, str> {
        if let Some(host) = plain_host(&self.0) {
            return Cow::Borrowed(host);
        }
        let url = self.url();
        let host = url.as_ref().and_then(Url::host_str);
        Cow::Owned(host.unwrap_or_default().to_owned())
    }

    /// The parsed URL. `None` never happens: construction parsed the same text.
    pub fn url(&self) -> Option<Url> {
        Url::parse(&self.0).ok()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Target {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        Self::parse(&text).map_err(|error| serde::de::Error::custom(format!("target {error}")))
    }
}

/// The URL standard's first two steps of parsing.
pub(crate) fn strip(value: &str) -> Cow<'_, str> {
    const DROPPED: [char; 3] = ['\t', '\n', '\r'];
    let trimmed = value.trim_matches(|c: char| c <= ' ');
    match trimmed.contains(DROPPED) {
        true => Cow::Owned(trimmed.replace(DROPPED, "")),
        false => Cow::Borrowed(trimmed),
    }
}

/// Whether all bytes are printable ASCII and none is a `\`.
fn is_plain(bytes: &[u8]) -> bool {
    // All of them are looked at, which goes faster than stopping at the first.
    let odd = |b: u8| !(0x21..=0x7e).contains(&b) || b == b'\\';
    !bytes.iter().fold(false, |found, b| found | odd(*b))
}

/// The host of a URL that every parser reads in the same way, without asking
/// one: `http://` or `https://`, then labels of lower-case letters, digits and
/// `-`, of which the last is of letters alone (else it may be an IP address)
/// and none is in punycode (which may be wrong). With such a host and plain
/// bytes behind it nothing in a URL can be invalid.
fn plain_host(url: &str) -> Option<&str> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))?;
    let ends = |b: &u8| matches!(b, b'/' | b'?' | b'#');
    let end = rest.as_bytes().iter().position(ends);
    let host = &rest[..end.unwrap_or(rest.len())];
    let (before, last) = host.rsplit_once('.')?;
    let is_label_byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let plain = before.len() + last.len() < HOST_MAX_BYTES
        && !last.is_empty()
        && last.bytes().all(|b| b.is_ascii_lowercase())
        && before.split('.').all(|label| {
            !label.is_empty() && !label.starts_with("xn--") && label.bytes().all(is_label_byte)
        });
    plain.then_some(host)
}

/// The scheme of a URL, if it has one: a letter, then letters, digits, `+`, `-`, `.`, then `:`.
pub fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once(':')?;
    let mut bytes = scheme.bytes();
    let starts = bytes.next().is_some_and(|b| b.is_ascii_alphabetic());
    let goes_on = bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    (starts && goes_on).then_some(scheme)
}

/// Whether a scheme-less value reads like `www.e.com` or `e.com/x`: the part
/// before the first `/`, `?` or `#` is a name under a public suffix that is on
/// the list (so `page.html` is not one).
fn looks_like_host(text: &str) -> bool {
    let first = text.split(['/', '?', '#']).next().unwrap_or_default();
    let name = first
        .split(':')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    name.contains('.')
        && !name.starts_with('.')
        && (name.starts_with("www.")
            || psl::domain(name.as_bytes()).is_some_and(|d| d.suffix().is_known()))
}

/// `http://` or `https://` in any case, at least one host byte, no `\`, no
/// userinfo, printable ASCII throughout, and a host that no two parsers read
/// differently.
fn keeps_its_bytes(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else {
        return false;
    };
    let starts = ["http://", "https://"].iter().any(|prefix| {
        text.get(..prefix.len())
            .is_some_and(|t| t.eq_ignore_ascii_case(prefix))
    });
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    starts
        && !authority.is_empty()
        && !authority.contains(['@', '%', '<', '>', '^', '|', '"', '`', '{', '}'])
        && text
            .bytes()
            .all(|b| (0x21..=0x7e).contains(&b) && b != b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, expected: &str) {
        assert_eq!(
            Target::parse(value).as_ref().map(Target::as_str),
            Ok(expected),
            "{value:?}"
        );
    }

    fn refused(value: &str, expected: TargetError) {
        assert_eq!(Target::parse(value), Err(expected), "{value:?}");
    }

    #[test]
    fn a_clean_url_keeps_its_bytes() {
        for url in [
            "https://e.com/?a=1&b=2",
            "HTTPS://E.com/Path",
            "https://e.com/a%2Fb%20c+d%E4",
            "https://e.com/[x]|,!$'*@?q=[1]|2",
            "https://e.com/#/route?x=1",
            "https://e.com/#:~:text=a",
            "https://e.com/?~$1\"<>`{}^",
            "http://127.0.0.1:8080/x",
            "http://[::1]/x",
        ] {
            check(url, url);
        }
    }

    #[test]
    fn a_host_that_is_read_without_a_parser_is_what_the_parser_reads() {
        for (url, plain) in [
            ("https://e.com", true),
            ("http://www.a-b.e1.com/x@y:z?u=//v", true),
            ("https://e.com?x", true),
            ("https://e.com#x", true),
            ("https://-a-.b--c.com/", true),
            ("https://E.com/", false),
            ("https://e.com:443/", false),
            ("https://1.2.3.4/", false),
            ("https://a.0x1/", false),
            ("https://e.com./", false),
            ("https://e..com/", false),
            ("https://.e.com/", false),
            ("https://xn--bcher-kva.example/", false),
            ("https://localhost/", false),
            ("https://[::1]/", false),
        ] {
            assert_eq!(plain_host(url).is_some(), plain, "{url}");
            let target = Target::parse(url).ok();
            let parsed = Url::parse(url).ok();
            assert_eq!(
                target.as_ref().map(Target::host).as_deref(),
                parsed.as_ref().and_then(Url::host_str),
                "{url}"
            );
        }
    }

    #[test]
    fn what_was_sealed_is_taken_back_and_nothing_that_no_target_is() {
        for url in [
            "https://e.com/",
            "HTTP://E.com",
            "https://e.com/?~$1\"<>`{}^",
        ] {
            let target = Target::parse(url).expect("a target");
            assert_eq!(Target::parse_exact(target.as_str()), Ok(target));
        }
        for text in [
            "",
            "https://",
            "e.com",
            "//e.com",
            "javascript:alert(1)",
            "https://e.com/a b",
            "https://e.com/\r\nx: y",
            "https://e.com/ü",
            " https://e.com/",
        ] {
            assert!(Target::parse_exact(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn anything_else_becomes_what_the_standard_serialises() {
        check("https:/e.com", "https://e.com/");
        check("https:e.com", "https://e.com/");
        check("https:\\\\e.com\\x", "https://e.com/x");
        check(
            "https://bücher.example/ß",
            "https://xn--bcher-kva.example/%C3%9F",
        );
        check("https://e.com/a b", "https://e.com/a%20b");
        check("https:///e.com/x", "https://e.com/x");
        check("//cdn.e.com/x", "https://cdn.e.com/x");
        check("https://e%2ecom/", "https://e.com/");
        check("https:e.com/^ ?^#^", "https://e.com/%5E%20?^#^");
    }

    #[test]
    fn controls_and_spaces_are_stripped_as_browsers_do() {
        check("\u{0} \thttps://e.com/a\n\tb\r \u{1f}", "https://e.com/ab");
    }

    #[test]
    fn what_is_no_web_address_is_refused_with_the_kind() {
        refused("", TargetError::Empty);
        refused(" \t", TargetError::Empty);
        refused("#x", TargetError::Relative);
        refused("?q=1", TargetError::Relative);
        refused("/path", TargetError::Relative);
        refused("page.html", TargetError::Relative);
        refused("mailto:a@e.com", TargetError::OtherScheme);
        refused(" JavaScript:alert(1)", TargetError::OtherScheme);
        refused("java\tscript:alert(1)", TargetError::OtherScheme);
        refused("myapp://open", TargetError::OtherScheme);
        refused("www.e.com", TargetError::SchemelessHost);
        refused("e.com/x", TargetError::SchemelessHost);
        refused("https://user:pw@e.com/", TargetError::Userinfo);
        refused("https://user@e.com/", TargetError::Userinfo);
        refused("https://", TargetError::Invalid);
        refused("https://a b/", TargetError::Invalid);
        refused("https://e.com:99999/", TargetError::Invalid);
    }

    #[test]
    fn a_backslash_before_an_at_sign_reads_as_browsers_read_it() {
        check("https://e.com\\@x", "https://e.com/@x");
    }
}
