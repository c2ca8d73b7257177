//! Documents with their tags mutated: case, white space, quotes, references,
//! bytes that are no UTF-8.

use crate::random::Random;

/// One tag in so many is mutated.
const TAGS_ONE_IN: usize = 4;

/// A copy in which some tags are written otherwise, or broken.
pub(crate) fn tags(document: &[u8], random: &mut Random) -> Vec<u8> {
    let mut out = Vec::with_capacity(document.len() + document.len() / 8);
    let mut rest = document;
    while let Some(start) = rest.iter().position(|b| *b == b'<') {
        out.extend_from_slice(&rest[..start]);
        rest = &rest[start..];
        let end = tag_end(rest);
        let is_link = rest.get(1).is_some_and(|b| matches!(b, b'a' | b'A' | b'v'));
        if is_link || random.one_in(TAGS_ONE_IN) {
            out.extend(mutated(&rest[..end], random));
        } else {
            out.extend_from_slice(&rest[..end]);
        }
        rest = &rest[end..];
    }
    out.extend_from_slice(rest);
    if random.one_in(10) {
        out.truncate(random.below(out.len()));
    }
    out
}

/// Where the markup that begins here ends, roughly: quotes are heeded.
fn tag_end(markup: &[u8]) -> usize {
    let mut quote = None;
    for (at, byte) in markup.iter().enumerate() {
        match (quote, byte) {
            (None, b'>') => return at + 1,
            (None, b'"' | b'\'') => quote = Some(*byte),
            (Some(open), byte) if open == *byte => quote = None,
            _ => {}
        }
    }
    markup.len()
}

fn mutated(tag: &[u8], random: &mut Random) -> Vec<u8> {
    let mut tag = tag.to_vec();
    for _ in 0..1 + random.below(2) {
        tag = match random.below(12) {
            0 => case(&tag, random),
            1 => spaces(&tag, random),
            2 => quotes(&tag),
            3 => no_quotes(&tag),
            4 | 5 => references(&tag, random),
            6 => inserted(&tag, random.pick(&BROKEN_REFERENCES), random),
            7 => inserted(&tag, random.pick(&ODD_BYTES), random),
            8 => in_value(&tag, random.pick(&IN_VALUES), random),
            9 => attribute(&tag, random.pick(&ATTRIBUTES), random),
            10 if random.one_in(4) => removed(&tag, random),
            11 if random.one_in(4) => inserted(&tag, random.pick(&MARKUP), random),
            _ => tag,
        };
    }
    tag
}

const BROKEN_REFERENCES: [&[u8]; 10] = [
    b"&",
    b"&amp",
    b"&#",
    b"&#x;",
    b"&copy=",
    b"&copy;",
    b"&lt",
    b"&nosuch;",
    b"&#128;",
    b"&#99999999;",
];
const ODD_BYTES: [&[u8]; 6] = [b"\xff", b"\xc3", b"\xe2\x82", b"\0", b"\xc3\xa4", b"\x1b"];
const IN_VALUES: [&[u8]; 10] = [
    b" ",
    b"\t",
    b"\r\n",
    b"\n  ",
    b"\\",
    b"%",
    b"{",
    b"[x]",
    b"|",
    b"\xe2\x80\x8b",
];
const ATTRIBUTES: [&[u8]; 14] = [
    b" href=\"https://second.example/\"",
    b" HREF = https://unquoted.example/?a=1&amp;b=2",
    b" href='https://single.example/&apos;'",
    b" data-no-track",
    b" clicktracking=off",
    b" clicktracking='on'",
    b" data-link-name=\"hero\"",
    b" class=\"untracked x\"",
    b" title='href=\"https://e.com\"'",
    b" title=\"1 > 0\"",
    b" href",
    b" href=\"https+notrack://e.com/x\"",
    b"/",
    b" =\"x\"",
];
const MARKUP: [&[u8]; 12] = [
    b"<",
    b">",
    b"\"",
    b"'",
    b"<!--",
    b"-->",
    b"</body>",
    b"<svg>",
    b"</a>",
    b"<title>",
    b"</title>",
    b"<noscript>",
];

fn case(tag: &[u8], random: &mut Random) -> Vec<u8> {
    let mut in_value = false;
    let mut change = |byte: &u8| {
        in_value ^= matches!(byte, b'"' | b'\'');
        match random.one_in(2) && !in_value {
            true => byte.to_ascii_uppercase(),
            false => *byte,
        }
    };
    tag.iter().map(&mut change).collect()
}

