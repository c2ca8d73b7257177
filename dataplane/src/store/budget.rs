//! How much one question may read: what is left then goes into the next page,
//! so that no question takes longer than its caller waits.

/// Bytes of the journal that a question reads at most: some four segments,
/// 0.1 s where they are in memory, seconds on a slow disk.
pub const READ_MAX_BYTES: u64 = 128 * 1024 * 1024;
/// What a record costs at least that is read from a place of its own, in bytes:
/// as much is read at once.
const PLACE_BYTES: u64 = 1024;
/// What a message costs whose record is looked for in every segment, in bytes:
/// some 0.1 ms with 80 of them.
const SEARCH_BYTES: u64 = 32 * 1024;

/// What a question may still read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Budget {
    left: u64,
}

impl Budget {
    /// So many bytes.
    pub(super) fn new(bytes: u64) -> Self {
        Self { left: bytes }
    }

    /// For who goes on until the answer is found.
    pub(super) fn unbounded() -> Self {
        Self::new(u64::MAX)
    }

    /// A record of so many bytes was read in the course of a stretch.
    pub(super) fn read(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes as u64);
    }

    /// A record of so many bytes was looked up.
    pub(super) fn looked_up(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub((bytes as u64).max(PLACE_BYTES));
    }

    /// The records of so many messages were looked for.
    pub(super) fn searched(&mut self, messages: usize) {
        self.left = self.left.saturating_sub(messages as u64 * SEARCH_BYTES);
    }

    /// Whether nothing may be read any more.
    pub(super) fn is_spent(self) -> bool {
        self.left == 0
    }
}
