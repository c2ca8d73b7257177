//! Which shard a realm's entry is in, and which one an object is.

use std::hash::Hasher as _;

use mailtrail_core::id::Realm;
use mailtrail_crds::shard::shard_name;
use siphasher::sip::SipHasher13;

/// Keys of the hash that gives a realm its shard: fixed for good, since a realm
/// that moved would be twice in the configuration, or nowhere, for a moment.
const PLACE_KEYS: (u64, u64) = (0x6d61_696c_7472_6169, 0x6c20_7368_6172_6473);

/// The shard of a realm, of so many.
pub(super) fn place(realm: &Realm, count: u16) -> u16 {
    let mut hasher = SipHasher13::new_with_keys(PLACE_KEYS.0, PLACE_KEYS.1);
    hasher.write(realm.as_str().as_bytes());
    let place = hasher.finish() % u64::from(count.max(1));
    u16::try_from(place).expect("less than a count of 16 bits")
}

/// The number that an object's name stands for.
pub(super) fn index_of(name: &str, count: u16) -> Option<u16> {
    let index = name.rsplit('-').next()?.parse().ok()?;
    (index < count && shard_name(index) == name).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn realms_keep_their_shards_for_good() {
        // Were these to change, every domain would move at an upgrade.
        let places =
            ["shop/links", "a/b", "z/z"].map(|realm| place(&realm.parse().expect("realm"), 256));
        assert_eq!(places, PLACES);
        assert_eq!(index_of("config-0007", 256), Some(7));
        assert_eq!(index_of("config-0256", 256), None);
        assert_eq!(index_of("config-7", 256), None);
    }

    const PLACES: [u16; 3] = [199, 68, 54];
}
