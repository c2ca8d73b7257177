//! The Secrets of sinks. Of each what it is good for is kept, and nothing else
//! that stands in it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use kube::runtime::watcher;
use mailtrail_core::id::Realm;
use mailtrail_core::sink::secret::{Secret, SecretError};
use mailtrail_crds::sink::{SECRET_KEY, SECRET_TYPE};

use super::account::Account;
use super::follow::{Seen, Target};
use crate::condition::Reason;

/// Secrets by name.
pub struct Secrets;

/// What is wrong with a Secret; nothing of what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is for something else.
    #[error("must be of type {SECRET_TYPE}")]
    Type,
    /// The key is missing.
    #[error("must have the key {SECRET_KEY}")]
    Key,
    /// What it holds is none.
    #[error("its key {SECRET_KEY} {0}")]
    Wrong(#[from] SecretError),
}

impl Target for Secrets {
    type Kind = core::Secret;
    type Kept = Result<Secret, Fault>;

    fn selected(name: &str) -> watcher::Config {
        watcher::Config::default().fields(&format!("metadata.name={name}"))
    }

    fn kept(secret: core::Secret) -> Result<Secret, Fault> {
        if secret.type_.as_deref() != Some(SECRET_TYPE) {
            return Err(Fault::Type);
        }
        let data = secret.data.unwrap_or_default();
        let bytes = data.get(SECRET_KEY).ok_or(Fault::Key)?;
        let text = std::str::from_utf8(&bytes.0).map_err(|_| SecretError)?;
        Ok(Secret::parse(text)?)
    }
}

/// The secrets of a sink, in its order; else why there are none. Pure.
pub(super) fn resolve(
    sink: &Realm,
    names: &[&str],
    seen: &[Seen<Result<Secret, Fault>>],
    account: &Account,
) -> Result<Vec<Secret>, (Reason, String)> {
    let each = names.iter().zip(seen);
    each.map(|(name, seen)| match seen {
        Seen::NotYet => Err((
            Reason::SecretNotReadable,
            format!("the Secret {name} is not known yet"),
        )),
        Seen::Forbidden => Err((
            Reason::SecretNotReadable,
            account.may_read(sink, name, names),
        )),
        Seen::There(there) => one(name, there),
    })
    .collect()
}

fn one(
    name: &str,
    there: &BTreeMap<String, Result<Secret, Fault>>,
) -> Result<Secret, (Reason, String)> {
    match there.get(name) {
        None => Err((
            Reason::SecretNotFound,
            format!("there is no Secret {name} in this namespace: its events wait"),
        )),
        Some(Err(fault)) => Err((
            Reason::SecretInvalid,
            format!("the Secret {name} {fault}; events wait until it is right"),
        )),
        Some(Ok(secret)) => Ok(secret.clone()),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    const TEXT: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn secret(type_: &str, key: &str, text: &str) -> core::Secret {
        core::Secret {
            type_: Some(type_.to_owned()),
            data: Some([(key.to_owned(), ByteString(text.into()))].into()),
            ..core::Secret::default()
        }
    }

    #[test]
    fn a_secret_counts_where_its_type_its_key_and_its_text_are_right() {
        let check = |type_, key, text| Secrets::kept(secret(type_, key, text));
        assert!(check(SECRET_TYPE, SECRET_KEY, TEXT).is_ok());
        assert_eq!(check("Opaque", SECRET_KEY, TEXT), Err(Fault::Type));
        assert_eq!(check(SECRET_TYPE, "key", TEXT), Err(Fault::Key));
        let wrong = check(SECRET_TYPE, SECRET_KEY, "whsec_c2hvcnQ=").expect_err("too short");
        assert!(!wrong.to_string().contains("c2hvcnQ"), "{wrong}");
    }
}
