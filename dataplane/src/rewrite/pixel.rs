//! The pixel: its markup, how one of ours is recognised, and where it goes.

use mailtrail_core::character_reference::decode_attribute;
use mailtrail_core::config::PixelPlacement;
use mailtrail_core::link::own_path;
use mailtrail_core::token::{Claim, Kind, Purpose};
use memchr::memmem;
use url::Url;

use crate::rewrite::Job;
use crate::rewrite::tag::Attributes;

/// Gmail clips what is longer, in bytes of HTML: nothing below loads.
pub(super) const GMAIL_CLIPS_BYTES: usize = 102 * 1024;
/// From this size on, in bytes of output without the pixel, `Auto` puts the
/// pixel at the top: gateways and relays may still add 2 KiB of their own.
pub(super) const AUTO_TOP_BYTES: usize = 100 * 1024;

/// Where a pixel of ours leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It is of this message and reader.
    Own(String),
    /// It is of another.
    Foreign,
}

/// What is known of the pixel and its place so far, in bytes of the input.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// After the body's start tag, or before its first content.
    pub(super) top: Option<usize>,
    /// Before the body's last end tag.
    pub(super) bottom: Option<usize>,
    /// Before the `html` element's end tag, where the body has none.
    pub(super) html_end: Option<usize>,
    /// A pixel is in the mail already, at a placeholder or from an earlier
    /// rewrite: its URL.
    pub(super) placed: Option<String>,
}

/// The pixel's URL.
pub(super) fn url(job: &Job) -> String {
    let claim = Claim {
        mail: job.mail.clone(),
        purpose: Purpose::Open,
    };
    job.url(&claim)
}

/// The pixel's markup. No `display:none`, which Gmail may not load; a block, so
/// that it opens no line of text; its height is taken back by the margin, so
/// that nothing moves; an empty `alt`, so that it adds nothing to the preview.
pub(super) fn markup(url: &str) -> String {
    format!(
        r#"<img src="{url}" alt="" width="1" height="1" border="0" style="display:block;width:1px;height:1px;margin:0 0 -1px;padding:0;border:0">"#
    )
}

impl Places {
    /// The places to put the pixel in, in order. `unclosed` is where a region
    /// begins that swallows what follows it, `end` the input's end, `size` the
    /// output's.
    pub(super) fn choose(
        &self,
        wanted: PixelPlacement,
        unclosed: Option<usize>,
        end: usize,
        size: usize,
    ) -> Vec<usize> {
        let bottom = self.bottom.or(self.html_end).unwrap_or(end);
        let bottom = unclosed.map_or(bottom, |unclosed| bottom.min(unclosed));
        let top = self.top.map_or(bottom, |top| top.min(bottom));
        match wanted {
            PixelPlacement::Top => vec![top],
            PixelPlacement::Auto if size >= AUTO_TOP_BYTES => vec![top],
            PixelPlacement::Bottom | PixelPlacement::Auto => vec![bottom],
            PixelPlacement::Both if top == bottom => vec![bottom],
            PixelPlacement::Both => vec![top, bottom],
        }
    }
}

/// Whether an `img` start tag is a pixel of ours, and whose.
pub(super) fn recognise(tag: &[u8], name_end: usize, job: &Job) -> Option<Found> {
    let source = Attributes::new(tag, name_end)
        .find(|a| tag[a.name.clone()].eq_ignore_ascii_case(b"src"))?;
    let raw = &tag[source.value?];
    let is_odd = |b: &u8| matches!(b, b'&' | b'\\' | b'\t' | b'\n' | b'\r');
    if memmem::find(raw, b"/o/").is_none() && !raw.iter().any(is_odd) {
        return None;
    }
    let value = decode_attribute(raw);
    let url = Url::parse(&value).ok()?;
    let domain = job.snapshot.by_url_host(url.host_str()?)?;
    let own = own_path(url.path()).filter(|own| own.kind == Kind::Open)?;
    let claim = job.keys.open(&domain.realm, Kind::Open, own.token).ok()?;
    let same = domain.realm == job.domain.realm && claim.mail.is_same(&job.mail);
    Some(if same {
        Found::Own(value.into_owned())
    } else {
        Found::Foreign
    })
}
