//! lol_html finds: where the tags stand that decide how a mail is read and
//! what the rewriter may touch. It writes nothing: its setters write a whole
//! start tag anew, its text handlers lose bytes that are no UTF-8.
//!
//! Shown are the start tags of the elements [`SHOWN`], and the end tags of those
//! [`WITH_END`], as far as one was opened. Only these: asked for comments or
//! text, lol_html reads every byte with its slower lexer. What stands between
//! two places is read by [`super::markup`].
//!
//! lol_html compares the name of every tag with those that it shall show. Where
//! it is known beforehand which of them a mail can have at all, it is asked for
//! these alone: what it shows is the same.
//!
//! Scripting is off in mail clients, so `<noscript>` holds markup; lol_html
//! takes it for text. It is therefore shown a name of the same length, which
//! moves no place and is nothing but an unknown element.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use lol_html::send::{Element, ElementContentHandlers, EndTagHandler, HtmlRewriter, Settings};
use lol_html::{MemorySettings, OutputSink, Selector};
use memchr::memmem;

use crate::rewrite::sight::Names;
use crate::rewrite::tag::{SHOWN, Tag};

/// Elements whose end tags are shown, where lol_html can tell.
const WITH_END: [Tag; 8] = [
    Tag::Textarea,
    Tag::Script,
    Tag::Style,
    Tag::Title,
    Tag::Xmp,
    Tag::Iframe,
    Tag::Noembed,
    Tag::Noframes,
];
/// Most memory that lol_html may hold for one mail, in bytes: an unfinished tag,
/// its attributes and the open elements. A mail is 5 MiB (by default), so that
/// no single tag is too long; about 100,000 elements may be open.
const MEMORY_MAX_BYTES: usize = 32 * 1024 * 1024;

/// For each of [`SHOWN`].
static SELECTORS: LazyLock<Vec<Selector>> = LazyLock::new(|| {
    let selector = |name: &str| {
        let escaped = name.replace(':', "\\:");
        escaped.parse().expect("a name, which tests parse")
    };
    SHOWN.iter().map(|(_, name)| selector(name)).collect()
});

/// Where a tag stands, in bytes from the input's begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) range: Range<usize>,
    pub(super) is_end: bool,
}

/// lol_html at work on one mail.
pub(super) struct Finder {
    /// Gone once it has ended or failed.
    rewriter: Option<HtmlRewriter<'static, Nowhere>>,
    found: Arc<Mutex<VecDeque<Place>>>,
    /// Places taken over from `found`, which is locked once per piece.
    places: VecDeque<Place>,
    fed: usize,
    has_noscript: bool,
}

/// Where lol_html's output goes.
struct Nowhere;

impl OutputSink for Nowhere {
    fn handle_chunk(&mut self, _: &[u8]) {}
}

impl Finder {
    /// Finds tags of an input that may have these elements.
    pub(super) fn new(names: Names) -> Self {
        let found = Arc::new(Mutex::new(VecDeque::new()));
        let memory = MemorySettings::new()
            .with_preallocated_parsing_buffer_size(0)
            .with_max_allowed_memory_usage(MEMORY_MAX_BYTES);
        let mut settings = Settings::new_send()
            .with_memory_settings(memory)
            .with_strict(true);
        for (number, selector) in SELECTORS.iter().enumerate() {
            if names.contains(number) {
                let handlers = (Cow::Borrowed(selector), handlers(SHOWN[number].0, &found));
                settings = settings.append_element_content_handler(handlers);
            }
        }
        Self {
            rewriter: Some(HtmlRewriter::new(settings, Nowhere)),
            found,
            places: VecDeque::new(),
            fed: 0,
            has_noscript: names.has_noscript(),
        }
    }

    /// Up to where the input has been read.
    pub(super) fn fed(&self) -> usize {
        self.fed
    }

    /// Reads on; `bytes` are the input from [`Finder::fed`] on, `last` says that
    /// it ends with them. A few bytes at their end may be left for later.
    ///
    /// Where lol_html gives up, because parsers disagree on a tag or because it
    /// needs too much memory, no places follow.
    pub(super) fn feed(&mut self, bytes: &[u8], last: bool) {
        let bytes = match last {
            true => bytes,
            false => &bytes[..bytes.len() - begun_noscript(bytes)],
        };
        self.fed += bytes.len();
        if let Some(mut rewriter) = self.rewriter.take() {
            let read = match self.has_noscript {
                true => rewriter.write(&without_noscript(bytes)),
                false => rewriter.write(bytes),
            };
            match (read, last) {
                (Ok(()), false) => self.rewriter = Some(rewriter),
                // What it could still say concerns its output alone.
                (Ok(()), true) => drop(rewriter.end()),
                (Err(_), _) => {}
            }
        }
        self.places.append(&mut lock(&self.found));
    }

    /// The first place at `at` or after it.
    pub(super) fn next(&mut self, at: usize) -> Option<&Place> {
        while self.places.front().is_some_and(|p| p.range.start < at) {
            self.places.pop_front();
        }
        self.places.front()
    }
}

