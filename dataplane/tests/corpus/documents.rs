//! The documents under `tests/corpus`.

use std::fs;
use std::path::{Path, PathBuf};

/// How many there are: one that is not found is noticed.
pub(crate) const COUNT: usize = 119;

pub(crate) struct Document {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// All, in the order of their names.
pub(crate) fn all() -> Vec<Document> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus");
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    paths.sort();
    assert_eq!(paths.len(), COUNT);
    paths
        .into_iter()
        .map(|path| Document {
            name: path
                .strip_prefix(&root)
                .expect("below the root")
                .display()
                .to_string(),
            bytes: fs::read(&path).expect("a readable document"),
        })
        .collect()
}

/// The inputs that a fuzz target once failed on; none where it never did.
pub(crate) fn regressions(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/regressions");
    let Ok(entries) = fs::read_dir(folder.join(target)) else {
        return Vec::new();
    };
    entries
        .map(|entry| fs::read(entry.expect("an entry").path()).expect("a readable input"))
        .collect()
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|e| e == "html") {
            into.push(path);
        }
    }
}
