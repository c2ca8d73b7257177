//! Which links of a mail are tracked, and why the others are not.
//!
//! Pure: the same link, domain, keys and mail give the same decision. The order
//! of the questions is the order of [`LinkPolicy::decide`]; on any doubt the
//! link is left.

mod own;
mod placeholder;
mod sensitive;
mod url_text;

use serde::Serialize;

use crate::config::{Domain, LinkChoice, Snapshot};
use crate::target::{self, Target, TargetError};
use crate::token::{Keys, Mail};
use own::Own;

pub use placeholder::has_placeholder;

/// Put behind a scheme (`https+notrack://`) it opts a link out.
const NOTRACK_SUFFIX: &str = "+notrack";

/// What is known of one link.
#[derive(Debug, Clone, Copy, Default)]
pub struct LinkFacts<'a> {
    /// Its value, character references decoded.
    pub value: &'a str,
    /// The decoded text between its tags. `None` where it has none (a plain
    /// text, an area, a VML shape) or one too long to be a URL.
    pub text: Option<&'a str>,
    /// What the sender marked it with.
    pub marks: Marks,
    /// Links tracked before it in this mail, by position: both halves of an MSO
    /// pair count once.
    pub tracked_before: u32,
}

/// What a sender can mark a link with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Marks {
    /// A marker of any vendor that says "do not track".
    pub opted_out: bool,
    /// `data-track`: track it though it carries a credential or reads as a URL.
    pub track: bool,
    /// A marker of any vendor that says "this unsubscribes".
    pub unsubscribe: bool,
}

/// What a mail's links are judged by. Made of borrows: cheap to make anew.
#[derive(Debug, Clone, Copy)]
pub struct LinkPolicy<'a> {
    /// The tracking domain.
    pub domain: &'a Domain,
    /// Why no link of this mail is tracked, where that is so
    /// ([`Reason::ClicksOff`], [`Reason::HostUnverified`], [`Reason::Amp`]).
    pub off: Option<Reason>,
    /// The mail's `List-Unsubscribe` URLs.
    pub unsubscribe_urls: &'a [Target],
    /// All domains: a link on a tracking host is known by it.
    pub snapshot: &'a Snapshot,
    /// Opens tokens of links that are tracked already.
    pub keys: &'a Keys,
    /// This message and reader.
    pub mail: &'a Mail,
}

/// What becomes of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is tracked.
    Track {
        /// Where it leads.
        target: Target,
        /// The value was a tracking URL of another message or reader (case 39).
        foreign: bool,
    },
    /// It is left.
    Leave {
        /// Why.
        reason: Reason,
        /// What the value must become all the same: it was opted out by a
        /// scheme that no mail client knows.
        cleaned: Option<String>,
    },
}

/// Why a link is left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Clicks are off for the domain or the message.
    ClicksOff,
    /// Clicks are on, and those of plain text are off.
    PlainTextOff,
    /// The sender marked it.
    OptedOut,
    /// The value is empty or blank.
    Empty,
    /// A path, query or fragment.
    Relative,
    /// Looks like a host without a scheme.
    SchemelessHost,
    /// A scheme other than http and https.
    OtherScheme,
    /// Not a URL.
    Invalid,
    /// User name or password in it.
    Userinfo,
    /// Holds a placeholder of a template language.
    Placeholder,
    /// Was the opt-out placeholder, and is the reader's link to withdraw now.
    OptOutLink,
    /// The list's unsubscribe link.
    Unsubscribe,
    /// Stands on this tracking host already.
    AlreadyTracked,
    /// Its tracking URL would be too long.
    TooLong,
    /// Behind the domain's cap.
    TooMany,
    /// Its text is itself a URL.
    TextIsUrl,
    /// Carries a credential.
    Sensitive,
    /// Its host is on the domain's list.
    NeverTrack,
    /// The host is not verified yet.
    HostUnverified,
    /// In an AMP part.
    Amp,
}

