//! A disk in memory that can be made to fail, and that loses on a power cut
//! what was not synced, in every way that a real one may: each 512-byte
//! sector of each write, each length, each name by itself.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::disk::{Disk, DiskFile};

const SECTOR_BYTES: usize = 512;

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing is done.
    Error(io::ErrorKind),
    /// Half of a write is done; any other call fails as a whole.
    Short,
    /// The machine is off from this call on.
    PowerCut,
}

/// The disk; clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct SimulatedDisk(Arc<Mutex<State>>);

#[derive(Default, Clone)]
struct State {
    files: Vec<Content>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    calls: usize,
    fault: Option<(usize, Fault)>,
    full: bool,
    off: bool,
    /// Syncs say they did and do nothing.
    lying: bool,
    random: u64,
}

#[derive(Default, Clone)]
struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

struct SimulatedFile {
    disk: SimulatedDisk,
    id: usize,
}

impl SimulatedDisk {
    /// A disk whose power cuts are drawn from this seed.
    pub(crate) fn new(seed: u64) -> Self {
        let disk = Self::default();
        disk.lock().random = seed.wrapping_mul(2).wrapping_add(1);
        disk
    }

    /// How many calls were made.
    pub(crate) fn calls(&self) -> usize {
        self.lock().calls
    }

    /// Lets the call of this number fail, once.
    pub(crate) fn fail_at(&self, call: usize, fault: Fault) {
        self.lock().fault = Some((call, fault));
    }

    /// Whether all writes are refused for want of room.
    pub(crate) fn set_full(&self, full: bool) {
        self.lock().full = full;
    }

    /// Syncs do nothing from now on.
    pub(crate) fn lie(&self) {
        self.lock().lying = true;
    }

    /// Whether they do.
    pub(crate) fn lies(&self) -> bool {
        self.lock().lying
    }

    /// No call returns until what this gives is dropped.
    pub(crate) fn hang(&self) -> impl Sized {
        self.lock()
    }

    /// What is there when the power is back.
    pub(crate) fn after_power_cut(&self) -> Self {
        let mut state = self.lock().clone();
        for n in 0..state.files.len() {
            for change in std::mem::take(&mut state.files[n].unsynced) {
                let mut durable = std::mem::take(&mut state.files[n].durable);
                state.half_apply(&mut durable, &change);
                state.files[n].durable = durable;
            }
            state.files[n].live = state.files[n].durable.clone();
        }
        let paths: Vec<_> = state
            .names
            .keys()
            .chain(state.durable_names.keys())
            .cloned()
            .collect();
        for path in paths {
            let (live, durable) = (state.names.get(&path), state.durable_names.get(&path));
            if live != durable && state.coin() {
                match state.names.get(&path).copied() {
                    Some(id) => state.durable_names.insert(path, id),
                    None => state.durable_names.remove(&path),
                };
            }
        }
        state.names = state.durable_names.clone();
        (state.off, state.fault, state.full, state.calls) = (false, None, false, 0);
        Self(Arc::new(Mutex::new(state)))
    }

    /// What is there when the process was killed, the machine not.
    pub(crate) fn after_kill(&self) -> Self {
        let mut state = self.lock().clone();
        (state.off, state.fault, state.full, state.calls) = (false, None, false, 0);
        Self(Arc::new(Mutex::new(state)))
    }

    /// The bytes of a file.
    pub(crate) fn bytes(&self, path: &Path) -> Vec<u8> {
        let state = self.lock();
        state.files[state.names[path]].live.clone()
    }

    /// Whether these bytes are in any file that has a name.
    pub(crate) fn holds(&self, bytes: &[u8]) -> bool {
        let state = self.lock();
        let live = state.names.values().map(|id| &state.files[*id].live);
        live.into_iter()
            .any(|live| memchr::memmem::find(live, bytes).is_some())
    }

    /// The names of all files.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.lock().names.keys().cloned().collect()
    }

    /// Puts a file there, on the disk.
    pub(crate) fn put(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.lock();
        let id = state.files.len();
        state.files.push(Content {
            live: bytes.to_vec(),
            durable: bytes.to_vec(),
            unsynced: Vec::new(),
        });
        state.names.insert(path.to_owned(), id);
        state.durable_names.insert(path.to_owned(), id);
    }

    /// Takes a file away, off the disk.
    pub(crate) fn take(&self, path: &Path) {
        let mut state = self.lock();
        state.names.remove(path);
        state.durable_names.remove(path);
    }

    /// Whether the power is cut.
    pub(crate) fn is_off(&self) -> bool {
        self.lock().off
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic under the lock")
    }

    /// Counts a call and lets it fail when it is its turn.
    fn call(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        let call = state.calls;
        state.calls += 1;
        if let Some((at, fault)) = state.fault
            && at == call
        {
            match fault {
                Fault::Error(kind) => return Err(kind.into()),
                Fault::Short => return Err(io::ErrorKind::WriteZero.into()),
                Fault::PowerCut => {
                    state.off = true;
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
            }
        }
        if state.off {
            return Err(io::Error::other("no power"));
        }
        Ok(state)
    }
}

