//! Markup into tokens with their places: the tokenizer of the HTML standard
//! (13.2.5), as far as places need it, with the parts of tree construction
//! that change how bytes are read (raw text, foreign content).
//!
//! It reads as mail clients do, with scripting off: `<noscript>` holds markup.
//! It keeps no text and copies nothing; a caller gives a window of the input
//! and gets ranges of it. Whatever the bytes, every call returns a token that
//! is not empty, or says that more input is needed.

mod ends;

use std::ops::Range;

use memchr::{memchr, memchr2, memmem};

use crate::rewrite::foreign::Foreign;
use crate::rewrite::tag::{Attributes, Tag, is_space};
use ends::{comment_end, raw_end, script_end};

/// What stands at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text, or what counts as text (CDATA of foreign content).
    Text,
    /// A placeholder for the pixel, within text.
    Placeholder,
    /// A start tag; its name ends at `name_end`.
    Start { tag: Tag, name_end: usize },
    /// An end tag.
    End { name: Range<usize> },
    /// A comment `<!--…-->`, with its delimiters.
    Comment,
    /// Markup that no parser shows: `<!doctype>`, `<![if …]>`, `<?xml …>`, `</>`.
    Hidden,
    /// The content of `script`, `style`, `title` and their like.
    Raw,
    /// Text and tags of no account.
    Plain,
}

/// A token: what and where, in offsets of the window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) range: Range<usize>,
}

/// One step through the window.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A token; the next one begins at its end.
    Token(Token),
    /// The token goes on past the window: more input is needed, and at the
    /// end of input it is unclosed and swallows the rest.
    Unfinished,
    /// Parsers disagree on what follows (see [`Scanner`]).
    Ambiguous,
}

