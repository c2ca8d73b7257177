//! The end of a walk: the pixel is placed, the rest put out, all of it reported.

use crate::rewrite::Rewritten;
use crate::rewrite::link::Links;
use crate::rewrite::pixel::{self, GMAIL_CLIPS_BYTES};
use crate::rewrite::report::{PixelReason, Report, ReportedPixel, Warning, WarningCode, warning};
use crate::rewrite::splice::LINE_MAX_OCTETS;
use crate::rewrite::walk::{View, Walk};

const PLACEHOLDER_LEFT: &str = "a {{mailtrail:…}} was left where it means nothing: {{mailtrail:pixel}} belongs in the body's content, {{mailtrail:optout}} is the whole address of a link";

impl Walk {
    /// Places the pixel, puts out the rest, and reports.
    pub(in crate::rewrite) fn end(mut self, view: &View<'_>, out: &mut Vec<u8>) -> Rewritten {
        let end = view.base + view.bytes.len();
        let pixel = self.place_pixel(end);
        self.edits.splices.flush(view.bytes, view.base, end, out);
        self.closing_warnings(end);
        let Links {
            reported,
            recorded,
            counted,
            ..
        } = self.links;
        Rewritten {
            report: Report {
                links: reported,
                pixel,
                warnings: self.warnings,
            },
            links: recorded,
            counted,
        }
    }

    /// Like [`Walk::end`], and gives the edits instead of the report.
    #[cfg(test)]
    pub(in crate::rewrite) fn end_with_edits(
        mut self,
        view: &View<'_>,
        out: &mut Vec<u8>,
    ) -> Vec<crate::rewrite::splice::Edit> {
        let end = view.base + view.bytes.len();
        self.place_pixel(end);
        self.edits.splices.flush(view.bytes, view.base, end, out);
        self.edits.splices.log
    }

    fn place_pixel(&mut self, end: usize) -> ReportedPixel {
        if let Some(reason) = self.no_pixel(end) {
            return ReportedPixel {
                placed: false,
                url: None,
                reason: Some(reason),
            };
        }
        let url = self
            .places
            .placed
            .take()
            .unwrap_or_else(|| self.put_pixel(end));
        ReportedPixel {
            placed: true,
            url: Some(url),
            reason: None,
        }
    }

    fn no_pixel(&mut self, end: usize) -> Option<PixelReason> {
        let blank = !self.nonblank && self.at >= end;
        if blank {
            self.warnings
                .push(warning(WarningCode::Empty, "the HTML is empty or blank"));
        }
        if self.edits.frozen {
            Some(PixelReason::HostUnverified)
        } else if !self.job.tracking.opens {
            Some(PixelReason::OpensOff)
        } else if self.places.placed.is_some() {
            None
        } else if blank {
            Some(PixelReason::Empty)
        } else if self.markup.scanner().in_frameset() {
            Some(PixelReason::Frameset)
        } else if self.places.top.is_none() && self.unclosed(end).is_some() {
            // The reader sees nothing: a pixel before the region would end the
            // head and be all that the body shows.
            Some(PixelReason::UnclosedRegion)
        } else {
            self.given_up.then_some(PixelReason::Unparsable)
        }
    }

    /// Where a region begins that is open at the end of the input.
    fn unclosed(&self, end: usize) -> Option<usize> {
        let unfinished = (self.at < end).then_some(self.at);
        [unfinished, self.regions.first()]
            .into_iter()
            .flatten()
            .min()
    }

    fn put_pixel(&mut self, end: usize) -> String {
        let unclosed = self.unclosed(end);
        let size = self.edits.splices.output_size(end);
        let url = pixel::url(&self.job);
        for place in self
            .places
            .choose(self.job.tracking.pixel, unclosed, end, size)
        {
            self.edits.add(place..place, pixel::markup(&url));
        }
        url
    }

    fn closing_warnings(&mut self, end: usize) {
        self.warnings.append(&mut self.links.warnings);
        let heeded = self.placeholders + self.links.placeholders;
        if self.markup.own_placeholders() > heeded && !self.edits.frozen {
            self.warnings
                .push(warning(WarningCode::PlaceholderLeft, PLACEHOLDER_LEFT));
        }
        let size = self.edits.splices.output_size(end);
        if size > GMAIL_CLIPS_BYTES {
            let added = size as i64 - end as i64;
            self.warnings.push(Warning {
                code: WarningCode::GmailClips,
                detail: format!(
                    "the HTML has {size} bytes, {added} of them by rewriting; Gmail clips after {GMAIL_CLIPS_BYTES}"
                ),
            });
        }
        if self.edits.splices.end_line() {
            self.warnings.push(Warning {
                code: WarningCode::LineOver998,
                detail: format!(
                    "a rewritten line is longer than {LINE_MAX_OCTETS} octets: encode the part"
                ),
            });
        }
    }
}
