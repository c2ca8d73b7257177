//! HTML character references: what an attribute's or a text's bytes say, and a
//! value written back into an attribute.
//!
//! Decoding is the HTML standard's (13.2.5.72 to 13.2.5.80) on top of its input
//! preprocessing: bytes that are no UTF-8 and NUL become U+FFFD, CR and CR LF
//! become LF. Nothing is refused; every input means something.

mod names;

use std::borrow::Cow;

use names::{NAMES, WITHOUT_SEMICOLON};

/// Fewest and most characters of a name that counts without a `;`.
const SHORT_NAME_CHARS: std::ops::RangeInclusive<usize> = 2..=6;
/// Most characters of any name.
const NAME_MAX_CHARS: usize = 31;

/// What windows-1252 has where a numeric reference names a C1 control
/// (13.2.5.80); 0 where the control itself is meant.
const WINDOWS_1252: [u32; 32] = [
    0x20AC, 0, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160, 0x2039,
    0x0152, 0, 0x017D, 0, 0, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x02DC,
    0x2122, 0x0161, 0x203A, 0x0153, 0, 0x017E, 0x0178,
];

/// Where a reference stands: without its `;`, one in an attribute does not
/// count when a letter, digit or `=` follows (so `?x=1&copy=2` keeps its `&copy`).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Attribute,
    Text,
}

/// What the bytes between an attribute's quotes (or of an unquoted value) say.
pub fn decode_attribute(raw: &[u8]) -> Cow<'_, str> {
    decode(raw, Place::Attribute)
}

/// What the bytes of a text node say. NUL becomes U+FFFD here too, though in
/// most places a browser drops it.
pub fn decode_text(raw: &[u8]) -> Cow<'_, str> {
    decode(raw, Place::Text)
}

/// Writes a value so that it stands in an attribute, whether in double, in
/// single or in no quotes, and decodes to itself again. CR is the exception:
/// no value that was decoded from bytes alone has one.
///
/// An empty value stays empty and so needs quotes around it.
pub fn encode_attribute(value: &str) -> Cow<'_, str> {
    let special = |c: char| c <= ' ' || matches!(c, '&' | '"' | '\'' | '<' | '>' | '`' | '=');
    // `=` is special only as the first character of an unquoted value.
    let plain = |(at, c): (usize, char)| !special(c) || (c == '=' && at > 0);
    if value.char_indices().all(plain) {
        return Cow::Borrowed(value);
    }
    let mut out = String::with_capacity(value.len() + value.len() / 8);
    for (at, c) in value.char_indices() {
        match c {
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c if plain((at, c)) => out.push(c),
            c => out.push_str(&format!("&#{};", u32::from(c))),
        }
    }
    Cow::Owned(out)
}

/// Writes a text for a page of our own: between tags, or in an attribute
/// between quotes. Unlike [`encode_attribute`] it leaves white space as it is.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn decode(raw: &[u8], place: Place) -> Cow<'_, str> {
    let text = match std::str::from_utf8(raw) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(raw),
    };
    // Most have none: to look at all bytes is faster than to stop at the first.
    let special = |b: u8| matches!(b, b'&' | b'\0' | b'\r');
    if !text.bytes().fold(false, |found, b| found | special(b)) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = &*text;
    while let Some(at) = rest.find(['&', '\0', '\r']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        rest = if let Some(after) = rest.strip_prefix('&') {
            reference(after, place, &mut out)
        } else if let Some(after) = rest.strip_prefix('\0') {
            out.push(char::REPLACEMENT_CHARACTER);
            after
        } else {
            out.push('\n');
            rest.strip_prefix("\r\n").unwrap_or(&rest[1..])
        };
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Appends what the reference behind an `&` means, or the `&` alone where
/// there is none; gives what follows it.
fn reference<'a>(after: &'a str, place: Place, out: &mut String) -> &'a str {
    let found = match after.strip_prefix('#') {
        Some(number) => numeric(number, out),
        None => named(after, place, out),
    };
    found.unwrap_or_else(|| {
        out.push('&');
        after
    })
}

fn numeric<'a>(text: &'a str, out: &mut String) -> Option<&'a str> {
    let (digits, radix) = match text.strip_prefix(['x', 'X']) {
        Some(hex) => (hex, 16),
        None => (text, 10),
    };
    let end = digits
        .find(|c: char| !c.is_digit(radix))
        .unwrap_or(digits.len());
    if end == 0 {
        return None;
    }
    let code = digits[..end].chars().try_fold(0u32, |code, c| {
        code.checked_mul(radix)?.checked_add(c.to_digit(radix)?)
    });
    out.push(numbered(code));
    let rest = &digits[end..];
    Some(rest.strip_prefix(';').unwrap_or(rest))
}

/// The character of a number; `None` is one too large to count.
fn numbered(code: Option<u32>) -> char {
    let code = match code {
        Some(0) | None => return char::REPLACEMENT_CHARACTER,
        Some(code @ 0x80..=0x9f) => match WINDOWS_1252[(code - 0x80) as usize] {
            0 => code,
            mapped => mapped,
        },
        Some(code) => code,
    };
    char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn named<'a>(text: &'a str, place: Place, out: &mut String) -> Option<&'a str> {
    // Nearly all references in addresses are this one.
    if let Some(rest) = text.strip_prefix("amp;") {
        out.push('&');
        return Some(rest);
    }
    let run = text
        .bytes()
        .take(NAME_MAX_CHARS + 1)
        .take_while(u8::is_ascii_alphanumeric)
        .count();
    if let Some(rest) = text[run..].strip_prefix(';')
        && let Some(meaning) = meaning(&text[..run])
    {
        out.push_str(meaning);
        return Some(rest);
    }
    let short = SHORT_NAME_CHARS
        .rev()
        .filter(|length| *length <= run)
        .find(|length| WITHOUT_SEMICOLON.binary_search(&&text[..*length]).is_ok())?;
    let rest = &text[short..];
    let goes_on = rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '=');
    if place == Place::Attribute && goes_on {
        return None;
    }
    out.push_str(meaning(&text[..short])?);
    Some(rest)
}

