//! The rules that no type or bound can say, as CEL. Each message begins with
//! the field it is about and says what would be right.
//!
//! Regular expressions keep to what RE2 (the API server) and Rust's `regex`
//! read the same way; `[.]` rather than `\.` spares two layers of escaping.

use kube::core::Rule;
use mailtrail_core::config::ENTRY_MAX_BYTES;

/// Longest `metadata.name`, in characters: of a label value, so that what is
/// made for a domain can be labelled with its name.
pub(crate) const NAME_MAX_CHARS: usize = 63;
/// Most that the free texts of a spec may take of the entry that replicas are
/// sent, in bytes. An entry has [`ENTRY_MAX_BYTES`]; the rest is what it takes
/// with every setting at its longest and no free text, names included (a test
/// measures it).
pub(crate) const TEXTS_MAX_BYTES: usize = 480;
/// What a list item takes beside its text: two quotes and a comma.
pub(crate) const ITEM_EXTRA_BYTES: usize = 3;
/// What an Android app takes beside its package and its fingerprints.
pub(crate) const ANDROID_EXTRA_BYTES: usize = 40;
/// What a fingerprint takes: 32 pairs, 31 colons, quotes and comma.
pub(crate) const FINGERPRINT_BYTES: usize = 95 + ITEM_EXTRA_BYTES;

/// What is recorded of a toggle, where it is not what the domain says.
pub(crate) const RECORD_BYTES: usize = 24;

const _: () = assert!(TEXTS_MAX_BYTES < ENTRY_MAX_BYTES);

/// One or more labels (RFC 1123: letters, digits, inner hyphens, 63 at most).
macro_rules! label {
    () => {
        "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
    };
}

/// A host name of at least two labels, without anchors.
macro_rules! host {
    () => {
        concat!(label!(), "([.]", label!(), ")+")
    };
}

/// What URL parsers take for an IPv4 address, whatever stands before it
/// (URL standard, "ends in a number").
const ENDS_LIKE_IP: &str = "(^|[.])([0-9]+|0x[0-9a-f]*)$";

// === Fields ===

pub(crate) fn class_name() -> Vec<Rule> {
    vec![rule(
        concat!("self.matches('^", label!(), "$')"),
        "className must be a DNS label: lower-case letters, digits and inner hyphens",
    )]
}

/// `what` names the field in the message.
pub(crate) fn host(what: &str) -> Vec<Rule> {
    vec![
        rule(
            concat!("self.matches('^", host!(), "$')"),
            format!(
                "{what} must be a lower-case DNS name of at least two labels (letters, digits, inner \
                 hyphens; international names as xn--), without scheme, port, path and final dot"
            ),
        ),
        rule(
            format!("!self.matches('{ENDS_LIKE_IP}')"),
            format!("{what} must be a name, not an IP address"),
        ),
    ]
}

pub(crate) fn never_track_host() -> Vec<Rule> {
    vec![
        rule(
            concat!("self.matches('^([*][.])?", host!(), "$')"),
            "neverTrackHosts must hold lower-case DNS names of at least two labels, each alone \
             (shop.example) or with *. before it for all hosts below (*.shop.example)",
        ),
        rule(
            format!("!self.matches('{ENDS_LIKE_IP}')"),
            "neverTrackHosts must hold names, not IP addresses",
        ),
    ]
}

pub(crate) fn retention() -> Vec<Rule> {
    vec![
        rule(
            "self.matches('^[1-9][0-9]{0,4}[dh]$')",
            "retention must be a number of days or hours: 45d, or 1080h",
        ),
        rule(
            "!self.matches('^[1-9][0-9]{0,4}[dh]$') || (self.endsWith('d') \
             ? int(self.substring(0, self.size() - 1)) <= 3650 \
             : int(self.substring(0, self.size() - 1)) <= 87600 \
             && int(self.substring(0, self.size() - 1)) % 24 == 0)",
            "retention must be whole days, from 1d (24h) to 3650d (87600h)",
        ),
    ]
}

pub(crate) fn fallback() -> Vec<Rule> {
    vec![
        rule(
            concat!(
                "self.matches('^https?://",
                host!(),
                "(:[0-9]{1,5})?([/?#][-A-Za-z0-9._~:/?#@!$&()*+,;=%]*)?$')"
            ),
            "fallback must be an http:// or https:// URL of a lower-case host name, without user \
             name and password, of the characters that a URL may hold (others percent-encoded)",
        ),
        rule(
            "!self.matches('^https?://[^/?#:]*[.]([0-9]+|0x[0-9a-f]*)([:/?#]|$)')",
            "fallback must name a host, not an IP address",
        ),
        rule(
            "!self.matches('^https?://[^/?#:]*:([7-9][0-9]{4}|6[6-9][0-9]{3}|65[6-9][0-9]{2}\
             |655[4-9][0-9]|6553[6-9])([/?#]|$)')",
            "fallback must have a port of 65535 at most",
        ),
    ]
}

