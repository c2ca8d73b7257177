//! The folder of certificates: one folder each, with `tls.crt` and `tls.key`.
//! Nothing is written.
//!
//! ```text
//! <folder>/shop/tls.crt     the certificate, then those that lead to its authority
//! <folder>/shop/tls.key     its key
//! ```
//!
//! Links are followed, and names that begin with a dot passed over: what
//! Kubernetes mounts of Secrets, each in a folder of its own or all by one
//! projected volume, reads as it should.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::certificates::{Pair, PairError};
use crate::config::{Fingerprint, bounded};

/// Most certificates: each is a Secret that somebody listed by hand.
const CERTIFICATES_MAX: usize = 256;
/// Largest file, in bytes: a chain of RSA certificates has some 8 KiB.
const FILE_MAX_BYTES: u64 = 128 << 10;
/// Names of the files, as Secrets of type `kubernetes.io/tls` have them.
const CHAIN: &str = "tls.crt";
const KEY: &str = "tls.key";

/// What became of each folder, by its name.
pub(super) type Read = BTreeMap<String, Result<Pair, PairError>>;

/// The folder of certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FolderError {
    /// It cannot be read.
    #[error("{path}: {source}")]
    Unreadable {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is none.
    #[error("{0}: has no certificate; a folder with tls.crt and tls.key is needed for each")]
    Empty(PathBuf),
    /// There are more than are read.
    #[error("{0}: has more than {CERTIFICATES_MAX} certificates")]
    TooMany(PathBuf),
}

/// Reads every certificate. Does blocking io.
pub(super) fn read(folder: &Path) -> Result<Read, FolderError> {
    let folders = folders(folder).map_err(|source| FolderError::Unreadable {
        path: folder.to_owned(),
        source,
    })?;
    match folders.len() {
        0 => return Err(FolderError::Empty(folder.to_owned())),
        1..=CERTIFICATES_MAX => {}
        _ => return Err(FolderError::TooMany(folder.to_owned())),
    }
    let named = folders.into_iter().map(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        (name.into_owned(), pair(&path))
    });
    Ok(named.collect())
}

/// A sign of which files there are and when they changed.
pub(super) fn fingerprint(folder: &Path) -> Fingerprint {
    Fingerprint::of(folders(folder).map(|folders| {
        let files = folders
            .into_iter()
            .flat_map(|folder| [CHAIN, KEY].map(|name| folder.join(name)));
        files.collect()
    }))
}

/// The folders of certificates by name; one more than [`CERTIFICATES_MAX`] at most.
fn folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && entry.path().is_dir() {
            folders.push(entry.path());
        }
        if folders.len() > CERTIFICATES_MAX {
            break;
        }
    }
    folders.sort_unstable();
    Ok(folders)
}

fn pair(folder: &Path) -> Result<Pair, PairError> {
    let chain = file(folder, CHAIN)?;
    let about = fs::metadata(folder.join(KEY)).map_err(|error| unreadable(KEY, &error))?;
    let mode = about.permissions().mode() & 0o777;
    // As with the keyring: Kubernetes mounts Secrets 0440 to a group of their own.
    if mode & 0o007 != 0 {
        return Err(PairError::Exposed(mode));
    }
    Pair::parse(&chain, &file(folder, KEY)?)
}

fn file(folder: &Path, name: &'static str) -> Result<Vec<u8>, PairError> {
    let read = bounded(&folder.join(name), FILE_MAX_BYTES);
    let bytes = read.map_err(|error| unreadable(name, &error))?;
    match bytes.len() as u64 > FILE_MAX_BYTES {
        true => Err(PairError::TooLarge {
            file: name,
            max_bytes: FILE_MAX_BYTES,
        }),
        false => Ok(bytes),
    }
}

fn unreadable(file: &'static str, error: &io::Error) -> PairError {
    let why = error.to_string();
    PairError::Unreadable { file, why }
}
