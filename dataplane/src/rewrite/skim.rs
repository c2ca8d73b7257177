//! Skimming: over text and ordinary tags, without reading what they say.
//!
//! A tag ends at the first `>` that stands in no quoted value. Inside a value
//! in double quotes is who has read its opening quote and no other after it:
//! so if the last double quote before a `>` opens no value, and the last single
//! quote neither, the `>` ends the tag. A quote opens a value only behind `=`.

use memchr::{memchr, memrchr};

use crate::rewrite::sight::is_sight;
use crate::rewrite::tag::is_space;

/// Goes from `at`, where a token begins, over whole tokens to `until` at most,
/// and gives how far it came: to `until`, or to where a token begins that is a
/// sight or otherwise wants a closer look, or that `until` stands within.
pub(super) fn skim(window: &[u8], at: usize, until: usize) -> usize {
    let mut at = at;
    while let Some(text) = memchr(b'<', &window[at..until]) {
        at += text;
        if is_sight(&window[at..]) {
            return at;
        }
        match tag_end(window, at) {
            Some(end) if end <= until => at = end,
            _ => return at,
        }
    }
    until
}

/// Where the tag at `at` ends; nothing where there is none, it does not end, or
/// that is not certain.
fn tag_end(window: &[u8], at: usize) -> Option<usize> {
    let name = match window.get(at + 1)? {
        b'/' => window.get(at + 2)?,
        first => first,
    };
    if !name.is_ascii_alphabetic() {
        return None;
    }
    let tag = &window[at..];
    // Most tags are a name alone, and most others end in a double quote.
    let name_ends = |b: &u8| !b.is_ascii_alphanumeric() && *b != b'/';
    let name = tag.iter().skip(2).position(name_ends)? + 2;
    if tag[name] == b'>' {
        return Some(at + name + 1);
    }
    let end = memchr(b'>', tag)?;
    let tag = &tag[..end];
    let last_double = match tag.last() {
        Some(b'"') => Some(end - 1),
        _ => memrchr(b'"', tag),
    };
    let opens = |quote: Option<usize>| quote.is_some_and(|at| follows_equals(&tag[..at]));
    (!opens(last_double) && !opens(memrchr(b'\'', tag))).then_some(at + end + 1)
}

/// Whether the last byte that is no white space is a `=`.
fn follows_equals(bytes: &[u8]) -> bool {
    bytes.iter().rev().find(|byte| !is_space(**byte)) == Some(&b'=')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rewrite::tag::Attributes;

    fn check(skimmed: &str, rest: &str) {
        let window = format!("{skimmed}{rest}");
        let came = skim(window.as_bytes(), 0, window.len());
        assert_eq!(&window[..came], skimmed);
    }

    #[test]
    fn text_and_tags_are_skimmed() {
        check("", "");
        check("a b", "");
        check("<p>a<br/></p >b", "");
        check("<td width=1 align=\"x\" style='y: \"z\"'>", "");
        check("<td style=\"font: 'x'\"><p a=\"=x\" b></p/>", "");
        check("<p a\"b='x'c>", "");
    }

    #[test]
    fn it_stops_where_a_closer_look_is_wanted() {
        for rest in [
            "<!-- x -->",
            "<?x>",
            "</>",
            "< p>",
            "<",
            "</",
            "<p",
            "<p title=\"1 > 0\">",
            "<p title= '>'>",
            "<p title=\n\">\">",
            "<p title=\"a=\">",
            "<p title=\"=\" b>",
            "<p a=b=\"x>",
        ] {
            check("<p>a", rest);
        }
    }

    #[test]
    fn it_stops_before_the_token_that_it_may_not_pass() {
        let window = b"a<p title=x>b";
        for (until, came) in [(0, 0), (1, 1), (2, 1), (11, 1), (12, 12), (13, 13)] {
            assert_eq!(skim(window, 0, until), came);
        }
    }

    /// All tags of so many pieces, of which a tag can be made that is read
    /// wrongly by who counts quotes or equals signs.
    #[test]
    fn a_tag_never_ends_elsewhere_than_its_attributes_say() {
        const PIECES: [&str; 7] = ["\"", "'", "=", " ", ">", "a", "/"];
        const LENGTH: u32 = 7;
        for number in 0..PIECES.len().pow(LENGTH) {
            let piece = |at: u32| PIECES[number / PIECES.len().pow(at) % PIECES.len()];
            let pieces: String = (0..LENGTH).map(piece).collect();
            let tag = format!("<p{pieces}>");
            let Some(end) = tag_end(tag.as_bytes(), 0) else {
                continue;
            };
            let name_end = 2 + pieces.find([' ', '/', '>']).unwrap_or(pieces.len());
            let mut attributes = Attributes::new(tag.as_bytes(), name_end);
            while attributes.next().is_some() {}
            assert_eq!(
                attributes.close().map(|close| close.end),
                Some(end),
                "{tag}"
            );
        }
    }
}
