//! What is recorded of hits that settle now.

use std::sync::{Arc, OnceLock};

use mailtrail_core::config::Recorded;
use mailtrail_core::event::{EventKind, Unsettled};
use mailtrail_core::id::Realm;

use crate::config::Live;

/// What domains say is to be recorded, at the moment it is asked; clones are the
/// same one. Of a domain that is gone what was said at the hit stands.
///
/// Domains are known later than the store is opened, and nothing settles before
/// ([`Modes::are_known`]): one of them may have become stricter since the hit.
/// The default knows of no domains and waits for none.
#[derive(Debug, Clone, Default)]
pub struct Modes {
    live: Arc<OnceLock<Arc<Live>>>,
    awaited: bool,
}

impl Modes {
    /// Of domains that are still to be read.
    pub fn awaited() -> Self {
        Self {
            awaited: true,
            ..Self::default()
        }
    }

    /// Whether domains can say it.
    pub(crate) fn are_known(&self) -> bool {
        let live = self.live.get();
        live.map_or(!self.awaited, |live| live.knows_domains())
    }

    /// The ids of the keys that links are opened with; none before there are any.
    pub(crate) fn key_ids(&self) -> Vec<String> {
        let keys = self.live.get().map(|live| live.keys());
        let ids = keys.iter().flat_map(|keys| keys.keyring().states());
        ids.map(|(id, _)| id.to_string()).collect()
    }

    /// From now on these domains say it. The first that are given stay.
    pub fn follow(&self, live: Arc<Live>) {
        let _ = self.live.set(live);
    }

    /// Lowers what is recorded of a hit to what its domain says now. What the
    /// domain allows only since the hit does not count for it.
    pub(crate) fn narrow(&self, hit: &mut Unsettled) {
        let said = self.said(&hit.event.domain, hit.event.kind);
        hit.recorded = hit.recorded.max(said.unwrap_or_default());
    }

    fn said(&self, domain: &Realm, kind: EventKind) -> Option<Recorded> {
        let (snapshot, _) = self.live.get()?.peek();
        let domain = snapshot.by_realm(domain)?;
        Some(domain.recorded(kind))
    }
}

#[cfg(test)]
mod tests {
    use mailtrail_core::config::{Domain, Snapshot};
    use mailtrail_core::keyring::Keyring;
    use mailtrail_core::token::Keys;

    use super::*;
    use crate::store::fixtures;

    #[test]
    fn of_what_was_said_at_the_hit_and_what_is_said_now_the_stricter_counts() {
        use Recorded::{Anonymous, Identified};
        for (at_hit, now, expected) in [
            (Identified, None, Identified),
            (Identified, Some(Identified), Identified),
            (Identified, Some(Anonymous), Anonymous),
            (Anonymous, Some(Identified), Anonymous),
            (Anonymous, None, Anonymous),
        ] {
            let modes = Modes::default();
            let mut hit = fixtures::hit("shop/links", "m-1");
            hit.recorded = at_hit;
            if let Some(now) = now {
                let host = hit.event.host.clone();
                let mut domain = Domain::new(hit.event.domain.clone(), host);
                domain.clicks.record = Some(now);
                let snapshot = Snapshot::new([domain]).expect("unique");
                let mut random = [7; 35];
                random[3] = 8;
                let keys = Keys::new(Keyring::generate(random).expect("a good key"));
                modes.follow(Arc::new(Live::new(snapshot, keys)));
            }
            modes.narrow(&mut hit);
            assert_eq!(hit.recorded, expected, "{at_hit:?} {now:?}");
        }
    }
}
