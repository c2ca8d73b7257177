//! `GET /docs`: the OpenAPI document as one page.
//!
//! A page of our own and not one of the known viewers: those are a megabyte of
//! script beside the program, and a page that runs scripts on the port where
//! events are read needs a wide content security policy. This one is text: it
//! needs no script and no network, prints, and works in `curl | less`.

mod html;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use utoipa::openapi::OpenApi;

use super::App;

/// The page, printed once.
pub(super) struct Page {
    html: String,
    policy: HeaderValue,
}

/// Prints the page.
pub(super) fn page(document: &OpenApi) -> Page {
    let document = serde_json::to_value(document).unwrap_or_default();
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        html::style_hash()
    );
    Page {
        html: html::page(&document),
        policy: HeaderValue::try_from(policy)
            .unwrap_or(HeaderValue::from_static("default-src 'none'")),
    }
}

/// Answers `GET /docs`.
pub(super) async fn show(State(app): State<App>) -> Response {
    let mut response = app.docs.html.clone().into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::CONTENT_SECURITY_POLICY, app.docs.policy.clone());
    response
}
