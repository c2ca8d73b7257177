//! HTML or text in, tracked HTML or text out.
//!
//! # How
//!
//! [`scan`] finds the markup, [`walk`] decides what becomes of it (links by
//! `core::policy`), [`splice`] puts out the original bytes with a few ranges
//! replaced: the value of an `href`, an opt-out marker or link name with the
//! white space before it, a placeholder, a foreign pixel; and the pixel put in.
//! Nothing else changes, whatever the bytes.
//!
//! # Guarantees
//!
//! - The output depends on the input's bytes and the job alone, never on how
//!   the input was cut into chunks.
//! - Every input comes back. Where parsers in use disagree on what follows
//!   (see [`scan`]) the rest passes unchanged from there on, with the warning
//!   `unparsable`; what was decided before stays.
//! - Rewriting the output again with the same job gives the same bytes.
//! - Opt-out markers and link names are taken out whether clicks are on or
//!   off: they mean nothing to the reader. A mail whose host is not verified
//!   is not touched at all.
//!
//! # Memory
//!
//! Held back is one token; behind a link, up to 4 KiB of its text; and the
//! stretch from the first place where the pixel may have to go: the last
//! `</body>` so far when it goes to the bottom, else the body's begin (`Top`,
//! `Both`, and `Auto`, which depends on the size), because a placeholder for
//! it may follow. So the bound is the body limit of the caller.
//!
//! # Why this is not `lol_html`
//!
//! Its API shows no end tag without a start tag (a second `</body>`), gives
//! conditional comments and `<noscript>` as one text, and in strict mode gives
//! up on documents; a tokenizer of one's own was needed beside it. It is not
//! the faster for it: finding alone costs about what a pass of `lol_html` does.
//! `lol_html` stays as a referee in the tests and as the peer in the benchmark.

mod anchor;
mod foreign;
mod link;
mod mark;
mod outlook;
mod pixel;
pub mod report;
mod scan;
mod splice;
mod tag;
mod text;
mod twin;
mod walk;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use mailtrail_core::config::{Domain, PixelPlacement, Snapshot};
use mailtrail_core::id::LinkPosition;
use mailtrail_core::link::UrlBase;
use mailtrail_core::message::RecordedLink;
use mailtrail_core::policy::{LinkPolicy, Reason};
use mailtrail_core::target::Target;
use mailtrail_core::token::{Claim, Keys, Link, Mail, Purpose};

use report::Report;
use walk::{View, Walk};

pub use text::text;

/// Everything one rewrite needs; built by the API from domain and request.
#[derive(Debug, Clone)]
pub struct Job {
    /// The tracking domain.
    pub domain: Arc<Domain>,
    /// Seals this mail's tokens and opens those of links that are tracked already.
    pub keys: Arc<Keys>,
    /// All domains: a link on any tracking host is known by it.
    pub snapshot: Arc<Snapshot>,
    /// Base of the tracking URLs, that of the domain's host.
    pub base: UrlBase,
    /// The message and its reader.
    pub mail: Mail,
    /// What is tracked: what the domain allows, narrowed by the request.
    pub tracking: Tracking,
    /// The mail's `List-Unsubscribe` URLs.
    pub unsubscribe_urls: Vec<Target>,
    /// Port of the public listener, for hosts on one's own machine.
    pub local_port: u16,
}

/// What of a mail is tracked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tracking {
    /// Place a pixel.
    pub opens: bool,
    /// Track links of HTML.
    pub clicks: bool,
    /// Track links of plain text.
    pub text: bool,
    /// Where the pixel goes.
    pub pixel: PixelPlacement,
}

/// What a rewrite says and leaves behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewritten {
    /// Every link, the pixel, the warnings.
    pub report: Report,
    /// The tracked links, for the message record.
    pub links: Vec<RecordedLink>,
}

/// Rewrites HTML that comes in pieces.
pub struct HtmlRewriter {
    walk: Walk,
    /// Input from `base` on; what lies before `walk.done()` is put out.
    held: Vec<u8>,
    base: usize,
    /// Input size from which on another look is worthwhile: a token longer
    /// than what has come is looked at again when that has doubled, so that
    /// small chunks cost linear time.
    look_at: usize,
}

// === Job ===

impl Job {
    /// The tracking URL of a link.
    fn link_url(&self, position: LinkPosition, target: &Target) -> String {
        let claim = Claim {
            mail: self.mail.clone(),
            purpose: Purpose::Click(Link {
                position,
                target: target.clone(),
            }),
        };
        let token = self.keys.seal(&self.domain.realm, &claim);
        self.base.url(claim.kind(), &token)
    }

    /// What the links of this mail are judged by; `on` is the toggle of the
    /// part they stand in.
    fn link_policy(&self, on: bool) -> LinkPolicy<'_> {
        let off = if !self.domain.verified {
            Some(Reason::HostUnverified)
        } else if !on {
            Some(Reason::ClicksOff)
        } else {
            None
        };
        LinkPolicy {
            domain: &self.domain,
            off,
            unsubscribe_urls: &self.unsubscribe_urls,
            snapshot: &self.snapshot,
            keys: &self.keys,
            mail: &self.mail,
        }
    }
}

// === HtmlRewriter ===

impl HtmlRewriter {
    /// A rewriter of one mail.
    pub fn new(job: Job) -> Self {
        Self {
            walk: Walk::new(job),
            held: Vec::new(),
            base: 0,
            look_at: 0,
        }
    }

    /// Takes the next piece and appends to `out` what is certain.
    pub fn write(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        self.held.extend_from_slice(chunk);
        let size = self.base + self.held.len();
        if size < self.look_at {
            return;
        }
        let view = View {
            bytes: &self.held,
            base: self.base,
            last: false,
        };
        self.walk.advance(&view);
        self.walk.flush(&view, out);
        self.look_at = size + (size - self.walk.at());
        self.forget();
    }

    /// Ends the mail: appends the rest to `out`.
    pub fn end(mut self, out: &mut Vec<u8>) -> Rewritten {
        let view = View {
            bytes: &self.held,
            base: self.base,
            last: true,
        };
        self.walk.advance(&view);
        self.walk.end(&view, out)
    }

    /// Drops what is put out, once that is half of what is held.
    fn forget(&mut self) {
        let done = self.walk.done() - self.base;
        if done * 2 >= self.held.len() {
            self.held.drain(..done);
            self.base += done;
        }
    }
}

/// Rewrites HTML that is there as a whole: the same as [`HtmlRewriter`] gives,
/// without copies in between.
pub fn html(job: Job, input: &[u8]) -> (Vec<u8>, Rewritten) {
    let mut walk = Walk::new(job);
    let view = View {
        bytes: input,
        base: 0,
        last: true,
    };
    walk.advance(&view);
    // Tracking URLs are longer than what they replace, by some 100 bytes each.
    let mut out = Vec::with_capacity(input.len() + input.len() / 8 + 512);
    let rewritten = walk.end(&view, &mut out);
    (out, rewritten)
}
