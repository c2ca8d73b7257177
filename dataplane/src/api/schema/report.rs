//! The report of a rewrite, described.

use mailtrail_core::policy::Reason as CoreReason;
use serde::Serialize;
use utoipa::ToSchema;

use super::words;
use crate::rewrite::report::{
    Part as CorePart, PixelReason as CorePixelReason, Report as CoreReport,
    ReportedLink as CoreLink, ReportedPixel as CorePixel, Warning as CoreWarning,
    WarningCode as CoreWarningCode,
};

/// What became of a mail's links and pixel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::api) struct Report {
    /// Every link in document order, those of the HTML first.
    pub links: Vec<ReportedLink>,
    /// The pixel.
    pub pixel: Pixel,
    /// What the sender should know.
    pub warnings: Vec<Warning>,
}

/// One link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::api) struct ReportedLink {
    /// Its place in the mail, from 1 on; events name it. Both halves of a
    /// conditional-comment pair for Outlook share one.
    #[schema(minimum = 1)]
    pub position: u32,
    /// The body it stands in.
    pub part: Part,
    /// Its element, such as `a`, `area`, `v:rect`; null in plain text.
    #[schema(required)]
    pub element: Option<String>,
    /// Where it leads: what a browser would open, or the value as it stands
    /// where that is no web address.
    pub target: String,
    /// Whether it is tracked now.
    pub tracked: bool,
    /// The tracking URL that stands there now; null where it is not tracked.
    #[schema(required)]
    pub url: Option<String>,
    /// Why it is not tracked; null where it is.
    #[schema(required)]
    pub reason: Option<Reason>,
    /// The name that the sender gave it (`data-link-name`).
    #[schema(required)]
    pub name: Option<String>,
}

/// The pixel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::api) struct Pixel {
    /// Whether it is in the mail now.
    pub placed: bool,
    /// Its URL.
    #[schema(required)]
    pub url: Option<String>,
    /// Why there is none.
    #[schema(required)]
    pub reason: Option<PixelReason>,
}

/// Something the sender should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::api) struct Warning {
    /// Which.
    pub code: WarningCode,
    /// In words; holds nothing personal.
    pub detail: String,
}

words! {
    /// Which body a link stands in.
    Part of CorePart {
        /// The HTML.
        Html,
        /// The plain text.
        Text,
    }
}

words! {
    /// Why a link is left as it is:
    ///
    /// - `clicks_off`: the domain or the request turned clicks off.
    /// - `plain_text_off`: clicks are on, and those of plain text (`clicks.plainText`, `tracking.text`) are off.
    /// - `opted_out`: the sender marked it (`data-no-track`, `clicktracking=off`, …).
    /// - `empty`: no value.
    /// - `relative`: a path, a query or a fragment.
    /// - `schemeless_host`: `www.shop.example` without `https://`.
    /// - `other_scheme`: `mailto:`, `tel:`, an app's scheme, …
    /// - `invalid`: no URL.
    /// - `userinfo`: a user name or password in it.
    /// - `placeholder`: a placeholder of a template language.
    /// - `opt_out_link`: was `{{mailtrail:optout}}`, and is the reader's link to withdraw now (`url`).
    /// - `unsubscribe`: the list's unsubscribe link.
    /// - `already_tracked`: stands on a tracking host already.
    /// - `too_long`: its tracking URL would be too long.
    /// - `too_many`: behind the domain's cap.
    /// - `text_is_url`: its text is itself a URL, and readers compare.
    /// - `sensitive`: carries a credential (`reset`, `token=`, …).
    /// - `never_track`: its host is on the domain's list.
    /// - `host_unverified`: the tracking host is not verified yet.
    /// - `amp`: in an AMP part.
    Reason of CoreReason {
        /// Clicks are off.
        ClicksOff,
        /// Those of plain text are off.
        PlainTextOff,
        /// Marked by the sender.
        OptedOut,
        /// No value.
        Empty,
        /// A path, a query or a fragment.
        Relative,
        /// A host without a scheme.
        SchemelessHost,
        /// Another scheme than http and https.
        OtherScheme,
        /// No URL.
        Invalid,
        /// A user name or password in it.
        Userinfo,
        /// A template's placeholder.
        Placeholder,
        /// The reader's link to withdraw.
        OptOutLink,
        /// The unsubscribe link.
        Unsubscribe,
        /// On a tracking host already.
        AlreadyTracked,
        /// The tracking URL would be too long.
        TooLong,
        /// Behind the cap.
        TooMany,
        /// Its text is a URL.
        TextIsUrl,
        /// Carries a credential.
        Sensitive,
        /// On the domain's list.
        NeverTrack,
        /// The host is not verified yet.
        HostUnverified,
        /// In an AMP part.
        Amp,
    }
}

