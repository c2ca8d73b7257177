//! hyper's own refusals, in our words.
//!
//! What hyper cannot parse never becomes a request: it answers on its own, a
//! head without a body, and has no hook for it. So the bytes it writes are
//! looked at on their way: a whole HTTP/1 head of 400, 414 or 431 that says
//! there is no body is hyper's, because every refusal of ours has one.

use http::StatusCode;

use super::problem::{Code, Problem};
use super::settings::HEAD_MAX_BYTES;

/// The response to send in place of what hyper writes, if that is a refusal
/// of its own.
pub(super) fn in_our_words(written: &[u8]) -> Option<Vec<u8>> {
    let rest = written.strip_prefix(b"HTTP/1.1 4")?;
    let head = std::str::from_utf8(rest).ok()?.strip_suffix("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let (status, problem) = match lines.next()?.get(..2)? {
        "00" => (StatusCode::BAD_REQUEST, Problem::new(Code::NotHttp)),
        "14" | "31" => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, too_large()),
        _ => return None,
    };
    lines
        .any(|line| line.eq_ignore_ascii_case("content-length: 0"))
        .then(|| response(status, &problem))
}

fn too_large() -> Problem {
    Problem::new(Code::HeadTooLarge)
        .detail("a head has a request line and header fields, few and short")
        .limit("head_max_bytes", HEAD_MAX_BYTES)
}

fn response(status: StatusCode, problem: &Problem) -> Vec<u8> {
    let body = serde_json::to_string(problem).unwrap_or_default();
    format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        status.as_str(),
        status.canonical_reason().unwrap_or_default(),
        body.len(),
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_bytes_are_left_as_they_are() {
        for written in [
            "",
            "HTTP/1.1 4",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\nmore",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "\u{fc}HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
        ] {
            assert_eq!(in_our_words(written.as_bytes()), None, "{written:?}");
        }
    }
}
