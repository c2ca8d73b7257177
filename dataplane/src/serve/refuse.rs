//! What the listener refuses before it looks at a route: the limits, each with
//! its status and its name.

use http::StatusCode;

/// Why a request or connection is refused. The names stand in answers and as
/// the label `limit` of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Refusal {
    /// Not HTTP, or against its rules.
    BadRequest,
    /// The request's target is too long.
    UriBytes,
    /// The head is too large.
    HeadBytes,
    /// The head has too many fields.
    Headers,
    /// The head did not arrive in time.
    HeadTime,
    /// The answer could not be handed over in time.
    RequestTime,
    /// Nothing was asked for a while; not an error.
    IdleTime,
    /// The request has a body.
    BodyBytes,
    /// TLS did not come about: no certificate for the host, nothing in common,
    /// or no TLS at all.
    Handshake,
    /// TLS did not come about in time.
    HandshakeTime,
    /// Too many connections in all.
    Connections,
    /// Too many connections of one peer.
    ConnectionsPerPeer,
    /// The PROXY protocol is on, and there is no header of it.
    ProxyHeader,
}

impl Refusal {
    /// All of them.
    pub(super) const ALL: [Self; 13] = [
        Self::BadRequest,
        Self::UriBytes,
        Self::HeadBytes,
        Self::Headers,
        Self::HeadTime,
        Self::RequestTime,
        Self::IdleTime,
        Self::BodyBytes,
        Self::Handshake,
        Self::HandshakeTime,
        Self::Connections,
        Self::ConnectionsPerPeer,
        Self::ProxyHeader,
    ];

    /// The name of the limit, as metrics and answers have it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::UriBytes => "uri_bytes",
            Self::HeadBytes => "head_bytes",
            Self::Headers => "headers",
            Self::HeadTime => "head_time",
            Self::RequestTime => "request_time",
            Self::IdleTime => "idle_time",
            Self::BodyBytes => "body_bytes",
            Self::Handshake => "handshake",
            Self::HandshakeTime => "handshake_time",
            Self::Connections => "connections",
            Self::ConnectionsPerPeer => "connections_per_peer",
            Self::ProxyHeader => "proxy_header",
        }
    }

    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::BadRequest | Self::ProxyHeader | Self::Handshake => StatusCode::BAD_REQUEST,
            Self::UriBytes => StatusCode::URI_TOO_LONG,
            Self::HeadBytes | Self::Headers => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::HeadTime | Self::RequestTime | Self::IdleTime | Self::HandshakeTime => {
                StatusCode::REQUEST_TIMEOUT
            }
            Self::BodyBytes => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Connections | Self::ConnectionsPerPeer => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What the client is told.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::BadRequest => "This is no valid HTTP request.\n",
            Self::UriBytes => "Refused by the limit uri_bytes.\n",
            Self::HeadBytes => "Refused by the limit head_bytes.\n",
            Self::Headers => "Refused by the limit headers.\n",
            Self::HeadTime => "Refused by the limit head_time.\n",
            Self::RequestTime => "Refused by the limit request_time.\n",
            Self::IdleTime => "Refused by the limit idle_time.\n",
            Self::BodyBytes => "Refused by the limit body_bytes: no body is read here.\n",
            Self::Handshake => "Refused: no TLS handshake.\n",
            Self::HandshakeTime => "Refused by the limit handshake_time.\n",
            Self::Connections => "Refused by the limit connections.\n",
            Self::ConnectionsPerPeer => "Refused by the limit connections_per_peer.\n",
            Self::ProxyHeader => "A PROXY protocol header is expected here.\n",
        }
    }

    /// What is written where no request was read; `None` where the connection
    /// ends without a word: an idle client asked nothing, one that takes no
    /// answer takes no other, and without TLS nothing is said where TLS is spoken.
    pub(super) fn bare_response(self) -> Option<String> {
        let without_tls = matches!(self, Self::Handshake | Self::HandshakeTime);
        if without_tls || matches!(self, Self::IdleTime | Self::RequestTime) {
            return None;
        }
        let (status, text) = (self.status(), self.text());
        let retry = match status {
            StatusCode::SERVICE_UNAVAILABLE => "retry-after: 1\r\n",
            _ => "",
        };
        Some(format!(
            "HTTP/1.1 {} {}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n\
             cache-control: no-store\r\n{retry}connection: close\r\n\r\n{text}",
            status.as_str(),
            status.canonical_reason().unwrap_or_default(),
            text.len(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_names_itself_in_its_answer() {
        for refusal in Refusal::ALL {
            let said = refusal.text().contains(refusal.name());
            let worded = matches!(refusal, Refusal::BadRequest | Refusal::ProxyHeader);
            assert!(said || worded, "{refusal:?}");
        }
    }

    #[test]
    fn names_differ() {
        let mut names: Vec<_> = Refusal::ALL.iter().map(|r| r.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Refusal::ALL.len());
    }
}
