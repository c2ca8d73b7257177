//! lol_html confirms: no tag is acted upon that it does not find at the very
//! same place. It writes nothing: its setters write a whole start tag anew, its
//! text handlers lose bytes that are no UTF-8.
//!
//! [`super::markup`] shows it, one whole token at a time, everything of which a
//! parser's state depends: what it then finds must be what we read. Not shown
//! is what changes no state, which is most of a mail: text, and between two
//! [`super::sight`]s of ordinary content the tags that are nothing but tags.
//! Places are therefore those of what was shown, not of the mail.
//!
//! Scripting is off in mail clients, so `<noscript>` holds markup; lol_html
//! takes it for text. It is therefore shown a name of the same length that is
//! nothing but an unknown element.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use lol_html::send::{Element, ElementContentHandlers, EndTagHandler, HtmlRewriter, Settings};
use lol_html::{MemorySettings, OutputSink, Selector};

use crate::rewrite::tag::Tag;

/// Most memory that lol_html may hold for one mail, in bytes: a tag, its
/// attributes and the open elements among those it was shown. A mail is 5 MiB
/// (by default), so that no single tag is too long; about 100,000 elements may
/// be open.
const MEMORY_MAX_BYTES: usize = 32 * 1024 * 1024;

/// Any element.
static ANY: LazyLock<Selector> = LazyLock::new(|| "*".parse().expect("a selector, as tests show"));

/// A token that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// A start tag.
    Start(Tag),
    /// An end tag that ends an element's text.
    EndOfText,
    /// Any other end tag.
    End,
    /// What holds no tags: a comment, a declaration, the text of an element.
    NoTag,
}

/// lol_html at work on one mail.
pub(super) struct Referee {
    /// Gone once it has failed.
    rewriter: Option<HtmlRewriter<'static, Nowhere>>,
    found: Arc<Mutex<Found>>,
    /// So many bytes were shown.
    shown: usize,
}

/// What lol_html found in the token that it is shown.
#[derive(Debug, Default)]
struct Found {
    places: Vec<Place>,
    /// The token is a start tag whose end tag is to be told of.
    wants_end: bool,
}

/// Where lol_html found a tag, in bytes of what it was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    range: Range<usize>,
    is_end: bool,
}

/// Where lol_html's output goes.
struct Nowhere;

impl OutputSink for Nowhere {
    fn handle_chunk(&mut self, _: &[u8]) {}
}

impl Shown {
    /// Whether it is what was found, in a token that stands there.
    fn is_what(self, found: &[Place], there: &Range<usize>) -> bool {
        let is = |end: bool| move |place: &Place| place.range == *there && place.is_end == end;
        match self {
            Self::Start(_) => matches!(found, [place] if is(false)(place)),
            // One end tag may close several elements, or none that is told of.
            Self::EndOfText => !found.is_empty() && found.iter().all(is(true)),
            Self::End => found.iter().all(is(true)),
            Self::NoTag => found.is_empty(),
        }
    }
}

impl Referee {
    pub(super) fn new() -> Self {
        let found = Arc::default();
        let memory = MemorySettings::new()
            .with_preallocated_parsing_buffer_size(0)
            .with_max_allowed_memory_usage(MEMORY_MAX_BYTES);
        let settings = Settings::new_send()
            .with_memory_settings(memory)
            .with_strict(true)
            .append_element_content_handler((Cow::Borrowed(&*ANY), handlers(&found)));
        Self {
            rewriter: Some(HtmlRewriter::new(settings, Nowhere)),
            found,
            shown: 0,
        }
    }

    /// Shows the next token; says whether lol_html finds what it was shown as.
    /// Never again once it has not, because parsers disagree on a tag or it
    /// would need too much memory.
    pub(super) fn confirms(&mut self, bytes: &[u8], shown: Shown) -> bool {
        let Some(rewriter) = &mut self.rewriter else {
            return false;
        };
        lock(&self.found).wants_end = matches!(shown, Shown::Start(tag) if tag.holds_text());
        let read = match shown {
            Shown::Start(Tag::Noscript) => rewriter.write(&without_noscript(bytes)),
            _ => rewriter.write(bytes),
        };
        let range = self.shown..self.shown + bytes.len();
        self.shown = range.end;
        let confirmed = read.is_ok() && shown.is_what(&lock(&self.found).places, &range);
        lock(&self.found).places.clear();
        if !confirmed {
            self.rewriter = None;
        }
        confirmed
    }
}

fn lock(found: &Mutex<Found>) -> MutexGuard<'_, Found> {
    // Nothing panics while it is held, and if so the places are as good.
    found.lock().unwrap_or_else(PoisonError::into_inner)
}

