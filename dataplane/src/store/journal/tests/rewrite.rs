//! What if records are taken away?

use std::io::{self, ErrorKind};

use super::super::Removed;
use super::*;
use crate::store::simulated::Fault;

/// A short run goes through many segments.
const TINY: Limits = Limits {
    segment_bytes: 512,
    total_bytes: u64::MAX,
    fill_bytes: 256,
};

/// Every third record goes.
fn goes(n: u64) -> bool {
    n.is_multiple_of(3)
}

/// Some segments of records, most of them written one by one.
fn filled(disk: &SimulatedDisk) -> Bench {
    let bench = Bench::open(disk, TINY).expect("opens");
    for n in 0..50 {
        bench.append(n).wait().expect("kept");
    }
    assert_eq!(bench.keep(50..60).len(), 10);
    bench
}

fn stays(sent: u32) -> Vec<u32> {
    (0..sent).filter(|n| !goes(u64::from(*n))).collect()
}

/// Takes away what goes.
fn take_away(journal: &Journal) -> io::Result<Removed> {
    let closed = journal.closed()?;
    let mut removed = Removed::default();
    for part in closed.parts() {
        if part.is_unclean() || closed.any(part, 64, |head, _| goes(head.time_ms))? {
            removed += closed.rewrite(part, |head, _| !goes(head.time_ms))?;
        }
    }
    closed.finish()?;
    Ok(removed)
}

fn assert_gone(disk: &SimulatedDisk, context: &str) {
    for n in (0..60).filter(|n| goes(*n)) {
        let bytes = format!("record {n} ");
        assert!(!disk.holds(bytes.as_bytes()), "{context}: {bytes}");
    }
    let left_over = disk
        .paths()
        .into_iter()
        .find(|path| path.ends_with(".rewrite"));
    assert_eq!(left_over, None, "{context}");
}

fn seqs(bench: &Bench) -> Vec<(u64, u64)> {
    let mut seqs = Vec::new();
    let mut last = 0;
    let read = bench.journal.reader().each_after(0, |head, _| {
        assert!(head.seq > last, "{} after {last}", head.seq);
        last = head.seq;
        if head.kind != record::GONE {
            seqs.push((head.seq, head.time_ms));
        }
        ControlFlow::Continue(())
    });
    read.expect("reads");
    seqs
}

/// As [`Bench::read`], without what keeps a number taken.
fn left(bench: &Bench) -> Vec<u32> {
    seqs(bench).into_iter().map(|(_, n)| n as u32).collect()
}

#[test]
fn what_is_left_reads_as_before_with_its_numbers_and_the_rest_is_on_no_file() {
    let disk = SimulatedDisk::new(1);
    let bench = filled(&disk);
    let mut expected = seqs(&bench);
    expected.retain(|(_, n)| !goes(*n));
    let removed = take_away(&bench.journal).expect("rewritten");
    assert_eq!(
        (removed.events, removed.messages, removed.others),
        (20, 0, 0)
    );
    assert_eq!(seqs(&bench), expected);
    assert_gone(&disk, "at once");
    // Nothing is left to do.
    assert_eq!(
        take_away(&bench.journal).expect("again"),
        Removed::default()
    );
    assert_eq!(bench.keep([61]), [61]);
    drop(bench);
    let again = Bench::open(&disk.after_power_cut(), SMALL).expect("opens");
    expected.push((again.opened.next_seq - 1, 61));
    assert_eq!(seqs(&again).len(), expected.len());
    assert_eq!(
        seqs(&again)[..expected.len() - 1],
        expected[..expected.len() - 1]
    );
    assert_eq!((again.opened.damaged, again.opened.torn_bytes), (0, 0));
    assert_gone(&disk, "afterwards");
}

#[test]
fn a_power_cut_at_every_call_of_a_rewriting_loses_nothing_of_others_and_it_can_be_repeated() {
    let whole = SimulatedDisk::new(0);
    let bench = filled(&whole);
    let before = whole.calls();
    take_away(&bench.journal).expect("rewritten");
    let calls = whole.calls() - before;
    assert!(calls > 60, "{calls}");
    drop(bench);
    for call in 0..calls {
        for seed in 0..3 {
            let context = format!("call {call}, seed {seed}");
            let disk = SimulatedDisk::new(seed);
            let bench = filled(&disk);
            disk.fail_at(disk.calls() + call, Fault::PowerCut);
            let outcome = take_away(&bench.journal);
            let disk = disk.after_power_cut();
            drop(bench);
            let bench = Bench::open(&disk, SMALL).expect("opens");
            let found = left(&bench);
            assert_kept(&found, &stays(60), 60, &context);
            assert!(found.is_sorted(), "{context}: {found:?}");
            if outcome.is_ok() {
                assert_gone(&disk, &format!("{context}, after it had returned"));
            }
            take_away(&bench.journal).expect("repeated");
            assert_eq!(left(&bench), stays(60), "{context}");
            assert_gone(&disk, &context);
            assert_gone(&disk.after_power_cut(), &context);
        }
    }
}

