//! HTML or text in, tracked HTML or text out.

pub mod report;
mod text;

use std::sync::Arc;

use mailtrail_core::config::{Domain, PixelPlacement, Snapshot};
use mailtrail_core::id::LinkPosition;
use mailtrail_core::link::UrlBase;
use mailtrail_core::message::RecordedLink;
use mailtrail_core::policy::{LinkPolicy, Reason};
use mailtrail_core::target::Target;
use mailtrail_core::token::{Claim, Keys, Link, Mail, Purpose};

use report::Report;

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