fn handlers(found: &Arc<Mutex<Found>>) -> ElementContentHandlers<'static> {
    let found = Arc::clone(found);
    ElementContentHandlers::default().element(move |element: &mut Element<'_, '_>| {
        let wants_end = {
            let mut found = lock(&found);
            found.places.push(Place {
                range: element.source_location().bytes(),
                is_end: false,
            });
            found.wants_end
        };
        if wants_end && let Some(handlers) = element.end_tag_handlers() {
            handlers.push(end_handler(&found));
        }
        Ok(())
    })
}

fn end_handler(found: &Arc<Mutex<Found>>) -> EndTagHandler<'static> {
    let found = Arc::clone(found);
    Box::new(move |tag| {
        lock(&found).places.push(Place {
            range: tag.source_location().bytes(),
            is_end: true,
        });
        Ok(())
    })
}

/// The start tag of a `noscript` as that of a `noscripx`.
fn without_noscript(tag: &[u8]) -> Vec<u8> {
    let mut masked = tag.to_vec();
    if let Some(last) = masked.get_mut("<noscript".len() - 1) {
        *last = b'x';
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows tokens in turn, and says which are confirmed.
    fn confirmed(tokens: &[(&str, Shown)]) -> Vec<bool> {
        let mut referee = Referee::new();
        let confirms = |(token, shown): &(&str, Shown)| referee.confirms(token.as_bytes(), *shown);
        tokens.iter().map(confirms).collect()
    }

    const A: Shown = Shown::Start(Tag::A);

    #[test]
    fn what_lol_html_finds_is_confirmed() {
        let tokens = [
            ("<!doctype html>", Shown::NoTag),
            ("<title>", Shown::Start(Tag::Title)),
            ("a <a> b", Shown::NoTag),
            ("</title\n>", Shown::EndOfText),
            ("<!-- <a> -->", Shown::NoTag),
            ("<A\nhref='>' title=\"\u{fffd}\">", A),
            ("<v:Rect href=x/>", Shown::Start(Tag::Vml)),
            ("</a>", Shown::End),
            ("</a>", Shown::End),
            ("<script>", Shown::Start(Tag::Script)),
            ("<!--<script></script>", Shown::NoTag),
            ("</script>", Shown::EndOfText),
            ("<svg>", Shown::Start(Tag::Svg)),
            ("<![CDATA[<a>]]>", Shown::NoTag),
            ("<style>", Shown::Start(Tag::Style)),
            ("<a>", A),
            ("</svg>", Shown::End),
        ];
        assert_eq!(confirmed(&tokens), [true; 17]);
    }

    #[test]
    fn what_it_reads_otherwise_is_not_and_nothing_after_that() {
        for (token, shown) in [
            ("<a title='>", A),
            ("<a><a>", A),
            ("x", A),
            ("</a>", A),
            ("<a>", Shown::NoTag),
            ("<a>", Shown::End),
            ("</a>", Shown::EndOfText),
            ("<!-- --><a>", Shown::NoTag),
        ] {
            let after = ("<a>", A);
            assert_eq!(
                confirmed(&[after, (token, shown), after]),
                [true, false, false],
                "{token}"
            );
        }
    }

    #[test]
    fn what_parsers_disagree_on_is_not_confirmed() {
        let tokens = [
            ("<select>", Shown::Start(Tag::Select)),
            ("<xmp>", Shown::Start(Tag::Xmp)),
        ];
        assert_eq!(confirmed(&tokens), [true, false]);
    }

    #[test]
    fn noscript_holds_markup() {
        let tokens = [
            ("<NoScript title=x>", Shown::Start(Tag::Noscript)),
            ("<a>", A),
            ("</noscript>", Shown::End),
            ("<a>", A),
        ];
        assert_eq!(confirmed(&tokens), [true; 4]);
    }

    #[test]
    fn bytes_of_any_charset_move_nothing() {
        let mut referee = Referee::new();
        for _ in 0..2 {
            let tag = b"<area \xe4=\"\x82\xa0\" \0=\xff>";
            assert!(referee.confirms(tag, Shown::Start(Tag::Area)));
        }
    }

    #[test]
    fn a_tag_as_long_as_a_mail_is_confirmed_and_too_many_open_elements_are_not() {
        let tag = format!("<a title='{}' href=x>", "y".repeat(6 * 1024 * 1024));
        assert_eq!(confirmed(&[(&tag, A)]), [true]);
        let mut referee = Referee::new();
        let open =
            (0..1_000_000).take_while(|_| referee.confirms(b"<b>", Shown::Start(Tag::Other)));
        let open = open.count();
        assert!((100_000..1_000_000).contains(&open), "{open}");
    }
}
