//! Keeping the state, now and then.

use std::time::Instant;

use super::{KEEP_EVERY, KEEP_PAUSES, Working};
use crate::deliver::handle::AskError;
use crate::deliver::outbox::Saved;

impl Working<'_> {
    pub(super) async fn keep_sometimes(&mut self) {
        if self.keep.is_dirty && Instant::now() >= self.keep.not_before {
            let _ = self.keep().await;
        }
    }

    pub(super) async fn keep(&mut self) -> Result<(), AskError> {
        let begun = Instant::now();
        let (outbox, realm) = (&self.worker.parts.outbox, &self.worker.sink.realm);
        let kept = outbox.save(realm, self.state.clone()).await;
        let pause = (begun.elapsed() * KEEP_PAUSES).max(KEEP_EVERY);
        self.keep.not_before = Instant::now() + pause;
        match kept {
            Ok(Saved::Yes) => {
                self.keep.is_dirty = false;
                self.keep.has_failed = false;
                Ok(())
            }
            Ok(Saved::Overtaken) => {
                self.keep.is_overtaken = true;
                Err(AskError::Overtaken)
            }
            Err(error) => {
                self.worker.parts.metrics.not_kept.inc();
                if !self.keep.has_failed {
                    tracing::error!(sink = %realm, %error, "the progress of deliveries cannot be kept, which is tried again: after a crash more is delivered twice");
                }
                self.keep.has_failed = true;
                Err(AskError::NotKept)
            }
        }
    }
}
