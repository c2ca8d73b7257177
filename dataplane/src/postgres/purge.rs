//! What a spool still holds of who was erased leaves this disk.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Shared;
use super::fault::Fault;
use crate::store::erase::erase_where;
use crate::store::journal::FrameHead;
use crate::store::record;

/// Takes it out of both journals. Refused, it is done again a moment later.
pub(super) async fn purge(shared: &Arc<Shared>) -> Result<(), Fault> {
    shared.purge_again.store(true, Ordering::SeqCst);
    let of = Arc::clone(shared);
    let purged = tokio::task::spawn_blocking(move || {
        let goes = |head: FrameHead, payload: &[u8]| of.is_of_erased(head.kind, payload);
        erase_where(&of.hits, goes)?;
        erase_where(&of.messages, goes)
    });
    purged
        .await
        .map_err(|_| Fault::Disk(std::io::Error::other("the erasing thread panicked")))??;
    shared.purge_again.store(false, Ordering::SeqCst);
    Ok(())
}

impl Shared {
    /// Whether a record is of somebody who was erased.
    fn is_of_erased(&self, kind: u16, payload: &[u8]) -> bool {
        let who = match kind {
            record::HIT | record::EVENT => record::peek_hit(payload)
                .ok()
                .and_then(|hit| self.list.who(hit.domain, hit.recipient?)),
            record::LAST => record::peek_event(payload)
                .ok()
                .and_then(|last| self.list.who(last.domain, last.recipient?)),
            record::MESSAGE => record::peek_message(payload).ok().and_then(|message| {
                let recipient = message.recipient?;
                self.list.who(message.domain.as_str(), recipient.as_str())
            }),
            _ => None,
        };
        who.is_some_and(|who| self.list.is_erased(who))
    }
}
