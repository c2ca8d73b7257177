//! The secrets of a sink on their way through the cluster: the operator seals
//! them, replicas open them, and what stands between reads nothing.
//!
//! | bytes | what |
//! |--:|---|
//! | 1 | version, now 1 |
//! | 3 | key id |
//! | 12 | nonce: HMAC-SHA256 over what stands before, the associated data and the plaintext, cut |
//! | n | ciphertext: of each secret its length (1) and its bytes |
//! | 16 | tag |
//!
//! The cipher is AES-256-GCM-SIV (RFC 8452) under a subkey of the sink's own;
//! version, key id, the sink's name and its UID are the associated data, so that
//! what is sealed for one sink opens for no other, nor for one that was made anew
//! under its name. The same secrets under the same key give the same bytes: a
//! turn of the operator that changes nothing writes nothing. As text it is base64.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use super::secret::{SECRET_MAX_BYTES, Secret};
use crate::id::Realm;
use crate::keyring::{KeyId, KeyState, Keyring, RootKey};

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 4;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
/// Most secrets of a sink: one, and its successors while rotating.
pub const SECRETS_MAX: usize = 4;
/// Most bytes that are sealed.
pub const SEALED_MAX_BYTES: usize =
    HEADER_BYTES + NONCE_BYTES + SECRETS_MAX * (1 + SECRET_MAX_BYTES) + TAG_BYTES;

/// Secrets that nobody reads without the keyring.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

/// There are more secrets than a sink may have, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sink has 1 to {SECRETS_MAX} secrets")]
pub struct SealError;

/// Why secrets are not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Not what is sealed for sinks.
    #[error("the sealed secrets are none of version {VERSION}")]
    Malformed,
    /// Sealed under a key that the keyring does not have (yet).
    #[error("the secrets are sealed under the key {0}, which is not known here yet")]
    UnknownKey(KeyId),
    /// Sealed under a key that was revoked.
    #[error("the secrets are sealed under the key {0}, which was revoked")]
    Revoked(KeyId),
    /// Changed, forged, or of another sink.
    #[error("the sealed secrets are not this sink's")]
    Forged,
}

/// The subkeys of one sink.
struct Subkeys {
    aead: LessSafeKey,
    nonce: hmac::Key,
}

impl Sealed {
    /// Seals under the active key.
    pub fn seal(
        keyring: &Keyring,
        sink: &Realm,
        uid: &str,
        secrets: &[Secret],
    ) -> Result<Self, SealError> {
        if !(1..=SECRETS_MAX).contains(&secrets.len()) {
            return Err(SealError);
        }
        let mut plain = Vec::with_capacity(SEALED_MAX_BYTES);
        for bytes in secrets.iter().map(Secret::as_bytes) {
            let length = u8::try_from(bytes.len()).expect("a secret has 64 bytes at most");
            plain.push(length);
            plain.extend_from_slice(bytes);
        }
        let root = keyring.active();
        let [a, b, c] = root.id.0;
        let header = [VERSION, a, b, c];
        let associated = associated(header, sink, uid);
        let subkeys = Subkeys::of(root, sink);
        let nonce = subkeys.nonce(&associated, &plain);
        let tag = subkeys
            .aead
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(&associated),
                &mut plain,
            )
            .expect("four secrets are far below the cipher's limit of 2^36 bytes");
        Ok(Self([&header[..], &nonce, &plain, tag.as_ref()].concat()))
    }

    /// Opens what was sealed for this very sink.
    pub fn open(
        &self,
        keyring: &Keyring,
        sink: &Realm,
        uid: &str,
    ) -> Result<Vec<Secret>, OpenError> {
        let (header, rest) = self
            .0
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(OpenError::Malformed)?;
        let (nonce, cipher) = rest
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(OpenError::Malformed)?;
        let [VERSION, a, b, c] = *header else {
            return Err(OpenError::Malformed);
        };
        let id = KeyId([a, b, c]);
        let root = keyring.find(id).ok_or(OpenError::UnknownKey(id))?;
        if root.state == KeyState::Revoked {
            return Err(OpenError::Revoked(id));
        }
        let mut bytes = cipher.to_vec();
        let plain = Subkeys::of(root, sink)
            .aead
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(associated(*header, sink, uid)),
                &mut bytes,
            )
            .map_err(|_| OpenError::Forged)?;
        secrets(plain).ok_or(OpenError::Malformed)
    }
}

/// The secrets of a plaintext.
fn secrets(mut plain: &[u8]) -> Option<Vec<Secret>> {
    let mut secrets = Vec::new();
    while let Some((length, rest)) = plain.split_first() {
        let (bytes, rest) = rest.split_at_checked(usize::from(*length))?;
        secrets.push(Secret::of(bytes.to_vec()).ok()?);
        plain = rest;
    }
    (1..=SECRETS_MAX)
        .contains(&secrets.len())
        .then_some(secrets)
}

fn associated(header: [u8; HEADER_BYTES], sink: &Realm, uid: &str) -> Vec<u8> {
    [&header[..], sink.as_str().as_bytes(), b"\0", uid.as_bytes()].concat()
}

impl Subkeys {
    fn of(root: &RootKey, sink: &Realm) -> Self {
        let aead = root.subkey("sink secrets", sink);
        let aead = UnboundKey::new(&AES_256_GCM_SIV, &aead);
        let aead = aead.expect("a subkey has the 32 bytes that the cipher takes");
        let nonce = root.subkey("sink secrets nonce", sink);
        Self {
            aead: LessSafeKey::new(aead),
            nonce: hmac::Key::new(hmac::HMAC_SHA256, &nonce),
        }
    }

