//! Killed under load: every answered event is there afterwards, once, and the
//! first click of a mail stays the first.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mailtrail_tests::{Flags, Program, follow, root};
use serde_json::json;

/// Readers that click at the same time.
const READERS: usize = 16;
/// Mails per round; each is clicked once.
const MAILS: usize = 600;
/// An answer that took less was not deferred: the program waits this long for
/// the disk before it answers without.
const BOUNDED_WAIT: Duration = Duration::from_millis(50);

/// 20, or `MAILTRAIL_CRASH_ROUNDS` (`make crash` asks for 200).
fn rounds() -> usize {
    std::env::var("MAILTRAIL_CRASH_ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(20)
}

/// A mail by its id, and its link.
type Link = (String, String);

#[test]
fn every_answered_event_survives_being_killed_and_is_there_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut expected: Vec<String> = Vec::new();
    // Links of earlier rounds that are clicked a second time after the kill.
    let mut again: Option<Link> = None;
    for round in 0..rounds() {
        let program = Flags::new(root().join("examples/manifests"), folder.path()).start();
        assert_all_there_once(&program, &expected);
        if let Some((id, url)) = again.take() {
            assert_eq!(program.follow(&url).status, 302);
            expected.push(id);
            assert_all_there_once(&program, &expected);
        }
        let urls = links(&program, round);
        // Spread over the first third of a second by the round's number, not by chance.
        let after = Duration::from_millis(20 + (round as u64 * 37) % 300);
        let answered = click_until_killed(program, &urls, after);
        let is_last = |link: &&Link| answered.last() == Some(&link.0);
        again = urls.iter().find(is_last).cloned();
        expected.extend(answered);
    }
    // Twice: what the first of them settles would be there again at the second.
    for _ in 0..2 {
        let program = Flags::new(root().join("examples/manifests"), folder.path()).start();
        assert_all_there_once(&program, &expected);
        assert!(program.stop().success());
    }
    assert!(
        expected.len() > rounds() * 10,
        "the load was too small to say anything: {}",
        expected.len()
    );
    println!(
        "{} answered clicks over {} kills, all there",
        expected.len(),
        rounds()
    );
}

/// A link of each of `MAILS` mails, by message id.
fn links(program: &Program, round: usize) -> Vec<Link> {
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

/// Clicks each link once with many readers and kills the program meanwhile;
/// gives the ids whose redirect arrived within the bounded wait.
fn click_until_killed(program: Program, urls: &[Link], after: Duration) -> Vec<String> {
    let (next, stop) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let public = program.public();
    thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|_| {
                let (next, stop) = (Arc::clone(&next), Arc::clone(&stop));
                scope.spawn(move || {
                    let mut answered = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let Some((id, url)) = urls.get(next.fetch_add(1, Ordering::Relaxed)) else {
                            break;
                        };
                        let asked = Instant::now();
                        match follow(public, url) {
                            Ok(answer) if asked.elapsed() < BOUNDED_WAIT => {
                                assert_eq!(answer.status, 302);
                                answered.push(id.clone());
                            }
                            Ok(_) => {}
                            Err(_) => break,
                        }
                    }
                    answered
                })
            })
            .collect();
        thread::sleep(after);
        program.kill();
        stop.store(true, Ordering::Relaxed);
        readers
            .into_iter()
            .flat_map(|reader| reader.join().expect("no reader panics"))
            .collect()
    })
}

/// Waits until the expected events are settled; each is there once, by a person,
/// and one of each mail is the first.
fn assert_all_there_once(program: &Program, expected: &[String]) {
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
