//! What a connection is at, and since when: the times of `Limits` without a
//! timer per request.
//!
//! A request's way only stores a phase and the runtime's coarse time. One task
//! per runtime looks over all connections every tick ([`Limits::tick`]) and
//! orders those to end that are overdue. A limit is met at the earliest when it
//! has passed and at the latest two ticks after.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Instant;

use super::refuse::Refusal;
use super::settings::Limits;

/// One connection's state, shared by its wire, its handler and the watch.
/// All on one thread.
pub(super) struct Pulse {
    phase: Cell<Phase>,
    since_ms: Cell<u64>,
    order: Cell<Option<Order>>,
    waker: RefCell<Option<Waker>>,
    /// Place in [`Pulses`].
    at: Cell<usize>,
    /// Nothing of a further request was read with the last one.
    pub(super) head_ended_reading: Cell<bool>,
    /// What the wire refused while reading.
    pub(super) refused: Cell<Option<Refusal>>,
    /// The client was still sending when it was answered.
    pub(super) lingers: Cell<bool>,
}

/// What a connection is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Connected; nothing of a request has come.
    Arriving,
    /// Connected; TLS has not come about yet.
    Handshake,
    /// Part of a head has come.
    Head,
    /// A request is being answered.
    Answering,
    /// The answer is made, and not handed over yet.
    Answered,
    /// Between an answer and the next request.
    Idle,
    /// HTTP/2, since the last request began.
    Streams,
}

/// What a connection is told from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Answer what has begun, then end.
    Finish,
    /// End now, for this reason.
    End(Refusal),
}

/// All connections of one runtime, and its coarse time.
pub(super) struct Pulses {
    started: Instant,
    now_ms: Cell<u64>,
    tick_ms: u64,
    limits: Limits,
    all: RefCell<Vec<Rc<Pulse>>>,
    finishing: Cell<bool>,
    emptied: tokio::sync::Notify,
}

/// Milliseconds that a connection which asked nothing yet is still waited for
/// while the listener drains: the request of one just accepted is on its way.
/// Over TLS so long for the handshake, and once more for the request.
const ARRIVING_WHILE_DRAINING_MS: u64 = 1000;

impl Pulse {
    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// A waker to be woken by an order. The task's waker stays the same, so
    /// this stores it once.
    pub(super) fn attend(&self, cx: &mut Context<'_>) -> Option<Order> {
        let mut waker = self.waker.borrow_mut();
        match &*waker {
            Some(known) if known.will_wake(cx.waker()) => {}
            _ => *waker = Some(cx.waker().clone()),
        }
        self.order.take()
    }

    fn give(&self, order: Order) {
        self.order.set(Some(order));
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

impl Pulses {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            started: Instant::now(),
            now_ms: Cell::new(0),
            tick_ms: millis(limits.tick()),
            limits,
            all: RefCell::default(),
            finishing: Cell::new(false),
            emptied: tokio::sync::Notify::new(),
        }
    }

    /// A connection begins.
    pub(super) fn begin(&self) -> Rc<Pulse> {
        let mut all = self.all.borrow_mut();
        let pulse = Rc::new(Pulse {
            phase: Cell::new(Phase::Arriving),
            since_ms: Cell::new(self.now_ms.get()),
            order: Cell::new(None),
            waker: RefCell::default(),
            at: Cell::new(all.len()),
            head_ended_reading: Cell::new(true),
            refused: Cell::new(None),
            lingers: Cell::new(false),
        });
        all.push(Rc::clone(&pulse));
        pulse
    }

    /// A connection has ended.
    pub(super) fn end(&self, pulse: &Pulse) {
        let mut all = self.all.borrow_mut();
        let at = pulse.at.get();
        all.swap_remove(at);
        if let Some(moved) = all.get(at) {
            moved.at.set(at);
        }
        if all.is_empty() {
            self.emptied.notify_waiters();
        }
    }

    /// A connection gets to a phase.
    pub(super) fn enter(&self, pulse: &Pulse, phase: Phase) {
        pulse.phase.set(phase);
        pulse.since_ms.set(self.now_ms.get());
    }

    /// Whether connections that begin now answer one request only.
    pub(super) fn is_finishing(&self) -> bool {
        self.finishing.get()
    }

    /// Every connection answers what it has begun, then ends.
    pub(super) fn finish(&self) {
        self.finishing.set(true);
        for pulse in &*self.all.borrow() {
            pulse.give(Order::Finish);
        }
    }

    /// Until no connection is left.
    pub(super) async fn emptied(&self) {
        // Nothing runs between the look and the wait: one thread, no await.
        while !self.all.borrow().is_empty() {
            self.emptied.notified().await;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.all.borrow().len()
    }

    /// Looks over all connections, for ever.
    pub(super) async fn watch(&self) {
        let mut ticks = tokio::time::interval(self.limits.tick());
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.now_ms.set(millis(self.started.elapsed()));
            for pulse in &*self.all.borrow() {
                if let Some(refusal) = self.overdue(pulse) {
                    pulse.give(Order::End(refusal));
                }
            }
        }
    }

    fn overdue(&self, pulse: &Pulse) -> Option<Refusal> {
        let limits = &self.limits;
        let (limit, refusal) = match pulse.phase() {
            Phase::Arriving if self.finishing.get() => {
                let head_ms = millis(limits.head_time);
                (head_ms.min(ARRIVING_WHILE_DRAINING_MS), Refusal::IdleTime)
            }
            // Browsers connect in advance: one that says nothing is told nothing.
            Phase::Arriving => (millis(limits.head_time), Refusal::IdleTime),
            Phase::Handshake => {
                let handshake_ms = millis(limits.handshake_time);
                let limit_ms = match self.finishing.get() {
                    true => handshake_ms.min(ARRIVING_WHILE_DRAINING_MS),
                    false => handshake_ms,
                };
                (limit_ms, Refusal::HandshakeTime)
            }
            Phase::Head => (millis(limits.head_time), Refusal::HeadTime),
            Phase::Answering | Phase::Answered => {
                (millis(limits.request_time), Refusal::RequestTime)
            }
            Phase::Idle | Phase::Streams => (millis(limits.idle_time), Refusal::IdleTime),
        };
        let elapsed = self.now_ms.get().saturating_sub(pulse.since_ms.get());
        // The time it began at is up to one tick older than it was.
        (elapsed > limit + self.tick_ms).then_some(refusal)
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 2)
}
