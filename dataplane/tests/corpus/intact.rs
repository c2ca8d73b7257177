//! Explains every difference between a mail and what it was rewritten to.
//!
//! It walks both byte by byte and knows four differences: a tracking URL that
//! opens, where an attribute's value was; a pixel that opens; a marker of the
//! sender that is gone; the trace that an opt-out leaves. Anything else is an
//! error, so what lies between is proven to be the same.

use mailtrail_core::token::{Claim, Kind};
use mailtrail_dataplane::rewrite::Job;

/// Attributes that are taken out of links.
const REMOVED: [&str; 15] = [
    "clicktracking",
    "ses:no-track",
    "data-pm-no-track",
    "disable-tracking",
    "mc:disable-tracking",
    "data-msys-clicktrack",
    "data-as-no-track",
    "data-no-track",
    "data-mg-notrack",
    "mautic:disable-tracking",
    "data-skip-click",
    "data-link-name",
    "data-msys-linkname",
    "data-cio-tag",
    "ses:tags",
];
const TRACE: &[u8] = b"\t ";
const NOTRACK: &[u8] = b"+notrack";
const PIXEL_PLACEHOLDERS: [&[u8]; 2] = [b"{{ses:openTracker}}", b"{{mailtrail:pixel}}"];
/// Bytes shown around a difference.
const CONTEXT_BYTES: usize = 60;

/// A link that was replaced.
#[derive(Debug)]
pub(crate) struct Edit {
    /// The tracking URL.
    pub(crate) url: String,
    /// What its token says.
    pub(crate) claim: Claim,
}

/// What was changed.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) links: Vec<Edit>,
    pub(crate) pixels: usize,
    pub(crate) markers: usize,
}

struct Walk<'a> {
    job: &'a Job,
    input: &'a [u8],
    output: &'a [u8],
    changes: Changes,
}

/// All differences, or where one has no explanation. The input must not hold
/// URLs of the tracking host.
pub(crate) fn explain(job: &Job, input: &[u8], output: &[u8]) -> Result<Changes, String> {
    let mut walk = Walk {
        job,
        input,
        output,
        changes: Changes::default(),
    };
    while !(walk.input.is_empty() && walk.output.is_empty()) {
        walk.step(input)?;
    }
    Ok(walk.changes)
}

