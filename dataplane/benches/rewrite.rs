//! CPU time of rewriting a newsletter, against a bare `lol_html` pass that
//! gives the same links a constant address: what parsing and putting out cost
//! by themselves. Both run in turns in one process; the ratio is the median of
//! the rounds'. Prints a table, and fails above the bound only when asked to
//! (`MAILTRAIL_BENCH_STRICT=1`), because other work on the machine moves it.
//!
//! The newsletter is `made/newsletter.html` of the corpus, in which the values
//! that nobody tracks (placeholders, `#top`, `mailto:`, `tel:`) have become web
//! addresses: 22 links are tracked and a pixel is placed, with a report and the
//! links of the message record. The pass replaces the `href` of every `a` and
//! `area` that begins with `http`, which are the same links.

#![allow(clippy::print_stdout, reason = "a benchmark speaks to a person")]

#[path = "../tests/corpus/job.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod job;

use std::hint::black_box;

use lol_html::{HtmlRewriter, Settings, element};
use mailtrail_dataplane::rewrite::{Job, html};
use rustix::time::{ClockId, clock_gettime};

/// As the program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NEWSLETTER: &str = include_str!("../../tests/corpus/made/newsletter.html");
/// Values that are not tracked.
const UNTRACKED: [&str; 9] = [
    "{{{cta_url}}}",
    "https://example.test/u/{{user_id}}/go",
    "#1",
    "#2",
    "%%unsubscribe%%",
    "*|ARCHIVE|*",
    "mailto:out@example.test?subject=unsubscribe",
    "tel:+3120000000",
    "#top",
];
/// Fewest links that must be tracked, so that the figure means something.
const TRACKED_MIN: usize = 21;
/// Of about the length of a tracking URL.
const CONSTANT: &str = "https://links.shop.example/c/0123456789abcdefghijklmnopqrstuv0123456789abcdefghijklmnopqrstuv0123456789abcdefghijklmnopqrstuv0123456789abcdefghijklmnopqrstuv";
const ROUNDS: usize = 61;
const PASSES_A_ROUND: u32 = 50;
/// At most so many times the peer's CPU time.
const RATIO_MAX: f64 = 1.25;

fn main() {
    let document = document();
    let (_, rewritten) = html(job::eager(), &document);
    assert!(rewritten.links.len() >= TRACKED_MIN, "too few links");
    let job = job::eager();
    let mut rounds: Vec<(f64, f64)> = (0..ROUNDS)
        .map(|_| {
            (
                micros_of(|| ours(&job, &document)),
                micros_of(|| lol_html_pass(&document)),
            )
        })
        .collect();
    let ratio = median(rounds.iter().map(|(a, b)| a / b));
    let (a, b) = (
        median(rounds.iter().map(|r| r.0)),
        median(rounds.iter().map(|r| r.1)),
    );
    rounds.sort_by(|x, y| (x.0 / x.1).total_cmp(&(y.0 / y.1)));
    let spread = |at: usize| rounds[at].0 / rounds[at].1;
    println!(
        "newsletter of {} bytes, {} links tracked",
        document.len(),
        rewritten.links.len()
    );
    println!("| what | CPU time, µs |\n|---|--:|");
    println!("| rewrite | {a:.1} |\n| lol_html pass, constant address | {b:.1} |");
    println!(
        "ratio {ratio:.3} (quartiles {:.3} to {:.3}), at most {RATIO_MAX}",
        spread(ROUNDS / 4),
        spread(ROUNDS * 3 / 4)
    );
    if std::env::var_os("MAILTRAIL_BENCH_STRICT").is_some() && ratio > RATIO_MAX {
        std::process::exit(1);
    }
}

/// The newsletter with a web address for every link.
fn document() -> Vec<u8> {
    let mut document = NEWSLETTER.to_owned();
    for (number, value) in UNTRACKED.iter().enumerate() {
        let address = format!(
            "https://www.example.test/collection/{number}?utm_source=newsletter&amp;utm_medium=email&amp;utm_campaign=week-48"
        );
        document = document.replace(&format!("href=\"{value}\""), &format!("href=\"{address}\""));
    }
    document.into_bytes()
}

fn ours(job: &Job, document: &[u8]) {
    black_box(html(job.clone(), black_box(document)));
}

#[expect(
    clippy::disallowed_methods,
    reason = "what it costs is the peer that is measured against"
)]
fn lol_html_pass(document: &[u8]) {
    let mut out = Vec::with_capacity(document.len() * 2);
    let handler = element!("a[href^=http], area[href^=http]", |element| {
        element.set_attribute("href", CONSTANT)?;
        Ok(())
    });
    let settings = Settings::new().append_element_content_handler(handler);
    let mut rewriter = HtmlRewriter::new(settings, |chunk: &[u8]| out.extend_from_slice(chunk));
    rewriter
        .write(black_box(document))
        .expect("a sound document");
    rewriter.end().expect("a sound document");
    black_box(out);
}

/// CPU time of one pass, in microseconds.
fn micros_of(pass: impl Fn()) -> f64 {
    let before = cpu_seconds();
    for _ in 0..PASSES_A_ROUND {
        pass();
    }
    (cpu_seconds() - before) / f64::from(PASSES_A_ROUND) * 1e6
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