impl State {
    /// xorshift64: enough to choose sectors by.
    fn coin(&mut self) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random >> 40 & 1 == 1
    }

    fn half_apply(&mut self, to: &mut Vec<u8>, change: &Change) {
        match change {
            Change::SetLen(len) if self.coin() => to.resize(*len, 0),
            Change::SetLen(_) => {}
            Change::Write(at, bytes) => {
                for (n, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
                    if self.coin() {
                        write(to, at + n * SECTOR_BYTES, sector);
                    }
                }
            }
        }
    }
}

fn write(to: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if to.len() < at + bytes.len() {
        to.resize(at + bytes.len(), 0);
    }
    to[at..at + bytes.len()].copy_from_slice(bytes);
}

fn apply(to: &mut Vec<u8>, change: &Change) {
    match change {
        Change::SetLen(len) => to.resize(*len, 0),
        Change::Write(at, bytes) => write(to, *at, bytes),
    }
}

impl Disk for SimulatedDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.call()?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = state.files.len();
        state.files.push(Content::default());
        state.names.insert(path.to_owned(), id);
        let disk = self.clone();
        Ok(Box::new(SimulatedFile { disk, id }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let state = self.call()?;
        let id = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        let disk = self.clone();
        Ok(Box::new(SimulatedFile { disk, id }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.call()?;
        let names = state
            .names
            .keys()
            .filter_map(|path| path.strip_prefix(dir).ok());
        Ok(names
            .filter_map(|name| name.to_str().map(str::to_owned))
            .collect())
    }

    fn make_dir(&self, _dir: &Path) -> io::Result<()> {
        self.call().map(drop)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.call()?;
        let id = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), id);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call()?.names.remove(path);
        Ok(())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        let mut state = self.call()?;
        if !state.lying {
            state.durable_names = state.names.clone();
        }
        Ok(())
    }
}

impl SimulatedFile {
    fn change(&self, state: &mut State, change: Change) {
        let content = &mut state.files[self.id];
        apply(&mut content.live, &change);
        content.unsynced.push(change);
    }
}

impl DiskFile for SimulatedFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let called = self.disk.call();
        if let Err(error) = &called {
            let mut state = self.disk.lock();
            let begun = match error.kind() {
                io::ErrorKind::WriteZero => bytes.len() / 2,
                io::ErrorKind::ConnectionAborted => bytes.len(),
                _ => 0,
            };
            let begun = bytes[..begun].to_vec();
            self.change(&mut state, Change::Write(offset as usize, begun));
        }
        let mut state = called?;
        if state.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.change(&mut state, Change::Write(offset as usize, bytes.to_vec()));
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.call()?;
        let live = &state.files[self.id].live;
        let from = (offset as usize).min(live.len());
        let bytes = (live.len() - from).min(buffer.len());
        buffer[..bytes].copy_from_slice(&live[from..from + bytes]);
        Ok(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        let called = self.disk.call().map(|state| state.lying);
        let mut state = self.disk.lock();
        let state = &mut *state;
        match called {
            Ok(true) => {}
            Ok(false) => {
                let content = &mut state.files[self.id];
                for change in std::mem::take(&mut content.unsynced) {
                    apply(&mut content.durable, &change);
                }
            }
            Err(error) if state.off => return Err(error),
            Err(error) => {
                // Some of it is on the disk, and the rest is forgotten: the
                // system takes its pages for written.
                let mut content = std::mem::take(&mut state.files[self.id]);
                for change in std::mem::take(&mut content.unsynced) {
                    state.half_apply(&mut content.durable, &change);
                }
                state.files[self.id] = content;
                return Err(error);
            }
        }
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.disk.call()?;
        self.change(&mut state, Change::SetLen(bytes as usize));
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.call()?.files[self.id].live.len() as u64)
    }

    fn is_named(&self) -> io::Result<bool> {
        let state = self.disk.call()?;
        Ok(state.names.values().any(|id| *id == self.id))
    }
}
