//! What if records are not there any more?

use super::super::Missing;
use super::*;

/// A short run goes through many segments.
const TINY: Limits = Limits {
    segment_bytes: 512,
    total_bytes: u64::MAX,
    fill_bytes: 256,
};

/// Opens whatever is there, and says what is missing.
fn missing(disk: &SimulatedDisk) -> (Journal, Vec<(u64, u64)>) {
    let metrics = JournalMetrics::new(Counter::default());
    let disk = Arc::new(disk.clone());
    let (journal, opened) = Journal::open(disk, Path::new(DIR), TINY, metrics).expect("opens");
    let missing = opened
        .missing
        .iter()
        .map(|Missing { first, last }| (*first, *last));
    let missing = missing.collect();
    (journal, missing)
}

/// A disk of some segments, and the first and last number of each.
fn filled() -> (SimulatedDisk, Vec<(u64, u64)>) {
    let disk = SimulatedDisk::new(1);
    let bench = Bench::open(&disk, TINY).expect("opens");
    for n in 0..60 {
        bench.append(n).wait().expect("kept");
    }
    drop(bench);
    let (journal, none) = missing(&disk);
    assert_eq!(none, []);
    let reader = journal.reader();
    let numbers = reader
        .segments()
        .iter()
        .map(|s| (s.summary.first_seq, s.summary.last_seq));
    let numbers: Vec<_> = numbers.collect();
    assert!(numbers.len() > 4, "{numbers:?}");
    (disk, numbers)
}

#[test]
fn a_segment_in_the_middle_that_is_gone_empty_cut_or_noise_is_told_by_its_numbers() {
    let (whole, numbers) = filled();
    for (n, (first, last)) in numbers.iter().enumerate() {
        let path = segment_path(n as u64 + 1);
        let bytes = whole.bytes(&path);
        let in_the_middle = 0 < n && n + 1 < numbers.len();
        for left in [
            None,
            Some(&bytes[..0]),
            Some(&bytes[..64]),
            Some(&[0x55; 300][..]),
        ] {
            let disk = whole.after_kill();
            match left {
                Some(left) => disk.put(&path, left),
                None => disk.take(&path),
            }
            let expected = if in_the_middle {
                vec![(*first, *last)]
            } else {
                vec![]
            };
            for round in 0..2 {
                let context = format!(
                    "segment {n}, {:?} bytes left, {round}",
                    left.map(<[u8]>::len)
                );
                let (journal, found) = missing(&disk);
                assert_eq!(found, expected, "{context}");
                // It goes on, and what was appended does not cover it up.
                let hub = journal.hub();
                let kept = journal.append(&hub, record::HIT, 1, b"more").wait();
                assert_eq!(kept, Ok(()), "{context}");
            }
        }
    }
}

#[test]
fn a_cut_in_the_middle_of_a_segment_is_told_from_the_first_record_it_took() {
    let (whole, numbers) = filled();
    let path = segment_path(2);
    let bytes = whole.bytes(&path);
    let (first, last) = numbers[1];
    let mut told = std::collections::BTreeSet::new();
    for cut in 64..bytes.len() - 104 {
        let disk = whole.after_kill();
        disk.put(&path, &bytes[..cut]);
        let (journal, found) = missing(&disk);
        let reader = journal.reader();
        let left = reader.segments()[1].summary.last_seq.max(first - 1);
        assert_eq!(found, [(left + 1, last)], "cut at {cut}");
        told.insert(left + 1);
    }
    assert_eq!(
        told.into_iter().collect::<Vec<_>>(),
        (first..=last).collect::<Vec<_>>()
    );
}

#[test]
fn several_gaps_are_told_one_by_one_and_neighbours_as_one() {
    let (disk, numbers) = filled();
    for n in [1, 2, 4] {
        disk.take(&segment_path(n as u64 + 1));
    }
    let expected = [(numbers[1].0, numbers[2].1), numbers[4]];
    assert_eq!(missing(&disk).1, expected);
}

#[test]
fn what_was_taken_away_on_purpose_is_not_missing() {
    let (disk, numbers) = filled();
    let (journal, _) = missing(&disk);
    let closed = journal.closed().expect("closed");
    let parts: Vec<_> = closed.parts().collect();
    // The oldest goes whole, of the next all records, and of another the last.
    closed.remove(parts[0]).expect("removed");
    closed.rewrite(parts[1], |_, _| false).expect("rewritten");
    let last = numbers[3].1;
    closed
        .rewrite(parts[3], |head, _| head.seq != last)
        .expect("rewritten");
    closed.finish().expect("finished");
    drop(journal);
    let (journal, found) = missing(&disk);
    assert_eq!(found, []);
    drop(journal);
    // And a real gap is seen beside it.
    disk.take(&segment_path(5));
    assert_eq!(missing(&disk).1, [numbers[4]]);
}

#[test]
fn numbers_that_were_refused_or_skipped_are_not_missing() {
    let disk = SimulatedDisk::new(1);
    let bench = Bench::open(&disk, TINY).expect("opens");
    bench.keep(0..3);
    disk.set_full(true);
    assert_eq!(bench.append(3).wait(), Err(NotKept));
    disk.set_full(false);
    while bench.append(4).wait().is_err() {
        std::thread::yield_now();
    }
    drop(bench);
    let bench = Bench::open(&disk, TINY).expect("opens");
    bench.journal.skip_to(1000);
    bench.keep(5..8);
    drop(bench);
    assert_eq!(missing(&disk).1, []);
}

#[test]
fn segments_that_changed_places_are_told() {
    let (whole, numbers) = filled();
    for (a, b) in [(0, numbers.len() - 1), (1, 2), (0, 1)] {
        let disk = whole.after_kill();
        let (first, second) = (segment_path(a as u64 + 1), segment_path(b as u64 + 1));
        disk.put(&first, &whole.bytes(&second));
        disk.put(&second, &whole.bytes(&first));
        let (_, told) = missing(&disk);
        assert!(!told.is_empty(), "{a} and {b}");
    }
}
