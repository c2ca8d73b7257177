//! Sights: the places of the input where something may stand that says more
//! than text and ordinary tags do. Between two of them a walk over visible
//! content has nothing to look at.
//!
//! A sight is a look at the bytes alone, wherever they stand: whether one is
//! what it looks like (and not in a comment or a value) is for the scanner to
//! say. What is none is certainly nothing. Those that begin with `<` are looked
//! for on the way ([`is_sight`]), as every tag is come by; the few others, which
//! may stand anywhere, beforehand ([`Sights`]).

use std::collections::VecDeque;
use std::sync::LazyLock;

use memchr::{memchr, memchr_iter, memmem};

use crate::rewrite::scan::{PLACEHOLDERS, name_end};
use crate::rewrite::tag::{MATTER, Tag, one_of};

/// Most bytes of a place that are looked at: `<v:roundrect` and what ends it,
/// `{{ mailtrail:`. Of an image it is the whole tag.
const SIGHT_MAX_BYTES: usize = 13;

struct Finders {
    /// What every placeholder begins with.
    braces: memmem::Finder<'static>,
    /// In the path of every pixel of ours.
    pixel_path: memmem::Finder<'static>,
}

static FINDERS: LazyLock<Finders> = LazyLock::new(|| Finders {
    braces: memmem::Finder::new("{{"),
    pixel_path: memmem::Finder::new("/o/"),
});

/// The sights of an input that are no tags, in order; those before the walk are
/// forgotten.
#[derive(Debug, Default)]
pub(super) struct Sights {
    /// Of each kind apart, so that each is looked for by itself.
    braces: VecDeque<usize>,
    pixels: VecDeque<usize>,
    /// Up to here the input has been looked through, in bytes from its begin.
    until: usize,
    /// Placeholders of ours so far, wherever they stand.
    own_placeholders: usize,
}

impl Sights {
    /// Looks through what `bytes` (the input from `base` on) have more than was
    /// looked through; `last` says that the input ends with them.
    pub(super) fn look_through(&mut self, bytes: &[u8], base: usize, last: bool) {
        // What the walk has passed may be gone.
        let from = self.until.saturating_sub(base);
        if from >= bytes.len() {
            return;
        }
        let until = match last {
            true => bytes.len(),
            // What stands at the end may be cut.
            false => bytes.len().saturating_sub(SIGHT_MAX_BYTES - 1).max(from),
        };
        // The last may be cut, and is looked for again.
        let texts = &bytes[from..];
        for at in FINDERS
            .braces
            .find_iter(texts)
            .take_while(|at| from + at < until)
        {
            // Of three braces the last two may begin one.
            let begins = |at: &usize| from + at < until && is_placeholder(&texts[*at..]);
            let begin = (at..at + 2).find(begins);
            self.braces.extend(begin.map(|at| base + from + at));
            let is_own = (at..at + 2).any(|at| from + at < until && is_own(&texts[at..]));
            self.own_placeholders += usize::from(is_own);
        }
        let pixels = FINDERS.pixel_path.find_iter(texts);
        self.pixels.extend(
            pixels
                .map(|at| from + at)
                .take_while(|at| *at < until)
                .map(|at| base + at),
        );
        self.until = base + until;
    }

    /// How many placeholders of ours (`{{mailtrail:…}}`) were seen, wherever
    /// they stand.
    pub(super) fn own_placeholders(&self) -> usize {
        self.own_placeholders
    }

    /// The first sight at `at` or after it; where none is known, up to where
    /// there is none.
    pub(super) fn next(&mut self, at: usize) -> usize {
        let mut first = self.until.max(at);
        for sights in [&mut self.braces, &mut self.pixels] {
            while sights.front().is_some_and(|sight| *sight < at) {
                sights.pop_front();
            }
            first = sights.front().map_or(first, |sight| first.min(*sight));
        }
        first
    }
}

