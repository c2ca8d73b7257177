//! Answers of any length that are written while they are read, a page at a time.
//!
//! The first page is read before the answer begins, so that what is wrong then
//! is a problem like any other. Where a later one cannot be read the answer is
//! cut, never ended as if it were whole.

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt as _, stream};

use super::problem::Problem;

/// The type of lines of JSON.
pub(super) const JSON_LINES: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// Pages that are left to write.
pub(super) trait Pages: Send + 'static {
    /// Whether there are any.
    fn more(&self) -> bool;

    /// The next one, written.
    fn next(&mut self) -> impl Future<Output = Result<Vec<u8>, Problem>> + Send;
}

/// A page could not be read.
#[derive(Debug, thiserror::Error)]
#[error("not all could be read")]
struct Broken;

/// A body that begins with what was read already; a reader who is slow is waited
/// for, and nothing more is read meanwhile.
pub(super) fn while_read(first: Vec<u8>, left: impl Pages) -> Body {
    let rest = stream::unfold(Some(left), |left| async {
        let mut left = left.filter(Pages::more)?;
        match left.next().await {
            Ok(page) => Some((Ok(Bytes::from(page)), Some(left))),
            // What was wrong is in the log, as with any other question.
            Err(_) => Some((Err(Broken), None)),
        }
    });
    let begun = stream::once(std::future::ready(Ok(Bytes::from(first))));
    Body::from_stream(begun.chain(rest))
}

/// The same as lines of JSON, kept by nobody on the way.
pub(super) fn lines_while_read(first: Vec<u8>, left: impl Pages) -> Response {
    let headers = [
        (header::CONTENT_TYPE, JSON_LINES),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, while_read(first, left)).into_response()
}

/// Each as JSON on a line of its own.
pub(super) fn json_lines<T: serde::Serialize>(rows: impl Iterator<Item = T>) -> Vec<u8> {
    let mut lines = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut lines, &row).expect("plain data into memory");
        lines.push(b'\n');
    }
    lines
}
