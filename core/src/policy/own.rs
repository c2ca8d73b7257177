//! Links that stand on a tracking host of this install already.

use crate::link::own_path;
use crate::policy::LinkPolicy;
use crate::target::Target;

/// What a link has to do with this install's tracking hosts.
pub(super) enum Own {
    /// Nothing.
    Elsewhere,
    /// It is this message's and reader's own tracking URL.
    ThisMail,
    /// It is the tracking URL of a link in another message, or of another
    /// reader's, and leads here.
    Foreign(Target),
    /// It stands on a tracking host and is no link that opens.
    Other,
}

impl LinkPolicy<'_> {
    pub(super) fn own(&self, target: &Target, host: &str) -> Own {
        let Some(domain) = self.snapshot.by_url_host(host) else {
            return Own::Elsewhere;
        };
        let Some(claim) = target.url().and_then(|url| {
            let own = own_path(url.path())?;
            self.keys.open(&domain.realm, own.kind, own.token).ok()
        }) else {
            return Own::Other;
        };
        if domain.realm == self.domain.realm && claim.mail.is_same(self.mail) {
            return Own::ThisMail;
        }
        match claim.link() {
            Some(link) if !self.leads_to_a_tracking_host(&link.target) => {
                Own::Foreign(link.target.clone())
            }
            _ => Own::Other,
        }
    }

    fn leads_to_a_tracking_host(&self, target: &Target) -> bool {
        self.snapshot.by_url_host(&target.host()).is_some()
    }
}
