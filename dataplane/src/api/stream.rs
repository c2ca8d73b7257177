//! A rewrite whose body is HTML as it is: in and out as bytes of any charset in
//! which ASCII is ASCII, short ones at once, long ones while they come in.
//!
//! # Long ones
//!
//! A task of its own reads, rewrites and queues; the answer's body takes from
//! the queue. So the request is read to its end however slowly the answer is
//! taken: clients that write all before they read would wait for ever
//! otherwise. What is queued is bounded by the body's limit and what rewriting
//! adds. Where the request breaks off, the queue ends without its last word, and
//! the answer's body fails: it is cut, never ended as if it were whole.

use std::io;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use serde::Serialize;
use tokio::sync::mpsc;
use utoipa::IntoParams;

use super::auth::Caller;
use super::body::{Max, Reader};
use super::gate::Place;
use super::plan::Plan;
use super::problem::{Code, Problem};
use super::request::from_headers;
use super::rewrite::{RewriteResponse, print};
use super::settings::BUFFERED_MAX_BYTES;
use super::{App, Context};
use crate::rewrite::report::Report;
use crate::rewrite::{self, HtmlRewriter, Rewritten};

/// Bytes rewritten between two chances for other requests.
const SLICE_BYTES: usize = 64 * 1024;

const LINKS: HeaderName = HeaderName::from_static("mailtrail-links");
const TRACKED: HeaderName = HeaderName::from_static("mailtrail-links-tracked");
const PIXEL: HeaderName = HeaderName::from_static("mailtrail-pixel");
const WARNINGS: HeaderName = HeaderName::from_static("mailtrail-warnings");

/// The fields of a rewrite whose body is `text/html`. Values are UTF-8.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(
    dead_code,
    clippy::struct_excessive_bools,
    reason = "describes what request::from_headers takes; a test compares them"
)]
pub(super) struct RewriteHeaders {
    /// `text/html` only, and needed there: as `domain`.
    #[param(rename = "Mailtrail-Domain", required = false, max_length = 317)]
    domain: String,
    /// `text/html` only, and needed there: as `message_id`.
    #[param(
        rename = "Mailtrail-Message-Id",
        required = false,
        min_length = 1,
        max_length = 128,
        pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$"
    )]
    message_id: String,
    /// `text/html` only: as `recipient`.
    #[param(
        rename = "Mailtrail-Recipient",
        required = false,
        min_length = 1,
        max_length = 254,
        pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$"
    )]
    recipient: String,
    /// `text/html` only: a tag, `<name>=<value>`; may be repeated.
    #[param(rename = "Mailtrail-Tag", required = false, explode = false)]
    tag: Vec<String>,
    /// `text/html` only: as `tracking.opens`.
    #[param(rename = "Mailtrail-Track-Opens", required = false)]
    track_opens: bool,
    /// `text/html` only: as `tracking.clicks`.
    #[param(rename = "Mailtrail-Track-Clicks", required = false)]
    track_clicks: bool,
    /// `text/html` only: as `tracking.pixel`.
    #[param(rename = "Mailtrail-Pixel", required = false, inline)]
    pixel: super::rewrite::RequestedPixel,
    /// `text/html` only: as `from`.
    #[param(
        rename = "Mailtrail-From",
        required = false,
        max_length = 998,
        pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$"
    )]
    from: String,
    /// `text/html` only: as `to`.
    #[param(
        rename = "Mailtrail-To",
        required = false,
        max_length = 998,
        pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$"
    )]
    to: String,
    /// `text/html` only: as `subject`.
    #[param(
        rename = "Mailtrail-Subject",
        required = false,
        max_length = 998,
        pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$"
    )]
    subject: String,
    /// `text/html` only: as `sent_at`.
    #[param(rename = "Mailtrail-Sent-At", required = false)]
    sent_at: String,
    /// `text/html` only: one of `unsubscribe_urls`; may be repeated.
    #[param(
        rename = "Mailtrail-Unsubscribe-Url",
        required = false,
        explode = false
    )]
    unsubscribe_url: Vec<String>,
    /// `text/html` only: as `dry_run`; the answer is the report, as JSON.
    #[param(rename = "Mailtrail-Dry-Run", required = false)]
    dry_run: bool,
    /// `text/html` only: as `test`.
    #[param(rename = "Mailtrail-Test", required = false)]
    test: bool,
}

/// What the task queues for the answer's body.
enum Piece {
    /// Bytes of the mail.
    Bytes(Bytes),
    /// The end, with its trailers: the mail is whole.
    End(HeaderMap),
}

/// A mail on its way through the task.
struct Flow {
    plan: Plan,
    reader: Reader,
    rewriter: HtmlRewriter,
    queue: mpsc::UnboundedSender<Piece>,
    context: Context,
}

