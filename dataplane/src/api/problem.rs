//! Every refusal, as `application/problem+json` (RFC 9457).
//!
//! A problem says what is wrong and where: the field, the rule, the limit.
//! It never repeats a value that the caller sent: that may be personal.

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// What went wrong, in the shape of RFC 9457.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(examples(super::examples::problem))]
pub(super) struct Problem {
    /// Which kind of problem: `https://mailtrail.dev/problems/` and a word.
    #[serde(rename = "type")]
    #[schema(rename = "type")]
    pub kind: String,
    /// The kind in words; the same for every problem of a kind.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong with this request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub detail: Option<String>,
    /// The fields that broke a rule, all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub errors: Vec<FieldError>,
    /// The limit that was exceeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub limit: Option<Limit>,
    #[serde(skip)]
    #[schema(ignore)]
    code: Code,
}

/// One field and the rule it broke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct FieldError {
    /// The field: `recipient`, `tracking.opens`, `unsubscribe_urls[2]`; the
    /// name of a parameter or of a `Mailtrail-*` header.
    pub field: String,
    /// The rule, as a sentence without its subject.
    pub rule: String,
}

/// A limit, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Limit {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub max: usize,
}

/// All kinds of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    /// Not HTTP, or against its rules.
    NotHttp,
    /// The body is not JSON.
    Malformed,
    /// The body ended before its end.
    CutOff,
    /// No credentials, or none that we know.
    Unauthenticated,
    /// The caller may not do this, or there is no such domain.
    Forbidden,
    /// Without tokens, only programs on this machine are answered.
    NotLocal,
    /// No such path.
    UnknownRoute,
    /// No such tracking domain.
    UnknownDomain,
    /// Nothing is known of such a message.
    UnknownMessage,
    /// No such event sink.
    UnknownSink,
    /// The tracking URL is another domain's.
    OtherDomain,
    /// The path has no such method.
    MethodNotAllowed,
    /// The body did not arrive in time.
    SlowBody,
    /// What follows the cursor is no longer kept.
    CursorExpired,
    /// The body is over its limit.
    TooLarge,
    /// A media type or charset that is not read here.
    MediaType,
    /// Fields broke rules.
    Invalid,
    /// More header fields than are read.
    TooManyHeaders,
    /// The head, or the path in it, is longer than is read.
    HeadTooLarge,
    /// A fault of ours.
    Internal,
    /// More at once than is allowed; try again.
    Overloaded,
    /// Something that is needed does not answer; try again.
    Unavailable,
}

impl Code {
    /// All of them, by status.
    pub(super) const ALL: [Self; 22] = [
        Self::NotHttp,
        Self::Malformed,
        Self::CutOff,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotLocal,
        Self::UnknownRoute,
        Self::UnknownDomain,
        Self::UnknownMessage,
        Self::UnknownSink,
        Self::OtherDomain,
        Self::MethodNotAllowed,
        Self::SlowBody,
        Self::CursorExpired,
        Self::TooLarge,
        Self::MediaType,
        Self::Invalid,
        Self::TooManyHeaders,
        Self::HeadTooLarge,
        Self::Internal,
        Self::Overloaded,
        Self::Unavailable,
    ];

    /// Status, last word of the type, and title.
    pub(super) fn parts(self) -> (StatusCode, &'static str, &'static str) {
        (self.status(), self.word(), self.title())
    }

