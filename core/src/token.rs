//! The opaque, authenticated part of a tracking URL, and what it says.
//!
//! # Bytes
//!
//! | bytes | what |
//! |--:|---|
//! | 1 | version (high 4 bits, now 1) and kind (low 4 bits) |
//! | 3 | key id |
//! | 12 | nonce: HMAC-SHA256 over header, realm and plaintext, cut |
//! | n | ciphertext |
//! | 16 | tag |
//!
//! The cipher is AES-256-GCM-SIV (RFC 8452) under a subkey per realm and kind;
//! header and realm are the associated data. The same claim under the same key
//! gives the same token. As text it is lower-case base32 of the extended hex
//! alphabet, without padding (RFC 4648, 7): 0-9 and a-v.
//!
//! # Plaintext
//!
//! flags (1), hour of sending (3, hours since 1970 UTC), message id (a UUID as
//! 16 bytes, else length and bytes), recipient (length and bytes, when the
//! flag says so), and for links: position (LEB128) and target (a byte for a
//! common prefix, then the rest).

mod claim;
mod seal;
mod text;

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use quick_cache::Equivalent;
use quick_cache::sync::Cache;

use crate::id::Realm;
use crate::keyring::{KEY_BYTES, KeyId, KeyState, Keyring, RootKey};
use seal::Frame;

pub use claim::{Claim, Hour, Link, Mail, Purpose};
pub use seal::LinkSealer;
pub use text::{TOKEN_TEXT_MAX_BYTES, normalise};

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 4;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
/// Fewest bytes of a token: its frame around an empty plaintext.
const OVERHEAD_BYTES: usize = HEADER_BYTES + NONCE_BYTES + TAG_BYTES;

/// Most subkeys kept at once; one takes about a kilobyte. A miss costs two
/// HKDF expansions, some microseconds.
pub const SUBKEYS_MAX: usize = 2048;

/// What a tracking URL is for; its path begins with [`Kind::letter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `/o/`, the pixel.
    Open,
    /// `/c/`, a link.
    Click,
    /// `/a/`, a link that an app may take over.
    App,
    /// `/w/`, the reader's own withdrawal.
    Withdraw,
}

/// Why a token is not opened. Nothing of the token is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Not the text or the frame of a token of this kind.
    #[error("is not a token of this kind and version")]
    Malformed,
    /// Sealed under a key that the keyring does not have (yet).
    #[error("names a key that is not known here")]
    UnknownKey(KeyId),
    /// Sealed under a key that was revoked.
    #[error("names a key that was revoked")]
    Revoked(KeyId),
    /// Changed, forged, or of another realm.
    #[error("does not authenticate")]
    Forged,
}

/// Seals and opens tokens under one keyring. Cheap to share, safe to use from
/// every thread.
pub struct Keys {
    keyring: Keyring,
    subkeys: Cache<SubkeyName, Arc<Subkey>>,
}

struct Subkey {
    aead: LessSafeKey,
    nonce: hmac::Key,
}

#[derive(PartialEq, Eq)]
struct SubkeyName {
    key: KeyId,
    kind: Kind,
    realm: Realm,
}

/// The same name, with the realm borrowed.
struct SubkeyNameRef<'a> {
    key: KeyId,
    kind: Kind,
    realm: &'a Realm,
}

// === Kind ===

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Open, Self::Click, Self::App, Self::Withdraw];

    /// The one letter of the URL's path.
    pub fn letter(self) -> char {
        match self {
            Self::Open => 'o',
            Self::Click => 'c',
            Self::App => 'a',
            Self::Withdraw => 'w',
        }
    }

    fn header(self) -> u8 {
        let kind = match self {
            Self::Open => 0,
            Self::Click => 1,
            Self::App => 2,
            Self::Withdraw => 3,
        };
        VERSION << 4 | kind
    }

    fn purpose_of_subkey(self) -> &'static str {
        match self {
            Self::Open => "token open",
            Self::Click => "token click",
            Self::App => "token app",
            Self::Withdraw => "token withdraw",
        }
    }
}