#[test]
fn any_one_call_of_a_rewriting_may_fail_and_it_can_be_repeated() {
    let whole = SimulatedDisk::new(0);
    let bench = filled(&whole);
    let before = whole.calls();
    take_away(&bench.journal).expect("rewritten");
    let calls = whole.calls() - before;
    drop(bench);
    for call in 0..calls {
        for fault in [
            Fault::Error(ErrorKind::StorageFull),
            Fault::Error(ErrorKind::Other),
            Fault::Short,
        ] {
            let context = format!("call {call}, {fault:?}");
            let disk = SimulatedDisk::new(call as u64);
            let bench = filled(&disk);
            disk.fail_at(disk.calls() + call, fault);
            let outcome = take_away(&bench.journal);
            // How many calls there are is chance, by some: what did not fail
            // here is not to fail the looking.
            disk.fail_at(usize::MAX, fault);
            assert_kept(&left(&bench), &stays(60), 60, &context);
            if outcome.is_ok() {
                assert_gone(&disk.after_power_cut(), &format!("{context}, returned"));
            }
            take_away(&bench.journal).expect("repeated");
            assert_eq!(left(&bench), stays(60), "{context}");
            assert_eq!(bench.keep([61]), [61], "{context}: it goes on");
            let after = disk.after_power_cut();
            assert_gone(&after, &context);
            drop(bench);
            let mut expected = stays(60);
            expected.push(61);
            let bench = Bench::open(&after, SMALL).expect("opens");
            assert_eq!(left(&bench), expected, "{context}: opened again");
        }
    }
}

#[test]
fn no_number_is_given_again_where_the_last_records_went() {
    let disk = SimulatedDisk::new(1);
    let bench = filled(&disk);
    let closed = bench.journal.closed().expect("closed");
    for part in closed.parts() {
        closed.rewrite(part, |_, _| false).expect("rewritten");
    }
    closed.finish().expect("finished");
    assert_eq!(left(&bench), [0; 0]);
    let next = bench.journal.reader().next_seq();
    drop(bench);
    let again = Bench::open(&disk, SMALL).expect("opens");
    assert!(
        again.opened.next_seq + 1 >= next,
        "{:?}, {next}",
        again.opened
    );
    // Not even where the footer was lost.
    let last = disk.paths().pop().expect("a segment");
    let bytes = disk.bytes(&last);
    drop(again);
    disk.put(&last, &bytes[..bytes.len() - 104]);
    let again = Bench::open(&disk, SMALL).expect("opens");
    assert!(
        again.opened.next_seq + 1 >= next,
        "{:?}, {next}",
        again.opened
    );
}

#[test]
fn who_reads_at_that_moment_reads_on_as_it_was() {
    let disk = SimulatedDisk::new(1);
    let bench = filled(&disk);
    let reader = bench.journal.reader();
    take_away(&bench.journal).expect("rewritten");
    let closed = bench.journal.closed().expect("closed");
    let first = closed.parts().next().expect("a segment");
    closed.remove(first).expect("removed");
    drop(closed);
    assert_eq!(read(&reader), (0..60).collect::<Vec<_>>());
    assert!(bench.journal.reader().first_seq() > reader.first_seq());
}

#[test]
fn what_is_appended_meanwhile_is_kept_once() {
    let disk = SimulatedDisk::new(1);
    let bench = filled(&disk);
    let kept = std::thread::scope(|scope| {
        let writes = scope.spawn(|| {
            let sent = (61..400).filter(|n| !goes(u64::from(*n)));
            bench.keep(sent)
        });
        while !writes.is_finished() {
            take_away(&bench.journal).expect("rewritten");
        }
        writes.join().expect("no panic")
    });
    let mut expected = stays(60);
    expected.extend(kept);
    assert_eq!(left(&bench), expected);
}

#[test]
fn a_segment_that_was_given_up_is_rewritten_without_what_was_refused() {
    let disk = SimulatedDisk::new(1);
    let bench = filled(&disk);
    disk.set_full(true);
    assert_eq!(bench.append(60).wait(), Err(NotKept));
    disk.set_full(false);
    take_away(&bench.journal).expect("rewritten");
    assert!(!disk.holds(b"record 60 "));
    assert_eq!(left(&bench), stays(60));
}

#[test]
fn a_file_that_is_no_segment_is_emptied_where_it_holds_the_bytes() {
    let (ours, other) = (segment_path(7), segment_path(8));
    let disk = SimulatedDisk::new(1);
    disk.put(&ours, &[&[1; 300][..], b"record 12 xxx"].concat());
    disk.put(&other, &[2; 300]);
    let bench = Bench::open(&disk, SMALL).expect("opens");
    let next = bench.opened.next_seq;
    let closed = bench.journal.closed().expect("closed");
    closed.empty_unreadable(b"record 12 ").expect("emptied");
    closed.finish().expect("finished");
    assert!(!disk.after_power_cut().holds(b"record 12 "));
    assert_eq!(disk.bytes(&other), [2; 300]);
    drop(bench);
    // It still says that numbers were given in it.
    let again = Bench::open(&disk, SMALL).expect("opens");
    assert_eq!(
        (again.opened.unreadable, again.opened.next_seq >= next),
        (2, true)
    );
}

#[test]
fn a_power_cut_while_segments_are_removed_leaves_no_gap() {
    let remove_two = |journal: &Journal| -> io::Result<()> {
        let closed = journal.closed()?;
        for part in closed.parts().take(2) {
            closed.remove(part)?;
        }
        closed.finish()
    };
    let whole = SimulatedDisk::new(0);
    let bench = filled(&whole);
    let before = whole.calls();
    remove_two(&bench.journal).expect("removed");
    let calls = whole.calls() - before;
    for call in 0..calls {
        for seed in 0..4 {
            let disk = SimulatedDisk::new(seed);
            let bench = filled(&disk);
            disk.fail_at(disk.calls() + call, Fault::PowerCut);
            let _ = remove_two(&bench.journal);
            let disk = disk.after_power_cut();
            drop(bench);
            let found = Bench::open(&disk, SMALL).expect("opens").read();
            let whole: Vec<_> = (60 - found.len() as u32..60).collect();
            assert_eq!(found, whole, "call {call}, seed {seed}");
        }
    }
}
