//! Deliveries to event sinks, from the first sinks that are declared until a
//! stop.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{RunError, Shared, stopped};
use crate::args::Settings;
use crate::deliver::attempt::{Client, Limits};
use crate::deliver::guard::Guard;
use crate::deliver::resolve::System;
use crate::deliver::secrets::{Everywhere, SecretsFolder};
use crate::deliver::{self, Handle, Parts};

/// Starts to deliver.
pub(super) fn start(
    settings: &Settings,
    shared: &Shared,
    handle: &Handle,
    stopping: &watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) -> Result<(), RunError> {
    let sinks = &settings.sinks;
    let client = Client {
        guard: Guard::allowing(sinks.allow.clone()),
        resolver: Arc::new(System),
        tls: deliver::roots(sinks.ca.as_deref())?,
        limits: Limits::default(),
        clock: Timestamp::now,
    };
    let outbox = shared.store.outbox().map_err(RunError::Runtime)?;
    let live = Arc::clone(&shared.live);
    let parts = Parts::new(
        outbox,
        Arc::new(Everywhere {
            folder: SecretsFolder(sinks.secrets.clone()),
            keys: Box::new(move || live.keys()),
        }),
        client,
        shared.metrics.deliver.clone(),
    );
    let (sinks, stop) = (shared.live.sinks(), stopped(stopping.clone()));
    tasks.spawn(deliver::run(parts, sinks, handle.clone(), stop));
    Ok(())
}