fn lock(found: &Mutex<VecDeque<Place>>) -> MutexGuard<'_, VecDeque<Place>> {
    // Nothing panics while it is held, and if so the places are as good.
    found.lock().unwrap_or_else(PoisonError::into_inner)
}

type Found = Arc<Mutex<VecDeque<Place>>>;

fn handlers(tag: Tag, found: &Found) -> ElementContentHandlers<'static> {
    let found = Arc::clone(found);
    let with_end = WITH_END.contains(&tag);
    ElementContentHandlers::default().element(move |element: &mut Element<'_, '_>| {
        let range = element.source_location().bytes();
        lock(&found).push_back(Place {
            range,
            is_end: false,
        });
        if with_end && let Some(handlers) = element.end_tag_handlers() {
            handlers.push(end_handler(&found));
        }
        Ok(())
    })
}

fn end_handler(found: &Found) -> EndTagHandler<'static> {
    let found = Arc::clone(found);
    Box::new(move |tag| {
        let range = tag.source_location().bytes();
        let mut found = lock(&found);
        // One end tag may close several elements.
        if found.back().is_none_or(|last| last.range != range) {
            found.push_back(Place {
                range,
                is_end: true,
            });
        }
        Ok(())
    })
}

// === noscript ===

const NOSCRIPT: &[u8] = b"<noscript";

/// The same bytes with every `<noscript` as `<noscripx`.
fn without_noscript(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut masked = Cow::Borrowed(bytes);
    for begin in [b"<n", b"<N"] {
        for at in memmem::find_iter(bytes, begin) {
            let name = bytes.get(at..at + NOSCRIPT.len());
            if name.is_some_and(|name| name.eq_ignore_ascii_case(NOSCRIPT)) {
                masked.to_mut()[at + NOSCRIPT.len() - 1] = b'x';
            }
        }
    }
    masked
}

/// How many bytes at the end may be the begin of a `<noscript`.
fn begun_noscript(bytes: &[u8]) -> usize {
    let longest = (NOSCRIPT.len() - 1).min(bytes.len());
    let begins =
        |length: &usize| bytes[bytes.len() - length..].eq_ignore_ascii_case(&NOSCRIPT[..*length]);
    (1..=longest).rev().find(begins).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The places, fed in pieces of this size, as they stand in the input.
    fn places(input: &[u8], piece: usize) -> Vec<String> {
        let mut finder = Finder::new(Names::ALL);
        let mut until = 0;
        while until < input.len() {
            // Grows whatever was left for later.
            until = (until + piece).min(input.len());
            finder.feed(&input[finder.fed()..until], until == input.len());
        }
        let shown = |place: &Place| {
            let tag = String::from_utf8_lossy(&input[place.range.clone()]).into_owned();
            assert_eq!(place.is_end, tag.starts_with("</"), "{tag}");
            tag
        };
        finder.places.iter().map(shown).collect()
    }

    fn check(input: &str, expected: &[&str]) {
        for piece in [1, 2, 7, 4096] {
            assert_eq!(
                places(input.as_bytes(), piece),
                expected,
                "{input} in {piece}"
            );
        }
    }

    #[test]
    fn the_tags_of_shown_elements_are_found() {
        check(
            "<html><body><p><A\nhref='>'>x</a><v:Rect href=x/></p></BODY ></html>",
            &["<A\nhref='>'>", "<v:Rect href=x/>"],
        );
    }

    #[test]
    fn what_is_no_tag_is_not_found() {
        check(
            "<!-- <a> --><p title='<a>'><title><a></title><script><!--<script></script><a></script>",
            &["<title>", "</title>", "<script>", "</script>"],
        );
    }

    #[test]
    fn noscript_holds_markup() {
        check(
            "<noscript><a></noscript><NoScript ><a title='</noscript><a>'><nobr>",
            &["<a>", "<a title='</noscript><a>'>"],
        );
    }

    #[test]
    fn bytes_of_any_charset_move_nothing() {
        let input = b"\xff\xfe<p>\x80\0<a href=\"\x82\xa0\xe4\">\xc3<area x=\xff>";
        for piece in [1, 3, 4096] {
            assert_eq!(places(input, piece).len(), 2);
        }
        assert_eq!(places(input, 1), places(input, 4096));
    }

    #[test]
    fn no_places_follow_where_lol_html_gives_up() {
        check("<a><select><xmp><a>", &["<a>", "<select>"]);
    }

    #[test]
    fn a_tag_as_long_as_a_mail_is_found_and_too_many_open_elements_are_given_up() {
        let tag = format!("<a title='{}' href=x>", "y".repeat(6 * 1024 * 1024));
        assert_eq!(places(tag.as_bytes(), 2 * 1024 * 1024), [&*tag]);
        let deep = format!("<a>{}<area>", "<b>".repeat(300_000));
        assert_eq!(places(deep.as_bytes(), 256 * 1024), ["<a>"]);
    }
}
