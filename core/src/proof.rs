//! The proof that a tracking host leads to this install: whoever holds the
//! keyring can answer a challenge, and whoever holds it can check the answer.
//!
//! The answer to `GET /.well-known/mailtrail?challenge=<challenge>` is
//! `<key id>.<64 hex digits>`: HMAC-SHA256 over host and challenge, under a
//! subkey of the realm that the host belongs to. A challenge is used once, so
//! an answer that was seen proves nothing later.

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;

use crate::id::{Host, Realm};
use crate::keyring::{KeyId, KeyState, Keyring, RootKey};

/// Fewest characters of a challenge: 80 random bits in base32.
pub const CHALLENGE_MIN_CHARS: usize = 16;
/// Most characters of a challenge.
pub const CHALLENGE_MAX_CHARS: usize = 64;

/// What the operator asks a host with: 16 to 64 letters, digits, `-` and `_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Challenge<'a>(&'a str);

impl<'a> Challenge<'a> {
    /// Takes a challenge's text.
    pub fn parse(text: &'a str) -> Option<Self> {
        let length = CHALLENGE_MIN_CHARS..=CHALLENGE_MAX_CHARS;
        let alphabet = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        (length.contains(&text.len()) && text.bytes().all(alphabet)).then_some(Self(text))
    }
}

/// The answer to a challenge, under the active key.
pub fn answer(keyring: &Keyring, realm: &Realm, host: &Host, challenge: Challenge<'_>) -> String {
    let key = keyring.active();
    let tag = hmac::sign(&subkey(key, realm), &message(host, challenge));
    format!("{}.{}", key.id, HEXLOWER.encode(tag.as_ref()))
}

/// Whether `text` answers the challenge under a key of this keyring that is
/// not revoked.
pub fn verify(
    keyring: &Keyring,
    realm: &Realm,
    host: &Host,
    challenge: Challenge<'_>,
    text: &str,
) -> bool {
    let parts = text.trim_end().split_once('.').and_then(|(id, tag)| {
        let id: [u8; 3] = HEXLOWER.decode(id.as_bytes()).ok()?.try_into().ok()?;
        let tag = HEXLOWER.decode(tag.as_bytes()).ok()?;
        Some((keyring.find(KeyId(id))?, tag))
    });
    parts.is_some_and(|(key, tag)| {
        key.state != KeyState::Revoked
            && hmac::verify(&subkey(key, realm), &message(host, challenge), &tag).is_ok()
    })
}

fn subkey(key: &RootKey, realm: &Realm) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &key.subkey("host proof", realm))
}

/// Neither a host nor a challenge holds a zero byte.
fn message(host: &Host, challenge: Challenge<'_>) -> Vec<u8> {
    [host.as_str().as_bytes(), b"\0", challenge.0.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring(first: u8) -> Keyring {
        let mut random = [7; 35];
        random[3] = first;
        Keyring::generate(random).expect("a good key")
    }

    #[test]
    fn an_answer_holds_for_its_keyring_realm_host_and_challenge_only() {
        let (realm, host) = (
            "shop/links".parse().expect("realm"),
            "links.shop.example".parse().expect("host"),
        );
        let challenge = Challenge::parse("0123456789abcdef").expect("challenge");
        let text = answer(&keyring(1), &realm, &host, challenge);
        assert!(verify(&keyring(1), &realm, &host, challenge, &text));
        assert!(verify(
            &keyring(1),
            &realm,
            &host,
            challenge,
            &format!("{text}\n")
        ));

        let other = Challenge::parse("0123456789abcdeF").expect("challenge");
        assert!(!verify(&keyring(1), &realm, &host, other, &text));
        assert!(!verify(&keyring(2), &realm, &host, challenge, &text));
        let realm2 = "shop/other".parse().expect("realm");
        assert!(!verify(&keyring(1), &realm2, &host, challenge, &text));
        let host2 = "other.shop.example".parse().expect("host");
        assert!(!verify(&keyring(1), &realm, &host2, challenge, &text));
        for wrong in ["", ".", "070707.", "zz.zz", &text[..text.len() - 2]] {
            assert!(
                !verify(&keyring(1), &realm, &host, challenge, wrong),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_challenge_is_bounded() {
        for text in [
            "",
            "short",
            &"x".repeat(65),
            "0123456789abcde/",
            "0123456789abcdeé",
        ] {
            assert_eq!(Challenge::parse(text), None, "{text}");
        }
    }
}
