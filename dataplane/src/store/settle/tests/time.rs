//! When is a hit settled, and when is it removed?

use super::*;

fn wall(bench: &Bench, ms: u64) {
    bench.clock.wall_ms.store(ms, Ordering::SeqCst);
}

#[test]
fn a_hit_settles_when_its_time_is_over_and_not_before() {
    let mut bench = Bench::open(&SimulatedDisk::new(0)).expect("opens");
    bench.keep([0]);
    bench.settler.look().expect("looks");
    bench.clock.pass(SETTLE - Duration::from_millis(1));
    bench.settler.look().expect("looks");
    assert_eq!(bench.settled().len(), 0);
    bench.clock.pass(Duration::from_millis(1));
    bench.settler.look().expect("looks");
    assert_eq!(bench.settled(), [0]);
}

#[test]
fn after_a_start_only_what_is_left_of_the_time_is_waited_for() {
    let disk = SimulatedDisk::new(0);
    let bench = Bench::open(&disk).expect("opens");
    bench.keep([0]);
    drop(bench);
    for (passed_ms, left_ms) in [(0, 10_000), (4_000, 6_000), (10_000, 0), (3_600_000, 0)] {
        let mut bench = Bench::open(&disk.after_power_cut()).expect("opens");
        wall(&bench, BEGIN_MS + passed_ms);
        bench.settler.look().expect("looks");
        if left_ms > 0 {
            bench.clock.pass(Duration::from_millis(left_ms - 1));
            bench.settler.look().expect("looks");
            assert_eq!(bench.settled().len(), 0, "{passed_ms}");
            bench.clock.pass(Duration::from_millis(1));
            bench.settler.look().expect("looks");
        }
        assert_eq!(bench.settled(), [0], "{passed_ms}");
    }
}

#[test]
fn a_clock_that_is_set_back_makes_no_hit_wait_longer() {
    let mut bench = Bench::open(&SimulatedDisk::new(0)).expect("opens");
    bench.keep([0]);
    bench.settler.look().expect("looks");
    wall(&bench, BEGIN_MS - 3_600_000);
    bench.keep([1]);
    bench.settler.look().expect("looks");
    bench.clock.pass(SETTLE);
    bench.settler.look().expect("looks");
    assert_eq!(bench.settled(), [0, 1]);
}

#[test]
fn a_hit_from_a_time_to_come_waits_no_longer_than_others() {
    let disk = SimulatedDisk::new(0);
    let bench = Bench::open(&disk).expect("opens");
    wall(&bench, BEGIN_MS + 86_400_000);
    bench.keep([0]);
    drop(bench);
    let mut bench = Bench::open(&disk).expect("opens");
    bench.settler.look().expect("looks");
    bench.clock.pass(SETTLE);
    bench.settler.look().expect("looks");
    assert_eq!(bench.settled(), [0]);
}

#[test]
fn a_clock_that_jumps_ahead_settles_nothing_early_that_was_followed() {
    let mut bench = Bench::open(&SimulatedDisk::new(0)).expect("opens");
    bench.keep(0..3);
    bench.settler.look().expect("looks");
    wall(&bench, BEGIN_MS + 86_400_000);
    bench.settler.look().expect("looks");
    assert_eq!(bench.settled().len(), 0);
    bench.clock.pass(SETTLE);
    bench.settler.look().expect("looks");
    assert_eq!(bench.settled(), [0, 1, 2]);
}

#[test]
fn settled_hits_are_removed_after_a_while_and_those_that_wait_are_not() {
    let mut bench = Bench::open(&SimulatedDisk::new(0)).expect("opens");
    for n in 0..60 {
        bench.keep([n]);
    }
    let segments = |bench: &Bench| bench.hits.reader().parts().count();
    assert!(segments(&bench) > 3);
    bench.settler.look().expect("looks");
    bench.clock.pass(SETTLE);
    bench.settler.look().expect("looks");
    assert!(segments(&bench) > 3, "kept for their neighbours");
    for _ in 0..4 {
        bench.clock.pass(Duration::from_secs(15));
        bench.look();
    }
    assert!(segments(&bench) <= 2, "{} are left", segments(&bench));
    // The last segment is ended now and then, so that its hits can go too.
    for _ in 0..8 {
        bench.clock.pass(Duration::from_secs(15));
        bench.look();
    }
    let reader = bench.hits.reader();
    let hits: u64 = reader.parts().map(|p| p.segment.summary.events).sum();
    assert_eq!(hits, 0);
    assert_eq!(bench.settled().len(), 60);
}

#[test]
fn a_spool_of_which_the_front_is_settled_or_erased_has_no_gap() {
    let disk = SimulatedDisk::new(0);
    let mut bench = Bench::open(&disk).expect("opens");
    for n in 0..60 {
        bench.keep([n]);
    }
    bench.settler.look().expect("looks");
    // All of the second segment is erased: a mark alone keeps its number.
    let closed = bench.hits.closed().expect("closed");
    let second = closed.parts().nth(1).expect("a segment");
    closed.rewrite(second, |_, _| false).expect("rewritten");
    closed.finish().expect("finished");
    bench.clock.pass(SETTLE);
    for _ in 0..4 {
        bench.look();
        bench.clock.pass(Duration::from_secs(15));
    }
    assert_eq!(bench.hits.reader().segments().len(), 1);
    bench.keep([60]);
    drop(bench);
    let again = Bench::open(&disk).expect("opens");
    assert_eq!(again.missing, []);
    assert_eq!(again.waiting().last(), Some(&60));
}
