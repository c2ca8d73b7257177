//! Tracking URLs: where they begin, how long they may be, how one is recognised.

use crate::id::Host;
use crate::token::Kind;

/// Longest tracking URL in HTML, in characters: link wrappers of mail gateways
/// need the rest of the some 2,083 that old clients take.
pub const URL_MAX_CHARS: usize = 1600;
/// Longest tracking URL in plain text, in characters: a line has at most 998
/// octets (RFC 5322, 2.1.1) and the URL shares it.
pub const TEXT_URL_MAX_CHARS: usize = 900;

/// Scheme and authority of a tracking host's URLs: `https://<host>`, or
/// `http://<host>:<port>` for a host under `.localhost`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlBase(String);

/// A URL that stands on a tracking host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnUrl<'a> {
    /// What the URL is for.
    pub kind: Kind,
    /// What follows `/c/` and its like.
    pub token: &'a str,
}

impl UrlBase {
    /// The base of a host's URLs. `local_port` is the port of the public
    /// listener, used for hosts on one's own machine only.
    pub fn new(host: &Host, local_port: u16) -> Self {
        if host.is_local() {
            Self(format!("http://{host}:{local_port}"))
        } else {
            Self(format!("https://{host}"))
        }
    }

    /// The URL of a token.
    pub fn url(&self, kind: Kind, token: &str) -> String {
        self.begun(kind, token.len()) + token
    }

    /// The URL up to its token, with room for one of so many characters.
    pub fn begun(&self, kind: Kind, token_chars: usize) -> String {
        let mut url = String::with_capacity(self.0.len() + 3 + token_chars);
        url.push_str(&self.0);
        url.extend(['/', kind.letter(), '/']);
        url
    }

    /// The base without a path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Takes the path of a URL on a tracking host apart.
pub fn own_path(path: &str) -> Option<OwnUrl<'_>> {
    let rest = path.strip_prefix('/')?;
    let kind = Kind::ALL
        .into_iter()
        .find(|kind| rest.starts_with(kind.letter()))?;
    let token = rest[1..].strip_prefix('/')?;
    Some(OwnUrl { kind, token })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_host_is_served_over_plain_http_on_the_public_port() {
        let local = UrlBase::new(&"links.localhost".parse().expect("host"), 8080);
        assert_eq!(
            local.url(Kind::Click, "abc"),
            "http://links.localhost:8080/c/abc"
        );
        let public = UrlBase::new(&"links.shop.example".parse().expect("host"), 8080);
        assert_eq!(
            public.url(Kind::Open, "abc"),
            "https://links.shop.example/o/abc"
        );
    }

    #[test]
    fn a_url_reads_back_what_it_is_for() {
        for kind in Kind::ALL {
            let path = format!("/{}/abc=", kind.letter());
            assert_eq!(
                own_path(&path),
                Some(OwnUrl {
                    kind,
                    token: "abc="
                })
            );
        }
        assert_eq!(own_path("/robots.txt"), None);
        assert_eq!(own_path("/c"), None);
    }
}