impl LinkPolicy<'_> {
    /// Decides about one link.
    pub fn decide(&self, facts: &LinkFacts<'_>) -> Decision {
        if let Some(cleaned) = without_notrack(facts.value) {
            return Decision::Leave {
                reason: Reason::OptedOut,
                cleaned: Some(cleaned),
            };
        }
        match self.target(facts) {
            Ok((target, foreign)) => Decision::Track { target, foreign },
            Err(reason) => Decision::Leave {
                reason,
                cleaned: None,
            },
        }
    }

    fn target(&self, facts: &LinkFacts<'_>) -> Result<(Target, bool), Reason> {
        let parsed = Target::parse(facts.value);
        if let Err(error @ (TargetError::Empty | TargetError::OtherScheme)) = &parsed {
            return Err(Reason::from(*error));
        }
        if facts.marks.opted_out {
            return Err(Reason::OptedOut);
        }
        if has_placeholder(facts.value) {
            return Err(Reason::Placeholder);
        }
        if facts.marks.unsubscribe {
            return Err(Reason::Unsubscribe);
        }
        let target = parsed?;
        let host = target.host();
        let behind = match self.own(&target, &host) {
            Own::Elsewhere => {
                self.doubts(facts, &target, &host)?;
                None
            }
            Own::Foreign(behind) => Some(behind),
            Own::ThisMail | Own::Other => return Err(Reason::AlreadyTracked),
        };
        if let Some(off) = self.off {
            return Err(off);
        }
        if facts.tracked_before >= self.domain.clicks.links_max {
            return Err(Reason::TooMany);
        }
        drop(host);
        let foreign = behind.is_some();
        Ok((behind.unwrap_or(target), foreign))
    }

    /// What speaks against a link that could be tracked. A tracking URL of
    /// another mail is not asked: left, it would count for that mail.
    fn doubts(&self, facts: &LinkFacts<'_>, target: &Target, host: &str) -> Result<(), Reason> {
        let clicks = &self.domain.clicks;
        let wanted = |choice| facts.marks.track || choice == LinkChoice::Track;
        if self.unsubscribes(target, host) {
            return Err(Reason::Unsubscribe);
        }
        if clicks.never_track_hosts.iter().any(|p| p.matches(host)) {
            return Err(Reason::NeverTrack);
        }
        if !wanted(clicks.sensitive) && sensitive::carries_credential(target.as_str()) {
            return Err(Reason::Sensitive);
        }
        if !wanted(clicks.url_text)
            && let Some(text_host) = facts.text.and_then(url_text::host)
            && !url_text::share_registrable_domain(&text_host, self.domain.host.as_str())
        {
            return Err(Reason::TextIsUrl);
        }
        Ok(())
    }

    /// Whether the target is a `List-Unsubscribe` URL of the mail, as written or
    /// as the URL standard writes both.
    fn unsubscribes(&self, target: &Target, host: &str) -> bool {
        let same = |url: &Target| url.host() == host && url.url() == target.url();
        self.unsubscribe_urls
            .iter()
            .any(|url| url == target || same(url))
    }
}

/// The value without its opt-out scheme suffix, where it has one.
fn without_notrack(value: &str) -> Option<String> {
    // A scheme ends at the first `:`; most values with a `+` have it in a query.
    if !value.split_once(':')?.0.contains('+') {
        return None;
    }
    let stripped = target::strip(value);
    let scheme = target::scheme(&stripped)?;
    let (web, suffix) = scheme.split_at_checked(scheme.len().checked_sub(NOTRACK_SUFFIX.len())?)?;
    let opted_out = suffix.eq_ignore_ascii_case(NOTRACK_SUFFIX)
        && ["http", "https"]
            .iter()
            .any(|s| web.eq_ignore_ascii_case(s));
    opted_out.then(|| format!("{web}{}", &stripped[scheme.len()..]))
}

impl From<TargetError> for Reason {
    fn from(error: TargetError) -> Self {
        match error {
            TargetError::Empty => Self::Empty,
            TargetError::Relative => Self::Relative,
            TargetError::SchemelessHost => Self::SchemelessHost,
            TargetError::OtherScheme => Self::OtherScheme,
            TargetError::Userinfo => Self::Userinfo,
            TargetError::Invalid => Self::Invalid,
        }
    }
}

#[cfg(test)]
mod tests;
