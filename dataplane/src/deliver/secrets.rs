//! Where the secrets of sinks come from.

use std::fs::File;
use std::future::Future;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use mailtrail_core::sink::Sink;
use mailtrail_core::sink::sealed::OpenError;
use mailtrail_core::token::Keys;

use super::sign::{Secret, SecretError};

/// Largest file of a secret, in bytes: one has 95 at most.
const FILE_MAX_BYTES: u64 = 1024;

/// Secrets, which may take time.
pub type Found<'a> = Pin<Box<dyn Future<Output = Result<Vec<Secret>, Missing>> + Send + 'a>>;

/// Knows the secrets of sinks at every moment.
pub trait Secrets: Send + Sync + 'static {
    /// All secrets of a sink, in its order.
    fn of<'a>(&'a self, sink: &'a Sink) -> Found<'a>;
}

/// A sink cannot be delivered to, for want of a secret. Nothing of one is in it.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// There is no place where secrets are.
    #[error("no folder of secrets is named (--sink-secrets)")]
    NoFolder,
    /// A file cannot be read.
    #[error("secret {name}: {source}")]
    Unreadable {
        /// The secret's name.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// What the operator sealed does not open.
    #[error(transparent)]
    Sealed(#[from] OpenError),
    /// The operator has sealed none.
    #[error("the operator could not read the sink's secrets")]
    NotSealed,
    /// What it holds is none.
    #[error("secret {name}: {source}")]
    Wrong {
        /// The secret's name.
        name: String,
        /// What would be right.
        source: SecretError,
    },
}

/// What the operator sealed for a sink of a cluster; else a file.
pub struct Everywhere {
    /// Secrets of sinks from manifests.
    pub folder: SecretsFolder,
    /// The keys of this moment.
    pub keys: Box<dyn Fn() -> Arc<Keys> + Send + Sync>,
}

impl Secrets for Everywhere {
    fn of<'a>(&'a self, sink: &'a Sink) -> Found<'a> {
        let Some(cluster) = &sink.cluster else {
            return self.folder.of(sink);
        };
        let opened = match &cluster.sealed {
            Some(sealed) => {
                let keys = (self.keys)();
                let opened = sealed.open(keys.keyring(), &sink.realm, &cluster.uid);
                opened.map_err(Missing::Sealed)
            }
            None => Err(Missing::NotSealed),
        };
        let secrets = opened.map(|secrets| secrets.iter().map(Secret::of).collect());
        Box::pin(std::future::ready(secrets))
    }
}

/// A folder with a file `<namespace>/<name>` for each secret, read at every
/// delivery: a secret that is replaced counts at once.
#[derive(Debug, Clone, Default)]
pub struct SecretsFolder(pub Option<PathBuf>);

impl Secrets for SecretsFolder {
    fn of<'a>(&'a self, sink: &'a Sink) -> Found<'a> {
        let folder = self.0.clone();
        let (namespace, names) = (sink.realm.namespace().to_owned(), sink.secrets.clone());
        Box::pin(async move {
            let folder = folder.ok_or(Missing::NoFolder)?.join(namespace);
            let reading = tokio::task::spawn_blocking(move || {
                names.iter().map(|name| read(&folder, name)).collect()
            });
            reading.await.unwrap_or_else(|_| Err(Missing::NoFolder))
        })
    }
}

fn read(folder: &Path, name: &str) -> Result<Secret, Missing> {
    let text = text(folder, name).map_err(|source| Missing::Unreadable {
        name: name.to_owned(),
        source,
    })?;
    Secret::parse(&text).map_err(|source| Missing::Wrong {
        name: name.to_owned(),
        source,
    })
}

fn text(folder: &Path, name: &str) -> io::Result<String> {
    // Names are DNS subdomains, of which none leads out of the folder; this is
    // the second wall.
    if name.contains('/') || name.starts_with('.') {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut text = String::new();
    File::open(folder.join(name))?
        .take(FILE_MAX_BYTES)
        .read_to_string(&mut text)?;
    Ok(text)
}
