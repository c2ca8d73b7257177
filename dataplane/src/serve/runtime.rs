//! What one thread of the listener has to itself: nothing on a request's way
//! is shared with another core but counters and the configuration.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hyper::server::conn::{http1, http2};

use super::Context;
use super::places::Places;
use super::pulse::Pulses;
use super::settings::{Limits, Settings};
use super::waits::Waits;

/// Bytes read from a socket at once; heads are far smaller.
const READ_BYTES: usize = 16 * 1024;
/// HTTP/2 takes no body, so its windows are the smallest useful.
const WINDOW_BYTES: u32 = 16 * 1024;
/// Streams reset by the client before we saw them; more is the attack called
/// rapid reset (CVE-2023-44487).
const RESETS_PENDING_MAX: usize = 20;

/// One thread's own.
pub(super) struct Runtime {
    pub(super) context: Context,
    pub(super) limits: Limits,
    pub(super) settings: Settings,
    pub(super) places: Arc<Places>,
    pub(super) pulses: Pulses,
    pub(super) waits: Waits,
    pub(super) scratch: RefCell<Box<[u8]>>,
    pub(super) http1: http1::Builder,
    pub(super) http2: http2::Builder<LocalExecutor>,
    random: Random,
}

/// Spawns on the runtime of this thread.
#[derive(Debug, Clone, Copy)]
pub(super) struct LocalExecutor;

/// Unique numbers for event ids: a counter through SipHash under a key of the
/// system's random source. They need not be secret.
struct Random {
    key: RandomState,
    count: Cell<u64>,
}

impl Runtime {
    pub(super) fn new(settings: Settings, places: Arc<Places>, mut context: Context) -> Self {
        // Whoever waits for the store on this thread hands in and is woken together.
        context.store = context.store.local_with_bell();
        let limits = settings.limits.clone();
        Self {
            context,
            places,
            pulses: Pulses::new(limits.clone()),
            waits: Waits::default(),
            scratch: RefCell::new(vec![0; READ_BYTES].into_boxed_slice()),
            http1: http1(&limits),
            http2: http2(&limits),
            random: Random {
                key: RandomState::new(),
                count: Cell::new(0),
            },
            limits,
            settings,
        }
    }

    /// Random bits of an event's id.
    pub(super) fn random(&self) -> [u8; 10] {
        let mut bytes = [0; 10];
        let first = self.random.next().to_be_bytes();
        let second = self.random.next().to_be_bytes();
        bytes[..8].copy_from_slice(&first);
        bytes[8..].copy_from_slice(&second[..2]);
        bytes
    }
}

impl Random {
    fn next(&self) -> u64 {
        let count = self.count.get();
        self.count.set(count + 1);
        self.key.hash_one(count)
    }
}

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}

fn http1(limits: &Limits) -> http1::Builder {
    /// The least that hyper's buffer takes.
    const BUFFER_MIN_BYTES: usize = 8 * 1024;
    let mut builder = http1::Builder::new();
    builder
        // Our own watch sees to times; hyper's would take a timer per request.
        .header_read_timeout(None)
        .max_header_size(limits.head_bytes)
        // Room for a whole head and what was pipelined behind it.
        .max_buf_size((2 * limits.head_bytes).max(BUFFER_MIN_BYTES))
        // A head and 43 bytes are copied together sooner than listed apart.
        .writev(false);
    builder
}

fn http2(limits: &Limits) -> http2::Builder<LocalExecutor> {
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(4 * WINDOW_BYTES)
        .max_send_buf_size(64 * 1024);
    builder
}
