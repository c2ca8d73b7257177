//! Edits of the input, and the output made of both: original bytes, with
//! ranges of them replaced.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::ops::Range;

use memchr::{memchr, memrchr};

/// Longest line of a mail, in octets without its CR LF (RFC 5322, 2.1.1).
pub(super) const LINE_MAX_OCTETS: usize = 998;

/// One replaced range of the input, in bytes from its begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) range: Range<usize>,
    pub(super) with: Cow<'static, str>,
}

/// Edits not yet put out, in order, and what was put out so far.
#[derive(Debug, Default)]
pub(super) struct Splices {
    pending: VecDeque<Edit>,
    /// Input bytes put out or replaced.
    done: usize,
    /// Output bytes.
    written: usize,
    /// Growth by the pending edits, in bytes; below 0 where they shorten.
    growth: isize,
    line: Line,
    #[cfg(test)]
    pub(super) log: Vec<Edit>,
}

/// The output's line so far.
#[derive(Debug, Default)]
struct Line {
    octets: usize,
    edited: bool,
    over: bool,
}

impl Splices {
    /// Adds an edit. It lies after every edit so far, or at least does not
    /// touch one, and after everything put out.
    pub(super) fn add(&mut self, range: Range<usize>, with: impl Into<Cow<'static, str>>) {
        let with = with.into();
        debug_assert!(range.start >= self.done, "{range:?} is put out already");
        self.growth += with.len() as isize - range.len() as isize;
        let edit = Edit { range, with };
        // What is put in at a place stands before what is taken out from there.
        let is_insertion = edit.range.is_empty();
        let later = |other: &Edit| match other.range.start.cmp(&edit.range.start) {
            Ordering::Greater => true,
            Ordering::Equal => is_insertion && !other.range.is_empty(),
            Ordering::Less => false,
        };
        let place = match self.pending.back() {
            Some(last) if later(last) => self.pending.partition_point(|other| !later(other)),
            _ => self.pending.len(),
        };
        self.pending.insert(place, edit);
    }

    /// Puts out the input up to `until`; `window` holds it from `base` on.
    pub(super) fn flush(&mut self, window: &[u8], base: usize, until: usize, out: &mut Vec<u8>) {
        while self.pending.front().is_some_and(|e| e.range.end <= until) {
            let Some(edit) = self.pending.pop_front() else {
                return;
            };
            self.copy(&window[self.done - base..edit.range.start - base], out);
            self.line.edited |= !edit.with.is_empty();
            self.growth -= edit.with.len() as isize - edit.range.len() as isize;
            self.done = edit.range.end;
            self.copy(edit.with.as_bytes(), out);
            #[cfg(test)]
            self.log.push(edit);
        }
        if until > self.done {
            self.copy(&window[self.done - base..until - base], out);
            self.done = until;
        }
    }

    fn copy(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.line.pass(bytes);
        self.written += bytes.len();
        out.extend_from_slice(bytes);
    }

    /// Input bytes that are put out or replaced.
    pub(super) fn done(&self) -> usize {
        self.done
    }

    /// Size of the output when the input ends at `end` and no edit follows.
    pub(super) fn output_size(&self, end: usize) -> usize {
        (self.written + end - self.done).saturating_add_signed(self.growth)
    }

    /// Ends the last line and says whether one with an edit is over the limit.
    pub(super) fn end_line(&mut self) -> bool {
        self.line.end(0);
        self.line.over
    }
}

impl Line {
    fn pass(&mut self, bytes: &[u8]) {
        let Some(first) = memchr(b'\n', bytes) else {
            self.octets += bytes.len();
            return;
        };
        self.end(first);
        let last = memrchr(b'\n', bytes).unwrap_or(first);
        self.octets = bytes.len() - last - 1;
    }

    /// Ends the line `more` octets from here (a CR among them counts: one more
    /// than the limit is let pass).
    fn end(&mut self, more: usize) {
        self.over |= self.edited && self.octets + more > LINE_MAX_OCTETS + 1;
        self.octets = 0;
        self.edited = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, edits: &[(Range<usize>, &'static str)], expected: &str) {
        let mut splices = Splices::default();
        for (range, with) in edits {
            splices.add(range.clone(), *with);
        }
        assert_eq!(splices.output_size(input.len()), expected.len());
        let mut out = Vec::new();
        splices.flush(input.as_bytes(), 0, input.len(), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn ranges_are_replaced_and_the_rest_stays() {
        check("abc", &[], "abc");
        check("abcdef", &[(1..2, "XY"), (4..4, "-")], "aXYcd-ef");
        check("abcdef", &[(4..6, ""), (0..0, ">"), (1..3, "")], ">ad");
        check("abc", &[(1..2, ""), (1..1, "X"), (2..2, "Y")], "aXYc");
    }

    #[test]
    fn a_line_counts_when_it_holds_an_edit_and_is_too_long() {
        for (octets, edited, over) in [(998, true, false), (999, false, false), (1000, true, true)]
        {
            let mut line = Line::default();
            line.pass(b"short\n");
            line.pass(&vec![b'x'; octets]);
            line.edited = edited;
            line.pass(b"\r\nnext");
            assert_eq!(line.over, over, "{octets} {edited}");
        }
    }
}
