//! The trace that opted-out links leave in a text once their markers are gone,
//! so that a second rewrite leaves them too: white space at the end of their
//! line, which readers never see. A tab, then for each link of the line, up to
//! the last that is opted out, a tab where it is and a space where not.
//!
//! It ends in a tab: a space there would make a paragraph flow on (RFC 3676).
//! Nobody ends a line with a link in two tabs by chance, and if so the link is
//! only left.

use std::ops::Range;

/// A line of a text and what is known of its links so far.
#[derive(Debug)]
pub(super) struct Line {
    /// Where its last visible character ends.
    pub(super) visible_end: usize,
    /// Where its white space ends, and a line break or the text's end is.
    end: usize,
    /// By an earlier rewrite, link by link.
    traced: Vec<bool>,
    opted_out: Vec<bool>,
}

impl Line {
    /// The line of a text that this range is part of.
    pub(super) fn of(text: &str, part: &Range<usize>) -> Self {
        let end = text[part.end..]
            .find('\n')
            .map_or(text.len(), |length| part.end + length);
        let end = end - usize::from(text[part.end..end].ends_with('\r'));
        let visible = text[..end].trim_end_matches([' ', '\t']).len();
        let visible_end = visible.max(part.end);
        Self {
            visible_end,
            end,
            traced: read(&text[visible_end..end]),
            opted_out: Vec::new(),
        }
    }

    /// Whether what begins here stands in a later line.
    pub(super) fn is_before(&self, at: usize) -> bool {
        self.end <= at
    }

    /// Whether the trace says that the next link is opted out.
    pub(super) fn next_is_traced(&self) -> bool {
        let traced = self.traced.get(self.opted_out.len());
        traced.copied().unwrap_or(false)
    }

    /// Takes note of the next link.
    pub(super) fn add_link(&mut self, opted_out: bool) {
        self.opted_out.push(opted_out);
    }

    /// The trace that must go behind the visible text, before white space that
    /// is there; nothing where all is said already.
    pub(super) fn trace(&self) -> Option<String> {
        let said = |at: usize| self.traced.get(at).copied().unwrap_or(false);
        let missing = |(at, opted_out): (usize, &bool)| *opted_out && !said(at);
        if !self.opted_out.iter().enumerate().any(missing) {
            return None;
        }
        let links = self.opted_out.len().max(self.traced.len());
        let is_out = |at: usize| said(at) || self.opted_out.get(at) == Some(&true);
        let mut trace = String::from('\t');
        trace.extend((0..links).map(|at| if is_out(at) { '\t' } else { ' ' }));
        trace.truncate(trace.trim_end_matches(' ').len());
        Some(trace)
    }
}

/// What the white space at a line's end says.
fn read(space: &str) -> Vec<bool> {
    let Some(links) = space.strip_prefix('\t') else {
        return Vec::new();
    };
    let links = links.trim_end_matches(' ');
    links.bytes().map(|byte| byte == b'\t').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line's trace, with `-` for a space and `>` for a tab.
    fn trace(space: &str, opted_out: &[bool]) -> Option<String> {
        let shown = |text: String| text.replace(' ', "-").replace('\t', ">");
        let text = format!("x{}\r\n", space.replace('-', " ").replace('>', "\t"));
        let mut line = Line::of(&text, &(0..1));
        for out in opted_out {
            line.add_link(*out);
        }
        line.trace().map(shown)
    }

    #[test]
    fn a_trace_says_which_links_are_opted_out() {
        for (space, opted_out, expected) in [
            ("", &[false, false][..], None),
            ("", &[true], Some(">>")),
            ("", &[false, true, false], Some(">->")),
            ("--", &[true], Some(">>")),
            ("->>", &[true], Some(">>")),
            (">>", &[true], None),
            (">>", &[false], None),
            (">>-", &[true, false], None),
            (">>", &[true, true], Some(">>>")),
            (">->", &[true], Some(">>>")),
        ] {
            assert_eq!(trace(space, opted_out).as_deref(), expected, "{space}");
        }
    }

    #[test]
    fn what_a_trace_says_is_read_again_whatever_white_space_follows_it() {
        for space in ["", "-", ">", ">-", "->>", ">->-"] {
            for number in 0..8 {
                let opted_out = [number & 1 != 0, number & 2 != 0, number & 4 != 0];
                let Some(left) = trace(space, &opted_out) else {
                    continue;
                };
                assert_eq!(trace(&(left + space), &opted_out), None, "{space:?}");
            }
        }
    }

    #[test]
    fn a_line_ends_before_its_line_break() {
        for (text, end) in [("ab", 2), ("ab\n", 2), ("ab\r\nc", 2), ("ab \t\n\n", 4)] {
            let line = Line::of(text, &(0..1));
            assert_eq!((line.visible_end, line.end), (2, end), "{text:?}");
            assert!(line.is_before(end) && !line.is_before(end - 1));
        }
    }
}
