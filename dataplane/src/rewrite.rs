//! HTML or text in, tracked HTML or text out.
//!
//! # How
//!
//! [`markup`] puts tokens in order; [`walk`] decides what becomes of them (links
//! by `core::policy`), [`splice`] puts out the original bytes with a few ranges
//! replaced: the value of an `href`, an opt-out marker or link name with the
//! white space before it, a placeholder, a foreign pixel; and the pixel put in.
//! Nothing else changes, whatever the bytes.
//!
//! # Who reads what
//!
//! [`scan`] reads tokens, and lol_html confirms them ([`referee`]): where links
//! are, where text-only elements (`script`, `style`, `title`, …) and comments
//! begin and end, and which documents parsers disagree on. No link is touched
//! that it does not find at the very same place; where the two differ, so will
//! mail clients, and the mail passes unchanged from there on. lol_html writes
//! nothing: its setters write a start tag anew, its text handlers lose bytes
//! that are no UTF-8. `<noscript>` is markup in a mail and text to lol_html,
//! which is therefore shown another name.
//!
//! Most of a mail is text and tags that are nothing but tags. From one
//! [`sight`], a place where something may matter (a link, a comment, a
//! placeholder, an end tag of the body), to the next it is skimmed ([`skim`])
//! and nobody reads it. All tokens are read before the body's content and in
//! foreign content, `template` and `select`. The inside of conditional comments
//! and the text of an anchor are read by [`scan`] alone.
//!
//! # Guarantees
//!
//! - The output depends on the input's bytes and the job alone, never on how
//!   the input was cut into chunks.
//! - Every input comes back. Where parsers disagree on what follows, or
//!   lol_html would need too much memory, the rest passes unchanged from there
//!   on, with the warning `unparsable`; what was decided before stays.
//! - Rewriting the output again with the same job gives the same bytes.
//! - Opt-out markers and link names are taken out whether clicks are on or
//!   off: they mean nothing to the reader. A mail whose host is not verified
//!   is not touched at all.
//!
//! # Memory
//!
//! Held back are a block of 16 KiB and the token that it ends in; behind a
//! link, up to 4 KiB of its text; and the stretch from the first place where the
//! pixel may have to go: the last `</body>` so far when it goes to the bottom,
//! else the body's begin (`Top`, `Both`, and `Auto`, which depends on the size),
//! because a placeholder for it may follow. So the bound is the body limit of
//! the caller. Beside it stand the sights not passed yet that are no tags, 8
//! bytes each: of what is held back at most three times its size, if it is
//! nothing but `{{m`.
//! lol_html's memory has a limit of its own (see [`referee`]).

mod anchor;
mod foreign;
mod link;
mod mark;
mod markup;
mod outlook;
mod pixel;
mod referee;
pub mod report;
mod scan;
mod sight;
mod skim;
mod splice;
mod tag;
mod text;
mod twin;
mod urls;
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
use mailtrail_core::token::{Claim, Keys, Mail, Purpose};

use markup::Markup;
use report::{Part, Report};
use walk::{View, Walk};

pub use text::text;

/// The input is looked at whenever so many bytes more have come, counted from
/// its begin.
const BLOCK_BYTES: usize = 16 * 1024;

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
    /// What the mail's other body goes on from.
    pub counted: Counted,
}

/// What was counted in the bodies of a mail so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// The last link's place; 0 where there is none.
    last_position: u32,
    /// Links that are tracked, or were by an earlier rewrite: the domain's cap
    /// is on these.
    tracked: u32,
}

/// Rewrites HTML that comes in pieces.
pub struct HtmlRewriter {
    walk: Walk,
    /// Input from `base` on; what lies before `walk.done()` is put out.
    held: Vec<u8>,
    base: usize,
    /// Input size at which the next look is due.
    look_at: usize,
}

// === Job ===

impl Job {
    /// The tracking URL that says `claim`.
    fn url(&self, claim: &Claim) -> String {
        let token = self.keys.seal(&self.domain.realm, claim);
        self.base.url(claim.kind(), &token)
    }

    /// The URL by which the reader withdraws; nothing where no reader is named.
    fn opt_out_url(&self) -> Option<String> {
        self.mail.recipient.as_ref()?;
        let claim = Claim {
            mail: self.mail.clone(),
            purpose: Purpose::Withdraw,
        };
        Some(self.url(&claim))
    }

    /// What the links of a part of this mail are judged by.
    fn link_policy(&self, part: Part) -> LinkPolicy<'_> {
        let off = if !self.domain.verified {
            Some(Reason::HostUnverified)
        } else if !self.tracking.clicks {
            Some(Reason::ClicksOff)
        } else if part == Part::Text && !self.tracking.text {
            Some(Reason::PlainTextOff)
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

// === Counted ===

impl Counted {
    /// The place of the next link.
    fn next_position(self) -> LinkPosition {
        LinkPosition(self.last_position + 1)
    }
}

// === HtmlRewriter ===

impl HtmlRewriter {
    /// A rewriter of one mail.
    pub fn new(job: Job) -> Self {
        Self {
            walk: Walk::new(job, Markup::new()),
            held: Vec::new(),
            base: 0,
            look_at: BLOCK_BYTES,
        }
    }

    /// Takes the next piece and appends to `out` what is certain.
    pub fn write(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        self.held.extend_from_slice(chunk);
        while let Some(bytes) = self.held.get(..self.look_at - self.base) {
            let view = View {
                bytes,
                base: self.base,
                last: false,
            };
            self.look_at = self.walk.look(&view, BLOCK_BYTES);
            self.walk.flush(&view, out);
        }
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
    html_in_blocks(job, input, BLOCK_BYTES)
}

fn html_in_blocks(job: Job, input: &[u8], block_bytes: usize) -> (Vec<u8>, Rewritten) {
    let mut walk = Walk::new(job, Markup::new());
    let mut look_at = block_bytes;
    while let Some(bytes) = input.get(..look_at) {
        let view = View {
            bytes,
            base: 0,
            last: false,
        };
        look_at = walk.look(&view, block_bytes);
    }
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
