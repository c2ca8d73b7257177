//! How the operator learns what each replica has applied: a question to its
//! admin port and the answer, both JSON, each with a code over its bytes.
//!
//! The code is HMAC-SHA256 (RFC 2104) under a subkey of the keyring, so that
//! nobody else can ask, or answer in a replica's place. The question carries a
//! nonce and the pod's UID; an answer repeats both, so that no answer can be
//! used again, and none passed off as another replica's.

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use crate::id::Realm;
use crate::keyring::{KeyId, KeyState, Keyring, RootKey};

/// The version that questions and answers are written in.
pub const VERSION: u32 = 1;
/// Path of the admin port that questions are posted to.
pub const PATH: &str = "/config";
/// Header that carries the [`Code`], of a question as of an answer.
pub const CODE_HEADER: &str = "mailtrail-code";
/// Bytes of a nonce; written as twice as many hexadecimal digits.
pub const NONCE_BYTES: usize = 16;
/// Most shards in one question.
pub const SHARDS_MAX: usize = 4096;
/// Most refused entries that one answer names; the rest is counted.
pub const REFUSED_MAX: usize = 100;
/// Longest that an answer may be waited for, in milliseconds.
pub const WAIT_MAX_MS: u32 = 2_000;
/// Longest text of why deliveries fail, in characters.
pub const WHY_MAX_CHARS: usize = 200;
/// Longest question or answer that is read, in bytes: 4,096 shards of some 90
/// bytes, a thousand sinks of some 200, and two hundred refusals of half a
/// kilobyte.
pub const BODY_MAX_BYTES: usize = 1 << 20;

/// What the operator asks of one replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    /// [`VERSION`].
    pub version: u32,
    /// [`NONCE_BYTES`] random bytes in hexadecimal digits.
    pub nonce: String,
    /// The pod that is asked.
    pub pod_uid: String,
    /// The shards that are asked about, and what is hoped for of each.
    pub shards: Vec<ShardState>,
    /// How long the answer may wait until all of that is applied, in
    /// milliseconds, [`WAIT_MAX_MS`] at most.
    pub wait_ms: u32,
    /// Whether to tell how deliveries to sinks stand.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deliveries: bool,
}

/// Which state of a shard: of one object (its UID), the later the greater the
/// generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardState {
    /// The shard's number.
    pub index: u16,
    /// The object's UID; empty where the source gives none.
    pub uid: String,
    /// The object's generation; 0 where the source gives none.
    pub generation: i64,
}

impl ShardState {
    /// Whether this is a state of the same object as another, and not earlier.
    pub fn reaches(&self, wanted: &Self) -> bool {
        self.uid == wanted.uid && self.generation >= wanted.generation
    }
}

/// What a replica says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// [`VERSION`].
    pub version: u32,
    /// The question's.
    pub nonce: String,
    /// The pod that answers.
    pub pod_uid: String,
    /// The shards asked about, as they are applied; one that is not there is
    /// not applied in any state.
    pub shards: Vec<ShardState>,
    /// Entries of the shards asked about that are not served as they stand
    /// there, [`REFUSED_MAX`] at most.
    pub refused: Vec<Refused>,
    /// How many more there are.
    pub more_refused: usize,
    /// All keys that are known.
    pub keys: Vec<KnownKey>,
    /// What there is to tell of sinks; absent where a replica knows none, being
    /// of a version before them: what is applied of its shards is without sinks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sinks: Option<Sinks>,
}

/// What a replica tells of event sinks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sinks {
    /// Sinks of the shards asked about that are not delivered to as they stand
    /// there, [`REFUSED_MAX`] at most.
    pub refused: Vec<Refused>,
    /// Where that was asked, how deliveries stand that are this replica's.
    pub deliveries: Vec<Delivery>,
}

/// How the deliveries to one sink stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// The sink.
    pub sink: Realm,
    /// How.
    pub how: How,
    /// Since when, in milliseconds since 1970, where it fails or is suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
    /// What went wrong last, [`WHY_MAX_CHARS`] at most; nothing personal.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// How deliveries stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    /// Nothing was tried since the replica started.
    Untried,
    /// The last attempt succeeded.
    Delivering,
    /// Nothing has succeeded for a while.
    Failing,
    /// Nothing has succeeded for days: it is tried now and then.
    Suspended,
    /// The receiver answered 410: nothing is tried.
    Gone,
    /// Nothing can be signed.
    NoSecret,
}

/// An entry that a replica does not serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// Whose entry; absent where not even that can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realm: Option<Realm>,
    /// Generation of the resource that it was made from, as far as it can be read.
    pub generation: i64,
    /// What would be right.
    pub rule: String,
}

/// A key that a replica knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownKey {
    /// Its name.
    pub id: KeyId,
    /// In what state the replica has it.
    pub state: KeyState,
}

/// Which way a message goes; each has a subkey of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the operator to a replica.
    Question,
    /// And back.
    Answer,
}

/// The value of [`CODE_HEADER`]: the key's name, a colon, and 64 hexadecimal
/// digits.
pub fn code(key: &RootKey, way: Way, body: &[u8]) -> String {
    let tag = hmac::sign(&mac_key(key, way), body);
    format!("{}:{}", key.id, HEXLOWER.encode(tag.as_ref()))
}

/// The key that `code` was made with, where it is one of `keyring` that may be
/// used and the code is right for `body`; compared in constant time.
pub fn verify<'a>(keyring: &'a Keyring, way: Way, body: &[u8], code: &str) -> Option<&'a RootKey> {
    let (id, tag) = code.split_once(':')?;
    let key = keyring.find(id.parse().ok()?)?;
    if key.state == KeyState::Revoked {
        return None;
    }
    let tag = HEXLOWER.decode(tag.as_bytes()).ok()?;
    hmac::verify(&mac_key(key, way), body, &tag).ok()?;
    Some(key)
}

fn mac_key(key: &RootKey, way: Way) -> hmac::Key {
    let purpose = match way {
        Way::Question => "ack question",
        Way::Answer => "ack answer",
    };
    hmac::Key::new(hmac::HMAC_SHA256, &key.install_subkey(purpose))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyring::KEY_BYTES;

    fn keyring(seed: u8) -> Keyring {
        let mut random = [seed; 3 + KEY_BYTES];
        random[3] = seed.wrapping_add(1);
        Keyring::generate(random).expect("a keyring")
    }

    #[test]
    fn a_code_holds_for_its_bytes_its_way_and_its_key_alone() {
        let ours = keyring(1);
        let made = code(ours.active(), Way::Question, b"question");
        let key = verify(&ours, Way::Question, b"question", &made);
        assert_eq!(key.map(|key| key.id), Some(ours.active().id));
        assert!(verify(&ours, Way::Question, b"Question", &made).is_none());
        assert!(verify(&ours, Way::Answer, b"question", &made).is_none());
        assert!(verify(&keyring(2), Way::Question, b"question", &made).is_none());
        for broken in ["", ":", "010101", "010101:", "010101:00", "zz:00"] {
            assert!(verify(&ours, Way::Question, b"question", broken).is_none());
        }
    }
}