/// Answers a rewrite of `text/html`.
pub(super) async fn html(
    app: &App,
    caller: &Caller,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let plan = Plan::new(app, caller, from_headers(&parts.headers)?).await?;
    let max = Max {
        name: "html_max_bytes",
        bytes: app.context.settings.html_max_bytes,
    };
    let mut reader = Reader::new(app, body, max)?;
    let mut input = Vec::new();
    let mut whole = false;
    while !whole && (plan.dry_run() || input.len() <= BUFFERED_MAX_BYTES) {
        match reader.next().await? {
            Some(piece) => input.extend_from_slice(&piece),
            None => whole = true,
        }
    }
    if input.starts_with(b"\xff\xfe") || input.starts_with(b"\xfe\xff") {
        return Err(Problem::new(Code::MediaType).detail("the body is UTF-16: send UTF-8"));
    }
    let mut response = if whole {
        at_once(app, plan, input).await?
    } else {
        let place = parts.extensions.get::<Place>().cloned();
        while_it_comes(app, plan, reader, input, place)
    };
    if let Some(content_type) = parts.headers.get(header::CONTENT_TYPE)
        && !response.headers().contains_key(header::CONTENT_TYPE)
    {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, content_type.clone());
    }
    Ok(response)
}

async fn at_once(app: &App, plan: Plan, input: Vec<u8>) -> Result<Response, Problem> {
    let (plan, output, done) = app
        .compute(input.len(), move || {
            let (output, done) = rewrite::html(plan.job(true), &input);
            (plan, output, done)
        })
        .await?;
    let report = finish(&plan, &app.context, done).await;
    if plan.dry_run() {
        return Ok(print(&RewriteResponse {
            html: None,
            text: None,
            report: report.into(),
        }));
    }
    Ok((counts(&report), Body::from(output)).into_response())
}

fn while_it_comes(
    app: &App,
    plan: Plan,
    reader: Reader,
    begin: Vec<u8>,
    place: Option<Place>,
) -> Response {
    let (queue, pieces) = mpsc::unbounded_channel();
    let flow = Flow {
        rewriter: HtmlRewriter::new(plan.job(true)),
        plan,
        reader,
        queue,
        context: app.context.clone(),
    };
    tokio::spawn(flow.run(begin));
    let frames = stream::unfold(Some((pieces, place)), |state| async move {
        let (mut pieces, place) = state?;
        match pieces.recv().await {
            Some(Piece::Bytes(bytes)) => Some((Ok(Frame::data(bytes)), Some((pieces, place)))),
            Some(Piece::End(trailers)) => Some((Ok(Frame::trailers(trailers)), None)),
            None => Some((Err(io::Error::from(io::ErrorKind::UnexpectedEof)), None)),
        }
    });
    let mut response = Body::new(StreamBody::new(frames)).into_response();
    response.headers_mut().insert(
        header::TRAILER,
        HeaderValue::from_static(
            "mailtrail-links, mailtrail-links-tracked, mailtrail-pixel, mailtrail-warnings",
        ),
    );
    response
}

impl Flow {
    /// Ends early where nobody waits for the answer any more, or where the
    /// request breaks off: dropping the queue then says so.
    async fn run(mut self, begin: Vec<u8>) {
        let mut piece = Bytes::from(begin);
        loop {
            for slice in piece.chunks(SLICE_BYTES) {
                let mut output = Vec::new();
                self.rewriter.write(slice, &mut output);
                if !output.is_empty() && self.queue.send(Piece::Bytes(output.into())).is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
            match self.reader.next().await {
                Ok(Some(next)) => piece = next,
                Ok(None) => break,
                Err(_) => return,
            }
        }
        let mut output = Vec::new();
        let done = self.rewriter.end(&mut output);
        let _ = self.queue.send(Piece::Bytes(output.into()));
        let report = finish(&self.plan, &self.context, done).await;
        let _ = self.queue.send(Piece::End(counts(&report)));
    }
}

/// Adds the warnings that are not the rewriter's and has the record kept.
async fn finish(plan: &Plan, context: &Context, done: Rewritten) -> Report {
    let Rewritten {
        mut report, links, ..
    } = done;
    report.warnings.extend(plan.narrowed());
    let not_recorded = plan.record(context, links, &report).await;
    report.warnings.extend(not_recorded);
    report
}

fn counts(report: &Report) -> HeaderMap {
    let tracked = report.links.iter().filter(|link| link.tracked).count();
    let pixel = match &report.pixel.reason {
        _ if report.pixel.placed => "placed".to_owned(),
        Some(reason) => word(reason),
        None => "none".to_owned(),
    };
    let mut codes: Vec<_> = report.warnings.iter().map(|w| word(&w.code)).collect();
    codes.sort_unstable();
    codes.dedup();
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(LINKS, report.links.len().into());
    headers.insert(TRACKED, tracked.into());
    for (name, text) in [(PIXEL, pixel), (WARNINGS, codes.join(","))] {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(name, value);
        }
    }
    headers
}

/// A word of the report as the JSON has it.
fn word(word: &impl Serialize) -> String {
    match serde_json::to_value(word) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}
