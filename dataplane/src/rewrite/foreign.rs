//! SVG and MathML within HTML, as far as they change how bytes are read: there
//! is no raw text in them, but CDATA, and HTML again at some places
//! (13.2.6.5 of the HTML standard).

use std::ops::Range;

use crate::rewrite::tag::{Attributes, Tag, one_of};

/// Foreign elements that are open.
#[derive(Debug, Clone, Default)]
pub(super) struct Foreign {
    /// Those that change how bytes are read, the innermost last.
    spaces: Vec<Space>,
    /// How many of the name `a`, which HTML has too.
    anchors: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Space {
    Svg,
    Math,
    /// HTML inside the foreign element of this name (an integration point).
    Html(&'static str),
}

impl Foreign {
    /// Whether nothing foreign is open.
    pub(super) fn is_empty(&self) -> bool {
        self.spaces.is_empty()
    }

    /// How many elements are open.
    pub(super) fn depth(&self) -> usize {
        self.spaces.len()
    }

    /// Closes what was opened since [`Foreign::depth`] gave this.
    pub(super) fn close_to(&mut self, depth: usize) {
        self.spaces.truncate(depth);
    }

    /// Whether markup here is SVG.
    pub(super) fn in_svg(&self) -> bool {
        self.spaces.last() == Some(&Space::Svg)
    }

    /// Whether markup here is not HTML.
    pub(super) fn applies(&self) -> bool {
        matches!(self.spaces.last(), Some(Space::Svg | Space::Math))
    }

    /// A start tag, whose name is in `window`; says whether it is one of HTML.
    pub(super) fn start(
        &mut self,
        tag: Tag,
        window: &[u8],
        name: Range<usize>,
        self_closing: bool,
    ) -> bool {
        if self.applies() {
            if !breaks_out(window, name.clone()) {
                if !self_closing {
                    self.anchors += usize::from(tag == Tag::A);
                    self.open(tag, window, name);
                }
                return false;
            }
            self.break_out();
        }
        match tag {
            Tag::Svg if !self_closing => self.spaces.push(Space::Svg),
            Tag::Math if !self_closing => self.spaces.push(Space::Math),
            _ => {}
        }
        true
    }

    fn open(&mut self, tag: Tag, window: &[u8], name: Range<usize>) {
        let text = &window[name.clone()];
        let point = if self.in_svg() {
            one_of(text, &["foreignobject", "desc", "title"])
        } else {
            one_of(text, &["mi", "mo", "mn", "ms", "mtext"]).or_else(|| {
                one_of(text, &["annotation-xml"]).filter(|_| holds_html(window, name.end))
            })
        };
        match point {
            Some(point) => self.spaces.push(Space::Html(point)),
            None if tag == Tag::Svg && self.in_svg() => self.spaces.push(Space::Svg),
            None if tag == Tag::Math && !self.in_svg() => self.spaces.push(Space::Math),
            None => {}
        }
    }

    /// An end tag; `false` where parsers that keep all open elements in mind
    /// know whether it leaves foreign content, and we do not.
    pub(super) fn end(&mut self, name: &[u8]) -> bool {
        let closes = match self.spaces.last() {
            None => return true,
            Some(Space::Html(point)) => name.eq_ignore_ascii_case(point.as_bytes()),
            Some(Space::Svg) => name.eq_ignore_ascii_case(b"svg"),
            Some(Space::Math) => name.eq_ignore_ascii_case(b"math"),
        };
        if closes {
            self.spaces.pop();
        } else if is_html_only(name) {
            // No foreign element has such a name: it closes an HTML element
            // outside and everything foreign within it.
            self.break_out();
        } else if self.applies() && name.eq_ignore_ascii_case(b"a") {
            let Some(left) = self.anchors.checked_sub(1) else {
                return false;
            };
            self.anchors = left;
        } else if self.applies() && one_of(name, &HTML_ALONE).is_some() {
            return false;
        }
        if self.spaces.is_empty() {
            self.anchors = 0;
        }
        true
    }

    fn break_out(&mut self) {
        while self.applies() {
            self.spaces.pop();
        }
    }
}

/// Start tags that leave foreign content (13.2.6.5).
const BREAK_OUT: [&str; 44] = [
    "b",
    "big",
    "blockquote",
    "body",
    "br",
    "center",
    "code",
    "dd",
    "div",
    "dl",
    "dt",
    "em",
    "embed",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "head",
    "hr",
    "i",
    "img",
    "li",
    "listing",
    "menu",
    "meta",
    "nobr",
    "ol",
    "p",
    "pre",
    "ruby",
    "s",
    "small",
    "span",
    "strong",
    "strike",
    "sub",
    "sup",
    "table",
    "tt",
    "u",
    "ul",
    "var",
];

/// Further elements that HTML alone has: their end tag leaves foreign content if
/// one is open outside, and is passed over if not.
const HTML_ALONE: [&str; 45] = [
    "abbr",
    "address",
    "article",
    "aside",
    "bdi",
    "bdo",
    "button",
    "caption",
    "cite",
    "colgroup",
    "data",
    "del",
    "details",
    "dfn",
    "dialog",
    "dir",
    "fieldset",
    "figcaption",
    "figure",
    "font",
    "footer",
    "form",
    "header",
    "hgroup",
    "ins",
    "kbd",
    "label",
    "legend",
    "main",
    "map",
    "mark",
    "marquee",
    "nav",
    "noscript",
    "object",
    "optgroup",
    "option",
    "q",
    "samp",
    "search",
    "section",
    "tbody",
    "tfoot",
    "thead",
    "time",
];

fn breaks_out(window: &[u8], name: Range<usize>) -> bool {
    let text = &window[name.clone()];
    if one_of(text, &BREAK_OUT).is_some() {
        return true;
    }
    let shows_html = |a: &[u8]| one_of(a, &["color", "face", "size"]).is_some();
    text.eq_ignore_ascii_case(b"font")
        && Attributes::new(window, name.end).any(|a| shows_html(&window[a.name]))
}

fn is_html_only(name: &[u8]) -> bool {
    one_of(name, &BREAK_OUT).is_some() || one_of(name, &["html", "td", "th", "tr"]).is_some()
}

/// Whether the attributes of `annotation-xml` make it hold HTML.
fn holds_html(window: &[u8], name_end: usize) -> bool {
    Attributes::new(window, name_end).any(|a| {
        let value = a.value.map_or(&[][..], |value| &window[value]);
        window[a.name].eq_ignore_ascii_case(b"encoding")
            && one_of(value, &["text/html", "application/xhtml+xml"]).is_some()
    })
}
