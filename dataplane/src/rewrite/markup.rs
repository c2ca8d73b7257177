//! The tokens of a mail in document order: our scanner reads them, lol_html
//! confirms them.
//!
//! From one of the [`Sights`] to the next, in ordinary content, a mail is
//! skimmed (see [`super::skim`]): text and tags of no account are passed over.
//! Every other token is read by [`Scanner`] and shown to the [`Referee`], text
//! of ordinary content apart. Where lol_html does not find what we read, mail
//! clients will read the mail in different ways too: [`Step::Ambiguous`].

use std::ops::Range;

use memchr::memchr_iter;

use crate::rewrite::referee::{Referee, Shown};
use crate::rewrite::scan::{Kind, Scanner, Step, Token};
use crate::rewrite::sight::{Sights, is_sight};
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
    scanner: Scanner,
    sights: Sights,
    referee: Referee,
}

impl Markup {
    pub(super) fn new() -> Self {
        Self {
            scanner: Scanner::default(),
            sights: Sights::default(),
            referee: Referee::new(),
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

    /// Whether there is no sight from `range.start` up to `range.end`; those
    /// before are forgotten.
    pub(super) fn is_plain(&mut self, view: &View<'_>, range: &Range<usize>) -> bool {
        let bytes = &view.bytes[range.clone()];
        self.sights.next(view.base + range.start) >= view.base + range.end
            && !memchr_iter(b'<', bytes).any(|at| is_sight(&bytes[at..]))
    }

    /// How many placeholders of ours were seen, wherever they stand.
    pub(super) fn own_placeholders(&self) -> usize {
        self.sights.own_placeholders()
    }

    /// Takes in what the view has more than the one before.
    pub(super) fn feed(&mut self, view: &View<'_>) {
        self.sights.look_through(view.bytes, view.base, view.last);
    }

    /// The token at `at`, in bytes from the input's begin.
    pub(super) fn next(&mut self, view: &View<'_>, at: usize, look: Look) -> Step {
        let here = at - view.base;
        if look == Look::Over && !self.scanner.in_raw() {
            let until = (self.sights.next(at) - view.base).min(view.bytes.len());
            let came = skim(view.bytes, here, until);
            if came > here {
                return token(Kind::Plain, here..came);
            }
        }
        let (in_text, in_foreign) = (self.scanner.in_raw(), self.scanner.in_foreign());
        let step = self.scanner.next(view.bytes, here, view.last);
        let (bytes, shown) = match &step {
            Step::Token(token) => match token.kind {
                Kind::Text | Kind::Placeholder if !in_foreign => return step,
                _ => (
                    &view.bytes[token.range.clone()],
                    shown(&token.kind, in_text),
                ),
            },
            // What is unclosed swallows the rest.
            Step::Unfinished if view.last => (&view.bytes[here..], Shown::NoTag),
            Step::Unfinished | Step::Ambiguous => return step,
        };
        match self.referee.confirms(bytes, shown) {
            true => step,
            false => Step::Ambiguous,
        }
    }
}

/// What lol_html shall find in a token; `in_text` says that it follows the text
/// of an element that holds text alone.
fn shown(kind: &Kind, in_text: bool) -> Shown {
    match kind {
        Kind::Start { tag, .. } => Shown::Start(*tag),
        Kind::End { .. } if in_text => Shown::EndOfText,
        Kind::End { .. } => Shown::End,
        Kind::Text | Kind::Placeholder | Kind::Comment | Kind::Hidden | Kind::Raw | Kind::Plain => {
            Shown::NoTag
        }
    }
}

fn token(kind: Kind, range: Range<usize>) -> Step {
    Step::Token(Token { kind, range })
}
