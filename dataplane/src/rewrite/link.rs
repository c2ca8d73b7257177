//! One link: read, decided, given its URL, reported.

use std::ops::Range;

use mailtrail_core::character_reference::{decode_attribute, encode_attribute};
use mailtrail_core::config::LinkChoice;
use mailtrail_core::id::LinkPosition;
use mailtrail_core::link::URL_MAX_CHARS;
use mailtrail_core::message::RecordedLink;
use mailtrail_core::policy::{Decision, LinkFacts, Reason};
use mailtrail_core::target::Target;
use memchr::memmem;

use crate::rewrite::anchor::{AnchorText, anchor_text};
use crate::rewrite::mark::{Marked, OPTED_OUT_TRACE};
use crate::rewrite::report::{Part, ReportedLink, Warning, WarningCode, warn_once};
use crate::rewrite::scan::Scanner;
use crate::rewrite::tag::Tag;
use crate::rewrite::twin::{Half, Twins};
use crate::rewrite::urls::Urls;
use crate::rewrite::walk::{Edits, View};
use crate::rewrite::{Counted, Job};

/// The whole value of a link that lets the reader withdraw.
pub(super) const OPT_OUT_PLACEHOLDER: &str = "{{mailtrail:optout}}";

pub(super) const OPT_OUT_WITHOUT_RECIPIENT: &str =
    "{{mailtrail:optout}} needs a recipient in the request: it was left";

/// Whether the walk can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// To the next token.
    Next,
    /// Not before there is more input: nothing was done.
    Wait,
}

/// Where a link's start tag stands in the view.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) tag: Tag,
    pub(super) range: Range<usize>,
    pub(super) name_end: usize,
}

/// The links of a mail so far.
#[derive(Debug)]
pub(super) struct Links {
    pub(super) twins: Twins,
    pub(super) reported: Vec<ReportedLink>,
    pub(super) recorded: Vec<RecordedLink>,
    pub(super) warnings: Vec<Warning>,
    pub(super) counted: Counted,
    /// Placeholders of ours among the addresses.
    pub(super) placeholders: usize,
    /// Whether a link's text can matter.
    reads_text: bool,
    urls: Urls,
}

/// A link's value as the sender meant it.
struct Value<'a> {
    raw: &'a [u8],
    decoded: &'a str,
    /// Where it stands in the input.
    range: Range<usize>,
}

/// What becomes of a link.
enum Verdict {
    Tracked(Target),
    Left(Reason, Option<String>),
}

impl Links {
    pub(super) fn new(job: &Job) -> Self {
        Self {
            twins: Twins::default(),
            reported: Vec::new(),
            recorded: Vec::new(),
            warnings: Vec::new(),
            counted: Counted::default(),
            placeholders: 0,
            reads_text: job.tracking.clicks && job.domain.clicks.url_text == LinkChoice::Leave,
            urls: Urls::default(),
        }
    }

    /// Whether text between here and the next link matters.
    pub(super) fn awaits_twin(&self) -> bool {
        self.twins.awaits()
    }

    /// Treats one start tag of a link.
    pub(super) fn link(
        &mut self,
        view: &View<'_>,
        place: &Place,
        scanner: &Scanner,
        job: &Job,
        edits: &mut Edits,
    ) -> Flow {
        let tag = &view.bytes[place.range.clone()];
        let name_end = place.name_end - place.range.start;
        let mut marked = Marked::read(tag, name_end, scanner.in_svg());
        let text = match self.text(view, place, scanner, &marked) {
            AnchorText::Wait => return Flow::Wait,
            AnchorText::Is(text) => text,
        };
        let start = view.base + place.range.start;
        let Some(range) = marked.value.clone() else {
            self.twins.part();
            clean(&marked, start, edits);
            return Flow::Next;
        };
        let hides = self.twins.awaits() && memmem::find(tag, b"mso-hide").is_some();
        match hides {
            true => self.twins.enter(Half::Revealed),
            false => self.twins.part(),
        }
        let decoded = decode_attribute(&tag[range.clone()]);
        let value = Value {
            raw: &tag[range.clone()],
            decoded: &decoded,
            range: start + range.start..start + range.end,
        };
        let element = String::from_utf8_lossy(&tag[1..name_end]).to_ascii_lowercase();
        let scheme_cleaned = self.value(&value, element, &marked, text.as_deref(), job, edits);
        marked.untraced |= scheme_cleaned && !marked.is_traced(tag);
        clean(&marked, start, edits);
        if hides {
            self.twins.leave();
        }
        Flow::Next
    }

