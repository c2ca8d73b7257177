//! A small file system that a test fills.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small file system in memory; gone when dropped.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one at a folder, of a size such as `12m`; none where we may not.
    pub fn mount(at: &Path, size: &str) -> Option<Self> {
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(at)
            .output();
        mount
            .is_ok_and(|mount| mount.status.success())
            .then(|| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Writes a file until nothing more goes in.
///
/// # Panics
/// If it cannot be made at all.
pub fn fill(path: &Path) {
    let mut file = File::create(path).expect("a file");
    let bytes = vec![1; 64 * 1024];
    while file.write_all(&bytes).is_ok() {}
    while file.write_all(&[1]).is_ok() {}
}
