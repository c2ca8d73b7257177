//! Where the links of a plain text stand: pure, one pass, time linear in the
//! text.
//!
//! A link begins with `http://` or `https://` (also with the opt-out suffix
//! `+notrack`), or with `www.`. It ends before white space and what delimits
//! URLs (RFC 3986, appendix C), before a closing bracket or quote that it did
//! not open, and before punctuation that ends a sentence. Placeholders of
//! template languages are one unit: within a link they belong to it, outside
//! nothing in them is a link.

use std::ops::Range;

use super::marker::{self, Said};

/// Beginnings of links, compared without case.
const BEGINNINGS: [&str; 5] = [
    "https://",
    "http://",
    "https+notrack://",
    "http+notrack://",
    WWW,
];
const WWW: &str = "www.";
/// Placeholders that may hold spaces and URLs: how they open and close.
const PLACEHOLDERS: [(&str, &str); 7] = [
    ("{{", "}}"),
    ("{%", "%}"),
    ("<%", "%>"),
    ("%%", "%%"),
    ("${", "}"),
    ("*|", "|*"),
    ("[[", "]]"),
];
/// Longest inside of a placeholder, in bytes; what is longer is text.
const PLACEHOLDER_MAX_BYTES: usize = 512;
/// What ends a sentence, or opens what follows, and not a URL.
const NEVER_LAST: [char; 13] = [
    '.', ',', ';', ':', '!', '?', '\'', '…', '(', '[', '{', '|', '*',
];
/// Delimiters of URLs beside white space and controls.
const DELIMITERS: &str = "<>\"`\\«»“”„‘’‹›。，、；：！？（）「」『』【】《》\u{200b}\u{feff}";

/// A link as it stands in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// The URL.
    pub(super) url: Range<usize>,
    /// Where the markers end that stand right behind the URL; the URL's end
    /// where there are none.
    pub(super) markers_end: usize,
    /// What they say.
    pub(super) said: Said,
}

/// Walks a text; an iterator over its links in order.
pub(super) struct Links<'a> {
    text: &'a str,
    at: usize,
    /// Per placeholder the next place of its closing: looked up once, so that
    /// a text of openings alone takes linear time.
    closings: [usize; PLACEHOLDERS.len()],
}

impl<'a> Links<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            closings: [0; PLACEHOLDERS.len()],
        }
    }

    /// The end of the placeholder that begins at `at`, on the same line.
    fn placeholder_end(&mut self, at: usize) -> Option<usize> {
        let rest = &self.text[at..];
        let kind = PLACEHOLDERS
            .iter()
            .position(|(opening, _)| rest.starts_with(opening))?;
        let (opening, closing) = PLACEHOLDERS[kind];
        let inner = at + opening.len();
        if self.closings[kind] < inner {
            let found = self.text[inner..].find(closing);
            self.closings[kind] = found.map_or(usize::MAX, |found| inner + found);
        }
        let inner_end = self.closings[kind];
        let inner = self.text.get(inner..inner_end)?;
        if inner.len() > PLACEHOLDER_MAX_BYTES {
            return None;
        }
        let plausible = match opening {
            "%%" => !inner.is_empty() && !inner.contains(char::is_whitespace),
            "[[" => !inner.contains("://"),
            _ => true,
        };
        (plausible && !inner.contains('\n')).then_some(inner_end + closing.len())
    }

    /// Where the content of a link that begins at `at` stands: behind its
    /// scheme, or from `www.` on.
    fn content(&mut self, at: usize) -> Option<usize> {
        let (before, rest) = self.text.split_at(at);
        let beginning = BEGINNINGS.into_iter().find(|beginning| {
            rest.get(..beginning.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(beginning))
        })?;
        let inside = |c: char| {
            c.is_ascii_alphanumeric()
                || c == '+'
                || (beginning == WWW && matches!(c, '.' | '-' | '_' | '@' | '/' | ':'))
        };
        let content = at + beginning.len();
        let first = self.text[content..].chars().next()?;
        let goes_on = first.is_alphanumeric()
            || (beginning != WWW && (first == '[' || self.placeholder_end(content).is_some()));
        (goes_on && !before.ends_with(inside)).then_some(content)
    }

    fn found(&mut self, start: usize, content: usize) -> Option<Found> {
        let quoted = self.text[..start].ends_with('\'');
        let mut open = Vec::new();
        let mut end = content;
        while let Some(c) = self.text[end..].chars().next() {
            if let Some((length, said)) = marker::read(&self.text[end..]) {
                return Some(Found {
                    url: start..end,
                    markers_end: end + length,
                    said,
                });
            }
            if let Some(behind) = self.placeholder_end(end) {
                end = behind;
                continue;
            }
            let closes_nothing = match c {
                '(' | '[' | '{' => {
                    open.push(c);
                    false
                }
                ')' | ']' | '}' => open.pop().is_none_or(|opening| !pair(opening, c)),
                '\'' => quoted,
                c => c.is_whitespace() || c.is_control() || DELIMITERS.contains(c),
            };
            if closes_nothing {
                break;
            }
            end += c.len_utf8();
        }
        let url = self.text[start..end].trim_end_matches(NEVER_LAST);
        let end = self.trimmed_end(start + url.len(), end);
        (end > content).then_some(Found {
            url: start..end,
            markers_end: end,
            said: Said::default(),
        })
    }

    /// Keeps a placeholder at the end whole where it ends like a sentence (`|*`).
    fn trimmed_end(&self, trimmed: usize, end: usize) -> usize {
        match self.text[trimmed..end].find("|*") {
            Some(at) => trimmed + at + 2,
            None => trimmed,
        }
    }
}