    fn text(
        &self,
        view: &View<'_>,
        place: &Place,
        scanner: &Scanner,
        marked: &Marked,
    ) -> AnchorText {
        let wanted = self.reads_text
            && place.tag == Tag::A
            && !marked.marks.opted_out
            && !marked.marks.track;
        if !wanted || marked.value.is_none() {
            return AnchorText::Is(None);
        }
        anchor_text(view, place.range.end, scanner.clone())
    }

    /// Decides, writes and reports; says whether an opt-out scheme was taken out.
    fn value(
        &mut self,
        value: &Value<'_>,
        element: String,
        marked: &Marked,
        text: Option<&str>,
        job: &Job,
        edits: &mut Edits,
    ) -> bool {
        let trimmed = value.decoded.trim_matches(|c: char| c <= ' ');
        let mut opt_out = None;
        if is_opt_out_placeholder(trimmed) {
            self.placeholders += usize::from(memmem::find(value.raw, b"{{").is_some());
            opt_out = self.opt_out_link(value, job, edits);
        }
        if looks_quoted_printable(value.raw) {
            warn_once(
                &mut self.warnings,
                WarningCode::LooksQuotedPrintable,
                "the HTML looks quoted-printable: decode it first",
            );
        }
        let verdict = self.verdict(value, marked, text, job);
        let shown = match &verdict {
            Verdict::Tracked(target) => target.as_str(),
            Verdict::Left(..) => trimmed,
        };
        let twin = self.twins.take(shown);
        let position = twin.unwrap_or_else(|| self.counted.next_position());
        let mut link = ReportedLink {
            position,
            part: Part::Html,
            element: Some(element),
            target: shown.to_owned(),
            tracked: false,
            url: None,
            reason: None,
            name: marked.name.clone(),
        };
        let mut scheme_cleaned = false;
        match self.conclude(verdict, position, marked.app, job) {
            Ok((target, url)) => {
                edits.add(value.range.clone(), url.clone());
                (link.tracked, link.url) = (true, Some(url));
                self.record(position, target, &marked.name);
            }
            Err((reason, cleaned)) => {
                link.reason = Some(match opt_out {
                    Some(_) => Reason::OptOutLink,
                    None => reason,
                });
                link.url = opt_out;
                if let Some(cleaned) = cleaned {
                    clean_scheme(value, &cleaned, edits);
                    scheme_cleaned = true;
                }
            }
        }
        self.counted.last_position = self.counted.last_position.max(position.0);
        if twin.is_none() {
            self.twins.remember(&link.target, position);
        }
        self.reported.push(link);
        scheme_cleaned
    }

    fn verdict(
        &mut self,
        value: &Value<'_>,
        marked: &Marked,
        text: Option<&str>,
        job: &Job,
    ) -> Verdict {
        // What another charset means by these bytes is not known here.
        if std::str::from_utf8(value.raw).is_err() {
            return Verdict::Left(Reason::Invalid, None);
        }
        let facts = LinkFacts {
            value: value.decoded,
            text,
            marks: marked.marks,
            tracked_before: self.counted.tracked,
        };
        match job.link_policy(Part::Html).decide(&facts) {
            Decision::Track { target, foreign } => {
                if foreign {
                    self.warn(
                        WarningCode::ForeignLink,
                        "a tracked link of another message was tracked anew for this one",
                    );
                }
                Verdict::Tracked(target)
            }
            Decision::Leave { reason, cleaned } => {
                self.warn_of(reason);
                Verdict::Left(reason, cleaned)
            }
        }
    }

    fn warn_of(&mut self, reason: Reason) {
        match reason {
            Reason::SchemelessHost => self.warn(
                WarningCode::SchemelessHost,
                "a link has a host but no scheme, such as www.example.com: mail clients may not open it",
            ),
            Reason::TooMany => self.warn(
                WarningCode::TooManyLinks,
                "the mail has more links than the domain tracks: the rest is left",
            ),
            // An earlier rewrite tracked it: it counts against the cap again.
            Reason::AlreadyTracked => self.counted.tracked += 1,
            _ => {}
        }
    }

