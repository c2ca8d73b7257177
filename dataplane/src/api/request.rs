//! What a rewrite is asked for: from a JSON body or from `Mailtrail-*` header
//! fields, parsed once into types that cannot be wrong.

mod headers;

use std::collections::BTreeMap;

use jiff::Timestamp;
use mailtrail_core::config::PixelPlacement;
use mailtrail_core::id::{Host, MessageId, Realm, Recipient};
use mailtrail_core::target::Target;
use serde_json::Value;

use super::asked::name;
use super::fields::{Fields, line_fault};
use super::problem::Problem;
use super::settings::{
    HEADER_MAX_BYTES, TAGS_MAX, TAGS_MAX_BYTES, UNSUBSCRIBE_URL_MAX_BYTES, UNSUBSCRIBE_URLS_MAX,
};
use super::times::time;

pub(super) use headers::from_headers;

/// A rewrite, without the bodies.
#[derive(Debug)]
pub(super) struct Asked {
    /// Which tracking domain.
    pub domain: DomainName,
    /// The sender's id.
    pub message_id: MessageId,
    /// The reader.
    pub recipient: Option<Recipient>,
    /// The sender's tags.
    pub tags: BTreeMap<String, String>,
    /// What shall be tracked, as far as the domain allows.
    pub tracking: AskedTracking,
    /// Kept beside the message.
    pub from: Option<String>,
    /// Kept beside the message.
    pub to: Option<String>,
    /// Kept beside the message.
    pub subject: Option<String>,
    /// When the mail is sent.
    pub sent_at: Option<Timestamp>,
    /// The mail's `List-Unsubscribe` URLs that are web addresses.
    pub unsubscribe_urls: Vec<Target>,
    /// Only tell.
    pub dry_run: bool,
    /// Hits never count.
    pub test: bool,
}

/// A tracking domain, by either of its names.
#[derive(Debug)]
pub(super) enum DomainName {
    /// `namespace/name`.
    Realm(Realm),
    /// A tracking host.
    Host(Host),
}

/// What shall be tracked; `None` where the domain decides.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct AskedTracking {
    /// Opens.
    pub opens: Option<bool>,
    /// Clicks.
    pub clicks: Option<bool>,
    /// Clicks in plain text.
    pub text: Option<bool>,
    /// Where the pixel goes.
    pub pixel: Option<PixelPlacement>,
}

/// A rewrite of a JSON body.
#[derive(Debug)]
pub(super) struct AskedMail {
    /// What is asked for.
    pub asked: Asked,
    /// The HTML body.
    pub html: Option<String>,
    /// The plain text body.
    pub text: Option<String>,
}

/// Reads a JSON body.
pub(super) fn from_json(body: &[u8]) -> Result<AskedMail, Problem> {
    let mut fields = Fields::parse(body)?;
    if !fields.has("html") && !fields.has("text") {
        fields.error("html", "is required, or text");
        fields.error("text", "is required, or html");
    }
    let html = fields.text("html");
    let text = fields.text("text");
    let asked = asked(fields)?;
    Ok(AskedMail { asked, html, text })
}

/// Reads all but the bodies.
fn asked(mut fields: Fields) -> Result<Asked, Problem> {
    let domain = fields.parsed("domain", domain);
    let domain = fields.require("domain", domain);
    let message_id = fields.parsed("message_id", name::<MessageId>);
    let message_id = fields.require("message_id", message_id);
    let recipient = fields.parsed("recipient", name::<Recipient>);
    let tags = tags(&mut fields);
    let tracking = tracking(&mut fields);
    let from = fields.line("from", HEADER_MAX_BYTES);
    let to = fields.line("to", HEADER_MAX_BYTES);
    let subject = fields.line("subject", HEADER_MAX_BYTES);
    let sent_at = fields.parsed("sent_at", time);
    let unsubscribe_urls = unsubscribe_urls(&mut fields);
    let dry_run = fields.flag("dry_run").unwrap_or(false);
    let test = fields.flag("test").unwrap_or(false);
    fields.finish()?;
    let (Some(domain), Some(message_id)) = (domain, message_id) else {
        // A required field that is missing has ended this above.
        return Err(Problem::field("domain", "is required"));
    };
    Ok(Asked {
        domain,
        message_id,
        recipient,
        tags,
        tracking,
        from,
        to,
        subject,
        sent_at,
        unsubscribe_urls,
        dry_run,
        test,
    })
}

fn domain(text: &str) -> Result<DomainName, String> {
    let named = if text.contains('/') {
        name(text).map(DomainName::Realm)
    } else {
        name(text).map(DomainName::Host)
    };
    named.map_err(|rule| format!("must be a tracking host or <namespace>/<name>; it {rule}"))
}

fn tags(fields: &mut Fields) -> BTreeMap<String, String> {
    let mut tags = BTreeMap::new();
    let map = fields.object("tags").unwrap_or_default();
    let mut bytes = 0;
    let count = map.len();
    for (key, value) in map {
        let Value::String(value) = value else {
            fields.error("tags", "must have strings as values");
            return BTreeMap::new();
        };
        bytes += key.len() + value.len();
        let fault = line_fault(&key, TAGS_MAX_BYTES).or_else(|| line_fault(&value, TAGS_MAX_BYTES));
        if key.is_empty() {
            fields.error("tags", "must have names that are not empty");
        } else if let Some(rule) = fault {
            fields.error("tags", rule);
            return BTreeMap::new();
        }
        tags.insert(key, value);
    }
    if count > TAGS_MAX {
        fields.error("tags", format!("must have at most {TAGS_MAX} entries"));
    }
    if bytes > TAGS_MAX_BYTES {
        let rule = format!("must have at most {TAGS_MAX_BYTES} bytes together");
        fields.error("tags", rule);
    }
    tags
}

fn tracking(fields: &mut Fields) -> AskedTracking {
    let Some(map) = fields.object("tracking") else {
        return AskedTracking::default();
    };
    let mut inner = Fields::of(map);
    let tracking = AskedTracking {
        opens: inner.flag("opens"),
        clicks: inner.flag("clicks"),
        text: inner.flag("text"),
        pixel: inner.parsed("pixel", pixel),
    };
    fields.adopt("tracking", inner);
    tracking
}

fn pixel(text: &str) -> Result<PixelPlacement, String> {
    match text {
        "auto" => Ok(PixelPlacement::Auto),
        "top" => Ok(PixelPlacement::Top),
        "bottom" => Ok(PixelPlacement::Bottom),
        "both" => Ok(PixelPlacement::Both),
        _ => Err("must be auto, top, bottom or both".to_owned()),
    }
}

/// `mailto:` is as good in that header as a web address, and never tracked.
fn unsubscribe_urls(fields: &mut Fields) -> Vec<Target> {
    let mut targets = Vec::new();
    let urls = fields.list("unsubscribe_urls", UNSUBSCRIBE_URLS_MAX);
    for (at, url) in urls.into_iter().enumerate() {
        let name = format!("unsubscribe_urls[{at}]");
        let Value::String(url) = url else {
            fields.error(name, "must be a string");
            continue;
        };
        if url.len() > UNSUBSCRIBE_URL_MAX_BYTES {
            let rule = format!("must be at most {UNSUBSCRIBE_URL_MAX_BYTES} bytes long");
            fields.error(name, rule);
            continue;
        }
        let is_mailto = mailtrail_core::target::scheme(&url)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("mailto"));
        match Target::parse(&url) {
            Ok(target) => targets.push(target),
            Err(_) if is_mailto => {}
            Err(_) => fields.error(name, "must be an http, https or mailto URL"),
        }
    }
    targets
}
