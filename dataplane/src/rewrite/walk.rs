//! The walk over a mail's markup: what stands where, and what becomes of it.

mod comment;
mod end;

use std::borrow::Cow;
use std::ops::Range;

use crate::rewrite::Job;
use crate::rewrite::link::{Flow, Links, Place};
use crate::rewrite::markup::{Look, Markup};
use crate::rewrite::pixel::{self, Found, Places};
use crate::rewrite::report::{Warning, WarningCode, warn_once, warning};
use crate::rewrite::scan::{Kind, PLACEHOLDERS, Step, Token};
use crate::rewrite::splice::Splices;
use crate::rewrite::tag::Tag;

/// A window of the input.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    /// Its bytes.
    pub(super) bytes: &'a [u8],
    /// Where it begins in the input.
    pub(super) base: usize,
    /// The input ends where it does.
    pub(super) last: bool,
}

/// Where edits go; a mail that must not change takes none.
#[derive(Debug)]
pub(super) struct Edits {
    pub(super) splices: Splices,
    frozen: bool,
}

/// The state of one rewrite. Positions are bytes from the input's begin.
pub(super) struct Walk {
    job: Job,
    markup: Markup,
    at: usize,
    edits: Edits,
    links: Links,
    places: Places,
    warnings: Vec<Warning>,
    regions: Regions,
    /// Something other than white space was there.
    nonblank: bool,
    given_up: bool,
    /// Placeholders of ours that were heeded, but for those of links.
    placeholders: usize,
    /// The byte before is a `<` that opened nothing: what is taken out behind
    /// it would make it open something.
    after_lt: bool,
}

/// Regions that swallow what is put into them: where each that is open began.
#[derive(Debug, Default)]
struct Regions {
    raw: Option<usize>,
    select: Option<usize>,
    template: Option<usize>,
    /// SVG or MathML, which an image would end.
    foreign: Option<usize>,
}

impl Edits {
    /// Replaces a range of the input.
    pub(super) fn add(&mut self, range: Range<usize>, with: impl Into<Cow<'static, str>>) {
        if !self.frozen {
            self.splices.add(range, with);
        }
    }
}

impl Regions {
    fn first(&self) -> Option<usize> {
        [self.raw, self.select, self.template, self.foreign]
            .into_iter()
            .flatten()
            .min()
    }
}

// === Walk ===

impl Walk {
    pub(super) fn new(job: Job, markup: Markup) -> Self {
        let frozen = !job.domain.verified;
        let mut warnings = Vec::new();
        if frozen {
            warnings.push(warning(
                WarningCode::HostUnverified,
                "the tracking host is not verified yet: the mail is unchanged",
            ));
        }
        Self {
            links: Links::new(&job),
            job,
            markup,
            at: 0,
            edits: Edits {
                splices: Splices::default(),
                frozen,
            },
            places: Places::default(),
            warnings,
            regions: Regions::default(),
            nonblank: false,
            given_up: false,
            placeholders: 0,
            after_lt: false,
        }
    }

    /// How much of the input is put out.
    pub(super) fn done(&self) -> usize {
        self.edits.splices.done()
    }

    /// Goes on to where the view ends, and says at which size of the input the
    /// next look is due: a token longer than what has come is looked at again
    /// when that has doubled, so that many blocks cost linear time.
    pub(super) fn look(&mut self, view: &View<'_>, block_bytes: usize) -> usize {
        self.advance(view);
        let size = view.base + view.bytes.len();
        size + block_bytes.max(size - self.at)
    }

    /// Goes on to where the view ends or more is needed.
    pub(super) fn advance(&mut self, view: &View<'_>) {
        let end = view.base + view.bytes.len();
        if !self.given_up {
            self.markup.feed(view);
        }
        while self.at < end {
            if self.given_up {
                self.at = end;
                return;
            }
            match self.markup.next(view, self.at, self.closeness()) {
                Step::Unfinished => return,
                Step::Ambiguous => self.give_up(),
                Step::Token(token) => {
                    if self.token(view, &token) == Flow::Wait {
                        return;
                    }
                    self.after_lt = view.bytes[token.range.end - 1] == b'<';
                    self.at = view.base + token.range.end;
                    self.track_regions(view.base + token.range.start);
                }
            }
        }
    }

