//! The wait for one record.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use tokio::sync::oneshot;

use super::hub::Hub;
use super::progress::NotKept;

/// Ready when the record is on disk. The record is queued when this is made:
/// dropping it early loses nothing but the answer.
#[must_use = "only when awaited does it say whether the record is on disk"]
pub struct Pending(State);

enum State {
    Known(Result<(), NotKept>),
    /// What is kept elsewhere, and told here.
    Told(oneshot::Receiver<Result<(), NotKept>>),
    Waiting {
        hub: Arc<Hub>,
        seq: u64,
        /// Among those who wait, once it does.
        id: Option<u64>,
    },
}

impl Pending {
    pub(super) fn waiting(hub: Arc<Hub>, seq: u64) -> Self {
        Self(State::Waiting { hub, seq, id: None })
    }

    /// One whose outcome is known.
    pub(crate) fn known(outcome: Result<(), NotKept>) -> Self {
        Self(State::Known(outcome))
    }

    /// One whose outcome somebody tells; that they are gone says it is not kept.
    pub(crate) fn told(outcome: oneshot::Receiver<Result<(), NotKept>>) -> Self {
        Self(State::Told(outcome))
    }

    /// The number of the record, while its outcome is not known.
    pub(crate) fn seq(&self) -> Option<u64> {
        match &self.0 {
            State::Known(_) | State::Told(_) => None,
            State::Waiting { seq, .. } => Some(*seq),
        }
    }

    /// Blocks the thread until the outcome is known; not for use in a runtime.
    pub fn wait(mut self) -> Result<(), NotKept> {
        struct Unpark(std::thread::Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match Pin::new(&mut self).poll(&mut context) {
                Poll::Ready(outcome) => return outcome,
                Poll::Pending => std::thread::park(),
            }
        }
    }

    /// The outcome, or nothing once it was waited for until then. Whoever uses
    /// this sees to [`Hub::wake_overdue`] on the same hub.
    pub fn poll_until(
        &mut self,
        context: &mut Context<'_>,
        until: Instant,
    ) -> Poll<Option<Result<(), NotKept>>> {
        let first = matches!(self.0, State::Waiting { id: None, .. });
        match self.poll_once(context, Some(until)) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            // Whoever is polled again was woken: all may be well but the time.
            Poll::Pending if !first && Instant::now() >= until => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_once(
        &mut self,
        context: &mut Context<'_>,
        until: Option<Instant>,
    ) -> Poll<Result<(), NotKept>> {
        let (hub, seq, id) = match &mut self.0 {
            State::Known(outcome) => return Poll::Ready(*outcome),
            State::Told(told) => {
                return Pin::new(told)
                    .poll(context)
                    .map(|told| told.unwrap_or(Err(NotKept)));
            }
            State::Waiting { hub, seq, id } => (hub, *seq, id),
        };
        let mut settled = hub.progress.settled();
        if settled < seq {
            *id = Some(hub.register(seq, *id, until, context.waker()));
            settled = hub.progress.settled();
            if settled < seq {
                return Poll::Pending;
            }
        }
        hub.drain(settled);
        let outcome = hub.progress.outcome(seq);
        self.0 = State::Known(outcome);
        Poll::Ready(outcome)
    }
}

impl Future for Pending {
    type Output = Result<(), NotKept>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_once(context, None)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let State::Waiting {
            hub,
            seq,
            id: Some(id),
        } = &self.0
        {
            let settled = hub.progress.settled();
            if settled >= *seq {
                // It may be the one the writer woke for all.
                hub.drain(settled);
            } else {
                hub.forget(*seq, *id);
            }
        }
    }
}
