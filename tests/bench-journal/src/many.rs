//! A store with many events: how long it takes to open, how much memory it
//! holds, how far the index is behind under load, how long questions take.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use mailtrail_dataplane::metrics::Metrics;
use mailtrail_dataplane::store::{EventFilter, EventQuery, Settings, Store, SummaryQuery};

use crate::acks::median;
use crate::events::{DOMAINS, EVENTS_OF_MESSAGE, Maker, domain, message_id};

/// So many are appended before the last of them is waited for: less than the
/// queue takes.
const BATCH: u64 = 20_000;
/// How often the index is asked how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(20);

fn store(dir: &Path) -> anyhow::Result<Store> {
    let settings = Settings::at(dir).settling_at_once();
    Ok(Store::open(settings, Arc::new(Metrics::new()))?)
}

/// Writes so many events, and a message record for each twenty of them.
pub(crate) fn fill(dir: &Path, events: u64) -> anyhow::Result<()> {
    let (store, maker) = (store(dir)?, Maker::new()?);
    while !store.withdrawals_loaded() {
        std::thread::yield_now();
    }
    let begun = Instant::now();
    for first in (0..events).step_by(BATCH as usize) {
        let mut last = None;
        for n in first..(first + BATCH).min(events) {
            if n % EVENTS_OF_MESSAGE == 0 {
                drop(store.append_message(&maker.message(n / EVENTS_OF_MESSAGE)?));
            }
            last = Some(store.append_hit(&maker.hit(n)?));
        }
        // In order: all before it are kept too, or it is refused with them.
        last.context("a batch has events")?.wait()?;
    }
    println!(
        "{events} hits kept in {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    while !store.is_settled() {
        std::thread::sleep(LOOK_EVERY);
    }
    println!(
        "all of them settled {:.1} s after the first",
        begun.elapsed().as_secs_f64()
    );
    let begun = Instant::now();
    while store.index_behind_bytes() > 0 {
        std::thread::sleep(LOOK_EVERY);
    }
    println!(
        "index caught up {:.1} s later",
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Opens the folder, says what that took, and asks questions.
pub(crate) fn open(dir: &Path, questions: usize) -> anyhow::Result<()> {
    let begun = Instant::now();
    let store = store(dir)?;
    let opened = begun.elapsed();
    println!(
        "opened in {:.1} ms, {:.1} MiB resident",
        opened.as_secs_f64() * 1000.0,
        resident_mib()?
    );
    while store.index_behind_bytes() > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    println!(
        "index ready {:.0} ms after the start, {:.1} MiB resident",
        begun.elapsed().as_secs_f64() * 1000.0,
        resident_mib()?
    );
    let messages = last_message(&store)?;
    // Spread over all that is there, in no order.
    let spread = |n: usize| (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) % messages;
    time("events of a message", questions, |n| {
        let message = spread(n);
        let mut query = EventQuery::of(domain(message)?);
        query.filter = EventFilter {
            message: Some(message_id(message)?),
            ..EventFilter::default()
        };
        let events = store.events(&query)?.events.len() as u64;
        anyhow::ensure!(events == EVENTS_OF_MESSAGE, "{events} events");
        Ok(())
    })?;
    time("the summary of a message", questions, |n| {
        let message = spread(n);
        let query = SummaryQuery {
            domain: domain(message)?,
            message: message_id(message)?,
            recipient: None,
            since: None,
        };
        let summary = store.summary(&query)?;
        anyhow::ensure!(summary.is_some(), "no such message");
        Ok(())
    })?;
    let mut after = None;
    time("a page of 100 events of a domain", questions, |_| {
        let query = EventQuery {
            after: after.clone(),
            limit: 100,
            ..EventQuery::of(domain(3)?)
        };
        let page = store.events(&query)?;
        anyhow::ensure!(page.events.len() == 100, "a short page");
        after = Some(page.next);
        Ok(())
    })?;
    println!("{:.1} MiB resident after all questions", resident_mib()?);
    Ok(())
}

/// How many messages there are: the last one with events.
fn last_message(store: &Store) -> anyhow::Result<u64> {
    let is_there = |message: u64| -> anyhow::Result<bool> {
        let mut query = EventQuery::of(domain(message)?);
        query.filter.message = Some(message_id(message)?);
        query.limit = 1;
        Ok(!store.events(&query)?.events.is_empty())
    };
    let mut step = DOMAINS;
    while is_there(step)? {
        step *= 2;
    }
    let mut count = 0;
    while step > 0 {
        if is_there(count + step)? {
            count += step;
        }
        step /= 2;
    }
    Ok(count)
}

/// Asks a question so often and prints median and 99th percentile.
fn time(
    what: &str,
    times: usize,
    mut ask: impl FnMut(usize) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut took_ms = Vec::with_capacity(times);
    for n in 0..times {
        let begun = Instant::now();
        ask(n)?;
        took_ms.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    took_ms.sort_by(f64::total_cmp);
    let p99 = took_ms.get(times * 99 / 100).copied().unwrap_or(f64::NAN);
    println!(
        "{what}: median {:.2} ms, p99 {p99:.2} ms of {times}",
        median(took_ms)
    );
    Ok(())
}

/// Appends as fast as the store takes it and watches how far the index is
/// behind, in seconds of that load.
pub(crate) fn load(dir: &Path, time: Duration) -> anyhow::Result<()> {
    let store = store(dir)?;
    while !store.withdrawals_loaded() || store.index_behind_bytes() > 0 {
        std::thread::sleep(LOOK_EVERY);
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut most = 0;
            while !stop.load(Ordering::SeqCst) {
                most = store.index_behind_bytes().max(most);
                std::thread::sleep(LOOK_EVERY);
            }
            most
        });
        let maker = Maker::new()?;
        let (begun, mut events) = (Instant::now(), 0);
        let written = (|| {
            while begun.elapsed() < time {
                let mut last = None;
                for _ in 0..1000 {
                    last = Some(store.append_hit(&maker.hit(events)?));
                    events += 1;
                }
                last.context("a batch has events")?.wait()?;
            }
            anyhow::Ok(())
        })();
        let seconds = begun.elapsed().as_secs_f64();
        stop.store(true, Ordering::SeqCst);
        let most = looking.join().map_err(|_| anyhow::anyhow!("panicked"))?;
        written?;
        // Some 230 bytes each, frame included.
        let bytes_per_second = events as f64 * 230.0 / seconds;
        println!(
            "{:.0} events/s for {seconds:.0} s; index at most {:.1} MiB behind: {:.2} s of that load",
            events as f64 / seconds,
            most as f64 / f64::from(1 << 20),
            most as f64 / bytes_per_second,
        );
        Ok(())
    })
}

fn resident_mib() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(kib.context("VmRSS")?.parse::<f64>()? / 1024.0)
}