words! {
    /// Why there is no pixel:
    ///
    /// - `opens_off`: the domain or the request turned opens off.
    /// - `host_unverified`: the tracking host is not verified yet.
    /// - `frameset`: a frameset document shows no body.
    /// - `empty`: the HTML is empty or blank.
    /// - `unclosed_region`: a comment or script runs to the end and would swallow it.
    /// - `unparsable`: the HTML could not be read; it is unmodified.
    /// - `no_html`: the mail has no HTML.
    PixelReason of CorePixelReason {
        /// Opens are off.
        OpensOff,
        /// The host is not verified yet.
        HostUnverified,
        /// A frameset.
        Frameset,
        /// Nothing to open.
        Empty,
        /// It would be swallowed.
        UnclosedRegion,
        /// The mail is unmodified.
        Unparsable,
        /// No HTML.
        NoHtml,
    }
}

words! {
    /// Which warning:
    ///
    /// - `gmail_clips`: over 102 KB; Gmail clips the end.
    /// - `looks_quoted_printable`: the HTML is still encoded; nothing is found in it.
    /// - `schemeless_host`: a link like `www.shop.example` without `https://`.
    /// - `line_over_998`: a line is longer than mail allows; encode the part.
    /// - `foreign_pixel`: a pixel of another message was removed.
    /// - `foreign_link`: a tracked link of another message was tracked anew.
    /// - `empty`: the HTML is empty or blank.
    /// - `too_many_links`: more links than the domain's cap.
    /// - `unparsable`: the HTML could not be read; it is unmodified.
    /// - `tracking_narrowed`: more was asked for than the domain allows; ignored.
    /// - `message_not_recorded`: the message record was not on the disk in time; it may come late, and until then statistics miss it.
    /// - `recipient_withdrawn`: the recipient has withdrawn from tracking, or was erased; nothing of theirs is recorded.
    /// - `host_unverified`: the tracking host is not verified; the mail is unmodified.
    /// - `opt_out_without_recipient`: the mail has a place for an opt-out link, and no recipient.
    /// - `domain_retired`: the tracking domain is no longer declared: nothing is tracked.
    /// - `placeholder_left`: a `{{mailtrail:…}}` stands where it means nothing and was left.
    WarningCode of CoreWarningCode {
        /// Gmail clips the end.
        GmailClips,
        /// Still encoded.
        LooksQuotedPrintable,
        /// A host without a scheme.
        SchemelessHost,
        /// A line is too long.
        #[serde(rename = "line_over_998")]
        LineOver998,
        /// Another message's pixel was removed.
        ForeignPixel,
        /// Another message's link was tracked anew.
        ForeignLink,
        /// Empty or blank.
        Empty,
        /// More links than the cap.
        TooManyLinks,
        /// Unmodified.
        Unparsable,
        /// More was asked for than is allowed.
        TrackingNarrowed,
        /// Not recorded in time.
        MessageNotRecorded,
        /// Nothing of theirs is recorded.
        RecipientWithdrawn,
        /// Unmodified.
        HostUnverified,
        /// No recipient to opt out.
        OptOutWithoutRecipient,
        /// The domain is no longer declared.
        DomainRetired,
        /// A placeholder where it means nothing.
        PlaceholderLeft,
    }
}

impl From<CoreReport> for Report {
    fn from(report: CoreReport) -> Self {
        let CoreReport {
            links,
            pixel,
            warnings,
        } = report;
        Self {
            links: links.into_iter().map(ReportedLink::from).collect(),
            pixel: pixel.into(),
            warnings: warnings.into_iter().map(Warning::from).collect(),
        }
    }
}

impl From<CoreLink> for ReportedLink {
    fn from(link: CoreLink) -> Self {
        let CoreLink {
            position,
            part,
            element,
            target,
            tracked,
            url,
            reason,
            name,
        } = link;
        Self {
            position: position.0,
            part: part.into(),
            element,
            target,
            tracked,
            url,
            reason: reason.map(Reason::from),
            name,
        }
    }
}

impl From<CorePixel> for Pixel {
    fn from(pixel: CorePixel) -> Self {
        let CorePixel {
            placed,
            url,
            reason,
        } = pixel;
        Self {
            placed,
            url,
            reason: reason.map(PixelReason::from),
        }
    }
}

impl From<CoreWarning> for Warning {
    fn from(warning: CoreWarning) -> Self {
        let CoreWarning { code, detail } = warning;
        Self {
            code: code.into(),
            detail,
        }
    }
}
