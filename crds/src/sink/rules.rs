//! The rules of a sink that no type or bound can say; as [`crate::rules`].

use kube::core::Rule;
use mailtrail_core::sink::SINK_ENTRY_MAX_BYTES;

use crate::rules::{ITEM_EXTRA_BYTES, rule};

/// Most that the free texts of a sink may take of its entry, in bytes; the rest
/// is what it takes beside them (a test measures it), sealed secrets included.
pub(crate) const TEXTS_MAX_BYTES: usize = 1000;

const _: () = assert!(TEXTS_MAX_BYTES < SINK_ENTRY_MAX_BYTES);

/// A DNS subdomain (RFC 1123), without anchors.
macro_rules! subdomain {
    () => {
        "[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
    };
}

/// One number of a dotted quad, as it is usually written.
macro_rules! byte {
    () => {
        "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
    };
}

pub(crate) fn url() -> Vec<Rule> {
    vec![
        rule(
            concat!(
                "self.matches('^https?://(",
                subdomain!(),
                "|\\\\[[0-9a-f:]+\\\\])(:[0-9]{1,5})?([/?][-A-Za-z0-9._~:/?@!$&()*+,;=%]*)?$')"
            ),
            "url must be an http:// or https:// URL of a lower-case host name or an IP address, \
             without user name, password and fragment, of the characters that a URL may hold \
             (others percent-encoded)",
        ),
        rule(
            concat!(
                "!self.matches('^https?://([^/?:]*[.])?([0-9]+|0x[0-9a-f]*)([:/?]|$)') || \
                 self.matches('^https?://(",
                byte!(),
                "[.]){3}",
                byte!(),
                "([:/?]|$)')"
            ),
            "url must have an IPv4 address written as four decimal numbers",
        ),
        rule(
            "!self.matches('^https?://([^/?:\\\\[]*|\\\\[[^/]*\\\\]):([7-9][0-9]{4}|6[6-9][0-9]{3}\
             |65[6-9][0-9]{2}|655[4-9][0-9]|6553[6-9])([/?]|$)')",
            "url must have a port of 65535 at most",
        ),
    ]
}

pub(crate) fn secret_name() -> Vec<Rule> {
    vec![rule(
        concat!("self.matches('^", subdomain!(), "$')"),
        "secretRefs must hold names of Secrets: lower-case letters, digits, inner hyphens and dots",
    )]
}

pub(crate) fn domain_name() -> Vec<Rule> {
    vec![rule(
        concat!("self.matches('^", subdomain!(), "$')"),
        "domains must hold names of TrackingDomains of this namespace, without the namespace: \
         lower-case letters, digits, inner hyphens and dots",
    )]
}

pub(crate) fn max_delay() -> Vec<Rule> {
    vec![rule(
        "self.matches('^([1-9]|[1-9][0-9]|[12][0-9][0-9]|300)s$')",
        "maxDelay must be a number of seconds from 1s to 300s",
    )]
}

// === Spec ===

pub(crate) fn one_by_one_for_resend() -> Rule {
    rule(
        "!has(self.format) || self.format != 'Resend' || !has(self.batching) \
         || !has(self.batching.enabled) || !self.batching.enabled",
        "batching must not be enabled with the format Resend, which has one event a request",
    )
    .field_path(".batching")
}

/// Replicas are sent one entry per sink.
pub(crate) fn fits_one_entry() -> Rule {
    rule(
        format!(
            "self.url.size() + self.secretRefs.map(r, r.name.size() + {ITEM_EXTRA_BYTES}).sum() \
             + (has(self.domains) ? self.domains.map(d, d.size() + {ITEM_EXTRA_BYTES}).sum() : 0) \
             <= {TEXTS_MAX_BYTES}"
        ),
        format!(
            "url, secretRefs and domains must fit one configuration entry: {TEXTS_MAX_BYTES} \
             characters in all, each list item counting {ITEM_EXTRA_BYTES} more"
        ),
    )
}
