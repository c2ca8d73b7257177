//! The conditions of a TrackingDomain: their types, the reasons that there are,
//! and the step from what is found to what the status says. Pure.
//!
//! `docs/CONDITIONS.md` tells people what each reason means and what to do.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use mailtrail_crds::status::TrackingDomainStatus;

/// An aspect of how a domain stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Type {
    /// The spec is valid, and its hosts belong to the object.
    Accepted,
    /// What it refers to exists.
    ResolvedRefs,
    /// Every ready replica serves it.
    Programmed,
    /// The host leads here.
    Reachable,
    /// Accepted, ResolvedRefs and Programmed.
    Ready,
}

/// Whether it is the case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Is {
    /// It is.
    True,
    /// It is not.
    False,
    /// That is not known.
    Unknown,
}

/// Why, as one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Accepted: valid, and the hosts are its own.
    Accepted,
    /// Accepted: a host belongs to another object.
    HostConflict,
    /// Accepted: the hosts belong to an earlier namespace of that name.
    NamespaceChanged,
    /// Accepted: the namespace may not use such a host.
    HostNotAllowed,
    /// Accepted: the namespace has as many domains as it may have.
    TooManyDomains,
    /// Accepted: the settings take more than one entry holds.
    ConfigTooLarge,
    /// Accepted: there is no room left for another domain of its shard.
    ConfigFull,
    /// Accepted: a field does not hold what it should.
    Invalid,
    /// ResolvedRefs: all that the spec refers to is there.
    ResolvedRefs,
    /// Programmed: every ready replica serves it.
    Programmed,
    /// Programmed: not all of them do yet.
    Pending,
    /// Programmed: there is no replica that is ready.
    NoReplicas,
    /// Programmed: a replica refuses it.
    Refused,
    /// Programmed, Ready: the spec was not accepted.
    NotAccepted,
    /// Reachable: the host leads here, with a valid certificate.
    Reachable,
    /// Reachable: nobody has looked yet.
    NotChecked,
    /// Reachable: the spec waives the check.
    VerificationWaived,
    /// Reachable: the name does not exist in DNS.
    HostNotFound,
    /// Reachable: nobody answers.
    Unreachable,
    /// Reachable: the certificate is not valid for the host.
    CertificateInvalid,
    /// Reachable: somebody else answers.
    AnsweredByOthers,
    /// Ready: all of it.
    Ready,
}

/// What is found of one aspect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The aspect.
    pub type_: Type,
    /// Whether it is the case.
    pub is: Is,
    /// Why.
    pub reason: Reason,
    /// What a person should know or do.
    pub message: String,
}

/// A change worth a Kubernetes Event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// Whether it is for the worse.
    pub warning: bool,
    /// Why.
    pub reason: Reason,
    /// In words.
    pub message: String,
}

impl Type {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::ResolvedRefs => "ResolvedRefs",
            Self::Programmed => "Programmed",
            Self::Reachable => "Reachable",
            Self::Ready => "Ready",
        }
    }
}

impl Is {
    fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl Reason {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::HostConflict => "HostConflict",
            Self::NamespaceChanged => "NamespaceChanged",
            Self::HostNotAllowed => "HostNotAllowed",
            Self::TooManyDomains => "TooManyDomains",
            Self::ConfigTooLarge => "ConfigTooLarge",
            Self::ConfigFull => "ConfigFull",
            Self::Invalid => "Invalid",
            Self::ResolvedRefs => "ResolvedRefs",
            Self::Programmed => "Programmed",
            Self::Pending => "Pending",
            Self::NoReplicas => "NoReplicas",
            Self::Refused => "Refused",
            Self::NotAccepted => "NotAccepted",
            Self::Reachable => "Reachable",
            Self::NotChecked => "NotChecked",
            Self::VerificationWaived => "VerificationWaived",
            Self::HostNotFound => "HostNotFound",
            Self::Unreachable => "Unreachable",
            Self::CertificateInvalid => "CertificateInvalid",
            Self::AnsweredByOthers => "AnsweredByOthers",
            Self::Ready => "Ready",
        }
    }
}

impl Finding {
    /// It is the case.
    pub fn is_true(type_: Type, reason: Reason, message: impl Into<String>) -> Self {
        Self::new(type_, Is::True, reason, message)
    }

    /// It is not.
    pub fn is_false(type_: Type, reason: Reason, message: impl Into<String>) -> Self {
        Self::new(type_, Is::False, reason, message)
    }

    /// Of this aspect.
    pub fn new(type_: Type, is: Is, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            type_,
            is,
            reason,
            message: message.into(),
        }
    }
}