fn spaces(tag: &[u8], random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    for byte in tag {
        match byte {
            b'=' if random.one_in(2) => out.extend_from_slice(b" =\n"),
            b' ' if random.one_in(2) => out.extend_from_slice(b"\t\r\n"),
            byte => out.push(*byte),
        }
    }
    out
}

/// Double quotes become single ones.
fn quotes(tag: &[u8]) -> Vec<u8> {
    let swap = |byte: &u8| if *byte == b'"' { b'\'' } else { *byte };
    tag.iter().map(swap).collect()
}

fn no_quotes(tag: &[u8]) -> Vec<u8> {
    let kept = |byte: &&u8| !matches!(**byte, b'"' | b'\'');
    tag.iter().filter(kept).copied().collect()
}

/// Some characters of values as numeric references.
fn references(tag: &[u8], random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    let mut in_value = false;
    for byte in tag {
        let is_quote = matches!(byte, b'"' | b'\'');
        in_value ^= is_quote;
        if in_value && !is_quote && byte.is_ascii_graphic() && random.one_in(6) {
            let reference = match random.below(3) {
                0 => format!("&#{byte};"),
                1 => format!("&#x{byte:X};"),
                _ => format!("&#{byte}"),
            };
            out.extend_from_slice(reference.as_bytes());
        } else {
            out.push(*byte);
        }
    }
    out
}

fn inserted(tag: &[u8], what: &[u8], random: &mut Random) -> Vec<u8> {
    let at = random.below(tag.len() + 1);
    [&tag[..at], what, &tag[at..]].concat()
}

/// Behind a quote or `=`, or somewhere after one.
fn in_value(tag: &[u8], what: &[u8], random: &mut Random) -> Vec<u8> {
    let starts: Vec<usize> = (1..tag.len())
        .filter(|at| matches!(tag[at - 1], b'"' | b'\'' | b'='))
        .collect();
    if starts.is_empty() {
        return tag.to_vec();
    }
    let at = (random.pick(&starts) + random.pick(&[0, 0, 3, 7, 12])).min(tag.len() - 1);
    [&tag[..at], what, &tag[at..]].concat()
}

/// One more attribute, behind the name or at the end.
fn attribute(tag: &[u8], what: &[u8], random: &mut Random) -> Vec<u8> {
    let name_end = tag
        .iter()
        .position(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | b'>'))
        .unwrap_or(tag.len());
    let at = match random.one_in(2) {
        true => name_end,
        false => tag.len().saturating_sub(1),
    };
    [&tag[..at], what, &tag[at..]].concat()
}

fn removed(tag: &[u8], random: &mut Random) -> Vec<u8> {
    let at = random.below(tag.len());
    [&tag[..at], &tag[(at + 1).min(tag.len())..]].concat()
}

const PIECES: [&[u8]; 72] = [
    b"https://",
    b"HTTP:",
    b"//",
    b"\\\\",
    b"/",
    b"\\",
    b"@",
    b":",
    b"?",
    b"#",
    b"%",
    b"%2F",
    b"%zz",
    b".",
    b"..",
    b"e.com",
    b"E.com",
    b"b\xc3\xbccher.example",
    b"xn--bcher-kva",
    b"xn--",
    b"127.0.0.1",
    b"0x7f.1",
    b"[::1]",
    b"[",
    b"]",
    b"99999",
    b":80",
    b":443",
    b"user",
    b"{{id}}",
    b"%name%",
    b"*|X|*",
    b" ",
    b"\t",
    b"\n",
    b"\0",
    b"\x1f",
    b"\xff",
    b"\xe3\x80\x82",
    b"\xc2\xad",
    b"<a href=",
    b"<A HREF = '",
    b"\"",
    b"'",
    b">",
    b"<",
    b"</a>",
    b"&amp;",
    b"&#x2f;",
    b"&copy=",
    b"<!--[if mso]>",
    b"<![endif]-->",
    b"-->",
    b"<svg>",
    b"<title>",
    b"</title>",
    b"</body>",
    b"<script>",
    b"</script>",
    b"data-no-track",
    b"=",
    b"javascript:",
    b"www.e.com",
    b"https+notrack://",
    b"<template>",
    b"<select>",
    b"GET\n",
    b"links.shop.example",
    b"/c/",
    b"{{mailtrail:pixel}}",
    b"|",
    b"^",
];

/// Up to some pieces of URLs, markup and noise, one behind the other.
pub(crate) fn pieces(random: &mut Random) -> Vec<u8> {
    let count = 1 + random.below(14);
    let start = if random.one_in(2) {
        &b"https://"[..]
    } else {
        b""
    };
    let mut out = start.to_vec();
    for _ in 0..count {
        out.extend_from_slice(random.pick(&PIECES));
    }
    out
}
