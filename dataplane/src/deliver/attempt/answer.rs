//! What is read of an answer beside its status.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use jiff::Timestamp;
use jiff::fmt::rfc2822;

/// Reads a body to its end; whether it has one within so many bytes.
pub(super) async fn read(mut body: Incoming, max_bytes: usize) -> bool {
    let mut left = max_bytes;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        let bytes = frame.data_ref().map_or(0, |data| data.len());
        match left.checked_sub(bytes) {
            Some(rest) => left = rest,
            None => return false,
        }
    }
    true
}

/// Reads `Retry-After`: seconds, or a date (RFC 9110, 10.2.3).
pub(super) fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Of what nobody can count, as long as may be.
        let seconds = text.parse::<u32>().unwrap_or(u32::MAX);
        return Some(Duration::from_secs(seconds.into()));
    }
    // A date that is over says nothing.
    let date = rfc2822::parse(text).ok()?.timestamp();
    Duration::try_from(date.duration_since(now)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = "2026-11-26T10:00:00Z".parse().expect("a time");
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(
                retry_after(text, now),
                expected.map(Duration::from_secs),
                "{text}"
            );
        };
        check("0", Some(0));
        check(" 120 ", Some(120));
        check("99999999999", Some(u32::MAX.into()));
        check("Thu, 26 Nov 2026 10:01:00 GMT", Some(60));
        check("Thu, 26 Nov 2026 09:59:00 GMT", None);
        for text in ["", "-1", "1.5", "soon", "2026-11-26T10:01:00Z"] {
            check(text, None);
        }
    }
}
