//! Whether a receiver's address may be connected to. Pure.
//!
//! A URL comes from whoever may make a sink, and the data plane stands where
//! much can be reached that they may not: other namespaces, nodes, the cloud's
//! metadata. So every address that a host has is looked at, in whatever
//! disguise, at every attempt, and the connection goes to an address that
//! passed ([`super::attempt`]). What is left out are all networks of the special
//! registries (RFC 6890 and IANA's lists of 2026) that are not the internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Which addresses may be connected to beside those of the internet.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    allowed: Vec<IpNet>,
}

/// Why an address is not connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is not on the internet.
    #[error("the address is private, local or reserved")]
    Private,
    /// What is sent is personal, and others on the way could read it.
    #[error("http is for receivers in networks of one's own; over the internet https is needed")]
    PlainHttp,
}

/// What is not the internet, of IPv4.
const V4: [Ipv4Net; 19] = [
    v4(0, 0, 0, 0, 8),        // this network
    v4(10, 0, 0, 0, 8),       // private
    v4(100, 64, 0, 0, 10),    // carrier-grade NAT
    v4(127, 0, 0, 0, 8),      // loopback
    v4(168, 63, 129, 16, 32), // Azure's own services, as seen from its machines
    v4(169, 254, 0, 0, 16),   // link-local, clouds' metadata
    v4(172, 16, 0, 0, 12),    // private
    v4(192, 0, 0, 0, 24),     // protocol assignments
    v4(192, 0, 2, 0, 24),     // documentation
    v4(192, 31, 196, 0, 24),  // AS112
    v4(192, 52, 193, 0, 24),  // AMT
    v4(192, 88, 99, 0, 24),   // 6to4 relays
    v4(192, 168, 0, 0, 16),   // private
    v4(192, 175, 48, 0, 24),  // AS112
    v4(198, 18, 0, 0, 15),    // benchmarks
    v4(198, 51, 100, 0, 24),  // documentation
    v4(203, 0, 113, 0, 24),   // documentation
    v4(224, 0, 0, 0, 4),      // multicast
    v4(240, 0, 0, 0, 4),      // reserved, and broadcast
];

/// Where the internet is, of IPv6: global unicast. All else (unspecified,
/// loopback, unique local, link-local, site-local, multicast, IPv4-compatible,
/// discard, segment routing) is outside.
const V6_GLOBAL: Ipv6Net = v6([0x2000, 0, 0], 3);

/// What is not the internet, within that.
const V6: [Ipv6Net; 5] = [
    v6([0x2001, 0, 0], 23),     // protocol assignments: Teredo, benchmarks, ORCHID
    v6([0x2001, 0xdb8, 0], 32), // documentation
    v6([0x2002, 0, 0], 16),     // 6to4
    v6([0x2620, 0x4f, 0x8000], 48), // AS112
    v6([0x3fff, 0, 0], 20),     // documentation
];

/// An IPv4 address behind a translator (RFC 6052): as good as that address.
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0], 96);

impl Guard {
    /// Lets these networks through, too.
    pub fn allowing(allowed: Vec<IpNet>) -> Self {
        Self { allowed }
    }

    /// Whether this address may be connected to; `tls` says whether what is
    /// sent is hidden on its way.
    pub fn check(&self, address: IpAddr, tls: bool) -> Result<(), Refusal> {
        let address = undisguised(address);
        if self
            .allowed
            .iter()
            .any(|network| network.contains(&address))
        {
            return Ok(());
        }
        if !is_internet(address) {
            return Err(Refusal::Private);
        }
        match tls {
            true => Ok(()),
            false => Err(Refusal::PlainHttp),
        }
    }

    /// The same of all addresses of a host: one that may not be reached shows
    /// that the name is not what it should be.
    pub fn check_all(&self, addresses: &[IpAddr], tls: bool) -> Result<(), Refusal> {
        addresses
            .iter()
            .try_for_each(|address| self.check(*address, tls))
    }
}