impl Walk<'_> {
    fn step(&mut self, whole: &[u8]) -> Result<(), String> {
        if self.pixel() || self.link(whole) || self.marker() || self.lone_bytes() {
            return Ok(());
        }
        match (self.input.split_first(), self.output.split_first()) {
            (Some((a, input)), Some((b, output))) if a == b => {
                (self.input, self.output) = (input, output);
                Ok(())
            }
            _ => Err(format!(
                "at byte {} of {}: input goes on {:?}, output goes on {:?}",
                whole.len() - self.input.len(),
                whole.len(),
                shown(self.input),
                shown(self.output),
            )),
        }
    }

    fn pixel(&mut self) -> bool {
        let start = format!("<img src=\"{}/o/", self.job.base.as_str());
        let Some(rest) = self.output.strip_prefix(start.as_bytes()) else {
            return false;
        };
        let Some(end) = rest.iter().position(|b| *b == b'>') else {
            return false;
        };
        if self.opens(Kind::Open, token_of(rest)).is_none() {
            return false;
        }
        self.output = &rest[end + 1..];
        self.changes.pixels += 1;
        for placeholder in PIXEL_PLACEHOLDERS {
            self.input = self.input.strip_prefix(placeholder).unwrap_or(self.input);
        }
        true
    }

    fn link(&mut self, whole: &[u8]) -> bool {
        for kind in [Kind::Click, Kind::App, Kind::Withdraw] {
            let start = format!("{}/{}/", self.job.base.as_str(), kind.letter());
            let Some(rest) = self.output.strip_prefix(start.as_bytes()) else {
                continue;
            };
            let token = token_of(rest);
            let Some(claim) = self.opens(kind, token) else {
                return false;
            };
            let at = whole.len() - self.input.len();
            self.input = &self.input[value_length(&whole[..at], self.input)..];
            self.output = &rest[token.len()..];
            let url = format!("{start}{token}");
            if kind != Kind::Withdraw {
                self.changes.links.push(Edit { url, claim });
            }
            return true;
        }
        false
    }

    fn opens(&self, kind: Kind, token: &str) -> Option<Claim> {
        let claim = self
            .job
            .keys
            .open(&self.job.domain.realm, kind, token)
            .ok()?;
        (claim.mail == self.job.mail).then_some(claim)
    }

    /// A marker of the sender with the white space before it, in the input
    /// alone.
    fn marker(&mut self) -> bool {
        let space = self.input.iter().take_while(|b| is_space(**b)).count();
        let Some(name) = REMOVED.iter().find(|name| {
            let rest = &self.input[space..];
            rest.get(..name.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
        }) else {
            return false;
        };
        let length = space + name.len() + value_with_equals(&self.input[space + name.len()..]);
        // Another name begins like this one, or it stands where it means nothing.
        let goes_on = !matches!(
            self.input.get(length),
            None | Some(b'\t' | b'\n' | b'\x0c' | b'\r' | b' ' | b'/' | b'>')
        );
        let quoted = length > 0 && matches!(self.input[length - 1], b'"' | b'\'');
        if self.stands_in_output(length) || (goes_on && !quoted) {
            return false;
        }
        self.changes.markers += 1;
        let kept_space = &self.input[..space];
        let keeps_space = space > 0 && goes_on && self.output.starts_with(kept_space);
        if keeps_space {
            self.output = &self.output[space..];
        }
        self.input = &self.input[length..];
        true
    }

    /// Whether the output goes on with so many bytes of the input, or with the
    /// pixel somewhere in them: then it was text and no marker.
    fn stands_in_output(&self, length: usize) -> bool {
        let pairs = self.input[..length].iter().zip(self.output);
        let same = pairs.take_while(|(a, b)| a == b).count();
        let pixel = format!("<img src=\"{}/o/", self.job.base.as_str());
        // What comes after may begin with `<` too.
        let from_pixel = |at: usize| self.output[at..].starts_with(pixel.as_bytes());
        same == length || from_pixel(same) || (same > 0 && from_pixel(same - 1))
    }

    /// The trace of an opt-out, and its scheme suffix: only where a marker or
    /// the suffix went before.
    fn lone_bytes(&mut self) -> bool {
        if self.changes.markers > 0
            && let Some(rest) = self.output.strip_prefix(TRACE)
            && !self.input.starts_with(TRACE)
        {
            self.output = rest;
            return true;
        }
        for placeholder in PIXEL_PLACEHOLDERS {
            if let Some(rest) = self.input.strip_prefix(placeholder)
                && !self.output.starts_with(placeholder)
            {
                self.input = rest;
                return true;
            }
        }
        let suffix = self.input.get(..NOTRACK.len());
        if suffix.is_some_and(|s| s.eq_ignore_ascii_case(NOTRACK))
            && !self.output.starts_with(&self.input[..NOTRACK.len()])
        {
            self.input = &self.input[NOTRACK.len()..];
            self.changes.markers += 1;
            return true;
        }
        false
    }
}

/// The token that the bytes begin with.
fn token_of(bytes: &[u8]) -> &str {
    let end = bytes
        .iter()
        .position(|b| !matches!(b, b'0'..=b'9' | b'a'..=b'v'))
        .unwrap_or(bytes.len());
    std::str::from_utf8(&bytes[..end]).expect("ASCII")
}

/// The length of the attribute's value that `input` begins with: to the quote
/// that stands before it, or to white space or `>`.
fn value_length(before: &[u8], input: &[u8]) -> usize {
    let ends = |b: &u8| match before.last() {
        Some(quote @ (b'"' | b'\'')) => b == quote,
        _ => is_space(*b) || *b == b'>',
    };
    input.iter().position(ends).unwrap_or(input.len())
}

/// The length of `="…"` with the white space around the `=`; 0 where no `=` follows.
fn value_with_equals(input: &[u8]) -> usize {
    let spaces = |bytes: &[u8]| bytes.iter().take_while(|b| is_space(**b)).count();
    let equals = spaces(input);
    if input.get(equals) != Some(&b'=') {
        return 0;
    }
    let start = equals + 1 + spaces(&input[equals + 1..]);
    match input.get(start) {
        Some(b'"' | b'\'') => {
            let value = value_length(&input[..=start], &input[start + 1..]);
            (start + value + 2).min(input.len())
        }
        _ => start + value_length(b"", &input[start..]),
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\x0c' | b'\r' | b' ')
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(CONTEXT_BYTES)]).into_owned()
}

/// Whether links lose attributes of this name.
pub(crate) fn is_removed(name: &str) -> bool {
    REMOVED.contains(&name)
}
