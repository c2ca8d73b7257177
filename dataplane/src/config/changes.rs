//! Files that are read again when they change.
//!
//! Every [`POLL`] the files' fingerprint (names, sizes, times, inodes, links
//! followed) is compared with the last one seen. After a change it must stay
//! the same for [`SETTLE`], then the files are read; if they changed meanwhile,
//! that waits again. Polling rather than file events, because a ConfigMap is
//! swapped by a link outside the files, and network folders tell of nothing.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::manifests::{Fingerprint, fingerprint};

/// How often the files are looked at.
pub const POLL: Duration = Duration::from_millis(500);
/// How long they must stay the same before they are read.
pub const SETTLE: Duration = Duration::from_millis(100);

/// What a look at the files came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// Nothing has changed.
    Unchanged,
    /// Something has, and may still be changing.
    Settling,
    /// The new state is used.
    Reloaded,
    /// The new state is refused, the last good one kept.
    Refused,
}

/// Somebody who looks at files.
pub trait Look: Send + 'static {
    /// What is looked at, for the log.
    const WHAT: &'static str;

    /// Looks at the files once, and reads them when they have changed and
    /// settled. Does blocking io.
    fn look(&mut self) -> Looked;
}

/// Watches until `shutdown` ends; a load under way is waited for.
pub async fn watch<L: Look>(mut watcher: L, shutdown: impl Future<Output = ()>) {
    tokio::pin!(shutdown);
    let mut wait = POLL;
    loop {
        tokio::select! {
            () = &mut shutdown => return,
            () = tokio::time::sleep(wait) => {}
        }
        let look = move || {
            let looked = watcher.look();
            (watcher, looked)
        };
        let looked;
        (watcher, looked) = match tokio::task::spawn_blocking(look).await {
            Ok(done) => done,
            Err(error) => {
                tracing::error!(%error, "{} are no longer watched", L::WHAT);
                return;
            }
        };
        wait = match looked {
            Looked::Settling => SETTLE,
            Looked::Unchanged | Looked::Reloaded | Looked::Refused => POLL,
        };
    }
}

/// Which state of a path's files was last read.
pub(crate) struct Changes {
    path: PathBuf,
    /// What tells one state from another.
    sign: fn(&Path) -> Fingerprint,
    /// The state that was last taken or refused.
    seen: Fingerprint,
    /// A newer one that may still be changing.
    settling: Option<Fingerprint>,
}

/// What has become of the files.
pub(crate) enum Change<T> {
    /// Nothing.
    None,
    /// They may still be changing.
    Settling,
    /// This was read of their new state.
    Read(T),
}

impl Changes {
    /// Goes on from a state that was read.
    pub(super) fn since(path: PathBuf, seen: Fingerprint) -> Self {
        Self::by_sign(path, fingerprint, seen)
    }

    /// The same for files of another kind than manifests.
    pub(crate) fn by_sign(
        path: PathBuf,
        sign: fn(&Path) -> Fingerprint,
        seen: Fingerprint,
    ) -> Self {
        Self {
            path,
            sign,
            seen,
            settling: None,
        }
    }

    /// Looks, and reads where the files have changed and settled.
    pub(crate) fn look<T>(&mut self, read: impl FnOnce(&Path) -> T) -> Change<T> {
        let now = (self.sign)(&self.path);
        if now == self.seen {
            self.settling = None;
            return Change::None;
        }
        if self.settling != Some(now) {
            self.settling = Some(now);
            return Change::Settling;
        }
        let of_now = read(&self.path);
        let after = (self.sign)(&self.path);
        if after != now {
            self.settling = Some(after);
            return Change::Settling;
        }
        self.seen = now;
        self.settling = None;
        Change::Read(of_now)
    }
}
