//! Of what there are turns, entries and statuses: a tracking domain or an event
//! sink, by name. Both may have the same name.

use std::fmt;
use std::hash::Hasher as _;

use mailtrail_core::id::Realm;
use siphasher::sip::SipHasher13;

/// A tracking domain or an event sink.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// A TrackingDomain.
    Domain(Realm),
    /// An EventSink.
    Sink(Realm),
}

/// Keys of the hash that gives a subject its shard: fixed for good, since one
/// that moved would be twice in the configuration, or nowhere, for a moment.
const PLACE_KEYS: (u64, u64) = (0x6d61_696c_7472_6169, 0x6c20_7368_6172_6473);

impl Subject {
    /// Its `namespace/name`.
    pub fn name(&self) -> &Realm {
        match self {
            Self::Domain(realm) | Self::Sink(realm) => realm,
        }
    }

    /// Its shard, of so many.
    pub fn place(&self, count: u16) -> u16 {
        let mut hasher = SipHasher13::new_with_keys(PLACE_KEYS.0, PLACE_KEYS.1);
        match self {
            Self::Domain(_) => {}
            // No name holds a zero byte: no sink has a domain's place but by
            // chance.
            Self::Sink(_) => hasher.write(b"EventSink\0"),
        }
        hasher.write(self.name().as_str().as_bytes());
        let place = hasher.finish() % u64::from(count.max(1));
        u16::try_from(place).expect("less than a count of 16 bits")
    }
}

impl From<Realm> for Subject {
    /// A realm is a tracking domain's name.
    fn from(realm: Realm) -> Self {
        Self::Domain(realm)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(realm) => write!(f, "TrackingDomain {realm}"),
            Self::Sink(realm) => write!(f, "EventSink {realm}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_keep_their_shards_for_good() {
        // Were these to change, everything would move at an upgrade.
        let realm = |text: &str| text.parse::<Realm>().expect("a realm");
        let domains =
            ["shop/links", "a/b", "z/z"].map(|name| Subject::Domain(realm(name)).place(256));
        assert_eq!(domains, [199, 68, 54]);
        let sinks = ["shop/links", "a/b", "z/z"].map(|name| Subject::Sink(realm(name)).place(256));
        assert_eq!(sinks, SINKS);
    }

    const SINKS: [u16; 3] = [253, 125, 126];
}
