//! The root keys that seal and open tokens, and what is derived from them.
//!
//! A keyring document is JSON: `{"version":1,"keys":[{"id":"7f3a01","state":
//! "Active","key":"<base64 of 32 bytes>"}]}`. It has exactly one `Active` key,
//! which seals; `Active`, `Staged` and `VerifyOnly` keys open; `Revoked` ones
//! do neither. A key never leaves by absence: [`Keyring::merge`] keeps it.
//!
//! Per realm and purpose, subkeys come by HKDF-SHA256 (RFC 5869) with the
//! realm and purpose as info.

use std::fmt;

use aws_lc_rs::hkdf;
use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Serialize};

use crate::id::Realm;

/// Bytes of a root key and of each subkey.
pub const KEY_BYTES: usize = 32;
/// Most keys in one keyring: a rotation every 30 days for 20 years.
pub const KEYS_MAX: usize = 256;
/// Largest keyring document read, in bytes: 256 keys of some 120 bytes, twice over.
pub const DOCUMENT_MAX_BYTES: usize = 64 * 1024;

/// The 3 bytes that name a key within an install; printed as 6 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub [u8; 3]);

/// What a key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyState {
    /// Known everywhere before it is used: opens only.
    Staged,
    /// Seals and opens.
    Active,
    /// Opens only: mail is read years later.
    VerifyOnly,
    /// Taken out of use by hand.
    Revoked,
}

/// A root key. `Debug` does not print its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct RootKey {
    /// Its name in tokens.
    pub id: KeyId,
    /// What it may be used for.
    pub state: KeyState,
    bytes: [u8; KEY_BYTES],
}

/// Root keys of which exactly one is active; ids and bytes differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyring {
    keys: Vec<RootKey>,
}

/// Why a document is no keyring. No variant holds key bytes.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// Not the JSON that a keyring is.
    #[error("the keyring is not valid JSON of version 1: line {line}, column {column}")]
    Json {
        /// Line of the fault, from 1 on.
        line: usize,
        /// Column of the fault, from 1 on.
        column: usize,
    },
    /// More than [`DOCUMENT_MAX_BYTES`] or [`KEYS_MAX`].
    #[error("the keyring is larger than {DOCUMENT_MAX_BYTES} bytes or {KEYS_MAX} keys")]
    TooLarge,
    /// A version other than 1.
    #[error("the keyring has version {0}; this program reads version 1")]
    Version(u32),
    /// The id is not 6 hex digits.
    #[error("keys[{0}].id must be 6 lower-case hexadecimal digits")]
    Id(usize),
    /// The bytes are not base64 of 32 bytes.
    #[error("keys[{0}].key must be base64 of exactly {KEY_BYTES} bytes")]
    Bytes(usize),
    /// Bytes that no random source gave: all equal.
    #[error("keys[{0}].key has bytes that are all equal: not a random key")]
    AllEqual(usize),
    /// The same id or bytes stand twice.
    #[error("keys[{0}] repeats the id or the bytes of an earlier key")]
    Repeated(usize),
    /// Not exactly one key is active.
    #[error("the keyring must have exactly one Active key, this one has {0}")]
    Active(usize),
}

/// The text is no name of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key id must be 6 lower-case hexadecimal digits")]
pub struct InvalidKeyId;

/// Only a staged key becomes active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("key {0} is not staged")]
pub struct NotStaged(pub KeyId);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    keys: Vec<DocumentKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DocumentKey {
    id: String,
    state: KeyState,
    key: String,
}

// === KeyId ===

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl std::str::FromStr for KeyId {
    type Err = InvalidKeyId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok();
        let bytes = bytes.and_then(|id| id.try_into().ok());
        bytes.map(Self).ok_or(InvalidKeyId)
    }
}

impl Serialize for KeyId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

// === RootKey ===

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootKey({}, {:?})", self.id, self.state)
    }
}

impl RootKey {
    /// The subkey for `purpose` within `realm`: HKDF-SHA256 over this key.
    pub fn subkey(&self, purpose: &str, realm: &Realm) -> [u8; KEY_BYTES] {
        self.expand(&[purpose.as_bytes(), b"\0", realm.as_str().as_bytes()])
    }

    /// The subkey for what concerns the install and no realm. No realm is
    /// empty, so it differs from all of theirs.
    pub fn install_subkey(&self, purpose: &str) -> [u8; KEY_BYTES] {
        self.expand(&[purpose.as_bytes(), b"\0"])
    }

    fn expand(&self, info: &[&[u8]]) -> [u8; KEY_BYTES] {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"mailtrail v1");
        let prk = salt.extract(&self.bytes);
        let mut subkey = [0; KEY_BYTES];
        prk.expand(info, SubkeyLength)
            .and_then(|okm| okm.fill(&mut subkey))
            .expect("32 bytes are fewer than the 255 hashes that HKDF can give");
        subkey
    }
}

struct SubkeyLength;

impl hkdf::KeyType for SubkeyLength {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}

// === Keyring ===

