//! What the index keeps of one segment. Pure.

use std::collections::{BTreeSet, HashMap};

use super::{KeyHash, KeyHasher};
use crate::store::counts::{DomainHours, HourCounts};
use crate::store::record::{self, EventFacts, MessageKey};

/// Bytes of an entry: hash and place.
pub(super) const ENTRY_BYTES: usize = 12;
/// Entries that a bucket holds about: 12 KiB, read at once.
const BUCKET_ENTRIES: usize = 1024;

/// The entries of a segment, sorted and cut into buckets.
pub(super) struct Run {
    /// `buckets[n]` holds the hashes whose first bits are `n`.
    pub(super) buckets: Vec<Vec<u8>>,
    /// The hashes of its domains, sorted.
    pub(super) domains: Vec<u8>,
    /// What happened in each hour of each domain.
    pub(super) counts: Vec<u8>,
}

/// Gathers the entries of a segment.
#[derive(Default)]
pub(super) struct Builder {
    places: HashMap<KeyHash, Vec<u32>>,
    domains: BTreeSet<KeyHash>,
    counts: DomainHours,
}

impl Builder {
    /// Takes a record at a place; places rise.
    pub(super) fn take(&mut self, at: u64, kind: u16, payload: &[u8], hasher: &KeyHasher) {
        // A segment is as long as its bound and one batch, far below 4 GiB.
        let Ok(at) = u32::try_from(at) else { return };
        match kind {
            record::EVENT => {
                if let Ok(facts) = record::event_facts(payload) {
                    self.take_event(at, &facts, hasher);
                }
            }
            record::MESSAGE => {
                if let Ok(key) = record::peek_message(payload) {
                    self.take_message(at, &key, hasher);
                }
            }
            record::COUNTED => {
                if let Ok(counted) = record::decode_counted(payload) {
                    let domain = hasher.domain(counted.domain);
                    self.counts.count_counted(domain, &counted);
                }
            }
            record::LAST => {
                if let Ok(last) = record::decode_last(payload) {
                    let key = last.key;
                    self.add(hasher.lasts(), at);
                    self.add(hasher.message_events(key.domain, key.message_id), at);
                    if let Some(recipient) = key.recipient {
                        self.add(hasher.recipient_events(key.domain, recipient), at);
                    }
                }
            }
            record::SENT => {
                if let Ok(sent) = record::decode_sent(payload) {
                    self.add(KeyHash(sent.mail), at);
                    self.counts.count_sent(hasher.domain(sent.domain), &sent);
                }
            }
            _ => {}
        }
    }

    fn take_event(&mut self, at: u32, facts: &EventFacts<'_>, hasher: &KeyHasher) {
        let key = facts.key;
        self.add(hasher.message_events(key.domain, key.message_id), at);
        if let Some(recipient) = key.recipient {
            self.add(hasher.recipient_events(key.domain, recipient), at);
        }
        for tag in &facts.tags {
            self.add(hasher.events_of_tag(key.domain, *tag), at);
        }
        if facts.first {
            self.add(hasher.first_event(&key, facts.position), at);
        }
        let domain = hasher.domain(key.domain);
        self.domains.insert(domain);
        self.counts.count_event(domain, facts);
    }

    fn take_message(&mut self, at: u32, key: &MessageKey, hasher: &KeyHasher) {
        let (domain, message) = (key.domain.as_str(), key.message_id.as_str());
        let recipient = key.recipient.as_ref();
        self.add(
            hasher.message_records(&key.domain, &key.message_id, recipient),
            at,
        );
        self.add(hasher.records_of_message(domain, message), at);
        self.add(hasher.records_of_domain(domain), at);
        if let Some(recipient) = recipient {
            self.add(hasher.recipient_messages(domain, recipient.as_str()), at);
        }
        for (name, value) in &key.tags {
            self.add(hasher.records_of_tag(domain, (name, value)), at);
        }
        self.counts.count_message(hasher.domain(domain), key);
    }

    /// Where the records with this key are.
    pub(super) fn places(&self, key: KeyHash) -> Vec<u64> {
        let places = self.places.get(&key).map_or(&[][..], Vec::as_slice);
        places.iter().map(|at| u64::from(*at)).collect()
    }

    /// What happened in the hours of a domain.
    pub(super) fn counts(&self, domain: KeyHash) -> Vec<(u32, HourCounts)> {
        self.counts.of(domain)
    }

    /// Sorts and cuts.
    pub(super) fn finish(self) -> Run {
        let keyed = self.places.into_iter();
        let mut entries: Vec<_> = keyed
            .flat_map(|(key, places)| places.into_iter().map(move |at| (key, at)))
            .collect();
        entries.sort_unstable();
        let count = (entries.len() / BUCKET_ENTRIES).next_power_of_two();
        let mut buckets = vec![Vec::new(); count];
        for (key, at) in entries {
            let bucket = &mut buckets[bucket_of(key, count)];
            bucket.extend_from_slice(&key.0.to_be_bytes());
            bucket.extend_from_slice(&at.to_be_bytes());
        }
        let domains = self.domains.iter().flat_map(|key| key.0.to_be_bytes());
        Run {
            buckets,
            domains: domains.collect(),
            counts: self.counts.encode(),
        }
    }

    fn add(&mut self, key: KeyHash, at: u32) {
        self.places.entry(key).or_default().push(at);
    }
}

/// The bucket of a hash among so many, a power of two.
pub(super) fn bucket_of(key: KeyHash, count: usize) -> usize {
    // As far as the first bits go; `count` is far below 2^32.
    (((key.0 >> 32) * count as u64) >> 32) as usize
}

/// The places of a hash in its bucket, rising.
pub(super) fn places_in(bucket: &[u8], key: KeyHash) -> Vec<u64> {
    let wanted = key.0.to_be_bytes();
    let (entries, _) = bucket.as_chunks::<ENTRY_BYTES>();
    let first = entries.partition_point(|entry| entry[..8] < wanted[..]);
    entries[first..]
        .iter()
        .take_while(|entry| entry[..8] == wanted[..])
        .map(|entry| {
            let [.., a, b, c, d] = *entry;
            u64::from(u32::from_be_bytes([a, b, c, d]))
        })
        .collect()
}

/// Whether a hash is among the domains.
pub(super) fn has_domain(domains: &[u8], key: KeyHash) -> bool {
    let (domains, _) = domains.as_chunks::<8>();
    domains.binary_search(&key.0.to_be_bytes()).is_ok()
}
