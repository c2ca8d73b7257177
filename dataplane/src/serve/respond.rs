//! Every response that the public listener can give, with every header.
//!
//! A response holds nothing of its request: no reflected URL, no token. `HEAD`
//! gets the same head and no body.

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, LOCATION, REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;

use super::open::OpenedLink;
use super::page::{self, Page};
use super::refuse::Refusal;
use super::route::Allow;

/// The bodies we send: all in memory, all of known length.
pub(super) type Body = Full<Bytes>;

/// A transparent 1x1 GIF (GIF89a: header, two-colour table, graphic control
/// with transparency, one pixel).
pub const PIXEL: [u8; 43] = [
    0x47, 0x49, 0x46, 0x38, 0x39, 0x61, 0x01, 0x00, 0x01, 0x00, 0x80, 0x00, 0x00, 0x00, 0x00, 0x00,
    0xff, 0xff, 0xff, 0x21, 0xf9, 0x04, 0x01, 0x00, 0x00, 0x00, 0x00, 0x2c, 0x00, 0x00, 0x00, 0x00,
    0x01, 0x00, 0x01, 0x00, 0x00, 0x02, 0x02, 0x44, 0x01, 0x00, 0x3b,
];

static PIXEL_BYTES: &[u8] = &PIXEL;

const X_ROBOTS_TAG: HeaderName = HeaderName::from_static("x-robots-tag");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");
const NO_INDEX: HeaderValue = HeaderValue::from_static("noindex, nofollow");
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const GIF: HeaderValue = HeaderValue::from_static("image/gif");
/// The length of [`PIXEL`], as a test compares.
const PIXEL_LENGTH: HeaderValue = HeaderValue::from_static("43");
const NO_LENGTH: HeaderValue = HeaderValue::from_static("0");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Seconds after which a request for a key not known yet is worth repeating:
/// the keyring is being read again meanwhile.
const KEY_RETRY_SECONDS: HeaderValue = HeaderValue::from_static("1");
/// How long others may keep what changes with the configuration only.
const SHORT_CACHE: HeaderValue = HeaderValue::from_static("public, max-age=300");
/// How long others may keep what never changes.
const LONG_CACHE: HeaderValue = HeaderValue::from_static("public, max-age=86400");

const ROBOTS: &str = "User-agent: *\nDisallow: /\n";

/// A response before its head is written.
///
/// The two that matter, pixel and redirect, are made of prepared values in the
/// map that the request's head came in: neither is allocated, and hyper takes
/// the map back for the next request.
pub(super) enum Reply {
    /// 200 and the pixel (case 78).
    Pixel,
    /// 302 to a link's target (case 82).
    Redirect(HeaderValue),
    /// Any other.
    Other(Box<Response<Body>>),
}

impl Reply {
    /// Only an opened token has a link.
    pub(super) fn redirect(link: OpenedLink<'_>) -> Self {
        Self::Redirect(location(link))
    }

    /// The response. What the map holds is thrown away.
    pub(super) fn into_response(self, mut map: HeaderMap) -> Response<Body> {
        map.clear();
        match self {
            Self::Pixel => {
                map.insert(CONTENT_TYPE, GIF);
                map.insert(CONTENT_LENGTH, PIXEL_LENGTH);
                map.insert(CACHE_CONTROL, NO_STORE);
                let mut response = Response::new(Full::new(Bytes::from_static(PIXEL_BYTES)));
                *response.headers_mut() = map;
                response
            }
            Self::Redirect(location) => {
                map.insert(LOCATION, location);
                map.insert(CONTENT_LENGTH, NO_LENGTH);
                map.insert(CACHE_CONTROL, NO_STORE);
                map.insert(REFERRER_POLICY, NO_REFERRER);
                map.insert(X_ROBOTS_TAG, NO_INDEX);
                let mut response = Response::new(Body::default());
                *response.status_mut() = StatusCode::FOUND;
                *response.headers_mut() = map;
                response
            }
            Self::Other(response) => *response,
        }
    }
}

impl From<Response<Body>> for Reply {
    fn from(response: Response<Body>) -> Self {
        Self::Other(Box::new(response))
    }
}

/// The pixel of a key not known yet: 503, so that a client that can asks
/// again, and an image all the same, so that none shows a broken one.
pub(super) fn pixel_of_unknown_key() -> Response<Body> {
    let mut response = Reply::Pixel.into_response(HeaderMap::new());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
        .headers_mut()
        .insert(RETRY_AFTER, KEY_RETRY_SECONDS);
    response
}

/// 200 and the target as JSON, for an app that takes the link over (case 99).
pub(super) fn target_json(link: OpenedLink<'_>) -> Response<Body> {
    let json = serde_json::json!({ "target": link.target().as_str() });
    let mut response = whole(StatusCode::OK, JSON, json.to_string());
    let head = response.headers_mut();
    head.insert(CACHE_CONTROL, NO_STORE);
    head.insert(REFERRER_POLICY, NO_REFERRER);
    head.insert(X_ROBOTS_TAG, NO_INDEX);
    response
}

/// A link of a key not known yet (case 103).
pub(super) fn link_of_unknown_key() -> Response<Body> {
    unavailable("This link cannot be opened just now. Please try again in a moment.\n")
}

