//! The inside of a start tag: its attributes as byte ranges, by the rules of
//! the HTML standard (13.2.5.32 to 13.2.5.40), and the names we act on.

use std::ops::Range;

use memchr::memchr;

/// Elements that the rewriter treats in a way of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    A,
    Area,
    Img,
    /// An element of VML, such as `v:roundrect`: Outlook draws it.
    Vml,
    Body,
    Html,
    Head,
    /// Elements that may stand before a body's content: `meta`, `link`, `base`.
    HeadOnly,
    Noscript,
    Template,
    Select,
    /// `input` and `keygen`: they end a `select`.
    Input,
    Frameset,
    Frame,
    Svg,
    Math,
    Script,
    Style,
    Title,
    Textarea,
    Xmp,
    Iframe,
    Noembed,
    Noframes,
    Plaintext,
    Other,
}

/// Elements by which VML can carry a link.
const VML: [&str; 6] = [
    "v:rect",
    "v:roundrect",
    "v:shape",
    "v:oval",
    "v:image",
    "v:group",
];

/// Elements whose start tags say more than that there is a tag: links, and what
/// changes how what follows is read. None of them is what a mail is made of.
pub(super) const MATTER: [&str; 24] = [
    "a",
    "area",
    VML[0],
    VML[1],
    VML[2],
    VML[3],
    VML[4],
    VML[5],
    "template",
    "select",
    "input",
    "keygen",
    "frameset",
    "svg",
    "math",
    "script",
    "style",
    "title",
    "textarea",
    "xmp",
    "iframe",
    "noembed",
    "noframes",
    "plaintext",
];

/// Longest name in [`Tag::of`], in bytes: `plaintext`.
const TAG_NAME_MAX: usize = 9;

impl Tag {
    /// The element of a name, in any case.
    pub(super) fn of(name: &[u8]) -> Self {
        if name.get(1) == Some(&b':') {
            return one_of(name, &VML).map_or(Self::Other, |_| Self::Vml);
        }
        let mut lower = [0; TAG_NAME_MAX];
        let Some(lower) = lower.get_mut(..name.len()) else {
            return Self::Other;
        };
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        match &*lower {
            b"a" => Self::A,
            b"area" => Self::Area,
            // Parsers make an `img` of it.
            b"img" | b"image" => Self::Img,
            b"body" => Self::Body,
            b"html" => Self::Html,
            b"head" => Self::Head,
            b"meta" | b"link" | b"base" => Self::HeadOnly,
            b"noscript" => Self::Noscript,
            b"template" => Self::Template,
            b"select" => Self::Select,
            b"input" | b"keygen" => Self::Input,
            b"frameset" => Self::Frameset,
            b"frame" => Self::Frame,
            b"svg" => Self::Svg,
            b"math" => Self::Math,
            b"script" => Self::Script,
            b"style" => Self::Style,
            b"title" => Self::Title,
            b"textarea" => Self::Textarea,
            b"xmp" => Self::Xmp,
            b"iframe" => Self::Iframe,
            b"noembed" => Self::Noembed,
            b"noframes" => Self::Noframes,
            b"plaintext" => Self::Plaintext,
            _ => Self::Other,
        }
    }

    /// Whether it is one of [`MATTER`].
    pub(super) fn matters(self) -> bool {
        matches!(
            self,
            Self::A
                | Self::Area
                | Self::Vml
                | Self::Template
                | Self::Select
                | Self::Input
                | Self::Frameset
                | Self::Svg
                | Self::Math
                | Self::Plaintext
        ) || self.holds_text()
    }

    /// Whether its content is text alone, up to its end tag.
    pub(super) fn holds_text(self) -> bool {
        matches!(
            self,
            Self::Script
                | Self::Style
                | Self::Title
                | Self::Textarea
                | Self::Xmp
                | Self::Iframe
                | Self::Noembed
                | Self::Noframes
        )
    }

    /// Whether a body's content begins with this element at the latest.
    pub(super) fn is_content(self) -> bool {
        !matches!(
            self,
            Self::Html
                | Self::Head
                | Self::HeadOnly
                | Self::Noscript
                | Self::Template
                | Self::Frameset
                | Self::Frame
                | Self::Script
                | Self::Style
                | Self::Title
                | Self::Noframes
        )
    }
}

/// The one of `names` that a name is, in any case.
pub(super) fn one_of(name: &[u8], names: &[&'static str]) -> Option<&'static str> {
    let same = |known: &&&str| name.eq_ignore_ascii_case(known.as_bytes());
    names.iter().find(same).copied()
}

/// One attribute, as ranges of the bytes that [`Attributes`] walks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attribute {
    /// Where the white space before the name begins.
    pub(super) before: usize,
    /// The name as it stands.
    pub(super) name: Range<usize>,
    /// The value without its quotes, undecoded; nothing where there is no `=`.
    pub(super) value: Option<Range<usize>>,
    /// Where the attribute ends: after the value and its closing quote.
    pub(super) end: usize,
}

/// Walks the attributes of one start or end tag.
#[derive(Debug, Clone)]
pub(super) struct Attributes<'a> {
    bytes: &'a [u8],
    at: usize,
    close: Option<Close>,
}

