//! Path and method → [`Route`]; pure.
//!
//! | path | methods | what |
//! |---|---|---|
//! | `/o/<token>` | GET, HEAD | the pixel |
//! | `/c/<token>` | GET, HEAD | a link |
//! | `/a/<token>` | GET, HEAD | a link that an app may take over |
//! | `/w/<token>` | GET, HEAD, POST | the reader's withdrawal: a page that asks; POST does it |
//! | `/` | GET, HEAD | says what this host is |
//! | `/robots.txt` | GET, HEAD | keeps crawlers out |
//! | `/favicon.ico` | GET, HEAD | nothing, for long |
//! | `/.well-known/apple-app-site-association` | GET, HEAD | the domain's Apple apps |
//! | `/.well-known/assetlinks.json` | GET, HEAD | the domain's Android apps |
//! | `/.well-known/mailtrail?challenge=<c>` | GET, HEAD | proves that this host leads to this install |
//!
//! Anything else is nothing (404); a path of the table with another method is
//! 405. The query is looked at in the last row alone: links tolerate added ones.

use std::borrow::Cow;

use http::Method;
use mailtrail_core::id::HOST_MAX_BYTES;
use mailtrail_core::link::own_path;
use mailtrail_core::token::Kind;

/// What a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route<'a> {
    /// The host that was asked, in lower case, without port and final dot;
    /// `None` where the request's is longer than a host can be or empty.
    pub host: Option<Cow<'a, str>>,
    /// What was asked of it.
    pub asked: Asked<'a>,
}

/// What was asked of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked<'a> {
    /// The pixel of this token.
    Pixel(&'a str),
    /// The link of this token, for everyone (`/c/`) or for an app too (`/a/`).
    Link(LinkKind, &'a str),
    /// The page that asks whether to withdraw.
    WithdrawPage(&'a str),
    /// The withdrawal.
    Withdraw(&'a str),
    /// What this host is.
    Front,
    /// What crawlers may do here.
    Robots,
    /// The icon.
    Icon,
    /// Which Apple apps may take over links.
    AppleApps,
    /// Which Android apps may take over links.
    AndroidApps,
    /// The proof that this host leads to this install, for this challenge.
    Proof(Option<&'a str>),
    /// A path of ours with another method.
    OtherMethod(Allow),
    /// No path of ours.
    Nothing,
}

/// The two kinds of links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LinkKind {
    /// `/c/`
    Click,
    /// `/a/`
    App,
}

/// The methods that a path takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allow {
    /// GET and HEAD.
    Read,
    /// GET, HEAD and POST.
    ReadAndPost,
}

impl LinkKind {
    /// The kind of token that such a link has.
    pub fn token_kind(self) -> Kind {
        match self {
            Self::Click => Kind::Click,
            Self::App => Kind::App,
        }
    }
}

/// Finds the route. `host` is the value of the `Host` header or the URI's
/// authority; `path_and_query` is the request's target in origin form.
pub fn route<'a>(method: &Method, path_and_query: &'a str, host: &'a str) -> Route<'a> {
    let (path, query) = match path_and_query.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path_and_query, None),
    };
    Route {
        host: host_name(host),
        asked: asked(method, path, query),
    }
}

fn asked<'a>(method: &Method, path: &'a str, query: Option<&'a str>) -> Asked<'a> {
    let found = match own_path(path) {
        Some(own) if own.token.is_empty() => Asked::Nothing,
        Some(own) => match own.kind {
            Kind::Open => Asked::Pixel(own.token),
            Kind::Click => Asked::Link(LinkKind::Click, own.token),
            Kind::App => Asked::Link(LinkKind::App, own.token),
            Kind::Withdraw if method == Method::POST => return Asked::Withdraw(own.token),
            Kind::Withdraw => Asked::WithdrawPage(own.token),
        },
        None => fixed(path, query),
    };
    match found {
        Asked::Nothing => Asked::Nothing,
        _ if method == Method::GET || method == Method::HEAD => found,
        Asked::WithdrawPage(_) => Asked::OtherMethod(Allow::ReadAndPost),
        _ => Asked::OtherMethod(Allow::Read),
    }
}

