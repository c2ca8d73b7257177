//! What came of a host's route, and what that makes of a domain's status. Pure.

use mailtrail_core::id::Host;

use super::build::Kind;
use crate::condition::{Finding, Is, Reason, Type};

/// What came of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Its route stands, as wanted.
    InPlace,
    /// That is not known yet, or is tried again.
    Waiting,
    /// Something else has its name.
    Foreign,
    /// The policy does not let the namespace use the host.
    NotAllowed,
    /// The API server refuses it.
    Refused,
    /// The cluster does not know the kind.
    NoSuchKind,
}

impl Outcome {
    /// All there are.
    pub const ALL: [Self; 6] = [
        Self::InPlace,
        Self::Waiting,
        Self::Foreign,
        Self::NotAllowed,
        Self::Refused,
        Self::NoSuchKind,
    ];

    /// The word for it, of statuses and metrics alike.
    pub fn reason(self) -> Reason {
        match self {
            Self::InPlace => Reason::Exposed,
            Self::Waiting => Reason::Pending,
            Self::Foreign => Reason::RouteConflict,
            Self::NotAllowed => Reason::HostNotAllowed,
            Self::Refused => Reason::RouteRefused,
            Self::NoSuchKind => Reason::GatewayApiMissing,
        }
    }

    /// Which of several is told: what a person can do something about first.
    pub fn rank(self) -> u8 {
        match self {
            Self::InPlace => 0,
            Self::Waiting => 1,
            Self::NotAllowed => 2,
            Self::Refused => 3,
            Self::Foreign => 4,
            Self::NoSuchKind => 5,
        }
    }

    /// What the status says of it.
    pub fn finding(self, host: &Host, kind: Kind) -> Finding {
        let reason = self.reason();
        let no = |message| Finding::is_false(Type::Exposed, reason, message);
        let kind = kind.as_str();
        match self {
            // These two are constant: a host more, or sooner, changes no status.
            Self::InPlace => Finding::is_true(
                Type::Exposed,
                reason,
                format!("each host has its {kind}"),
            ),
            Self::Waiting => Finding::new(
                Type::Exposed,
                Is::Unknown,
                reason,
                format!("not every host has its {kind} yet"),
            ),
            Self::NotAllowed => no(
                format!("no {kind} is made for {host}: this namespace may not use it, ask the administrator of Mailtrail"),
            ),
            Self::Refused => no(
                format!("the API server refuses the {kind} of {host}: the operator's log says why"),
            ),
            Self::Foreign => no(
                format!("an {kind} named {host} that Mailtrail did not make stands in its namespace and is left alone: an administrator deletes or renames it"),
            ),
            Self::NoSuchKind => no(
                "the cluster has no HTTPRoute (gateway.networking.k8s.io/v1): an administrator installs the Gateway API's definitions, and routes follow".to_owned(),
            ),
        }
    }
}
