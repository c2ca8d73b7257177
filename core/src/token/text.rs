//! A token's text, and the manglings of mail clients that are undone.

use std::borrow::Cow;

use data_encoding::BASE32_DNSSEC;

use crate::percent;

/// Longest text looked at, in bytes: a tracking URL has at most 1,600
/// characters, percent-encoded twice none of a token's are longer than 5.
pub const TOKEN_TEXT_MAX_BYTES: usize = 8 * 1024;

/// Appends a token's text.
pub(super) fn encode(token: &[u8], out: &mut String) {
    // Base32 of the extended hex alphabet in lower case, decoding either case.
    BASE32_DNSSEC.encode_append(token, out);
}

pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    // Nearly all come as they were made: those are gone through once.
    if text.len() <= TOKEN_TEXT_MAX_BYTES
        && let Ok(token) = BASE32_DNSSEC.decode(text.as_bytes())
    {
        return Some(token);
    }
    BASE32_DNSSEC.decode(normalise(text)?.as_bytes()).ok()
}

/// Undoes what mail clients and gateways are known to do to the end of a URL,
/// and gives nothing if what remains is not a token's alphabet.
///
/// Tolerated, and nothing else: another case; up to two layers of percent
/// encoding; anything from a `&` on; at the end `=` `)` `.` `,` `;` `>` `]`
/// `'` `"` `/` and `=3D`; within, a quoted-printable soft break (`=` and a
/// line break, or `=` alone where a URL parser dropped the line break).
pub fn normalise(text: &str) -> Option<Cow<'_, str>> {
    if text.len() > TOKEN_TEXT_MAX_BYTES {
        return None;
    }
    if is_token_alphabet(text) {
        return Some(Cow::Borrowed(text));
    }
    let decoded = percent_decode(&percent_decode(text)?)?;
    let before_query = decoded.split(['&', '?', '#']).next().unwrap_or_default();
    let mut token = before_query;
    loop {
        let shorter = token
            .strip_suffix("=3D")
            .or_else(|| token.strip_suffix("=3d"))
            .unwrap_or(token)
            .trim_end_matches(['=', ')', '.', ',', ';', '>', ']', '\'', '"', '/']);
        if shorter.len() == token.len() {
            break;
        }
        token = shorter;
    }
    let token = token
        .replace("=\r\n", "")
        .replace("=\n", "")
        .replace("=\r", "")
        .replace('=', "");
    is_token_alphabet(&token).then_some(Cow::Owned(token))
}

fn is_token_alphabet(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'v' | b'A'..=b'V'))
}

/// One layer of percent encoding undone; nothing where that is no UTF-8.
fn percent_decode(text: &str) -> Option<String> {
    String::from_utf8(percent::decode_bytes(text).into_owned()).ok()
}
