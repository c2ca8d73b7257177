//! Says of most keys that a run does not have them, without reading it. Pure.
//!
//! A Bloom filter (Bloom 1970) of ten bits and five probes for each key, which
//! lets about one in a hundred others through. The probes are made of the two
//! halves of the key's hash (Kirsch and Mitzenmacher 2006).

use super::KeyHash;
use super::run::{ENTRY_BYTES, Run};

/// Bits for each key.
const BITS_PER_KEY: usize = 10;
/// Bits that are asked for each key.
const PROBES: u64 = 5;

/// The keys of a run, about.
pub(super) struct Sieve(Box<[u64]>);

impl Sieve {
    /// The keys of a run that is at hand.
    pub(super) fn of(run: &Run) -> Self {
        Self::of_buckets(run.buckets.iter().map(Vec::as_slice))
    }

    /// The keys in these buckets.
    pub(super) fn of_buckets<'a>(buckets: impl Iterator<Item = &'a [u8]> + Clone) -> Self {
        let keys = buckets.flat_map(|bucket| {
            let (entries, _) = bucket.as_chunks::<ENTRY_BYTES>();
            entries.iter().map(|entry| {
                let [a, b, c, d, e, f, g, h, ..] = *entry;
                u64::from_be_bytes([a, b, c, d, e, f, g, h])
            })
        });
        // Entries of one key stand together.
        let mut distinct = 0;
        let mut last = None;
        for key in keys.clone() {
            distinct += usize::from(last.replace(key) != Some(key));
        }
        let words = (distinct * BITS_PER_KEY).div_ceil(64).max(1);
        let mut sieve = Self(vec![0; words].into_boxed_slice());
        for key in keys {
            for (word, bit) in sieve.probes(key) {
                sieve.0[word] |= bit;
            }
        }
        sieve
    }

    /// Whether a key may be in the run; one that is certainly may.
    pub(super) fn may_hold(&self, key: KeyHash) -> bool {
        self.probes(key.0)
            .all(|(word, bit)| self.0[word] & bit != 0)
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        self.0.len() * size_of::<u64>()
    }

    fn probes(&self, key: u64) -> impl Iterator<Item = (usize, u64)> + use<> {
        let bits = self.0.len() as u64 * 64;
        let (first, step) = (key & 0xffff_ffff, (key >> 32) | 1);
        (0..PROBES).map(move |n| {
            let bit = first
                .wrapping_add(n.wrapping_mul(step))
                .wrapping_mul(0x9e37_79b9_7f4a_7c15);
            // As far as the first bits go, without a division.
            let at = ((u128::from(bit) * u128::from(bits)) >> 64) as u64;
            ((at / 64) as usize, 1 << (at % 64))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed(n: u64) -> u64 {
        // SplitMix64: as good as the keyed hash that keys are.
        let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn sieve(keys: impl Iterator<Item = u64>) -> Sieve {
        let mut bucket = Vec::new();
        for key in keys {
            bucket.extend_from_slice(&key.to_be_bytes());
            bucket.extend_from_slice(&[0; 4]);
        }
        Sieve::of_buckets(std::iter::once(bucket.as_slice()))
    }

    #[test]
    fn a_key_that_is_there_is_never_denied_and_few_others_are_not() {
        let sieve = sieve((0..20_000).map(mixed));
        assert!((0..20_000).all(|n| sieve.may_hold(KeyHash(mixed(n)))));
        let through = (20_000..120_000).filter(|n| sieve.may_hold(KeyHash(mixed(*n))));
        let through = through.count();
        assert!((200..3000).contains(&through), "{through} of 100,000");
        assert!(sieve.bytes() <= 26_000, "{}", sieve.bytes());
    }

    #[test]
    fn an_empty_run_has_no_key() {
        assert!(!sieve(std::iter::empty()).may_hold(KeyHash(mixed(1))));
    }
}
