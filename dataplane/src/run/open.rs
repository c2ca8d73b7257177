//! What is there before anything is served: the data folder, the keyring, the
//! first domains; and when all of it is.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mailtrail_core::config::Snapshot;
use mailtrail_core::keyring::Keyring;
use mailtrail_core::token::Keys;

use super::{RunError, Shared, Sources, source};
use crate::admin::Readiness;
use crate::args::{self, Settings};
use crate::config::Live;
use crate::config::rules::{self, RulesBaseline};
use crate::judge::{LiveRules, Rules};
use crate::keyring;
use crate::metrics::Metrics;
use crate::postgres::{self, Address};
use crate::serve::tls::{self, Acceptor, CertificateWatcher};
use crate::store::{self, Modes, Store};

/// How often it is asked whether the list of withdrawals is loaded.
const LOADED_POLL: Duration = Duration::from_millis(10);
/// So long it is waited for where it comes from a database, which may be away:
/// links lead home without it, and readers who are named are not recorded.
const LOADED_PATIENCE: Duration = Duration::from_secs(10);

/// What is there before there is a keyring.
pub(super) struct Base {
    pub(super) rules: Arc<LiveRules>,
    pub(super) rules_baseline: Option<RulesBaseline>,
    pub(super) store: Store,
    /// What the store records, as the domains will say.
    pub(super) modes: Modes,
    pub(super) metrics: Arc<Metrics>,
    pub(super) readiness: Arc<Readiness>,
    /// What ends TLS, where it is spoken, until the listener has it.
    pub(super) acceptor: Option<Acceptor>,
    pub(super) certificates: Option<CertificateWatcher>,
    /// Whether events were kept here by an earlier start.
    pub(super) used_before: bool,
}

/// Opens what is on disk: the data folder before the keyring, since its lock
/// says that no other process is at work on that either.
pub(super) fn open(settings: &Settings) -> Result<Base, RunError> {
    let metrics = Arc::new(Metrics::new());
    let used_before = store::was_used(&settings.data_dir);
    let (rules, rules_baseline) = match settings.rules.clone().map(rules::load).transpose()? {
        Some((rules, baseline)) => (rules, Some(baseline)),
        None => (Rules::shipped(), None),
    };
    let rules = Arc::new(LiveRules::new(rules));
    let modes = Modes::awaited();
    let tls = settings.tls.as_ref();
    let clock: tls::Clock = Arc::new(Timestamp::now);
    let tls = tls.map(|tls| tls::open(tls.folder.clone(), clock, metrics.tls.clone()));
    let (acceptor, certificates) = tls.transpose()?.unzip();
    let store = Store::open(
        store::Settings {
            settle: settings.settle,
            journal_max_bytes: settings.journal_max_bytes,
            rules: Some(Arc::clone(&rules)),
            modes: modes.clone(),
            postgres: settings.postgres.as_ref().map(database).transpose()?,
            ..store::Settings::at(settings.data_dir.clone())
        },
        Arc::clone(&metrics),
    )?;
    Ok(Base {
        rules,
        rules_baseline,
        store,
        modes,
        metrics,
        readiness: Arc::default(),
        acceptor,
        certificates,
        used_before,
    })
}

/// Where the database is, and whether its flags say so.
fn database(named: &args::Postgres) -> Result<postgres::Settings, RunError> {
    let args::Postgres {
        url,
        password_file,
        ca_file,
        spool_max_bytes,
    } = named;
    let address = Address::new(url, password_file.clone(), ca_file.as_deref())?;
    Ok(postgres::Settings {
        address: Arc::new(address),
        spool_max_bytes: *spool_max_bytes,
    })
}

/// Adds what needs a keyring: domains.
pub(super) fn share(
    settings: &Settings,
    base: Base,
    keyring: Keyring,
) -> Result<(Shared, Sources), RunError> {
    let live = Arc::new(Live::new(Snapshot::default(), Keys::new(keyring)));
    let sources = Sources {
        domains: source::open(settings, &base, &live)?,
        rules: base.rules_baseline,
        certificates: base.certificates,
    };
    base.modes.follow(Arc::clone(&live));
    let shared = Shared {
        live,
        rules: base.rules,
        store: base.store,
        metrics: base.metrics,
        readiness: base.readiness,
        key_missing: Arc::default(),
    };
    Ok((shared, sources))
}

/// The keyring; where it is to be waited for, as soon as it is there.
pub(super) async fn keyring(settings: &Settings, base: &Base) -> Result<Keyring, RunError> {
    let file = settings.keyring.clone();
    let path = file.path.display().to_string();
    let not_yet = || {
        tracing::warn!(
            keyring.path = path,
            "the keyring is not there: waiting for it"
        );
        base.readiness
            .waits_for(format!("waiting for the keyring: {path} is not there"));
    };
    Ok(keyring::wait_for(file, base.used_before, not_yet).await?)
}

/// Says "ready" once all is there; does not end.
pub(super) async fn ready(shared: &Shared, has_database: bool) {
    // Until then nothing that names a recipient would be recorded.
    let loaded = async {
        while !shared.store.withdrawals_loaded() {
            tokio::time::sleep(LOADED_POLL).await;
        }
    };
    match has_database {
        false => loaded.await,
        true => {
            let why = "waiting for PostgreSQL, which knows who has withdrawn";
            shared.readiness.waits_for(why.to_owned());
            if tokio::time::timeout(LOADED_PATIENCE, loaded).await.is_err() {
                tracing::warn!(
                    "PostgreSQL has not said who has withdrawn: until it does, nothing is recorded of readers who are named"
                );
            }
        }
    }
    let mut applied = shared.live.applied();
    loop {
        let waits_for = applied
            .borrow_and_update()
            .as_ref()
            .and_then(|a| a.waits_for());
        let Some(what) = waits_for else { break };
        shared.readiness.waits_for(what);
        if applied.changed().await.is_err() {
            break;
        }
    }
    shared.readiness.ready();
    std::future::pending::<()>().await;
}