pub(crate) fn apple_app() -> Vec<Rule> {
    vec![rule(
        "self.matches('^[A-Z0-9]{10}[.][A-Za-z0-9.-]+$')",
        "apple must hold <team id>.<bundle id>: ten capitals or digits, a dot, then letters, \
         digits, dots and hyphens",
    )]
}

pub(crate) fn android_package() -> Vec<Rule> {
    vec![rule(
        "self.matches('^[A-Za-z][A-Za-z0-9_]*([.][A-Za-z][A-Za-z0-9_]*)+$')",
        "packageName must be an Android package: at least two parts joined by dots, each a letter \
         followed by letters, digits and underscores",
    )]
}

pub(crate) fn fingerprint() -> Vec<Rule> {
    vec![rule(
        "self.matches('^([0-9A-F]{2}:){31}[0-9A-F]{2}$')",
        "sha256Fingerprints must hold 32 pairs of upper-case hexadecimal digits joined by colons",
    )]
}

// === Spec ===

/// No `FieldValueDuplicate`: the API server says that one without the message.
pub(crate) fn aliases_are_other_hosts() -> Rule {
    rule(
        "!has(self.aliases) || !(self.host in self.aliases)",
        "aliases must not repeat the host",
    )
    .field_path(".aliases")
}

/// Replicas are sent one entry of 1 KiB per domain.
pub(crate) fn fits_one_entry() -> Rule {
    let lists = ["aliases", "clicks.neverTrackHosts", "apps.apple"].map(|list| {
        format!(
            "({} ? self.{list}.map(t, t.size() + {ITEM_EXTRA_BYTES}).sum() : 0)",
            has(list)
        )
    });
    let android = format!(
        "({} ? self.apps.android.map(a, a.packageName.size() + {ANDROID_EXTRA_BYTES} \
         + a.sha256Fingerprints.size() * {FINGERPRINT_BYTES}).sum() : 0)",
        has("apps.android")
    );
    rule(
        format!(
            "self.host.size() + (has(self.fallback) ? self.fallback.size() : 0) + {} + {android} \
             + ({} || {} ? {RECORD_BYTES} : 0) <= {TEXTS_MAX_BYTES}",
            lists.join(" + "),
            has("opens.record"),
            has("clicks.record"),
        ),
        format!(
            "host, aliases, neverTrackHosts, fallback and apps must fit one configuration entry: \
             {TEXTS_MAX_BYTES} characters in all, each list item counting {ITEM_EXTRA_BYTES} more, \
             an Android app {ANDROID_EXTRA_BYTES} and each of its fingerprints {FINGERPRINT_BYTES}, \
             opens.record and clicks.record together {RECORD_BYTES}"
        ),
    )
}

/// What is never kept is not asked for.
pub(crate) fn details_need_events() -> Rule {
    let identified = |toggle: &str| {
        format!(
            "({} ? self.{toggle}.record : has(self.privacy.record) ? self.privacy.record : \
             'Identified') == 'Identified'",
            has(&format!("{toggle}.record"))
        )
    };
    rule(
        format!(
            "!has(self.privacy) || (!has(self.privacy.address) || self.privacy.address == 'Omit') \
             && (!has(self.privacy.userAgent) || self.privacy.userAgent == 'Omit') || {} || {}",
            identified("opens"),
            identified("clicks")
        ),
        "privacy.address and privacy.userAgent must be Omit where neither opens nor clicks are \
         recorded as Identified: no event would hold them",
    )
    .field_path(".privacy")
}

// === Object ===

pub(crate) fn name_is_short() -> Rule {
    rule(
        format!("self.metadata.name.size() <= {NAME_MAX_CHARS}"),
        format!("metadata.name must be at most {NAME_MAX_CHARS} characters long"),
    )
}

pub(crate) fn rule(expression: impl Into<String>, message: impl Into<String>) -> Rule {
    Rule::new(expression).message(message.into().as_str())
}

/// Whether a path below `self` is there: `has` alone faults on a missing parent.
fn has(path: &str) -> String {
    let ends = path.match_indices('.').map(|(at, _)| at);
    ends.chain([path.len()])
        .map(|end| format!("has(self.{})", &path[..end]))
        .collect::<Vec<_>>()
        .join(" && ")
}