// === Keys ===

impl Keys {
    /// Takes the keyring; subkeys are derived when first used.
    pub fn new(keyring: Keyring) -> Self {
        Self {
            keyring,
            subkeys: Cache::new(SUBKEYS_MAX),
        }
    }

    /// The keyring in use.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// The token, as text, that says `claim` within `realm`. The many links of
    /// one mail are sealed by a [`LinkSealer`].
    pub fn seal(&self, realm: &Realm, claim: &Claim) -> String {
        let mut text = String::new();
        let mut frame = Frame::new(self, realm, claim.kind());
        frame.seal(&claim.to_bytes(), &mut text);
        text
    }

    /// What the token says, if it was sealed for this realm and kind by a key
    /// that still opens. `text` is what follows `/c/` in the path; the manglings
    /// of mail clients are undone first (see [`normalise`]).
    pub fn open(&self, realm: &Realm, kind: Kind, text: &str) -> Result<Claim, OpenError> {
        let mut token = text::decode(text).ok_or(OpenError::Malformed)?;
        if token.len() < OVERHEAD_BYTES || token[0] != kind.header() {
            return Err(OpenError::Malformed);
        }
        let header = [token[0], token[1], token[2], token[3]];
        let id = KeyId([header[1], header[2], header[3]]);
        let root = self.keyring.find(id).ok_or(OpenError::UnknownKey(id))?;
        if root.state == KeyState::Revoked {
            return Err(OpenError::Revoked(id));
        }
        let subkey = self.subkey(root, kind, realm);
        let (framed, sealed) = token.split_at_mut(HEADER_BYTES + NONCE_BYTES);
        let nonce = Nonce::try_assume_unique_for_key(&framed[HEADER_BYTES..])
            .map_err(|_| OpenError::Malformed)?;
        let plain = subkey
            .aead
            .open_in_place(nonce, Aad::from(associated_data(header, realm)), sealed)
            .map_err(|_| OpenError::Forged)?;
        Claim::from_bytes(kind, plain).ok_or(OpenError::Malformed)
    }

    fn subkey(&self, root: &RootKey, kind: Kind, realm: &Realm) -> Arc<Subkey> {
        let name = SubkeyNameRef {
            key: root.id,
            kind,
            realm,
        };
        if let Some(subkey) = self.subkeys.get(&name) {
            return subkey;
        }
        let subkey = Arc::new(Subkey::derive(root, kind, realm));
        let name = SubkeyName {
            key: root.id,
            kind,
            realm: realm.clone(),
        };
        self.subkeys.insert(name, Arc::clone(&subkey));
        subkey
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("keyring", &self.keyring)
            .finish_non_exhaustive()
    }
}

// === Subkey ===

impl Subkey {
    fn derive(root: &RootKey, kind: Kind, realm: &Realm) -> Self {
        let aead: [u8; KEY_BYTES] = root.subkey(kind.purpose_of_subkey(), realm);
        let nonce = root.subkey("token nonce", realm);
        let unbound = UnboundKey::new(&AES_256_GCM_SIV, &aead)
            .expect("the cipher takes keys of exactly 32 bytes, which this is");
        Self {
            aead: LessSafeKey::new(unbound),
            nonce: hmac::Key::new(hmac::HMAC_SHA256, &nonce),
        }
    }
}

fn associated_data(header: [u8; HEADER_BYTES], realm: &Realm) -> Vec<u8> {
    [&header, realm.as_str().as_bytes()].concat()
}

// === SubkeyName ===

impl Hash for SubkeyName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        SubkeyNameRef {
            key: self.key,
            kind: self.kind,
            realm: &self.realm,
        }
        .hash(state);
    }
}

impl Hash for SubkeyNameRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
        self.kind.hash(state);
        self.realm.hash(state);
    }
}

impl Equivalent<SubkeyName> for SubkeyNameRef<'_> {
    fn equivalent(&self, name: &SubkeyName) -> bool {
        self.key == name.key && self.kind == name.kind && *self.realm == name.realm
    }
}

#[cfg(test)]
mod tests;
