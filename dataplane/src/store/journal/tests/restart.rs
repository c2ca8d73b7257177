//! What is there after the power was cut?

use super::*;
use crate::store::simulated::Fault;

/// Appends one by one and in batches; gives which were acknowledged.
fn run(bench: &Bench, from: u32) -> Vec<u32> {
    let mut kept = Vec::new();
    for n in from..from + 20 {
        kept.extend(bench.keep([n]));
    }
    kept.extend(bench.keep(from + 20..from + 40));
    kept.extend(bench.keep(from + 40..from + 60));
    kept
}

#[test]
fn a_power_cut_at_every_call_of_a_run_loses_nothing_acknowledged() {
    let whole = SimulatedDisk::new(0);
    let bench = Bench::open(&whole, SMALL).expect("opens");
    assert_eq!(run(&bench, 0).len(), 60);
    drop(bench);
    let calls = whole.calls();
    assert!(calls > 40, "{calls}");
    for call in 0..calls {
        for seed in 0..3 {
            let context = format!("call {call}, seed {seed}");
            let disk = SimulatedDisk::new(seed);
            disk.fail_at(call, Fault::PowerCut);
            let kept = Bench::open(&disk, SMALL).map_or(vec![], |bench| run(&bench, 0));
            let bench = Bench::open(&disk.after_power_cut(), SMALL).expect("opens");
            let found = bench.read();
            assert_kept(&found, &kept, 60, &context);
            assert!(found.is_sorted(), "{context}: {found:?}");
        }
    }
}

#[test]
fn power_cuts_again_and_again_lose_nothing_acknowledged() {
    for seed in 0..60 {
        let mut disk = SimulatedDisk::new(seed);
        let (mut kept, mut sent) = (Vec::new(), 0);
        for cut in 0..6 {
            disk.fail_at((seed as usize * 7 + cut * 13) % 71, Fault::PowerCut);
            if let Ok(bench) = Bench::open(&disk, SMALL) {
                assert_kept(&bench.read_if_it_can(), &[], sent, "before");
                kept.extend(run(&bench, sent));
                sent += 60;
            }
            disk = disk.after_power_cut();
            let bench = Bench::open(&disk, SMALL).expect("opens");
            let context = format!("seed {seed}, cut {cut}");
            assert_kept(&bench.read(), &kept, sent, &context);
        }
    }
}

impl Bench {
    /// What is read before the power goes, if it does not go meanwhile.
    fn read_if_it_can(&self) -> Vec<u32> {
        let mut found = Vec::new();
        let read = self.journal.reader().each_after(0, |head, _| {
            found.push(head.time_ms as u32);
            ControlFlow::Continue(())
        });
        read.map_or(vec![], |()| found)
    }
}

/// Shows that the tests above would notice: a disk that says it synced loses.
#[test]
fn a_disk_that_lies_about_syncs_is_caught() {
    let lost = (0..20).any(|seed| {
        let disk = SimulatedDisk::new(seed);
        disk.lie();
        let bench = Bench::open(&disk, SMALL).expect("opens");
        let kept = run(&bench, 0);
        let after = Bench::open(&disk.after_power_cut(), SMALL).expect("opens");
        after.read() != kept
    });
    assert!(lost);
}

#[test]
fn a_killed_process_loses_nothing_that_was_written() {
    // The disk stays as it was left: the system's pages outlive the process.
    let disk = SimulatedDisk::new(1);
    let bench = Bench::open(&disk, SMALL).expect("opens");
    let kept = run(&bench, 0);
    let left = SimulatedDisk::clone(&disk);
    std::mem::forget(bench);
    let again = Bench::open(&left, SMALL).expect("opens");
    assert_eq!((again.opened.scanned, again.read()), (1, kept));
}

#[test]
fn only_the_last_segment_is_scanned_when_opening() {
    let disk = SimulatedDisk::new(1);
    let bench = Bench::open(&disk, SMALL).expect("opens");
    bench.keep(0..1000);
    for n in 1000..1200 {
        bench.append(n).wait().expect("kept");
    }
    let left = disk.after_power_cut();
    let again = Bench::open(&left, SMALL).expect("opens");
    assert!(again.opened.segments > 3, "{:?}", again.opened);
    assert_eq!((again.opened.scanned, again.opened.records), (1, 1200));
}
