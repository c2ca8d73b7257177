//! Signatures of requests, as Standard Webhooks 1.0 has them. Pure.
//!
//! What is signed is `<id>.<seconds since 1970>.<body>`, by HMAC-SHA256 under
//! each secret; `v1,` and base64, joined by spaces.

use std::fmt;

use aws_lc_rs::hmac;
use data_encoding::BASE64;
use mailtrail_core::sink::secret;

pub use secret::SecretError;

/// A secret that requests are signed with; not shown.
#[derive(Clone)]
pub struct Secret(hmac::Key);

impl Secret {
    /// Reads a secret; white space around it does not count.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        secret::Secret::parse(text).map(|secret| Self::of(&secret))
    }

    /// Signs with this.
    pub fn of(secret: &secret::Secret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
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
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Secret::parse(SECRET)), "Ok(Secret(…))");
    }
}
