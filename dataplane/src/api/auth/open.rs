//! No credentials at all, for one's own machine.
//!
//! Being reachable on loopback only keeps other machines out, but not web
//! pages: a browser on this machine will send their requests here, and a name
//! of theirs can be made to lead to 127.0.0.1 (DNS rebinding). So `Host` must
//! name this machine, and `Origin`, which browsers send with everything that
//! changes something, must be ours.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, header};
use mailtrail_core::id::Realm;

use super::{Answer, Authorizer, Caller, Verb};

/// Lets everybody in who reaches the port; for loopback addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open;

/// A request that did not come from a program on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Foreign {
    /// The host asked for is not this machine's.
    #[error("Host must be localhost or a loopback address")]
    Host,
    /// A web page asks.
    #[error("requests of web pages from elsewhere are not answered (Origin, Sec-Fetch-Site)")]
    Origin,
}

impl Authorizer for Open {
    fn authenticate<'a>(&'a self, _bearer: Option<&'a str>) -> Answer<'a, Caller> {
        Box::pin(std::future::ready(Ok(Caller::everywhere())))
    }

    fn allows<'a>(&'a self, _: &'a Caller, _: Verb, _: &'a Realm) -> Answer<'a, bool> {
        Box::pin(std::future::ready(Ok(true)))
    }

    fn is_open(&self) -> bool {
        true
    }
}

impl Open {
    /// Refuses what a web page from elsewhere could make a browser send.
    pub fn check(uri: &Uri, headers: &HeaderMap) -> Result<(), Foreign> {
        let host = match uri.authority() {
            Some(authority) => authority.clone(),
            None => only(headers, &header::HOST)
                .and_then(|host| host.parse().ok())
                .ok_or(Foreign::Host)?,
        };
        if !is_this_machine(&host) {
            return Err(Foreign::Host);
        }
        let own = |origin: &str| origin.strip_prefix("http://") == Some(host.as_str());
        if headers.contains_key(header::ORIGIN) && !only(headers, &header::ORIGIN).is_some_and(own)
        {
            return Err(Foreign::Origin);
        }
        match headers.get("sec-fetch-site").map(|site| site.as_bytes()) {
            None | Some(b"same-origin" | b"none") => Ok(()),
            Some(_) => Err(Foreign::Origin),
        }
    }
}

/// The value of a header that stands once.
fn only<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.to_str().ok())?
}

/// `localhost` and what is below it (RFC 6761, 6.3), 127.0.0.0/8, `::1`.
fn is_this_machine(host: &Authority) -> bool {
    if host.as_str().contains('@') {
        return false;
    }
    let name = host.host().to_ascii_lowercase();
    if name == "localhost" || name.ends_with(".localhost") {
        return true;
    }
    match name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
        Some(v6) => v6.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback()),
        None => name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&'static str, &'static str)], expected: Result<(), Foreign>) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().expect("a value"));
        }
        let uri = Uri::from_static("/v1/domains");
        assert_eq!(Open::check(&uri, &map), expected, "{headers:?}");
    }

    #[test]
    fn a_host_must_name_this_machine() {
        for host in [
            "localhost",
            "LOCALHOST:8081",
            "127.0.0.1:8081",
            "127.1.2.3",
            "[::1]:8081",
            "api.localhost:1",
        ] {
            check(&[("host", host)], Ok(()));
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "[::2]",
            "localhost@evil.example",
            "evil.example@localhost",
            "",
        ] {
            check(&[("host", host)], Err(Foreign::Host));
        }
        check(&[], Err(Foreign::Host));
        check(
            &[("host", "localhost"), ("host", "localhost")],
            Err(Foreign::Host),
        );
    }

    #[test]
    fn a_web_page_from_elsewhere_is_refused() {
        let with = |origin| [("host", "localhost:8081"), ("origin", origin)];
        check(&with("http://localhost:8081"), Ok(()));
        for origin in [
            "https://evil.example",
            "null",
            "http://localhost:3000",
            "https://localhost:8081",
            "",
        ] {
            check(&with(origin), Err(Foreign::Origin));
        }
        let site = |site| [("host", "localhost:8081"), ("sec-fetch-site", site)];
        check(&site("none"), Ok(()));
        check(&site("cross-site"), Err(Foreign::Origin));
        check(&site("same-site"), Err(Foreign::Origin));
    }
}