impl Keyring {
    /// A keyring of one active key, from bytes of the system's random source.
    pub fn generate(random: [u8; 3 + KEY_BYTES]) -> Result<Self, KeyringError> {
        let mut id = [0; 3];
        let mut bytes = [0; KEY_BYTES];
        id.copy_from_slice(&random[..3]);
        bytes.copy_from_slice(&random[3..]);
        Self::checked(vec![RootKey {
            id: KeyId(id),
            state: KeyState::Active,
            bytes,
        }])
    }

    /// Reads a keyring document.
    pub fn parse(document: &[u8]) -> Result<Self, KeyringError> {
        if document.len() > DOCUMENT_MAX_BYTES {
            return Err(KeyringError::TooLarge);
        }
        let document: Document =
            serde_json::from_slice(document).map_err(|e| KeyringError::Json {
                line: e.line(),
                column: e.column(),
            })?;
        if document.version != 1 {
            return Err(KeyringError::Version(document.version));
        }
        let keys = document
            .keys
            .iter()
            .enumerate()
            .map(|(at, key)| key.parse(at));
        Self::checked(keys.collect::<Result<_, _>>()?)
    }

    fn checked(keys: Vec<RootKey>) -> Result<Self, KeyringError> {
        if keys.len() > KEYS_MAX {
            return Err(KeyringError::TooLarge);
        }
        for (at, key) in keys.iter().enumerate() {
            if key.bytes.iter().all(|b| *b == key.bytes[0]) {
                return Err(KeyringError::AllEqual(at));
            }
            if keys[..at]
                .iter()
                .any(|other| other.id == key.id || other.bytes == key.bytes)
            {
                return Err(KeyringError::Repeated(at));
            }
        }
        match keys
            .iter()
            .filter(|key| key.state == KeyState::Active)
            .count()
        {
            1 => Ok(Self { keys }),
            active => Err(KeyringError::Active(active)),
        }
    }

    /// The document that [`Keyring::parse`] reads back. It holds secrets.
    pub fn to_document(&self) -> String {
        let keys = self.keys.iter().map(|key| DocumentKey {
            id: key.id.to_string(),
            state: key.state,
            key: BASE64.encode(&key.bytes),
        });
        let document = Document {
            version: 1,
            keys: keys.collect(),
        };
        serde_json::to_string_pretty(&document).expect("strings and numbers always serialize")
    }

    /// This keyring with what `newer` says: its states win, its new keys come
    /// in, and what it does not name stays, an active key as `VerifyOnly`.
    pub fn merge(&self, newer: &Self) -> Result<Self, KeyringError> {
        let mut keys = newer.keys.clone();
        for old in &self.keys {
            match keys.iter_mut().find(|key| key.id == old.id) {
                // A revocation is never taken back by an older document.
                Some(key) if old.state == KeyState::Revoked => key.state = KeyState::Revoked,
                Some(_) => {}
                None => {
                    let state = match old.state {
                        KeyState::Active => KeyState::VerifyOnly,
                        other => other,
                    };
                    keys.push(RootKey {
                        state,
                        ..old.clone()
                    });
                }
            }
        }
        Self::checked(keys)
    }

    /// This keyring with one more key, staged, from bytes of the system's random
    /// source: the first step of a rotation.
    pub fn stage(&self, random: [u8; 3 + KEY_BYTES]) -> Result<Self, KeyringError> {
        let mut keys = self.keys.clone();
        let staged = Self::generate(random)?.keys.into_iter();
        keys.extend(staged.map(|key| RootKey {
            state: KeyState::Staged,
            ..key
        }));
        Self::checked(keys)
    }

    /// This keyring with the staged key active, and the active one opening only:
    /// the second step, once every replica knows the staged key.
    pub fn activate(&self, id: KeyId) -> Result<Self, NotStaged> {
        if self.staged().map(|key| key.id) != Some(id) {
            return Err(NotStaged(id));
        }
        let keys = self.keys.iter().map(|key| RootKey {
            state: match key.state {
                KeyState::Active => KeyState::VerifyOnly,
                KeyState::Staged if key.id == id => KeyState::Active,
                other => other,
            },
            ..key.clone()
        });
        Ok(Self {
            keys: keys.collect(),
        })
    }

    /// The key that is to become active next.
    pub fn staged(&self) -> Option<&RootKey> {
        self.keys.iter().find(|key| key.state == KeyState::Staged)
    }

    /// The key that seals.
    pub fn active(&self) -> &RootKey {
        self.keys
            .iter()
            .find(|key| key.state == KeyState::Active)
            .expect("construction counted one active key")
    }

    /// The key of that name, whatever its state.
    pub fn find(&self, id: KeyId) -> Option<&RootKey> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// All keys' names and states, in the document's order.
    pub fn states(&self) -> impl Iterator<Item = (KeyId, KeyState)> + '_ {
        self.keys.iter().map(|key| (key.id, key.state))
    }
}

