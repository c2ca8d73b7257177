//! The io of manifests: which files there are, their bytes, and a cheap sign
//! that something has changed. Nothing is written.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::set::Set;
use super::{FILE_MAX_BYTES, FILES_MAX, Place, TOTAL_MAX_BYTES};

/// Names of files that are read end in these.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// A sign of which files there are and when they changed: names, sizes, times,
/// inodes, links followed (a ConfigMap is swapped by one link).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint(u64);

/// The fingerprint of a path at this moment; of what cannot be read, too.
pub(in crate::config) fn fingerprint(path: &Path) -> Fingerprint {
    Fingerprint::of(list(path))
}

impl Fingerprint {
    /// That of these files, as they stand now.
    pub(crate) fn of(files: io::Result<Vec<PathBuf>>) -> Self {
        let mut hasher = DefaultHasher::new();
        match files {
            Ok(files) => {
                for file in files {
                    file.hash(&mut hasher);
                    match fs::metadata(&file) {
                        Ok(about) => (
                            about.len(),
                            about.ino(),
                            about.dev(),
                            (about.mtime(), about.mtime_nsec()),
                            (about.ctime(), about.ctime_nsec()),
                        )
                            .hash(&mut hasher),
                        Err(error) => format!("{:?}", error.kind()).hash(&mut hasher),
                    }
                }
            }
            Err(error) => format!("{:?}", error.kind()).hash(&mut hasher),
        }
        Self(hasher.finish())
    }
}

/// The files to read; what is wrong with the path itself is a fault.
pub(super) fn files(path: &Path, set: &mut Set) -> Vec<PathBuf> {
    match list(path) {
        Ok(files) if files.len() > FILES_MAX => {
            let rule = format!("has more than {FILES_MAX} manifest files");
            set.fault(Place::file(path), "", rule);
            Vec::new()
        }
        Ok(files) => files,
        Err(error) => {
            set.fault(Place::file(path), "", could_not("be read", &error));
            Vec::new()
        }
    }
}

/// The bytes of a file; where there are none, why is a fault.
pub(super) fn file(path: &Path, set: &mut Set) -> Option<Vec<u8>> {
    match bounded(path, FILE_MAX_BYTES) {
        Ok(bytes) if bytes.len() as u64 > FILE_MAX_BYTES => {
            let rule = format!("is larger than {FILE_MAX_BYTES} bytes");
            set.fault(Place::file(path), "", rule);
            None
        }
        Ok(bytes) if !set.has_room(bytes.len() as u64) => {
            let rule = format!("makes the files larger than {TOTAL_MAX_BYTES} bytes together");
            set.fault(Place::file(path), "", rule);
            None
        }
        Ok(bytes) => Some(bytes),
        Err(error) => {
            set.fault(Place::file(path), "", could_not("be read", &error));
            None
        }
    }
}

/// A file itself, or the manifest files of a folder by name; one more than
/// [`FILES_MAX`] at most.
pub(in crate::config) fn list(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        if is_manifest(&file) {
            files.push(file);
        }
        if files.len() > FILES_MAX {
            break;
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// By its name, and not a folder or pipe: opening one could hang.
fn is_manifest(file: &Path) -> bool {
    let hidden = file
        .file_name()
        .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    let extension = file.extension().and_then(|extension| extension.to_str());
    !hidden
        && extension.is_some_and(|extension| EXTENSIONS.contains(&extension))
        // A link that leads nowhere is kept: reading it says so.
        && fs::metadata(file).map_or(true, |about| about.is_file())
}

/// At most one byte more than is allowed.
pub(crate) fn bounded(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("neither a file nor a folder"));
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(max_bytes + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn could_not(what: &str, error: &io::Error) -> String {
    format!("could not {what}: {error}")
}
