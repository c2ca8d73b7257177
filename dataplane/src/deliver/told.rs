//! How a sink's deliveries stand, as the operator is told. Pure.
//!
//! What is told changes seldom: people read it in a status, and each change is a
//! write to the cluster.

use mailtrail_core::ack::{Delivery, How};
use mailtrail_core::id::Realm;

use super::state::{Failure, Suspended, Why};

/// A receiver that has answered before and fails for less than this is not told
/// of: most are back by then.
const FAILS_AFTER_MS: u64 = 60_000;

/// What a worker knows of its sink.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Report {
    pub suspended: Option<Suspended>,
    pub failing_since_ms: Option<u64>,
    /// Whether anything was delivered since the process started.
    pub delivered: bool,
    /// How the last attempt failed, where it did.
    pub failure: Option<Failure>,
    pub secret_missing: Option<String>,
}

impl Report {
    /// What is told of it at this moment.
    pub(super) fn told(&self, sink: &Realm, now_ms: u64) -> Delivery {
        let fails = self
            .failing_since_ms
            .filter(|since| !self.delivered || now_ms.saturating_sub(*since) >= FAILS_AFTER_MS);
        let (how, since_ms) = match (&self.secret_missing, self.suspended, fails) {
            (Some(_), _, _) => (How::NoSecret, None),
            (None, Some(Suspended { why, since_ms }), _) => match why {
                Why::Failing => (How::Suspended, Some(since_ms)),
                Why::Gone => (How::Gone, Some(since_ms)),
            },
            (None, None, Some(since)) => (How::Failing, Some(since)),
            (None, None, None) if self.delivered => (How::Delivering, None),
            (None, None, None) => (How::Untried, None),
        };
        let why = match (how, &self.secret_missing) {
            (How::NoSecret, Some(missing)) => missing.clone(),
            (How::Failing | How::Suspended, _) => self.failure.map(in_words).unwrap_or_default(),
            _ => String::new(),
        };
        Delivery {
            sink: sink.clone(),
            how,
            since_ms,
            why,
        }
    }
}

/// A failure, for people.
fn in_words(failure: Failure) -> String {
    match failure {
        Failure::Refused => {
            "its address is private, local or reserved, which events are not sent to".to_owned()
        }
        Failure::PlainHttp => "over the internet it must be https".to_owned(),
        Failure::Unresolved => "its host has no address".to_owned(),
        Failure::Unreachable => "nobody answers at its address".to_owned(),
        Failure::Tls => "its certificate is not valid, or it speaks no TLS".to_owned(),
        Failure::Timeout => "it does not answer in time".to_owned(),
        Failure::Broken => "what it answers is no HTTP, or is cut off".to_owned(),
        Failure::Status(status) => format!("it answers with status {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(report: &Report, now_ms: u64, expected: (How, Option<u64>)) {
        let told = report.told(&"shop/orders".parse().expect("a realm"), now_ms);
        assert_eq!((told.how, told.since_ms), expected, "{report:?}");
    }

    #[test]
    fn a_moment_of_failure_is_not_told_of_who_has_delivered() {
        let mut report = Report::default();
        check(&report, 0, (How::Untried, None));
        report.failing_since_ms = Some(1_000);
        report.failure = Some(Failure::Status(500));
        check(&report, 2_000, (How::Failing, Some(1_000)));
        report.delivered = true;
        check(&report, 60_999, (How::Delivering, None));
        check(&report, 61_000, (How::Failing, Some(1_000)));
        report.failing_since_ms = None;
        check(&report, 61_000, (How::Delivering, None));
    }

    #[test]
    fn what_stops_all_deliveries_is_told_first() {
        let suspended = |why| Some(Suspended { why, since_ms: 7 });
        let mut report = Report {
            failing_since_ms: Some(1),
            suspended: suspended(Why::Failing),
            ..Report::default()
        };
        check(&report, 8, (How::Suspended, Some(7)));
        report.suspended = suspended(Why::Gone);
        check(&report, 8, (How::Gone, Some(7)));
        report.secret_missing = Some("missing".to_owned());
        check(&report, 8, (How::NoSecret, None));
    }
}
