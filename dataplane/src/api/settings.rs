//! The API's bounds, each with its unit and reason.

use std::time::Duration;

/// Longest plain text, in bytes: people write less, machines should send HTML.
pub const TEXT_MAX_BYTES: usize = 1024 * 1024;
/// Longest HTML, in bytes, unless set otherwise; Gmail shows 102 KB of it.
pub const HTML_MAX_BYTES_DEFAULT: usize = 5 * 1024 * 1024;
/// Most tags of a message.
pub const TAGS_MAX: usize = 16;
/// Most bytes of all tags together, keys and values.
pub const TAGS_MAX_BYTES: usize = 256;
/// Longest `from`, `to` and `subject`, in bytes: a header line of a mail has
/// at most 998 octets (RFC 5322, 2.1.1).
pub const HEADER_MAX_BYTES: usize = 998;
/// Most unsubscribe URLs of a message: `List-Unsubscribe` holds one or two.
pub const UNSUBSCRIBE_URLS_MAX: usize = 8;
/// Longest unsubscribe URL, in bytes.
pub const UNSUBSCRIBE_URL_MAX_BYTES: usize = 2048;
/// Longest tracking URL that is resolved, in bytes: the longest one made has
/// 1,600 characters, and mail clients glue things to it.
pub const RESOLVE_URL_MAX_BYTES: usize = 4096;
/// Largest body beside a mail's, in bytes.
pub const SMALL_BODY_MAX_BYTES: usize = 16 * 1024;
/// Entries of a list when the caller does not say.
pub const LIMIT_DEFAULT: usize = 100;
/// Most entries of a list.
pub const LIMIT_MAX: usize = 1000;
/// Most hours of statistics: 31 days, a page of some 250 KB.
pub const STATS_MAX_HOURS: u32 = 31 * 24;
/// Most days of statistics by days.
pub const STATS_MAX_DAYS: u32 = 366;
/// Most events and messages that are counted one by one for statistics: some
/// seconds of reading, and 24 bytes of memory for each message.
pub const STATS_READ_MAX: usize = 1_000_000;
/// Hours of statistics when the caller does not say.
pub const STATS_DEFAULT_HOURS: u32 = 24;
/// Longest cursor, in bytes; ours are shorter.
pub const CURSOR_MAX_BYTES: usize = 512;
/// Most header fields of a request.
pub const HEADERS_MAX: usize = 64;
/// Most bytes of a request's head: 64 header fields of some 1,000 bytes.
pub const HEAD_MAX_BYTES: usize = 64 * 1024;
/// Mails up to this many bytes are rewritten where they arrive: some 100 µs,
/// less than handing them to another thread and back under load is worth.
pub const INLINE_MAX_BYTES: usize = 64 * 1024;
/// HTML up to this many bytes is answered with its counts in the header; what
/// is longer streams, and its counts follow as trailers.
pub const BUFFERED_MAX_BYTES: usize = 256 * 1024;

/// The API's settings; [`Settings::default`] is meant for production.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Longest HTML, in bytes.
    pub html_max_bytes: usize,
    /// Requests at work at once; more are answered 503.
    pub requests_max: usize,
    /// Connections at once; more wait to be accepted.
    pub connections_max: usize,
    /// Bytes of request bodies held at once, over all requests. A body costs
    /// about four times its size until it is answered: as it came, decoded,
    /// rewritten, printed.
    pub bodies_max_bytes: usize,
    /// Rewrites computed at once; more wait, within `request_time`.
    pub rewrites_max: usize,
    /// From a connection's begin or its last answer to the end of a request's head.
    pub head_time: Duration,
    /// From the end of a request's head to the end of its body.
    pub body_time: Duration,
    /// From the end of a request's head to its answer's begin; longer than `body_time`.
    pub request_time: Duration,
    /// How long a rewrite waits for its message record to reach the disk.
    pub record_time: Duration,
    /// A connection on which nothing could be read or written for so long is
    /// closed; longer than `request_time`.
    pub stall_time: Duration,
    /// From the begin of shutting down to the end of the last connection.
    pub drain_time: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self {
            html_max_bytes: HTML_MAX_BYTES_DEFAULT,
            requests_max: 256,
            connections_max: 512,
            bodies_max_bytes: 64 * 1024 * 1024,
            rewrites_max: cores,
            head_time: Duration::from_secs(10),
            body_time: Duration::from_secs(20),
            request_time: Duration::from_secs(30),
            record_time: Duration::from_millis(50),
            stall_time: Duration::from_secs(60),
            drain_time: Duration::from_secs(20),
        }
    }
}

impl Settings {
    /// Largest JSON body of a rewrite, in bytes: three times HTML and text,
    /// because printers that escape all but ASCII write the 2 bytes of `é` or
    /// `ж` as the 6 of `\u00e9`; and room for the other fields.
    pub fn json_max_bytes(&self) -> usize {
        3 * (self.html_max_bytes + TEXT_MAX_BYTES) + SMALL_BODY_MAX_BYTES * 4
    }
}
