//! A target: the absolute `http` or `https` URL behind a link.
//!
//! A `Target` is made in one way, by parsing (or taken back from a token that was
//! sealed over one), and always is a URL that the
//! WHATWG URL standard accepts, in printable ASCII, so it can stand in a
//! `Location` header as it is.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

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
        let stripped = strip(value);
        let text = stripped.as_str();
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
    pub fn host(&self) -> String {
        self.url()
            .and_then(|url| url.host_str().map(str::to_owned))
            .unwrap_or_default()
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
pub(crate) fn strip(value: &str) -> String {
    value
        .trim_matches(|c: char| c <= ' ')
        .chars()
        .filter(|c| !matches!(c, '\t' | '\n' | '\r'))
        .collect()
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
