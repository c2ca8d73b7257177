//! Acknowledged events per second: 1000 producers, each of which waits until
//! its event is on the disk before it makes the next. The journal against
//! SQLite (WAL, `synchronous=FULL`) on the same file system, in turns.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mailtrail_dataplane::metrics::Metrics;
use mailtrail_dataplane::store::{Settings, Store};

use crate::events::Maker;
use crate::sqlite::{Commits, Sqlite};

/// Producers that wait.
const PRODUCERS: u64 = 1000;
/// Rounds of all three in turn.
const ROUNDS: usize = 5;

/// Prints the median of each and the ratios.
pub(crate) fn versus(dir: &Path, time: Duration) -> anyhow::Result<()> {
    let mut rates = [const { Vec::new() }; 3];
    for round in 0..ROUNDS {
        let at = |name: &str| dir.join(format!("{name}-{round}"));
        rates[0].push(journal(&at("journal"), time)?);
        rates[1].push(sqlite(&at("each.db"), Commits::EachEvent, time)?);
        rates[2].push(sqlite(&at("batch.db"), Commits::WhatWaits, time)?);
        println!(
            "round {}: journal {:.0}, sqlite each {:.0}, sqlite batches {:.0} acknowledged/s",
            round + 1,
            rates[0][round],
            rates[1][round],
            rates[2][round],
        );
    }
    let [journal, each, batches] = rates.map(median);
    println!("median of {ROUNDS}, {PRODUCERS} producers, acknowledged events/s:");
    println!("  journal                          {journal:>8.0}");
    println!(
        "  sqlite, a transaction each       {each:>8.0}   ratio {:.2}",
        journal / each
    );
    println!(
        "  sqlite, a transaction a batch    {batches:>8.0}   ratio {:.2}",
        journal / batches
    );
    Ok(())
}

fn journal(dir: &Path, time: Duration) -> anyhow::Result<f64> {
    // What a reader's answer waits for: that the hit is on the disk. Settling
    // comes later and is not measured here.
    let settings = Settings {
        settle: Duration::from_secs(3600),
        ..Settings::at(dir)
    };
    let store = Store::open(settings, Arc::new(Metrics::new()))?.local();
    while !store.withdrawals_loaded() {
        std::thread::yield_now();
    }
    let maker = Maker::new()?;
    let rate = produce(time, Rc::new(Journal { store, maker }))?;
    std::fs::remove_dir_all(dir)?;
    Ok(rate)
}

fn sqlite(path: &Path, commits: Commits, time: Duration) -> anyhow::Result<f64> {
    let (maker, sqlite) = (Maker::new()?, Sqlite::open(path, commits)?);
    produce(time, Rc::new(Peer { sqlite, maker }))
}

/// Keeps event number `n` and returns when it is on the disk.
trait Keep: 'static {
    async fn keep(&self, n: u64) -> anyhow::Result<()>;
}

struct Journal {
    store: Store,
    maker: Maker,
}

impl Keep for Journal {
    async fn keep(&self, n: u64) -> anyhow::Result<()> {
        Ok(self.store.append_hit(&self.maker.hit(n)?).await?)
    }
}

struct Peer {
    sqlite: Sqlite,
    maker: Maker,
}

impl Keep for Peer {
    async fn keep(&self, n: u64) -> anyhow::Result<()> {
        // Made as for the journal, so that both pay for it.
        self.sqlite.append(&self.maker.hit(n)?.event).await
    }
}

/// Runs the producers for so long and gives how many events a second were
/// acknowledged.
fn produce(time: Duration, to: Rc<impl Keep>) -> anyhow::Result<f64> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let begun = Instant::now();
    let done = tokio::task::LocalSet::new().block_on(&runtime, async {
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|producer| {
                let to = Rc::clone(&to);
                tokio::task::spawn_local(async move {
                    let mut done = 0;
                    while begun.elapsed() < time {
                        to.keep(producer * 1_000_000 + done).await?;
                        done += 1;
                    }
                    anyhow::Ok(done)
                })
            })
            .collect();
        let mut sum = 0;
        for producer in producers {
            sum += producer.await??;
        }
        anyhow::Ok(sum)
    })?;
    Ok(done as f64 / begun.elapsed().as_secs_f64())
}

/// The middle one.
pub(crate) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}
