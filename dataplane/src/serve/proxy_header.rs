//! The PROXY protocol's header, versions 1 and 2; pure.
//! Source: <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest header of version 1 in bytes, its line end included (2.1).
const V1_MAX_BYTES: usize = 107;
/// Longest header of version 2 taken, in bytes: addresses need 52, and the
/// extensions that load balancers send (ids, TLS facts) some hundreds.
const V2_MAX_BYTES: usize = 4096;
/// Longest header of either version, in bytes.
pub const HEADER_MAX_BYTES: usize = V2_MAX_BYTES;

const V1_BEGIN: &[u8] = b"PROXY ";
const V2_BEGIN: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FRAME_BYTES: usize = 16;

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// More bytes are needed.
    Partial,
    /// A whole header.
    Whole {
        /// The client; `None` where the proxy speaks for itself (health checks).
        source: Option<IpAddr>,
        /// Bytes of the header; the client's begin behind them.
        length: usize,
    },
}

/// The bytes are no such header, or one longer than is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no header of the PROXY protocol")]
pub struct NoHeader;

/// Reads the header at the begin of a connection's bytes.
pub fn parse(bytes: &[u8]) -> Result<Header, NoHeader> {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(a, b)| a == b);
    if begins(V1_BEGIN) {
        v1(bytes)
    } else if begins(V2_BEGIN) {
        v2(bytes)
    } else {
        Err(NoHeader)
    }
}

/// `PROXY TCP4 <source> <destination> <source port> <destination port>\r\n`
fn v1(bytes: &[u8]) -> Result<Header, NoHeader> {
    let looked_at = &bytes[..bytes.len().min(V1_MAX_BYTES)];
    let Some(end) = looked_at.windows(2).position(|pair| pair == b"\r\n") else {
        return match bytes.len() < V1_MAX_BYTES {
            true => Ok(Header::Partial),
            false => Err(NoHeader),
        };
    };
    let line = std::str::from_utf8(&looked_at[..end]).map_err(|_| NoHeader)?;
    let mut words = line.split(' ').skip(1);
    let source = match words.next().ok_or(NoHeader)? {
        "UNKNOWN" => None,
        family => Some(v1_source(family, words)?),
    };
    Ok(Header::Whole {
        source,
        length: end + 2,
    })
}

fn v1_source<'a>(
    family: &str,
    mut words: impl Iterator<Item = &'a str>,
) -> Result<IpAddr, NoHeader> {
    let mut address = || -> Result<IpAddr, NoHeader> {
        let word = words.next().ok_or(NoHeader)?;
        match family {
            "TCP4" => word
                .parse::<Ipv4Addr>()
                .map(IpAddr::V4)
                .map_err(|_| NoHeader),
            "TCP6" => word
                .parse::<Ipv6Addr>()
                .map(IpAddr::V6)
                .map_err(|_| NoHeader),
            _ => Err(NoHeader),
        }
    };
    let (source, _destination) = (address()?, address()?);
    for _ in ["source port", "destination port"] {
        let port = words.next().ok_or(NoHeader)?;
        port.parse::<u16>().map_err(|_| NoHeader)?;
    }
    match words.next() {
        None => Ok(source.to_canonical()),
        Some(_) => Err(NoHeader),
    }
}

/// Twelve fixed bytes, version and command, family, length, addresses, extensions.
fn v2(bytes: &[u8]) -> Result<Header, NoHeader> {
    let Some(frame) = bytes.first_chunk::<V2_FRAME_BYTES>() else {
        return Ok(Header::Partial);
    };
    let length = V2_FRAME_BYTES + usize::from(u16::from_be_bytes([frame[14], frame[15]]));
    if length > V2_MAX_BYTES || frame[12] >> 4 != 2 {
        return Err(NoHeader);
    }
    let Some(body) = bytes.get(V2_FRAME_BYTES..length) else {
        return Ok(Header::Partial);
    };
    let source = match (frame[12] & 0x0f, frame[13] >> 4) {
        (0, _) => None, // LOCAL
        (1, 0) => None, // PROXY, of a family not told
        (1, 1) => Some(v4(body)?),
        (1, 2) => Some(v6(body)?),
        (1, 3) => None, // a Unix socket
        _ => return Err(NoHeader),
    };
    Ok(Header::Whole { source, length })
}