fn fixed<'a>(path: &str, query: Option<&'a str>) -> Asked<'a> {
    match path {
        "/" => Asked::Front,
        "/robots.txt" => Asked::Robots,
        "/favicon.ico" => Asked::Icon,
        "/.well-known/apple-app-site-association" => Asked::AppleApps,
        "/.well-known/assetlinks.json" => Asked::AndroidApps,
        "/.well-known/mailtrail" => Asked::Proof(query.and_then(challenge)),
        _ => Asked::Nothing,
    }
}

fn challenge(query: &str) -> Option<&str> {
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix("challenge="))
}

/// The name within a `Host` value: no port, no final dot, lower case. Copies
/// only where there is upper case. Whether a domain answers to it is not asked.
fn host_name(host: &str) -> Option<Cow<'_, str>> {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() || name.len() > HOST_MAX_BYTES {
        return None;
    }
    Some(if name.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: Method, path: &str, expected: Asked<'_>) {
        assert_eq!(
            route(&method, path, "h.example").asked,
            expected,
            "{method} {path}"
        );
    }

    #[test]
    fn every_row_of_the_table_is_found() {
        check(Method::GET, "/o/abc", Asked::Pixel("abc"));
        check(Method::HEAD, "/c/abc", Asked::Link(LinkKind::Click, "abc"));
        check(Method::GET, "/a/abc", Asked::Link(LinkKind::App, "abc"));
        check(Method::GET, "/w/abc", Asked::WithdrawPage("abc"));
        check(Method::POST, "/w/abc", Asked::Withdraw("abc"));
        check(Method::GET, "/", Asked::Front);
        check(Method::GET, "/robots.txt", Asked::Robots);
        check(Method::GET, "/favicon.ico", Asked::Icon);
        check(
            Method::GET,
            "/.well-known/apple-app-site-association",
            Asked::AppleApps,
        );
        check(
            Method::GET,
            "/.well-known/assetlinks.json",
            Asked::AndroidApps,
        );
        check(Method::GET, "/.well-known/mailtrail", Asked::Proof(None));
        check(
            Method::GET,
            "/.well-known/mailtrail?x=1&challenge=abc",
            Asked::Proof(Some("abc")),
        );
    }

    #[test]
    fn what_is_glued_to_a_token_stays_with_it_and_a_query_does_not() {
        check(Method::GET, "/o/abc?utm=1", Asked::Pixel("abc"));
        check(Method::GET, "/o/abc/", Asked::Pixel("abc/"));
        check(Method::GET, "/o/abc&amp;x=1", Asked::Pixel("abc&amp;x=1"));
    }

    #[test]
    fn another_method_is_told_what_is_allowed() {
        for method in [Method::POST, Method::PUT, Method::OPTIONS, Method::DELETE] {
            check(method.clone(), "/c/abc", Asked::OtherMethod(Allow::Read));
            check(
                method.clone(),
                "/robots.txt",
                Asked::OtherMethod(Allow::Read),
            );
            check(method, "/nowhere", Asked::Nothing);
        }
        check(
            Method::PUT,
            "/w/abc",
            Asked::OtherMethod(Allow::ReadAndPost),
        );
    }

    #[test]
    fn all_else_is_nothing() {
        for path in [
            "",
            "*",
            "/c",
            "/c/",
            "/C/abc",
            "//",
            "/x/abc",
            "/o",
            "/index.html",
        ] {
            check(Method::GET, path, Asked::Nothing);
        }
    }

    #[test]
    fn a_host_loses_port_final_dot_and_case() {
        let check = |host, expected: Option<&str>| {
            assert_eq!(
                route(&Method::GET, "/", host).host.as_deref(),
                expected,
                "{host}"
            );
        };
        check("h.example", Some("h.example"));
        check("H.Example:8080", Some("h.example"));
        check("h.example.", Some("h.example"));
        check("h.example.:80", Some("h.example"));
        check("[::1]:80", Some("[::1]"));
        check("", None);
        check(":80", None);
        check(&"h".repeat(254), None);
    }
}
