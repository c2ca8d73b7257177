//! Measures the store: `bench-journal acks|fill|open …`, each on a folder that
//! is given. See `tests/bench/store.sh`, which makes the folders and removes
//! them.

mod acks;
mod events;
mod many;
mod sqlite;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let what = args.next().context("acks, fill, open or load")?;
    let dir = PathBuf::from(args.next().context("<folder>")?);
    let number: u64 = args.next().context("<number>")?.parse()?;
    match what.as_str() {
        "acks" => acks::versus(&dir, Duration::from_secs(number)),
        "fill" => many::fill(&dir, number),
        "open" => many::open(&dir, number as usize),
        "load" => many::load(&dir, Duration::from_secs(number)),
        other => bail!("{other} is not acks, fill, open or load"),
    }
}
