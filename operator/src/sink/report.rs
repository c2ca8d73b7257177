//! The last step of a sink's turn: the status, where it is not what it was, and
//! Kubernetes Events of what has turned.

use jiff::Timestamp;
use mailtrail_core::ack::{Delivery, How};
use mailtrail_crds::sink::EventSinkStatus;

use super::{Applied, Context, There};
use crate::condition::{self, Finding, Is, Reason, Type};
use crate::error::Error;
use crate::queue::Next;
use crate::status::{LOOK_AGAIN, Writer, Written, programmed, still_given};
use crate::subject::Subject;

/// Reports.
pub(super) async fn report(
    there: &There,
    applied: Applied,
    context: &Context,
) -> Result<Next, Error> {
    let subject = Subject::Sink(there.name.clone());
    let told = there.told.as_deref();
    let programmed = match (&applied.accepted, &applied.resolved) {
        (Ok(()), Ok(())) => programmed(&subject, &context.shards, &context.replicas),
        (Ok(()), Err(_)) => waits(Type::Programmed),
        (Err(_), _) => Finding::is_false(
            Type::Programmed,
            Reason::NotAccepted,
            "replicas go on with what was accepted before, if anything was, unless the spec suspends it",
        ),
    };
    let generation = there.sink.metadata.generation;
    if let Some(left) = still_given(&context.grace, &subject, generation, &[&programmed], told) {
        return Ok(Next::After(left));
    }
    let is_pending = programmed.reason == Reason::Pending;
    let delivery = context.replicas.delivery(&there.name);
    let before = there.delivering.as_deref();
    // While an edit is refused, what it suspended once stays so.
    let is_served_so = || {
        let served = context.shards.sink(&there.name);
        served.is_some_and(|served| served.suspend)
    };
    let suspended = there.sink.spec.suspend || (applied.accepted.is_err() && is_served_so());
    let delivering = delivering(&applied, suspended, delivery, before);
    let findings = findings(&applied, programmed, delivering);
    let written = write(&subject, there, &findings, context).await?;
    Ok(match is_pending && written {
        true => Next::After(LOOK_AGAIN),
        false => Next::Wait,
    })
}

/// What the status is to say. Pure.
fn findings(applied: &Applied, programmed: Finding, delivering: Finding) -> Vec<Finding> {
    let accepted = match &applied.accepted {
        Ok(()) => Finding::is_true(Type::Accepted, Reason::Accepted, "the spec is valid"),
        Err((reason, message)) => Finding::is_false(Type::Accepted, *reason, message),
    };
    let resolved = match (&applied.accepted, &applied.resolved) {
        (Err(_), Ok(())) => Finding::new(
            Type::ResolvedRefs,
            Is::Unknown,
            Reason::NotAccepted,
            "nobody has looked, since the spec is not accepted",
        ),
        (Ok(()), Ok(())) => Finding::is_true(
            Type::ResolvedRefs,
            Reason::ResolvedRefs,
            "all that the spec refers to is there",
        ),
        (_, Err((reason, message))) => Finding::is_false(Type::ResolvedRefs, *reason, message),
    };
    let mut of = vec![&accepted, &resolved, &programmed];
    // That nothing was to be delivered yet is no fault.
    if delivering.is == Is::False {
        of.push(&delivering);
    }
    let ready = condition::ready(&of, "events are delivered as written");
    vec![accepted, resolved, programmed, delivering, ready]
}

/// Nothing is delivered, and events wait, until what the spec refers to is there.
fn waits(type_: Type) -> Finding {
    Finding::is_false(
        type_,
        Reason::RefsNotResolved,
        "events wait until what the spec refers to is there",
    )
}

/// Whether events reach the receiver. Pure.
fn delivering(
    applied: &Applied,
    suspended: bool,
    delivery: Option<Delivery>,
    before: Option<&Finding>,
) -> Finding {
    let no = |reason, message: &str| Finding::is_false(Type::Delivering, reason, message);
    if applied.resolved.is_err() {
        return waits(Type::Delivering);
    }
    if suspended {
        return no(
            Reason::Suspended,
            "its owner has suspended it (spec.suspend): events wait",
        );
    }
    let yes = Finding::is_true(
        Type::Delivering,
        Reason::Delivering,
        "events reach the receiver",
    );
    let Some(Delivery {
        how,
        since_ms,
        why,
        sink: _,
    }) = delivery.filter(|delivery| delivery.how != How::Untried)
    else {
        // A replica that starts has tried nothing yet, and an operator that does
        // has not asked: what was found stays found.
        let before = before.filter(|before| is_of_replicas(before.reason));
        return before.cloned().unwrap_or_else(|| {
            let message = "nothing was to be delivered yet";
            Finding::new(Type::Delivering, Is::Unknown, Reason::NothingYet, message)
        });
    };
    let since = since(since_ms);
    match how {
        How::Delivering | How::Untried => yes,
        How::Failing => no(
            Reason::Failing,
            &format!("the receiver fails{since}: {why}; deliveries are tried again for three days"),
        ),
        How::Suspended => no(
            Reason::FailingForDays,
            &format!(
                "the receiver has failed for days, suspended{since}: {why}; one delivery is tried every hour, and a success resumes it"
            ),
        ),
        How::Gone => no(
            Reason::ReceiverGone,
            &format!(
                "the receiver has answered 410{since}, which is that it wants nothing any more: give it another URL, or resume it over the API"
            ),
        ),
        How::NoSecret => no(Reason::CannotSign, &format!("nothing can be signed: {why}")),
    }
}

