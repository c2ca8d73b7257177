//! The conditions of TrackingDomains and EventSinks: their types, the reasons that
//! there are, and the step from what is found to what the status says. Pure.
//!
//! `docs/CONDITIONS.md` tells people what each reason means and what to do.

use std::hash::Hasher as _;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use siphasher::sip::SipHasher13;

/// An aspect of how a domain or a sink stands.
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
    /// Each host has the Ingress or HTTPRoute that it is to have.
    Exposed,
    /// Events reach the receiver.
    Delivering,
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
    /// Accepted, Exposed: the namespace may not use such a host.
    HostNotAllowed,
    /// Accepted: the namespace has as many domains as it may have.
    TooManyDomains,
    /// Accepted: the settings take more than one entry holds.
    ConfigTooLarge,
    /// Accepted: there is no room left for another domain of its shard.
    ConfigFull,
    /// Accepted: a field does not hold what it should.
    Invalid,
    /// Accepted: there are as many sinks as may be.
    TooManySinks,
    /// Accepted: the URL names something of the cluster that is no Service of
    /// the sink's namespace.
    UrlNotAllowed,
    /// ResolvedRefs: all that the spec refers to is there.
    ResolvedRefs,
    /// ResolvedRefs: the operator may not read a Secret.
    SecretNotReadable,
    /// ResolvedRefs: a Secret is not there.
    SecretNotFound,
    /// ResolvedRefs: a Secret is no webhook secret.
    SecretInvalid,
    /// ResolvedRefs: the Service is not there, or has no such port.
    ServiceNotFound,
    /// ResolvedRefs: the Service is no plain one.
    ServiceNotAllowed,
    /// Programmed: every ready replica serves it.
    Programmed,
    /// Programmed: not all of them do yet. Exposed: not all are made yet.
    Pending,
    /// Programmed: there is no replica that is ready.
    NoReplicas,
    /// Programmed: a replica refuses it.
    Refused,
    /// Programmed, Reachable, Exposed, Ready: the spec was not accepted.
    NotAccepted,
    /// Reachable: the host leads here, with a valid certificate.
    Reachable,
    /// Reachable: nobody has looked yet.
    NotChecked,
    /// Reachable: nothing is known, the name servers do not answer.
    DnsFailed,
    /// Reachable: nothing is known, the host does not answer in time.
    TimedOut,
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
    /// Exposed: each host has its Ingress or HTTPRoute.
    Exposed,
    /// Exposed: something else has its name.
    RouteConflict,
    /// Exposed: the API server refuses it.
    RouteRefused,
    /// Exposed: the cluster does not know HTTPRoutes.
    GatewayApiMissing,
    /// Programmed, Delivering: what the spec refers to is missing.
    RefsNotResolved,
    /// Delivering: events reach the receiver.
    Delivering,
    /// Delivering: nothing was to be delivered yet.
    NothingYet,
    /// Delivering: its owner has suspended it.
    Suspended,
    /// Delivering: nothing was delivered for a while.
    Failing,
    /// Delivering: nothing was delivered for days.
    FailingForDays,
    /// Delivering: the receiver wants nothing any more.
    ReceiverGone,
    /// Delivering: nothing can be signed.
    CannotSign,
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

/// A status as it is remembered: thousands are held, and of their texts nothing
/// is needed but whether they change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    generation: Option<i64>,
    conditions: Box<[ToldCondition]>,
    /// Whether somebody else has written something into it.
    is_foreign: bool,
}

/// A condition of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToldCondition {
    /// The aspect.
    pub type_: Type,
    /// Whether it is the case.
    pub is: Is,
    /// Why.
    pub reason: Reason,
    /// The generation that it speaks of.
    pub generation: Option<i64>,
    since: Timestamp,
    message: u64,
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

impl Told {
    /// Remembers a status.
    pub fn of(generation: Option<i64>, conditions: &[Condition]) -> Self {
        let known: Vec<_> = conditions.iter().filter_map(ToldCondition::of).collect();
        Self {
            generation,
            is_foreign: known.len() != conditions.len(),
            conditions: known.into(),
        }
    }

    /// What it says of an aspect.
    pub fn find(&self, type_: Type) -> Option<&ToldCondition> {
        self.conditions.iter().find(|known| known.type_ == type_)
    }

    /// Whether it says this already, and nothing else.
    pub fn says(&self, generation: i64, conditions: &[Condition]) -> bool {
        !self.is_foreign && *self == Self::of(Some(generation), conditions)
    }
}

impl ToldCondition {
    /// Whether it says just this.
    pub fn says(&self, finding: &Finding) -> bool {
        let message = hash(&finding.message);
        (self.is, self.reason, self.message) == (finding.is, finding.reason, message)
    }

