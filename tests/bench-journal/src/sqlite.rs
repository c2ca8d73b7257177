//! SQLite as a journal: one thread writes, WAL, `synchronous=FULL`, so that a
//! transaction is on the disk when it is committed. The table has no index.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use anyhow::anyhow;
use mailtrail_core::event::Event;
use rusqlite::Connection;
use tokio::sync::oneshot;

/// Bytes of a payload: what an event takes in the journal.
const PAYLOAD_BYTES: usize = 230;

/// What a transaction holds.
#[derive(Clone, Copy)]
pub(crate) enum Commits {
    /// One event.
    EachEvent,
    /// All events that wait.
    WhatWaits,
}

/// The database and its thread.
pub(crate) struct Sqlite {
    queue: Option<Sender<Waiting>>,
    thread: Option<JoinHandle<rusqlite::Result<()>>>,
}

struct Waiting {
    time_ms: i64,
    payload: Vec<u8>,
    kept: oneshot::Sender<()>,
}

impl Sqlite {
    pub(crate) fn open(path: &Path, commits: Commits) -> anyhow::Result<Self> {
        let database = Connection::open(path)?;
        database.pragma_update(None, "journal_mode", "WAL")?;
        database.pragma_update(None, "synchronous", "FULL")?;
        database.execute_batch(
            "CREATE TABLE events (seq INTEGER PRIMARY KEY, time INTEGER, payload BLOB) STRICT",
        )?;
        let (queue, waiting) = channel();
        let thread = std::thread::spawn(move || write(&database, &waiting, commits));
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    /// Returns when the event is on the disk.
    pub(crate) async fn append(&self, event: &Event) -> anyhow::Result<()> {
        let mut payload = event.id.as_bytes().to_vec();
        payload.resize(PAYLOAD_BYTES, 0x5a);
        let (kept, answer) = oneshot::channel();
        let waiting = Waiting {
            time_ms: event.time.as_millisecond(),
            payload,
            kept,
        };
        let queue = self.queue.as_ref().ok_or_else(|| anyhow!("closed"))?;
        queue
            .send(waiting)
            .map_err(|_| anyhow!("the writer has ended"))?;
        Ok(answer.await?)
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(matches!(ended, Ok(Ok(()))), "the writer failed: {ended:?}");
        }
    }
}

fn write(
    database: &Connection,
    waiting: &Receiver<Waiting>,
    commits: Commits,
) -> rusqlite::Result<()> {
    let mut insert = database.prepare("INSERT INTO events (time, payload) VALUES (?1, ?2)")?;
    let mut batch = Vec::new();
    while let Ok(first) = waiting.recv() {
        batch.push(first);
        if let Commits::WhatWaits = commits {
            batch.extend(waiting.try_iter());
        }
        database.execute_batch("BEGIN")?;
        for one in &batch {
            insert.execute((one.time_ms, &one.payload))?;
        }
        database.execute_batch("COMMIT")?;
        for one in batch.drain(..) {
            let _ = one.kept.send(());
        }
    }
    Ok(())
}
