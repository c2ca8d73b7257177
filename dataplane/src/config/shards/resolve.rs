//! Which of the entries that came can be served beside those that are. Pure.
//!
//! A host leads to one domain. Where two entries name one, who has it keeps it,
//! and the other's last entry stays in use. All entries that came together are
//! looked at together, so that hosts may change hands, or be swapped, at once.

use std::collections::HashMap;
use std::sync::Arc;

use mailtrail_core::config::{Domain, Snapshot, SnapshotError};
use mailtrail_core::id::Realm;

/// An entry that is to be served.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    /// The shard that it stands in.
    pub shard: u16,
    pub entry: Arc<Domain>,
}

/// What is served with as many of the candidates as go.
pub(super) struct Resolved {
    pub snapshot: Snapshot,
    /// By candidate, in their order: why it is not served, where it is not.
    pub refused: Vec<Option<String>>,
}

/// Takes in what can be. `owners` says from which shard a realm that is served
/// comes.
pub(super) fn resolve(
    served: &Snapshot,
    owners: &HashMap<Realm, u16>,
    candidates: &[Candidate],
) -> Resolved {
    let (mut refused, by_realm) = twins(owners, candidates);
    loop {
        let mut snapshot = served.clone();
        for (at, candidate) in candidates.iter().enumerate() {
            if refused[at].is_none() {
                snapshot.remove(&candidate.entry.realm);
            }
        }
        // A refused entry's last one stays in use, and what that holds may be
        // asked for by others: each round refuses one more, so they end.
        let mut again = false;
        for (at, candidate) in candidates.iter().enumerate() {
            if refused[at].is_some() {
                continue;
            }
            let realm = &candidate.entry.realm;
            match snapshot.insert(Arc::clone(&candidate.entry)) {
                Ok(()) => {}
                Err(SnapshotError::HostTwice { host, first, .. }) => {
                    let had_it = served.by_host(host.as_str());
                    let had_it = had_it.is_some_and(|domain| domain.realm == *realm);
                    let newcomer = by_realm.get(&first).copied();
                    let (loser, restored) = match newcomer {
                        Some(newcomer) if had_it && first != *realm => (newcomer, true),
                        _ => (at, served.by_realm(realm).is_some()),
                    };
                    refused[loser] = Some(if first == *realm {
                        format!("names the host {host} twice")
                    } else {
                        format!("its host {host} is another tracking domain's here")
                    });
                    again |= restored;
                }
                Err(error @ SnapshotError::RealmTwice(_)) => {
                    refused[at] = Some(error.to_string());
                }
            }
        }
        if !again {
            return Resolved { snapshot, refused };
        }
    }
}

/// Refuses what another shard serves already, or another candidate stands for;
/// gives who does.
fn twins<'a>(
    owners: &HashMap<Realm, u16>,
    candidates: &'a [Candidate],
) -> (Vec<Option<String>>, HashMap<&'a Realm, usize>) {
    let mut by_realm = HashMap::with_capacity(candidates.len());
    let mut refused = vec![None; candidates.len()];
    for (at, candidate) in candidates.iter().enumerate() {
        let realm = &candidate.entry.realm;
        let owner = owners.get(realm).copied().unwrap_or(candidate.shard);
        if owner != candidate.shard {
            refused[at] = Some(format!("stands in shard {owner} too"));
        } else if by_realm.contains_key(realm) {
            refused[at] = Some("stands there twice".to_owned());
        } else {
            by_realm.insert(realm, at);
        }
    }
    (refused, by_realm)
}
