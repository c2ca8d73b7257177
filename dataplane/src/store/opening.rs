//! Opens a data folder: its journals, what was settled, who has withdrawn, the
//! index, and the settling.

use std::io;
use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;

use super::disk::{Disk, RealDisk};
use super::folder::{Folder, OpenError};
use super::index::{Index, KeyHasher};
use super::journal::{Journal, JournalMetrics, Limits, Missing, Opened};
use super::repeats::Repeats;
use super::settle::{self, Judging, RealClock, Settle};
use super::withdrawals::Withdrawals;
use super::{Behind, HITS, Here, Inner, JOURNAL, Settings, Store};
use crate::metrics::Metrics;
use crate::postgres::Postgres;

/// Most stretches of missing records that a start tells of each journal; `journal
/// check` tells all.
const MISSING_TOLD_MAX: usize = 10;

impl Store {
    /// Opens the data folder: locks it, puts what was being written when the
    /// last process ended in order, and starts recording.
    pub fn open(settings: Settings, metrics: Arc<Metrics>) -> Result<Self, OpenError> {
        let limits = match &settings.postgres {
            Some(postgres) => postgres.limits(),
            None => Limits {
                total_bytes: settings.journal_max_bytes.unwrap_or(u64::MAX),
                ..Limits::default()
            },
        };
        Self::open_with(settings, limits, &metrics)
    }

    /// The same with other bounds.
    pub fn open_with(
        settings: Settings,
        limits: Limits,
        metrics: &Metrics,
    ) -> Result<Self, OpenError> {
        Self::open_on(Arc::new(RealDisk), settings, limits, metrics)
    }

    /// The same with the journals on another disk.
    pub(crate) fn open_on(
        disk: Arc<dyn Disk>,
        settings: Settings,
        limits: Limits,
        metrics: &Metrics,
    ) -> Result<Self, OpenError> {
        let folder = Arc::new(Folder::open(&settings.data_dir)?);
        if settings.postgres.is_none() && folder.is_spool() {
            return Err(OpenError::Spool(settings.data_dir));
        }
        let not_readable = |source| OpenError::NotReadable {
            dir: settings.data_dir.clone(),
            source,
        };
        let open = |name, metrics: &JournalMetrics| {
            let dir = folder.dir.join(name);
            let (journal, opened) =
                Journal::open(Arc::clone(&disk), &dir, limits, metrics.clone())?;
            tell(name, &opened);
            io::Result::Ok(Arc::new(journal))
        };
        let journal = open(JOURNAL, &metrics.journal).map_err(not_readable)?;
        let hits = open(HITS, &metrics.hits).map_err(not_readable)?;
        if settings.postgres.is_some() && !folder.is_spool() {
            settle::forget_settled(&hits, &journal).map_err(not_readable)?;
        }
        let behind = match &settings.postgres {
            None => Behind::Here(
                Here::open(disk, &settings, &folder, (&hits, &journal), metrics)
                    .map_err(not_readable)?,
            ),
            Some(postgres) => Behind::Postgres(Postgres::open(
                postgres.clone(),
                (
                    settings.settle,
                    settings.rules.clone(),
                    settings.modes.clone(),
                ),
                (&folder, &hits, &journal),
                metrics,
            )?),
        };
        Ok(Self {
            hits: hits.hub(),
            messages: journal.hub(),
            inner: Arc::new(Inner {
                behind,
                hits,
                journal,
                folder,
            }),
        })
    }
}

impl Here {
    fn open(
        disk: Arc<dyn Disk>,
        settings: &Settings,
        folder: &Arc<Folder>,
        (hits, journal): (&Arc<Journal>, &Arc<Journal>),
        metrics: &Metrics,
    ) -> io::Result<Self> {
        let resumed = settle::resume(&journal.reader(), settle::oldest_ms(&hits.reader()));
        hits.skip_to(resumed.highest());
        let withdrawals = Withdrawals::open(
            disk,
            Arc::clone(folder),
            of_withdrawals(&metrics.journal),
            metrics.withdrawals_incomplete.clone(),
        )?;
        let read = Arc::downgrade(journal);
        let index = Index::start(&folder.dir, KeyHasher::new(&folder.key), move || {
            read.upgrade().map(|journal| journal.reader())
        })?;
        let index = Arc::new(index);
        let settle = Settle::start(
            settle::Parts {
                hits: Arc::clone(hits),
                journal: Arc::clone(journal),
                settle: settings.settle,
                modes: settings.modes.clone(),
                withdrawals: Some(withdrawals.clone()),
                judging: settings.rules.clone().map(|rules| Judging {
                    rules,
                    hasher: index.hasher(),
                    index: Some(Arc::clone(&index)),
                }),
                clock: Box::new(RealClock::default()),
                metrics: metrics.settle.clone(),
            },
            resumed,
        )?;
        Ok(Self {
            settle,
            modes: settings.modes.clone(),
            index,
            repeats: Repeats::load(KeyHasher::new(&folder.key), journal),
            withdrawals,
        })
    }
}

/// What is counted of the withdrawals' journal: with the events', where it
/// matters.
fn of_withdrawals(journal: &JournalMetrics) -> JournalMetrics {
    JournalMetrics {
        others_not_kept: journal.others_not_kept.clone(),
        damaged: journal.damaged.clone(),
        ..JournalMetrics::new(Counter::default())
    }
}

pub(super) fn tell(name: &str, opened: &Opened) {
    tracing::info!(
        segments = opened.segments,
        records = opened.records,
        damaged = opened.damaged,
        torn_bytes = opened.torn_bytes,
        unreadable = opened.unreadable,
        "{name} open"
    );
    if opened.damaged > 0 || opened.unreadable > 0 {
        tracing::warn!(
            damaged = opened.damaged,
            unreadable = opened.unreadable,
            "{name}: damaged records were passed over, and files that cannot be read; \
             `journal check` says where; restore them from a backup, or go on without"
        );
    }
    for Missing { first, last } in opened.missing.iter().take(MISSING_TOLD_MAX) {
        tracing::warn!(
            first,
            last,
            "{name}: records of these numbers were there and are missing: \
             a segment file is gone, empty or cut; restore it from a backup, or go on without"
        );
    }
}
