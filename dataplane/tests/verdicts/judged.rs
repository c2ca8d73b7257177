//! The set through the shipped rules, as a program would judge it: signs at the
//! hit, burst and delivery window when it settles.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::SignedDuration;
use mailtrail_core::event::{EventKind, Verdict};
use mailtrail_dataplane::judge::window::{Waiting, Window};
use mailtrail_dataplane::judge::{Learnt, Rules, Seen};

use crate::set::{Hit, Pattern};

/// An address of nobody's (RFC 5737).
const ELSEWHERE: &str = "203.0.113.7";

/// A hit and its verdict.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) label: Verdict,
    pub(crate) verdict: Verdict,
}

pub(crate) fn judge(set: &[Pattern]) -> Vec<Judged> {
    let rules = Rules::shipped();
    set.iter()
        .flat_map(|pattern| judge_pattern(&rules, pattern))
        .collect()
}

fn judge_pattern(rules: &Rules, pattern: &Pattern) -> Vec<Judged> {
    let mut window = Window::new(Duration::from_secs(10));
    for (hit, seq) in pattern.hits.iter().zip(0..) {
        window.push(Waiting {
            seq,
            time_ms: u64::from(hit.at) * 1000,
            mail: Some(1),
            target: hit.target.as_ref().map(hash),
        });
    }
    let due = std::iter::from_fn(|| window.next_due(1_000_000));
    let judged = pattern.hits.iter().zip(due).map(|(hit, due)| {
        let learnt = Learnt {
            burst: due.burst,
            since_sent: pattern
                .sent
                .map(|sent| SignedDuration::from_secs(sent + i64::from(hit.at))),
        };
        Judged {
            name: pattern.name.clone(),
            source: pattern.source.clone(),
            label: hit.label,
            verdict: verdict(rules, pattern, hit, learnt),
        }
    });
    judged.collect()
}

fn verdict(rules: &Rules, pattern: &Pattern, hit: &Hit, learnt: Learnt) -> Verdict {
    let kind = match hit.target {
        Some(_) => EventKind::Clicked,
        None => EventKind::Opened,
    };
    let mut headers = HeaderMap::new();
    for (name, value) in &hit.headers {
        let name: HeaderName = name.parse().expect("a header's name");
        headers.append(name, HeaderValue::from_str(value).expect("a value"));
    }
    let address = hit.address.as_deref().unwrap_or(ELSEWHERE);
    let user_agent = hit.user_agent.as_deref().or(pattern.user_agent.as_deref());
    let signs = rules.signs(&Seen {
        user_agent,
        headers: &headers,
        address: address.parse().expect("an address"),
    });
    let learnt = match rules.asks_when_sent(kind, &signs) {
        true => learnt,
        // As in the program: nobody has looked.
        false => Learnt {
            since_sent: None,
            ..learnt
        },
    };
    rules.settle(kind, &signs, &learnt).0
}

fn hash(target: &String) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(target)
}

/// The hits that were judged wrongly, by name, each once.
pub(crate) fn misses(hits: &[Judged]) -> Vec<String> {
    let wrong = hits.iter().filter(|hit| hit.label != hit.verdict);
    let mut names: Vec<_> = wrong.map(|hit| hit.name.clone()).collect();
    names.dedup();
    names
}
