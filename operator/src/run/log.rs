//! Log lines: structured, to standard error, nothing personal in them.

use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

use super::RunError;
use crate::args::{Args, LogFormat};

/// Begins to write log lines as the flags say.
pub(super) fn start(args: &Args) -> Result<(), RunError> {
    let (format, filter) = args.logs();
    let filter = EnvFilter::try_new(filter).map_err(|e| RunError::LogFilter(e.to_string()))?;
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

/// The bound address: port 0 has become a real one here.
pub(super) fn addresses(admin: &TcpListener) {
    let address = admin.local_addr().map(|a| a.to_string());
    tracing::info!(
        address = address.unwrap_or_default(),
        "admin address: live, ready, metrics"
    );
}

/// Tells why the program ended, on standard error.
#[expect(
    clippy::print_stderr,
    reason = "the last word of a program that may have no log yet"
)]
pub fn tell(error: &dyn std::error::Error) {
    eprintln!("mailtrail-operator: {error}");
}