impl Iterator for Links<'_> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        while let Some(c) = self.text[self.at..].chars().next() {
            if let Some(end) = self.placeholder_end(self.at) {
                self.at = end;
                continue;
            }
            let may_begin = matches!(c, 'h' | 'H' | 'w' | 'W');
            if may_begin
                && let Some(content) = self.content(self.at)
                && let Some(found) = self.found(self.at, content)
            {
                self.at = found.markers_end;
                return Some(found);
            }
            self.at += c.len_utf8();
        }
        None
    }
}

fn pair(opening: char, closing: char) -> bool {
    matches!((opening, closing), ('(', ')') | ('[', ']') | ('{', '}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The links of a text, as they stand in it.
    fn check(text: &str, expected: &[&str]) {
        let found: Vec<&str> = Links::of(text).map(|f| &text[f.url]).collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn case_72_punctuation_of_the_sentence_stays_out() {
        check("See https://e.com/x.", &["https://e.com/x"]);
        check("https://e.com/x...", &["https://e.com/x"]);
        check("https://e.com/x?! Yes", &["https://e.com/x"]);
        check("https://e.com/a.b,c;d:e!f", &["https://e.com/a.b,c;d:e!f"]);
        check("https://e.com.", &["https://e.com"]);
        check("https://e.com/x…", &["https://e.com/x"]);
    }

    #[test]
    fn case_73_balanced_brackets_belong_to_the_link() {
        check("(https://e.com/a_(b))", &["https://e.com/a_(b)"]);
        check("(see https://e.com/a_(b).)", &["https://e.com/a_(b)"]);
        check("https://e.com/?a[0]=(1)", &["https://e.com/?a[0]=(1)"]);
        check("[https://e.com/x]", &["https://e.com/x"]);
        check(
            "[https://e.com/a](https://e.com/b)",
            &["https://e.com/a", "https://e.com/b"],
        );
        check("https://e.com/a(", &["https://e.com/a"]);
        check("http://[::1]:80/x", &["http://[::1]:80/x"]);
    }

    #[test]
    fn case_74_delimiters_stay_out() {
        check("<https://e.com/x>", &["https://e.com/x"]);
        check("\"https://e.com\"", &["https://e.com"]);
        check("'https://e.com/x' and", &["https://e.com/x"]);
        check("'https://e.com/x'y", &["https://e.com/x"]);
        check("https://e.com/it's", &["https://e.com/it's"]);
        check("https://e.com/x,", &["https://e.com/x"]);
        check("*https://e.com/x*", &["https://e.com/x"]);
        check("“https://e.com/x”", &["https://e.com/x"]);
        check("| https://e.com/x|", &["https://e.com/x"]);
        check("请看https://e.com/x。", &["https://e.com/x"]);
        check("https://e.com/x\u{a0}y", &["https://e.com/x"]);
        check("https://e.com/x\ty\0", &["https://e.com/x"]);
    }

    #[test]
    fn case_75_a_slash_or_equals_sign_at_the_end_is_kept() {
        check("https://e.com/x/ y", &["https://e.com/x/"]);
        check("https://e.com/?a=", &["https://e.com/?a="]);
        check("https://e.com/?a=.", &["https://e.com/?a="]);
        check("https://e.com/#", &["https://e.com/#"]);
        check("https://e.com/a-_~&%20", &["https://e.com/a-_~&%20"]);
    }

    #[test]
    fn a_link_begins_at_its_scheme_in_any_case() {
        check(
            "HTTP://E.com and HTTPS+NoTrack://e.com/x",
            &["HTTP://E.com", "HTTPS+NoTrack://e.com/x"],
        );
        check("url:https://e.com", &["https://e.com"]);
        check("_https://e.com/x", &["https://e.com/x"]);
        check("www.e.com/x, yes", &["www.e.com/x"]);
        check(
            "https://a.org/web/https://e.com/x",
            &["https://a.org/web/https://e.com/x"],
        );
        check("https://bücher.example/ß", &["https://bücher.example/ß"]);
        for none in [
            "",
            "git+https://e.com",
            "xhttps://e.com",
            "https://",
            "https:// e.com",
            "https://.",
            "http:/e.com",
            "wwww.e.com",
            "me@www.e.com",
            "www.",
            "www. e",
            "https://[",
        ] {
            check(none, &[]);
        }
    }

    #[test]
    fn case_35_a_placeholder_belongs_to_its_link_whole() {
        check(
            "https://e.com/?id={{ id }}&x=1.",
            &["https://e.com/?id={{ id }}&x=1"],
        );
        check(
            "https://e.com/?id=<%= id %>.",
            &["https://e.com/?id=<%= id %>"],
        );
        check("https://e.com/[[ x ]]/y", &["https://e.com/[[ x ]]/y"]);
        check(
            "https://e.com/?e=*|EMAIL|*",
            &["https://e.com/?e=*|EMAIL|*"],
        );
        check(
            "https://e.com/?e=*|EMAIL|*.",
            &["https://e.com/?e=*|EMAIL|*"],
        );
        check("https://{{ host }}/x", &["https://{{ host }}/x"]);
        check("https://e.com/{id}.", &["https://e.com/{id}"]);
    }

    #[test]
    fn case_34_nothing_within_a_placeholder_is_a_link() {
        check("{{ url | default: 'https://e.com' }}", &[]);
        check(
            "{% if x == \"https://e.com\" %}https://f.com{% endif %}",
            &["https://f.com{% endif %}"],
        );
        check("%%=RedirectTo(\"https://e.com\")=%%", &[]);
        check("{{ open\nhttps://e.com }}", &["https://e.com"]);
        check("[[https://e.com]]", &["https://e.com"]);
        check("100%% https://e.com 50%%", &["https://e.com"]);
    }

    #[test]
    fn a_marker_right_behind_a_link_is_read_with_it() {
        let text = "https://e.com/x.[[data-msys-clicktrack=\"0\"]] y";
        let found: Vec<Found> = Links::of(text).collect();
        assert_eq!(found.len(), 1);
        assert_eq!(&text[found[0].url.clone()], "https://e.com/x.");
        assert!(found[0].said.opted_out);
        assert_eq!(&text[found[0].markers_end..], " y");
    }

    #[test]
    fn a_text_of_openings_alone_takes_linear_time() {
        for unit in ["{{", "[[", "%%", "*|", "https://.", "https://a(", "www."] {
            let text = unit.repeat(50_000);
            assert!(Links::of(&text).count() <= 1, "{unit}");
        }
    }
}