/// What could not be written down; the reader should ask again.
pub(super) fn unavailable(text: &'static str) -> Response<Body> {
    let mut response = whole(StatusCode::SERVICE_UNAVAILABLE, PLAIN, text);
    let head = response.headers_mut();
    head.insert(RETRY_AFTER, KEY_RETRY_SECONDS);
    head.insert(CACHE_CONTROL, NO_STORE);
    response
}

/// A page for people.
pub(super) fn html(status: StatusCode, page: Page) -> Response<Body> {
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    let mut response = whole(status, kind, page.html);
    let head = response.headers_mut();
    head.insert(CONTENT_LANGUAGE, HeaderValue::from_static(page.language));
    head.insert(CACHE_CONTROL, NO_STORE);
    head.insert(CONTENT_SECURITY_POLICY, page::policy());
    head.insert(X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    head.insert(REFERRER_POLICY, NO_REFERRER);
    head.insert(X_ROBOTS_TAG, NO_INDEX);
    response
}

/// 405 with what is allowed (case 81).
pub(super) fn other_method(allow: Allow) -> Response<Body> {
    let mut response = whole(
        StatusCode::METHOD_NOT_ALLOWED,
        PLAIN,
        "This method is not allowed here.\n",
    );
    let allow = match allow {
        Allow::Read => HeaderValue::from_static("GET, HEAD"),
        Allow::ReadAndPost => HeaderValue::from_static("GET, HEAD, POST"),
    };
    response.headers_mut().insert(ALLOW, allow);
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// The status of a limit, with its name.
pub(super) fn refused(refusal: Refusal) -> Response<Body> {
    let mut response = whole(refusal.status(), PLAIN, refusal.text());
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    close(&mut response);
    response
}

/// Keeps crawlers out.
pub(super) fn robots() -> Response<Body> {
    let mut response = whole(StatusCode::OK, PLAIN, ROBOTS);
    response.headers_mut().insert(CACHE_CONTROL, LONG_CACHE);
    response
}

/// There is no icon, and none need be asked for again for a day.
pub(super) fn no_icon() -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(CACHE_CONTROL, LONG_CACHE);
    response
}

/// A document that apps' systems read.
pub(super) fn app_document(json: String) -> Response<Body> {
    let mut response = whole(StatusCode::OK, JSON, json);
    response.headers_mut().insert(CACHE_CONTROL, SHORT_CACHE);
    response
}

/// The proof for the operator's challenge.
pub(super) fn proof(text: String) -> Response<Body> {
    let mut response = whole(StatusCode::OK, PLAIN, text);
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// 404 without a page: of a host that is not ours nothing is said.
pub(super) fn nothing() -> Response<Body> {
    let mut response = whole(StatusCode::NOT_FOUND, PLAIN, "Not found.\n");
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// Takes the body away and leaves the head as it is.
pub(super) fn without_body(response: Response<Body>) -> Response<Body> {
    response.map(|_| Body::default())
}

/// Says that this connection ends with this response (HTTP/1 only).
pub(super) fn close(response: &mut Response<Body>) {
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
}

fn whole(status: StatusCode, kind: HeaderValue, body: impl Into<Bytes>) -> Response<Body> {
    let body = body.into();
    let length = HeaderValue::from(body.len());
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response.headers_mut().insert(CONTENT_LENGTH, length);
    response
}

fn location(link: OpenedLink<'_>) -> HeaderValue {
    HeaderValue::from_str(link.target().as_str())
        .expect("a target is printable ASCII, which every header value may be")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pixel_is_a_gif_of_one_transparent_pixel() {
        assert_eq!(&PIXEL[..6], b"GIF89a");
        assert_eq!(PIXEL[6..10], [1, 0, 1, 0], "1 wide, 1 high");
        assert_eq!(PIXEL[22] & 1, 1, "transparent");
        assert_eq!(PIXEL.last(), Some(&0x3b), "its trailer");
    }

    #[test]
    fn nothing_of_the_request_is_left_in_a_head() {
        let request = || HeaderMap::from_iter([(REFERRER_POLICY, NO_SNIFF), (ALLOW, NO_SNIFF)]);
        for reply in [Reply::Pixel, Reply::Redirect(NO_LENGTH)] {
            let response = reply.into_response(request());
            assert!(response.headers().values().all(|value| value != NO_SNIFF));
        }
    }

    #[test]
    fn every_whole_response_says_its_length() {
        for response in [
            Reply::Pixel.into_response(HeaderMap::new()),
            pixel_of_unknown_key(),
            link_of_unknown_key(),
            other_method(Allow::Read),
            refused(Refusal::UriBytes),
            robots(),
            nothing(),
        ] {
            let length = http_body::Body::size_hint(response.body()).exact();
            let said = response.headers()[CONTENT_LENGTH].to_str().expect("ascii");
            assert_eq!(length.map(|l| l.to_string()).as_deref(), Some(said));
            let head = without_body(response);
            assert_eq!(
                head.headers()[CONTENT_LENGTH],
                length.expect("known").to_string()
            );
        }
    }
}
