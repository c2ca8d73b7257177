//! The sled database of the index, and nothing else of sled anywhere.
//!
//! sled flushes when a handle is dropped, and once a flush has failed the next
//! one waits for ever. So a database that the disk failed is given up: its
//! handles are let go without being dropped. What that leaks is bounded by how
//! seldom it happens, because nothing is written where the disk has no room
//! ([`super::keep`]).

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::KeyHash;
use super::run::{self, Run};
use super::sieve::Sieve;
use crate::store::counts::{self, HourCounts};
use crate::store::journal::Segment;

/// The format that [`super`] tells.
const VERSION: &[u8] = b"5";
/// Memory for sled's cache, in bytes: the buckets of some hundred look-ups.
const CACHE_BYTES: usize = 16 * 1024 * 1024;
/// Most memory for sieves, in bytes: those of some 15 million events.
const SIEVES_MAX_BYTES: usize = 64 * 1024 * 1024;
/// Children of a node; buckets are large, so few of them make a page.
const FANOUT: usize = 128;

const VERSION_KEY: [u8; 1] = [0];
const WHOLE: u8 = 1;
const BUCKET: u8 = 2;
const DOMAINS: u8 = 3;
const COUNTS: u8 = 4;

/// The open database; a clone is another handle to it.
#[derive(Clone)]
pub(super) struct Base {
    /// There until it is dropped.
    db: Option<sled::Db<FANOUT>>,
    given_up: Arc<AtomicBool>,
    whole: Arc<Mutex<HashMap<u64, Whole>>>,
    sieves: Arc<Mutex<Sieves>>,
}

/// What the runs do not have, for as many as there is room for.
#[derive(Default)]
struct Sieves {
    of: HashMap<u64, (Whole, Arc<Sieve>)>,
    bytes: usize,
    /// Whether one found no room; none is made then until another goes.
    full: bool,
}

/// That a run is there as a whole, and of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Whole {
    salt: u32,
    end: u64,
    buckets: u32,
}

