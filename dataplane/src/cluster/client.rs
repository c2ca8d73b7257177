//! The client of the API server, made of what the environment says: a
//! kubeconfig, or the pod that this is.

use std::time::Duration;

use kube::{Client, Config};

/// Longest silence of the API server on a connection that waits for it. A watch
/// ends after [`super::shards::WATCH_SECONDS`], and the client itself has no
/// such bound.
const SILENCE_MAX: Duration = Duration::from_secs(75);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Neither a kubeconfig nor a pod's environment can be used.
    #[error("no way to the API server is known: {0}")]
    Unknown(#[from] kube::config::InferConfigError),
    /// What they say does not make a client.
    #[error("the API server's client: {0}")]
    Client(#[from] kube::Error),
}

/// A client, and the namespace that its environment means.
pub(super) async fn client() -> Result<(Client, String), ClientError> {
    let mut config = Config::infer().await?;
    config.read_timeout = Some(SILENCE_MAX);
    // Counted from when a request is sent, not from when its connection became
    // idle.
    config.reset_reader_on_write = true;
    let namespace = config.default_namespace.clone();
    Ok((Client::try_from(config)?, namespace))
}
