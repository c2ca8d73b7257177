//! The rewriter on real mails, checked without believing it.
//!
//! Three referees that share no code with it: a byte alignment that explains
//! every difference between input and output (`intact`), html5ever, which says
//! what links there were and that the tree is otherwise the same (`tree`), and
//! ada-url, which says where each link leads (`check`).

mod check;
mod documents;
mod intact;
mod job;
mod made;
mod mutate;
mod random;
mod steady;
mod targets;
mod tree;

use std::panic::{AssertUnwindSafe, catch_unwind};

use mailtrail_dataplane::rewrite::Job;

use check::{Checked, check};
use random::Random;

/// Mutated copies made of each document.
const COPIES: u64 = 4;
/// Larger documents are mutated less often: they take the time of all others.
const LARGE_BYTES: usize = 40_000;
/// Inputs put together from pieces for each fuzz target.
const PIECED_INPUTS: usize = 20_000;

#[test]
fn every_document_of_the_corpus_is_tracked_and_otherwise_intact() {
    let (mut all, mut failed) = (Checked::default(), Vec::new());
    for document in documents::all() {
        all += named(&document.name, &mut failed, || {
            check(&job::defaults(), &document.bytes)
        });
        all += named(&document.name, &mut failed, || {
            check(&job::eager(), &document.bytes)
        });
    }
    println!("{all:?}");
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(all.documents, 2 * documents::COUNT);
    // Bounds that notice a rewriter that has stopped doing anything.
    assert!(all.tracked > 600, "{all:?}");
    assert!(all.links_of_parser > 2_500, "{all:?}");
    assert!(all.pixels > 2 * documents::COUNT * 9 / 10, "{all:?}");
    assert!(all.given_up <= 4, "{all:?}");
}

#[test]
fn every_document_with_mutated_tags_is_tracked_and_otherwise_intact() {
    let first_seed = random::seed_from_environment();
    let (mut all, mut failed) = (Checked::default(), Vec::new());
    for (number, document) in (0..).zip(documents::all()) {
        let large = document.bytes.len() > LARGE_BYTES;
        for copy in 0..if large { 1 } else { COPIES } {
            let seed = first_seed + number * 1000 + copy;
            let mut random = Random::new(seed);
            let mutated = mutate::tags(&document.bytes, &mut random);
            let job = job_of(copy);
            let name = format!("{} with seed {seed}", document.name);
            all += named(&name, &mut failed, || check(&job, &mutated));
        }
    }
    println!("{all:?}");
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(all.tracked > 600, "{all:?}");
    assert!(all.given_up * 10 < all.documents, "{all:?}");
}

#[test]
fn what_fuzzing_found_stays_found() {
    for (name, target) in targets::ALL {
        for input in documents::regressions(name) {
            target(&input);
        }
    }
}

/// A short look at what the fuzzer looks at for long.
#[test]
fn pieces_of_urls_and_markup_put_together_break_no_promise() {
    let mut random = Random::new(random::seed_from_environment());
    let mut failed = Vec::new();
    for (name, target) in targets::ALL {
        for _ in 0..PIECED_INPUTS {
            let input = mutate::pieces(&mut random);
            if catch_unwind(|| target(&input)).is_err() {
                failed.push(format!("{name}: {:?}", String::from_utf8_lossy(&input)));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

fn job_of(copy: u64) -> Job {
    if copy.is_multiple_of(2) {
        job::eager()
    } else {
        job::defaults()
    }
}

/// Runs a check; where it fails, its name and words are kept.
fn named(name: &str, failed: &mut Vec<String>, run: impl FnOnce() -> Checked) -> Checked {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>();
        failed.push(format!(
            "{name}: {}",
            words.map_or("failed", String::as_str)
        ));
        Checked::default()
    })
}
