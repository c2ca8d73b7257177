//! What is settled after the power was cut, the process killed or stopped?

use super::*;
use crate::store::disk::Disk;
use crate::store::simulated::Fault;

/// What is there after everything that was kept has settled.
fn reopened(disk: &SimulatedDisk) -> Vec<u32> {
    let mut bench = Bench::open(disk).expect("opens");
    assert!(bench.missing.is_empty() || disk.lies(), "a false alarm");
    bench.settle_all();
    bench.settled()
}

#[test]
fn a_power_cut_at_every_call_of_a_run_loses_nothing_and_doubles_nothing() {
    let whole = SimulatedDisk::new(0);
    let mut bench = Bench::open(&whole).expect("opens");
    assert_eq!(run(&mut bench, 0).len(), 40);
    drop(bench);
    let calls = whole.calls();
    assert!(calls > 60, "{calls}");
    // How many records share a batch is chance, and with it how many calls.
    for (call, seed) in (0..2 * calls).flat_map(|call| [(call, 0), (call, 1), (call, 2)]) {
        let context = format!("call {call}, seed {seed}");
        let disk = SimulatedDisk::new(seed);
        disk.fail_at(call, Fault::PowerCut);
        let kept = Bench::open(&disk).map_or(vec![], |mut bench| run(&mut bench, 0));
        let after = disk.after_power_cut();
        let found = reopened(&after);
        assert_settled(&found, &kept, 40, &context);
        assert_eq!(reopened(&after), found, "{context}: a second start");
    }
}

#[test]
fn power_cuts_again_and_again_lose_nothing_and_double_nothing() {
    for seed in 0..60 {
        let mut disk = SimulatedDisk::new(seed);
        let (mut kept, mut sent) = (Vec::new(), 0);
        for cut in 0..6 {
            disk.fail_at((seed as usize * 17 + cut * 29) % 211, Fault::PowerCut);
            if let Ok(mut bench) = Bench::open(&disk) {
                kept.extend(run(&mut bench, sent));
                sent += 40;
            }
            disk = disk.after_power_cut();
        }
        assert_settled(&reopened(&disk), &kept, sent, &format!("seed {seed}"));
    }
}

/// Shows that the tests above would notice: a disk that says it synced loses.
#[test]
fn a_disk_that_lies_about_syncs_is_caught() {
    let lost = (0..20).any(|seed| {
        let disk = SimulatedDisk::new(seed);
        disk.lie();
        let mut bench = Bench::open(&disk).expect("opens");
        let kept = run(&mut bench, 0);
        let found = reopened(&disk.after_power_cut());
        kept.iter().any(|n| !found.contains(n))
    });
    assert!(lost);
}

#[test]
fn a_killed_process_loses_nothing_and_doubles_nothing() {
    // The disk stays as it was left: the system's pages outlive the process.
    let whole = SimulatedDisk::new(0);
    drop(run(&mut Bench::open(&whole).expect("opens"), 0));
    for call in (0..whole.calls()).step_by(3) {
        let disk = SimulatedDisk::new(call as u64);
        disk.fail_at(call, Fault::PowerCut);
        let kept = Bench::open(&disk).map_or(vec![], |mut bench| run(&mut bench, 0));
        let found = reopened(&disk.after_kill());
        assert_settled(&found, &kept, 40, &format!("call {call}"));
    }
}

#[test]
fn hits_settle_in_the_order_they_were_kept() {
    let disk = SimulatedDisk::new(0);
    let mut bench = Bench::open(&disk).expect("opens");
    let kept = run(&mut bench, 0);
    bench.settle_all();
    assert_eq!(bench.settled(), kept);
}

#[test]
fn what_is_not_due_at_a_stop_settles_after_the_next_start() {
    let disk = SimulatedDisk::new(0);
    let mut bench = Bench::open(&disk).expect("opens");
    bench.keep(0..5);
    bench.settle_all();
    bench.keep(5..9);
    bench.settler.look().expect("looks");
    assert_eq!(bench.settled(), [0, 1, 2, 3, 4]);
    drop(bench);
    assert_eq!(reopened(&disk), (0..9).collect::<Vec<_>>());
}

#[test]
fn where_hits_were_lost_no_number_that_a_mark_names_is_given_again() {
    let disk = SimulatedDisk::new(0);
    let mut bench = Bench::open(&disk).expect("opens");
    for n in 0..5 {
        bench.keep([n]);
        bench.settle_all();
    }
    drop(bench);
    for name in disk.list(Path::new("/hits")).expect("names") {
        disk.remove(&Path::new("/hits").join(name))
            .expect("removed");
    }
    let mut bench = Bench::open(&disk).expect("opens");
    bench.keep(5..8);
    bench.settle_all();
    assert_eq!(bench.settled(), (0..8).collect::<Vec<_>>());
}
