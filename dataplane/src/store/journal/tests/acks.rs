//! When is a record acknowledged, and who is woken?

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use super::*;

#[test]
fn what_was_acknowledged_is_on_the_disk_before_anything_else_happens() {
    let disk = SimulatedDisk::new(1);
    let bench = Bench::open(&disk, SMALL).expect("opens");
    for n in 0..40 {
        bench.append(n).wait().expect("kept");
        let after = disk.after_power_cut();
        let found = Bench::open(&after, SMALL).expect("opens").read();
        assert_eq!(found, (0..=n).collect::<Vec<_>>());
    }
}

#[test]
fn a_dropped_answer_loses_no_record() {
    let disk = SimulatedDisk::new(1);
    let bench = Bench::open(&disk, SMALL).expect("opens");
    drop(bench.append(0));
    bench.append(1).wait().expect("kept");
    assert_eq!(bench.read(), [0, 1]);
}

struct Count(AtomicUsize, std::thread::Thread);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        self.1.unpark();
    }
}

/// The first to be woken is dropped without being polled: the others must be
/// woken all the same.
#[test]
fn waiters_do_not_depend_on_the_one_that_is_woken() {
    let disk = SimulatedDisk::new(1);
    let bench = Bench::open(&disk, SMALL).expect("opens");
    for polled in [true, false] {
        let counts: Vec<_> = (0..3)
            .map(|_| Arc::new(Count(AtomicUsize::new(0), std::thread::current())))
            .collect();
        let mut waiting = Vec::new();
        for (n, count) in counts.iter().enumerate() {
            let waker = Waker::from(Arc::clone(count));
            let mut pending = Box::pin(bench.append(n as u32));
            let ready = pending.as_mut().poll(&mut Context::from_waker(&waker));
            waiting.push((pending, ready.is_ready()));
        }
        if polled {
            drop(waiting.remove(0));
        }
        // Nobody polls: in the end the writer comes by and wakes all.
        let first = usize::from(polled);
        while counts[first..]
            .iter()
            .zip(&waiting)
            .any(|(count, (_, ready))| !ready && count.0.load(Ordering::SeqCst) == 0)
        {
            std::thread::park();
        }
        for (pending, ready) in &mut waiting {
            let again = pending
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
            assert!(*ready || again == Poll::Ready(Ok(())));
        }
    }
}

#[test]
fn a_poll_after_the_answer_gives_it_again() {
    let disk = SimulatedDisk::new(1);
    let bench = Bench::open(&disk, SMALL).expect("opens");
    let mut pending = pin!(bench.append(0));
    bench.append(1).wait().expect("kept");
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..2 {
        assert_eq!(pending.as_mut().poll(&mut context), Poll::Ready(Ok(())));
    }
}

#[test]
fn closing_seals_what_was_written_and_refuses_the_rest() {
    let disk = SimulatedDisk::new(1);
    let bench = Bench::open(&disk, SMALL).expect("opens");
    let kept = bench.keep(0..5);
    bench.journal.close(&bench.hub).wait().expect("closed");
    assert_eq!(bench.append(9).wait(), Err(NotKept));
    assert_eq!(bench.metrics.events_not_kept.get(), 1);
    let again = Bench::open(&disk, SMALL).expect("opens");
    assert_eq!((again.opened.scanned, again.read()), (0, kept));
}

/// As when a reader sends a withdrawal twice and one connection is lost.
#[test]
fn of_two_who_wait_for_one_record_each_is_told() {
    let disk = SimulatedDisk::new(1);
    let bench = Bench::open(&disk, SMALL).expect("opens");
    let hung = disk.hang();
    let seq = bench.append(0).seq().expect("not known yet");
    let counts = [(); 2].map(|()| Arc::new(Count(AtomicUsize::new(0), std::thread::current())));
    let wakers = counts.clone().map(Waker::from);
    let [mut one, mut other] = [(); 2].map(|()| bench.hub.pending(seq));
    for _ in 0..2 {
        for (pending, waker) in [(&mut one, &wakers[0]), (&mut other, &wakers[1])] {
            let polled = pin!(pending).poll(&mut Context::from_waker(waker));
            assert_eq!(polled, Poll::Pending);
        }
    }
    drop(one);
    drop(hung);
    while counts[1].0.load(Ordering::SeqCst) == 0 {
        std::thread::park();
    }
    assert_eq!(other.wait(), Ok(()));
}

#[test]
fn what_a_bell_was_rung_for_is_kept() {
    let disk = SimulatedDisk::new(1);
    let bench = Bench::open(&disk, SMALL).expect("opens");
    let hub = bench.journal.hub_with_bell();
    for n in 0..20 {
        let pending = bench.append_through(&hub, n);
        bench.journal.ring(&hub);
        // A second ringing for nothing changes nothing.
        bench.journal.ring(&hub);
        pending.wait().expect("kept");
    }
    assert_eq!(bench.read(), (0..20).collect::<Vec<_>>());
}

#[test]
fn a_bell_that_is_not_rung_holds_nobody_up() {
    let disk = SimulatedDisk::new(1);
    let bench = Bench::open(&disk, SMALL).expect("opens");
    let [silent, other] = [(); 2].map(|()| bench.journal.hub_with_bell());
    let waits = bench.append_through(&silent, 0);
    // Neither a neighbour without a bell nor one that rings.
    bench.append(1).wait().expect("kept");
    let rung = bench.append_through(&other, 2);
    bench.journal.ring(&other);
    rung.wait().expect("kept");
    waits.wait().expect("kept");
    // Nor itself, once it has handed in enough for a batch.
    let many: Vec<_> = (3..1000)
        .map(|n| bench.append_through(&silent, n))
        .take(super::super::queue::BATCH_RECORDS)
        .collect();
    for pending in many {
        pending.wait().expect("kept");
    }
}

#[test]
fn who_waits_no_longer_is_woken_at_its_time_and_told_so() {
    let disk = SimulatedDisk::new(1);
    let bench = Bench::open(&disk, SMALL).expect("opens");
    let hung = disk.hang();
    let count = Arc::new(Count(AtomicUsize::new(0), std::thread::current()));
    let waker = Waker::from(Arc::clone(&count));
    let mut context = Context::from_waker(&waker);
    let now = Instant::now();
    let (past, future) = (now, now + Duration::from_secs(3600));
    let (mut early, mut late) = (bench.append(0), bench.append(1));
    // The first poll only begins the wait.
    assert_eq!(early.poll_until(&mut context, past), Poll::Pending);
    assert_eq!(late.poll_until(&mut context, future), Poll::Pending);
    assert_eq!(bench.hub.wake_overdue(now), Some(future));
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    // Told once.
    assert_eq!(bench.hub.wake_overdue(now), Some(future));
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    assert_eq!(early.poll_until(&mut context, past), Poll::Ready(None));
    assert_eq!(late.poll_until(&mut context, future), Poll::Pending);
    drop(early);
    drop(hung);
    assert_eq!(late.wait(), Ok(()));
    assert_eq!(bench.hub.wake_overdue(future), None);
}
