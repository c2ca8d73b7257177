//! What if a call to the disk fails?

use std::io::ErrorKind;

use super::*;
use crate::store::simulated::Fault;

/// `EIO` has no kind of its own on stable.
const EIO: ErrorKind = ErrorKind::Other;

#[test]
fn any_one_call_may_fail_and_every_record_is_kept() {
    let whole = SimulatedDisk::new(0);
    let bench = Bench::open(&whole, SMALL).expect("opens");
    let opening = whole.calls();
    for n in 0..60 {
        bench.append(n).wait().expect("kept");
    }
    drop(bench);
    for call in 0..whole.calls() {
        for fault in [
            Fault::Error(ErrorKind::StorageFull),
            Fault::Error(EIO),
            Fault::Short,
        ] {
            let context = format!("call {call}, {fault:?}");
            let disk = SimulatedDisk::new(call as u64);
            disk.fail_at(call, fault);
            let Ok(bench) = Bench::open(&disk, SMALL) else {
                assert!(call < opening, "{context}: it did not open");
                continue;
            };
            let kept: Vec<_> = (0..60)
                .filter(|n| bench.append(*n).wait().is_ok())
                .collect();
            assert_eq!(kept.len(), 60, "{context}: one failure is got over");
            if disk.calls() > call {
                assert_eq!(bench.read(), kept, "{context}");
            }
            let after = Bench::open(&disk.after_power_cut(), SMALL).expect("opens");
            assert_eq!(after.read(), kept, "{context}");
            drop(bench);
            let closed = Bench::open(&disk.after_power_cut(), SMALL).expect("opens");
            assert_eq!(closed.read(), kept, "{context}: closed");
        }
    }
}

#[test]
fn any_one_call_of_opening_again_may_fail_and_nothing_is_lost_by_it() {
    let disk = SimulatedDisk::new(3);
    let bench = Bench::open(&disk, SMALL).expect("opens");
    let mut kept = bench.keep(0..10);
    for n in 10..60 {
        kept.extend(bench.keep([n]));
    }
    let left = disk.after_power_cut();
    let count = left.after_power_cut();
    drop(Bench::open(&count, SMALL).expect("opens"));
    for call in 0..count.calls() {
        let disk = left.after_power_cut();
        disk.fail_at(call, Fault::Error(EIO));
        let mut kept = kept.clone();
        if let Ok(bench) = Bench::open(&disk, SMALL) {
            // Behind what could not be read, no number is given again.
            kept.extend(bench.keep(60..63));
        }
        let again = Bench::open(&disk.after_power_cut(), SMALL).expect("opens");
        assert_eq!(again.read(), kept, "call {call}");
    }
}

#[test]
fn a_full_disk_refuses_and_counts_exactly_and_recording_resumes() {
    let disk = SimulatedDisk::new(1);
    let bench = Bench::open(&disk, SMALL).expect("opens");
    let mut kept = bench.keep(0..10);
    disk.set_full(true);
    let mut refused = 0;
    for n in 10..50 {
        match bench.append(n).wait() {
            Ok(()) => kept.push(n),
            Err(NotKept) => refused += 1,
        }
    }
    assert_eq!((kept.len(), refused), (10, 40));
    assert_eq!(bench.metrics.events_not_kept.get(), refused);
    disk.set_full(false);
    let mut n = 50;
    while bench.append(n).wait().is_err() {
        refused += 1;
        n += 1;
    }
    kept.push(n);
    kept.extend(bench.keep(n + 1..n + 5));
    assert_eq!(bench.metrics.events_not_kept.get(), refused);
    assert_eq!(bench.read(), kept);
    let after = Bench::open(&disk.after_power_cut(), SMALL).expect("opens");
    assert_eq!(after.read(), kept, "what was refused must not come back");
}

#[test]
fn a_segment_removed_while_it_is_written_is_left_for_a_new_one_and_still_read() {
    let disk = SimulatedDisk::new(1);
    let bench = Bench::open(&disk, SMALL).expect("opens");
    let removed = bench.keep(0..10);
    disk.take(&segment_path(1));
    let behind = bench.keep(10..20);
    assert_eq!(behind, (10..20).collect::<Vec<_>>(), "kept, in a new one");
    assert_eq!(bench.read(), [removed, behind.clone()].concat());
    assert_eq!(bench.metrics.events_not_kept.get(), 0);
    let after = Bench::open(&disk.after_power_cut(), SMALL).expect("opens");
    assert_eq!(
        after.read(),
        behind,
        "what was written afterwards is on the disk"
    );
}

#[test]
fn a_batch_that_is_refused_tells_everyone_in_it() {
    let disk = SimulatedDisk::new(1);
    let bench = Bench::open(&disk, SMALL).expect("opens");
    bench.keep(0..3);
    disk.set_full(true);
    assert!(bench.keep(3..300).is_empty());
    assert_eq!(bench.metrics.events_not_kept.get(), 297);
}