impl DocumentKey {
    fn parse(&self, at: usize) -> Result<RootKey, KeyringError> {
        let id = self.id.parse().map_err(|_| KeyringError::Id(at))?;
        let bytes = BASE64
            .decode(self.key.as_bytes())
            .ok()
            .and_then(|key| key.try_into().ok());
        Ok(RootKey {
            id,
            state: self.state,
            bytes: bytes.ok_or(KeyringError::Bytes(at))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: u8, state: KeyState) -> RootKey {
        let mut bytes = [id; KEY_BYTES];
        bytes[0] = id.wrapping_add(1);
        RootKey {
            id: KeyId([0, 0, id]),
            state,
            bytes,
        }
    }

    fn keyring(keys: &[(u8, KeyState)]) -> Keyring {
        Keyring::checked(keys.iter().map(|(id, state)| key(*id, *state)).collect()).expect("valid")
    }

    #[test]
    fn a_keyring_reads_back_what_it_printed() {
        let one = keyring(&[
            (1, KeyState::VerifyOnly),
            (2, KeyState::Active),
            (3, KeyState::Staged),
        ]);
        assert_eq!(
            Keyring::parse(one.to_document().as_bytes()).expect("valid"),
            one
        );
    }

    #[test]
    fn weak_or_repeated_keys_are_refused_without_being_shown() {
        let good = BASE64.encode(&key(7, KeyState::Active).bytes);
        let document = |id: &str, key: &str, second: &str| {
            format!(
                r#"{{"version":1,"keys":[{{"id":"{id}","state":"Active","key":"{key}"}}{second}]}}"#
            )
        };
        let zeros = BASE64.encode(&[0; KEY_BYTES]);
        let short = BASE64.encode(&[1, 2, 3]);
        let twin = format!(r#",{{"id":"000008","state":"Staged","key":"{good}"}}"#);
        for (text, says) in [
            (
                document("000007", &zeros, ""),
                "keys[0].key has bytes that are all equal",
            ),
            (document("000007", &short, ""), "keys[0].key must be base64"),
            (document("000007", "", ""), "keys[0].key must be base64"),
            (document("xyz", &good, ""), "keys[0].id must be 6"),
            (document("000007", &good, &twin), "keys[1] repeats"),
            (
                r#"{"version":1,"keys":[]}"#.to_owned(),
                "exactly one Active key",
            ),
            (r#"{"version":2,"keys":[]}"#.to_owned(), "version 2"),
            ("{".to_owned(), "not valid JSON"),
            (
                r#"{"version":1,"keys":[],"more":1}"#.to_owned(),
                "not valid JSON",
            ),
        ] {
            let error = Keyring::parse(text.as_bytes()).expect_err(says).to_string();
            assert!(error.contains(says), "{error}");
            assert!(!error.contains(&good));
        }
    }

    #[test]
    fn a_key_never_leaves_by_absence() {
        let old = keyring(&[(1, KeyState::Active)]);
        let merged = old
            .merge(&keyring(&[(2, KeyState::Active)]))
            .expect("valid");
        assert_eq!(
            merged.find(KeyId([0, 0, 1])).map(|k| k.state),
            Some(KeyState::VerifyOnly)
        );
        assert_eq!(merged.active().id, KeyId([0, 0, 2]));
    }

    #[test]
    fn a_revoked_key_stays_revoked() {
        let old = keyring(&[(1, KeyState::Revoked), (2, KeyState::Active)]);
        let newer = keyring(&[(1, KeyState::VerifyOnly), (2, KeyState::Active)]);
        let merged = old.merge(&newer).expect("valid");
        assert_eq!(
            merged.find(KeyId([0, 0, 1])).map(|k| k.state),
            Some(KeyState::Revoked)
        );
    }

    #[test]
    fn a_rotation_stages_then_activates_and_the_old_key_opens_for_ever() {
        let mut random = [9; 3 + KEY_BYTES];
        random[4] = 1;
        let old = keyring(&[(1, KeyState::Active)]);
        let staged = old.stage(random).expect("staged");
        let next = staged.staged().expect("staged").id;
        assert_eq!(staged.active().id, old.active().id);
        assert_eq!(old.activate(next), Err(NotStaged(next)));
        let rotated = staged.activate(next).expect("activated");
        assert_eq!(rotated.active().id, next);
        let state = |id| rotated.find(id).map(|key| key.state);
        assert_eq!(state(old.active().id), Some(KeyState::VerifyOnly));
        assert!(rotated.staged().is_none());
    }

    #[test]
    fn subkeys_differ_by_realm_and_purpose() {
        let key = key(1, KeyState::Active);
        let (a, b) = ("a/x".parse().expect("realm"), "a/y".parse().expect("realm"));
        assert_ne!(key.subkey("click", &a), key.subkey("click", &b));
        assert_ne!(key.subkey("click", &a), key.subkey("open", &a));
        assert_eq!(key.subkey("click", &a), key.subkey("click", &a));
        assert_ne!(key.install_subkey("click"), key.subkey("click", &a));
        assert_ne!(key.install_subkey("click"), key.install_subkey("open"));
    }
}
