//! Plain text: links found and replaced (cases 72 to 77).
//!
//! Everything outside a replaced link and the markers behind links stays byte
//! for byte. A tracking URL is never wrapped, so it stands on one line.

mod find;
mod marker;
#[cfg(test)]
mod tests;

use mailtrail_core::id::LinkPosition;
use mailtrail_core::link::TEXT_URL_MAX_CHARS;
use mailtrail_core::message::RecordedLink;
use mailtrail_core::policy::{Decision, LinkFacts, Marks, Reason};
use mailtrail_core::target::Target;

use super::report::{Part, Report, ReportedLink, WarningCode, warn_once};
use super::splice::LINE_MAX_OCTETS;
use super::{Job, Rewritten};
use find::{Found, Links};

/// A rewrite under way.
struct Rewrite<'a> {
    job: &'a Job,
    input: &'a str,
    /// Where the input is copied up to.
    copied: usize,
    output: String,
    rewritten: Rewritten,
}

/// Rewrites a plain text; positions go on from `first_position`, where the
/// HTML's ended. The domain's cap counts the links of this part alone.
pub fn text(job: &Job, first_position: LinkPosition, input: &str) -> (String, Rewritten) {
    let mut rewrite = Rewrite {
        job,
        input,
        copied: 0,
        output: String::with_capacity(input.len()),
        rewritten: Rewritten {
            report: Report::default(),
            links: Vec::new(),
        },
    };
    for (position, found) in (first_position.0..).map(LinkPosition).zip(Links::of(input)) {
        rewrite.link(position, found);
    }
    rewrite.end()
}

impl Rewrite<'_> {
    fn link(&mut self, position: LinkPosition, found: Found) {
        let value = &self.input[found.url.clone()];
        let facts = LinkFacts {
            value,
            text: None,
            marks: Marks {
                opted_out: found.said.opted_out,
                track: false,
                unsubscribe: found.said.unsubscribe,
            },
            // A cap beyond what a u32 counts is none.
            tracked_before: u32::try_from(self.rewritten.links.len()).unwrap_or(u32::MAX),
        };
        let mut replacement = None;
        let mut reported = ReportedLink {
            position,
            part: Part::Text,
            element: None,
            target: value.to_owned(),
            tracked: false,
            url: None,
            reason: None,
            name: found.said.name.clone(),
        };
        match self.job.link_policy(self.job.tracking.text).decide(&facts) {
            Decision::Leave { reason, cleaned } => {
                reported.reason = Some(reason);
                replacement = cleaned;
            }
            Decision::Track { target, foreign } => {
                reported.target = target.to_string();
                let url = self.job.link_url(position, &target);
                if url.len() > TEXT_URL_MAX_CHARS {
                    reported.reason = Some(Reason::TooLong);
                } else {
                    self.tracked(&mut reported, target, url.clone(), foreign);
                    replacement = Some(url);
                }
            }
        }
        if reported.reason == Some(Reason::TooMany) {
            self.warn(
                WarningCode::TooManyLinks,
                "more links than the domain's cap; the rest is left",
            );
        }
        self.rewritten.report.links.push(reported);
        self.write(&found, replacement);
    }

    fn tracked(&mut self, reported: &mut ReportedLink, target: Target, url: String, foreign: bool) {
        if foreign {
            self.warn(
                WarningCode::ForeignLink,
                "a tracking URL of another message was tracked anew",
            );
        }
        reported.tracked = true;
        reported.url = Some(url);
        self.rewritten.links.push(RecordedLink {
            position: reported.position,
            target,
            name: reported.name.clone(),
        });
    }

    /// Copies up to the link and puts its replacement; markers are dropped. The
    /// mail of a host that is not verified stays whole.
    fn write(&mut self, found: &Found, replacement: Option<String>) {
        if !self.job.domain.verified {
            return;
        }
        let (until, value) = match &replacement {
            Some(value) => (found.url.start, value.as_str()),
            None => (found.url.end, ""),
        };
        self.output.push_str(&self.input[self.copied..until]);
        self.output.push_str(value);
        self.copied = found.markers_end;
    }

    /// Each warning once, however many links it is about.
    fn warn(&mut self, code: WarningCode, detail: &str) {
        warn_once(&mut self.rewritten.report.warnings, code, detail);
    }

    fn end(mut self) -> (String, Rewritten) {
        self.output.push_str(&self.input[self.copied..]);
        let long = |text: &str| {
            let lines = text.split('\n').map(|line| line.trim_end_matches('\r'));
            lines.filter(|line| line.len() > LINE_MAX_OCTETS).count()
        };
        if long(&self.output) > long(self.input) {
            self.warn(
                WarningCode::LineOver998,
                "a line of the text is longer than 998 octets: encode the part",
            );
        }
        (self.output, self.rewritten)
    }
}