/// Whether a sight stands here: a comment or declaration, an end tag of `body`, `html` or `a`, a start tag
/// of an element that matters, an image whose address may be a pixel's in
/// another spelling.
pub(super) fn is_sight(rest: &[u8]) -> bool {
    let whole = rest;
    let rest = &rest[..rest.len().min(SIGHT_MAX_BYTES)];
    match *rest {
        [_, b'i' | b'I', b'm' | b'M', b'g' | b'G' | b'a' | b'A', ..] => spells_oddly(whole),
        [_, b'!', ..] => true,
        [_, b'/', b'a' | b'A' | b'b' | b'B' | b'h' | b'H', ..] => {
            one_of(&rest[2..name_end(rest, 2)], &["a", "body", "html"]).is_some()
        }
        [_, first, second, ..] if may_begin(first, second) => {
            Tag::of(&rest[1..name_end(rest, 1)]).matters()
        }
        _ => false,
    }
}

/// Whether a tag may spell a path otherwise than with slashes alone: with a
/// character reference, a `\`, or white space within, which browsers drop.
fn spells_oddly(tag: &[u8]) -> bool {
    let tag = &tag[..memchr(b'>', tag).unwrap_or(tag.len())];
    let refers = |at: usize| {
        let name = &tag[at + 1..];
        [&b"#"[..], b"sol", b"bsol", b"Tab", b"NewLine"]
            .iter()
            .any(|known| name.starts_with(known))
    };
    tag.iter()
        .any(|b| matches!(b, b'\\' | b'\t' | b'\n' | b'\r'))
        || memchr_iter(b'&', tag).any(refers)
}

/// Whether a placeholder of ours begins here, as written or with a space that
/// no placeholder has.
fn is_own(rest: &[u8]) -> bool {
    let inside = rest.strip_prefix(b"{{").unwrap_or_default();
    inside
        .strip_prefix(b" ")
        .unwrap_or(inside)
        .starts_with(b"mailtrail:")
}

/// Whether a placeholder for the pixel may begin here.
fn is_placeholder(rest: &[u8]) -> bool {
    PLACEHOLDERS.iter().any(|p| rest.starts_with(&p[..3]))
}

/// Whether a name of an element that matters may begin with these two bytes
/// (or be the first alone): most tags of a mail are told by them.
fn may_begin(first: u8, second: u8) -> bool {
    NAME_BEGINS[usize::from(first)] >> (second & 31) & 1 == 1
}

/// By first byte, in either case: a bit for each second byte, numbered by its
/// lowest five bits.
const NAME_BEGINS: [u32; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < MATTER.len() {
        let name = MATTER[at].as_bytes();
        let seconds = if name.len() == 1 {
            u32::MAX
        } else {
            1 << (name[1] & 31)
        };
        table[name[0] as usize] |= seconds;
        table[name[0].to_ascii_uppercase() as usize] |= seconds;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    /// The sights, looked for in pieces of this size.
    fn sights(input: &[u8], piece: usize) -> Vec<usize> {
        let mut sights = Sights::default();
        for until in (1..=input.len()).filter(|until| until % piece == 0 || *until == input.len()) {
            sights.look_through(&input[..until], 0, until == input.len());
            assert!(sights.until <= until);
        }
        assert_eq!(sights.until, input.len());
        let mut all = Vec::from(sights.braces);
        all.extend(sights.pixels);
        all.extend(memchr_iter(b'<', input).filter(|at| is_sight(&input[*at..])));
        all.sort_unstable();
        all
    }

    #[test]
    fn every_sight_is_seen_however_the_input_is_cut() {
        for sight in [
            "<!-- x -->",
            "<!doctype html>",
            "</BODY>",
            "</html>",
            "</A>",
            "{{mailtrail:pixel}}",
            "{{ses:openTracker}}",
            "x/o/y",
            "<a>",
            "<A\nhref",
            "<area/>",
            "<v:roundrect ",
            "<V:RECT ",
            "<plaintext>",
            "<style>",
            "<SvG>",
            "<xmp>",
        ] {
            let input = format!("<p title='{sight}'>text {{{sight}");
            let within = usize::from(sight.starts_with('x'));
            let expected = [10 + within, input.len() - sight.len() + within];
            for piece in [1, 2, 7, 4096] {
                assert_eq!(sights(input.as_bytes(), piece), expected, "{sight}");
            }
        }
    }

    #[test]
    fn text_and_ordinary_tags_are_none() {
        let input =
            b"<p><td ><tr><span></abbr></style><abbr><strong><tbody><img src=o/>{ {{{x}}} a/o";
        assert_eq!(sights(input, 4096), [0; 0]);
    }
}
