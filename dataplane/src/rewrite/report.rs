//! What a rewrite says of itself: every link in document order, the pixel, the
//! warnings; in the JSON shape of the API.

use mailtrail_core::id::LinkPosition;
use mailtrail_core::policy::Reason;
use serde::Serialize;

/// What became of a mail's links and pixel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct Report {
    /// Every link, in document order.
    pub links: Vec<ReportedLink>,
    /// The pixel.
    pub pixel: ReportedPixel,
    /// What the sender should know.
    pub warnings: Vec<Warning>,
}

/// One link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReportedLink {
    /// Its place, from 1 on; both halves of an MSO pair share one.
    pub position: LinkPosition,
    /// Where it stands.
    pub part: Part,
    /// Its element, such as `a`, `area`, `v:rect`; null in plain text.
    pub element: Option<String>,
    /// Where it leads: what a browser would open, or the value as it stands
    /// where that is no web address.
    pub target: String,
    /// Whether it is tracked now.
    pub tracked: bool,
    /// The tracking URL.
    pub url: Option<String>,
    /// Why it is not tracked.
    pub reason: Option<Reason>,
    /// The name the sender gave it.
    pub name: Option<String>,
}

/// Which body a link stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The HTML body.
    Html,
    /// The plain text body.
    Text,
}

/// The pixel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct ReportedPixel {
    /// Whether it is in the mail now.
    pub placed: bool,
    /// Its URL.
    pub url: Option<String>,
    /// Why it is not.
    pub reason: Option<PixelReason>,
}

/// Why no pixel was placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PixelReason {
    /// The domain's toggle or the request turned opens off.
    OpensOff,
    /// The host is not verified yet.
    HostUnverified,
    /// A frameset document shows no body.
    Frameset,
    /// Nothing to open: the HTML is empty or blank.
    Empty,
    /// Its end lies in a region that would swallow the pixel.
    UnclosedRegion,
    /// The parser gave up; the mail went out unmodified.
    Unparsable,
    /// There is no HTML body.
    NoHtml,
}

/// Something the sender should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// Which.
    pub code: WarningCode,
    /// In words; holds nothing personal.
    pub detail: String,
}

/// Kinds of warnings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WarningCode {
    /// Over 102 KB: Gmail clips the end (case 62).
    GmailClips,
    /// The body looks quoted-printable: nothing would be found in it (66).
    LooksQuotedPrintable,
    /// A link like `www.e.com` has no scheme (51b).
    SchemelessHost,
    /// A line is longer than 998 octets (51d).
    #[serde(rename = "line_over_998")]
    LineOver998,
    /// A pixel of another message was removed (64a).
    ForeignPixel,
    /// A tracked link of another message was tracked anew (39).
    ForeignLink,
    /// The HTML is empty or blank (60).
    Empty,
    /// More links than the cap (48).
    TooManyLinks,
    /// The parser gave up; the mail is unmodified.
    Unparsable,
    /// The request asked for more than the domain allows; ignored.
    TrackingNarrowed,
    /// The message record was not kept in time.
    MessageNotRecorded,
    /// The recipient has withdrawn, or was erased: nothing of theirs is recorded.
    RecipientWithdrawn,
    /// The host is not verified; the mail is unmodified.
    HostUnverified,
    /// `{{mailtrail:optout}}` stands in a mail without recipient.
    OptOutWithoutRecipient,
    /// The tracking domain is no longer declared: nothing is tracked.
    DomainRetired,
    /// A placeholder of ours stands where it means nothing.
    PlaceholderLeft,
}

pub(super) fn warning(code: WarningCode, detail: &str) -> Warning {
    Warning {
        code,
        detail: detail.to_owned(),
    }
}

/// Says it once, however many links it is about.
pub(super) fn warn_once(warnings: &mut Vec<Warning>, code: WarningCode, detail: &str) {
    if !warnings.iter().any(|w| w.code == code) {
        warnings.push(warning(code, detail));
    }
}
