//! When is a record acknowledged, and who is woken?

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

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