/// Source and destination of 4 bytes each, two ports.
fn v4(body: &[u8]) -> Result<IpAddr, NoHeader> {
    let body = body.first_chunk::<12>().ok_or(NoHeader)?;
    Ok(Ipv4Addr::new(body[0], body[1], body[2], body[3]).into())
}

/// Source and destination of 16 bytes each, two ports.
fn v6(body: &[u8]) -> Result<IpAddr, NoHeader> {
    let body = body.first_chunk::<36>().ok_or(NoHeader)?;
    let source = *body.first_chunk::<16>().ok_or(NoHeader)?;
    Ok(IpAddr::V6(Ipv6Addr::from(source)).to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8], source: Option<&str>) {
        let source = source.map(|s| s.parse().expect("address"));
        let length = bytes.len();
        let expected = Ok(Header::Whole { source, length });
        assert_eq!(parse(bytes), expected, "{bytes:?}");
        assert_eq!(
            parse(&[bytes, b"GET /"].concat()),
            expected,
            "with more behind"
        );
        for cut in 0..length {
            assert_eq!(parse(&bytes[..cut]), Ok(Header::Partial), "cut at {cut}");
        }
    }

    fn v2_bytes(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).expect("short");
        [V2_BEGIN, &[command, family], &length.to_be_bytes(), body].concat()
    }

    #[test]
    fn version_1_tells_the_source() {
        whole(
            b"PROXY TCP4 198.51.100.1 10.0.0.1 4711 80\r\n",
            Some("198.51.100.1"),
        );
        whole(
            b"PROXY TCP6 2001:db8::1 ::1 4711 80\r\n",
            Some("2001:db8::1"),
        );
        whole(b"PROXY UNKNOWN\r\n", None);
        whole(b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None);
    }

    #[test]
    fn version_2_tells_the_source_and_its_extensions_are_passed_over() {
        let mut four = vec![198, 51, 100, 1, 10, 0, 0, 1, 0x12, 0x34, 0, 80];
        whole(&v2_bytes(0x21, 0x11, &four), Some("198.51.100.1"));
        four.extend_from_slice(&[0xea, 0, 3, 1, 2, 3]);
        whole(&v2_bytes(0x21, 0x11, &four), Some("198.51.100.1"));
        let mut six = vec![0; 36];
        six[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        six[15] = 1;
        whole(&v2_bytes(0x21, 0x21, &six), Some("2001:db8::1"));
    }

    #[test]
    fn a_proxy_that_speaks_for_itself_names_no_source() {
        whole(&v2_bytes(0x20, 0x00, &[]), None);
        whole(&v2_bytes(0x20, 0x11, &[0; 12]), None);
        whole(&v2_bytes(0x21, 0x00, &[1, 2, 3]), None);
        whole(&v2_bytes(0x21, 0x31, &[0; 216]), None);
    }

    #[test]
    fn anything_else_is_refused() {
        let refused = |bytes: &[u8]| assert_eq!(parse(bytes), Err(NoHeader), "{bytes:?}");
        refused(b"GET / HTTP/1.1\r\n");
        refused(b"PROXY TCP4 198.51.100.1 10.0.0.1 4711\r\n");
        refused(b"PROXY TCP4 2001:db8::1 10.0.0.1 4711 80\r\n");
        refused(b"PROXY TCP4 198.51.100.1 10.0.0.1 4711 80000\r\n");
        refused(b"PROXY TCP4 198.51.100.1 10.0.0.1 4711 80 x\r\n");
        refused(b"PROXY UDP4 198.51.100.1 10.0.0.1 4711 80\r\n");
        refused(&[V1_BEGIN, &[b'x'; 200]].concat());
        refused(&v2_bytes(0x31, 0x11, &[0; 12]));
        refused(&v2_bytes(0x22, 0x11, &[0; 12]));
        refused(&v2_bytes(0x21, 0x11, &[0; 11]));
        refused(&v2_bytes(0x21, 0x41, &[0; 12]));
        refused(&v2_bytes(0x21, 0x11, &[0; 5000])[..20]);
    }
}
