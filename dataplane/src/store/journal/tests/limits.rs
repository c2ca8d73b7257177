//! What is at the bounds?

use super::super::frame::PAYLOAD_MAX_BYTES;
use super::super::queue::{QUEUE_MAX_BYTES, QUEUE_MAX_RECORDS, Queue};
use super::*;

#[test]
fn a_full_queue_refuses_at_once() {
    let queue = Queue::new(1);
    for _ in 0..QUEUE_MAX_RECORDS {
        assert!(queue.push(record::EVENT, 0, b"x", None).is_some());
    }
    assert!(queue.push(record::EVENT, 0, b"x", None).is_none());
}

#[test]
fn a_queue_is_bounded_in_bytes_too() {
    let queue = Queue::new(1);
    let large = vec![1; PAYLOAD_MAX_BYTES];
    let taken = (0..10).filter(|_| queue.push(record::MESSAGE, 0, &large, None).is_some());
    assert_eq!(taken.count(), QUEUE_MAX_BYTES / PAYLOAD_MAX_BYTES - 1);
}

#[test]
fn a_record_that_is_too_large_or_empty_is_refused_and_counted() {
    let disk = SimulatedDisk::new(1);
    let bench = Bench::open(&disk, SMALL).expect("opens");
    for payload in [vec![], vec![1; PAYLOAD_MAX_BYTES + 1]] {
        let pending = bench
            .journal
            .append(&bench.hub, record::MESSAGE, 0, &payload);
        assert_eq!(pending.wait(), Err(NotKept));
    }
    assert_eq!(bench.metrics.others_not_kept.get(), 2);
    let largest = vec![1; PAYLOAD_MAX_BYTES];
    let pending = bench
        .journal
        .append(&bench.hub, record::MESSAGE, 0, &largest);
    assert_eq!(pending.wait(), Ok(()));
}

#[test]
fn at_the_total_bound_nothing_more_is_kept_and_all_is_counted() {
    let disk = SimulatedDisk::new(1);
    let limits = Limits {
        total_bytes: 6000,
        ..SMALL
    };
    let bench = Bench::open(&disk, limits).expect("opens");
    let kept: Vec<_> = (0..200)
        .filter(|n| bench.append(*n).wait().is_ok())
        .collect();
    assert!((20..150).contains(&kept.len()), "{}", kept.len());
    assert_eq!(bench.metrics.events_not_kept.get(), 200 - kept.len() as u64);
    assert_eq!(bench.read(), kept);
    assert!(
        bench.metrics.bytes.get() <= 6000,
        "{}",
        bench.metrics.bytes.get()
    );
}