    fn nonce(&self, associated: &[u8], plain: &[u8]) -> [u8; NONCE_BYTES] {
        let mut hash = hmac::Context::with_key(&self.nonce);
        // How long the first is stands in no doubt: a name and a UID hold no
        // zero byte, and there is one between them.
        hash.update(associated);
        hash.update(b"\0");
        hash.update(plain);
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&hash.sign().as_ref()[..NONCE_BYTES]);
        nonce
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed(…)")
    }
}

impl Serialize for Sealed {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        let bytes = BASE64.decode(text.as_bytes()).ok();
        let bytes = bytes.filter(|bytes| bytes.len() <= SEALED_MAX_BYTES);
        bytes.map(Self).ok_or_else(|| {
            serde::de::Error::custom(format_args!(
                "sealed secrets must be base64 of {SEALED_MAX_BYTES} bytes at most"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyring::KEY_BYTES;

    const UID: &str = "7c0e9a4e-0000-4000-8000-000000000001";

    fn keyring(seed: u8) -> Keyring {
        Keyring::generate(random(seed)).expect("a keyring")
    }

    fn random(seed: u8) -> [u8; 3 + KEY_BYTES] {
        let mut random = [seed; 3 + KEY_BYTES];
        random[3] = seed.wrapping_add(1);
        random
    }

    fn sink(name: &str) -> Realm {
        name.parse().expect("a realm")
    }

    fn secret(byte: u8, count: usize) -> Secret {
        Secret::of(vec![byte; count]).expect("a secret")
    }

    #[test]
    fn what_is_sealed_opens_for_the_same_sink_and_object_alone() {
        let (keys, of) = (keyring(1), sink("shop/orders"));
        let secrets = [secret(7, 24), secret(8, 64)];
        let sealed = Sealed::seal(&keys, &of, UID, &secrets).expect("sealed");
        assert_eq!(sealed.open(&keys, &of, UID).as_deref(), Ok(&secrets[..]));
        let other = sink("toys/orders");
        assert_eq!(sealed.open(&keys, &other, UID), Err(OpenError::Forged));
        assert_eq!(sealed.open(&keys, &of, "other"), Err(OpenError::Forged));
        let unknown = keyring(2);
        let expected = Err(OpenError::UnknownKey(keys.active().id));
        assert_eq!(sealed.open(&unknown, &of, UID), expected);
    }

    #[test]
    fn a_changed_byte_opens_nothing() {
        let (keys, of) = (keyring(1), sink("shop/orders"));
        let sealed = Sealed::seal(&keys, &of, UID, &[secret(7, 24)]).expect("sealed");
        for at in 0..sealed.0.len() {
            let mut changed = sealed.clone();
            changed.0[at] ^= 1;
            assert!(changed.open(&keys, &of, UID).is_err(), "byte {at}");
            let cut = Sealed(sealed.0[..at].to_vec());
            assert!(cut.open(&keys, &of, UID).is_err(), "{at} bytes");
        }
    }

    #[test]
    fn the_same_gives_the_same_bytes_and_anything_else_does_not() {
        let (keys, of) = (keyring(1), sink("shop/orders"));
        let seal = |keys: &Keyring, of: &Realm, uid: &str, byte| {
            Sealed::seal(keys, of, uid, &[secret(byte, 24)]).expect("sealed")
        };
        let first = seal(&keys, &of, UID, 7);
        assert_eq!(first, seal(&keys, &of, UID, 7));
        assert_ne!(first, seal(&keys, &of, UID, 8));
        assert_ne!(first, seal(&keys, &of, "other", 7));
        assert_ne!(first, seal(&keys, &sink("toys/orders"), UID, 7));
        assert_ne!(first, seal(&keyring(2), &of, UID, 7));
        let text = serde_json::to_string(&first).expect("json");
        assert_eq!(serde_json::from_str::<Sealed>(&text).expect("read"), first);
    }

    #[test]
    fn a_former_key_opens_until_it_is_revoked() {
        let (keys, of) = (keyring(1), sink("shop/orders"));
        let sealed = Sealed::seal(&keys, &of, UID, &[secret(7, 24)]).expect("sealed");
        let staged = keys.stage(random(9)).expect("staged");
        let id = staged.staged().expect("there").id;
        let rotated = staged.activate(id).expect("activated");
        assert!(sealed.open(&rotated, &of, UID).is_ok());
        let document = rotated.to_document().replace("VerifyOnly", "Revoked");
        let revoked = Keyring::parse(document.as_bytes()).expect("a keyring");
        let expected = Err(OpenError::Revoked(keys.active().id));
        assert_eq!(sealed.open(&revoked, &of, UID), expected);
    }

    #[test]
    fn nothing_is_sealed_of_none_or_too_many() {
        let (keys, of) = (keyring(1), sink("shop/orders"));
        let many: Vec<_> = (0..5).map(|byte| secret(byte, 64)).collect();
        assert_eq!(Sealed::seal(&keys, &of, UID, &[]), Err(SealError));
        assert_eq!(Sealed::seal(&keys, &of, UID, &many), Err(SealError));
        let most = Sealed::seal(&keys, &of, UID, &many[..4]).expect("sealed");
        assert_eq!(most.0.len(), SEALED_MAX_BYTES);
    }
}
