//! What if a journal is damaged?

use std::path::PathBuf;

use super::*;
use crate::store::disk::Disk;

fn files(disk: &SimulatedDisk, dir: &str) -> Vec<PathBuf> {
    let names = disk.list(Path::new(dir)).expect("names");
    let mut paths: Vec<_> = names.iter().map(|n| Path::new(dir).join(n)).collect();
    paths.sort();
    paths
}

/// Some events in batches, all settled and stopped.
fn filled() -> SimulatedDisk {
    let disk = SimulatedDisk::new(4);
    let mut bench = Bench::open(&disk).expect("opens");
    for n in 0..10 {
        bench.keep(3 * n..3 * n + 3);
        bench.settle_all();
    }
    disk
}

#[test]
fn damage_anywhere_in_the_settled_journal_doubles_nothing_and_loses_no_new_hit() {
    let whole = filled();
    for path in files(&whole, "/journal") {
        let bytes = whole.bytes(&path);
        for at in (0..bytes.len()).step_by(97) {
            let context = format!("{} at {at}", path.display());
            let disk = whole.after_power_cut();
            let mut damaged = bytes.clone();
            damaged[at..].iter_mut().take(40).for_each(|b| *b ^= 0x5a);
            disk.put(&path, &damaged);
            let mut bench = Bench::open(&disk).expect("opens");
            bench.settle_all();
            let kept = bench.keep(30..33);
            assert_eq!(kept.len(), 3);
            bench.settle_all();
            assert_settled(&bench.settled(), &kept, 33, &context);
        }
    }
}

#[test]
fn what_damage_takes_of_the_last_batch_is_settled_again_while_its_hits_are_there() {
    let whole = filled();
    let last = files(&whole, "/journal").pop().expect("a file");
    let disk = whole.after_power_cut();
    disk.remove(&last).expect("removed");
    let mut bench = Bench::open(&disk).expect("opens");
    // Those that settled a while ago are gone from the spool, and with them
    // what could be settled again.
    let there = bench.waiting();
    assert!(there.contains(&29), "{there:?}");
    bench.settle_all();
    assert_settled(&bench.settled(), &there, 30, "again");
}

#[test]
fn damage_in_the_hits_takes_what_it_hit_and_is_counted() {
    let disk = SimulatedDisk::new(4);
    let bench = Bench::open(&disk).expect("opens");
    for n in 0..6 {
        bench.keep([n]);
    }
    drop(bench);
    let path = files(&disk, "/hits").remove(0);
    let mut bytes = disk.bytes(&path);
    bytes[64 + 24 + 20] ^= 1;
    disk.put(&path, &bytes);
    let mut bench = Bench::open(&disk).expect("opens");
    bench.settle_all();
    assert_eq!(bench.settled(), [1, 2, 3, 4, 5]);
}

#[test]
fn a_hit_that_damage_takes_while_it_waits_is_counted_and_the_others_settle() {
    let disk = SimulatedDisk::new(4);
    let mut bench = Bench::open(&disk).expect("opens");
    for n in 0..6 {
        bench.keep([n]);
    }
    bench.settler.look().expect("followed");
    let path = files(&disk, "/hits").remove(0);
    let mut bytes = disk.bytes(&path);
    bytes[64 + 24 + 20] ^= 1;
    disk.put(&path, &bytes);
    bench.settle_all();
    assert_eq!(bench.settled(), [1, 2, 3, 4, 5]);
    assert_eq!(bench.metrics.gone.get(), 1);
}