impl Base {
    /// Opens a database, makes it where there is none; fails where it is
    /// damaged or of another version.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        // It panics over some kinds of damage.
        std::panic::catch_unwind(|| Self::open_unguarded(dir))
            .unwrap_or_else(|_| Err(io::Error::other("the index is damaged")))
    }

    fn open_unguarded(dir: &Path) -> io::Result<Self> {
        let config = sled::Config::new()
            .path(dir)
            .cache_capacity_bytes(CACHE_BYTES)
            // It is flushed by us, after each run.
            .flush_every_ms(None);
        let base = Self {
            db: Some(config.open()?),
            // Until it has proved sound.
            given_up: Arc::new(AtomicBool::new(true)),
            whole: Arc::default(),
            sieves: Arc::default(),
        };
        let db = base.db()?;
        match db.get(VERSION_KEY)? {
            Some(version) if version.as_ref() == VERSION => {}
            None if db.is_empty()? => {
                db.insert(VERSION_KEY, VERSION)?;
                db.flush()?;
            }
            _ => {
                base.given_up.store(false, Ordering::SeqCst);
                return Err(io::Error::other("the index is of another version"));
            }
        }
        for entry in db.scan_prefix([WHOLE]) {
            let (key, value) = entry?;
            let number = key.get(1..5).and_then(|n| n.try_into().ok());
            if let (Some(number), Some(read)) = (number, Whole::decode(&value)) {
                let number = u64::from(u32::from_be_bytes(number));
                base.known().insert(number, read);
            }
        }
        base.given_up.store(false, Ordering::SeqCst);
        Ok(base)
    }

    /// From now on no handle is dropped properly, this one and all others.
    pub(super) fn give_up(&self) {
        self.given_up.store(true, Ordering::SeqCst);
    }

    fn db(&self) -> io::Result<&sled::Db<FANOUT>> {
        // It is there: only dropping takes it.
        self.db.as_ref().ok_or(io::ErrorKind::NotConnected.into())
    }

    /// Whether both are handles to one database.
    pub(super) fn is_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.whole, &other.whole)
    }

    /// Whether the run of this very segment is there.
    pub(super) fn knows(&self, segment: &Segment) -> bool {
        self.whole_of(segment).is_some()
    }

    /// Writes the run of a segment, as a whole or not at all.
    pub(super) fn put(&self, segment: &Segment, run: &Run) -> io::Result<()> {
        let whole = Whole {
            salt: segment.summary.salt,
            end: segment.summary.end,
            buckets: run.buckets.len() as u32,
        };
        let number = segment.number;
        let stale = self.known().remove(&number);
        if let Some(stale) = stale {
            self.remove(number, &stale)?;
        }
        let mut batch = sled::Batch::default();
        for (n, bucket) in run.buckets.iter().enumerate() {
            batch.insert(bucket_key(number, n as u32), bucket.as_slice());
        }
        batch.insert(key(DOMAINS, number), run.domains.as_slice());
        batch.insert(key(COUNTS, number), run.counts.as_slice());
        batch.insert(key(WHOLE, number), whole.encode());
        let db = self.db()?;
        let written = db.apply_batch(batch).and_then(|()| db.flush());
        if let Err(error) = written {
            self.give_up();
            return Err(error);
        }
        self.known().insert(number, whole);
        self.sieves().put(number, whole, Sieve::of(run));
        Ok(())
    }

    /// Makes the sieve of a segment's run where it has none; says whether there
    /// may be room for more.
    pub(super) fn sift(&self, segment: &Segment) -> bool {
        let number = segment.number;
        let Some(whole) = self.whole_of(segment) else {
            return true;
        };
        if self.sieves().get(number, whole).is_some() {
            return true;
        }
        if self.sieves().full {
            return false;
        }
        let buckets: Option<Vec<_>> = (0..whole.buckets)
            .map(|bucket| self.read(&bucket_key(number, bucket)))
            .collect();
        let Some(buckets) = buckets else { return true };
        let sieve = Sieve::of_buckets(buckets.iter().map(AsRef::as_ref));
        self.sieves().put(number, whole, sieve)
    }

    /// Removes the runs of all segments but these.
    pub(super) fn retain(&self, numbers: &[u64]) {
        let mut known = self.known();
        let gone: Vec<_> = known
            .iter()
            .filter(|(number, _)| !numbers.contains(number))
            .map(|(number, whole)| (*number, *whole))
            .collect();
        for (number, whole) in gone {
            known.remove(&number);
            if let Err(error) = self.remove(number, &whole) {
                tracing::warn!(%error, "index: a run could not be removed");
            }
        }
    }

    fn remove(&self, number: u64, whole: &Whole) -> io::Result<()> {
        self.sieves().remove(number);
        let mut batch = sled::Batch::default();
        for n in 0..whole.buckets {
            batch.remove(bucket_key(number, n).as_slice());
        }
        batch.remove(key(DOMAINS, number).as_slice());
        batch.remove(key(COUNTS, number).as_slice());
        batch.remove(key(WHOLE, number).as_slice());
        self.db()?.apply_batch(batch)
    }

    /// Where the records with this key are in a segment; none when that is
    /// not known.
    pub(super) fn places(&self, segment: &Segment, key: KeyHash) -> Option<Vec<u64>> {
        let whole = self.whole_of(segment)?;
        let sieve = self.sieves().get(segment.number, whole);
        if sieve.is_some_and(|sieve| !sieve.may_hold(key)) {
            return Some(Vec::new());
        }
        let bucket = run::bucket_of(key, whole.buckets as usize) as u32;
        let bytes = self.read(&bucket_key(segment.number, bucket))?;
        Some(run::places_in(&bytes, key))
    }

    /// Whether records of this domain are in a segment; none when that is not
    /// known.
    pub(super) fn holds_domain(&self, segment: &Segment, domain: KeyHash) -> Option<bool> {
        self.whole_of(segment)?;
        let bytes = self.read(&key(DOMAINS, segment.number))?;
        Some(run::has_domain(&bytes, domain))
    }

    /// What happened in the hours of a domain in a segment; none when that is
    /// not known.
    pub(super) fn counts(
        &self,
        segment: &Segment,
        domain: KeyHash,
    ) -> Option<Vec<(u32, HourCounts)>> {
        self.whole_of(segment)?;
        let bytes = self.read(&key(COUNTS, segment.number))?;
        Some(counts::decode(&bytes, domain))
    }

    fn read(&self, key: &[u8]) -> Option<sled::InlineArray> {
        match self.db().and_then(|db| db.get(key)) {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::warn!(%error, "index: cannot be read");
                None
            }
        }
    }

    fn whole_of(&self, segment: &Segment) -> Option<Whole> {
        let whole = *self.known().get(&segment.number)?;
        let same = whole.salt == segment.summary.salt && whole.end == segment.summary.end;
        same.then_some(whole)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<u64, Whole>> {
        self.whole.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sieves(&self) -> MutexGuard<'_, Sieves> {
        self.sieves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        if self.given_up.load(Ordering::SeqCst) {
            std::mem::forget(self.db.take());
        }
    }
}

impl Sieves {
    /// The sieve of this very run.
    fn get(&self, number: u64, whole: Whole) -> Option<Arc<Sieve>> {
        let (of, sieve) = self.of.get(&number)?;
        (*of == whole).then(|| Arc::clone(sieve))
    }

    /// Takes a sieve as far as there is room; says whether there was.
    fn put(&mut self, number: u64, whole: Whole, sieve: Sieve) -> bool {
        self.remove(number);
        let room = self.bytes + sieve.bytes() <= SIEVES_MAX_BYTES;
        if room {
            self.bytes += sieve.bytes();
            self.of.insert(number, (whole, Arc::new(sieve)));
        }
        self.full = !room;
        room
    }

    fn remove(&mut self, number: u64) {
        if let Some((_, sieve)) = self.of.remove(&number) {
            self.bytes -= sieve.bytes();
            self.full = false;
        }
    }
}

impl Whole {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = self.salt.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.end.to_be_bytes());
        bytes.extend_from_slice(&self.buckets.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (salt, rest) = bytes.split_first_chunk()?;
        let (end, rest) = rest.split_first_chunk()?;
        let (buckets, _) = rest.split_first_chunk()?;
        Some(Self {
            salt: u32::from_be_bytes(*salt),
            end: u64::from_be_bytes(*end),
            buckets: u32::from_be_bytes(*buckets),
        })
    }
}

fn key(kind: u8, number: u64) -> [u8; 5] {
    // Segments are numbered from 1 on; 2^32 of them are 128 PiB.
    let [a, b, c, d] = (number as u32).to_be_bytes();
    [kind, a, b, c, d]
}

fn bucket_key(number: u64, bucket: u32) -> [u8; 9] {
    let mut whole = [0; 9];
    whole[..5].copy_from_slice(&key(BUCKET, number));
    whole[5..].copy_from_slice(&bucket.to_be_bytes());
    whole
}