fn meaning(name: &str) -> Option<&'static str> {
    let at = NAMES.binary_search_by_key(&name, |(name, _)| name).ok()?;
    NAMES.get(at).map(|(_, meaning)| *meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(raw: &str, expected: &str) {
        assert_eq!(decode_attribute(raw.as_bytes()), expected, "{raw:?}");
    }

    fn text(raw: &str, expected: &str) {
        assert_eq!(decode_text(raw.as_bytes()), expected, "{raw:?}");
    }

    #[test]
    fn the_names_are_sorted_and_those_without_semicolon_are_among_them() {
        assert!(NAMES.is_sorted_by(|a, b| a.0 < b.0));
        assert!(WITHOUT_SEMICOLON.is_sorted_by(|a, b| a < b));
        assert!(WITHOUT_SEMICOLON.iter().all(|n| meaning(n).is_some()));
        assert!(
            WITHOUT_SEMICOLON
                .iter()
                .all(|n| SHORT_NAME_CHARS.contains(&n.len()))
        );
        assert_eq!(
            NAMES.iter().map(|(n, _)| n.len()).max(),
            Some(NAME_MAX_CHARS)
        );
    }

    #[test]
    fn case_1_to_2_an_ampersand_is_read_encoded_or_raw() {
        attribute("https://e.com/?a=1&amp;b=2", "https://e.com/?a=1&b=2");
        attribute("https://e.com/?a=1&b=2", "https://e.com/?a=1&b=2");
        attribute("&", "&");
        attribute("a&&amp;&", "a&&&");
        attribute("&amp;amp;", "&amp;");
    }

    #[test]
    fn case_3_a_name_without_semicolon_counts_in_attributes_only_at_its_end() {
        attribute("?x=1&copy=2", "?x=1&copy=2");
        attribute("?x=1&copy;=2", "?x=1©=2");
        attribute("?x=1&copy", "?x=1©");
        attribute("?x=1&copy&y", "?x=1©&y");
        attribute("?x&copyright", "?x&copyright");
        attribute("&notit;", "&notit;");
        attribute("&notin;", "∉");
        attribute("&amp2", "&amp2");
        text("?x=1&copy=2", "?x=1©=2");
        text("&notit;", "¬it;");
        text("&notin;", "∉");
        text("&AMPx", "&x");
    }

    #[test]
    fn case_4_every_kind_of_reference_is_decoded() {
        attribute("&#38;&#x26;&#X26;", "&&&");
        attribute("&quot;&apos;&nbsp;&lt;", "\"'\u{a0}<");
        attribute("&#38", "&");
        attribute("&#38a", "&a");
        attribute("&#x2fa;", "\u{2fa}");
        attribute("java&#9;script&colon;&Tab;&NewLine;", "java\tscript:\t\n");
        attribute("&NotEqualTilde;", "≂\u{338}");
        attribute("&CounterClockwiseContourIntegral;", "∳");
    }

    #[test]
    fn what_is_no_reference_stays() {
        for raw in [
            "&#",
            "&#;",
            "&#x",
            "&#x;",
            "&#xg",
            "&;",
            "& ",
            "&unknown;",
            "&\u{e4};",
            "&CounterClockwiseContourIntegralx;",
            "&Amp;",
            "&apos",
        ] {
            attribute(raw, raw);
        }
    }

    #[test]
    fn numbers_out_of_range_are_mended_as_the_standard_says() {
        attribute("&#0;&#xd800;&#x110000;", "\u{fffd}\u{fffd}\u{fffd}");
        attribute("&#99999999999999999999;", "\u{fffd}");
        attribute("&#128;&#x9f;&#129;&#150;", "€Ÿ\u{81}–");
        attribute("&#13;&#xfffe;", "\r\u{fffe}");
    }

    #[test]
    fn nul_line_ends_and_invalid_utf8_are_read_as_a_browser_reads_them() {
        attribute("a\0b\r\nc\rd\n", "a\u{fffd}b\nc\nd\n");
        assert_eq!(decode_attribute(b"\xff&amp;\xc3\xa4"), "\u{fffd}&ä");
        assert!(matches!(decode_attribute(b"plain"), Cow::Borrowed(_)));
    }

    #[test]
    fn an_encoded_value_decodes_to_itself_in_any_quotes() {
        for value in [
            "https://links.shop.example/c/abc",
            "https://e.com/?a=1&b=2&copy=3&lt;",
            "=a=b",
            "a\"b'c`d<e>f g\th\ni",
            "&#38;amp;",
            "ä€",
            "",
        ] {
            let encoded = encode_attribute(value);
            assert_eq!(decode_attribute(encoded.as_bytes()), value);
            assert!(
                !encoded.contains(['"', '\'', '<', '>', '`', ' ', '\t', '\n'])
                    && !encoded.starts_with('='),
                "{encoded}"
            );
        }
        assert!(matches!(
            encode_attribute("https://links.shop.example/c/abc"),
            Cow::Borrowed(_)
        ));
    }
}
