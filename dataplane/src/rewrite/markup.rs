//! The tokens of a mail in document order: at lol_html's places what it says,
//! between them what our own scanner reads.
//!
//! lol_html shows no end tag without a start tag (a second `</body>`), no
//! comments and no text unless all of it is read slowly, and takes a mail's
//! placeholders for text. So the stretch between two of its places is read by
//! [`Scanner`], but only where something in it can matter: see [`is_plain`].
//!
//! Neither goes on alone. Where a token of the scanner runs over a place of
//! lol_html, or the scanner meets a tag that lol_html should have shown, the
//! two read the mail in different ways, as mail clients then will:
//! [`Step::Ambiguous`]. The same tells where lol_html gave up.

use std::sync::LazyLock;

use memchr::{memchr2_iter, memmem};

use crate::rewrite::find::{self, Finder};
use crate::rewrite::scan::{Kind, Scanner, Step, Token};
use crate::rewrite::walk::View;

/// How closely the walk looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// At every token.
    Close,
    /// What [`is_plain`] may come as one [`Kind::Plain`].
    Over,
}

/// The source of tokens.
pub(super) struct Markup {
    finder: Finder,
    scanner: Scanner,
    /// Up to here every token is looked at: the stretch is not plain.
    close_until: usize,
}

impl Markup {
    pub(super) fn new() -> Self {
        Self {
            finder: Finder::new(),
            scanner: Scanner::default(),
            close_until: 0,
        }
    }

    /// What is known of the place that the walk is at.
    pub(super) fn scanner(&self) -> &Scanner {
        &self.scanner
    }

    /// Says that a `frameset` start tag stood where it makes a frameset.
    pub(super) fn enter_frameset(&mut self) {
        self.scanner.enter_frameset();
    }

    /// Takes in what the view has more than the one before.
    pub(super) fn feed(&mut self, view: &View<'_>) {
        let from = self.finder.fed() - view.base;
        self.finder.feed(&view.bytes[from..], view.last);
    }

    /// The token at `at`, in bytes from the input's begin.
    pub(super) fn next(&mut self, view: &View<'_>, at: usize, look: Look) -> Step {
        let fed = self.finder.fed() - view.base;
        let here = at - view.base;
        if here >= fed {
            return Step::Unfinished;
        }
        match self.finder.next(at) {
            None => self.between(&view.bytes[..fed], here, view.last),
            Some(place) => {
                let (start, end) = (place.range.start - view.base, place.range.end - view.base);
                let is_end = place.is_end;
                if start == here {
                    return self.place(&view.bytes[..end], here, is_end);
                }
                let look = match at < self.close_until {
                    true => Look::Close,
                    false => look,
                };
                let step = self.gap(&view.bytes[..start], here, is_end, look);
                if !matches!(&step, Step::Token(token) if token.kind == Kind::Plain) {
                    self.close_until = view.base + start;
                }
                step
            }
        }
    }

    /// The tag at `at`, which ends where the window does.
    fn place(&mut self, window: &[u8], at: usize, is_end: bool) -> Step {
        if self.scanner.in_text_only() && !(is_end && self.scanner.end_text(window, at)) {
            return Step::Ambiguous;
        }
        match self.scanner.next(window, at, true) {
            Step::Token(token) if token.range.end == window.len() => match token.kind {
                Kind::Start { .. } if !is_end => Step::Token(token),
                Kind::End { .. } if is_end => Step::Token(token),
                _ => Step::Ambiguous,
            },
            _ => Step::Ambiguous,
        }
    }

    /// A token of what stands before a place, where the window ends.
    fn gap(&mut self, window: &[u8], at: usize, before_end: bool, look: Look) -> Step {
        if self.scanner.in_text_only() {
            // lol_html says where the text ends: at the next place.
            return match before_end {
                true => Step::Token(Token {
                    kind: Kind::Raw,
                    range: at..window.len(),
                }),
                false => Step::Ambiguous,
            };
        }
        if look == Look::Over && is_plain(&window[at..]) {
            return Step::Token(Token {
                kind: Kind::Plain,
                range: at..window.len(),
            });
        }
        match self.between(window, at, true) {
            Step::Unfinished => Step::Ambiguous,
            step => step,
        }
    }

    /// A token where lol_html shows none.
    fn between(&mut self, window: &[u8], at: usize, last: bool) -> Step {
        if self.scanner.in_text_only() {
            return Step::Unfinished;
        }
        let step = self.scanner.next(window, at, last);
        if let Step::Token(token) = &step
            && let Kind::Start { name_end, .. } = token.kind
            && find::shows(&window[at + 1..name_end])
        {
            return Step::Ambiguous;
        }
        step
    }
}

/// Whether markup holds nothing but text and tags that a walk over visible
/// content passes over: no comment or declaration, no end tag of `body` or
/// `html`, no placeholder, no pixel of ours.
fn is_plain(markup: &[u8]) -> bool {
    static PIXEL_PATH: LazyLock<memmem::Finder<'_>> = LazyLock::new(|| memmem::Finder::new("/o/"));
    let shows = |at: usize| match &markup[at..] {
        [b'{', b'{', ..] | [b'<', b'!', ..] => true,
        [b'<', b'/', name @ ..] => name.get(..4).is_some_and(|name| {
            name.eq_ignore_ascii_case(b"body") || name.eq_ignore_ascii_case(b"html")
        }),
        _ => false,
    };
    !memchr2_iter(b'<', b'{', markup).any(shows) && PIXEL_PATH.find(markup).is_none()
}
