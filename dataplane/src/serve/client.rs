//! The client's address, when proxies stand before us; pure.
//!
//! `X-Forwarded-For` grows to the right: each proxy adds whom it was asked by.
//! So it is read from the right, and only as long as the address that vouches
//! for an entry is a trusted proxy's (case 93). `Forwarded` (RFC 7239) is not
//! read: a proxy that writes one of the two passes the other through as the
//! client forged it.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

/// Most hops looked at: real chains have two or three.
pub const HOPS_MAX: usize = 16;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address of whoever asked, as far as trusted proxies tell. `peer` is who
/// connected to us.
pub fn address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut address = peer.to_canonical();
    if !is_trusted(address, trusted) {
        return address;
    }
    let lines = headers.get_all(X_FORWARDED_FOR);
    let entries = lines
        .iter()
        .rev()
        .flat_map(|line| line.as_bytes().rsplit(|b| *b == b','))
        // An empty element of a list counts for nothing (RFC 9110, 5.6.1).
        .filter(|entry| !entry.trim_ascii().is_empty());
    for entry in entries.take(HOPS_MAX) {
        let Some(hop) = parse(entry) else {
            // Whatever stands further left is vouched for by nobody we know.
            return address;
        };
        address = hop;
        if !is_trusted(address, trusted) {
            return address;
        }
    }
    address
}

/// Whether an address is a trusted proxy's.
pub fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|net| net.contains(&address))
}

/// An address, with or without a port, as proxies write them.
fn parse(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    let address = bare
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(peer: &str, lines: &[&str], expected: &str) {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "2001:db8:ffff::/48"]
            .iter()
            .map(|net| net.parse().expect("net"))
            .collect();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, line.parse().expect("value"));
        }
        let found = address(peer.parse().expect("peer"), &headers, &trusted);
        assert_eq!(found.to_string(), expected, "{peer} {lines:?}");
    }

    #[test]
    fn case_93_a_stranger_is_not_believed() {
        check("203.0.113.9", &["198.51.100.1"], "203.0.113.9");
        check("203.0.113.9", &[], "203.0.113.9");
    }

    #[test]
    fn case_93_trusted_hops_are_taken_off_from_the_right() {
        check("10.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check("10.0.0.1", &["1.1.1.1, 198.51.100.1"], "198.51.100.1");
        check(
            "10.0.0.1",
            &["1.1.1.1, 198.51.100.1, 10.2.3.4"],
            "198.51.100.1",
        );
        check(
            "10.0.0.1",
            &["1.1.1.1", "198.51.100.1,10.2.3.4"],
            "198.51.100.1",
        );
        check("10.0.0.1", &["10.0.0.7"], "10.0.0.7");
        check("10.0.0.1", &[], "10.0.0.1");
    }

    #[test]
    fn case_93_what_is_no_address_ends_the_chain() {
        check("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1");
        check("10.0.0.1", &["198.51.100.1, unknown, 10.2.3.4"], "10.2.3.4");
        check("10.0.0.1", &[" unknown "], "10.0.0.1");
        let long = ["198.51.100.1", &",10.0.0.2".repeat(HOPS_MAX)].concat();
        check("10.0.0.1", &[&long], "10.0.0.2");
    }

    #[test]
    fn case_93_empty_elements_of_the_list_are_passed_over() {
        check("10.0.0.1", &["198.51.100.1,"], "198.51.100.1");
        check(
            "10.0.0.1",
            &["198.51.100.1, ,\t,10.2.3.4 , "],
            "198.51.100.1",
        );
        check("10.0.0.1", &["198.51.100.1", "", ","], "198.51.100.1");
        check("10.0.0.1", &["", ",,"], "10.0.0.1");
    }

    #[test]
    fn addresses_are_read_in_every_shape_that_proxies_write() {
        check("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1");
        check("10.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1");
        check("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1");
        check("10.0.0.1", &["2001:db8::1"], "2001:db8::1");
        check("::ffff:10.0.0.1", &["::ffff:198.51.100.1"], "198.51.100.1");
        check("2001:db8:ffff::1", &["198.51.100.1"], "198.51.100.1");
    }
}
