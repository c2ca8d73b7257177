//! The tracking URLs of one mail's links: what they have in common is made once.

use mailtrail_core::id::LinkPosition;
use mailtrail_core::target::Target;
use mailtrail_core::token::{Kind, LinkSealer};

use crate::rewrite::Job;

/// Makes the URLs; ready once the first link of its kind is there.
#[derive(Debug, Default)]
pub(super) struct Urls {
    clicks: Option<LinkSealer>,
    apps: Option<LinkSealer>,
}

impl Urls {
    /// The URL of a link that leads to a browser.
    pub(super) fn click(&mut self, job: &Job, position: LinkPosition, target: &Target) -> String {
        let sealer = self
            .clicks
            .get_or_insert_with(|| LinkSealer::clicks(&job.keys, &job.domain.realm, &job.mail));
        url(job, Kind::Click, sealer, position, target)
    }

    /// The URL of a link that an app may take over.
    pub(super) fn app(&mut self, job: &Job, position: LinkPosition, target: &Target) -> String {
        let sealer = self
            .apps
            .get_or_insert_with(|| LinkSealer::apps(&job.keys, &job.domain.realm, &job.mail));
        url(job, Kind::App, sealer, position, target)
    }
}

fn url(
    job: &Job,
    kind: Kind,
    sealer: &mut LinkSealer,
    position: LinkPosition,
    target: &Target,
) -> String {
    let mut url = job.base.begun(kind, sealer.text_chars(target));
    sealer.seal(position, target, &mut url);
    url
}
