//! `webhook PORT SECRET_FILE`: a receiver of an event sink, which prints the
//! events that come.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use standardwebhooks::Webhook;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [port, secret_file] = args.as_slice() else {
        anyhow::bail!("webhook PORT SECRET_FILE");
    };
    let secret = std::fs::read_to_string(secret_file)?;
    let webhook = Arc::new(Webhook::new(secret.trim())?);
    let receiver = Router::new().route("/", post(receive)).with_state(webhook);
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    Ok(axum::serve(listener, receiver).await?)
}

/// Takes the bytes as they came: JSON that was read and written again has another
/// signature.
async fn receive(
    State(webhook): State<Arc<Webhook>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    if webhook.verify(&body, &headers).is_err() {
        return StatusCode::UNAUTHORIZED;
    }
    // An event may come twice: it has the same id then.
    println!("{}", String::from_utf8_lossy(&body));
    StatusCode::NO_CONTENT
}
