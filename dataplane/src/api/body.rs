//! Reads request bodies: bounded in size, in time, and in what all of them
//! hold together.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use encoding_rs::Encoding;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::Shared;
use super::fields::Fields;
use super::problem::{Code, Problem};
use super::query;
use super::settings::SMALL_BODY_MAX_BYTES;

/// A body that is being read.
pub(super) struct Reader {
    body: Body,
    deadline: Instant,
    read_bytes: usize,
    max: Max,
    budget: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
}

/// A limit of bytes and its name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Max {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub bytes: usize,
}

/// A body in memory, and its share of what bodies may hold.
pub(super) struct Held {
    /// The body.
    pub bytes: Vec<u8>,
    _share: Option<OwnedSemaphorePermit>,
}

impl Reader {
    /// Begins to read; a body that says it is too large is refused unread.
    pub(super) fn new(app: &Shared, body: Body, max: Max) -> Result<Self, Problem> {
        let announced = body.size_hint().lower();
        if usize::try_from(announced).is_ok_and(|bytes| bytes <= max.bytes) {
            Ok(Self {
                body,
                deadline: Instant::now() + app.context.settings.body_time,
                read_bytes: 0,
                max,
                budget: Arc::clone(&app.body_bytes),
                held: None,
            })
        } else {
            Err(Problem::too_large(max.name, max.bytes))
        }
    }

    /// The next piece; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            let frame = match tokio::time::timeout_at(self.deadline, self.body.frame()).await {
                Err(_) => return Err(Problem::new(Code::SlowBody).detail("see body_time")),
                Ok(None) => return Ok(None),
                Ok(Some(Err(_))) => {
                    return Err(Problem::new(Code::CutOff));
                }
                Ok(Some(Ok(frame))) => frame,
            };
            // Trailers of a request say nothing to us.
            let Ok(piece) = frame.into_data() else {
                continue;
            };
            self.read_bytes += piece.len();
            if self.read_bytes > self.max.bytes {
                return Err(Problem::too_large(self.max.name, self.max.bytes));
            }
            self.hold(piece.len())?;
            return Ok(Some(piece));
        }
    }

    /// All of it.
    pub(super) async fn all(mut self) -> Result<Held, Problem> {
        let announced = usize::try_from(self.body.size_hint().lower()).unwrap_or(0);
        // Not more than 64 KiB on a promise: the rest as it comes.
        let mut bytes = Vec::with_capacity(announced.min(64 * 1024));
        while let Some(piece) = self.next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(Held {
            bytes,
            _share: self.held,
        })
    }

    fn hold(&mut self, bytes: usize) -> Result<(), Problem> {
        let count = u32::try_from(bytes).unwrap_or(u32::MAX);
        // Nobody waits here: two half-read bodies would wait for each other.
        let share = Arc::clone(&self.budget)
            .try_acquire_many_owned(count)
            .map_err(|_| Problem::new(Code::Overloaded).detail("see bodies_max_bytes"))?;
        match &mut self.held {
            Some(held) => held.merge(share),
            None => self.held = Some(share),
        }
        Ok(())
    }
}

/// The fields of a body that is small and JSON, as all but a mail's are.
pub(super) async fn small_json(app: &Shared, request: Request) -> Result<Fields, Problem> {
    Fields::parse(&small(app, request).await?)
}

/// The same, of a body that need not be there, or is null: then it has no fields.
pub(super) async fn small_json_or_none(app: &Shared, request: Request) -> Result<Fields, Problem> {
    let has_type = request.headers().contains_key(header::CONTENT_TYPE);
    if !has_type && request.body().is_end_stream() {
        query::none(request.uri())?;
        return Fields::parse(b"{}");
    }
    match small(app, request).await? {
        null if null.trim_ascii() == b"null" => Fields::parse(b"{}"),
        body => Fields::parse(&body),
    }
}

