//! What every request passes: bounds first, then who calls; and how a handler
//! finds the domain that its caller may use.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use mailtrail_core::config::Domain;
use mailtrail_core::id::{Host, Realm};
use tokio::sync::OwnedSemaphorePermit;

use super::auth::{Caller, Denied, Open, Verb};
use super::openapi::{DomainPath, SinkPath};
use super::problem::{Code, Problem};
use super::settings::HEADERS_MAX;
use super::{App, Shared};

/// Paths that tell nothing of this install: no caller needs to be known.
const PUBLIC_PATHS: [&str; 2] = ["/openapi.json", "/docs"];

/// A request's place among those at work; the last clone gives it back.
#[derive(Clone)]
pub(super) struct Place {
    _permit: Arc<OwnedSemaphorePermit>,
}

/// Lets a request through to its handler, in bounded time, and turns a panic
/// into an answer.
pub(super) async fn pass(State(app): State<App>, request: Request, next: Next) -> Response {
    let (mut head, body) = request.into_parts();
    let mut response = match admit(&app, &head).await {
        Err(problem) => problem.into_response(),
        Ok((place, caller)) => {
            // The handler may take the request apart; its place is kept here.
            let _place = place.clone();
            head.extensions.insert(place);
            if let Some(caller) = caller {
                head.extensions.insert(caller);
            }
            answer(&app, Request::from_parts(head, body), next).await
        }
    };
    app.context.metrics.api.answered(response.status());
    let headers = response.headers_mut();
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

async fn admit(app: &Shared, head: &Parts) -> Result<(Place, Option<Caller>), Problem> {
    let requests_max = app.context.settings.requests_max;
    let permit = Arc::clone(&app.requests)
        .try_acquire_owned()
        .map_err(|_| Problem::new(Code::Overloaded).limit("requests_max", requests_max))?;
    if head.headers.len() > HEADERS_MAX {
        return Err(Problem::new(Code::TooManyHeaders).limit("headers_max", HEADERS_MAX));
    }
    let authorizer = &app.context.authorizer;
    if authorizer.is_open() {
        Open::check(&head.uri, &head.headers)
            .map_err(|foreign| Problem::new(Code::NotLocal).detail(foreign.to_string()))?;
    }
    let place = Place {
        _permit: Arc::new(permit),
    };
    if PUBLIC_PATHS.contains(&head.uri.path()) {
        return Ok((place, None));
    }
    let caller = authorizer.authenticate(bearer(&head.headers)).await?;
    Ok((place, Some(caller)))
}

async fn answer(app: &Shared, request: Request, next: Next) -> Response {
    let work = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(app.context.settings.request_time, work).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            tracing::error!("A request of the API ended in a panic; it was answered 500");
            Problem::new(Code::Internal).into_response()
        }
        Err(_) => Problem::new(Code::Overloaded)
            .detail("the answer was not ready in time (request_time)")
            .into_response(),
    }
}

/// The token of `Authorization: Bearer <token>` (RFC 6750, 2.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim_matches(' '))
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Unauthenticated => Self::new(Code::Unauthenticated)
                .detail("send Authorization: Bearer <token>, once, with a token that is in force"),
            Denied::Unavailable => Self::new(Code::Unavailable).detail(denied.to_string()),
        }
    }
}

impl Shared {
    /// The domain of that name, if the caller may do that with it.
    pub(super) async fn domain(
        &self,
        caller: &Caller,
        verb: Verb,
        realm: &Realm,
    ) -> Result<Arc<Domain>, Problem> {
        if !self.context.authorizer.allows(caller, verb, realm).await? {
            return Err(Problem::new(Code::Forbidden));
        }
        let domain = self.context.live.snapshot().by_realm(realm).cloned();
        let domain = domain.filter(|domain| !domain.is_orphan());
        domain.ok_or_else(|| no_domain(caller))
    }

    /// The domain that answers on a host, if the caller may do that with it.
    pub(super) async fn domain_of_host(
        &self,
        caller: &Caller,
        verb: Verb,
        host: &Host,
    ) -> Result<Arc<Domain>, Problem> {
        let domain = self.context.live.snapshot().by_host(host.as_str()).cloned();
        let domain = domain.filter(|domain| !domain.is_orphan());
        let domain = domain.ok_or_else(|| no_domain(caller))?;
        let authorizer = &self.context.authorizer;
        if !authorizer.allows(caller, verb, &domain.realm).await? {
            return Err(Problem::new(Code::Forbidden));
        }
        Ok(domain)
    }

    /// The name of a path's event sink, if there is one and the caller may do
    /// that with it.
    pub(super) async fn sink_of_path(
        &self,
        caller: &Caller,
        verb: Verb,
        path: &SinkPath,
    ) -> Result<Realm, Problem> {
        let Ok(realm) = Realm::new(&path.namespace, &path.name) else {
            return Err(no_sink(caller));
        };
        if !self.context.authorizer.allows(caller, verb, &realm).await? {
            return Err(Problem::new(Code::Forbidden));
        }
        match self.context.live.sinks().borrow().contains_key(&realm) {
            true => Ok(realm),
            false => Err(no_sink(caller)),
        }
    }

    /// The domain of a path's namespace and name.
    pub(super) async fn domain_of_path(
        &self,
        caller: &Caller,
        verb: Verb,
        path: &DomainPath,
    ) -> Result<Arc<Domain>, Problem> {
        match Realm::new(&path.namespace, &path.name) {
            Ok(realm) => self.domain(caller, verb, &realm).await,
            Err(_) => Err(no_domain(caller)),
        }
    }
}

/// What helps who named a domain that is none.
const NAMED_BY: &str = "a path names a tracking domain by its namespace and name (shop/links), a \
     rewrite by these or by its host (links.shop.example); GET /v1/domains lists what there is";

/// Unknown and forbidden look the same, except to those who may everything.
fn no_domain(caller: &Caller) -> Problem {
    if caller.everywhere {
        Problem::new(Code::UnknownDomain).detail(NAMED_BY)
    } else {
        Problem::new(Code::Forbidden)
    }
}

fn no_sink(caller: &Caller) -> Problem {
    match caller.everywhere {
        true => Problem::new(Code::UnknownSink)
            .detail("a path names an event sink by its namespace and name (shop/orders)"),
        false => Problem::new(Code::Forbidden),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_stands_once_behind_its_scheme() {
        let check = |values: &[&'static str], expected: Option<&str>| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
            }
            assert_eq!(bearer(&headers), expected, "{values:?}");
        };
        check(&["Bearer abc"], Some("abc"));
        check(&["bearer  abc "], Some("abc"));
        check(&["Basic abc"], None);
        check(&["Bearerabc"], None);
        check(&["Bearer a", "Bearer b"], None);
        check(&[], None);
    }
}
