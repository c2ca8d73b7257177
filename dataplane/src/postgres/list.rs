//! Who has withdrawn, or was erased: the database's list, held in memory by
//! every replica and asked for what is new every second.
//!
//! A withdrawal is written under a lock that all who write what names a reader
//! share ([`READERS_LOCK`]): when it is committed, nothing of theirs is under
//! way any more, and whoever writes later finds it. Its number is given under
//! the same lock, so numbers are committed in their order, and asking for higher
//! ones misses none.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock, RwLockWriteGuard};

use aws_lc_rs::hmac;
use mailtrail_core::id::{Realm, Recipient};
use tokio_postgres::Client;
use uuid::Uuid;

use super::fault::Fault;
use super::schema::READERS_LOCK;
use crate::store::Withdrawn;
use crate::store::withdrawals::{WITHDRAWALS_MAX, hash};

/// Most that one question brings.
const PAGE: i64 = 50_000;

/// The list as far as it is known here.
#[derive(Default)]
pub(super) struct List {
    key: OnceLock<hmac::Key>,
    /// Whether each was erased, too.
    known: RwLock<HashMap<Uuid, bool>>,
    /// Most often nobody is on it, and then a hit needs no hash.
    any: AtomicBool,
    loaded: AtomicBool,
    up_to: AtomicI64,
}

/// Why somebody is put on the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    Withdrawn,
    Erased,
}

impl List {
    /// From now on, whose hash is whose.
    pub(super) fn open(&self, key: &[u8]) {
        self.key
            .get_or_init(|| hmac::Key::new(hmac::HMAC_SHA256, key));
    }

    /// The install's key, once it is known.
    pub(super) fn key(&self) -> Option<&hmac::Key> {
        self.key.get()
    }

    /// What stands on the list for somebody.
    pub(super) fn who(&self, realm: &str, recipient: &str) -> Option<Uuid> {
        let key = self.key.get()?;
        Some(Uuid::from_bytes(hash(key, realm, recipient)))
    }

    pub(super) fn is_loaded(&self) -> bool {
        self.loaded.load(Ordering::SeqCst)
    }

    /// Whether somebody is on the list.
    pub(super) fn check(&self, realm: &Realm, recipient: &Recipient) -> Withdrawn {
        if !self.is_loaded() {
            return Withdrawn::NotLoaded;
        }
        if !self.any.load(Ordering::SeqCst) {
            return Withdrawn::No;
        }
        match self.who(realm.as_str(), recipient.as_str()) {
            None => Withdrawn::NotLoaded,
            Some(who) if self.knows(who) => Withdrawn::Yes,
            Some(_) => Withdrawn::No,
        }
    }

    fn knows(&self, who: Uuid) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.contains_key(&who)
    }

    /// Whether nothing of somebody may stay.
    pub(super) fn is_erased(&self, who: Uuid) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&who) == Some(&true)
    }

    /// Counts from now on, here.
    pub(super) fn note(&self, who: Uuid, why: Why) {
        let mut known = self.known_mut();
        let erased = known.entry(who).or_default();
        *erased |= why == Why::Erased;
        self.any.store(true, Ordering::SeqCst);
    }

    fn known_mut(&self) -> RwLockWriteGuard<'_, HashMap<Uuid, bool>> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for what is new; says whether somebody was erased.
    pub(super) async fn follow(&self, client: &Client) -> Result<bool, Fault> {
        let mut any_erased = false;
        loop {
            let rows = client
                .query(
                    "SELECT number, who, erased FROM mailtrail.withdrawals
                     WHERE number > $1 ORDER BY number LIMIT $2",
                    &[&self.up_to.load(Ordering::SeqCst), &PAGE],
                )
                .await?;
            for row in &rows {
                let erased: bool = row.try_get(2)?;
                any_erased |= erased;
                self.note(
                    row.try_get(1)?,
                    match erased {
                        true => Why::Erased,
                        false => Why::Withdrawn,
                    },
                );
                self.up_to.store(row.try_get(0)?, Ordering::SeqCst);
            }
            if (rows.len() as i64) < PAGE {
                self.loaded.store(true, Ordering::SeqCst);
                return Ok(any_erased);
            }
        }
    }
}

/// Puts somebody on the list of the database; when this returns, nothing of
/// theirs is under way to it any more.
pub(super) async fn write(client: &mut Client, who: &[Uuid], why: Why) -> Result<(), Fault> {
    let change = client.transaction().await?;
    change
        .execute("SELECT pg_advisory_xact_lock($1)", &[&READERS_LOCK])
        .await?;
    let count = "SELECT count(*) FROM mailtrail.withdrawals";
    let count: i64 = change.query_one(count, &[]).await?.try_get(0)?;
    if count + who.len() as i64 > WITHDRAWALS_MAX as i64 {
        return Err(Fault::Refused("the list of withdrawals is full".to_owned()));
    }
    // One who was on it as withdrawn gets a new number, so that all learn it.
    change
        .execute(
            "INSERT INTO mailtrail.withdrawals AS w (who, erased)
             SELECT DISTINCT who, $2::boolean FROM unnest($1::uuid[]) AS who
             ON CONFLICT (who) DO UPDATE SET erased = true, number = DEFAULT, made_at = DEFAULT
             WHERE excluded.erased AND NOT w.erased",
            &[&who, &(why == Why::Erased)],
        )
        .await?;
    change.commit().await?;
    Ok(())
}
