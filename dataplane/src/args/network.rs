//! A network as typed, and what is wrong with one that is none.

use std::net::IpAddr;

use ipnet::IpNet;

/// Reads `10.244.0.0/16`, or says which half of it breaks which rule.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    text.parse().map_err(|_| {
        let (address, length) = text.split_once('/').unzip();
        let address = address.unwrap_or(text);
        let most = match address.parse() {
            Ok(IpAddr::V4(_)) => 32,
            Ok(IpAddr::V6(_)) => 128,
            Err(_) => return "must begin with an IP address, as 10.244.0.0/16 does".to_owned(),
        };
        match length {
            None => format!(
                "must have a prefix length, such as {address}/{most} for this address alone"
            ),
            Some(_) => format!("the prefix length, behind the /, must be 0 to {most}"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_read_or_refused_by_the_half_that_is_wrong() {
        for text in ["10.244.0.0/16", "0.0.0.0/0", "fd00::/8", "::1/128"] {
            assert!(network(text).is_ok(), "{text}");
        }
        for (text, rule) in [
            ("10.244.0.0/33", "must be 0 to 32"),
            ("10.244.0.0/", "must be 0 to 32"),
            ("10.244.0.0/16/8", "must be 0 to 32"),
            ("fd00::/129", "must be 0 to 128"),
            ("10.244.0.1", "such as 10.244.0.1/32"),
            ("fd00::1", "such as fd00::1/128"),
            ("10.256.0.0/16", "begin with an IP address"),
            ("proxy/8", "begin with an IP address"),
            ("", "begin with an IP address"),
        ] {
            let said = network(text).expect_err(text);
            assert!(said.contains(rule), "{text}: {said}");
        }
    }
}
