//! The keys of records, as hashes.

use std::hash::Hasher;

use aws_lc_rs::hmac;
use mailtrail_core::event::EventKind;
use mailtrail_core::id::{MessageId, Realm, Recipient};
use siphasher::sip::SipHasher13;

use crate::store::record::EventKey;

/// A key's hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::store) struct KeyHash(pub(in crate::store) u64);

/// Makes hashes of keys; they differ from folder to folder.
#[derive(Clone, Copy)]
pub(in crate::store) struct KeyHasher(u64, u64);

impl KeyHasher {
    /// Made from the folder's key.
    pub(in crate::store) fn new(key: &hmac::Key) -> Self {
        let tag = hmac::sign(key, b"index");
        let word = |at: usize| {
            let bytes = tag.as_ref()[at..at + 8].try_into();
            // HMAC-SHA256 gives 32 bytes.
            bytes.map_or(0, u64::from_le_bytes)
        };
        Self(word(0), word(8))
    }

    /// Events of a message.
    pub(in crate::store) fn message_events(&self, domain: &str, message: &str) -> KeyHash {
        self.hash(b'm', [domain, message, ""])
    }

    /// Events of a recipient.
    pub(in crate::store) fn recipient_events(&self, domain: &str, recipient: &str) -> KeyHash {
        self.hash(b'r', [domain, recipient, ""])
    }

    /// Message records of a recipient.
    pub(in crate::store) fn recipient_messages(&self, domain: &str, recipient: &str) -> KeyHash {
        self.hash(b'R', [domain, recipient, ""])
    }

    /// Message records.
    pub(in crate::store) fn message_records(
        &self,
        domain: &Realm,
        message: &MessageId,
        recipient: Option<&Recipient>,
    ) -> KeyHash {
        let recipient = recipient.map_or("", Recipient::as_str);
        self.hash(b'M', [domain.as_str(), message.as_str(), recipient])
    }

    /// Message records of a message, whoever reads it.
    pub(in crate::store) fn records_of_message(&self, domain: &str, message: &str) -> KeyHash {
        self.hash(b'N', [domain, message, ""])
    }

    /// Message records with a tag.
    pub(in crate::store) fn records_of_tag(&self, domain: &str, tag: (&str, &str)) -> KeyHash {
        self.hash(b'T', [domain, tag.0, tag.1])
    }

    /// Events with a tag of their own.
    pub(in crate::store) fn events_of_tag(&self, domain: &str, tag: (&str, &str)) -> KeyHash {
        self.hash(b't', [domain, tag.0, tag.1])
    }

    /// Message records of a domain.
    pub(in crate::store) fn records_of_domain(&self, domain: &str) -> KeyHash {
        self.hash(b'D', [domain, "", ""])
    }

    /// The first event by a person of this message, reader, kind and position.
    pub(in crate::store) fn first_event(&self, key: &EventKey<'_>, position: u32) -> KeyHash {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        hasher.write_u8(match key.kind {
            EventKind::Opened => b'o',
            EventKind::Clicked => b'c',
        });
        hasher.write_u32(position);
        let recipient = key.recipient.unwrap_or_default();
        Self::finish(hasher, [key.domain, key.message_id, recipient])
    }

    /// Last days of this message, reader and kind.
    pub(in crate::store) fn last(&self, key: &EventKey<'_>) -> KeyHash {
        let kind = match key.kind {
            EventKind::Opened => b'l',
            EventKind::Clicked => b'L',
        };
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        hasher.write_u8(kind);
        // Nobody is another than a reader without a name.
        hasher.write_u8(u8::from(key.recipient.is_some()));
        let recipient = key.recipient.unwrap_or_default();
        Self::finish(hasher, [key.domain, key.message_id, recipient])
    }

    /// Last days of whatever.
    pub(in crate::store) fn lasts(&self) -> KeyHash {
        self.hash(b'a', ["", "", ""])
    }

    /// A mail to one reader.
    pub(in crate::store) fn mail(&self, domain: &str, message: &str, recipient: &str) -> KeyHash {
        self.hash(b'w', [domain, message, recipient])
    }

    /// Where a link leads.
    pub(in crate::store) fn target(&self, target: &str) -> KeyHash {
        self.hash(b'u', [target, "", ""])
    }

    /// A domain.
    pub(in crate::store) fn domain(&self, domain: &str) -> KeyHash {
        self.hash(b'd', [domain, "", ""])
    }

    /// None of the parts holds a control character.
    fn hash(&self, kind: u8, parts: [&str; 3]) -> KeyHash {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        hasher.write_u8(kind);
        Self::finish(hasher, parts)
    }

    fn finish(mut hasher: SipHasher13, parts: [&str; 3]) -> KeyHash {
        for part in parts {
            hasher.write(part.as_bytes());
            hasher.write_u8(0);
        }
        KeyHash(hasher.finish())
    }
}
