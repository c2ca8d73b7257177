//! What if a call to the disk fails, or the disk is full?

use std::io::ErrorKind;

use super::*;
use crate::store::simulated::Fault;

/// `EIO` has no kind of its own on stable.
const EIO: ErrorKind = ErrorKind::Other;

#[test]
fn any_one_call_may_fail_and_every_hit_settles_once() {
    let whole = SimulatedDisk::new(0);
    let mut bench = Bench::open(&whole).expect("opens");
    let opening = whole.calls();
    run(&mut bench, 0);
    bench.settle_all();
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
            let Ok(mut bench) = Bench::open(&disk) else {
                assert!(call < opening, "{context}: it did not open");
                continue;
            };
            let kept = run(&mut bench, 0);
            assert_eq!(kept.len(), 40, "{context}: one failure is got over");
            bench.settle_all();
            if disk.calls() > call {
                assert_eq!(bench.settled(), kept, "{context}");
            }
            let mut after = Bench::open(&disk.after_power_cut()).expect("opens");
            after.settle_all();
            assert_eq!(after.settled(), kept, "{context}: after a power cut");
        }
    }
}

#[test]
fn while_the_journal_takes_nothing_hits_are_kept_and_settle_later() {
    let (hits, journal) = (SimulatedDisk::new(1), SimulatedDisk::new(2));
    let mut bench = Bench::on(&hits, &journal).expect("opens");
    let mut kept = bench.keep(0..10);
    bench.settle_all();
    journal.set_full(true);
    for n in 10..40 {
        kept.extend(bench.keep([n]));
        bench.clock.pass(SETTLE);
        assert!(bench.settler.look().is_err());
    }
    assert_eq!(kept.len(), 40);
    assert_eq!(bench.settled().len(), 10);
    assert!(bench.metrics.retries.get() >= 30);
    journal.set_full(false);
    // The writer finds out by itself, within a second.
    while bench.settler.look().is_err() {
        std::thread::yield_now();
    }
    bench.settle_all();
    assert_settled(&bench.settled(), &kept, 40, "with room again");
    drop(bench);
    let (hits, journal) = (hits.after_power_cut(), journal.after_power_cut());
    let mut bench = Bench::on(&hits, &journal).expect("opens");
    bench.settle_all();
    assert_settled(&bench.settled(), &kept, 40, "opened again");
}

#[test]
fn a_journal_that_was_full_when_the_power_went_completes_its_batch() {
    let (hits, journal) = (SimulatedDisk::new(1), SimulatedDisk::new(2));
    let mut bench = Bench::on(&hits, &journal).expect("opens");
    let kept = bench.keep(0..20);
    bench.clock.pass(SETTLE);
    journal.set_full(true);
    assert!(bench.settler.look().is_err());
    let (hits, journal) = (hits.after_power_cut(), journal.after_power_cut());
    let mut bench = Bench::on(&hits, &journal).expect("opens");
    bench.settle_all();
    assert_eq!(bench.settled(), kept);
}