/// The bytes of a body that is small and said to be JSON.
async fn small(app: &Shared, request: Request) -> Result<Vec<u8>, Problem> {
    query::none(request.uri())?;
    kind(request.headers(), &[Kind::Json])?;
    let max = Max {
        name: "small_body_max_bytes",
        bytes: SMALL_BODY_MAX_BYTES,
    };
    let body = Reader::new(app, request.into_body(), max)?.all().await?;
    Ok(body.bytes)
}

/// What a request says its body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `application/json`.
    Json,
    /// `text/html` in a charset whose ASCII bytes are ASCII.
    Html,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Html => "text/html",
        }
    }
}

/// Reads `Content-Type`, which must be one of these kinds. A charset is taken
/// where markup and URLs can be found in its bytes as they are (case 67): UTF-8,
/// ISO-8859-*, windows-*, Shift_JIS, EUC-*, GB*, Big5; not UTF-16, ISO-2022-JP,
/// UTF-7.
pub(super) fn kind(headers: &HeaderMap, taken: &[Kind]) -> Result<Kind, Problem> {
    let refused = |detail: &str| Problem::new(Code::MediaType).detail(detail);
    if headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|coding| coding != "identity")
    {
        return Err(refused(
            "a Content-Encoding is not read: send the body as it is",
        ));
    }
    let value = headers.get(header::CONTENT_TYPE);
    let value = value.and_then(|value| value.to_str().ok()).unwrap_or("");
    let (essence, charset) = media_type(value);
    let encoding = match charset {
        None => encoding_rs::UTF_8,
        Some(label) => Encoding::for_label_no_replacement(label.as_bytes())
            .filter(|encoding| encoding.is_ascii_compatible())
            .ok_or_else(|| {
                refused("the charset is not known or not ASCII-compatible: send UTF-8")
            })?,
    };
    let is_meant = |kind: &Kind| essence.eq_ignore_ascii_case(kind.name());
    match taken.iter().copied().find(is_meant) {
        Some(Kind::Json) if encoding != encoding_rs::UTF_8 => {
            Err(refused("JSON is UTF-8 (RFC 8259, 8.1)"))
        }
        Some(kind) => Ok(kind),
        None => {
            let names: Vec<_> = taken.iter().map(|kind| kind.name()).collect();
            let names = names.join(" or ");
            Err(refused(&format!("send the header Content-Type: {names}")))
        }
    }
}

/// A media type without its parameters, and its charset.
fn media_type(value: &str) -> (&str, Option<&str>) {
    let (essence, parameters) = value.split_once(';').unwrap_or((value, ""));
    let charset = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("charset")
            .then(|| value.trim().trim_matches('"'))
    });
    (essence.trim(), charset)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(content_type: &'static str, expected: Option<Kind>) {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            content_type.parse().expect("a header"),
        );
        let taken = [Kind::Json, Kind::Html];
        assert_eq!(kind(&headers, &taken).ok(), expected, "{content_type}");
    }

    #[test]
    fn case_67_charsets_that_keep_ascii_are_taken() {
        for charset in [
            "",
            "; charset=utf-8",
            ";charset=\"ISO-8859-1\"",
            "; charset=windows-1252",
            "; format=x; Charset=Shift_JIS",
            "; charset=euc-jp",
            "; charset=gb18030",
            "; charset=us-ascii",
        ] {
            check(
                Box::leak(format!("text/html{charset}").into_boxed_str()),
                Some(Kind::Html),
            );
        }
    }

    #[test]
    fn case_67_other_charsets_are_refused() {
        for charset in [
            "utf-16",
            "utf-16le",
            "ISO-2022-JP",
            "utf-7",
            "hz-gb-2312",
            "",
            "x",
        ] {
            check(
                Box::leak(format!("text/html; charset={charset}").into_boxed_str()),
                None,
            );
        }
    }

    #[test]
    fn other_media_types_are_refused() {
        check("application/json", Some(Kind::Json));
        check("Application/JSON; charset=UTF-8", Some(Kind::Json));
        for other in [
            "application/json; charset=latin1",
            "text/plain",
            "multipart/form-data",
            "",
        ] {
            check(other, None);
        }
    }
}
