//! A job to rewrite with, and what to look at afterwards.

use std::sync::Arc;

use mailtrail_core::config::{Clicks, Domain, Opens, PixelPlacement, Snapshot};
use mailtrail_core::keyring::Keyring;
use mailtrail_core::link::{UrlBase, own_path};
use mailtrail_core::policy::Reason;
use mailtrail_core::token::{Claim, Hour, Keys, Mail};

use crate::rewrite::report::{PixelReason, ReportedLink, WarningCode};
use crate::rewrite::{HtmlRewriter, Job, Rewritten, Tracking, html};

/// A rewritten mail and what it was made from.
pub(super) struct Done {
    pub(super) job: Job,
    pub(super) output: String,
    pub(super) rewritten: Rewritten,
}

pub(super) fn domain(name: &str) -> Domain {
    Domain {
        generation: 1,
        verified: true,
        opens: Opens {
            enabled: true,
            ..Opens::default()
        },
        clicks: Clicks {
            enabled: true,
            never_track_hosts: vec!["never.example".parse().expect("pattern")],
            ..Clicks::default()
        },
        ..Domain::new(
            format!("{name}/links").parse().expect("realm"),
            format!("links.{name}.example").parse().expect("host"),
        )
    }
}

/// A job of the domain `shop/links` with everything on.
pub(super) fn job() -> Job {
    job_of(domain("shop"))
}

pub(super) fn job_of(domain: Domain) -> Job {
    let mut random = [7; 35];
    random[4] = 8;
    let keys = Keys::new(Keyring::generate(random).expect("keyring"));
    let other = Some(self::domain("other")).filter(|other| other.realm != domain.realm);
    let domains = other.into_iter().chain([domain.clone()]);
    Job {
        base: UrlBase::new(&domain.host, 8080),
        snapshot: Arc::new(Snapshot::new(domains).expect("snapshot")),
        domain: Arc::new(domain),
        keys: Arc::new(keys),
        mail: Mail {
            message: "order-1".parse().expect("message id"),
            recipient: Some("reader-1".parse().expect("recipient")),
            sent: Hour::from_unix_seconds(1_800_000_000),
            test: false,
            opens_on: true,
        },
        tracking: Tracking {
            opens: true,
            clicks: true,
            text: false,
            pixel: PixelPlacement::Bottom,
        },
        unsubscribe_urls: Vec::new(),
    }
}

/// A job that places no pixel, so that the links alone change.
pub(super) fn clicks_only() -> Job {
    let mut job = job();
    job.tracking.opens = false;
    job
}

/// A job that tracks no link.
pub(super) fn opens_only() -> Job {
    let mut job = job();
    job.tracking.clicks = false;
    job
}

/// Rewrites, and checks what holds for every mail: chunks make no difference,
/// and rewriting the output again changes nothing.
pub(super) fn rewrite(job: Job, input: impl AsRef<[u8]>) -> Done {
    let input = input.as_ref();
    let (output, rewritten) = html(job.clone(), input);
    if input.len() < 20_000 {
        for size in [1, 7] {
            assert_eq!(
                in_chunks(job.clone(), input.chunks(size)),
                (output.clone(), rewritten.clone())
            );
        }
    }
    let (again, _) = html(job.clone(), &output);
    assert_eq!(lossy(&again), lossy(&output), "rewritten twice");
    Done {
        job,
        output: lossy(&output),
        rewritten,
    }
}

pub(super) fn in_chunks<'a>(
    job: Job,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<u8>, Rewritten) {
    let mut rewriter = HtmlRewriter::new(job);
    let mut out = Vec::new();
    for chunk in chunks {
        rewriter.write(chunk, &mut out);
    }
    let rewritten = rewriter.end(&mut out);
    (out, rewritten)
}

pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Done {
    /// The output with every tracking URL replaced by what it leads to, in
    /// braces, and the pixel by `{pixel}`.
    pub(super) fn plain(&self) -> String {
        let mut plain = self.output.clone();
        if let Some(url) = &self.rewritten.report.pixel.url {
            plain = plain.replace(&crate::rewrite::pixel::markup(url), "{pixel}");
        }
        let base = self.job.base.as_str();
        let (mut from, mut out) = (0, String::new());
        while let Some(start) = plain[from..].find(base).map(|at| from + at) {
            let end =
                plain[start..].find(|c: char| !c.is_ascii_alphanumeric() && !":/.-".contains(c));
            let end = end.map_or(plain.len(), |end| start + end);
            let says = self.try_open(&plain[start..end]);
            let says = says
                .as_ref()
                .and_then(|claim| Some(claim.link()?.target.as_str()));
            out += &plain[from..start];
            out += &says.map_or(plain[start..end].to_owned(), |says| format!("{{{says}}}"));
            from = end;
        }
        out + &plain[from..]
    }

    /// What a tracking URL says.
    pub(super) fn open(&self, url: &str) -> Claim {
        self.try_open(url).expect("a tracking URL of ours")
    }

    fn try_open(&self, url: &str) -> Option<Claim> {
        let own = own_path(url.strip_prefix(self.job.base.as_str())?)?;
        let realm = &self.job.domain.realm;
        self.job.keys.open(realm, own.kind, own.token).ok()
    }

    pub(super) fn links(&self) -> &[ReportedLink] {
        &self.rewritten.report.links
    }

    pub(super) fn reasons(&self) -> Vec<Option<Reason>> {
        self.links().iter().map(|link| link.reason).collect()
    }

    pub(super) fn positions(&self) -> Vec<u32> {
        self.links().iter().map(|link| link.position.0).collect()
    }

    pub(super) fn warnings(&self) -> Vec<WarningCode> {
        self.rewritten
            .report
            .warnings
            .iter()
            .map(|w| w.code)
            .collect()
    }

    pub(super) fn no_pixel(&self) -> Option<PixelReason> {
        assert!(!self.rewritten.report.pixel.placed);
        self.rewritten.report.pixel.reason
    }
}

/// Links alone: `expected` is the output with `{target}` for tracking URLs.
#[track_caller]
pub(super) fn check(input: &str, expected: &str) -> Done {
    let done = rewrite(clicks_only(), input);
    assert_eq!(done.plain(), expected);
    done
}

/// Nothing changes; the report has these reasons.
#[track_caller]
pub(super) fn left(input: &str, reasons: &[Reason]) -> Done {
    let done = check(input, input);
    let reasons: Vec<_> = reasons.iter().copied().map(Some).collect();
    assert_eq!(done.reasons(), reasons, "{input}");
    done
}

/// The pixel alone: `expected` has `{pixel}` where it stands.
#[track_caller]
pub(super) fn pixel(placement: PixelPlacement, input: &str, expected: &str) -> Done {
    let mut job = opens_only();
    job.tracking.pixel = placement;
    let done = rewrite(job, input);
    assert_eq!(done.plain(), expected);
    done
}
