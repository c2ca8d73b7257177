//! Plain text: links found and replaced (cases 72 to 77).
//!
//! Everything outside a replaced link and the markers behind links stays byte
//! for byte, but for the white space that an opt-out leaves at the end of its
//! line (see [`trace`]) and the opt-out placeholder, which becomes the reader's
//! link. A tracking URL is never wrapped, so it stands on one line.

mod find;
mod marker;
#[cfg(test)]
mod tests;
mod trace;

use mailtrail_core::link::TEXT_URL_MAX_CHARS;
use mailtrail_core::message::RecordedLink;
use mailtrail_core::policy::{Decision, LinkFacts, Marks, Reason};
use mailtrail_core::target::Target;

use super::link::{OPT_OUT_PLACEHOLDER, OPT_OUT_WITHOUT_RECIPIENT, is_opt_out_placeholder};
use super::report::{Part, Report, ReportedLink, WarningCode, warn_once};
use super::splice::LINE_MAX_OCTETS;
use super::urls::Urls;
use super::{Counted, Job, Rewritten};
use find::{Found, Links};
use trace::Line;

/// A rewrite under way.
struct Rewrite<'a> {
    job: &'a Job,
    input: &'a str,
    /// Where the input is copied up to.
    copied: usize,
    output: String,
    /// The line of the last link.
    line: Option<Line>,
    urls: Urls,
    rewritten: Rewritten,
}

/// Rewrites a plain text; positions and the domain's cap go on from what was
/// counted in the HTML.
pub fn text(job: &Job, counted: Counted, input: &str) -> (String, Rewritten) {
    let mut rewrite = Rewrite {
        job,
        input,
        copied: 0,
        output: String::with_capacity(input.len()),
        line: None,
        urls: Urls::default(),
        rewritten: Rewritten {
            report: Report::default(),
            links: Vec::new(),
            counted,
        },
    };
    for found in Links::of(input) {
        rewrite.link(found);
    }
    rewrite.end()
}

impl Rewrite<'_> {
    fn link(&mut self, mut found: Found) {
        let is_traced = self.line_of(&found).next_is_traced();
        found.said.opted_out |= is_traced;
        let value = &self.input[found.url.clone()];
        let position = self.rewritten.counted.next_position();
        self.rewritten.counted.last_position = position.0;
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
        let mut replacement = self.decided(&found, value, &mut reported);
        if is_opt_out_placeholder(value) {
            replacement = self.opt_out_url();
            if replacement.is_some() {
                reported.reason = Some(Reason::OptOutLink);
                reported.url.clone_from(&replacement);
            }
        }
        // Without its marker the link would be tracked by a second rewrite.
        let opted_out = matches!(
            reported.reason,
            Some(Reason::OptedOut | Reason::Unsubscribe)
        );
        let unmarked = found.markers_end > found.url.end || replacement.is_some();
        self.rewritten.report.links.push(reported);
        self.write(&found, replacement);
        if let Some(line) = &mut self.line {
            line.add_link(is_traced || (opted_out && unmarked));
        }
    }

    /// Decides about a link and puts it into its report; gives what it becomes.
    fn decided(
        &mut self,
        found: &Found,
        value: &str,
        reported: &mut ReportedLink,
    ) -> Option<String> {
        let facts = LinkFacts {
            value,
            text: None,
            marks: Marks {
                opted_out: found.said.opted_out,
                track: false,
                unsubscribe: found.said.unsubscribe,
            },
            tracked_before: self.rewritten.counted.tracked,
        };
        match self.job.link_policy(Part::Text).decide(&facts) {
            Decision::Leave { reason, cleaned } => {
                reported.reason = Some(reason);
                self.left(reason);
                cleaned
            }
            Decision::Track { target, foreign } => {
                reported.target = target.to_string();
                let url = self.urls.click(self.job, reported.position, &target);
                if url.len() > TEXT_URL_MAX_CHARS {
                    reported.reason = Some(Reason::TooLong);
                    return None;
                }
                self.tracked(reported, target, url.clone(), foreign);
                Some(url)
            }
        }
    }

    fn left(&mut self, reason: Reason) {
        match reason {
            Reason::TooMany => self.warn(
                WarningCode::TooManyLinks,
                "more links than the domain's cap; the rest is left",
            ),
            // An earlier rewrite tracked it: it counts against the cap again.
            Reason::AlreadyTracked => self.rewritten.counted.tracked += 1,
            _ => {}
        }
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
        self.rewritten.counted.tracked += 1;
        self.rewritten.links.push(RecordedLink {
            position: reported.position,
            target,
            name: reported.name.clone(),
        });
    }

    /// The line that a link stands in; the one before is ended.
    fn line_of(&mut self, found: &Found) -> &Line {
        if self
            .line
            .as_ref()
            .is_some_and(|line| line.is_before(found.url.start))
        {
            self.end_line();
        }
        let input = self.input;
        self.line
            .get_or_insert_with(|| Line::of(input, &(found.url.start..found.markers_end)))
    }

    /// Copies up to the end of the last link's line and leaves its trace there.
    fn end_line(&mut self) {
        if let Some(line) = self.line.take()
            && let Some(trace) = line.trace()
            && self.job.domain.verified
        {
            let until = line.visible_end.max(self.copied);
            self.copy_until(until);
            self.output.push_str(&trace);
        }
    }

    /// Copies up to the link and puts its replacement; markers are dropped. The
    /// mail of a host that is not verified stays whole.
    fn write(&mut self, found: &Found, replacement: Option<String>) {
        if !self.job.domain.verified {
            return;
        }
        let value = replacement
            .as_deref()
            .unwrap_or(&self.input[found.url.clone()]);
        self.copy_until(found.url.start);
        self.output.push_str(value);
        self.copied = found.markers_end;
    }

    /// Copies what stands between links; in it, opt-out placeholders are heeded.
    fn copy_until(&mut self, until: usize) {
        let mut rest = &self.input[self.copied..until];
        if self.job.domain.verified {
            while let Some((before, behind)) = rest.split_once(OPT_OUT_PLACEHOLDER) {
                self.output.push_str(before);
                let url = self.opt_out_url();
                self.output
                    .push_str(url.as_deref().unwrap_or(OPT_OUT_PLACEHOLDER));
                rest = behind;
            }
            if rest.contains("{{mailtrail:") || rest.contains("{{ mailtrail:") {
                self.warn(
                    WarningCode::PlaceholderLeft,
                    "a {{mailtrail:…}} other than {{mailtrail:optout}} means nothing in a text: it was left",
                );
            }
        }
        self.output.push_str(rest);
        self.copied = until;
    }

    fn opt_out_url(&mut self) -> Option<String> {
        let url = self.job.opt_out_url();
        if url.is_none() {
            self.warn(
                WarningCode::OptOutWithoutRecipient,
                OPT_OUT_WITHOUT_RECIPIENT,
            );
        }
        url
    }

    /// Each warning once, however many links it is about.
    fn warn(&mut self, code: WarningCode, detail: &str) {
        warn_once(&mut self.rewritten.report.warnings, code, detail);
    }

    fn end(mut self) -> (String, Rewritten) {
        self.end_line();
        self.copy_until(self.input.len());
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
