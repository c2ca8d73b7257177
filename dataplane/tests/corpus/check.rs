//! Everything that holds for every mail, checked on one.

use std::ops::AddAssign;

use ada_url::Url;
use mailtrail_dataplane::rewrite::Job;
use mailtrail_dataplane::rewrite::report::{Report, ReportedLink, WarningCode};

use crate::steady::{self, Steady};
use crate::tree::{self, Seen};

/// What was looked at, so that a check that looks at nothing is noticed.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) documents: usize,
    pub(crate) tracked: usize,
    pub(crate) links_of_parser: usize,
    pub(crate) pixels: usize,
    pub(crate) markers: usize,
    pub(crate) given_up: usize,
}

impl AddAssign for Checked {
    fn add_assign(&mut self, other: Self) {
        let Self {
            documents,
            tracked,
            links_of_parser,
            pixels,
            markers,
            given_up,
        } = other;
        self.documents += documents;
        self.tracked += tracked;
        self.links_of_parser += links_of_parser;
        self.pixels += pixels;
        self.markers += markers;
        self.given_up += given_up;
    }
}

/// Rewrites a mail and checks all that can be known of the result.
pub(crate) fn check(job: &Job, input: &[u8]) -> Checked {
    let Steady {
        output,
        rewritten,
        changes,
    } = steady::rewrite(job, input);
    let report = &rewritten.report;
    let given_up = report
        .warnings
        .iter()
        .any(|w| w.code == WarningCode::Unparsable);
    let seen = tree::compare(input, &output, job.base.as_str()).expect("the trees are the same");
    for link in &seen {
        a_link_leads_where_it_led(link, report, given_up);
    }
    Checked {
        documents: 1,
        tracked: changes.links.len(),
        links_of_parser: seen.len(),
        pixels: changes.pixels,
        markers: changes.markers,
        given_up: usize::from(given_up),
    }
}

/// What html5ever calls a link and ada-url a web address is tracked, and leads
/// where ada-url says, or stands in the report with a reason.
fn a_link_leads_where_it_led(link: &Seen, report: &Report, given_up: bool) {
    if is_cleaned(link) {
        return;
    }
    let Some(led_to) = web_address(&link.before) else {
        assert_eq!(link.after, link.before, "no web address, and tracked");
        return;
    };
    if link.after == link.before {
        let told = report
            .links
            .iter()
            .any(|told| !told.tracked && told.reason.is_some() && leads_to(told, link, &led_to));
        assert!(
            told || given_up || !matches!(&*link.element, "a" | "area"),
            "{link:?} is not in the report"
        );
        return;
    }
    let told = report
        .links
        .iter()
        .find(|told| told.url.as_deref() == Some(&link.after))
        .expect("a tracking URL stands in the report");
    let target = web_address(&told.target).expect("a target is a web address");
    assert_eq!(target.href(), led_to.href(), "{link:?}");
    let kept_bytes = told.target == absolute(&link.before);
    assert!(kept_bytes || told.target == led_to.href(), "{told:?}");
    assert!(told.target.bytes().all(|b| (0x21..=0x7e).contains(&b)));
}

/// Whether the address lost its opt-out scheme and nothing else.
fn is_cleaned(link: &Seen) -> bool {
    let plain = stripped(&link.before).replacen("+notrack:", ":", 1);
    link.after != link.before && stripped(&link.after) == plain
}

fn leads_to(told: &ReportedLink, link: &Seen, led_to: &Url) -> bool {
    told.target == stripped(&link.before)
        || web_address(&told.target).is_some_and(|target| target.href() == led_to.href())
        || told.target == link.before.trim_matches(|c: char| c <= ' ')
}

/// What ada-url reads on its own, if that is `http` or `https`; `//host` is of
/// the page's scheme, and a mail has no other than `https`.
fn web_address(value: &str) -> Option<Url> {
    let url = Url::parse(&absolute(value), None).ok()?;
    matches!(url.protocol(), "http:" | "https:").then_some(url)
}

fn absolute(value: &str) -> String {
    let stripped = stripped(value);
    match stripped.starts_with("//") || stripped.starts_with("\\\\") {
        true => format!("https://{}", &stripped[2..]),
        false => stripped,
    }
}

/// The URL standard's first steps, written here a second time.
fn stripped(value: &str) -> String {
    let trimmed = value.trim_matches(|c: char| c <= ' ');
    trimmed.replace(['\t', '\n', '\r'], "")
}
