//! Log lines: structured, to standard error, nothing personal in them.

use std::path::Path;
use std::time::Duration;

use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

use crate::args::{Args, LogFormat};
use crate::judge::window::BURST_MS;
use crate::run::RunError;
use crate::serve;

/// What the Kubernetes client says of each failure; who uses it says so once.
const LEFT_OUT: &str = "kube_client::client::builder=off,kube_runtime::watcher=off";

/// Begins to write log lines as the flags say.
pub(super) fn start(args: &Args) -> Result<(), RunError> {
    let (format, filter) = args.logs();
    // What is named later counts: a flag that names the client wins.
    let filter = EnvFilter::try_new(format!("{LEFT_OUT},{filter}"))
        .map_err(|e| RunError::LogFilter(e.to_string()))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second call (a test that runs the program twice in one process) keeps the first.
    let _ = match format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    Ok(())
}

/// The bound addresses: port 0 has become a real one here.
pub(super) fn addresses(public: &serve::Bound, api: &TcpListener, admin: &TcpListener) {
    let text = |listener: &TcpListener| {
        listener
            .local_addr()
            .map(|a| a.to_string())
            .unwrap_or_default()
    };
    tracing::info!(address = %public.addr(), "public address: pixels and links");
    if let Some(address) = public.tls_addr() {
        tracing::info!(%address, "public TLS address: pixels and links");
    }
    tracing::info!(address = text(api), "API address: rewriting and events");
    tracing::info!(
        address = text(admin),
        "admin address: live, ready, metrics, config"
    );
}

/// Which rules give verdicts; a mistyped variable would leave the shipped ones.
pub(super) fn rules(file: Option<&Path>) {
    match file.map(Path::display) {
        Some(file) => tracing::info!(
            %file,
            "rules for verdicts: from a file, in place of the shipped"
        ),
        None => tracing::info!("rules for verdicts: the shipped"),
    }
}

/// Warns where hits settle before all of a burst can have come (case 92).
pub(super) fn short_settle(settle: Duration) {
    let settle_ms = u64::try_from(settle.as_millis()).unwrap_or(u64::MAX);
    if settle_ms < BURST_MS {
        tracing::warn!(
            settle_ms,
            burst_ms = BURST_MS,
            "--settle is shorter than the time within which a scanner's burst is told: \
             hits that come later than it change no verdict, so scanners may count as people"
        );
    }
}

/// Tells why the program ended, on standard error.
#[expect(
    clippy::print_stderr,
    reason = "the last word of a program that may have no log yet"
)]
pub fn tell(error: &dyn std::error::Error) {
    eprintln!("mailtrail-dataplane: {error}");
}