/// Ready: the first of these that is not the case says why it is not.
pub fn ready(of: &[&Finding]) -> Finding {
    match of.iter().find(|finding| finding.is != Is::True) {
        Some(finding) => Finding::new(
            Type::Ready,
            finding.is,
            finding.reason,
            finding.message.clone(),
        ),
        None => Finding::is_true(
            Type::Ready,
            Reason::Ready,
            "the domain is served as written",
        ),
    }
}

/// The status that says this of a generation. What did not change keeps its
/// time, so that an equal status is equal to the last byte.
pub fn status(
    before: Option<&TrackingDomainStatus>,
    generation: i64,
    findings: &[Finding],
    now: Timestamp,
) -> TrackingDomainStatus {
    let known = before.map_or(&[][..], |status| &status.conditions);
    let condition = |finding: &Finding| {
        let before = known.iter().find(|c| c.type_ == finding.type_.as_str());
        let status = finding.is.as_str();
        let since = before.filter(|before| before.status == status);
        Condition {
            type_: finding.type_.as_str().to_owned(),
            status: status.to_owned(),
            reason: finding.reason.as_str().to_owned(),
            message: finding.message.clone(),
            observed_generation: Some(generation),
            last_transition_time: since.map_or(Time(now), |c| c.last_transition_time.clone()),
        }
    };
    TrackingDomainStatus {
        observed_generation: Some(generation),
        conditions: findings.iter().map(condition).collect(),
    }
}

/// What has changed from one status to the next, for people who read Events:
/// Ready and Reachable, when they turn or fail for another reason.
pub fn transitions(before: Option<&TrackingDomainStatus>, findings: &[Finding]) -> Vec<Transition> {
    let known = before.map_or(&[][..], |status| &status.conditions);
    let told = |finding: &&Finding| match finding.type_ {
        Type::Ready => finding.reason != Reason::Pending,
        Type::Reachable => !matches!(
            finding.reason,
            Reason::NotChecked | Reason::VerificationWaived
        ),
        Type::Accepted | Type::ResolvedRefs | Type::Programmed => false,
    };
    let changed = |finding: &&Finding| {
        let before = known.iter().find(|c| c.type_ == finding.type_.as_str());
        before.is_none_or(|before| {
            before.status != finding.is.as_str() || before.reason != finding.reason.as_str()
        })
    };
    let changes = findings.iter().filter(told).filter(changed);
    changes
        .map(|finding| Transition {
            warning: finding.is == Is::False,
            reason: finding.reason,
            message: finding.message.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn programmed(is: Is) -> Finding {
        Finding::new(Type::Programmed, is, Reason::Pending, "2 of 3 replicas")
    }

    #[test]
    fn people_can_read_about_every_type_and_reason() {
        let document = include_str!("../../docs/CONDITIONS.md");
        let own = include_str!("condition.rs");
        let arms = own.lines().filter_map(|line| line.split_once("=> \""));
        let words: Vec<_> = arms
            .filter_map(|(_, rest)| rest.strip_suffix("\","))
            .collect();
        // Five types, three answers, and reasons.
        assert!(words.len() > 25, "{words:?}");
        for word in words {
            assert!(
                document.contains(&format!("`{word}`")),
                "{word} is not in docs/CONDITIONS.md"
            );
        }
    }

    #[test]
    fn a_condition_keeps_its_time_until_it_turns() {
        let first = status(None, 1, &[programmed(Is::False)], at(1));
        let same = status(Some(&first), 2, &[programmed(Is::False)], at(9));
        assert_eq!(same.conditions[0].last_transition_time.0, at(1));
        assert_eq!(same.conditions[0].observed_generation, Some(2));
        let turned = status(Some(&same), 2, &[programmed(Is::True)], at(9));
        assert_eq!(turned.conditions[0].last_transition_time.0, at(9));
    }

    #[test]
    fn ready_gives_the_first_reason_against_it() {
        let accepted = Finding::is_true(Type::Accepted, Reason::Accepted, "");
        let no = programmed(Is::False);
        assert_eq!(ready(&[&accepted, &no]).reason, Reason::Pending);
        assert_eq!(ready(&[&accepted]).reason, Reason::Ready);
    }

    #[test]
    fn only_transitions_are_told() {
        let ready = Finding::is_true(Type::Ready, Reason::Ready, "served");
        let findings = [programmed(Is::True), ready];
        assert_eq!(transitions(None, &findings).len(), 1);
        let before = status(None, 1, &findings, at(1));
        assert!(transitions(Some(&before), &findings).is_empty());
        let waiting = ready_pending();
        assert!(transitions(Some(&before), &[waiting]).is_empty());
    }

    fn ready_pending() -> Finding {
        Finding::is_false(Type::Ready, Reason::Pending, "1 of 2 replicas")
    }
}