    fn status(self) -> StatusCode {
        match self {
            Self::NotHttp | Self::Malformed | Self::CutOff => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::NotLocal => StatusCode::FORBIDDEN,
            Self::UnknownRoute
            | Self::UnknownDomain
            | Self::UnknownMessage
            | Self::UnknownSink
            | Self::OtherDomain => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::CursorExpired => StatusCode::GONE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooManyHeaders | Self::HeadTooLarge => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Overloaded | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::NotHttp => "not-http",
            Self::Malformed => "malformed",
            Self::CutOff => "cut-off",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotLocal => "not-local",
            Self::UnknownRoute => "unknown-route",
            Self::UnknownDomain => "unknown-domain",
            Self::UnknownMessage => "unknown-message",
            Self::UnknownSink => "unknown-sink",
            Self::OtherDomain => "other-domain",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::SlowBody => "slow-body",
            Self::CursorExpired => "cursor-expired",
            Self::TooLarge => "too-large",
            Self::MediaType => "media-type",
            Self::Invalid => "invalid",
            Self::TooManyHeaders => "too-many-headers",
            Self::HeadTooLarge => "head-too-large",
            Self::Internal => "internal",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::NotHttp => "The request is not valid HTTP",
            Self::Malformed => "The body is not valid JSON",
            Self::CutOff => "The body did not arrive whole",
            Self::Unauthenticated => "A valid bearer token is required",
            Self::Forbidden => "Not allowed, or no such tracking domain or event sink",
            Self::NotLocal => "Without tokens, only programs on this machine are answered",
            Self::UnknownRoute => "There is no such path",
            Self::UnknownDomain => "There is no such tracking domain",
            Self::UnknownMessage => "Nothing is known of such a message",
            Self::UnknownSink => "There is no such event sink",
            Self::OtherDomain => "The URL does not stand on a host of this tracking domain",
            Self::MethodNotAllowed => "The path does not take this method",
            Self::SlowBody => "The body did not arrive in time",
            Self::CursorExpired => "The cursor is older than what is kept",
            Self::TooLarge => "The body is larger than its limit",
            Self::MediaType => "The media type or charset is not read here",
            Self::Invalid => "Fields of the request broke rules",
            Self::TooManyHeaders => "The request has too many header fields",
            Self::HeadTooLarge => "The request's head is too large",
            Self::Internal => "Something went wrong here",
            Self::Overloaded => "More at once than is allowed",
            Self::Unavailable => "Something that is needed does not answer",
        }
    }
}

// === Problem ===

impl Problem {
    /// A problem of that kind.
    pub(super) fn new(code: Code) -> Self {
        let (status, word, title) = code.parts();
        Self {
            kind: format!("https://mailtrail.dev/problems/{word}"),
            title,
            status: status.as_u16(),
            detail: None,
            errors: Vec::new(),
            limit: None,
            code,
        }
    }

    /// With what is wrong in this case.
    #[must_use]
    pub(super) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// With the limit that was exceeded.
    #[must_use]
    pub(super) fn limit(mut self, name: &'static str, max: usize) -> Self {
        self.limit = Some(Limit { name, max });
        self
    }

    /// Fields that broke rules.
    pub(super) fn invalid(errors: Vec<FieldError>) -> Self {
        Self {
            errors,
            ..Self::new(Code::Invalid)
        }
    }

    /// One field that broke a rule.
    pub(super) fn field(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError {
            field: field.into(),
            rule: rule.into(),
        }])
    }

    /// The body is over the named limit, in bytes.
    pub(super) fn too_large(name: &'static str, max_bytes: usize) -> Self {
        Self::new(Code::TooLarge)
            .detail(format!("the body may have {max_bytes} bytes ({name})"))
            .limit(name, max_bytes)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, _, _) = self.code.parts();
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        match self.code {
            Code::Unauthenticated => {
                headers.insert(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static("Bearer realm=\"mailtrail\""),
                );
            }
            Code::Overloaded | Code::Unavailable => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            // What is left of the body is not read: the connection is no use.
            Code::SlowBody | Code::TooLarge => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}

/// Answers where no route is.
pub(super) async fn unknown_route(_: Request) -> Problem {
    Problem::new(Code::UnknownRoute).detail("GET /openapi.json lists what there is")
}

/// Answers where a route has another method; axum adds `Allow`.
pub(super) async fn method_not_allowed(_: Request) -> Problem {
    Problem::new(Code::MethodNotAllowed).detail("the Allow header lists what the path takes")
}
