//! `TrackingDomain`: what its owner writes. The documentation of each field is
//! what `kubectl explain` shows, so it speaks to that owner.

#![allow(
    unreachable_pub,
    reason = "kube's schema derive repeats the struct inside a function"
)]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::status::TrackingDomainStatus;
use crate::{rules, schema};

/// A host whose pixels and links are served by Mailtrail, and what is tracked
/// with it. Opens and clicks are both off until they are enabled.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "mailtrail.dev",
    version = "v1alpha1",
    kind = "TrackingDomain",
    plural = "trackingdomains",
    shortname = "td",
    category = "mailtrail",
    namespaced,
    status = "TrackingDomainStatus",
    derive = "PartialEq",
    doc = "A tracking host and what is tracked with it: opens (by a pixel) and clicks (by links that lead home over the host). Both are off until enabled. The namespace and name of this object are the domain's identity: links in mails already sent go on working while both stay, whatever becomes of the host.",
    validation = rules::name_is_short(),
    printcolumn(name = "Host", type_ = "string", json_path = ".spec.host", description = "Host of new links."),
    printcolumn(name = "Opens", type_ = "boolean", json_path = ".spec.opens.enabled", description = "Whether opens are tracked."),
    printcolumn(name = "Clicks", type_ = "boolean", json_path = ".spec.clicks.enabled", description = "Whether clicks are tracked."),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Whether the domain is accepted and served as written."),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", description = "Why it is, or is not."),
    printcolumn(name = "Class", type_ = "string", json_path = ".spec.className", priority = 1, description = "The installation that it belongs to."),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", description = "Time since it was created.")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::aliases_are_other_hosts())]
#[x_kube(validation = rules::fits_one_entry())]
#[x_kube(validation = rules::details_need_events())]
pub struct TrackingDomainSpec {
    /// Which installation of Mailtrail serves this domain: the one that runs
    /// with the same class. Installations side by side in one cluster have
    /// different classes; all others leave the domain alone. Default: mailtrail.
    #[serde(default = "default_class")]
    #[schemars(schema_with = "schema::class_name")]
    pub class_name: String,

    /// Host of the tracking links and pixels of new mails, for example
    /// links.shop.example. A lower-case DNS name of at least two labels,
    /// without scheme, port, path and final dot; an international name in its
    /// ASCII form (xn--…). Its DNS must lead to Mailtrail. When the host is
    /// changed, the former one goes on answering for mails already sent; where
    /// it was never found to lead here, so that none was, it is given up. A host
    /// under .localhost is for trying things out on one's own machine: its
    /// links are plain http and carry the port.
    #[schemars(schema_with = "schema::host")]
    pub host: String,

    /// Further hosts that answer for this domain, at most 8, for example the
    /// one of a former mail tool or one still to be switched to. New links
    /// never use them. Each must differ from the host and belong to nobody else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::aliases")]
    pub aliases: Vec<String>,

    /// Open tracking: a 1x1 pixel in the HTML whose loading is recorded.
    #[serde(default)]
    pub opens: Opens,

    /// Click tracking: links that lead over the host to their target, where
    /// following them is recorded.
    #[serde(default)]
    pub clicks: Clicks,

    /// What is recorded of opens and clicks, and what an event may hold of the
    /// reader's address and user agent. The family, operating system and kind
    /// of device stand in every event: they name nobody.
    #[serde(default)]
    pub privacy: Privacy,

    /// How long events are kept, in whole days: "45d", or the same in hours,
    /// "1080h". From 1d to 3650d. Older events are erased; links work on.
    /// Default: 45d.
    #[serde(default = "default_retention")]
    #[schemars(schema_with = "schema::retention")]
    pub retention: String,

    /// Whether mails are tracked only once the host is known to lead here.
    /// Required (the default): until DNS and certificate are in place, mails
    /// come back unchanged, so that none leaves with links that lead nowhere.
    /// None: mails are tracked at once; choose it where the check cannot reach
    /// the host, and be sure of it yourself.
    #[serde(default)]
    pub verification: Verification,

    /// A web page that is offered as a plain link where a tracking link cannot
    /// be opened (damaged on the way, or not one of ours), for example the
    /// sender's home page. An http or https URL of a host name, without user
    /// name and password. Nobody is redirected there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::fallback")]
    pub fallback: Option<String>,

    /// Apps that may open links marked with data-app-link in the mail. The host
    /// then serves apple-app-site-association and assetlinks.json for them; all
    /// other links stay with the browser.
    #[serde(default, skip_serializing_if = "is_default")]
    pub apps: Apps,

    /// What becomes of links already sent when this object is deleted. Retire
    /// (the default): they go on leading home, nothing more is recorded, and
    /// the host stays taken, if it was ever found to lead here. Forget: everything is given up at once, the links
    /// die and the host is free.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// Open tracking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Opens {
    /// Whether opens are tracked. Turning it off takes effect for mails already
    /// sent, too: their pixel is served and nothing is recorded. Default: false.
    #[serde(default)]
    pub enabled: bool,

    /// Where the pixel goes. Auto (the default): at the end of the mail; at its
    /// beginning when the mail comes near the 102 KB at which Gmail cuts it
    /// off. Top: at the beginning. Bottom: at the end. Both: in both places;
    /// together they count as one open.
    #[serde(default)]
    pub pixel: Pixel,

    /// What is recorded of opens, as privacy.record says it for opens and
    /// clicks together; where this is set it counts for opens instead of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::recorded")]
    pub record: Option<Recorded>,
}