/// The address that is reached by one that only writes it otherwise.
fn undisguised(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => v4.into(),
            None if NAT64.contains(&v6) => last_four(v6).into(),
            None => address,
        },
    }
}

fn last_four(address: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = address.octets();
    Ipv4Addr::new(a, b, c, d)
}

fn is_internet(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !V4.iter().any(|network| network.contains(&v4)),
        IpAddr::V6(v6) => {
            V6_GLOBAL.contains(&v6) && !V6.iter().any(|network| network.contains(&v6))
        }
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(first: [u16; 3], prefix: u8) -> Ipv6Net {
    let [a, b, c] = first;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(guard: &Guard, addresses: &[&str], expected: Result<(), Refusal>) {
        for text in addresses {
            let address = text.parse().expect("an address");
            assert_eq!(guard.check(address, true), expected, "{text}");
        }
    }

    #[test]
    fn addresses_of_the_internet_pass() {
        let internet = [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "2a00::1",
            "64:ff9b::101:101",
            "::ffff:1.1.1.1",
        ];
        check(&Guard::default(), &internet, Ok(()));
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn what_is_not_the_internet_does_not_in_whatever_disguise() {
        let private = [
            // IPv4.
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.31.196.1",
            "192.52.193.1",
            "192.88.99.1",
            "192.168.0.1",
            "192.175.48.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            // The same in IPv6: mapped, compatible, translated.
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0:7f00:1",
            "::127.0.0.1",
            "::10.0.0.1",
            "::1.1.1.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b::",
            "64:ff9b:1::1",
            "64:ff9b:1:ffff::10.0.0.1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2002:101:101::1",
            "2001::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            // IPv6 of its own.
            "::",
            "::1",
            "fe80::1",
            "fe80::a9fe:a9fe",
            "febf::1",
            "fec0::1",
            "fc00::1",
            "fd00::1",
            "fd00:ec2::254",
            "ff02::1",
            "ff0e::1",
            "100::1",
            "2001:db8::1",
            "3fff::1",
            "5f00::1",
            "2620:4f:8000::1",
            "4000::1",
            "fe80::5efe:10.0.0.1",
        ];
        check(&Guard::default(), &private, Err(Refusal::Private));
    }

    #[test]
    fn named_networks_pass_in_every_disguise_and_their_neighbours_do_not() {
        let networks = ["127.0.0.0/8", "10.1.0.0/16", "fd00:1::/32"];
        let networks = networks.map(|text| text.parse().expect("a network"));
        let guard = Guard::allowing(networks.to_vec());
        check(
            &guard,
            &[
                "127.0.0.1",
                "::ffff:127.0.0.1",
                "10.1.2.3",
                "64:ff9b::10.1.2.3",
                "fd00:1::5",
            ],
            Ok(()),
        );
        check(
            &guard,
            &["10.2.0.1", "::1", "fd00:2::5", "169.254.169.254"],
            Err(Refusal::Private),
        );
    }

    #[test]
    fn plain_http_is_for_named_networks_alone() {
        let guard = Guard::allowing(vec!["10.0.0.0/8".parse().expect("a network")]);
        let plain = |text: &str| guard.check(text.parse().expect("an address"), false);
        assert_eq!(plain("10.0.0.1"), Ok(()));
        assert_eq!(plain("1.1.1.1"), Err(Refusal::PlainHttp));
        assert_eq!(plain("127.0.0.1"), Err(Refusal::Private));
    }

    #[test]
    fn one_address_that_may_not_be_reached_refuses_the_host() {
        let addresses = ["1.1.1.1", "127.0.0.1"].map(|text| text.parse().expect("an address"));
        assert_eq!(
            Guard::default().check_all(&addresses, true),
            Err(Refusal::Private)
        );
        assert_eq!(Guard::default().check_all(&addresses[..1], true), Ok(()));
    }
}
