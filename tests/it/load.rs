//! Clicks under load until something ends it, and what must be there afterwards.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mailtrail_tests::{Program, follow};
use serde_json::json;

/// Readers that click at the same time.
const READERS: usize = 16;
/// Mails per round; each is clicked once.
const MAILS: usize = 600;
/// An answer that took less was not deferred: the program waits this long for
/// the disk before it answers without.
const BOUNDED_WAIT: Duration = Duration::from_millis(50);

/// A mail by its id, and its link.
pub(crate) type Link = (String, String);

/// How many rounds: what the environment says, or so many.
pub(crate) fn rounds(variable: &str, default: usize) -> usize {
    let asked = std::env::var(variable).ok();
    asked
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(default)
}

/// How long a round's load lasts: spread over the first third of a second by
/// the round's number, not by chance.
pub(crate) fn lasts(round: usize) -> Duration {
    Duration::from_millis(20 + (round as u64 * 37) % 300)
}

/// Fails where too few were answered to say anything.
pub(crate) fn assert_enough(expected: &[String], rounds: usize) {
    assert!(
        expected.len() > rounds * 10,
        "the load was too small to say anything: {}",
        expected.len()
    );
}

/// A link of each of `MAILS` mails, by message id.
pub(crate) fn links(program: &Program, round: usize) -> Vec<Link> {
    (0..MAILS)
        .map(|mail| {
            let id = format!("{round}-{mail}");
            let html = "<p><a href=\"https://shop.example/offer\">Look</a></p>";
            let answer =
                program.rewrite(&json!({"domain": "demo/links", "message_id": id, "html": html}));
            let url = answer["report"]["links"][0]["url"]
                .as_str()
                .expect("a tracked link")
                .to_owned();
            (id, url)
        })
        .collect()
}

/// Clicks each link once with many readers until `end` ends it, `after` the
/// beginning; gives the ids whose redirect arrived within the bounded wait, and
/// before `end` was begun.
pub(crate) fn click_until(
    public: SocketAddr,
    links: &[Link],
    after: Duration,
    end: impl FnOnce(),
) -> Vec<String> {
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let answered = Mutex::new(Vec::new());
    let ended = thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed)
                    && let Some((id, url)) = links.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let asked = Instant::now();
                    let Ok(answer) = follow(public, url) else {
                        break;
                    };
                    assert_eq!(answer.status, 302);
                    let arrived = Instant::now();
                    if arrived - asked < BOUNDED_WAIT {
                        let mut answered = answered.lock().expect("no reader panics");
                        answered.push((arrived, id.clone()));
                    }
                }
            });
        }
        thread::sleep(after);
        let ended = Instant::now();
        end();
        stop.store(true, Ordering::Relaxed);
        ended
    });
    let mut answered = answered.into_inner().expect("no reader panics");
    answered.retain(|(arrived, _)| *arrived < ended);
    answered.sort_unstable_by_key(|(arrived, _)| *arrived);
    answered.into_iter().map(|(_, id)| id).collect()
}

/// Clicks one link so often, with so many readers at once; every click must lead
/// home.
pub(crate) fn click_often(program: &Program, url: &str, times: usize, readers: usize) {
    let public = program.public();
    thread::scope(|scope| {
        for _ in 0..readers {
            scope.spawn(|| {
                for _ in 0..times / readers {
                    assert_eq!(follow(public, url).expect("an answer").status, 302);
                }
            });
        }
    });
}

/// Waits until the expected events are settled; each is there once, by a person,
/// and one of each mail is the first.
pub(crate) fn assert_all_there_once(program: &Program, expected: &[String]) {
    let mut clicks: HashMap<&str, usize> = HashMap::new();
    for id in expected {
        *clicks.entry(id).or_default() += 1;
    }
    let mut seen: HashMap<String, (usize, usize)> = HashMap::new();
    program.until("the answered clicks are settled", |program| {
        seen.clear();
        for event in program.events("demo/links") {
            assert_eq!(event["client"]["verdict"], "human", "{event}");
            let id = event["message_id"].as_str().map(str::to_owned);
            let (count, firsts) = seen.entry(id.expect("an id")).or_default();
            *count += 1;
            *firsts += usize::from(event["first"] == true);
        }
        let is_there =
            |(id, count): (&&str, &usize)| seen.get(*id).is_some_and(|(n, _)| n >= count);
        clicks.iter().all(is_there)
    });
    for (id, (count, firsts)) in seen {
        // What was answered late, or not at all, may have been kept as well.
        let most = clicks.get(id.as_str()).copied().unwrap_or(1);
        assert!(count <= most, "{id}: {count} times instead of {most}");
        assert_eq!(firsts, 1, "{id}: clicked {count} times");
    }
}
