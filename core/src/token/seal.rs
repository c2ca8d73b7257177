//! Sealing: plaintexts into tokens, and a mail's links one after the other.

use std::sync::Arc;

use aws_lc_rs::aead::{Aad, Nonce};
use aws_lc_rs::hmac;

use crate::id::{LinkPosition, Realm};
use crate::target::Target;
use crate::token::claim::{Mail, put_link};
use crate::token::{
    HEADER_BYTES, Keys, Kind, NONCE_BYTES, OVERHEAD_BYTES, Subkey, associated_data, text,
};

/// Where the ciphertext begins in a token.
const CIPHERTEXT_AT: usize = HEADER_BYTES + NONCE_BYTES;
/// Most bytes of a link in a plaintext beside its target.
const LINK_BYTES: usize = 6;

/// Seals the links of one mail: what their tokens have in common is looked up
/// and written once.
pub struct LinkSealer {
    frame: Frame,
    /// The plaintext under way, of which the first `mail_bytes` stay.
    plain: Vec<u8>,
    mail_bytes: usize,
}

/// What all tokens of one kind and realm have in common, under the key that
/// was active when it was made.
pub(super) struct Frame {
    subkey: Arc<Subkey>,
    associated: Vec<u8>,
    /// Has taken in what stands before the plaintext.
    nonces: hmac::Context,
    /// The token under way: the header stays.
    token: Vec<u8>,
}

// === LinkSealer ===

impl LinkSealer {
    /// Seals links whose clicks lead to a browser.
    pub fn clicks(keys: &Keys, realm: &Realm, mail: &Mail) -> Self {
        Self::new(Frame::new(keys, realm, Kind::Click), mail)
    }

    /// Seals links that an app may take over.
    pub fn apps(keys: &Keys, realm: &Realm, mail: &Mail) -> Self {
        Self::new(Frame::new(keys, realm, Kind::App), mail)
    }

    fn new(frame: Frame, mail: &Mail) -> Self {
        let plain = mail.to_bytes();
        Self {
            frame,
            mail_bytes: plain.len(),
            plain,
        }
    }

    /// Most characters of a token to this target.
    pub fn text_chars(&self, target: &Target) -> usize {
        let plain = self.mail_bytes + LINK_BYTES + target.as_str().len();
        (OVERHEAD_BYTES + plain).div_ceil(5) * 8
    }

    /// Appends the token, as text, of the link at a position to a target: the
    /// same that [`Keys::seal`] gives.
    pub fn seal(&mut self, position: LinkPosition, target: &Target, out: &mut String) {
        self.plain.truncate(self.mail_bytes);
        put_link(&mut self.plain, position, target);
        self.frame.seal(&self.plain, out);
    }
}

impl std::fmt::Debug for LinkSealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinkSealer").finish_non_exhaustive()
    }
}

// === Frame ===

impl Frame {
    pub(super) fn new(keys: &Keys, realm: &Realm, kind: Kind) -> Self {
        let root = keys.keyring.active();
        let subkey = keys.subkey(root, kind, realm);
        let header = [kind.header(), root.id.0[0], root.id.0[1], root.id.0[2]];
        let associated = associated_data(header, realm);
        let mut nonces = hmac::Context::with_key(&subkey.nonce);
        nonces.update(&associated);
        nonces.update(b"\0");
        Self {
            subkey,
            associated,
            nonces,
            token: header.to_vec(),
        }
    }

    /// Appends the token, as text, that says `plain`.
    pub(super) fn seal(&mut self, plain: &[u8], out: &mut String) {
        let nonce = self.nonce(plain);
        self.token.truncate(HEADER_BYTES);
        self.token.extend_from_slice(&nonce);
        self.token.extend_from_slice(plain);
        let tag = self
            .subkey
            .aead
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(&self.associated),
                &mut self.token[CIPHERTEXT_AT..],
            )
            .expect("a claim is far below the cipher's limit of 2^36 bytes");
        self.token.extend_from_slice(tag.as_ref());
        text::encode(&self.token, out);
    }

    fn nonce(&self, plain: &[u8]) -> [u8; NONCE_BYTES] {
        let mut hash = self.nonces.clone();
        hash.update(plain);
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&hash.sign().as_ref()[..NONCE_BYTES]);
        nonce
    }
}
