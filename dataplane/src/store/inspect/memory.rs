//! One segment file in memory, to be read and nothing else.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::store::disk::{Disk, DiskFile};

/// A folder with this one file in it.
pub(super) struct OneFile {
    pub(super) name: String,
    pub(super) bytes: Arc<[u8]>,
}

struct File(Arc<[u8]>);

fn read_only<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl Disk for OneFile {
    fn create(&self, _: &Path) -> io::Result<Box<dyn DiskFile>> {
        read_only()
    }

    fn open(&self, _: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(File(Arc::clone(&self.bytes))))
    }

    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        Ok(vec![self.name.clone()])
    }

    fn make_dir(&self, _: &Path) -> io::Result<()> {
        read_only()
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        read_only()
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        read_only()
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        read_only()
    }
}

impl DiskFile for File {
    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        read_only()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let from = usize::try_from(offset).map_or(self.0.len(), |from| from.min(self.0.len()));
        let bytes = (self.0.len() - from).min(buffer.len());
        buffer[..bytes].copy_from_slice(&self.0[from..from + bytes]);
        Ok(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        read_only()
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        read_only()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn is_named(&self) -> io::Result<bool> {
        Ok(true)
    }
}