/// What is known of the markup so far. Cheap to clone.
///
/// Where parsers in use disagree (an element of raw text within `select`, or
/// after `frameset`: older ones ignore its start tag, newer ones do not) it
/// says [`Step::Ambiguous`] and is of no further use.
#[derive(Debug, Clone, Default)]
pub(super) struct Scanner {
    mode: Mode,
    /// Raw text has ended, its end tag is yet to come as a whole.
    closes_raw: bool,
    foreign: Foreign,
    in_select: bool,
    in_frameset: bool,
    /// For each open `template`: the depth of `foreign` and `in_select` around it.
    templates: Vec<(usize, bool)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Mode {
    #[default]
    Data,
    /// Raw text until the end tag of this name.
    Raw(&'static str),
    Script,
    Plaintext,
}

/// Texts that a template holds where its pixel shall go (TRACKING.md, 61).
pub(super) const PLACEHOLDERS: [&[u8]; 2] = [b"{{mailtrail:pixel}}", b"{{ses:openTracker}}"];

// === Scanner ===

impl Scanner {
    /// Whether the next token is in SVG.
    pub(super) fn in_svg(&self) -> bool {
        self.foreign.in_svg()
    }

    /// Whether a foreign element is open, or HTML within one.
    pub(super) fn in_foreign(&self) -> bool {
        !self.foreign.is_empty()
    }

    /// Whether the next token is in a `template`, which shows nothing.
    pub(super) fn in_template(&self) -> bool {
        !self.templates.is_empty()
    }

    /// Whether the next token is in a `select`, where links are no links.
    pub(super) fn in_select(&self) -> bool {
        self.in_select
    }

    /// Whether the document turned out to be a frameset.
    pub(super) fn in_frameset(&self) -> bool {
        self.in_frameset
    }

    /// Says that a `frameset` start tag stood where it makes a frameset.
    pub(super) fn enter_frameset(&mut self) {
        self.in_frameset = true;
    }

    /// Whether raw text is not closed yet by its end tag.
    pub(super) fn in_raw(&self) -> bool {
        self.mode != Mode::Data || self.closes_raw
    }

    /// The token at `at`, which must lie within `window`. `last` says that the
    /// input ends where the window does.
    pub(super) fn next(&mut self, window: &[u8], at: usize, last: bool) -> Step {
        let found = match self.mode {
            Mode::Data if window[at] == b'<' => return self.markup(window, at, last),
            Mode::Data => text(window, at, last),
            Mode::Plaintext => None,
            Mode::Raw(name) => raw_end(window, at, name.as_bytes()).map(|end| (Kind::Raw, end)),
            Mode::Script => script_end(window, at).map(|end| (Kind::Raw, end)),
        };
        match found {
            Some((Kind::Raw, end)) => {
                self.mode = Mode::Data;
                self.closes_raw = true;
                if end == at {
                    return self.markup(window, at, last);
                }
                token(Kind::Raw, at..end)
            }
            Some((kind, end)) => token(kind, at..end),
            None => Step::Unfinished,
        }
    }

    fn markup(&mut self, window: &[u8], at: usize, last: bool) -> Step {
        match window.get(at + 1) {
            Some(byte) if byte.is_ascii_alphabetic() => self.start(window, at),
            Some(b'/') => self.end(window, at),
            Some(b'!') => self.declaration(window, at, last),
            Some(b'?') => upto_gt(window, at + 1, at),
            Some(_) => text_after(window, at, last),
            None if last => token(Kind::Text, at..at + 1),
            None => Step::Unfinished,
        }
    }

    fn start(&mut self, window: &[u8], at: usize) -> Step {
        let name = at + 1..name_end(window, at + 1);
        let mut attributes = Attributes::new(window, name.end);
        for _ in attributes.by_ref() {}
        let Some(close) = attributes.close() else {
            return Step::Unfinished;
        };
        let tag = Tag::of(&window[name.clone()]);
        if !self.enter(tag, window, name.clone(), close.self_closing) {
            return Step::Ambiguous;
        }
        let name_end = name.end;
        token(Kind::Start { tag, name_end }, at..close.end)
    }

    fn end(&mut self, window: &[u8], at: usize) -> Step {
        match window.get(at + 2) {
            Some(byte) if byte.is_ascii_alphabetic() => {}
            Some(_) => return upto_gt(window, at + 2, at),
            // At the input's end this is text, which what is put behind it would change.
            None => return Step::Unfinished,
        }
        let name = at + 2..name_end(window, at + 2);
        let mut attributes = Attributes::new(window, name.end);
        for _ in attributes.by_ref() {}
        let Some(close) = attributes.close() else {
            return Step::Unfinished;
        };
        self.closes_raw = false;
        if !self.leave(&window[name.clone()]) {
            return Step::Ambiguous;
        }
        token(Kind::End { name }, at..close.end)
    }

    fn declaration(&self, window: &[u8], at: usize, last: bool) -> Step {
        let rest = &window[at + 2..];
        if rest.starts_with(b"--") {
            return match comment_end(window, at + 4) {
                Some(end) => token(Kind::Comment, at..end),
                None => Step::Unfinished,
            };
        }
        if self.foreign.applies() && rest.starts_with(b"[CDATA[") {
            return match memmem::find(rest, b"]]>") {
                Some(length) => token(Kind::Text, at..at + 2 + length + 3),
                None => Step::Unfinished,
            };
        }
        if !last
            && (b"--".starts_with(rest) || self.foreign.applies() && b"[CDATA[".starts_with(rest))
        {
            return Step::Unfinished;
        }
        upto_gt(window, at + 2, at)
    }

    /// What a start tag changes; `false` where parsers disagree on that.
    fn enter(&mut self, tag: Tag, window: &[u8], name: Range<usize>, self_closing: bool) -> bool {
        if !self.foreign.start(tag, window, name, self_closing) {
            return true;
        }
        match tag {
            Tag::Template => {
                self.templates.push((self.foreign.depth(), self.in_select));
                self.in_select = false;
            }
            Tag::Select => self.in_select = !self.in_select,
            Tag::Input => self.in_select = false,
            Tag::Script if !self.in_frameset => self.mode = Mode::Script,
            Tag::Textarea if !self.in_frameset => {
                self.in_select = false;
                self.mode = Mode::Raw("textarea");
            }
            Tag::Noframes if !self.in_select => self.mode = Mode::Raw("noframes"),
            _ => match raw_mode(tag) {
                Some(_) if self.in_select || self.in_frameset => return false,
                Some(mode) => self.mode = mode,
                None => {}
            },
        }
        true
    }

    /// What an end tag changes; `false` where that is not known.
    fn leave(&mut self, name: &[u8]) -> bool {
        if name.eq_ignore_ascii_case(b"select") {
            self.in_select = false;
        }
        if name.eq_ignore_ascii_case(b"template")
            && let Some((depth, in_select)) = self.templates.pop()
        {
            self.foreign.close_to(depth);
            self.in_select = in_select;
            true
        } else {
            self.foreign.end(name)
        }
    }
}

// === Steps within a token ===

fn token(kind: Kind, range: Range<usize>) -> Step {
    Step::Token(Token { kind, range })
}

/// Text from `at`, up to markup or a placeholder, or a placeholder.
fn text(window: &[u8], at: usize, last: bool) -> Option<(Kind, usize)> {
    let mut from = at;
    loop {
        let Some(found) = memchr2(b'<', b'{', &window[from..]).map(|offset| from + offset) else {
            return Some((Kind::Text, window.len()));
        };
        let rest = &window[found..];
        if rest[0] == b'<' {
            return Some((Kind::Text, found));
        }
        if let Some(whole) = PLACEHOLDERS.iter().find(|p| rest.starts_with(p)) {
            return Some(match found {
                _ if found == at => (Kind::Placeholder, at + whole.len()),
                _ => (Kind::Text, found),
            });
        }
        if !last && PLACEHOLDERS.iter().any(|p| p.starts_with(rest)) {
            return (found > at).then_some((Kind::Text, found));
        }
        from = found + 1;
    }
}

/// Text that begins with a `<` that opens nothing.
fn text_after(window: &[u8], at: usize, last: bool) -> Step {
    match window.get(at + 1) {
        Some(b'<') | None => token(Kind::Text, at..at + 1),
        Some(_) => match text(window, at + 1, last) {
            Some((Kind::Text, end)) => token(Kind::Text, at..end),
            _ => token(Kind::Text, at..at + 1),
        },
    }
}

fn upto_gt(window: &[u8], from: usize, at: usize) -> Step {
    match memchr(b'>', &window[from..]) {
        Some(length) => token(Kind::Hidden, at..from + length + 1),
        None => Step::Unfinished,
    }
}

/// The end of a tag's name that begins at `from`.
pub(super) fn name_end(window: &[u8], from: usize) -> usize {
    let ends = |b: &u8| is_space(*b) || matches!(b, b'/' | b'>');
    let length = window[from..].iter().position(ends);
    length.map_or(window.len(), |length| from + length)
}

// === Names that change how bytes are read ===

fn raw_mode(tag: Tag) -> Option<Mode> {
    Some(match tag {
        Tag::Script => Mode::Script,
        Tag::Plaintext => Mode::Plaintext,
        Tag::Style => Mode::Raw("style"),
        Tag::Title => Mode::Raw("title"),
        Tag::Textarea => Mode::Raw("textarea"),
        Tag::Xmp => Mode::Raw("xmp"),
        Tag::Iframe => Mode::Raw("iframe"),
        Tag::Noembed => Mode::Raw("noembed"),
        Tag::Noframes => Mode::Raw("noframes"),
        _ => return None,
    })
}
