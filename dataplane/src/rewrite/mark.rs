//! What a link's start tag says of it: its address, opt-out markers and names
//! of every vendor (TRACKING.md, top), and the edits that take them out.

use std::ops::Range;

use mailtrail_core::character_reference::decode_attribute;
use mailtrail_core::policy::Marks;

use crate::rewrite::tag::{Attribute, Attributes, is_space};

/// White space that stays at the end of a tag whose opt-out marker was taken
/// out. Readers never see it; a second rewrite of the output knows by it that
/// the link was opted out, so that rewriting twice changes nothing. Nobody
/// writes a tab and a space there by chance, and if so the link is only left.
pub(super) const OPTED_OUT_TRACE: &str = "\t ";
/// Longest name of a link, in bytes; a longer one is cut.
const LINK_NAME_MAX_BYTES: usize = 256;
/// Longest attribute name that means anything here: `mautic:disable-tracking`.
const NAME_MAX: usize = 23;

/// A link's start tag, read.
#[derive(Debug, Default)]
pub(super) struct Marked {
    /// Where the address stands: `href`, or `xlink:href` in SVG.
    pub(super) value: Option<Range<usize>>,
    /// What the sender marked it with.
    pub(super) marks: Marks,
    /// `data-app-link`: an app may take the link over.
    pub(super) app: bool,
    /// The name for statistics.
    pub(super) name: Option<String>,
    /// Markers and names to be taken out, in order.
    pub(super) removed: Vec<Range<usize>>,
    /// A marker was taken out, so that [`OPTED_OUT_TRACE`] must go to `end`.
    pub(super) untraced: bool,
    /// Where the last attribute ends.
    pub(super) end: usize,
}

enum Meaning {
    Href,
    XlinkHref,
    OptOut,
    /// An opt-out if its value is this.
    OptOutIf(&'static str),
    /// A name; the lower number wins.
    Name(u8),
    Class,
    Rel,
    Track,
    App,
    Unsubscribe,
}

fn meaning(name: &[u8]) -> Option<Meaning> {
    let mut lower = [0; NAME_MAX];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    Some(match &*lower {
        b"href" => Meaning::Href,
        b"xlink:href" => Meaning::XlinkHref,
        b"clicktracking" => Meaning::OptOutIf("off"),
        b"disable-tracking" => Meaning::OptOutIf("true"),
        b"data-msys-clicktrack" => Meaning::OptOutIf("0"),
        b"ses:no-track"
        | b"data-pm-no-track"
        | b"mc:disable-tracking"
        | b"data-as-no-track"
        | b"data-no-track"
        | b"data-mg-notrack"
        | b"mautic:disable-tracking"
        | b"data-skip-click" => Meaning::OptOut,
        b"data-link-name" => Meaning::Name(0),
        b"data-msys-linkname" => Meaning::Name(1),
        b"data-cio-tag" => Meaning::Name(2),
        b"ses:tags" => Meaning::Name(3),
        b"class" => Meaning::Class,
        b"rel" => Meaning::Rel,
        b"data-track" => Meaning::Track,
        b"data-app-link" => Meaning::App,
        b"data-unsubscribe" | b"data-msys-unsubscribe" => Meaning::Unsubscribe,
        _ => return None,
    })
}

impl Marked {
    /// Reads the start tag in `bytes` whose name ends at `name_end`.
    pub(super) fn read(bytes: &[u8], name_end: usize, in_svg: bool) -> Self {
        let mut marked = Self::default();
        let mut xlink = None;
        let mut best_name = u8::MAX;
        marked.end = name_end;
        for attribute in Attributes::new(bytes, name_end) {
            marked.end = attribute.end;
            let Some(meaning) = meaning(&bytes[attribute.name.clone()]) else {
                continue;
            };
            let value = attribute.value.clone();
            let raw = value.clone().map_or(&[][..], |value| &bytes[value]);
            match meaning {
                // The first of two counts, and one without `=` is empty.
                Meaning::Href => {
                    marked.value = marked.value.or(Some(empty_or(value, attribute.end)))
                }
                Meaning::XlinkHref if in_svg => {
                    xlink = xlink.or(Some(empty_or(value, attribute.end)))
                }
                Meaning::XlinkHref => {}
                Meaning::OptOut => marked.opt_out(bytes, &attribute),
                Meaning::OptOutIf(word) => {
                    if decode_attribute(raw).trim().eq_ignore_ascii_case(word) {
                        marked.opt_out(bytes, &attribute);
                    }
                }
                Meaning::Name(rank) => {
                    if rank < best_name
                        && let Some(name) = link_name(raw)
                    {
                        (marked.name, best_name) = (Some(name), rank);
                    }
                    marked.remove(bytes, &attribute);
                }
                Meaning::Class => marked.marks.opted_out |= has_word(raw, b"untracked"),
                Meaning::Rel => marked.marks.unsubscribe |= has_word(raw, b"unsubscribe"),
                Meaning::Track => marked.marks.track = true,
                Meaning::App => marked.app = true,
                Meaning::Unsubscribe => marked.marks.unsubscribe = true,
            }
        }
        marked.value = marked.value.or(xlink);
        if marked.is_traced(bytes) {
            marked.marks.opted_out = true;
            marked.untraced = false;
        }
        marked
    }

    /// Whether an earlier rewrite left [`OPTED_OUT_TRACE`] in the tag.
    pub(super) fn is_traced(&self, bytes: &[u8]) -> bool {
        bytes[self.end..].starts_with(OPTED_OUT_TRACE.as_bytes())
    }

    fn opt_out(&mut self, bytes: &[u8], attribute: &Attribute) {
        self.marks.opted_out = true;
        self.untraced |= self.remove(bytes, attribute);
    }

    /// Takes the attribute out together with the white space before it, unless
    /// its neighbours would then read as one.
    fn remove(&mut self, bytes: &[u8], attribute: &Attribute) -> bool {
        let after = &bytes[attribute.end..];
        let next = after.iter().find(|b| !is_space(**b));
        if next == Some(&b'=') {
            return false;
        }
        let parted = after
            .first()
            .is_some_and(|b| is_space(*b) || matches!(b, b'/' | b'>'));
        let start = if parted {
            attribute.before
        } else {
            attribute.name.start
        };
        self.removed.push(start..attribute.end);
        true
    }
}

fn empty_or(value: Option<Range<usize>>, end: usize) -> Range<usize> {
    value.unwrap_or(end..end)
}

fn has_word(raw: &[u8], word: &[u8]) -> bool {
    raw.split(|b| is_space(*b))
        .any(|w| w.eq_ignore_ascii_case(word))
}

fn link_name(raw: &[u8]) -> Option<String> {
    let decoded = decode_attribute(raw);
    let mut name: String = decoded.trim().chars().filter(|c| !c.is_control()).collect();
    while name.len() > LINK_NAME_MAX_BYTES {
        name.pop();
    }
    (!name.is_empty()).then_some(name)
}
