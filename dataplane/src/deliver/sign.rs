//! Signatures of requests, as Standard Webhooks 1.0 has them. Pure.
//!
//! What is signed is `<id>.<seconds since 1970>.<body>`, by HMAC-SHA256 under
//! each secret; `v1,` and base64, joined by spaces.

use std::fmt;

use aws_lc_rs::hmac;
use data_encoding::BASE64;

/// What a secret's text begins with.
const PREFIX: &str = "whsec_";
/// Fewest random bytes of a secret.
pub const SECRET_MIN_BYTES: usize = 24;
/// Most bytes of a secret.
pub const SECRET_MAX_BYTES: usize = 64;

/// A secret that requests are signed with; not shown.
#[derive(Clone)]
pub struct Secret(hmac::Key);

/// A text is no secret; nothing of it is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be whsec_ and {SECRET_MIN_BYTES} to {SECRET_MAX_BYTES} bytes in base64")]
pub struct SecretError;

impl Secret {
    /// Reads a secret; white space around it does not count.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(SecretError)?;
        let bytes = BASE64.decode(encoded.as_bytes()).map_err(|_| SecretError)?;
        match (SECRET_MIN_BYTES..=SECRET_MAX_BYTES).contains(&bytes.len()) {
            true => Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes))),
            false => Err(SecretError),
        }
    }

    fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(format!("{id}.{seconds}.").as_bytes());
        context.update(body);
        format!("v1,{}", BASE64.encode(context.sign().as_ref()))
    }
}

/// The signatures of a request, one per secret, as its header has them.
pub fn signatures(secrets: &[Secret], id: &str, seconds: i64, body: &[u8]) -> String {
    let each: Vec<_> = secrets.iter().map(|s| s.sign(id, seconds, body)).collect();
    each.join(" ")
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn the_known_example_has_its_known_signature() {
        let secrets = [Secret::parse(SECRET).expect("a secret")];
        let signed = signatures(
            &secrets,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_secret_signs() {
        let other = format!("whsec_{}", BASE64.encode(&[7; 64]));
        let secrets = [SECRET, &other].map(|text| Secret::parse(text).expect("a secret"));
        let signed = signatures(&secrets, "id", 1, b"body");
        let alone = signatures(&secrets[1..], "id", 1, b"body");
        assert_eq!(signed.split(' ').count(), 2);
        assert!(signed.ends_with(&format!(" {alone}")));
    }

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
        assert_eq!(format!("{:?}", Secret::parse(SECRET)), "Ok(Secret(…))");
    }
}
