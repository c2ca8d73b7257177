//! Which links of a mail are tracked, and why the others are not.

use serde::Serialize;

/// Why a link is left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Clicks are off for the domain or the message.
    ClicksOff,
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