    /// In visible content, text and most tags say nothing more.
    fn closeness(&self) -> Look {
        match self.has_content() && self.holds_pixel() {
            true => Look::Over,
            false => Look::Close,
        }
    }

    fn give_up(&mut self) {
        self.given_up = true;
        self.warnings.push(warning(
            WarningCode::Unparsable,
            "mail clients read this HTML in different ways: from there on it is unchanged",
        ));
    }

    fn token(&mut self, view: &View<'_>, token: &Token) -> Flow {
        match &token.kind {
            Kind::Text => self.text(view, token),
            Kind::Placeholder if !self.holds_pixel() => self.text(view, token),
            Kind::Placeholder => self.placeholder(view, token),
            Kind::Start { tag, name_end } => return self.start(view, token, *tag, *name_end),
            Kind::End { name } => self.end_tag(view, token, &view.bytes[name.clone()]),
            Kind::Comment => self.comment(view, token),
            Kind::Hidden => self.hidden(&view.bytes[token.range.clone()]),
            Kind::Plain => self.plain(&view.bytes[token.range.clone()]),
            Kind::Raw => {}
        }
        Flow::Next
    }

    /// Text and tags of no account part links that would be twins.
    fn plain(&mut self, bytes: &[u8]) {
        if self.links.awaits_twin() && !bytes.iter().all(u8::is_ascii_whitespace) {
            self.links.twins.part();
        }
    }

    /// Whether what stands here is no part of what the reader sees.
    fn is_inert(&self) -> bool {
        self.markup.scanner().in_template()
            || self.markup.scanner().in_select()
            || self.markup.scanner().in_frameset()
    }

    /// Whether an image put in here is one.
    fn holds_pixel(&self) -> bool {
        !self.is_inert() && !self.markup.scanner().in_foreign()
    }

    fn track_regions(&mut self, start: usize) {
        // One that begins inside another may outlast it (`<select><math></select>`):
        // a place before it is then still inside the other.
        let start = self.regions.first().unwrap_or(start);
        let keep = |open: bool, since: Option<usize>| open.then(|| since.unwrap_or(start));
        let scanner = self.markup.scanner();
        self.regions.raw = keep(scanner.in_raw(), self.regions.raw);
        self.regions.select = keep(scanner.in_select(), self.regions.select);
        self.regions.foreign = keep(scanner.in_foreign(), self.regions.foreign);
        self.regions.template = keep(scanner.in_template(), self.regions.template);
    }

    fn text(&mut self, view: &View<'_>, token: &Token) {
        if self.has_content() && !self.links.awaits_twin() {
            return;
        }
        let from = view.base + token.range.start;
        let shows = |(at, byte): &(usize, &u8)| !byte.is_ascii_whitespace() && !is_bom(*at, **byte);
        let text = (from..).zip(&view.bytes[token.range.clone()]);
        if let Some((at, _)) = text.clone().find(shows) {
            self.nonblank = true;
            self.begin_content(at);
            self.links.twins.part();
        }
    }

    /// Whether the body's content has begun.
    fn has_content(&self) -> bool {
        self.places.top.is_some()
    }

    fn begin_content(&mut self, at: usize) {
        if !self.markup.scanner().in_template() {
            self.places.top.get_or_insert(at);
        }
    }

