//! A secret that requests to a sink are signed with, as its owner writes it.

use std::fmt;

use data_encoding::BASE64;

/// What a secret's text begins with.
const PREFIX: &str = "whsec_";
/// Fewest random bytes of a secret.
pub const SECRET_MIN_BYTES: usize = 24;
/// Most bytes of a secret.
pub const SECRET_MAX_BYTES: usize = 64;

/// The bytes of a secret; not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

/// A text is no secret; nothing of it is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be whsec_ and {SECRET_MIN_BYTES} to {SECRET_MAX_BYTES} bytes in base64")]
pub struct SecretError;

impl Secret {
    /// Reads a secret; white space around it does not count.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(SecretError)?;
        let bytes = BASE64.decode(encoded.as_bytes()).map_err(|_| SecretError)?;
        Self::of(bytes)
    }

    /// Of these bytes.
    pub(super) fn of(bytes: Vec<u8>) -> Result<Self, SecretError> {
        match (SECRET_MIN_BYTES..=SECRET_MAX_BYTES).contains(&bytes.len()) {
            true => Ok(Self(bytes)),
            false => Err(SecretError),
        }
    }

    /// The bytes to sign with.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_secret_is_refused_and_not_shown() {
        let bytes = |count| format!("whsec_{}", BASE64.encode(&vec![1; count]));
        for text in [
            "",
            "whsec_",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_?",
            &bytes(23),
            &bytes(65),
        ] {
            let error = Secret::parse(text).expect_err(text).to_string();
            assert!(!error.contains("AQEB"), "{error}");
        }
        assert!(Secret::parse(&format!(" {}\n", bytes(24))).is_ok());
        assert_eq!(format!("{:?}", Secret::parse(&bytes(24))), "Ok(Secret(…))");
    }
}