    fn of(condition: &Condition) -> Option<Self> {
        Some(Self {
            type_: Type::ALL
                .into_iter()
                .find(|known| known.as_str() == condition.type_)?,
            is: [Is::True, Is::False, Is::Unknown]
                .into_iter()
                .find(|known| known.as_str() == condition.status)?,
            reason: Reason::ALL
                .into_iter()
                .find(|known| known.as_str() == condition.reason)?,
            generation: condition.observed_generation,
            since: condition.last_transition_time.0,
            message: hash(&condition.message),
        })
    }
}

fn hash(message: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(message.as_bytes());
    hasher.finish()
}

impl Type {
    /// All there are.
    pub const ALL: [Self; 7] = [
        Self::Accepted,
        Self::ResolvedRefs,
        Self::Programmed,
        Self::Reachable,
        Self::Exposed,
        Self::Delivering,
        Self::Ready,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::ResolvedRefs => "ResolvedRefs",
            Self::Programmed => "Programmed",
            Self::Reachable => "Reachable",
            Self::Exposed => "Exposed",
            Self::Delivering => "Delivering",
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
    /// All there are.
    pub const ALL: [Self; 43] = [
        Self::Accepted,
        Self::HostConflict,
        Self::NamespaceChanged,
        Self::HostNotAllowed,
        Self::TooManyDomains,
        Self::ConfigTooLarge,
        Self::ConfigFull,
        Self::Invalid,
        Self::TooManySinks,
        Self::UrlNotAllowed,
        Self::ResolvedRefs,
        Self::SecretNotReadable,
        Self::SecretNotFound,
        Self::SecretInvalid,
        Self::ServiceNotFound,
        Self::ServiceNotAllowed,
        Self::Programmed,
        Self::Pending,
        Self::NoReplicas,
        Self::Refused,
        Self::NotAccepted,
        Self::Reachable,
        Self::NotChecked,
        Self::DnsFailed,
        Self::TimedOut,
        Self::VerificationWaived,
        Self::HostNotFound,
        Self::Unreachable,
        Self::CertificateInvalid,
        Self::AnsweredByOthers,
        Self::Exposed,
        Self::RouteConflict,
        Self::RouteRefused,
        Self::GatewayApiMissing,
        Self::RefsNotResolved,
        Self::Delivering,
        Self::NothingYet,
        Self::Suspended,
        Self::Failing,
        Self::FailingForDays,
        Self::ReceiverGone,
        Self::CannotSign,
        Self::Ready,
    ];

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
            Self::TooManySinks => "TooManySinks",
            Self::UrlNotAllowed => "UrlNotAllowed",
            Self::ResolvedRefs => "ResolvedRefs",
            Self::SecretNotReadable => "SecretNotReadable",
            Self::SecretNotFound => "SecretNotFound",
            Self::SecretInvalid => "SecretInvalid",
            Self::ServiceNotFound => "ServiceNotFound",
            Self::ServiceNotAllowed => "ServiceNotAllowed",
            Self::Programmed => "Programmed",
            Self::Pending => "Pending",
            Self::NoReplicas => "NoReplicas",
            Self::Refused => "Refused",
            Self::NotAccepted => "NotAccepted",
            Self::Reachable => "Reachable",
            Self::NotChecked => "NotChecked",
            Self::DnsFailed => "DnsFailed",
            Self::TimedOut => "TimedOut",
            Self::VerificationWaived => "VerificationWaived",
            Self::HostNotFound => "HostNotFound",
            Self::Unreachable => "Unreachable",
            Self::CertificateInvalid => "CertificateInvalid",
            Self::AnsweredByOthers => "AnsweredByOthers",
            Self::Exposed => "Exposed",
            Self::RouteConflict => "RouteConflict",
            Self::RouteRefused => "RouteRefused",
            Self::GatewayApiMissing => "GatewayApiMissing",
            Self::RefsNotResolved => "RefsNotResolved",
            Self::Delivering => "Delivering",
            Self::NothingYet => "NothingYet",
            Self::Suspended => "Suspended",
            Self::Failing => "Failing",
            Self::FailingForDays => "FailingForDays",
            Self::ReceiverGone => "ReceiverGone",
            Self::CannotSign => "CannotSign",
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

/// What conditions say of an aspect, word by word.
pub fn found(conditions: &[Condition], type_: Type) -> Option<Finding> {
    let condition = conditions.iter().find(|c| c.type_ == type_.as_str())?;
    let ToldCondition { is, reason, .. } = ToldCondition::of(condition)?;
    Some(Finding::new(type_, is, reason, condition.message.clone()))
}

/// Ready: the first of these that is not the case says why it is not; otherwise
/// this does.
pub fn ready(of: &[&Finding], message: &str) -> Finding {
    match of.iter().find(|finding| finding.is != Is::True) {
        Some(finding) => Finding::new(
            Type::Ready,
            finding.is,
            finding.reason,
            in_short(&finding.message),
        ),
        None => Finding::is_true(Type::Ready, Reason::Ready, message),
    }
}

/// The first line of a message: what follows is for whoever reads the condition
/// itself.
fn in_short(message: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    first.trim_start_matches("# ").to_owned()
}

/// The conditions that say this of a generation. What did not change keeps its
/// time, so that an equal status is equal to the last byte.
pub fn conditions(
    before: Option<&Told>,
    generation: i64,
    findings: &[Finding],
    now: Timestamp,
) -> Vec<Condition> {
    let condition = |finding: &Finding| {
        let before = before.and_then(|before| before.find(finding.type_));
        let since = before.filter(|before| before.is == finding.is);
        Condition {
            type_: finding.type_.as_str().to_owned(),
            status: finding.is.as_str().to_owned(),
            reason: finding.reason.as_str().to_owned(),
            message: finding.message.clone(),
            observed_generation: Some(generation),
            last_transition_time: Time(since.map_or(now, |before| before.since)),
        }
    };
    findings.iter().map(condition).collect()
}

/// What has changed from one status to the next, for people who read Events:
/// Ready and Reachable, when they turn or fail for another reason, and Exposed, when
/// it fails.
pub fn transitions(before: Option<&Told>, findings: &[Finding]) -> Vec<Transition> {
    let told = |finding: &&Finding| match finding.type_ {
        Type::Ready => finding.reason != Reason::Pending,
        Type::Reachable => finding.is != Is::Unknown,
        // What is missing from the cluster is no news of this object.
        Type::Exposed => {
            finding.is == Is::False
                && !matches!(
                    finding.reason,
                    Reason::NotAccepted | Reason::GatewayApiMissing
                )
        }
        // What is wrong with any of these is Ready's reason.
        Type::Accepted | Type::ResolvedRefs | Type::Programmed | Type::Delivering => false,
    };
    let changed = |finding: &&Finding| {
        let before = before.and_then(|before| before.find(finding.type_));
        before.is_none_or(|before| before.is != finding.is || before.reason != finding.reason)
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
        // Seven types, three answers, and reasons.
        assert!(words.len() > 40, "{words:?}");
        for word in words {
            assert!(
                document.contains(&format!("`{word}`")),
                "{word} is not in docs/CONDITIONS.md"
            );
        }
    }

    #[test]
    fn a_condition_keeps_its_time_until_it_turns() {
        let first = conditions(None, 1, &[programmed(Is::False)], at(1));
        let told = Told::of(Some(1), &first);
        let same = conditions(Some(&told), 2, &[programmed(Is::False)], at(9));
        assert_eq!(same[0].last_transition_time.0, at(1));
        assert_eq!(same[0].observed_generation, Some(2));
        let told = Told::of(Some(2), &same);
        let turned = conditions(Some(&told), 2, &[programmed(Is::True)], at(9));
        assert_eq!(turned[0].last_transition_time.0, at(9));
    }

    #[test]
    fn a_status_that_is_remembered_tells_the_same_from_anything_else() {
        let made = conditions(None, 1, &[programmed(Is::False)], at(1));
        let told = Told::of(Some(1), &made);
        assert!(told.says(1, &made) && !told.says(2, &made));
        let mut other = made.clone();
        other[0].message = "1 of 3 replicas".to_owned();
        assert!(!told.says(1, &other));
        let mut foreign = made.clone();
        foreign.push(Condition {
            type_: "TheirOwn".to_owned(),
            ..made[0].clone()
        });
        let of_foreign = Told::of(Some(1), &foreign);
        assert!(!of_foreign.says(1, &made) && !told.says(1, &foreign));
    }

    #[test]
    fn ready_gives_the_first_reason_against_it() {
        let accepted = Finding::is_true(Type::Accepted, Reason::Accepted, "");
        let no = programmed(Is::False);
        assert_eq!(ready(&[&accepted, &no], "").reason, Reason::Pending);
        assert_eq!(ready(&[&accepted], "").reason, Reason::Ready);
    }

    #[test]
    fn only_transitions_are_told() {
        let ready = Finding::is_true(Type::Ready, Reason::Ready, "served");
        let findings = [programmed(Is::True), ready];
        assert_eq!(transitions(None, &findings).len(), 1);
        let before = Told::of(Some(1), &conditions(None, 1, &findings, at(1)));
        assert!(transitions(Some(&before), &findings).is_empty());
        let waiting = ready_pending();
        assert!(transitions(Some(&before), &[waiting]).is_empty());
    }

    fn ready_pending() -> Finding {
        Finding::is_false(Type::Ready, Reason::Pending, "1 of 2 replicas")
    }
}