    fn placeholder(&mut self, view: &View<'_>, token: &Token) {
        let range = view.base + token.range.start..view.base + token.range.end;
        self.nonblank = true;
        self.begin_content(range.start);
        let text = &view.bytes[token.range.clone()];
        if self.after_lt && !self.wants_pixel() {
            return;
        }
        self.placeholders += usize::from(text == PLACEHOLDERS[0]);
        if self.wants_pixel() {
            let url = pixel::url(&self.job);
            self.edits.add(range, pixel::markup(&url));
            self.places.placed = Some(url);
        } else {
            self.take_out(range);
        }
    }

    fn take_out(&mut self, range: Range<usize>) {
        if !self.after_lt {
            self.edits.add(range, "");
        }
    }

    /// Whether a pixel shall be put in and is not there yet.
    fn wants_pixel(&self) -> bool {
        self.job.tracking.opens && !self.edits.frozen && self.places.placed.is_none()
    }

    fn start(&mut self, view: &View<'_>, token: &Token, tag: Tag, name_end: usize) -> Flow {
        let (start, end) = (view.base + token.range.start, view.base + token.range.end);
        if matches!(tag, Tag::A | Tag::Area | Tag::Vml) && !self.is_inert() {
            let place = Place {
                tag,
                range: token.range.clone(),
                name_end,
            };
            let flow = self.links.link(
                view,
                &place,
                self.markup.scanner(),
                &self.job,
                &mut self.edits,
            );
            if flow == Flow::Wait {
                return Flow::Wait;
            }
        } else {
            self.links.twins.part();
        }
        self.nonblank = true;
        match tag {
            Tag::Img if !self.is_inert() => self.image(view, &token.range, name_end),
            Tag::Frameset if !self.has_content() => self.markup.enter_frameset(),
            _ => {}
        }
        if tag.is_content() {
            self.begin_content(if tag == Tag::Body { end } else { start });
        }
        Flow::Next
    }

    fn image(&mut self, view: &View<'_>, at: &Range<usize>, name_end: usize) {
        let (tag, name_end) = (&view.bytes[at.clone()], name_end - at.start);
        let range = view.base + at.start..view.base + at.end;
        match pixel::recognise(tag, name_end, &self.job) {
            None => {}
            Some(Found::Own(url)) if self.job.tracking.opens => self.places.placed = Some(url),
            Some(Found::Own(_)) => self.take_out(range),
            Some(Found::Foreign) => {
                self.take_out(range);
                self.warn_of_foreign_pixel();
            }
        }
    }

    fn warn_of_foreign_pixel(&mut self) {
        warn_once(
            &mut self.warnings,
            WarningCode::ForeignPixel,
            "a pixel of another message was removed: it would open that message",
        );
    }

    fn end_tag(&mut self, view: &View<'_>, token: &Token, name: &[u8]) {
        self.nonblank = true;
        self.links.twins.part();
        let start = view.base + token.range.start;
        if !self.holds_pixel() {
            // Parsers pass over such an end tag here.
        } else if name.eq_ignore_ascii_case(b"body") {
            self.places.bottom = Some(start);
        } else if name.eq_ignore_ascii_case(b"html") {
            self.places.html_end = Some(start);
        }
    }

    /// Puts out what is certain.
    pub(super) fn flush(&mut self, view: &View<'_>, out: &mut Vec<u8>) {
        let until = self.at.min(self.hold().unwrap_or(self.at));
        self.edits
            .splices
            .flush(view.bytes, view.base, until.max(self.done()), out);
    }

    /// The first place where the pixel may have to go.
    fn hold(&self) -> Option<usize> {
        if !self.wants_pixel() || self.given_up {
            return None;
        }
        let top = match self.job.tracking.pixel {
            mailtrail_core::config::PixelPlacement::Bottom => None,
            _ => self.places.top,
        };
        let bottom = self.places.bottom.or(self.places.html_end);
        [top, bottom, self.regions.first()]
            .into_iter()
            .flatten()
            .min()
    }
}

/// Whether a byte belongs to the byte order mark at the input's begin.
fn is_bom(at: usize, byte: u8) -> bool {
    "\u{feff}".as_bytes().get(at) == Some(&byte)
}
