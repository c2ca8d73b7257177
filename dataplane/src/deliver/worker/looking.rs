//! What is looked at though nothing is sent: whether the secrets are there, and
//! whether events wait.

use super::{LOOK_AGAIN_MS, NOT_TRIED_WAIT_MS, Of, Working};

impl Working<'_> {
    /// Looks for the secrets of a sink that was just declared, and now and then
    /// while one is missing: not only once an event is to be signed.
    pub(super) async fn look_for_secret(&mut self, now_ms: u64) {
        if self.secret_from_ms.is_none_or(|from| now_ms < from) {
            return;
        }
        match self.lacks().await {
            Some(missing) => self.lack(missing, now_ms),
            None => (self.secret_missing, self.secret_from_ms) = (None, None),
        }
    }

    /// What is wrong with a secret. What the operator has not sealed is its to
    /// tell: it may be for another reason.
    pub(super) async fn lacks(&self) -> Option<String> {
        let cluster = self.worker.sink.cluster.as_ref();
        if cluster.is_some_and(|cluster| cluster.sealed.is_none()) {
            return None;
        }
        let missing = self.job().secrets().await.err()?;
        Some(missing.to_string())
    }

    /// Nothing can be signed: told once.
    pub(super) fn lack(&mut self, missing: String, now_ms: u64) {
        if self.secret_missing.as_ref() != Some(&missing) {
            tracing::error!(sink = %self.worker.sink.realm, "nothing can be delivered: {missing}");
        }
        self.secret_missing = Some(missing);
        self.secret_from_ms = Some(now_ms + NOT_TRIED_WAIT_MS);
    }

    /// Looks what waits first while nothing may be sent. It is told and not held:
    /// it may be erased before it is sent, and is read again then.
    ///
    /// Once something is found nothing is read for [`LOOK_AGAIN_MS`], and what
    /// holds nothing for the sink is not read twice: this costs less than
    /// delivering does.
    pub(super) async fn look(&mut self, now_ms: u64) {
        let is_due = now_ms >= self.look_from_ms;
        if self.first.is_some() || !self.settling.is_unknown(is_due) {
            return;
        }
        self.look_from_ms = now_ms + LOOK_AGAIN_MS;
        if self.fill(Of::Settling, None, now_ms).await.is_some() {
            self.settling.rewind();
        }
    }
}