    fn warn(&mut self, code: WarningCode, detail: &str) {
        warn_once(&mut self.warnings, code, detail);
    }

    /// The tracking URL, or why there is none.
    fn conclude(
        &mut self,
        verdict: Verdict,
        position: LinkPosition,
        app: bool,
        job: &Job,
    ) -> Result<(Target, String), (Reason, Option<String>)> {
        let target = match verdict {
            Verdict::Left(reason, cleaned) => return Err((reason, cleaned)),
            Verdict::Tracked(target) => target,
        };
        if target.as_str().len() > URL_MAX_CHARS {
            return Err((Reason::TooLong, None));
        }
        let url = match app {
            true => self.urls.app(job, position, &target),
            false => self.urls.click(job, position, &target),
        };
        if url.len() > URL_MAX_CHARS {
            return Err((Reason::TooLong, None));
        }
        Ok((target, url))
    }

    fn record(&mut self, position: LinkPosition, target: Target, name: &Option<String>) {
        if self
            .recorded
            .last()
            .is_some_and(|last| last.position >= position)
            && self
                .recorded
                .iter()
                .rev()
                .any(|link| link.position == position)
        {
            return;
        }
        self.counted.tracked += 1;
        self.recorded.push(RecordedLink {
            position,
            target,
            name: name.clone(),
        });
    }

    /// Gives the reader the link to withdraw, which is no tracked link.
    fn opt_out_link(&mut self, value: &Value<'_>, job: &Job, edits: &mut Edits) -> Option<String> {
        let url = job.opt_out_url();
        match &url {
            _ if !job.domain.verified => return None,
            Some(url) => edits.add(value.range.clone(), url.clone()),
            None => self.warn(
                WarningCode::OptOutWithoutRecipient,
                OPT_OUT_WITHOUT_RECIPIENT,
            ),
        }
        url
    }
}

/// Takes markers and names out, and leaves the trace of an opt-out.
fn clean(marked: &Marked, start: usize, edits: &mut Edits) {
    for range in &marked.removed {
        edits.add(start + range.start..start + range.end, "");
    }
    if marked.untraced {
        edits.add(start + marked.end..start + marked.end, OPTED_OUT_TRACE);
    }
}

/// Takes `+notrack` out of the scheme: just these bytes where they stand so,
/// else the whole value is written anew.
fn clean_scheme(value: &Value<'_>, cleaned: &str, edits: &mut Edits) {
    const SUFFIX: &[u8] = b"+notrack";
    let found = value
        .raw
        .windows(SUFFIX.len())
        .position(|window| window.eq_ignore_ascii_case(SUFFIX));
    match found {
        Some(at)
            if value.raw[..at]
                .iter()
                .all(|b| b.is_ascii_alphabetic() || *b <= b' ') =>
        {
            let at = value.range.start + at;
            edits.add(at..at + SUFFIX.len(), "");
        }
        _ => edits.add(value.range.clone(), encode_attribute(cleaned).into_owned()),
    }
}

/// The placeholder as written, percent-encoded by an editor, or with a scheme
/// and a slash that an editor put around it.
pub(super) fn is_opt_out_placeholder(value: &str) -> bool {
    const ESCAPES: [(&str, &str); 5] = [
        ("%7B", "{"),
        ("%7b", "{"),
        ("%7D", "}"),
        ("%7d", "}"),
        ("%3A", ":"),
    ];
    if !value.contains("mailtrail") {
        return false;
    }
    let bare = value
        .strip_prefix("https://")
        .or_else(|| value.strip_prefix("http://"));
    let bare = bare.unwrap_or(value);
    let mut bare = bare.strip_suffix('/').unwrap_or(bare).replace("%3a", ":");
    for (escape, is) in ESCAPES {
        bare = bare.replace(escape, is);
    }
    bare == OPT_OUT_PLACEHOLDER
}

/// Whether a value begins as `=3D"…` of quoted-printable text does.
fn looks_quoted_printable(raw: &[u8]) -> bool {
    raw.strip_prefix(b"3D").is_some_and(|rest| {
        rest.starts_with(b"\"") || rest.starts_with(b"'") || rest.starts_with(b"http")
    })
}
