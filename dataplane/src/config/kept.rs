//! The domains that were served last, kept on the disk: a link stays alive when
//! its manifest is deleted, or its host renamed, while the program is not
//! running or before it starts again.
//!
//! One file in the data folder, `domains.json`: the entries as they are served
//! (see `core::config`), and the names of those that are to be forgotten when
//! they are no longer declared. It is written beside and renamed into place, so
//! no crash leaves half of it. Nothing in it is personal.
//!
//! It is a memory of what was declared, not a source: a manifest always wins.
//! Where it cannot be read, what is declared is served all the same, the file
//! is set aside, and the log says which links may have died with it.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use mailtrail_core::config::{Domain, ENTRY_MAX_BYTES, Snapshot};
use mailtrail_core::id::Realm;
use serde::{Deserialize, Serialize};

use super::manifests::{Carried, DOCUMENTS_MAX};

const FILE: &str = "domains.json";
/// The version that the file is written in.
const VERSION: u32 = 1;
/// Largest file that is read, in bytes.
const FILE_MAX_BYTES: u64 = (ENTRY_MAX_BYTES * DOCUMENTS_MAX) as u64;

/// Where the domains that were served last are kept.
#[derive(Debug, Clone)]
pub struct Kept {
    path: PathBuf,
}

/// What was served before.
#[derive(Debug)]
pub struct Before {
    pub(super) snapshot: Snapshot,
    pub(super) carried: Carried,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    version: u32,
    domains: Vec<Domain>,
    forget: Vec<Realm>,
}

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    domains: Vec<&'a Domain>,
    forget: Vec<&'a Realm>,
}

impl Kept {
    /// In a data folder, which must be ours.
    pub fn in_folder(data_dir: &Path) -> Self {
        Self {
            path: data_dir.join(FILE),
        }
    }

    /// What was served last; nothing at a first start (`used_before` says that it
    /// is none), or where the file cannot be read.
    pub fn read(&self, used_before: bool) -> Option<Before> {
        let aside = self.path.with_extension("json.aside");
        if aside.exists() {
            tracing::warn!(
                file = %aside.display(),
                "was set aside at an earlier start: links of what it alone knew do not open; remove it once that is mended"
            );
        }
        match self.parse() {
            Ok(before) => Some(before),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if used_before {
                    tracing::warn!(
                        file = %self.path.display(),
                        "is not there, though the data folder was used before: links of domains and hosts that are no longer declared do not open"
                    );
                }
                None
            }
            Err(error) => {
                let moved = fs::rename(&self.path, &aside);
                tracing::error!(
                    file = %self.path.display(), %error, set_aside = moved.is_ok(),
                    "the domains served last cannot be read: links of domains and hosts that are no longer declared do not open; stop, restore the file from a backup and start again, or declare them again"
                );
                None
            }
        }
    }

    fn parse(&self) -> io::Result<Before> {
        let file = File::open(&self.path)?;
        if file.metadata()?.len() > FILE_MAX_BYTES {
            let error = format!("has more than {FILE_MAX_BYTES} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        let read: Read = serde_json::from_reader(BufReader::new(file))?;
        if read.version != VERSION {
            let error = format!("is of version {}, not {VERSION}", read.version);
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        Ok(Before {
            snapshot: Snapshot::new(read.domains).map_err(invalid)?,
            carried: Carried::forgetting(read.forget),
        })
    }

    /// Keeps what is served now; says whether that worked. Where it fails the
    /// last is still kept, and the log says so.
    pub(super) fn write(&self, snapshot: &Snapshot, carried: &Carried) -> bool {
        let written = self.try_write(snapshot, carried);
        if let Err(error) = &written {
            tracing::error!(
                file = %self.path.display(), %error,
                "the domains served now cannot be kept, which is tried again: until then links of a manifest that is deleted live until a restart"
            );
        }
        written.is_ok()
    }

    /// Tries it again, which the log is told of only where it works.
    pub(super) fn write_again(&self, snapshot: &Snapshot, carried: &Carried) -> bool {
        let written = self.try_write(snapshot, carried).is_ok();
        if written {
            tracing::info!(file = %self.path.display(), "the domains served now are kept again");
        }
        written
    }

    fn try_write(&self, snapshot: &Snapshot, carried: &Carried) -> io::Result<()> {
        let mut domains: Vec<&Domain> = snapshot.domains().map(AsRef::as_ref).collect();
        domains.sort_unstable_by(|a, b| a.realm.cmp(&b.realm));
        let mut forget: Vec<&Realm> = carried.forgotten().collect();
        forget.sort_unstable();
        let beside = self.path.with_extension("json.new");
        let mut file = BufWriter::new(File::create(&beside)?);
        let written = Written {
            version: VERSION,
            domains,
            forget,
        };
        serde_json::to_writer(&mut file, &written)?;
        file.flush()?;
        file.get_ref().sync_all()?;
        fs::rename(&beside, &self.path)?;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        let domain = |name: &str| {
            let (realm, host) = (format!("shop/{name}"), format!("{name}.shop.example"));
            Domain::new(realm.parse().expect("realm"), host.parse().expect("host"))
        };
        Snapshot::new([domain("a"), domain("b")]).expect("a snapshot")
    }

    fn names(of: &Snapshot) -> Vec<String> {
        let mut names: Vec<_> = of.domains().map(|d| d.realm.to_string()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = Kept::in_folder(folder.path());
        assert!(kept.read(false).is_none());
        for forget in [vec![], vec!["shop/b".parse().expect("realm")]] {
            kept.write(&snapshot(), &Carried::forgetting(forget.clone()));
            let before = kept.read(false).expect("kept");
            assert_eq!(names(&before.snapshot), ["shop/a", "shop/b"]);
            assert!(before.carried.forgotten().eq(&forget));
        }
    }

    #[test]
    fn what_cannot_be_read_is_set_aside() {
        for bad in ["", "{", r#"{"version":2,"domains":[],"forget":[]}"#, "[]"] {
            let folder = tempfile::tempdir().expect("a folder");
            let kept = Kept::in_folder(folder.path());
            fs::write(&kept.path, bad).expect("written");
            assert!(kept.read(false).is_none());
            let aside = folder.path().join("domains.json.aside");
            assert_eq!(fs::read_to_string(aside).expect("set aside"), bad);
            kept.write(&snapshot(), &Carried::default());
            assert!(kept.read(false).is_some());
        }
    }

    #[test]
    fn where_it_cannot_be_written_the_last_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = Kept::in_folder(folder.path());
        kept.write(&snapshot(), &Carried::default());
        fs::create_dir(folder.path().join("domains.json.new")).expect("in the way");
        kept.write(&Snapshot::default(), &Carried::default());
        assert_eq!(names(&kept.read(false).expect("kept").snapshot).len(), 2);
    }
}