/// How a tag ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Close {
    /// After the `>`.
    pub(super) end: usize,
    /// Whether a `/` stands right before the `>`.
    pub(super) self_closing: bool,
}

impl<'a> Attributes<'a> {
    /// Attributes of the tag in `bytes` whose name ends at `at`.
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self {
            bytes,
            at,
            close: None,
        }
    }

    /// The end of the tag, once all attributes are walked; nothing where the
    /// bytes ran out before it.
    pub(super) fn close(&self) -> Option<Close> {
        self.close
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Moves to the begin of the next name and says where the white space
    /// before it began; nothing at the tag's or the bytes' end.
    fn seek_name(&mut self) -> Option<usize> {
        let mut before = self.at;
        let mut self_closing = false;
        loop {
            match self.peek()? {
                b'>' => {
                    let end = self.at + 1;
                    self.close = Some(Close { end, self_closing });
                    return None;
                }
                b'/' => {
                    before = self.at + 1;
                    self_closing = true;
                }
                byte if is_space(byte) => self_closing = false,
                _ => return Some(before),
            }
            self.at += 1;
        }
    }

    fn name(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        // A name may begin with `=`; one inside ends it.
        self.at += 1;
        loop {
            match self.peek()? {
                b'=' | b'/' | b'>' => return Some(start..self.at),
                byte if is_space(byte) => return Some(start..self.at),
                _ => self.at += 1,
            }
        }
    }

    fn value(&mut self) -> Option<Range<usize>> {
        self.skip_space();
        match self.peek()? {
            quote @ (b'"' | b'\'') => {
                let start = self.at + 1;
                let length = memchr(quote, self.bytes.get(start..)?)?;
                self.at = start + length + 1;
                Some(start..start + length)
            }
            _ => {
                let start = self.at;
                while !matches!(self.peek()?, b'>') && !is_space(self.peek()?) {
                    self.at += 1;
                }
                Some(start..self.at)
            }
        }
    }
}

impl Iterator for Attributes<'_> {
    type Item = Attribute;

    fn next(&mut self) -> Option<Attribute> {
        if self.close.is_some() {
            return None;
        }
        let before = self.seek_name()?;
        let name = self.name()?;
        let after_name = self.at;
        self.skip_space();
        if self.peek()? != b'=' {
            self.at = after_name;
            return Some(Attribute {
                before,
                end: name.end,
                name,
                value: None,
            });
        }
        self.at += 1;
        let value = self.value()?;
        Some(Attribute {
            before,
            name,
            value: Some(value),
            end: self.at,
        })
    }
}

/// White space between a tag's attributes: tab, LF, FF, CR, space.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | 0x0c | b'\r' | b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(tag: &str, expected: &[(&str, Option<&str>)], end: Option<(usize, bool)>) {
        let name = tag
            .bytes()
            .position(|b| is_space(b) || matches!(b, b'/' | b'>'))
            .expect("a name's end");
        let mut attributes = Attributes::new(tag.as_bytes(), name);
        let found: Vec<_> = attributes
            .by_ref()
            .map(|a| (&tag[a.name], a.value.map(|value| &tag[value])))
            .collect();
        assert_eq!(found, expected, "{tag}");
        let close = attributes.close().map(|c| (c.end, c.self_closing));
        assert_eq!(close, end, "{tag}");
    }

    #[test]
    fn attributes_are_found_as_the_standard_says() {
        check("<a>", &[], Some((3, false)));
        check("<a/>", &[], Some((4, true)));
        check("<a href=\"x\">", &[("href", Some("x"))], Some((12, false)));
        check(
            "<a href = 'x>y' b>",
            &[("href", Some("x>y")), ("b", None)],
            Some((18, false)),
        );
        check("<a href=x/>", &[("href", Some("x/"))], Some((11, false)));
        check("<a href=>", &[("href", Some(""))], Some((9, false)));
        check("<a =x==y>", &[("=x", Some("=y"))], Some((9, false)));
        check(
            "<a b=\"1\"c='2'/d>",
            &[("b", Some("1")), ("c", Some("2")), ("d", None)],
            Some((16, false)),
        );
        check(
            "<a\nHREF\t=\n\"x\">",
            &[("HREF", Some("x"))],
            Some((14, false)),
        );
        check("<a b\"c'd<e>", &[("b\"c'd<e", None)], Some((11, false)));
    }

    #[test]
    fn a_tag_that_does_not_end_has_no_end() {
        for tag in [
            "<a ",
            "<a href",
            "<a href=",
            "<a href=\"x",
            "<a href=x",
            "<a b / ",
        ] {
            let mut attributes = Attributes::new(tag.as_bytes(), 2);
            while attributes.next().is_some() {}
            assert_eq!(attributes.close(), None, "{tag}");
        }
    }
}