/// Whether a replica has found that, not the operator.
fn is_of_replicas(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Delivering
            | Reason::Failing
            | Reason::FailingForDays
            | Reason::ReceiverGone
            | Reason::CannotSign
    )
}

/// A time, to the second: what is finer would change a status for nothing.
fn since(ms: Option<u64>) -> String {
    let seconds = ms.and_then(|ms| i64::try_from(ms / 1000).ok());
    let time = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map(|time| format!(" since {time}"))
        .unwrap_or_default()
}

/// Writes the status; says whether it says all that now. Where others are before
/// it the sink is named when they are done.
async fn write(
    subject: &Subject,
    there: &There,
    findings: &[Finding],
    context: &Context,
) -> Result<bool, Error> {
    let writer = Writer {
        client: &context.client,
        passes: &context.passes,
        teller: &context.teller,
        fence: &context.fence,
        metrics: &context.metrics,
        clock: context.clock,
    };
    let status = |generation, conditions| EventSinkStatus {
        observed_generation: Some(generation),
        conditions,
    };
    let (sink, before) = (&*there.sink, there.told.as_deref());
    match writer
        .write(subject, sink, before, findings, status)
        .await?
    {
        Written::Now(sink) => context.known.sink(*sink),
        Written::Already => {}
        Written::NotYet => return Ok(false),
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(resolved: bool) -> Applied {
        Applied {
            accepted: Ok(()),
            resolved: match resolved {
                true => Ok(()),
                false => Err((Reason::SecretNotFound, "missing".to_owned())),
            },
        }
    }

    fn delivery(how: How) -> Option<Delivery> {
        Some(Delivery {
            sink: "shop/orders".parse().expect("a realm"),
            how,
            since_ms: Some(1_500),
            why: "it answers with status 500".to_owned(),
        })
    }

    fn check(suspended: bool, how: Option<Delivery>, expected: (Is, Reason)) -> Finding {
        let found = delivering(&applied(true), suspended, how, None);
        assert_eq!((found.is, found.reason), expected);
        found
    }

    #[test]
    fn what_replicas_tell_is_told_on() {
        check(false, None, (Is::Unknown, Reason::NothingYet));
        check(
            false,
            delivery(How::Untried),
            (Is::Unknown, Reason::NothingYet),
        );
        check(
            false,
            delivery(How::Delivering),
            (Is::True, Reason::Delivering),
        );
        check(
            true,
            delivery(How::Delivering),
            (Is::False, Reason::Suspended),
        );
        check(
            false,
            delivery(How::Gone),
            (Is::False, Reason::ReceiverGone),
        );
        check(
            false,
            delivery(How::NoSecret),
            (Is::False, Reason::CannotSign),
        );
        let found = check(false, delivery(How::Failing), (Is::False, Reason::Failing));
        assert!(
            found
                .message
                .contains("since 1970-01-01T00:00:01Z: it answers")
        );
    }

    #[test]
    fn who_starts_takes_nothing_back() {
        let failing = check(false, delivery(How::Failing), (Is::False, Reason::Failing));
        let nobody = |before| delivering(&applied(true), false, None, before);
        let untried = |before| delivering(&applied(true), false, delivery(How::Untried), before);
        assert_eq!(nobody(Some(&failing)), failing);
        assert_eq!(untried(Some(&failing)), failing);
        // What the operator itself has found is over.
        let suspended = check(true, None, (Is::False, Reason::Suspended));
        assert_eq!(nobody(Some(&suspended)).reason, Reason::NothingYet);
    }

    #[test]
    fn ready_gives_the_first_reason_against_it_and_no_manifest() {
        let programmed = || Finding::is_true(Type::Programmed, Reason::Programmed, "");
        let ready = |applied: &Applied, how| {
            let delivering = delivering(applied, false, how, None);
            let findings = findings(applied, programmed(), delivering);
            findings
                .into_iter()
                .find(|f| f.type_ == Type::Ready)
                .expect("there")
        };
        assert_eq!(ready(&applied(true), None).reason, Reason::Ready);
        let failing = ready(&applied(true), delivery(How::Failing));
        assert_eq!((failing.is, failing.reason), (Is::False, Reason::Failing));
        let forbidden = Applied {
            resolved: Err((Reason::SecretNotReadable, "# first\nkind: Role".to_owned())),
            ..applied(true)
        };
        let found = ready(&forbidden, None);
        assert_eq!(
            (found.reason, found.message.as_str()),
            (Reason::SecretNotReadable, "first")
        );
    }
}
