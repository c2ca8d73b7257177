//! What holds of every rewrite, whatever the bytes: only what may change has,
//! the report tells it, chunks make no difference, twice is once.

use mailtrail_dataplane::rewrite::report::ReportedLink;
use mailtrail_dataplane::rewrite::{HtmlRewriter, Job, Rewritten, html};

use crate::intact::{self, Changes};
use crate::random::Random;

/// Documents up to this size are also cut into single bytes.
const SINGLE_BYTES_MAX: usize = 8 * 1024;

/// A rewrite that was checked.
pub(crate) struct Steady {
    pub(crate) output: Vec<u8>,
    pub(crate) rewritten: Rewritten,
    pub(crate) changes: Changes,
}

/// Rewrites and checks.
pub(crate) fn rewrite(job: &Job, input: &[u8]) -> Steady {
    let (output, rewritten) = html(job.clone(), input);
    let changes = match intact::explain(job, input, &output) {
        Ok(changes) => changes,
        Err(difference) => panic!("more than may change has changed: {difference}"),
    };
    the_report_tells_each_change(&changes, &rewritten);
    chunks_make_no_difference(job, input, &output, &rewritten);
    rewriting_again_changes_nothing(job, &output);
    Steady {
        output,
        rewritten,
        changes,
    }
}

fn the_report_tells_each_change(changes: &Changes, rewritten: &Rewritten) {
    let told: Vec<&ReportedLink> = rewritten
        .report
        .links
        .iter()
        .filter(|link| link.tracked)
        .collect();
    assert_eq!(told.len(), changes.links.len());
    for (told, edit) in told.iter().zip(&changes.links) {
        let link = edit.claim.link().expect("a link's claim");
        assert_eq!(told.url.as_deref(), Some(edit.url.as_str()));
        assert_eq!(
            (told.position, &*told.target),
            (link.position, link.target.as_str())
        );
        assert!(
            rewritten
                .links
                .iter()
                .any(|r| r.position == link.position && r.target == link.target)
        );
    }
    for left in rewritten.report.links.iter().filter(|link| !link.tracked) {
        assert!(left.reason.is_some() && left.url.is_none(), "{left:?}");
    }
    assert!(!rewritten.report.pixel.placed || changes.pixels > 0);
    assert!(changes.pixels <= 1);
}

fn chunks_make_no_difference(job: &Job, input: &[u8], output: &[u8], rewritten: &Rewritten) {
    let seed = input.iter().fold(input.len() as u64, |seed, byte| {
        seed.wrapping_mul(31).wrapping_add(u64::from(*byte))
    });
    let mut random = Random::new(seed);
    let mut sizes = vec![1 + random.below(16), 1 + random.below(input.len())];
    if input.len() <= SINGLE_BYTES_MAX {
        sizes.push(1);
    }
    for most in sizes {
        let mut rewriter = HtmlRewriter::new(job.clone());
        let (mut rest, mut again) = (input, Vec::new());
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at((1 + random.below(most)).min(rest.len()));
            rewriter.write(chunk, &mut again);
            rest = after;
        }
        let said = rewriter.end(&mut again);
        assert_eq!(again, output, "in chunks of up to {most} bytes");
        assert_eq!(&said, rewritten, "in chunks of up to {most} bytes");
    }
}

fn rewriting_again_changes_nothing(job: &Job, output: &[u8]) {
    let (again, _) = html(job.clone(), output);
    if again != output {
        let same = again.iter().zip(output).take_while(|(a, b)| a == b).count();
        let from = same.saturating_sub(80);
        let shown = |bytes: &[u8]| {
            String::from_utf8_lossy(&bytes[from.min(bytes.len())..(same + 80).min(bytes.len())])
                .into_owned()
        };
        panic!(
            "rewriting twice: {:?} became {:?}",
            shown(output),
            shown(&again)
        );
    }
}
