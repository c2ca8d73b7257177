//! A token that authenticated. The one place where claims come from, so that a
//! redirect without an opened token does not compile.

use mailtrail_core::config::Domain;
use mailtrail_core::target::Target;
use mailtrail_core::token::{Claim, Keys, Kind, Link, OpenError};

/// What a token said that opened for its domain and kind.
pub(super) struct Opened(Claim);

/// The link of an opened token.
#[derive(Clone, Copy)]
pub(super) struct OpenedLink<'a>(&'a Link);

/// Opens a token as of this domain's realm (case 95).
pub(super) fn open(
    keys: &Keys,
    domain: &Domain,
    kind: Kind,
    token: &str,
) -> Result<Opened, OpenError> {
    keys.open(&domain.realm, kind, token).map(Opened)
}

impl Opened {
    pub(super) fn claim(&self) -> &Claim {
        &self.0
    }

    /// Where it leads, if it is a link's.
    pub(super) fn link(&self) -> Option<OpenedLink<'_>> {
        self.0.link().map(OpenedLink)
    }
}

impl<'a> OpenedLink<'a> {
    pub(super) fn target(self) -> &'a Target {
        &self.0.target
    }
}