/// Where the pixel goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Pixel {
    /// At the end, or at the beginning of a long mail.
    #[default]
    Auto,
    /// At the beginning.
    Top,
    /// At the end.
    Bottom,
    /// In both places.
    Both,
}

/// Click tracking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Clicks {
    /// Whether clicks are tracked. Turning it off takes effect for mails
    /// already sent, too: their links lead home and nothing is recorded.
    /// Default: false.
    #[serde(default)]
    pub enabled: bool,

    /// What becomes of links in the plain-text part of a mail. Leave (the
    /// default): they stay as written, short and readable. Track: they are
    /// tracked like those of the HTML.
    #[serde(default)]
    pub plain_text: LinkChoice,

    /// What becomes of links whose visible text is itself a URL, as in
    /// `<a href="https://shop.example">https://shop.example</a>`. Leave (the
    /// default): mail clients take a text that names another host than the link
    /// for phishing; where both share a registrable domain the link is tracked
    /// all the same. Track: all of them are tracked.
    #[serde(default)]
    pub text_is_url: LinkChoice,

    /// What becomes of links that carry a credential: password resets, magic
    /// links, confirmations, one-time codes, signatures. Leave (the default):
    /// their target would stand in events and webhooks. Track: they are tracked
    /// like others. A single link can be tracked with data-track.
    #[serde(default)]
    pub sensitive: LinkChoice,

    /// Hosts whose links are never tracked, at most 32: "shop.example" is that
    /// host alone, "*.shop.example" all hosts below it. Lower-case DNS names of
    /// at least two labels, international ones in ASCII form.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::never_track_hosts")]
    pub never_track_hosts: Vec<String>,

    /// The most links tracked in one mail, from 1 to 10000; those after it are
    /// left as they are and reported. Default: 10000.
    #[serde(default = "default_max_links")]
    #[schemars(schema_with = "schema::max_links")]
    pub max_links: i32,

    /// What is recorded of clicks, as privacy.record says it for opens and
    /// clicks together; where this is set it counts for clicks instead of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::recorded")]
    pub record: Option<Recorded>,
}

/// What becomes of links of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LinkChoice {
    /// They stay as they are.
    #[default]
    Leave,
    /// They are tracked.
    Track,
}

/// What is recorded, and what an event may hold of the reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Privacy {
    /// How much of the reader's IP address an event holds. Omit (the default):
    /// nothing. Truncate: its network only, the first 24 bits of IPv4 and the
    /// first 48 of IPv6. Full: all of it.
    #[serde(default)]
    pub address: AddressDetail,

    /// How much of the user agent an event holds. Omit (the default): only the
    /// family, operating system and kind of device read from it. Full: its text.
    #[serde(default)]
    pub user_agent: UserAgentDetail,

    /// What is recorded of opens and clicks that are enabled. Identified (the
    /// default): an event, which names the message and its reader. LastDate:
    /// they are counted, by hour, as of people or machines, and of a message
    /// and its reader the day (of UTC) is kept on which a person last opened
    /// it, or last clicked any link of it; there is no event. Anonymous: they
    /// are counted, and that is all: no message, reader or link is told of, in
    /// the API or to event sinks. A change takes effect for opens and clicks of mails already sent,
    /// too; what was recorded before stays until its retention ends. Nothing at
    /// all is recorded where enabled is false.
    #[serde(default)]
    pub record: Recorded,
}

/// What is recorded of an open or a click.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Recorded {
    /// An event, which names the message and its reader.
    #[default]
    Identified,
    /// It is counted, and the day of the last one is kept.
    LastDate,
    /// It is counted, and told of nobody.
    Anonymous,
}

/// How much of an address is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AddressDetail {
    /// Nothing.
    #[default]
    Omit,
    /// Its network.
    Truncate,
    /// All of it.
    Full,
}

/// How much of a user agent is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UserAgentDetail {
    /// Family, operating system and kind of device.
    #[default]
    Omit,
    /// Its text.
    Full,
}

/// Whether the host is checked before mails are tracked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Verification {
    /// It is.
    #[default]
    Required,
    /// It is not.
    None,
}

/// What becomes of links already sent when the object is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// They lead home, nothing is recorded.
    #[default]
    Retire,
    /// They die.
    Forget,
}

/// Apps that may open links marked for them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Apps {
    /// Apple apps, at most 4, each as `<team id>.<bundle id>`, for example
    /// A1B2C3D4E5.example.shop.app.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::apple_apps")]
    pub apple: Vec<String>,

    /// Android apps, at most 4, one entry per package.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::android_apps")]
    pub android: Vec<AndroidApp>,
}

/// An Android app, as Digital Asset Links name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AndroidApp {
    /// Name of the package, for example example.shop.app.
    #[schemars(schema_with = "schema::android_package")]
    pub package_name: String,

    /// SHA-256 fingerprints of the certificates that the app is signed with, 1
    /// to 4, as keytool prints them: 32 pairs of upper-case hexadecimal digits
    /// joined by colons.
    #[schemars(schema_with = "schema::fingerprints")]
    pub sha256_fingerprints: Vec<String>,
}

impl Default for Clicks {
    fn default() -> Self {
        Self {
            enabled: false,
            plain_text: LinkChoice::default(),
            text_is_url: LinkChoice::default(),
            sensitive: LinkChoice::default(),
            never_track_hosts: Vec::new(),
            max_links: default_max_links(),
            record: None,
        }
    }
}

fn default_class() -> String {
    crate::DEFAULT_CLASS.to_owned()
}

fn default_retention() -> String {
    format!("{}d", mailtrail_core::config::RETENTION_DAYS_DEFAULT)
}

fn default_max_links() -> i32 {
    schema::MAX_LINKS
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
