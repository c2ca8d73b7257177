//! Percent-encoding (RFC 3986, 2.1), read leniently.

use std::borrow::Cow;

/// Whether the text begins with `%` and two hexadecimal digits.
pub(crate) fn is_escape(text: &str) -> bool {
    matches!(text.as_bytes(), [b'%', a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
}

/// One layer of percent-encoding undone: what is no escape stays, and what is
/// no UTF-8 afterwards becomes U+FFFD. Borrows where there is no escape.
pub(crate) fn decode(text: &str) -> Cow<'_, str> {
    match decode_bytes(text) {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// Like [`decode`], for who must know what is no UTF-8.
pub(crate) fn decode_bytes(text: &str) -> Cow<'_, [u8]> {
    if !text.contains('%') {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at..];
        let byte = is_escape(rest)
            .then(|| u8::from_str_radix(&rest[1..3], 16).ok())
            .flatten();
        out.push(byte.unwrap_or(b'%'));
        rest = &rest[if byte.is_some() { 3 } else { 1 }..];
    }
    out.extend_from_slice(rest.as_bytes());
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_and_what_is_none_stays() {
        assert_eq!(decode("a%20b%2Bc"), "a b+c");
        assert_eq!(decode("100%"), "100%");
        assert_eq!(decode("%zz%4"), "%zz%4");
        assert_eq!(decode("%c3%a4%ff"), "ä\u{fffd}");
        assert!(matches!(decode("abc"), Cow::Borrowed(_)));
    }
}
