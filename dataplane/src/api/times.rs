//! Times in requests: RFC 3339 and nothing else that looks like it. Pure.

use jiff::Timestamp;

/// The rule of times.
const RULE: &str = "must be a time like 2026-11-23T18:00:00Z (RFC 3339)";
/// The rule of offsets.
const OFFSET_RULE: &str = "must have an offset of at most 23:59 from UTC (RFC 3339)";
/// The rule of those that are well formed and that nobody can reckon with: the
/// last day is cut off so that each has a date everywhere on earth.
const LAST_RULE: &str = "must be at most 9999-12-30T22:00:00Z";

/// Parses a time.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    let offset = offset_of(text).ok_or(RULE)?;
    if !is_offset(offset) {
        return Err(OFFSET_RULE.to_owned());
    }
    text.parse().map_err(|_| match is_last_year(text) {
        true => LAST_RULE.to_owned(),
        false => RULE.to_owned(),
    })
}

/// The offset of a text that has the shape of a time: digits and marks where
/// they belong. Whether there is such a day or hour is another's business.
fn offset_of(text: &str) -> Option<&str> {
    let (shaped, rest) = text.split_at_checked("2026-11-23T18:00:00".len())?;
    let fits = shaped.bytes().zip(*b"dddd-dd-ddTdd:dd:dd");
    let fits = fits.into_iter().all(|(byte, shape)| match shape {
        b'd' => byte.is_ascii_digit(),
        b'T' => matches!(byte, b'T' | b't' | b' '),
        mark => byte == mark,
    });
    let offset = match rest.strip_prefix('.') {
        None => rest,
        Some(rest) => {
            let offset = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            (offset.len() < rest.len()).then_some(offset)?
        }
    };
    let is_shaped = match offset.as_bytes() {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', a, b, b':', c, d] => [a, b, c, d].iter().all(|d| d.is_ascii_digit()),
        _ => false,
    };
    (fits && is_shaped).then_some(offset)
}

/// Whether a shaped offset is one: hours up to 23, minutes up to 59.
fn is_offset(offset: &str) -> bool {
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<u8>().ok());
    match offset.len() {
        1 => true,
        _ => {
            number(offset.get(1..3)).is_some_and(|hours| hours <= 23)
                && number(offset.get(4..6)).is_some_and(|minutes| minutes <= 59)
        }
    }
}

/// Whether a shaped text would be a time, were it another year's.
fn is_last_year(text: &str) -> bool {
    let rest = text.strip_prefix("9999");
    rest.is_some_and(|rest| format!("9995{rest}").parse::<Timestamp>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let expected = expected.map(|time| time.parse().expect("a time"));
        assert_eq!(time(text), expected.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn what_rfc_3339_allows_is_a_time() {
        for (text, expected) in [
            ("2026-11-23T18:00:00Z", "2026-11-23T18:00:00Z"),
            ("2026-11-23t18:00:00.5z", "2026-11-23T18:00:00.5Z"),
            ("2026-11-23 18:00:00+01:00", "2026-11-23T17:00:00Z"),
            (
                "2026-11-23T18:00:00.123456789-00:30",
                "2026-11-23T18:30:00.123456789Z",
            ),
            ("2026-11-23T18:00:00+23:59", "2026-11-22T18:01:00Z"),
            ("2026-11-23T18:00:00-23:59", "2026-11-24T17:59:00Z"),
            ("2028-02-29T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("9999-12-30T22:00:00Z", "9999-12-30T22:00:00Z"),
            ("9999-12-31T20:00:00+23:00", "9999-12-30T21:00:00Z"),
        ] {
            check(text, Ok(expected));
        }
    }

    #[test]
    fn what_is_none_is_refused_by_the_rule_that_it_breaks() {
        for text in [
            "",
            "yesterday",
            "2026-11-23",
            "2026-11-23T18:00Z",
            "2026-11-23T18:00:00",
            "20261123T180000Z",
            "2026-11-23T18:00:00.Z",
            "2026-11-23T18:00:00,5Z",
            "2026-11-23T18:00:00+01",
            "2026-11-23T18:00:00+0100",
            "2026-11-23T18:00:00+01:00:00",
            "2026-11-23T18:00:00Z[UTC]",
            "+002026-11-23T18:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-11-23T24:00:00Z",
            "9999-13-01T00:00:00Z",
            "2026-11-23T18:00:0\u{663}Z",
        ] {
            check(text, Err(RULE));
        }
        for offset in ["+24:00", "-24:00", "+25:59", "+01:60", "+99:99"] {
            check(&format!("2026-11-23T18:00:00{offset}"), Err(OFFSET_RULE));
        }
        for text in [
            "9999-12-31T00:00:00Z",
            "9999-12-30T23:00:00-23:00",
            "9999-12-31T23:59:59.9+00:00",
        ] {
            check(text, Err(LAST_RULE));
        }
    }
}
