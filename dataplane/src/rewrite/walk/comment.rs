//! Conditional comments: what Outlook alone is shown, or everyone but Outlook.

use std::ops::Range;

use crate::rewrite::link::Place;
use crate::rewrite::outlook::{Conditional, conditional};
use crate::rewrite::pixel::{self, Found};
use crate::rewrite::scan::{Kind, Scanner, Step, Token};
use crate::rewrite::tag::Tag;
use crate::rewrite::twin::Half;
use crate::rewrite::walk::{View, Walk};

impl Walk {
    /// Conditional comments: links inside are Outlook's, and a comment may
    /// open or close what only others see.
    pub(super) fn comment(&mut self, view: &View<'_>, token: &Token) {
        self.nonblank = true;
        let bytes = &view.bytes[token.range.clone()];
        match conditional(bytes) {
            None => {}
            Some(Conditional::Opens) => self.links.twins.enter(Half::Revealed),
            Some(Conditional::Closes) => self.links.twins.leave(),
            Some(Conditional::Holds(inside)) if !self.is_inert() => {
                let shift = token.range.start;
                self.links.twins.enter(Half::Hidden);
                self.markup_of_outlook(view, inside.start + shift..inside.end + shift);
                self.links.twins.leave();
            }
            Some(Conditional::Holds(_)) => {}
        }
    }

    fn markup_of_outlook(&mut self, view: &View<'_>, inside: Range<usize>) {
        if self.markup.is_plain(view, &inside) {
            return;
        }
        let view = View {
            bytes: &view.bytes[..inside.end],
            base: view.base,
            last: true,
        };
        let mut scanner = Scanner::default();
        let mut at = inside.start;
        while at < inside.end {
            let Step::Token(token) = scanner.next(view.bytes, at, true) else {
                return;
            };
            at = token.range.end;
            let Kind::Start { tag, name_end } = token.kind else {
                continue;
            };
            match tag {
                Tag::A | Tag::Area | Tag::Vml => {
                    let place = Place {
                        tag,
                        range: token.range,
                        name_end,
                    };
                    self.links
                        .link(&view, &place, &scanner, &self.job, &mut self.edits);
                }
                Tag::Img => self.image_of_outlook(&view, &token.range, name_end),
                _ => {}
            }
        }
    }

    /// An image that Outlook alone shows: a pixel there is none of this mail's.
    fn image_of_outlook(&mut self, view: &View<'_>, at: &Range<usize>, name_end: usize) {
        let tag = &view.bytes[at.clone()];
        let Some(found) = pixel::recognise(tag, name_end - at.start, &self.job) else {
            return;
        };
        let range = view.base + at.start..view.base + at.end;
        // What is left must not become the comment's end.
        let stands_alone = at.start.checked_sub(1).is_none_or(|before| {
            let before = view.bytes[before];
            before == b'>' || before.is_ascii_whitespace()
        });
        match found {
            Found::Foreign if stands_alone => {
                self.edits.add(range, "");
                self.warn_of_foreign_pixel();
            }
            Found::Own(_) if stands_alone && !self.job.tracking.opens => self.edits.add(range, ""),
            Found::Foreign | Found::Own(_) => {}
        }
    }

    pub(super) fn hidden(&mut self, bytes: &[u8]) {
        self.nonblank = true;
        if bytes.starts_with(b"<![if") {
            self.links.twins.enter(Half::Revealed);
        } else if bytes.starts_with(b"<![endif]") {
            self.links.twins.leave();
        }
    }
}
