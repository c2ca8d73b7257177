//! The tokens of a mail in document order: at lol_html's places what it says,
//! between them what our own scanner reads.
//!
//! lol_html shows no end tag without a start tag (a second `</body>`), no
//! comments and no text unless all of it is read slowly, and takes a mail's
//! placeholders for text. So what stands between two of its places is read by
//! [`Scanner`], but only where something in it can matter: from one of the
//! [`Sights`] to the next it is skimmed (see [`super::skim`]).
//!
//! Neither goes on alone. Where a token of the scanner runs over a place of
//! lol_html, or the scanner meets a tag that lol_html should have shown, the
//! two read the mail in different ways, as mail clients then will:
//! [`Step::Ambiguous`]. The same tells where lol_html gave up.

use std::ops::Range;

use crate::rewrite::find::Finder;
use crate::rewrite::scan::{Kind, Scanner, Step, Token};
use crate::rewrite::sight::{Names, Sights};
use crate::rewrite::skim::skim;
use crate::rewrite::walk::View;

/// How closely the walk looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// At every token.
    Close,
    /// What has no sights may come as one [`Kind::Plain`].
    Over,
}

/// The source of tokens.
pub(super) struct Markup {
    finder: Finder,
    scanner: Scanner,
    sights: Sights,
}

impl Markup {
    /// The tokens of an input that comes in pieces.
    pub(super) fn new() -> Self {
        Self::of(Sights::default(), Names::ALL)
    }

    /// The tokens of an input that is there as a whole.
    pub(super) fn of_whole(input: &[u8]) -> Self {
        let mut sights = Sights::default();
        sights.look_through(input, 0, true);
        let names = sights.names();
        Self::of(sights, names)
    }

    fn of(sights: Sights, names: Names) -> Self {
        Self {
            finder: Finder::new(names),
            scanner: Scanner::default(),
            sights,
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

    /// The first of the [`Sights`] at `at` or after it; those before are forgotten.
    pub(super) fn next_sight(&mut self, at: usize) -> usize {
        self.sights.next(at)
    }

    /// Takes in what the view has more than the one before.
    pub(super) fn feed(&mut self, view: &View<'_>) {
        let from = self.finder.fed() - view.base;
        self.finder.feed(&view.bytes[from..], view.last);
        self.sights.look_through(view.bytes, view.base, view.last);
    }

    /// The token at `at`, in bytes from the input's begin.
    pub(super) fn next(&mut self, view: &View<'_>, at: usize, look: Look) -> Step {
        let fed = self.finder.fed() - view.base;
        let here = at - view.base;
        if here >= fed {
            return Step::Unfinished;
        }
        let Some(place) = self.finder.next(at) else {
            let fed = View {
                bytes: &view.bytes[..fed],
                ..*view
            };
            return self.gap(&fed, at, look);
        };
        let (start, end) = (place.range.start - view.base, place.range.end - view.base);
        let is_end = place.is_end;
        if start == here {
            return self.place(&view.bytes[..end], here, is_end);
        }
        if self.scanner.in_text_only() {
            // lol_html says where the text ends: at the next place.
            return match is_end {
                true => token(Kind::Raw, here..start),
                false => Step::Ambiguous,
            };
        }
        let before_place = View {
            bytes: &view.bytes[..start],
            last: true,
            ..*view
        };
        match self.gap(&before_place, at, look) {
            Step::Unfinished => Step::Ambiguous,
            step => step,
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

    /// A token where lol_html shows none up to the view's end.
    fn gap(&mut self, view: &View<'_>, at: usize, look: Look) -> Step {
        if self.scanner.in_text_only() {
            return Step::Unfinished;
        }
        let here = at - view.base;
        if look == Look::Over {
            let until = (self.sights.next(at) - view.base).min(view.bytes.len());
            let came = skim(view.bytes, here, until);
            if came > here {
                return token(Kind::Plain, here..came);
            }
        }
        let step = self.scanner.next(view.bytes, here, view.last);
        if let Step::Token(token) = &step
            && let Kind::Start { tag, .. } = token.kind
            && tag.is_shown()
        {
            return Step::Ambiguous;
        }
        step
    }
}

fn token(kind: Kind, range: Range<usize>) -> Step {
    Step::Token(Token { kind, range })
}
