//! The public listener alone, for measuring:
//! `serve_bench <runtimes> <data folder> [folder with a certificate]`.
//!
//! Prints its addresses and the paths to ask for as `name=value` lines, and
//! serves until its standard input ends. All limits are on and have their
//! defaults, but for the connections of one peer, which all come from the load
//! generator.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what it prints is its interface"
)]

use std::io::Read;
use std::net::Ipv4Addr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use mailtrail_core::config::{Domain, Snapshot};
use mailtrail_core::id::LinkPosition;
use mailtrail_core::keyring::Keyring;
use mailtrail_core::target::Target;
use mailtrail_core::token::{Claim, Hour, Keys, Link, Mail, Purpose};
use mailtrail_dataplane::config::Live;
use mailtrail_dataplane::judge::{LiveRules, Rules};
use mailtrail_dataplane::metrics::Metrics;
use mailtrail_dataplane::serve::tls::{self, Tls};
use mailtrail_dataplane::serve::{self, Context, Settings};
use mailtrail_dataplane::store::{self, Store};

/// As the program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let runtimes: NonZeroUsize = args.next().context("<runtimes>")?.parse()?;
    let data_dir = PathBuf::from(args.next().context("<data folder>")?);
    let certificates = args.next().map(PathBuf::from);

    let keys = Keys::new(Keyring::generate(std::array::from_fn(|at| at as u8 + 1))?);
    let on = domain("shop/on", "on.example", true)?;
    let off = domain("shop/off", "off.example", false)?;
    let click = Purpose::Click(Link {
        position: LinkPosition(3),
        target: Target::parse("https://www.shop.example/sale?utm_source=news&utm_medium=mail")?,
    });
    let pixel =
        |domain: &Domain| Ok::<_, anyhow::Error>(keys.seal(&domain.realm, &claim(Purpose::Open)?));
    println!("pixel_unknown=on.example/o/{}", "0".repeat(90));
    println!("pixel_off=off.example/o/{}", pixel(&off)?);
    println!("pixel_durable=on.example/o/{}", pixel(&on)?);
    println!(
        "click_off=off.example/c/{}",
        keys.seal(&off.realm, &claim(click.clone())?)
    );
    println!(
        "click_durable=on.example/c/{}",
        keys.seal(&on.realm, &claim(click)?)
    );

    let metrics = Arc::new(Metrics::new());
    let store = Store::open(store::Settings::at(data_dir), Arc::clone(&metrics))?;
    let mut settings = Settings::at((Ipv4Addr::LOCALHOST, 0).into());
    settings.runtimes = Some(runtimes);
    if let Some(folder) = certificates {
        let (acceptor, _) = tls::open(folder, Arc::new(Timestamp::now), metrics.tls.clone())?;
        settings.tls = Some(Tls {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            acceptor,
        });
    }
    settings.limits.connections_per_peer = settings.limits.connections;
    let bound = serve::bind(settings)?;
    if let Some(address) = bound.tls_addr() {
        println!("tls_address={address}");
    }
    println!("address={}", bound.addr());
    let running = bound.start(Context {
        live: Arc::new(Live::new(Snapshot::new([on, off])?, keys)),
        rules: Arc::new(LiveRules::new(Rules::shipped())),
        store: store.clone(),
        metrics: Arc::clone(&metrics),
        clock: Timestamp::now,
        key_missing: Arc::default(),
    })?;
    std::io::stdin().read_to_end(&mut Vec::new())?;

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(running.drain(Duration::from_secs(5)));
    runtime.block_on(store.close())?;
    eprint!("{}", metrics.encode());
    Ok(())
}

fn domain(realm: &str, host: &str, enabled: bool) -> anyhow::Result<Domain> {
    let entry = serde_json::json!({
        "version": 1, "realm": realm, "generation": 1, "host": host, "verified": true,
        "opens": { "enabled": enabled }, "clicks": { "enabled": enabled, "linksMax": 100 },
        "retentionDays": 45,
    });
    Ok(serde_json::from_value(entry)?)
}

fn claim(purpose: Purpose) -> anyhow::Result<Claim> {
    let mail = Mail {
        message: "0193d5c0-1f2e-7abc-8def-0123456789ab".parse()?,
        recipient: Some("customer-4711".parse()?),
        sent: Hour::from_unix_seconds(Timestamp::now().as_second()),
        test: false,
        opens_on: true,
    };
    Ok(Claim { mail, purpose })
}
